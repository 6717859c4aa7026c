# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Stops a server so that what it is working on is finished, and no later than that.

SIGTERM is the drain: from then on no new request is taken; a vLLM server with ``--shutdown-timeout`` finishes those it
has within that time, older ones until they are killed. Seen with 0.32: when all are answered, its engine may stay until
the end of that time. So its numbers are watched, and a server without any request left is not waited for long.
"""

from __future__ import annotations

import http.client
import math
import re
import threading
import time

from ansible_collections.cortex.vllm.plugins.module_utils import gpu_memory, ours, probing
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError

POLL = 0.2
ASK_TIMEOUT = 1.0
# Seconds that a server without requests has to end by itself. Idle ones were seen to take up to 2.5.
GRACE = 4.0
# vllm/v1/metrics/loggers.py; the names are those of 0.6 too.
IN_FLIGHT = re.compile(rb"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? +([-+.0-9e]+)", re.MULTILINE)


def in_flight(probe, timeout=ASK_TIMEOUT):
    """How many requests a server has, or None when it does not say."""
    try:
        status, raw = probing.ask(probe, "/metrics", None, timeout)
    except (OSError, http.client.HTTPException):
        return None
    numbers = IN_FLIGHT.findall(raw) if status == 200 else []
    try:
        return int(sum(float(number) for number in numbers)) if numbers else None
    except ValueError:
        return None


class Drain(threading.Thread):
    """Watches the requests of a server that was told to stop; ``kill()`` is called once it has none and does not end.

    ``before``: how many it had; ``done``: monotonic time at which it had none left, or None when nobody knows.
    """

    def __init__(self, probe, kill):
        super().__init__(name="drain", daemon=True)
        self.before = in_flight(probe)
        self.done = None
        self.killed = False
        self._probe, self._kill = probe, kill
        self._halt = threading.Event()

    def run(self):
        while not self._halt.wait(POLL):
            left = in_flight(self._probe)
            now = time.monotonic()
            if left:
                self.done = None
            elif left == 0:
                self.done = self.done or now
            if self.done is not None and now - self.done > GRACE:
                self.killed = True
                self._kill()
                return

    def halt(self):
        self._halt.set()
        self.join(ASK_TIMEOUT * 2)


class Stop:
    """One container that is stopped. ``engine``: an `Engine`; ``emit(event, **fields)``: to the journal.

    ``run``, ``command``: `AnsibleModule.run_command` and the path of nvidia-smi, or None; ``uuids``: its GPUs.
    """

    def __init__(self, engine, emit, run=None, command=None, uuids=()):
        self._engine, self._emit = engine, emit
        self._run, self._command, self._uuids = run, command, list(uuids)
        self.began = None  # monotonic time of the order to stop: no new request is taken from then on
        self.drained = None  # seconds until the last request was answered; None when nobody knows
        self.stopped = None
        self.release = None

    def _end(self, ident):
        engine = self._engine.clone()
        try:
            engine.kill(ident)
        except EngineError:
            pass  # it has ended meanwhile
        finally:
            engine.close()

    def stop(self, inspect, timeout, probe=None):
        """Stop and wait for it; returns the state afterwards. Raises `EngineError`."""
        ident = inspect["Id"]
        release = gpu_memory.held(self._engine, ident, self._run, self._command, self._uuids)
        drain = Drain(probe, lambda: self._end(ident)) if probe and probe.get("port") else None
        self._emit("stopping", container_id=ident, timeout=timeout, requests=drain.before if drain else None)
        if ours.paused(inspect):
            self._engine.unpause(ident)  # paused, it could not finish what it has, nor end by itself
        self.began = time.monotonic()
        if drain:
            drain.start()
        try:
            self._engine.stop(ident, math.ceil(timeout))
        finally:
            if drain:
                drain.halt()
        state = (self._engine.inspect(ident) or {}).get("State") or {}
        self.stopped = time.monotonic()
        if not state.get("Running"):
            seconds = round(self.stopped - self.began, 3)
            code = state.get("ExitCode")
            early = bool(drain and drain.killed)
            # 137 without a memory kill is the engine's SIGKILL: it did not end by itself in the time it had.
            killed = code == 137 and not state.get("OOMKilled") and not early and seconds >= timeout
            if drain and drain.before and not killed:
                self.drained = round(min(drain.done or self.stopped, self.stopped) - self.began, 3)
            self._emit(
                "stopped", seconds=seconds, exit_code=code, killed=killed, drained=self.drained, ended_early=early
            )  # fmt: skip
            self.release = release.wait()
            if self.release is not None:
                self._emit("gpu_memory", **self.release)
        return state
