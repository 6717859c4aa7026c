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

    :param expected: how a start of the same image and model went on this host, by server: ``seconds``, ``phases``
    :param clock: seconds, for the heartbeat
    """

    def __init__(
        self, expected: Mapping[str, Mapping[str, Any]] | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._expected = dict(expected or {})
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
            return f"{words}{self._elapsed(server, moment, event)}"
        if name == "waiting":
            return f"waiting for the {event.get('for')}"
        if name == "stopping":
            requests = event.get("requests")
            what = f"answering its last {requests} requests, then stopping" if requests else "stopping the container"
            return f"{what} (up to {_seconds(event.get('timeout'))})"
        if name == "stopped":
            how = "killed: it did not end by itself within" if event.get("killed") else "stopped after"
            return f"container {how} {_seconds(event.get('seconds'))}"
        if name == "gpu_memory":
            return _gpu_memory(event)
        if name == "warming":
            left = f", about {_seconds(event['left'])} left" if event.get("left") else ""
            return f"reading weights into memory {event.get('percent')} %{left}; the old server answers"
        if name == "warmed":
            return _warmed(event)
        if name == "extended":
            return (
                f"not ready after {_seconds(event.get('seconds'))}, but it goes on: waiting up to "
                f"{_seconds(event.get('limit'))}"
            )
        if name == "engine_restarted":
            return f"the engine kept port {event.get('port')} for a container that is gone, and is restarted: none runs"
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
            return f"committed, {_seconds(event['downtime'])} without an answer{_spent(event.get('spent'))}"
        if name in {"updated", "removed"}:
            return name
        return None  # accepted, creating, created, committed, done: the next line or the task's result says it better

    def _elapsed(self, server: str, moment: float, event: Mapping[str, Any]) -> str:
        begun = self._started.get(server)
        if begun is None or moment < begun:
            return ""
        seconds = moment - begun
        left = time_left(self._expected.get(server), seconds, str(event.get("phase")), event.get("percent"))
        if left is None:
            return f" ({_seconds(seconds)})"
        return f" ({_seconds(seconds)}, {'about ' + _seconds(left) + ' left' if left >= 1 else 'any moment'})"


def time_left(
    expected: Mapping[str, Any] | None, elapsed: float, phase: str, percent: float | None = None
) -> float | None:
    """Seconds until readiness, by how a start of the same image and model went; None when there is none to go by.

    What is left of the present phase and all later ones, where the earlier start had them; else the total less what
    has passed. A phase that is new counts for nothing.

    >>> before = {"seconds": 9, "phases": {"importing": 3, "loading weights": 4, "serving": 2}}
    >>> time_left(before, 5, "loading weights", 50)
    4.0
    """
    if not expected or not expected.get("seconds"):
        return None
    phases = {str(name): float(took) for name, took in (expected.get("phases") or {}).items()}
    if phase not in phases:
        return max(0.0, float(expected["seconds"]) - elapsed)
    names = list(phases)
    later = sum(phases[name] for name in names[names.index(phase) + 1 :])
    share = 1.0 - min(100.0, float(percent)) / 100.0 if percent is not None else 1.0
    return round(phases[phase] * share + later, 1)


def _gpu_memory(event: Mapping[str, Any]) -> str | None:
    """Only a wait that was felt is told."""
    if event.get("free"):
        return f"GPU memory free after {_seconds(event['seconds'])}" if float(event.get("seconds") or 0) >= 1 else None
    held = ", ".join(str(uuid) for uuid in event.get("held") or ())
    return f"GPU memory of {held} was not given back within {_seconds(event.get('seconds'))}; starting all the same"


def _warmed(event: Mapping[str, Any]) -> str | None:
    read, total = int(event.get("bytes") or 0), int(event.get("total") or 0)
    why = {
        "memory": "there is no memory for more",
        "pressure": "the host became short of memory",
        "time": "it took too long",
        "unreadable": "a file could not be read",
    }.get(str(event.get("stopped")))
    if not total or (why is None and float(event.get("seconds") or 0) < 1):
        return None
    text = f"{read / 2**30:.1f} of {total / 2**30:.1f} GiB of weights in memory after {_seconds(event.get('seconds'))}"
    return f"{text}: {why}" if why else text


def _spent(spent: Mapping[str, Any] | None) -> str:
    """``: stop 1.2 s, importing 8 s, …``: what took a second or more, else the longest."""
    items = [(str(name), float(took)) for name, took in (spent or {}).items()]
    told = [item for item in items if item[1] >= 1] or sorted(items, key=lambda item: -item[1])[:2]
    return f" ({', '.join(f'{name} {_seconds(took)}' for name, took in told)})" if told else ""


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
