# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Which engine and which model runner, and what is switched on for debugging: rendered to what the release reads.

Sources: ``VLLM_USE_V1`` in vllm/envs.py 0.6.4 to 0.11.0 (0 until 0.7.3, 1 from 0.8.0), vllm/v1/engine/llm_engine.py
0.11.0 (refuses 0); ``VLLM_USE_V2_MODEL_RUNNER`` in vllm/envs.py from 0.12.0; ``_raise_or_fallback`` in
vllm/engine/arg_utils.py 0.8.0 to 0.10.2.
"""

from __future__ import annotations

from ... import catalog
from ...spec import ServerSpec
from ..reshaping import equal
from ..tables import has, rows
from .subject import Findings, Subject

USE_V1 = "VLLM_USE_V1"
USE_V2_RUNNER = "VLLM_USE_V2_MODEL_RUNNER"
#: V1 came with it, and V0 was gone from the second on.
FIRST_V1, ONLY_V1 = "0.6.4", "0.11.0"


def environment(spec: ServerSpec, release: catalog.Release) -> dict[str, str]:
    """Variables that say ``engine``, ``model_runner`` and ``debug`` to this release."""
    said: dict[str, str] = {}
    if spec.engine != "auto" and USE_V1 in release.environment:
        said[USE_V1] = "1" if spec.engine == "v1" else "0"
    if spec.model_runner != "auto" and USE_V2_RUNNER in release.environment:
        said[USE_V2_RUNNER] = "1" if spec.model_runner == "v2" else "0"
    debug = spec.debug
    if debug.level is not None:
        said["VLLM_LOGGING_LEVEL"] = debug.level.upper()
    if debug.stats_interval is not None and "VLLM_LOG_STATS_INTERVAL" in release.environment:
        said["VLLM_LOG_STATS_INTERVAL"] = f"{debug.stats_interval:g}"
    if debug.trace_functions:
        said["VLLM_TRACE_FUNCTION"] = "1"
    if debug.cuda_launch_blocking:
        said["CUDA_LAUNCH_BLOCKING"] = "1"
    return said


def check(subject: Subject) -> Findings:
    """What the release cannot do of what was asked."""
    yield from _engine(subject)
    yield from _runner(subject)
    yield from _debug(subject)


def generation(subject: Subject) -> str:
    """``v0`` or ``v1``: the engine that would run, before what a model or GPU may still decide."""
    if not subject.older(ONLY_V1):
        return "v1"
    wanted = _wanted(subject)
    if wanted in ("v0", "v1"):
        return wanted
    return "v0" if subject.older("0.8.0") or any(_unsupported(subject)) else "v1"


def _wanted(subject: Subject) -> str:
    """The declared engine; the variable counts where the field leaves it open."""
    declared = subject.spec.env.get(USE_V1)
    if subject.spec.engine == "auto" and declared in ("0", "1"):
        return f"v{declared}"
    return subject.spec.engine


def _engine(subject: Subject) -> Findings:
    wanted = _wanted(subject)
    place = ("engine",) if subject.spec.engine != "auto" else ("env", USE_V1)
    if wanted == "v0" and not subject.older(ONLY_V1):
        text = f"the V0 engine left vLLM in 0.11 {has(subject.release.version)}"
        yield subject.finding("release.engine", "error", text, "Write engine: auto, or use an image up to 0.10", *place)
    if wanted == "v1" and subject.older(FIRST_V1):
        text = f"the V1 engine came with vLLM 0.6.4 {has(subject.release.version)}"
        yield subject.finding("release.engine", "error", text, "Write engine: auto, or use a newer image", *place)
    if subject.older("0.8.0") or (subject.older(ONLY_V1) and wanted == "v0"):
        return
    only = not subject.older(ONLY_V1)
    for name in _unsupported(subject, only=only):
        if only:
            text = f"{subject.version} does not start with it: the only engine, V1, cannot do it"
            yield subject.about("release.engine", "error", text, "Delete it", name)
            continue
        if wanted == "v1":
            text = f"the V1 engine of {subject.version} does not start with it"
            yield subject.about("release.engine", "error", text, "Delete it, or write engine: v0", name)
        else:
            text = f"makes {subject.version} fall back to the V0 engine"
            yield subject.about("release.engine", "warning", text, "Delete it, or write engine: v0 to say so", name)


def _unsupported(subject: Subject, *, only: bool = False) -> list[str]:
    """Arguments that V1 could not do between 0.8.0 and 0.10.2, as the release calls them.

    :param only: those that it still refuses when there is no other engine (0.11.0: vllm/engine/arg_utils.py,
        _is_v1_supported_oracle; 0.11.1 on: _check_feature_supported)
    """
    found = []
    for row in rows()["unsupported_by_v1"]:
        name = row["argument"]
        if name not in subject.values or ("until" in row and not subject.older(row["until"])):
            continue
        if "from" in row and subject.older(row["from"]):
            continue
        if only and ("refused" not in row or subject.older(row["refused"])):
            continue
        value = subject.values[name]
        if "refuses" in row:
            taken = not any(equal(value, item) for item in row["refuses"])
        else:
            taken = any(equal(value, item) for item in row["allowed"])
        if not taken and name not in found:
            found.append(name)
    return found


def _runner(subject: Subject) -> Findings:
    if subject.spec.model_runner == "v2" and USE_V2_RUNNER not in subject.release.environment:
        text = f"the V2 model runner came with vLLM 0.12 {has(subject.release.version)}"
        yield subject.finding(
            "release.model-runner", "error", text, "Write model_runner: auto, or use a newer image", "model_runner"
        )


def _debug(subject: Subject) -> Findings:
    debug = subject.spec.debug
    if debug.stats_interval is not None and "VLLM_LOG_STATS_INTERVAL" not in subject.release.environment:
        text = f"vLLM logs its statistics every 10 s before 0.10.1 {has(subject.release.version)}"
        yield subject.finding("debug.unavailable", "error", text, "Delete it", "debug", "stats_interval")
    if debug.stats_interval is not None and subject.value("disable_log_stats") is True:
        text = "has no meaning with disable_log_stats, which also empties /metrics"
        yield subject.finding("debug.unavailable", "warning", text, "Delete one of them", "debug", "stats_interval")
    if debug.trace_functions:
        text = "writes every Python call of vLLM to a file: a server is some hundred times slower, and the disk fills"
        yield subject.finding("debug.cost", "warning", text, "Use it on an idle server, for one hang", "debug")
    if debug.cuda_launch_blocking:
        text = "makes every GPU kernel wait for the one before: a server is several times slower, CUDA graphs included"
        yield subject.finding("debug.cost", "warning", text, "Delete it once the failing kernel is known", "debug")
