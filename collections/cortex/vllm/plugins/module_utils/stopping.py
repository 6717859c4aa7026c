# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Stops a server so that what it is working on is finished, and knows when it answered for the last time.

SIGTERM is the drain: a vLLM server with ``--shutdown-timeout`` finishes its requests within that time, older ones until
they are killed. The engine kills after ``stop_timeout``, which is longer.
"""

from __future__ import annotations

import math
import threading
import time

from ansible_collections.cortex.vllm.plugins.module_utils import gpu_memory, probing
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError

POLL = 0.05
ASK_TIMEOUT = 1.0


class LastAnswer(threading.Thread):
    """Asks a server's /health over and over while it is being stopped. ``at``: monotonic time of its last 200."""

    def __init__(self, probe):
        super().__init__(name="last-answer", daemon=True)
        self.at = None
        self._probe = probe
        self._halt = threading.Event()

    def run(self):
        while not self._halt.is_set():
            try:
                if probing.ask(self._probe, "/health", None, ASK_TIMEOUT)[0] == 200:
                    self.at = time.monotonic()
            except Exception:  # it is going away: that is what is watched
                pass
            self._halt.wait(POLL)

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
        self.began = None  # monotonic time of the order to stop
        self.last_answer = None  # monotonic time; None when it did not answer any more before
        self.stopped = None
        self.release = None

    def stop(self, inspect, timeout, probe=None):
        """Stop and wait for it; returns the state afterwards. Raises `EngineError`."""
        ident = inspect["Id"]
        try:
            pids = self._engine.processes(ident) if self._uuids and self._command else []
        except EngineError:
            pids = []
        release = gpu_memory.Release(self._run, self._command, self._uuids, pids)
        watcher = LastAnswer(probe) if probe and probe.get("port") else None
        self._emit("stopping", container_id=ident, timeout=timeout)
        self.began = time.monotonic()
        if watcher:
            watcher.start()
        try:
            self._engine.stop(ident, math.ceil(timeout))
        finally:
            if watcher:
                watcher.halt()
                self.last_answer = watcher.at
        state = (self._engine.inspect(ident) or {}).get("State") or {}
        self.stopped = time.monotonic()
        if not state.get("Running"):
            seconds = round(self.stopped - self.began, 3)
            code = state.get("ExitCode")
            # 137 without a memory kill is the engine's SIGKILL: it did not end by itself in the time it had.
            killed = code == 137 and not state.get("OOMKilled") and seconds >= timeout
            self._emit("stopped", seconds=seconds, exit_code=code, killed=killed)
            self.release = release.wait()
            if self.release is not None:
                self._emit("gpu_memory", **self.release)
        return state
