# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""GPUs: driver and runtime there, and no two servers that together want more than a GPU has."""

from __future__ import annotations

from typing import Any

from ..observation import wants_gpus
from .context import Findings, Server

#: vLLM's own default of --gpu-memory-utilization: 0.9 until 0.20, 0.92 since (vllm/config/cache.py).
DEFAULT_UTILIZATION = 0.92


def check(server: Server) -> Findings:
    """Source: moby daemon/nvidia_linux.go (``could not select device driver``); vllm/v1/worker/utils.py request_memory:
    a start fails when free memory < total * gpu_memory_utilization."""
    if not wants_gpus(server.spec):
        return
    gpus, engine = server.observation.gpus, server.observation.engine
    if gpus.get("status") not in (None, "ok"):
        text = f"GPUs are declared, and the host has none to show: {gpus.get('message') or gpus['status']}"
        yield server.finding(
            "gpu.driver",
            "error",
            text,
            "gpus",
            "Install the NVIDIA driver (nvidia-smi must answer), or write gpus: none.",
        )
        return
    runtimes = engine.get("runtimes") or ()
    if engine.get("name") != "podman" and "nvidia" not in runtimes and not engine.get("gpu_support"):
        yield server.finding(
            "gpu.runtime",
            "warning",
            f"the engine lists no NVIDIA runtime (it has {', '.join(runtimes) or 'none'})",
            "gpus",
            "If containers get no GPU: install nvidia-container-toolkit and run nvidia-ctk runtime configure.",
        )
    yield from _shared(server)


def _shared(server: Server) -> Findings:
    """Servers on one GPU must leave each other room; told at the later of two."""
    mine, assigned = utilization(server.spec), server.assigned or {}
    for uuid in server.gpus:
        others = [item for item in _earlier(server) if uuid in assigned.get(item.name, ())]
        if not others:
            continue
        names = " and ".join(item.name for item in others)
        if not all("gpu.shared" in item.accept for item in (server.spec, *others)):
            yield server.finding(
                "gpu.shared",
                "error",
                f"GPU {uuid} is taken by {names} too",
                "gpus",
                "Name other GPUs, or write share_gpus: true in all of them and divide gpu_memory_utilization.",
            )
            return
        total = mine + sum(utilization(item) for item in others)
        if total > 1.0:
            yield server.finding(
                "gpu.overcommitted",
                "error",
                f"GPU {uuid} is {names}'s too, and together they want {total:.0%} of its memory",
                "engine_args.gpu_memory_utilization",
                "Lower engine_args.gpu_memory_utilization of each so that the sum stays below 1.",
            )
            return
    running = {
        uuid: item.name
        for item in server.observation.containers
        if item.running and not item.server
        for uuid in item.gpus
    }
    for uuid in server.gpus:
        stranger = running.get(uuid) or running.get("all")
        if stranger:
            yield server.finding(
                "gpu.foreign",
                "warning",
                f"GPU {uuid} is given to container {stranger} too",
                "gpus",
                "Stop that container, or use other GPUs.",
            )


def utilization(spec: Any) -> float:
    """Share of a GPU that the declaration takes."""
    arguments = {
        str(key).lstrip("-").replace("-", "_"): value
        for key, value in (getattr(spec, "engine_args", None) or {}).items()
    }
    try:
        return float(arguments.get("gpu_memory_utilization", DEFAULT_UTILIZATION))
    except (TypeError, ValueError):
        return DEFAULT_UTILIZATION


def _earlier(server: Server) -> list[Any]:
    names = [item.name for item in server.siblings]
    return list(server.siblings[: names.index(server.spec.name)]) if server.spec.name in names else []
