# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Logs from files and texts of any size, in bounded memory: what a diagnosis needs of them, and nothing else.

Kept are the head of a start, what follows its first error, and the end; of requests and statistics only the last ones.
A hundred megabytes of access log take about a second and a few megabytes of memory.
"""

from __future__ import annotations

import collections
import dataclasses
import gzip
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import IO, Any

from ..findings import Finding
from . import exits
from .prefixes import LONGEST, bare
from .verdict import UNKNOWN, Diagnosis

#: Lines kept of one start: at its head, after its first error, at its end.
HEAD, ERROR, TAIL = 3000, 3000, 6000
#: Lines kept of all starts before the last one.
EARLIER = 3000
#: Requests and statistics kept, the last ones.
ROUTINE = 40
#: Bytes read at once, and bytes that one line may have.
BLOCK, WIDEST_LINE = 1 << 20, 1 << 22

_ERROR = re.compile(rb"Traceback \(most|ERROR|Error|error:|CRITICAL|FATAL|fatal|NCCL WARN")
_BANNER = re.compile(rb"vLLM API server version|(?:\s\s|\x88\s)version \d+\.\d+\.\S+\s*$|non-default args:")


@dataclasses.dataclass(frozen=True)
class Log:
    """What was kept of a log.

    :ivar lines: the kept lines, in their order
    :ivar total: how many lines there were
    :ivar problem: why there is nothing to judge, if so
    """

    lines: list[str]
    total: int = 0
    problem: Finding | None = None


class _Keeper:
    """Takes lines one by one and keeps those that matter."""

    def __init__(self) -> None:
        self.total = 0
        self.earlier: list[tuple[int, bytes]] = []
        self.routine: collections.deque[tuple[int, bytes]] = collections.deque(maxlen=ROUTINE)
        self._begin()

    def _begin(self) -> None:
        self.head: list[tuple[int, bytes]] = []
        self.error: list[tuple[int, bytes]] = []
        self.tail: collections.deque[tuple[int, bytes]] = collections.deque(maxlen=TAIL)

    def feed(self, line: bytes) -> None:
        self.total += 1
        if not line or line == b"\r":
            return
        item = (self.total, line)
        if b" HTTP/1." in line or b"Avg prompt throughput" in line:
            self.routine.append(item)
            return
        if len(self.head) >= HEAD or (self.total > HEAD and self.tail):
            if _BANNER.search(line[-400:]) and (self.error or self.tail):
                self._next_start()
            elif self.error or _ERROR.search(line):
                if len(self.error) < ERROR:
                    self.error.append(item)
                    return
        if len(self.head) < HEAD:
            self.head.append(item)
        else:
            self.tail.append(item)

    def _next_start(self) -> None:
        """A new start begins in a long log: the ones before are kept by their last lines."""
        whole = [*self.earlier, *self.head, *self.error, *self.tail]
        self.earlier = sorted(whole)[-EARLIER:]
        self._begin()

    def lines(self) -> list[bytes]:
        kept = {*self.earlier, *self.head, *self.error, *self.tail, *self.routine}
        return [line for _number, line in sorted(kept)]


def of_file(path: str) -> Log:
    """What matters of a file, plain or compressed with gzip; never raises for what a file may be."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not stat.S_ISFIFO(os.stat(path).st_mode):
            return _unreadable(path, "is no file", "Name a file that holds a log.")
        with open(path, "rb") as handle:
            begin = handle.read(8192)
            handle.seek(0)
            if not begin:
                text = f"{path} is empty"
                return Log([], 0, Finding("log.empty", "warning", text, fix="Give the log of the server."))
            if begin.startswith(b"\x1f\x8b"):
                with gzip.open(handle) as inner:
                    return _of_lines(_split(inner))
            encoding = _wide(begin)
            if encoding is None and _is_binary(begin):
                fix = "Name the log itself, as text or compressed with gzip."
                return Log([], 0, Finding("log.binary", "error", f"{path} holds no text", fix=fix))
            return _of_lines(_split(handle, encoding))
    except FileNotFoundError:
        return _unreadable(
            path, "is not there", "Files are looked up on the controller; `container` looks at the host."
        )
    except (OSError, EOFError, ValueError) as problem:
        said = getattr(problem, "strerror", None) or str(problem)
        return _unreadable(path, f"cannot be read: {said}", "Correct its permissions, or give another file.")


def of_text(text: str) -> Log:
    """What matters of a text."""
    if not text.strip():
        return Log([], 0, Finding("log.empty", "warning", "the text is empty", fix="Give the log of the server."))
    return _of_lines(line.encode("utf-8", "replace") for line in text.split("\n"))


def of_nothing(problem: Finding, how: exits.Exit | None) -> Diagnosis | None:
    """The verdict when there is no log to judge and no exit state either."""
    if how is not None:
        return None
    return Diagnosis([problem], [], False, UNKNOWN, explanation="Without a log and an exit state nothing can be said.")


def _unreadable(path: str, what: str, fix: str) -> Log:
    return Log([], 0, Finding("log.unreadable", "error", f"{path} {what}", fix=fix))


def _is_binary(begin: bytes) -> bool:
    """Whether a fifth of it is no text: a log in another encoding than UTF-8 has far less that looks odd."""
    text = begin.decode("utf-8", "replace")
    odd = sum(char == "\ufffd" or (char < " " and char not in "\t\n\r\x08\x1b") for char in text)
    return odd > len(text) // 5


def _wide(begin: bytes) -> str | None:
    """UTF-16, as PowerShell's redirection writes it."""
    return "utf-16" if begin.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _split(handle: IO[bytes] | Any, encoding: str | None = None) -> Iterator[bytes]:
    if encoding:
        import codecs

        reader = codecs.getreader(encoding)(handle, "replace")
        for text in iter(lambda: reader.read(BLOCK), ""):
            yield from (line.encode("utf-8", "replace") for line in text.split("\n"))
        return
    rest = b""
    while block := handle.read(BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if len(rest) > WIDEST_LINE:  # one line without an end, or a progress bar that never breaks
            rest = rest[:LONGEST] + b"\n" + rest[-WIDEST_LINE // 2 :]
    if rest:
        yield rest


def of_lines(lines: Iterable[str]) -> list[str]:
    """What matters of many lines at hand."""
    return _of_lines(line.encode("utf-8", "replace") for line in lines).lines


def _of_lines(lines: Iterable[bytes]) -> Log:
    keeper = _Keeper()
    for line in lines:
        if len(line) <= LONGEST * 2:
            keeper.feed(line)
            continue
        if b"\r" in line:  # of a progress bar the last states
            keeper.feed(line[-LONGEST:])
            continue
        parts = [text for _service, text in bare([line.decode("utf-8", "replace")])]
        if len(parts) < 3:
            keeper.feed(line[: LONGEST * 2])
        else:  # a whole log that came as one line
            for part in parts:
                keeper.feed(part.encode("utf-8", "replace"))
    return Log([line.decode("utf-8", "replace") for line in keeper.lines()], keeper.total)
