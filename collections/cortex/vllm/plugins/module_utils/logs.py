# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The log of a container as it comes: its last lines, and the phases that they tell of."""

from __future__ import annotations

import collections
import re
import threading
import time

LOG_LINES = 400
LINE_LENGTH = 4000
# An access line of uvicorn: somebody asked. It says nothing of progress.
ACCESS = re.compile(r'"(?:GET|POST|HEAD) /\S* HTTP/')


def sortable(stamp):
    """RFC 3339 times in UTC with any number of fraction digits, made comparable as text."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z", stamp)
    return "{0}.{1:0<9}".format(match.group(1), match.group(2) or "") if match else ""


def epoch(stamp):
    """Whole seconds since the epoch of such a time; 0 when it is none."""
    try:
        import calendar

        return calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0


class Phases:
    """Turns log lines into phases by the rules of the request: ``{phase, pattern, percent}``."""

    def __init__(self, rules):
        """Raises `ValueError` naming a rule that is no regular expression."""
        self.phase = self.percent = self.text = None
        self.marks = []  # (phase, monotonic time at which it began)
        self._rules = []
        # Phases are in the order in which the rules first name them, and a start only goes forward: vLLM's worker
        # repeats lines of earlier phases.
        self._order = {}
        for rule in rules or []:
            try:
                self._rules.append((rule["phase"], re.compile(rule["pattern"]), rule.get("percent")))
                self._order.setdefault(rule["phase"], len(self._order))
            except (re.error, KeyError, TypeError) as exc:
                raise ValueError("phase rule {0!r}: {1}".format(rule, exc))

    def feed(self, line):
        """Take one line; returns ``{phase, percent, text}`` when the phase changed or another ten percent are done.

        The first rule that matches counts.
        """
        for phase, pattern, group in self._rules:
            if self.phase is not None and self._order[phase] < self._order[self.phase]:
                continue
            match = pattern.search(line)
            if not match:
                continue
            percent = None
            if group:
                try:
                    percent = max(0, min(100, int(float(match.group(group)))))
                except (IndexError, TypeError, ValueError):
                    percent = None
            same = phase == self.phase
            if same and (percent is None or (self.percent is not None and percent // 10 <= self.percent // 10)):
                return None
            if not same:
                self.marks.append((phase, time.monotonic()))
            self.phase, self.percent, self.text = phase, percent, line[:300]
            return {"phase": phase, "percent": percent, "text": self.text}
        return None

    @property
    def nearly_there(self):
        """Whether this is the last phase of all: the one in which a server begins to listen."""
        return self.phase is not None and self._order[self.phase] == len(self._order) - 1

    def durations(self, begin, end):
        """``{phase: seconds}`` in their order; ``starting`` is what passed before the log told the first one."""
        marks = [("starting", begin)] + [mark for mark in self.marks if mark[1] <= end]
        return {
            phase: round(following - at, 3)
            for (phase, at), (dummy, following) in zip(marks, marks[1:] + [("", end)])
            if following > at
        }


class LogReader(threading.Thread):
    """Reads a container's log as it comes: the last lines, and phases as they change.

    ``ended`` is set at the end of the stream, which is when the container has ended. ``emit(**phase)`` is called from
    this thread. Bytes that are no UTF-8 are replaced; carriage returns of progress bars count as line ends.
    """

    def __init__(self, engine, ident, since, rules, redact, emit, wake, follow=True, tail="all"):
        super().__init__(name="log", daemon=True)
        self.lines = collections.deque(maxlen=LOG_LINES)
        self.phases = Phases(rules)
        self.ended = threading.Event()
        self.moved = time.monotonic()  # when something was said that nobody asked for
        self._engine, self._container, self._since = engine, ident, since
        self._redact, self._emit, self._wake = redact, emit, wake
        self._follow, self._tail = follow, tail
        self._stream = None
        self._closing = False

    def run(self):
        try:
            stream = self._engine.logs(self._container, epoch(self._since), self._tail, self._follow)
            self._stream = stream
            rest = b""
            for chunk in [stream] if isinstance(stream, bytes) else stream:
                rest += chunk
                *whole, rest = rest.split(b"\n")
                for line in whole:
                    self._line(line)
            if rest:
                self._line(rest)
        except Exception as exc:  # the engine went away, or its log driver cannot be read
            if not self._closing:
                self.lines.append("(the log ends here: {0})".format(exc))
        self.ended.set()
        self._wake.set()

    def close(self):
        """Stop following; the thread ends soon after."""
        self._closing = True
        try:
            self._stream.close()
        except Exception:  # not begun, ended already or a stream that cannot be closed: the thread is a daemon
            pass
        self._engine.close()

    def _line(self, raw):
        stamp, dummy, raw = raw.partition(b" ")
        if self._since and sortable(stamp.decode("ascii", "replace")) < self._since:
            return  # of an earlier start in the same second
        for part in raw.replace(b"\r", b"\n").split(b"\n"):
            text = part.decode("utf-8", "replace").rstrip()
            if not text:
                continue
            text = self._redact(text)[:LINE_LENGTH]
            self.lines.append(text)
            if not ACCESS.search(text):
                self.moved = time.monotonic()
            change = self.phases.feed(text)
            if change and self._emit:
                self._emit(change)
