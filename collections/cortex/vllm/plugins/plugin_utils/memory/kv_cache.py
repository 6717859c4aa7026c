# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The KV cache: bytes of a token, tokens in so many bytes, requests at full length, bytes that one request needs.

As vllm/v1/kv_cache_interface.py (what each kind of layer keeps) and vllm/v1/core/kv_cache_utils.py (how layers of
different kinds share one pool of blocks) of the releases do it; V0 as vllm/worker/cache_engine.py did.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import runner, state_space
from .arguments import Settings, true
from .shape import DTYPE_BYTES, Shape


class UnknownCache(ValueError):
    """The size of a cache entry is not known for this type or layout."""


@dataclass(frozen=True)
class Layout:
    """How the layers of one rank share the pool.

    :ivar page: bytes of one block of one layer
    :ivar group: layers that share one block number, each with a page of its own
    :ivar groups: (kind, number of groups)
    :ivar block: tokens of a block of the layers that keep everything
    :ivar slid: tokens of a block of the layers that slide, where they keep more for a token than the others
    :ivar states: blocks of a layer with a state of fixed size that one request holds; 0: as many as of the others
    :ivar extra: bytes of one block of the draft model's layers, which share its number
    """

    page: int
    group: int
    groups: tuple[tuple[str, int], ...]
    block: int
    window: int
    extra: int = 0
    slid: int = 0
    states: int = 1

    @property
    def smallest(self) -> int:
        """Tokens of the smallest block of all groups."""
        return min(self.block, self.slid or self.block)

    @property
    def unit(self) -> int:
        """Bytes of one block number."""
        return self.page * self.group + self.extra

    @property
    def per_token(self) -> float:
        """Bytes that a token takes in all groups together, before any window slides."""
        return (self.page * self.group * sum(number for _kind, number in self.groups) + self.extra) / self.block


@dataclass(frozen=True)
class Cache:
    """What fits. ``needed``: bytes that one request of ``max_model_len`` takes."""

    tokens: int
    concurrency: float
    needed: int
    per_token: float
    block: int


def element_bytes(settings: Settings, config: Mapping[str, Any]) -> float:
    """Bytes of one cached number.

    :raises UnknownCache: for packed types that have their own layout
    """
    name = settings.cache_dtype.lower()
    if name == "auto":
        own = config.get("quantization_config") or {}
        scheme = own.get("kv_cache_scheme") if isinstance(own, Mapping) else None
        if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
            return 1.0
        if isinstance(own, Mapping) and "fp8" in str(own.get("kv_cache_quant_algo") or "").lower():
            return 1.0
        return float(DTYPE_BYTES[settings.dtype])
    if name.startswith(("fp8", "int8", "uint8")):
        return 1.0
    if name in DTYPE_BYTES:
        return float(DTYPE_BYTES[name])
    if name == "nvfp4":
        return 0.5 + 1 / 16
    raise UnknownCache(f"the size of a cache entry of type {settings.cache_dtype} is not known")


def token_bytes(shape: Shape, settings: Settings, kind: str = "") -> float:
    """Bytes that one layer keeps for one token on one rank."""
    if kind == "full" and shape.wide_heads:
        shape = dataclasses.replace(shape, kv_heads=shape.wide_heads, head_dim=shape.wide_dim)
    element = element_bytes(settings, shape.config)
    if shape.latent and settings.v1:
        # The indexer's entry is in FP8 with a scale; all layers share a block number, so each takes its part.
        index = (int(shape.config.get("index_head_dim") or 0) + 4) * shape.indexed / shape.layers
        if settings.cache_dtype == "fp8_ds_mla":
            return 656.0 + index  # 512 latent in FP8, 4 scales, 64 rotary in 16 bits (flashmla)
        return shape.latent * element + index
    if shape.latent and settings.key >= ((0, 7), 0, 0):
        # V0 aligned each entry to 256 bytes (vllm/worker/cache_engine.py of 0.7): 576 → 640 in 16 bits.
        return math.ceil(shape.latent * element / 256) * 256.0
    if shape.latent:
        return 2 * max(1, shape.heads // settings.tensor) * 256 * element  # expanded and padded before 0.7
    return 2 * max(1, shape.kv_heads // settings.tensor) * shape.head_dim * element


def state_bytes(shape: Shape, settings: Settings) -> float:
    """Bytes of the state of one recurrent layer for one request (vllm/model_executor/layers/mamba/mamba_utils.py)."""
    flat = shape.config
    if "mamba" in shape.traits:
        convolution, kept = state_space.state(flat, shape.family, shape.hidden, settings.tensor)
        wanted = str(settings.given.get("mamba_ssm_cache_dtype") or "auto")
        wanted = str(flat.get("mamba_ssm_cache_dtype") or "auto") if wanted == "auto" else wanted
        return convolution * DTYPE_BYTES[settings.dtype] + kept * DTYPE_BYTES.get(wanted, DTYPE_BYTES[settings.dtype])
    keys = int(flat.get("linear_num_key_heads") or 0) * int(flat.get("linear_key_head_dim") or 0)
    heads = int(flat["linear_num_value_heads"])
    values = heads * int(flat["linear_value_head_dim"])
    depth = int(flat.get("linear_conv_kernel_dim") or 4) - 1
    element = DTYPE_BYTES[settings.dtype]
    wanted = str(settings.given.get("mamba_ssm_cache_dtype") or "auto")
    if wanted == "auto":
        wanted = str(flat.get("mamba_ssm_dtype") or ("float32" if shape.family.startswith("Qwen3_5") else "auto"))
    state = DTYPE_BYTES.get(wanted, element)
    convolution = (2 * keys + values) / settings.tensor * depth * element
    return (
        convolution
        + heads / settings.tensor * int(flat["linear_key_head_dim"]) * int(flat["linear_value_head_dim"]) * state
    )


def layout(shape: Shape, settings: Settings, draft: float = 0.0) -> Layout:
    """Groups of layers (get_kv_cache_groups): each group has as many layers as the rarest kind."""
    kinds = Counter(kind for kind in shape.kinds if kind != "shared")
    kept = math.ceil(sum(kinds.values()) / settings.pipeline)
    token = token_bytes(shape, settings, "full" if set(kinds) == {"full"} else "")
    block = settings.block
    if not settings.hybrid and "linear" not in kinds:
        return Layout(int(token * block), kept, (("full", 1),), block, 0, int(draft * block))
    if set(kinds) == {"linear"}:  # one state for a request, however long it is
        return Layout(math.ceil(state_bytes(shape, settings)), kept, (("linear", 1),), settings.max_len, 0)
    if len(kinds) == 1:
        kind = next(iter(kinds))
        return Layout(int(token * block), kept, ((kind, 1),), block, shape.window, int(draft * block))
    if settings.pipeline > 1:
        kinds = Counter({kind: math.ceil(count / settings.pipeline) for kind, count in kinds.items()})
    if "linear" in kinds:
        # The page of attention grows until it holds a state (vllm/model_executor/models/config.py).
        block = max(block, 16 * math.ceil(state_bytes(shape, settings) / (16 * token)))
    slid, size = 0, token * block
    if shape.wide_heads and "full" in kinds:
        # The smaller page grows to the larger by a longer block (kv_cache_utils.py unify_kv_cache_spec_page_size).
        wide = token_bytes(shape, settings, "full")
        size = max(token, wide) * block
        slid, block = int(size // token), int(size // wide)
    least, most = min(kinds.values()), max(kinds.values())
    factor = 1.5 if settings.key >= ((0, 20), 0, 0) else 1.25 if settings.key >= ((0, 11, 1), 0, 0) else 0.0
    group = most if most < least * factor else least
    groups = tuple((kind, math.ceil(count / group)) for kind, count in kinds.items())
    page = int(size) if slid else int(token * block)
    return Layout(page, group, groups, block, shape.window, int(draft * block), slid, states(shape, settings))


def states(shape: Shape, settings: Settings) -> int:
    """Blocks of a layer with a state of fixed size that a request holds; 0: one for each block of the others.

    vllm/v1/kv_cache_interface.py MambaSpec.max_memory_usage_bytes. With prefix caching, which models with attention
    beside have by themselves since 0.26 (vllm/config/model.py is_prefix_caching_supported), a request holds two, or one
    for each block where the model can do it (``all``, until 0.31; models/config.py MambaModelConfig).
    """
    said = settings.given.get("speculative_config")
    ahead = int(said.get("num_speculative_tokens") or 0) if isinstance(said, Mapping) else 0
    if settings.key < ((0, 17), 0, 0):
        return 1 + ahead
    caching, alone = settings.given.get("enable_prefix_caching"), "full" not in shape.kinds
    if not (settings.key >= ((0, 26), 0, 0) and not alone if caching is None else true(caching)):
        return 1 + ahead
    mode = str(settings.given.get("mamba_cache_mode") or "none")
    able = "mamba" in shape.traits and settings.key < ((0, 32), 0, 0)
    if able and mode in {"none", "all"}:
        return 0
    return 2 + ahead


def blocks_needed(plan: Layout, settings: Settings, length: int) -> int:
    """Blocks that one request of ``length`` tokens holds, over all groups."""
    total = 0
    for kind, number in plan.groups:
        total += number * _blocks(kind, plan, settings, length)
    return total


def _blocks(kind: str, plan: Layout, settings: Settings, length: int) -> int:
    if kind == "linear":
        return plan.states or math.ceil(length / plan.block)
    ahead = runner.batches_in_flight(settings) * settings.batched
    if kind == "sliding" and plan.window:
        # +1: the window need not begin at a block's first token.
        return math.ceil(min(plan.window - 1 + ahead, length) / (plan.slid or plan.block)) + 1
    if kind == "chunked" and plan.window:
        return math.ceil(min(plan.window + ahead, length) / plan.block)
    return math.ceil(length / plan.block)


def cache(shape: Shape, settings: Settings, available: float, draft: float = 0.0) -> Cache:
    """What ``available`` bytes on one rank hold. ``draft``: bytes that a draft model keeps for a token."""
    if all(kind == "shared" for kind in shape.kinds):
        return Cache(0, 0.0, 0, 0.0, settings.block)
    plan = layout(shape, settings, draft)
    unit = plan.unit
    blocks = max(0, int(available // unit))
    request = blocks_needed(plan, settings, settings.max_len)
    concurrency = blocks / request
    # What is logged since 0.20.1 (kv_cache_utils.py _report_kv_cache_config).
    if settings.v1 and settings.key >= ((0, 20, 1), 0, 0):
        tokens = int(concurrency * settings.max_len)
    else:
        tokens = blocks // sum(number for _kind, number in plan.groups) * plan.smallest
    return Cache(tokens, concurrency, request * unit, plan.per_token, plan.block)


def longest(shape: Shape, settings: Settings, available: float, limit: int, draft: float = 0.0) -> int:
    """The largest length, in whole blocks and at most ``limit``, of which one request fits; 0 for none."""
    if all(kind == "shared" for kind in shape.kinds):
        return limit
    plan = layout(shape, settings, draft)
    blocks = int(available // plan.unit)
    low, high = 0, math.ceil(limit / plan.block)
    while low < high:
        middle = (low + high + 1) // 2
        if blocks_needed(plan, settings, min(limit, middle * plan.block)) <= blocks:
            low = middle
        else:
            high = middle - 1
    return min(limit, low * plan.block)
