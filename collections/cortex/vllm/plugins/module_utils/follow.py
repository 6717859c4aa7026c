# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Follows a container from its start until it is ready, dead or out of time."""

from __future__ import annotations

import collections
import re
import threading
import time

from ansible_collections.cortex.vllm.plugins.module_utils import ours, probing
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError

LOG_LINES = 400
LINE_LENGTH = 4000
TICK = 0.2
# A container without a port is ready when it has lived this long.
LIFE = 2.0
# After a refused token: a dying engine takes up to its watchdog's period (5 s) to end the process.
DEATH_PATIENCE = 6.0
# How long a restarting engine is waited for.
ENGINE_PATIENCE = 90.0


def started_at(inspect):
    """The engine's own start time of a container as sortable text of nanoseconds, ``""`` before the first start."""
    return sortable((inspect.get("State") or {}).get("StartedAt") or "")


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


def exit_facts(inspect):
    """``{code, oom, error, seconds}`` of a container that has ended."""
    state = inspect.get("State") or {}
    begin, end = epoch(state.get("StartedAt") or ""), epoch(state.get("FinishedAt") or "")
    return {
        "code": state.get("ExitCode"),
        "oom": bool(state.get("OOMKilled")),
        "error": state.get("Error") or None,
        "seconds": float(max(0, end - begin)) if begin > 0 and end > 0 else None,
    }


class Phases:
    """Turns log lines into phases by the rules of the request: ``{phase, pattern, percent}``."""

    def __init__(self, rules):
        """Raises `ValueError` naming a rule that is no regular expression."""
        self.phase = self.percent = self.text = None
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
            self.phase, self.percent, self.text = phase, percent, line[:300]
            return {"phase": phase, "percent": percent, "text": self.text}
        return None


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
            change = self.phases.feed(text)
            if change and self._emit:
                self._emit(change)


class Outcome:
    """How following ended: ``kind`` is ready, exit, timeout, probe or lost (the engine went away); ``loading`` when
    only the patience of the caller ended."""

    def __init__(self, kind, message="", exit_facts=None, seconds=0.0, token=None, log=(), reader=None, http=None):
        self.kind, self.message, self.exit, self.seconds = kind, message, exit_facts, seconds
        self.token, self.log, self.http = token, list(log), http
        self.phase = reader.phases.phase if reader else None
        self.percent = reader.phases.percent if reader else None
        self.text = reader.phases.text if reader else None


def until_ready(engine, ident, probe, key, rules, redact, emit, timeout, patience=None, tail="all"):
    """Wait for the container ``ident`` to be ready; returns an `Outcome`. Raises `EngineError` only if there is none.

    ``probe``: PROBE or None; ``key``: the API key or None; ``emit(event, **fields)`` gets ``phase`` and ``answering``;
    ``timeout``: seconds from now in which it must be ready; ``patience``: seconds after which to return ``loading``.
    """
    begin = time.monotonic()
    inspect = engine.inspect(ident)
    if inspect is None:
        raise EngineError("not_found", "the container {0} is gone".format(ident[:12]))
    wake = threading.Event()
    reader = LogReader(
        engine.clone(),
        ident,
        started_at(inspect),
        rules,
        redact,
        lambda change: emit("phase", **change),
        wake,
        tail=tail,
    )
    reader.start()
    prober = None
    if probe and probe.get("port"):
        prober = probing.Prober(probe, key, wake)
        prober.start()
    watch = None
    if probe and probe.get("peer"):
        from ansible_collections.cortex.vllm.plugins.module_utils import peers

        watch = peers.Watch(probe["peer"])
    try:
        return _wait(engine, ident, prober, reader, wake, emit, begin, timeout, patience, watch)
    finally:
        if prober:
            prober.halt()
        reader.close()


def _death(reader, inspect, begin, http=None):
    # What was said last is what matters most; the stream ends with the container.
    reader.ended.wait(0.6)
    facts = exit_facts(inspect)
    text = "the container ended with code {0}".format(facts["code"])
    if facts["oom"]:
        text += ", killed for lack of memory (its limit or the host's)"
    if facts["error"]:
        text += ": " + facts["error"]
    return Outcome("exit", text, facts, time.monotonic() - begin, None, reader.lines, reader, http)


def _wait(engine, ident, prober, reader, wake, emit, begin, timeout, patience, watch=None):
    told = False
    silent_since = refused_since = None
    restarts = None
    while True:
        now = time.monotonic()
        try:
            inspect = engine.inspect(ident)
            silent_since = None
        except EngineError as exc:
            if exc.kind not in ("connection", "timeout"):
                raise
            silent_since = silent_since or now
            if now - silent_since > ENGINE_PATIENCE:
                return Outcome("lost", exc.message, None, now - begin, None, reader.lines, reader)
            time.sleep(TICK)
            continue
        if inspect is None:
            return Outcome(
                "exit", "the container was removed by somebody else", None, now - begin, None, reader.lines, reader
            )
        count = inspect.get("RestartCount") or 0
        restarts = count if restarts is None else restarts
        if not ours.running(inspect) or count != restarts:
            return _death(reader, inspect, begin, prober.http if prober else None)
        if prober is None:
            if now - begin >= LIFE:
                return Outcome("ready", "", None, now - begin, "", reader.lines, reader)
        else:
            if prober.answered is not None and not told:
                told = True
                emit("answering", seconds=round(prober.answered, 3))
            if prober.finished.is_set() and prober.text is not None:
                return Outcome(
                    "ready", "", None, time.monotonic() - begin, prober.text, reader.lines, reader, prober.http
                )
            if prober.finished.is_set():
                # Its engine may have died of the very first request: then the exit says more than the answer.
                refused_since = refused_since or now
                if not prober.dying or now - refused_since > DEATH_PATIENCE:
                    why = prober.failure or "no answer"
                    return Outcome("probe", why, None, now - begin, None, reader.lines, reader, prober.http)
        if watch is not None and watch.gone(now):
            return Outcome("probe", watch.message, None, now - begin, None, reader.lines, reader)
        # A server that answers already gets the time its first token may take.
        if now - begin > timeout and not (told and refused_since is None):
            text = "not ready within {0:g} s".format(timeout)
            if reader.phases.phase:
                text += "; last phase: {0}".format(reader.phases.phase)
            return Outcome(
                "timeout", text, None, now - begin, None, reader.lines, reader, prober.http if prober else None
            )
        if patience is not None and now - begin > patience:
            return Outcome(
                "loading", "", None, now - begin, None, reader.lines, reader, prober.http if prober else None
            )
        wake.wait(TICK)
        wake.clear()
        if reader.ended.is_set() and not prober_changed(prober, told):
            time.sleep(0.02)  # the stream ends a moment before the engine says that the container has


def prober_changed(prober, told):
    """Whether the prober has news that the loop has not seen."""
    return prober is not None and ((prober.answered is not None and not told) or prober.finished.is_set())
