# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Memory of the host, for servers that run on CPUs."""

from __future__ import annotations

from ..observation import wants_gpus
from .context import Findings, Server, gib

#: Bytes that vLLM's three processes need beside weights and KV cache (measured with 0.32: 2.3 GiB peak, tiny model).
OVERHEAD = 2 << 30


def check(server: Server) -> Findings:
    """Source: vllm/v1/worker/cpu_worker.py reads the cgroup limit; too little ends as ValueError or OOM kill."""
    spec = server.spec
    if wants_gpus(spec):
        return
    weights = int((server.model or {}).get("bytes") or 0)
    try:
        cache = float((getattr(spec, "env", None) or {}).get("VLLM_CPU_KVCACHE_SPACE") or 0)
    except ValueError:
        cache = 0.0
    wanted = weights + int(cache * (1 << 30)) + OVERHEAD
    limit = getattr(spec, "memory", None)
    if isinstance(limit, (int, float)) and limit and wanted > limit:
        text = f"about {gib(wanted)} are needed (weights, KV cache, processes), and memory is limited to {gib(limit)}"
        yield server.finding(
            "memory.limit", "warning", text, "memory", "Raise the limit, or lower VLLM_CPU_KVCACHE_SPACE."
        )
    total = server.observation.host.get("memory_total")
    if isinstance(total, (int, float)) and total and wanted > total:
        text = f"about {gib(wanted)} are needed (weights, KV cache, processes), and the host has {gib(total)}"
        yield server.finding(
            "memory.host", "warning", text, "model", "Use a smaller model, or lower VLLM_CPU_KVCACHE_SPACE."
        )
