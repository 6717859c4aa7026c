# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Finding the exceptions of a log, with what they grew out of, in whatever process and between whatever other lines."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from .log import ARGPARSE, NOISE, TRACEBACK, Line

_GROUP = re.compile(r"^\s*(?:\+-+\s?(?:\d+ -+)?|\|\s{0,2})+(?=\S|\s{2}|$)")
_NAME = r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:\(\w+\))?"
#: After a traceback whatever begins in the first column is the exception, whatever its name.
_HEAD = re.compile(rf"^(?P<type>{_NAME})(?:: ?(?P<text>.*))?$")
#: Without one only what is named like an exception counts.
_EXCEPTION = re.compile(
    r"^(?P<type>(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Failure|Timeout|Killed|Interrupt|Failed|OutOfResources)"
    r"(?:\(\w+\))?|Exception|NVMLError_\w+|SystemExit))(?:: ?(?P<text>.*))?$"
)
#: docker, podman and compose: what the engine itself says.
_DAEMON = re.compile(
    r"(?:Error response from daemon:? ?|Cannot start service \S+: |docker: (?!Error response)"
    r"|(?:^|(?<=[\s>|-]))Error: (?=OCI runtime error|crun|runc|creating|unable to|setting up CDI|statfs |short-name "
    r"|initializing source|preparing container|netavark|rootlessport|mounting |[^\n]*(?:OCI |container-runtime: ))"
    r"|^ERRO\[\d+\] (?=[^\n]*(?:OCI |sd-bus|cgroup))|^ERROR (?=\(catatonit)"
    r"|(?=nvidia-container-cli: ))(?P<text>.+)$"
)
_HELP = re.compile(r"(?:Run|See) 'docker")
#: What C++ writes of an exception that nobody caught, and the line after it.
_TERMINATED = re.compile(r"^terminate called after throwing an instance of '(?:\w+::)*(?P<type>\w+)'")
_WHAT = re.compile(r"^\s*what\(\):\s*(?P<text>.+)")
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
#: Characters of an exception that rules look at.
_MOST = 6000


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
GOING = re.compile(
    r"\[shutdown\]|[Ss]hutting down|[Ss]topping|Finished server|Terminating|Killing|terminat|Waiting for|clean"
)
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
    for pattern, kind in ((ARGPARSE, "argparse"), (_DAEMON, "engine")):
        match = pattern.search(text)
        if match and not (kind == "argparse" and first.level):
            at = indexes[position]
            more, position = _continuation(lines, indexes, position + 1) if kind == "engine" else ([], position + 1)
            return Fault(kind, match["text"], (text.strip(), *more), index=at, begin=at, final=True), position
    if (thrown := _TERMINATED.match(text)) and position + 1 < len(indexes):
        what = _WHAT.match(lines[indexes[position + 1]].text)
        if what:
            at = indexes[position]
            more, position = _continuation(lines, indexes, position + 2)
            said = what["text"].strip()
            end = Fault(thrown["type"], said, (said, *more), index=at, begin=at, final=True, process=first.process)
            return end, position
    begin, frames, match = position, [], None
    if TRACEBACK.match(text):
        position += 1
        stripped = position < len(indexes) and lines[indexes[position]].text.startswith('File "')
        while position < len(indexes):
            text = _GROUP.sub("", lines[indexes[position]].text)
            if stripped:  # somebody's editor took the indentation off
                if _EXCEPTION.match(text) or TRACEBACK.match(text) or text.startswith(_CHAIN):
                    break
            elif not text.startswith((" ", "\t")) and text and not set(text) <= set("^~ "):
                break
            frames.append(text.strip())
            position += 1
        if position >= len(indexes):  # cut off before it says what it is
            return _announced(lines, indexes, begin, frames) or _cut(lines, indexes, begin, frames), position
        match = _HEAD.match(text)
        if match is None:
            return None, position
    elif not text.startswith((" ", "\t")) or _below_frames(lines, indexes, position):
        text = text.strip()
        match = _EXCEPTION.match(text) or (_HEAD.match(text) if _ends_frames(lines, indexes, position) else None)
        if match is None and (found := _CONFIG.match(text)):
            match = _HEAD.match(f"ValidationError: {found['text']}")
            text = found["text"]
        if match is None and (said := _IN_A_WORKER.match(text)):  # the message stands before its traceback
            return _announced(lines, indexes, position + 1, [], said["text"]), position + 1
        while match and begin and lines[indexes[begin - 1]].text.startswith("  ") and position - begin < 60:
            begin -= 1  # a log of which only the end is there may begin within a traceback
        if match and begin == position:
            begin = _flat_frames(lines, indexes, position)
        frames = [lines[indexes[item]].text.strip() for item in range(begin, position)]
        begin = position
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
            _is_wrapper(kind, text, frames),
            at,
            indexes[begin],
            tuple(frames),
            survived,
            not line.level and bool(frames and _OUTERMOST.search(" ".join(frames[:2]))),
            line.process,
        ),
        position,
    )


def _flat_frames(lines: Sequence[Line], indexes: Sequence[int], position: int) -> int:
    """Where the frames above begin, of a traceback whose indentation somebody's editor took off."""
    begin, named = position, position
    while begin > 0 and position - begin < 60:
        text = lines[indexes[begin - 1]].text
        if text.startswith('File "'):
            named = begin - 1
        elif not (text and set(text) <= set("^~ ")) and not (
            begin > 1 and lines[indexes[begin - 2]].text.startswith('File "')
        ):
            break
        begin -= 1
    return named


def _ends_frames(lines: Sequence[Line], indexes: Sequence[int], position: int) -> bool:
    """Whether what stands above are frames whose traceback's first line is missing: then any name is an exception's."""
    above = [lines[index].text for index in indexes[max(0, position - 4) : position]]
    named = re.match(r"(?:[a-z_]\w*\.)*[A-Z]\w+: ", lines[indexes[position]].text)
    return bool(named and above and above[-1].startswith("    ") and any(text.startswith('  File "') for text in above))


#: A lost connection that says something itself: to a store of KV blocks, not to another process of the server.
_OF_A_STORE = re.compile(r"lmcache/|/kv_transfer/|mooncake|/redis/")
#: The client of V0's engine closes its sockets when the engine failed, and its loops then say so.
_AFTERWARDS = re.compile(r"in run_(?:output_handler|heartbeat)_loop")


def _is_wrapper(kind: str, text: str, frames: Sequence[str]) -> bool:
    """Whether an exception says only that something else failed."""
    if kind.endswith("ConnectionResetError") and ("requests" in text or any(map(_OF_A_STORE.search, frames))):
        return False
    return bool(WRAPPERS.search(text)) or (kind.endswith("ZMQError") and any(map(_AFTERWARDS.search, frames)))


def _below_frames(lines: Sequence[Line], indexes: Sequence[int], position: int) -> bool:
    """Whether this indented line ends a traceback that is quoted within another text: its frames stand deeper."""
    text = lines[indexes[position]].text
    if position == 0 or not _EXCEPTION.match(text.strip()):
        return False
    depth = len(text) - len(text.lstrip())
    above = [lines[index].text for index in indexes[max(0, position - 4) : position]]
    deeper = all(len(item) - len(item.lstrip()) > depth for item in above[-2:])
    return deeper and any(item.lstrip().startswith('File "') for item in above)


#: V0's workers log the message first (executor/multiproc_worker_utils.py).
_IN_A_WORKER = re.compile(
    r"^(?:Exception in worker \S+ while processing method \w+: )(?P<text>.+?),? Traceback \(most recent call last\):$"
)


#: What a program of its own logged of a configuration that vLLM refused.
_CONFIG = re.compile(r"(?:.*: )?(?P<text>\d+ validation errors? for \w+(?:Config|Args))$")


def _cut(lines: Sequence[Line], indexes: Sequence[int], begin: int, frames: Sequence[str]) -> Fault | None:
    """That a program ends, by its outermost frames, when the log ends before it says why."""
    first = lines[indexes[begin]]
    if first.level or not _OUTERMOST.search(" ".join(frames[:2])):
        return None
    at = indexes[begin]
    return Fault("", "", (first.text.strip(),), True, at, at, tuple(frames), final=True, process=first.process)


def _announced(
    lines: Sequence[Line], indexes: Sequence[int], begin: int, frames: Sequence[str], text: str = ""
) -> Fault | None:
    """What ``logger.exception`` wrote before a traceback, when the traceback itself is cut off."""
    line = lines[indexes[begin - 1]] if begin else None
    if line is None or line.level != "ERROR" or line.file not in FATAL_FILES:
        return None
    text = text or line.text.strip()
    if WRAPPERS.search(text) or NOISE.search(text) or " failed to start" in text or text.startswith("File "):
        return None
    at = indexes[begin - 1]
    return Fault("Error", text, (text,), index=at, begin=at, frames=tuple(frames), process=line.process)


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
            or TRACEBACK.match(text)
            or text.strip().startswith(_CHAIN)
            or _EXCEPTION.match(text)
            or NOISE.search(text)
            or ARGPARSE.match(text)
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


#: What a logged traceback is made of, and marks around it.
_OF_TRACEBACK = re.compile(r"Traceback|File \"|\s|[\^~]+$|$|Exception Group|The above exception|During handling|raise ")
#: What stands above a traceback, and says nothing itself.
_ANNOUNCES = re.compile(
    r"failed to start|encountered a fatal error|hit an exception|handler failed|Error executing method"
    r"|died unexpectedly|^\d+$|Exception in worker|(?:is|already) dead|Dumping|exit code|fatal signal|Unhandled error"
)


def logged(lines: Sequence[Line], begin: int = 0) -> list[Fault]:
    """Errors that a process logged before it ended, without an exception: all that some logs have."""
    found: list[Fault] = []
    for index, line in enumerate(lines[begin:], begin):
        if line.level not in {"ERROR", "CRITICAL"} or line.file not in FATAL_FILES or NOISE.search(line.text):
            continue
        text = line.text.strip()
        if _OF_TRACEBACK.match(line.text) or WRAPPERS.search(text) or _ANNOUNCES.search(text):
            continue
        if found and found[-1].process == line.process and index - found[-1].index == len(found[-1].lines):
            found[-1] = dataclasses.replace(found[-1], lines=(*found[-1].lines, text)[:14])
        else:
            found.append(Fault("Error", text, (text,), index=index, begin=index, process=line.process))
    return found
