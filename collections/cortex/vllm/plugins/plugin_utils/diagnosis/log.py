# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Reading a vLLM log: lines with their process, and where each start of the server begins."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from .prefixes import bare

#: ``(Worker_TP0 pid=83)``, ``(VllmWorker rank=1 pid=83)``, ``(RayWorkerWrapper pid=83, ip=10.0.0.2)``, ``[rank0]:``
#: (vllm/logging_utils/formatter.py and vllm/utils decorate_logs; ray; torch's hook for uncaught exceptions).
_PROCESS = re.compile(
    r"^(?:\((?P<name>[A-Za-z_]\w*(?:[-_. ]\w+)*?)?(?:[ ,]*(?:rank|dp|tp|pp|ep)=\d+)*,?"
    r"\s*pid=(?P<pid>\d+)(?:, ip=(?P<ip>[\d.a-f:]+))?\)"
    r"|\((?P<bare>(?:APIServer|ApiServer|EngineCore|VllmWorker|Worker|DPCoordinator|raylet|autoscaler)[\w-]*)\)"
    r"|\[(?P<rank>(?:rank ?|default)\d+)\]:?)\s?"
)
#: ``ERROR 11-22 11:50:13 [core.py:12] text``; 0.6: ``ERROR 11-22 11:50:13 core.py:12] text``; 0.11 with debug:
#: ``[v1/engine/core.py:12]``; Ray: ``INFO worker.py:1841 -- text``.
_LEVEL = re.compile(
    r"^(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL) (?:(?P<time>\d\d-\d\d \d\d:\d\d(?::\d\d)?)(?:[.,]\d+)? )?"
    r"(?:\S* )?\[?(?:\.\.\.)?(?P<file>[\w./-]+\.py):(?P<line>\d+)(?:\]| --) ?"
)
#: Whoever carries a log may write anything before a line; where vLLM's own begins shows by this (0.6 … 0.33).
_CORE = re.compile(
    r"\(\w[\w-]*(?: \w+=\d+)* pid=\d+\) "
    r"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d(?::\d\d)? \[?\S+\.py:\d+\]"
)
#: Carriers' own prefixes are short, and no words of a sentence.
_CARRIER = re.compile(r"^[\s|>]*(?:[\[\]\w.:/@|>()+-]+[\s|>]+){1,7}$|^[\s|>]+$")
_REPEATED = re.compile(r" *\[repeated \d+x across (?:the )?cluster\].*$")
TRACEBACK = re.compile(r"^(?:Exception Group )?Traceback \(most recent call last\)")
ARGPARSE = re.compile(r"^(?!slurmstepd|srun)[\w./ -]+: error: (?P<text>.+)$")
#: Lines of every healthy log that look like errors or say nothing (recorded with 0.32; sources of 0.6 … 0.33).
NOISE = re.compile(
    r"Found ulimit of|get_mempolicy|set_mempolicy|numa_\w+ failed|Triton is not|libtcmalloc|libiomp|FutureWarning"
    r"|torch/_library/triton\.py|resource_tracker|\"(?:GET|POST|PUT|HEAD|OPTIONS|DELETE) \S* HTTP|Route: /"
    r"|For further information visit|DeprecationWarning|Error saving model info cache|UserWarning"
    r"|leaked (?:semaphore|shared_memory)|destroy_process_group\(\) was not called|ImportWarning|SyntaxWarning"
    r"|NVLink detection failed|NCCL INFO|Error ignored in is_in_the_same_node"
    r"|Error retrieving (?:file list|safetensors)|sending unauthenticated requests to the HF Hub"
)
#: A start of the server says this once (vllm/entrypoints: api_server.py, utils.py, api_utils.py).
#: Beside the logo; NCCL and others end lines with a version, too.
_RELEASE = r"(?:^|\s\s|█\s)version \d+\.\d+\.\S*$"
_BANNER = re.compile(rf"vLLM API server version|{_RELEASE}|non-default args:")
#: Only a server that is past its banner says this.
_RUNNING = re.compile(
    r"Application startup complete|Engine core initialization failed|EngineCore|Initializing an? .*LLM engine"
    r"|Shutting down|Finished server process|Loading weights took|checkpoint shards|Engine \d\d\d: Avg|HTTP/1\.\d\" \d"
)
_VERSION = re.compile(
    r"(?:vLLM API server version|(?:^|\s\s|█\s)version|LLM engine \(v|vLLM version)\s*v?(?P<version>\d+\.\d+\.\d+\w*)"
)
READY = re.compile(r"Application startup complete|Uvicorn running on")
#: A log of which only the end is there shows it by requests, the errors of requests, and statistics.
SERVING = re.compile(
    r"HTTP/1\.\d\" (?:200|201|204|4\d\d)\b|Avg (?:prompt|generation) throughput|Received request \w+-|Added request"
    r"|^Error in (?:preprocessing prompt inputs|[\w ]*stream (?:generator|converter)|create_messages|extracting tool)"
    r"|^Error trying to handle streaming tool call|Exception in ASGI application$"
    r"|^\s*File \"[^\"]+\", line \d+, in run_asgi$"
)


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


def parse(raw: Iterable[str]) -> list[Line]:
    """Log lines without prefixes, control characters, carriage returns and blank lines."""
    return [line_of(text) for _service, text in bare(raw)]


def line_of(text: str) -> Line:
    """One bare line with the prefixes that vLLM, Ray and torch write taken off."""
    process = level = file = time = place = ""
    core = None if text[:1] in "(" else _CORE.search(text[:160])
    if core and core.start() and _CARRIER.match(text[: core.start()]):
        text = text[core.start() :]
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
        if _RUNNING.search(line.text) or TRACEBACK.match(line.text) or ARGPARSE.match(line.text):
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
