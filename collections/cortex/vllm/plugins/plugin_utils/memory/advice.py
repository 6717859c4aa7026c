# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What would fit: the largest length, the smallest share of the GPU, the smallest number of GPUs, and what to change.

Each answer is tried in the model before it is given.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

from . import kv_cache
from .arguments import Gpu, named
from .estimate import Estimate, Question, estimate, fewer_ranks

#: The largest share that is advised: the rest is for the driver and what is allocated after profiling.
MOST = 0.95
#: A length below this serves nobody: other changes are better then.
USEFUL = 2048


@dataclasses.dataclass(frozen=True)
class Advice:
    """What would fit; None where nothing does.

    :ivar max_model_len: largest length with everything else as declared
    :ivar gpu_memory_utilization: smallest share at which the declared length fits
    :ivar gpu_count: smallest number of such GPUs (tensor parallel) on which it fits
    :ivar engine_args: arguments to change so that it fits, the fewest first; empty when it fits already
    """

    max_model_len: int | None
    gpu_memory_utilization: float | None
    gpu_count: int | None
    engine_args: dict[str, Any] | None

    def text(self) -> str:
        """One sentence."""
        if self.engine_args == {}:
            return "It fits as declared."
        if not self.engine_args:
            return "No change of arguments makes it fit: use a smaller or quantized model, or a larger GPU."
        words = ", ".join(f"{name}: {_yaml(value)}" for name, value in self.engine_args.items())
        return f"It fits with {words}."


def advise(found: Estimate) -> Advice | None:
    """Advice for an estimate; None when there was no verdict."""
    if found.fits is None or found.settings is None or found.shape is None or found.kv is None:
        return None
    question = found.question
    if found.settings.cpu:
        return Advice(_longest(found), None, None, {} if found.fits else _cheapest(found))
    return Advice(
        _longest(found),
        _share(found),
        _count(question, found),
        {} if found.fits else _cheapest(found),
    )


def _longest(found: Estimate) -> int | None:
    if found.settings is None or found.shape is None or found.kv is None:
        raise AssertionError("called too early")
    limit = max(found.settings.max_len, found.shape.positions)
    best = kv_cache.longest(found.shape, found.settings, max(0.0, found.kv.value), limit, found.draft_token)
    # A length decides the profiling run of V0 too, and the free memory has its say: try it, then smaller ones.
    if best >= found.settings.block and estimate(found.question.with_arguments(max_model_len=best)).fits:
        return best
    step = 16
    low, high = 0, best // step
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(found.question.with_arguments(max_model_len=middle * step)).fits:
            low = middle
        else:
            high = middle - 1
    return low * step or None


def _share(found: Estimate) -> float | None:
    gpu, settings = found.question.gpu, found.settings
    if gpu is None or not gpu.memory or settings is None or settings.cache_bytes is not None or found.kv is None:
        return None
    if found.needed is None or found.budget is None:
        raise AssertionError("called too early")
    least = (found.budget - found.kv.value + found.needed) / gpu.memory
    share = max(0.01, math.ceil(least * 100) / 100)
    for tried in (share, share + 0.01, share + 0.05, share + 0.1):
        value = round(tried, 2)
        if value <= 1 and estimate(found.question.with_arguments(gpu_memory_utilization=value)).fits:
            return value
    return None


def _count(question: Question, found: Estimate) -> int | None:
    if found.settings is None or found.shape is None:
        raise AssertionError("called too early")
    if found.settings.pipeline > 1:
        return None
    for count in (1, 2, 4, 8, 16):
        if found.shape.heads % count:
            continue
        more = dataclasses.replace(question.with_arguments(tensor_parallel_size=count), gpu_count=count)
        if estimate(more).fits:
            return count
    return None


def _cheapest(found: Estimate) -> dict[str, Any] | None:
    """The change that costs least: length, share, sequences, graphs, more of them at once, more GPUs."""
    even = fewer_ranks(found)
    if even is not None:
        answer = estimate(found.question.with_arguments(tensor_parallel_size=even))
        more = {} if answer.fits else _cheapest(answer)
        return None if more is None else {"tensor_parallel_size": even, **more}
    for changed in _candidates(found):
        question = found.question.with_arguments(**changed)
        answer = estimate(question)
        if answer.fits:
            return changed
        if "max_model_len" not in changed and answer.kv is not None and answer.kv.value > 0:
            shorter = _longest(answer)
            if shorter and shorter >= min(USEFUL, found.settings.max_len if found.settings else USEFUL):
                return {**changed, "max_model_len": shorter}
    return None


def _candidates(found: Estimate) -> Iterator[dict[str, Any]]:
    settings, gpu = found.settings, found.question.gpu or Gpu()
    if settings is None:
        raise AssertionError("called too early")
    single: list[dict[str, Any]] = [{}]
    if settings.cpu:
        yield {}
        return
    if gpu.memory and settings.cache_bytes is None:
        free = gpu.memory if gpu.free is None else min(gpu.free, gpu.memory)
        share = min(MOST, math.floor(100 * free / gpu.memory) / 100)
        if share > 0 and abs(share - settings.utilization) > 0.001:
            single.append({"gpu_memory_utilization": share})
    options: list[list[dict[str, Any]]] = [single]
    options.append([{}, *({"max_num_seqs": number} for number in (64, 16) if number < settings.max_seqs)])
    options.append([{}] if settings.eager else [{}, {"enforce_eager": True}])
    if settings.cache_bytes is not None:
        options.append([{}, {"kv_cache_memory_bytes": found.needed}])
    for parts in sorted(itertools.product(*options), key=lambda parts: sum(bool(part) for part in parts)):
        yield {name: value for part in parts for name, value in part.items()}
    if "tensor_parallel_size" not in named(found.question.engine_args) and (found.question.gpu_count or 1) <= 1:
        return


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
