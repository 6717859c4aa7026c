# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""From log lines to phases, from journal events to lines that people read while a server loads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any


def _rules(phase: str, *patterns: str, percent: bool = False) -> list[dict[str, Any]]:
    """One rule for each pattern; ``percent`` says that the patterns have a group of that name."""
    return [{"phase": phase, "pattern": pattern, "percent": "percent" if percent else None} for pattern in patterns]


#: Phases of a start in their order, each begun by a line of vLLM's log (sources beside each; seen in 0.6 … 0.33).
#: The last matching rule whose phase is not behind the present one counts. They travel to the host with each order.
PHASE_RULES: list[dict[str, Any]] = [
    # torch's first warning; the imports take 8 … 60 s and say nothing else
    *_rules("importing", r"torch/_library/triton\.py", r"Automatically detected platform"),
    # vllm/entrypoints/utils.py log_non_default_args; vllm/config/model.py
    *_rules("configuring", r"non-default args:", r"vLLM API server version", r"Resolved architecture:"),
    # vllm/v1/engine/core.py, vllm/engine/llm_engine.py
    *_rules("starting engine", r"Initializing an? (?:V\d )?LLM engine", r"Started engine process"),
    # huggingface_hub (tqdm); vllm/model_executor/model_loader/weight_utils.py
    *_rules("downloading", r"Downloading (?:shards|\S+\.safetensors):\s+(?P<percent>\d+)%", percent=True),
    # vllm/v1/worker/gpu_model_runner.py, cpu_model_runner.py
    *_rules("loading weights", r"Starting to load model"),
    # vllm/model_executor/model_loader/weight_utils.py (tqdm); the loaders differ in the words before "checkpoint"
    *_rules("loading weights", r"Loading [\w ]*checkpoint shards:\s+(?P<percent>\d+)%", percent=True),
    # vllm/compilation/backends.py, vllm/compilation/monitor.py
    *_rules(
        "compiling",
        r"for vLLM's torch\.compile",
        r"Dynamo bytecode transform time",
        r"Compiling a graph for",
        r"Directly load the compiled graph",
    ),
    # vllm/v1/worker/gpu_worker.py, cpu_worker.py, vllm/v1/core/kv_cache_utils.py; "blocks": V0
    *_rules(
        "sizing KV cache",
        r"Memory profiling takes",
        r"Available KV cache memory",
        r"GiB for KV cache",
        r"KV cache size:",
        r"# (?:GPU|CPU|cuda) blocks:",
    ),
    # vllm/v1/worker/gpu_model_runner.py (tqdm); vllm/worker/model_runner.py (V0)
    *_rules("capturing graphs", r"Capturing CUDA graphs?[^:]*:\s+(?P<percent>\d+)%", percent=True),
    *_rules("capturing graphs", r"Capturing (?:the model for CUDA graphs|cudagraphs for)"),
    # vllm/v1/engine/core.py
    *_rules("warming up", r"init engine \(profile, create kv cache, warmup model\) took", r"Graph capturing finished"),
    # vllm/entrypoints/openai/api_server.py; uvicorn
    *_rules("serving", r"Starting vLLM (?:API )?server", r"Application startup complete\.", r"Uvicorn running on"),
]

#: Phases in order; what is earlier than the present phase is not gone back to.
PHASES: list[str] = list(dict.fromkeys(rule["phase"] for rule in PHASE_RULES))

#: Seconds without a new phase after which a line is printed all the same.
HEARTBEAT = 15.0


def phase_of(line: str) -> tuple[str, int | None] | None:
    """Phase and percent of one log line; None for a line that says nothing about it."""
    for rule, pattern in _COMPILED:
        match = pattern.search(line)
        if match:
            percent = match.groupdict().get(rule["percent"]) if rule["percent"] else None
            return str(rule["phase"]), int(percent) if percent is not None else None
    return None


_COMPILED = [(rule, re.compile(str(rule["pattern"]))) for rule in PHASE_RULES]


class Follower:
    """Turns journal events into lines ``[host] chat: loading weights 40 % (12 s, about 30 s left)``.

    :param ready_seconds: seconds that a start took last time, by server, for the time left
    :param clock: seconds, for the heartbeat
    """

    def __init__(
        self, ready_seconds: Mapping[str, float] | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._expected = dict(ready_seconds or {})
        self._clock = clock
        self._started: dict[str, float] = {}
        self._said: dict[str, tuple[str, float]] = {}

    def line(self, host: str, server: str, event: Mapping[str, Any]) -> str | None:
        """The line for one event; None when there is nothing new to say.

        A phase is told when it changes, a percentage every 15 s at most; everything else is told as it comes.
        """
        name = str(event.get("event") or "")
        moment = float(event.get("t") or 0.0)
        if name == "started":
            self._started[server] = moment
            self._said.pop(server, None)
        text = self._text(server, name, event, moment)
        if text is None:
            return None
        if name == "phase":
            phase, now = str(event.get("phase")), self._clock()
            last = self._said.get(server)
            if last and (_rank(phase) < _rank(last[0]) or (phase == last[0] and now - last[1] < HEARTBEAT)):
                return None  # workers repeat what the server's own process said before
            self._said[server] = (phase, now)
        return f"[{host}] {server}: {text}"

    def _text(self, server: str, name: str, event: Mapping[str, Any], moment: float) -> str | None:
        if name == "phase":
            percent = event.get("percent")
            words = str(event.get("phase")) + (f" {int(percent)} %" if percent is not None else "")
            return f"{words}{self._elapsed(server, moment)}"
        if name == "waiting":
            return f"waiting for the {event.get('for')}"
        if name == "stopping":
            return f"stopping the container (up to {_seconds(event.get('timeout'))})"
        if name == "stopped":
            return f"container stopped after {_seconds(event.get('seconds'))}"
        if name == "started":
            return "container started"
        if name == "answering":
            return f"answering after {_seconds(event.get('seconds'))}, asking for a token"
        if name == "ready":
            token = f", first token {event['token']!r}" if event.get("token") else ""
            return f"ready after {_seconds(event.get('seconds'))}{token}"
        if name == "failed":
            return f"failed ({event.get('reason')}): {event.get('message')}"
        if name == "rolling_back":
            return "going back to the old container"
        if name == "rolled_back":
            how = "answers again" if event.get("verified") else "was started again and does not answer"
            return f"the old container {how} ({_seconds(event.get('seconds'))})"
        if name == "committed" and event.get("downtime") is not None:
            return f"committed, {_seconds(event['downtime'])} without an answer"
        if name in {"updated", "removed"}:
            return name
        return None  # accepted, creating, created, committed, done: the next line or the task's result says it better

    def _elapsed(self, server: str, moment: float) -> str:
        begun = self._started.get(server)
        if begun is None or moment < begun:
            return ""
        seconds = moment - begun
        expected = self._expected.get(server)
        if not expected:
            return f" ({_seconds(seconds)})"
        left = expected - seconds
        return f" ({_seconds(seconds)}, {'about ' + _seconds(left) + ' left' if left >= 1 else 'any moment'})"


def _rank(phase: str) -> int:
    """Place of a phase in a start; unknown ones come last."""
    return PHASES.index(phase) if phase in PHASES else len(PHASES)


def _seconds(value: Any) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``."""
    seconds = float(value or 0)
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
