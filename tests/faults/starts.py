# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts that fail as real servers did, word for word, and deaths in every phase."""

from __future__ import annotations

import json
import threading

from .bench import ROOT, Bench, Result
from .kinds import ROLLED_BACK, Fault, start

RECORDINGS = json.loads((ROOT / "tests" / "diagnosis" / "expected.json").read_text())
REPLAYED = [
    "arch-unsupported", "chat-template-missing", "config-json-bad", "cpu-memory-utilization-too-high",
    "enginecore-killed-during-load", "hf-overrides-bad-json", "import-error-module", "kvcache-space-too-big",
    "load-format-unknown", "log-level-invalid", "lora-path-missing", "max-model-len-too-large", "max-num-seqs-zero",
    "model-file-permission-denied", "model-mount-empty", "quantization-bnb", "quantization-unknown",
    "read-only-rootfs", "reasoning-parser-unknown", "removed-flag", "served-model-name-conflict", "shm-too-small",
    "tensor-parallel-too-large", "tokenizer-files-missing", "tool-parser-unknown", "trust-remote-code-needed",
    "weights-corrupt-header", "weights-missing", "weights-shard-missing", "weights-truncated",
]  # fmt: skip


def _expected(name: str) -> str:
    entry = RECORDINGS[name]
    return str(entry["code"] if isinstance(entry, dict) else entry)


STARTS = [start(f"real: {name}", _expected(name), replay=name) for name in REPLAYED]
DEATHS = [
    # The stand-in dies in these phases as a real server was seen to die there.
    start("dies while parsing", "argument.unknown", "death", fail_phase="P1"),
    start("dies at its configuration", "model.quantization", "death",
          fail_phase="P4"),
    start("dies in a worker", "memory.shm", "death", fail_phase="P6"),
    start("dies at its weights", ("model.weights-corrupt", "model.shard-missing", "model.weights-missing"), "death",
          fail_phase="P7"),
    start("dies at its KV cache", ("memory.kv-cache-host", "memory.kv-cache-none"), "death", fail_phase="P8"),
    start("dies at its engine", "argument.load-format", "death", fail_phase="P5"),
    start("dies at its last step", "argument.lora", "death", exit=3, fail_phase="P9"),
    start("its engine dies once it is ready", ("server.engine-died", "probe.failed"), "death", die_after=0.0,
          death_window=1.0, token_seconds=3.0),
    start("200 and no token", "probe.failed", "death", hang_requests=True),
]  # fmt: skip


def _timeout(bench: Bench) -> Result:
    return bench.converge({**bench.failing(hang_phase="P7"), "start_timeout": 4})


def _killed(bench: Bench) -> Result:
    """Somebody kills the new container while it loads."""
    declared = bench.failing(load_seconds=20)
    journal = bench.state_dir / bench.name / "journal.jsonl"
    journal.unlink(missing_ok=True)

    def kill() -> None:
        bench.wait(lambda: "phase" in bench.events(), 60)
        bench.docker.call("POST", f"/containers/{bench.container}/kill")

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        return bench.converge(declared)
    finally:
        killer.join()


def _removed(bench: Bench) -> Result:
    """Somebody removes the new container while it loads."""
    declared = bench.failing(load_seconds=20)
    (bench.state_dir / bench.name / "journal.jsonl").unlink(missing_ok=True)

    def remove() -> None:
        bench.wait(lambda: "phase" in bench.events(), 60)
        bench.docker.remove(bench.container)

    remover = threading.Thread(target=remove, daemon=True)
    remover.start()
    try:
        return bench.converge(declared)
    finally:
        remover.join()


def _memory_limit(bench: Bench) -> Result:
    return bench.converge(bench.changed(memory="6m", accept=["memory.host-limit", "memory.container-limit"]))


DEATHS += [
    Fault("never becomes ready", "death", _timeout, ("start.timeout",), ROLLED_BACK),
    Fault("killed from outside", "death", _killed, ("server.killed",), ROLLED_BACK),
    Fault("removed from outside", "death", _removed, ("server.killed",), ROLLED_BACK),
]
