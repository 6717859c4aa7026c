# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Reading a vLLM log: prefixes off, noise out, the first true error through the wrappers around it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

#: ``(Worker pid=83) ERROR 11-22 11:50:13 [file.py:12] text`` (vllm/logging_utils/formatter.py, decorate_logs).
_PREFIX = re.compile(
    r"^(?:\((?P<process>[A-Za-z]\w*(?:[-_]\w+)*)(?: pid=\d+)?\)\s?)?"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (?:\.\.\.)?\[(?P<file>[^\]:]+):\d+\] ?)?"
)
_EXCEPTION = re.compile(
    r"^(?P<type>(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Failure|Timeout|Killed|Interrupt|Exit)|Exception))"
    r"(?:: ?(?P<text>.*))?$"
)
_ARGPARSE = re.compile(r"^[\w./ -]+: error: (?P<text>.+)$")
_DAEMON = re.compile(r"Error response from daemon: (?P<text>.+)$")
_CHAIN = ("During handling of the above exception", "The above exception was the direct cause")
#: Errors that only say that another process failed (v1/engine/utils.py, v1/executor/multiproc_executor.py).
_WRAPPERS = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|Worker failed with error|Worker proc \S+ died"
    r"|EngineDeadError|EngineCore encountered an issue|Engine process failed to start|see root cause above",
    re.IGNORECASE,
)
#: Lines of every healthy log that look like errors or say nothing (recorded with 0.32).
NOISE = re.compile(
    r"Found ulimit of|get_mempolicy|set_mempolicy|numa_\w+ failed|Triton is not|libtcmalloc|libiomp|FutureWarning"
    r"|torch/_library/triton\.py|resource_tracker|\"(?:GET|POST) /\S* HTTP|Route: /|For further information visit"
    r"|DeprecationWarning|Error saving model info cache"
)
#: Files whose ERROR lines end a process; ERROR lines of others are often survived.
_FATAL_FILES = frozenset(
    {"core.py", "multiproc_executor.py", "gpu_worker.py", "cpu_worker.py", "async_llm.py", "engine.py"}
)


@dataclasses.dataclass(frozen=True)
class Line:
    """A log line without its prefix."""

    text: str
    process: str = ""
    level: str = ""
    file: str = ""


@dataclasses.dataclass(frozen=True)
class Fault:
    """An exception as the log shows it: its own lines, whatever stands for its text on the following ones included."""

    kind: str
    text: str
    lines: tuple[str, ...]
    wrapper: bool = False


def parse(raw: Iterable[str]) -> list[Line]:
    """Log lines without prefixes, control characters, carriage returns and blank lines."""
    found = []
    for item in raw:
        for part in re.split(r"[\r\n]+", item):
            match = _PREFIX.match(part)
            if match is None:  # cannot be: every part of the pattern may be empty
                continue
            text = "".join(char for char in part[match.end() :].expandtabs(4) if char.isprintable())
            if text.strip():
                found.append(Line(text.rstrip(), match["process"] or "", match["level"] or "", match["file"] or ""))
    return found


def chains(lines: list[Line]) -> list[list[Fault]]:
    """Faults in order of appearance, those that one handled out of another together, cause first."""
    found: list[list[Fault]] = []
    chained = False
    for index, line in enumerate(lines):
        if line.text.strip().startswith(_CHAIN):
            chained = True
            continue
        fault = _fault(lines, index)
        if fault is None:
            continue
        if line.level and line.level not in {"ERROR", "CRITICAL"}:
            continue
        if (
            line.level
            and line.file not in _FATAL_FILES
            and any(item.level == "INFO" and item.process == line.process for item in lines[index:])
        ):
            continue  # logged, survived
        if chained and found:
            found[-1].append(fault)
        else:
            found.append([fault])
        chained = False
    return found


def first_chain(lines: list[Line]) -> list[Fault]:
    """The chain of the first fault that is no wrapper around another process's; wrappers if there is nothing else."""
    every = chains(lines)
    for chain in every:
        true = [fault for fault in chain if not fault.wrapper]
        if true:
            return true
    return every[0] if every else []


def _fault(lines: list[Line], index: int) -> Fault | None:
    text = lines[index].text
    if NOISE.search(text):
        return None
    for pattern, kind in ((_ARGPARSE, "argparse"), (_DAEMON, "engine")):
        match = pattern.search(text)
        if match:
            return Fault(kind, match["text"], (text.strip(),))
    match = _EXCEPTION.match(text.strip()) if not text.startswith((" ", "\t")) else None
    if not match:
        return None
    kind, words = match["type"], (match["text"] or "").strip()
    own = [text.strip()]
    if kind.endswith("ValidationError") and "validation error" in words:
        # pydantic writes the cause on the lines below: a field's name, then the text, then an address.
        details: list[str] = []
        for follower in lines[index + 1 : index + 12]:
            if follower.process != lines[index].process or "For further information" in follower.text:
                if details:
                    break
                continue
            details.append(follower.text.strip())
        cleaned = [re.sub(r"\s*\[type=.*", "", item).removeprefix("Value error, ").strip() for item in details]
        words = (
            ": ".join(item for item in cleaned if item)
            if len(cleaned) == 2
            else " ".join(item for item in cleaned if item)
        )
        own += details
    return Fault(kind.rsplit(".", 1)[-1], words, tuple(own), bool(_WRAPPERS.search(text)))
