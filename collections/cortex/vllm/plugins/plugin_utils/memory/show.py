# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""An estimate as JSON, and as a table with a bar for people."""

from __future__ import annotations

from typing import Any

from .advice import Advice
from .arguments import GIB
from .estimate import Estimate
from .overhead import Range

_PARTS = (
    ("weights", "weights", "█"),
    ("activation", "activations", "▓"),
    ("non_torch", "libraries", "▒"),
    ("graphs", "CUDA graphs", "░"),
    ("kv", "KV cache", "·"),
)
_NAMES = {
    "weights": "weights_gib", "activation": "activation_gib", "non_torch": "non_torch_gib", "graphs": "cuda_graph_gib",
    "kv": "kv_cache_gib",
}  # fmt: skip


def as_dict(found: Estimate, advice: Advice | None = None) -> dict[str, Any]:
    """Plain JSON: GiB for each GPU, None where it is not known."""
    result: dict[str, Any] = {}
    ranges: dict[str, list[float]] = {}
    for part, name in _NAMES.items():
        value: Range | None = getattr(found, part)
        result[name] = round(value.value / GIB, 3) if value is not None else None
        if value is not None:
            ranges[name] = [round(value.low / GIB, 3), round(value.high / GIB, 3)]
    settings, cache = found.settings, found.cache
    gpu = found.question.gpu
    result.update(
        kv_cache_tokens=cache.tokens if cache else None,
        kv_bytes_per_token=cache.per_token if cache else None,
        kv_cache_needed_gib=round(found.needed / GIB, 3) if found.needed is not None else None,
        max_concurrency=round(cache.concurrency, 2) if cache else None,
        fits=found.fits,
        close=found.close,
        confidence=found.confidence if found.fits is not None or found.weights else "none",
        ranges=ranges,
        budget_gib=round(found.budget / GIB, 3) if found.budget is not None else None,
        gpu_memory_gib=round(gpu.memory / GIB, 3) if gpu and gpu.memory else None,
        assumed={
            "max_model_len": settings.max_len,
            "max_num_seqs": settings.max_seqs,
            "max_num_batched_tokens": settings.batched,
            "gpu_memory_utilization": settings.utilization,
            "tensor_parallel_size": settings.tensor,
            "pipeline_parallel_size": settings.pipeline,
            "kv_cache_dtype": settings.cache_dtype,
            "dtype": settings.dtype,
            "enforce_eager": settings.eager,
        }
        if settings
        else None,
        advice={
            "max_model_len": advice.max_model_len,
            "gpu_memory_utilization": advice.gpu_memory_utilization,
            "gpu_count": advice.gpu_count,
            "engine_args": advice.engine_args,
            "text": advice.text(),
        }
        if advice
        else None,
    )
    return result


def gauge(found: Estimate, width: int = 60) -> str:
    """The memory of one GPU as a line: what takes it, and what is left."""
    gpu = found.question.gpu
    total = gpu.memory if gpu and gpu.memory else 0
    if not total or found.kv is None:
        return ""
    cells = ""
    for part, _words, sign in _PARTS:
        value: Range | None = getattr(found, part)
        if value is not None and value.value > 0:
            cells += sign * max(1, round(min(width + 1.0, width * value.value / total)))
    over = len(cells) > width
    return f"[{cells[:width].ljust(width)}]{'+' if over else ''}"


def table(name: str, found: Estimate, advice: Advice | None = None) -> list[str]:
    """Lines for the terminal."""
    if found.fits is None:
        return [f"{name}: memory unknown ({found.findings[0].message if found.findings else 'no figures'})"]
    verdict = "does not fit" if not found.fits else "fits, close" if found.close else "fits"
    lines = [f"{name}: {verdict} (confidence {found.confidence})"]
    line = gauge(found)
    lines += [f"  {line}"] if line else []
    for part, words, sign in _PARTS:
        value: Range | None = getattr(found, part)
        if value is not None:
            span = f"{value.low / GIB:.2f} … {value.high / GIB:.2f}"
            lines.append(f"  {sign} {words:<12}{value.value / GIB:>8.2f} GiB   {span}")
    if found.cache is not None and found.settings is not None:
        lines.append(
            f"  {found.cache.tokens} tokens, {found.cache.concurrency:.1f} requests of {found.settings.max_len} tokens"
        )
    if advice is not None and not found.fits:
        lines.append(f"  {advice.text()}")
    return lines
