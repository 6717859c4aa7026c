# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Follows a container from its start until it is ready, dead, out of time, or at a standstill."""

from __future__ import annotations

import threading
import time

from ansible_collections.cortex.vllm.plugins.module_utils import activity, logs, ours, peers, probing
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError

# Everything that happens wakes the loop; these are for what nobody tells of: an engine whose answers stop, time itself.
# Seconds after which a further rank of a model has met its head, or never will.
HANDSHAKE = 120.0
TICK = 1.0
BLIND_TICK = 0.25
# A container without a port is ready when it has lived this long.
LIFE = 2.0
# After a refused token: a dying engine takes up to its watchdog's period (5 s) to end the process.
DEATH_PATIENCE = 6.0
# How long a restarting engine is waited for.
ENGINE_PATIENCE = 90.0
# A time-out is put off while a word of the log or a read came within these seconds.
VISIBLE = 120.0
# What is said of a start that came to nothing because somebody paused its container.
PAUSED = "; the container is paused"
# One request that waits for the end of a container.
WAIT_SLICE = 3600


def started_at(inspect):
    """The engine's own start time of a container as sortable text of nanoseconds, ``""`` before the first start."""
    return logs.sortable((inspect.get("State") or {}).get("StartedAt") or "")


def exit_facts(inspect):
    """``{code, oom, error, seconds}`` of a container that has ended."""
    state = inspect.get("State") or {}
    begin, end = logs.epoch(state.get("StartedAt") or ""), logs.epoch(state.get("FinishedAt") or "")
    return {
        "code": state.get("ExitCode"),
        "oom": bool(state.get("OOMKilled")),
        "error": state.get("Error") or None,
        "seconds": float(max(0, end - begin)) if begin > 0 and end > 0 else None,
    }


class Outcome:
    """How following ended: ``kind`` is ready, exit, timeout, probe or lost (the engine went away); ``loading`` when
    only the patience of the caller ended. ``phases``: seconds that each took; ``asking``: from the first 200 on."""

    def __init__(self, kind, message="", exit_facts=None, seconds=0.0, token=None, log=(), reader=None, http=None):
        self.kind, self.message, self.exit, self.seconds = kind, message, exit_facts, seconds
        self.token, self.log, self.http = token, list(log), http
        self.phase = reader.phases.phase if reader else None
        self.percent = reader.phases.percent if reader else None
        self.text = reader.phases.text if reader else None
        self.phases = {}
        self.asking = None


class Ending(threading.Thread):
    """Waits for the end of a container with one request that the engine answers then: no polling, no delay."""

    def __init__(self, engine, ident, wake):
        super().__init__(name="ending", daemon=True)
        self.ended = threading.Event()
        self.broken = False
        self._engine, self._ident, self._wake = engine, ident, wake
        self._closing = False

    def run(self):
        while not self._closing:
            try:
                self._engine.wait(self._ident, WAIT_SLICE)
                self.ended.set()
                break
            except EngineError as exc:
                if exc.kind == "timeout":
                    continue
                self.broken = True  # a restarting engine, or one that cannot wait: the loop looks more often
                break
            except Exception:  # closed under our hands
                self.broken = True
                break
        self._wake.set()

    def close(self):
        self._closing = True
        self._engine.close()


def until_ready(
    engine, ident, probe, key, rules, redact, emit, timeout, patience=None, tail="all", limit=None, stall=None
):
    """Wait for the container ``ident`` to be ready; returns an `Outcome`. Raises `EngineError` only if there is none.

    ``probe``: PROBE or None; ``key``: the API key or None; ``emit(event, **fields)`` gets ``phase``, ``answering`` and
    ``extended``; ``timeout``: seconds from now in which it must be ready; ``limit``: those while progress can be seen;
    ``stall``: seconds without any sign of life after which it is over; ``patience``: seconds after which to return
    ``loading``.
    """
    begin = time.monotonic()
    inspect = engine.inspect(ident)
    if inspect is None:
        raise EngineError("not_found", "the container {0} is gone".format(ident[:12]))
    wake = threading.Event()
    prober = probing.Prober(probe, key, wake) if probe and probe.get("port") else None

    def phase(change):
        emit("phase", **change)
        if prober:
            prober.hear(reader.phases.nearly_there)

    reader = logs.LogReader(engine.clone(), ident, started_at(inspect), rules, redact, phase, wake, tail=tail)
    reader.start()
    ending = Ending(engine.clone(WAIT_SLICE + 60), ident, wake)
    ending.start()
    meter = activity.Meter((inspect.get("State") or {}).get("Pid"))
    fellows = peers.Watch(probe["peers"]) if probe and probe.get("peers") else None
    if prober and fellows is None:
        prober.start()
    watch = _Watch(engine, ident, prober, reader, ending, meter, wake, emit, begin, fellows)
    # A rank that only shakes hands has done so when its container is not young any more.
    watch.young = time.time() - logs.epoch(started_at(inspect)) < HANDSHAKE
    try:
        outcome = watch.wait(timeout, max(timeout, limit or 0), stall, patience)
        now = time.monotonic()
        outcome.phases = reader.phases.durations(begin, now)
        if prober and prober.answered is not None:
            outcome.asking = max(0.0, round(now - begin - prober.answered, 3))
        return outcome
    finally:
        if prober:
            prober.halt()
        reader.close()
        ending.close()


class _Watch:
    """The loop of `until_ready` and what it looks at."""

    def __init__(self, engine, ident, prober, reader, ending, meter, wake, emit, begin, fellows=None):
        self.engine, self.ident, self.prober, self.reader = engine, ident, prober, reader
        self.ending, self.meter, self.wake, self.emit, self.begin = ending, meter, wake, emit, begin
        self.fellows, self.young = fellows, True
        self.told = self.extended = self.paused = False
        self.refused_since = None

    def outcome(self, kind, message="", exit_facts=None, token=None):
        return Outcome(
            kind, message, exit_facts, time.monotonic() - self.begin, token, self.reader.lines, self.reader,
            self.prober.http if self.prober else None,
        )  # fmt: skip

    def wait(self, timeout, limit, stall, patience):
        silent_since = restarts = None
        while True:
            now = time.monotonic()
            try:
                inspect = self.engine.inspect(self.ident)
                silent_since = None
            except EngineError as exc:
                if exc.kind not in ("connection", "timeout"):
                    raise
                silent_since = silent_since or now
                if now - silent_since > ENGINE_PATIENCE:
                    return self.outcome("lost", exc.message)
                time.sleep(BLIND_TICK)
                continue
            if inspect is None:
                return self.outcome("exit", "the container was removed by somebody else")
            self.paused = ours.paused(inspect)
            count = inspect.get("RestartCount") or 0
            restarts = count if restarts is None else restarts
            if not ours.running(inspect) or count != restarts:
                return self._death(inspect)
            # Until something happens, or it is time to see whether the engine is still of the same opinion.
            look_again = now + (BLIND_TICK if self.ending.broken or self.ending.ended.is_set() else TICK)
            while True:
                found = self._answer() or self._time(timeout, limit, stall, patience)
                if found is not None:
                    return found
                now = time.monotonic()
                if now >= look_again or (self.ending.ended.is_set() and not self._answered()):
                    break
                self.wake.wait(max(0.01, look_again - now))
                self.wake.clear()
            if self.ending.ended.is_set():
                time.sleep(0.02)  # the word of its end may come a moment before the engine's state says so

    def _death(self, inspect):
        # What was said last is what matters most; the stream ends with the container.
        self.reader.ended.wait(0.6)
        facts = exit_facts(inspect)
        text = "the container ended with code {0}".format(facts["code"])
        if facts["oom"]:
            text += ", killed for lack of memory (its limit or the host's)"
        if facts["error"]:
            text += ": " + facts["error"]
        return self.outcome("exit", text, facts)

    def _answered(self):
        """Whether the prober has news that the loop has not seen."""
        prober = self.prober
        return prober is not None and ((prober.answered is not None and not self.told) or prober.finished.is_set())

    def _answer(self):
        """An outcome that the server's own answers give, or None."""
        prober = self.prober
        if prober is None:
            return self.outcome("ready", token="") if time.monotonic() - self.begin >= LIFE else None
        if self.reader.ended.is_set():
            prober.blind = True
        if prober.answered is not None and not self.told:
            self.told = True
            self.emit("answering", seconds=round(prober.answered, 3))
        if not prober.finished.is_set():
            return None
        if prober.text is not None:
            return self.outcome("ready", token=prober.text)
        # Its engine may have died of the very first request: then the exit says more than the answer.
        now = time.monotonic()
        self.refused_since = self.refused_since or now
        if not prober.dying or now - self.refused_since > DEATH_PATIENCE:
            return self.outcome("probe", prober.failure or "no answer")
        return None

    def _time(self, timeout, limit, stall, patience):
        """An outcome because of the time that has passed, or None."""
        now, asked = time.monotonic(), self.told and self.refused_since is None
        passed = now - self.begin
        phase = self.reader.phases.phase
        if self.fellows is not None:
            if self.fellows.gone(now):
                return self.outcome("probe", self.fellows.message)
            if self.prober and not self.prober.ident and (self.fellows.met or not self.young or passed > HANDSHAKE):
                self.prober.start()
        # A server that answers already gets the time its first token may take.
        if passed > timeout and not asked:
            visible = now - max(self.reader.moved, self.meter.read) < VISIBLE
            if passed > limit or not visible:
                text = "not ready within {0:g} s".format(timeout if passed <= limit else limit)
                text += "; last phase: {0}".format(phase) if phase else ""
                text += PAUSED if self.paused else ""
                silence = self.prober.silence() if self.prober else None
                text += "; {0}".format(silence) if silence else ""
                return self.outcome("timeout", text)
            if not self.extended:
                self.extended = True
                self.emit("extended", seconds=round(timeout, 1), limit=round(limit, 1), phase=phase)
        self.meter.look()
        still = now - max(self.reader.moved, self.meter.moved)
        if stall and still > stall and not asked and not self.meter.blind:
            text = "nothing has moved for {0:.0f} s: no word in its log, no work of its processes".format(still)
            text += "; last phase: {0}".format(phase) if phase else ""
            text += PAUSED if self.paused else ""
            return self.outcome("timeout", text)
        if patience is not None and passed > patience:
            return self.outcome("loading")
        return None
