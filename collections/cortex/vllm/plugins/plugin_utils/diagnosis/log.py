# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Reading a vLLM log: lines with their process, exceptions with what they grew out of, and where each start begins."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from .prefixes import bare

#: ``(Worker_TP0 pid=83)``, ``(VllmWorker rank=1 pid=83)``, ``(RayWorkerWrapper pid=83, ip=10.0.0.2)``, ``[rank0]:``
#: (vllm/logging_utils/formatter.py and vllm/utils decorate_logs; ray; torch's hook for uncaught exceptions).
_PROCESS = re.compile(
    r"^(?:\((?P<name>[A-Za-z]\w*(?:[-_. ]\w+)*?)?(?:[ ,]*(?:rank|dp|tp|pp|ep)=\d+)*,?"
    r"\s*pid=(?P<pid>\d+)(?:, ip=(?P<ip>[\d.a-f:]+))?\)"
    r"|\((?P<bare>(?:APIServer|ApiServer|EngineCore|VllmWorker|Worker|DPCoordinator|raylet|autoscaler)[\w-]*)\)"
    r"|\[(?P<rank>(?:rank ?|default)\d+)\]:?)\s?"
)
#: ``ERROR 11-22 11:50:13 [core.py:12] text``; 0.6: ``ERROR 11-22 11:50:13 core.py:12] text``; 0.11 with debug:
#: ``[v1/engine/core.py:12]``; Ray: ``INFO worker.py:1841 -- text``.
_LEVEL = re.compile(
    r"^(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL) (?:(?P<time>\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d+)? )?"
    r"(?:\S* )?\[?(?:\.\.\.)?(?P<file>[\w./-]+\.py):(?P<line>\d+)(?:\]| --) ?"
)
_REPEATED = re.compile(r" *\[repeated \d+x across (?:the )?cluster\].*$")
_GROUP = re.compile(r"^\s*(?:\+-+\s?(?:\d+ -+)?|\|\s{0,2})+(?=\S|\s{2}|$)")
_TRACEBACK = re.compile(r"^(?:Exception Group )?Traceback \(most recent call last\)")
_NAME = r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:\(\w+\))?"
#: After a traceback whatever begins in the first column is the exception, whatever its name.
_HEAD = re.compile(rf"^(?P<type>{_NAME})(?:: ?(?P<text>.*))?$")
#: Without one only what is named like an exception counts.
_EXCEPTION = re.compile(
    r"^(?P<type>(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Failure|Timeout|Killed|Interrupt|Failed|OutOfResources)"
    r"(?:\(\w+\))?|Exception|NVMLError_\w+|SystemExit))(?:: ?(?P<text>.*))?$"
)
_ARGPARSE = re.compile(r"^[\w./ -]+: error: (?P<text>.+)$")
#: docker, podman and compose: what the engine itself says.
_DAEMON = re.compile(
    r"(?:Error response from daemon:? ?|docker: (?!Error response)"
    r"|^Error: (?=OCI runtime error|crun|runc|creating|unable to)"
    r"|(?=nvidia-container-cli: ))(?P<text>.+)$"
)
_HELP = re.compile(r"(?:Run|See) 'docker")
_CHAIN = ("During handling of the above exception", "The above exception was the direct cause")
#: Errors that only say that another process failed (v1/engine/utils.py, v1/executor/*.py, engine/multiprocessing).
WRAPPERS = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|Worker failed with error|Worker proc \S+ died"
    r"|EngineDeadError|EngineCore encountered an issue|Engine process failed to start|see root cause above"
    r"|RayTaskError|RayActorError|ActorDiedError|Engine loop is not running|AsyncEngineDeadError|MQEngineDeadError"
    r"|Background loop (?:has errored|is stopped|is not running)|Task finished unexpectedly|Executor failed|"
    r"One or more workers failed|Ray workers have not started|Worker \d+ failed to initialize"
    r"|RuntimeError: cancelled$|CancelledError|Frontend process failed during engine core"
    r"|Process \S+ \(PID: \d+\) died with exit code|Engine core proc(?:ess)? \S+ died|Worker .{0,40}died|worker died"
    r"|Unable to configure handler|^RuntimeError: DataLoader worker"
    r"|^SystemExit\b|KeyboardInterrupt|^RuntimeError: terminated$|BrokenProcessPool|EOFError$|ConnectionResetError"
    r"|BrokenPipeError|ChildFailedError|^torch\._inductor\.exc\.InductorError: $",
    re.IGNORECASE,
)
#: Lines of every healthy log that look like errors or say nothing (recorded with 0.32; sources of 0.6 … 0.33).
NOISE = re.compile(
    r"Found ulimit of|get_mempolicy|set_mempolicy|numa_\w+ failed|Triton is not|libtcmalloc|libiomp|FutureWarning"
    r"|torch/_library/triton\.py|resource_tracker|\"(?:GET|POST|PUT|HEAD|OPTIONS|DELETE) \S* HTTP|Route: /"
    r"|For further information visit|DeprecationWarning|Error saving model info cache|UserWarning"
    r"|leaked (?:semaphore|shared_memory)|destroy_process_group\(\) was not called|ImportWarning|SyntaxWarning"
    r"|NVLink detection failed|NCCL INFO|Error ignored in is_in_the_same_node"
    r"|Error retrieving (?:file list|safetensors)"
)
#: Files whose ERROR lines end a process; ERROR lines of others are often survived.
FATAL_FILES = frozenset(
    {
        "core.py",
        "multiproc_executor.py",
        "multiproc_worker_utils.py",
        "gpu_worker.py",
        "cpu_worker.py",
        "worker.py",
        "worker_base.py",
        "async_llm.py",
        "engine.py",
        "ray_executor_v2.py",
        "async_llm_engine.py",
        "launcher.py",
    }
)
#: A start of the server says this once (vllm/entrypoints: api_server.py, utils.py, api_utils.py).
_BANNER = re.compile(r"vLLM API server version|version \d+\.\d+\.\S*$|non-default args:")
#: Only a server that is past its banner says this.
_RUNNING = re.compile(
    r"Application startup complete|Engine core initialization failed|EngineCore|Initializing an? .*LLM engine"
    r"|Shutting down|Finished server process|Loading weights took|checkpoint shards|Engine \d\d\d: Avg|HTTP/1\.\d\" \d"
)
_VERSION = re.compile(
    r"(?:vLLM API server version|version|LLM engine \(v|vLLM version)\s*v?(?P<version>\d+\.\d+\.\d+\w*)"
)
READY = re.compile(r"Application startup complete|Uvicorn running on")
#: A log of which only the end is there shows it by requests and statistics.
SERVING = re.compile(
    r"HTTP/1\.\d\" (?:200|201|204|4\d\d)\b|Avg (?:prompt|generation) throughput|Received request \w+-|Added request"
)


#: Characters of an exception that rules look at.
_MOST = 6000


@dataclasses.dataclass(frozen=True)
class Line:
    """A log line without its prefixes."""

    text: str
    process: str = ""
    level: str = ""
    file: str = ""
    time: str = ""
    place: str = ""

    @property
    def stream(self) -> tuple[str, str, str]:
        """Lines of one stream are never torn apart by those of another: one process, one logging call."""
        return (self.process, self.level, self.place)


@dataclasses.dataclass(frozen=True)
class Fault:
    """An exception as the log shows it: its own lines, whatever stands for its text on the following ones included.

    :ivar index: where in the log its name stands
    :ivar frames: the lines of its traceback
    :ivar survived: the process went on afterwards
    :ivar final: an uncaught traceback of a program's outermost frame, after which nothing of it can follow
    """

    kind: str
    text: str
    lines: tuple[str, ...]
    wrapper: bool = False
    index: int = 0
    begin: int = 0
    frames: tuple[str, ...] = ()
    survived: bool = False
    final: bool = False
    process: str = ""

    @property
    def raised_in(self) -> str:
        """The file of the last frame of its traceback."""
        return next((frame for frame in reversed(self.frames) if frame.startswith("File ")), "")

    @property
    def words(self) -> str:
        """What rules look at: name, text and the lines that follow."""
        return "\n".join([f"{self.kind}: {self.text}", *self.lines])[:_MOST]


def parse(raw: Iterable[str]) -> list[Line]:
    """Log lines without prefixes, control characters, carriage returns and blank lines."""
    return [line_of(text) for _service, text in bare(raw)]


def line_of(text: str) -> Line:
    """One bare line with the prefixes that vLLM, Ray and torch write taken off."""
    process = level = file = time = place = ""
    for _layer in range(4):  # Ray puts its own around vLLM's
        found = _PROCESS.match(text)
        if found:
            name = found["name"] or found["bare"] or found["rank"] or ""
            pid = found["pid"]
            process = f"{name}#{pid}{'@' + found['ip'] if found['ip'] else ''}" if pid else name or process
            text = _REPEATED.sub("", text[found.end() :])
            continue
        found = None if level else _LEVEL.match(text)
        if found is None:
            break
        level, time = found["level"], found["time"] or ""
        file, place = found["file"].rsplit("/", 1)[-1], f"{found['file']}:{found['line']}"
        text = text[found.end() :]
    return Line(text.expandtabs(4).rstrip(), process, level, file, time, place)


def version(lines: Sequence[Line]) -> str | None:
    """The release that the log names."""
    for line in lines:
        if "ersion" in line.text or "LLM engine (v" in line.text:
            found = _VERSION.search(line.text)
            if found:
                return found["version"]
    return None


def starts(lines: Sequence[Line]) -> list[int]:
    """Where each start of the server begins, the first at 0.

    A banner begins one when something stands before it that only a running server, or the end of one, says, and
    says it earlier: a log that joins stderr and stdout holds the end above the beginning, with later times.
    """
    found = [0]
    seen = last = ""
    in_banner = known = False
    for index, line in enumerate(lines):
        if _BANNER.search(line.text) and not line.process.lower().startswith("apiserver_"):
            # Without a banner before it only a later time proves that something ended before this one began.
            proved = bool(last) and last < line.time if not known else not (last and line.time) or last <= line.time
            if seen and not in_banner and proved:
                begin = _with_its_imports(lines, index, found[-1])
                if begin > found[-1]:
                    found.append(begin)
                seen = last = ""
            in_banner = known = True
            continue
        if in_banner and (line.file in {"utils.py", "api_utils.py", "api_server.py"} or not line.text.strip()):
            continue
        in_banner = False
        if _RUNNING.search(line.text) or _TRACEBACK.match(line.text) or _ARGPARSE.match(line.text):
            seen = "yes"
            last = line.time or last
    return found


def _with_its_imports(lines: Sequence[Line], index: int, floor: int) -> int:
    """The first of the lines that imports and the logo write above a banner."""
    while index - 1 > floor:
        before = lines[index - 1]
        logo = not re.search(r"[A-Za-z]{3}", before.text) and "▄" in before.text + "▄" and "█" in before.text
        imports = re.search(
            r"torch/_library|Automatically detected platform|Available plugins|importing\.py", before.text
        )
        if not (logo or imports or before.file in {"api_utils.py", "importing.py"}):
            break
        index -= 1
    return index


def chains(lines: Sequence[Line]) -> list[list[Fault]]:
    """Faults in order of appearance, those that one handled out of another together, cause first."""
    streams: dict[tuple[str, str, str], list[int]] = {}
    for index, line in enumerate(lines):
        if line.level not in {"INFO", "DEBUG"}:
            streams.setdefault(line.stream, []).append(index)
    last_info: dict[str, int] = {}
    for index, line in enumerate(lines):
        if line.level == "INFO" and not GOING.search(line.text):
            last_info[line.process] = index
    found: list[list[Fault]] = []
    for (_process, level, _place), indexes in streams.items():
        if level != "WARNING":
            found += _of_stream(lines, indexes, last_info)
    found.sort(key=lambda chain: chain[0].index)
    return found


#: What a process says while it goes down is no sign that it survived.
GOING = re.compile(r"\[shutdown\]|[Ss]hutting down|[Ss]topping|Finished server|Terminating|terminat|Waiting for|clean")
_OUTERMOST = re.compile(
    r"File \"[^\"]*/bin/(?:vllm|python\S*)\"|File \"<frozen runpy>\"|File \"<string>\", line 1|in <module>|runpy\.py"
)


def _of_stream(lines: Sequence[Line], indexes: Sequence[int], last_info: dict[str, int]) -> list[list[Fault]]:
    found: list[list[Fault]] = []
    chained = False
    position = 0
    while position < len(indexes):
        text = _GROUP.sub("", lines[indexes[position]].text)
        if text.strip().startswith(_CHAIN):
            chained = True
            position += 1
            continue
        fault, position = _read(lines, indexes, position, last_info)
        if fault is None:
            continue
        if chained and found:
            found[-1].append(fault)
        else:
            found.append([fault])
        chained = False
    return found


def _read(
    lines: Sequence[Line], indexes: Sequence[int], position: int, last_info: dict[str, int]
) -> tuple[Fault | None, int]:
    """The fault that begins at ``position``, if one does, and where to read on."""
    first = lines[indexes[position]]
    text = _GROUP.sub("", first.text)
    if NOISE.search(text):
        return None, position + 1
    for pattern, kind in ((_ARGPARSE, "argparse"), (_DAEMON, "engine")):
        match = pattern.search(text)
        if match and not (kind == "argparse" and first.level):
            at = indexes[position]
            more, position = _continuation(lines, indexes, position + 1) if kind == "engine" else ([], position + 1)
            return Fault(kind, match["text"], (text.strip(), *more), index=at, begin=at, final=True), position
    begin, frames, match = position, [], None
    if _TRACEBACK.match(text):
        position += 1
        while position < len(indexes):
            text = _GROUP.sub("", lines[indexes[position]].text)
            if not text.startswith((" ", "\t")) and text and not set(text) <= set("^~ "):
                break
            frames.append(text.strip())
            position += 1
        if position >= len(indexes):
            return None, position  # cut off before it says what it is
        match = _HEAD.match(text)
        if match is None:
            return None, position
    elif not text.startswith((" ", "\t")):
        match = _EXCEPTION.match(text)
    if match is None:
        return None, position + 1
    at = indexes[position]
    kind, words = match["type"], (match["text"] or "").strip()
    more, position = _continuation(lines, indexes, position + 1)
    own = [text.strip(), *more]
    if kind.endswith("ValidationError") and "validation error" in words:
        words, own = _validation(own)
    line = lines[at]
    survived = bool(line.level) and line.file not in FATAL_FILES and last_info.get(line.process, -1) > at
    return (
        Fault(
            kind.rsplit(".", 1)[-1] if "(" not in kind else kind,
            words,
            tuple(own),
            bool(WRAPPERS.search(text)) and not (kind.endswith("ConnectionResetError") and "requests" in text),
            at,
            indexes[begin],
            tuple(frames),
            survived,
            not line.level and bool(frames and _OUTERMOST.search(" ".join(frames[:2]))),
            line.process,
        ),
        position,
    )


def _continuation(lines: Sequence[Line], indexes: Sequence[int], position: int) -> tuple[list[str], int]:
    """The further lines of an exception's text: those of its stream until something else begins."""
    found: list[str] = []
    while position < len(indexes) and len(found) < 14:
        text = _GROUP.sub("", lines[indexes[position]].text)
        if "For further information visit" in text:  # pydantic, after each of its errors
            position += 1
            continue
        # Raw lines of unknown origin belong together only while nothing stands between them.
        apart = indexes[position] - indexes[position - 1] > 1 and not lines[indexes[position]].process
        if (
            apart
            or _TRACEBACK.match(text)
            or text.strip().startswith(_CHAIN)
            or _EXCEPTION.match(text)
            or NOISE.search(text)
            or _ARGPARSE.match(text)
            or _HELP.match(text)
        ):
            break
        found.append(text.strip())
        position += 1
    return found, position


_DECORATION = re.compile(r"^(?:Value error|Assertion failed), |\s*\[type=.*")


def _validation(own: list[str]) -> tuple[str, list[str]]:
    """pydantic writes the cause below: a field's name, then the text, then an address; possibly several times."""
    details = [item for item in own[1:] if "For further information" not in item]
    cleaned = [_DECORATION.sub("", item).strip() for item in details]
    cleaned = [item for item in cleaned if item]
    words = ": ".join(cleaned) if len(cleaned) == 2 else " ".join(cleaned)
    title = re.search(r"validation errors? for (\S+)", own[0])
    return (f"[{title[1]}] {words}" if title else words), own


def first_chain(lines: Sequence[Line]) -> list[Fault]:
    """The chain of the first fault that is no wrapper around another process's; wrappers if there is nothing else."""
    every = chains(lines)
    for chain in every:
        true = [fault for fault in chain if not fault.wrapper and not fault.survived]
        if true:
            return true
    return every[0] if every else []
