# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Weights for each GPU: parameters counted by what they are, since that decides who shares them and who shrinks.

Counted as vLLM lays them out: linear layers, embedding and head are cut by tensor parallel, norms and routers are on
every rank, KV heads are repeated when there are fewer than ranks (vllm/model_executor/layers/linear.py
QKVParallelLinear), the cache of rotary positions is on every rank (rotary_embedding/base.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import state_space, vision
from .quantization import Encoding, plain
from .shape import Shape

#: What logs show above the parameters: 0 to 0.5 % (median 0.3 %) in 16 bits, about twice that with kernels that repack.
PLAIN, QUANTIZED = 1.002, 1.006
#: Buffers of every model (input ids, sampling state).
BUFFERS = 6 << 20


@dataclass(frozen=True)
class Weights:
    """Bytes on the fullest rank.

    :ivar tower: of which the vision tower's
    :ivar spread: how much the figure may be off, bytes
    """

    total: float
    tower: float
    spread: float


def per_gpu(shape: Shape, how: Encoding, tensor: int = 1, pipeline: int = 1, head: bool = True) -> Weights | None:
    """Weights from the configuration alone.

    :param how: encoding of linear layers and experts
    :param head: whether the output head is loaded (it is not for pooling)
    :returns: None when the encoding's size is unknown
    """
    if how.linear is None or how.experts is None:
        return None
    element = 2 if how.quantized else shape.dtype_bytes
    share = math.ceil(shape.layers / pipeline) / shape.layers
    layers = (blocks(shape, how, tensor) or 0.0) * share
    embedding = math.ceil(shape.vocab / 64) * 64 * shape.hidden / tensor * element
    ends = embedding
    if head and not shape.tied:
        ends = embedding * 2 if pipeline == 1 else embedding
    if "learned" in shape.traits:
        ends += (shape.positions or 2048) * shape.hidden * element
    rotary = 0 if shape.traits & {"learned", "alibi", "mamba"} else (shape.positions or 32768) * _rotary(shape) * 2
    tower, spread = vision.weights(shape, tensor, element, how)
    total = (layers + ends + tower) * (QUANTIZED if how.quantized and not how.pads else PLAIN) + rotary + BUFFERS
    return Weights(total, tower, spread + total * (0.01 if not how.quantized else 0.02))


def blocks(shape: Shape, how: Encoding, tensor: int) -> float | None:
    """Bytes of all layers on one rank; None when the encoding's size is unknown."""
    if how.linear is None or how.experts is None:
        return None
    linear, experts, replicated = _blocks(shape, how, tensor)
    return linear * how.linear + experts * how.experts + replicated * (2 if how.quantized else shape.dtype_bytes)


def from_checkpoint(
    shape: Shape, how: Encoding, size: int, tensor: int = 1, pipeline: int = 1, head: bool = True
) -> Weights:
    """Weights from the bytes of the checkpoint's tensors, shared out as the configuration tells.

    A checkpoint that is quantized while it loads has other bytes than what ends on the GPU: the encoding whose
    computed size is nearest to ``size`` is taken to be the file's.
    """
    wanted = per_gpu(shape, how, tensor, pipeline, head)
    if wanted is None:
        rough = size / tensor / pipeline
        return Weights(rough, 0.0, rough * 0.08)
    whole = [per_gpu(shape, item) for item in (how, plain(2))]
    totals = [item.total for item in whole if item is not None]
    nearest = min(totals, key=lambda total: abs(math.log(max(size, 1) / total)))
    ratio = size / nearest
    if not 0.8 < ratio < 1.6:  # the file is not what the configuration describes: trust the file
        rough = size / tensor / pipeline
        return Weights(rough, 0.0, rough * 0.15)
    if how.pads:  # the kernels' padding is not in the file
        ratio = 1.0
    return Weights(wanted.total * ratio, wanted.tower * ratio, wanted.total * 0.01)


def _rotary(shape: Shape) -> int:
    flat = shape.config
    width = int(flat.get("qk_rope_head_dim") or shape.head_dim)
    partial = flat.get("partial_rotary_factor")
    return int(width * (partial if isinstance(partial, (int, float)) else 1))


def _blocks(shape: Shape, how: Encoding, tensor: int) -> tuple[float, float, float]:
    """Parameters of all layers on one rank: linear, experts, replicated."""
    flat = shape.config
    if "mamba" in shape.traits:
        return _mamba_blocks(shape, tensor)
    recurrent = shape.kinds.count("linear")
    linear = _attention(shape, tensor) * (shape.layers - recurrent)
    replicated = 2.0 * shape.hidden * shape.layers
    if shape.latent:
        replicated += _latent_replicated(shape) * shape.layers
    if recurrent:
        linear += _linear_attention(flat, shape.hidden) / tensor * recurrent
    matrices = 2 if "plain" in shape.traits else 3
    linear += matrices * shape.hidden * shape.intermediate / tensor * (shape.dense_layers if shape.experts else 0)
    if not shape.experts:
        return linear + matrices * shape.hidden * shape.intermediate / tensor * shape.layers, 0.0, replicated
    sparse = shape.layers - shape.dense_layers
    width, hidden = shape.expert_width / tensor, float(shape.hidden)
    if how.pads:
        # Marlin and Triton kernels for MXFP4 want the width in steps of 128 and the hidden size in steps of 256
        # (vllm/model_executor/layers/quantization/mxfp4.py).
        width, hidden = math.ceil(width / 128) * 128.0, math.ceil(hidden / 256) * 256.0
    linear += 3 * shape.hidden * shape.shared_width / tensor * sparse
    replicated += shape.hidden * shape.experts * sparse
    return linear, 3 * hidden * width * shape.experts * sparse, replicated


def _mamba_blocks(shape: Shape, tensor: int) -> tuple[float, float, float]:
    """The same for models with Mamba layers, whose layers differ in what they have."""
    attention, mamba, neither = (shape.kinds.count(kind) for kind in ("full", "linear", "shared"))
    mlps = 0 if shape.family in state_space.PURE else neither if shape.family == "NemotronH" else shape.layers
    linear = attention * _attention(shape, tensor)
    linear += mamba * state_space.mixer(shape.config, shape.family, shape.hidden) / tensor
    each = (2 if "plain" in shape.traits else 3) * shape.hidden / tensor
    sparse = shape.layers - shape.dense_layers if shape.experts else 0
    linear += each * (shape.intermediate * (mlps - sparse) + shape.shared_width * sparse)
    replicated = shape.hidden * (2.0 * shape.layers + shape.experts * sparse)
    return linear, each * shape.expert_width * shape.experts * sparse, replicated


def _attention(shape: Shape, tensor: int) -> float:
    flat = shape.config
    if shape.latent:
        nope, rope = int(flat.get("qk_nope_head_dim") or 128), int(flat.get("qk_rope_head_dim") or 64)
        value, rank = int(flat.get("v_head_dim") or 128), int(flat.get("kv_lora_rank") or 512)
        query = int(flat.get("q_lora_rank") or 0) or shape.hidden
        each = query * shape.heads * (nope + rope) + rank * shape.heads * (nope + value)
        return (each + shape.heads * value * shape.hidden) / tensor
    gate = 2 if shape.family.startswith(("Qwen3Next", "Qwen3_5")) else 1  # output gate beside the query
    own_heads = shape.heads / tensor
    kv = max(1.0, shape.kv_heads / tensor)
    return shape.hidden * shape.head_dim * (own_heads * (gate + 1) + 2 * kv)


def _latent_replicated(shape: Shape) -> float:
    """MLA's down projections are on every rank (vllm/model_executor/models/deepseek_v2.py)."""
    return shape.hidden * (int(shape.config.get("q_lora_rank") or 0) + shape.latent)


def _linear_attention(flat: Mapping[str, Any], hidden: int) -> float:
    """Gated delta net: in_proj for q, k, v, z, b, a, and out_proj (models/qwen3_next.py)."""
    keys = int(flat.get("linear_num_key_heads") or 0) * int(flat.get("linear_key_head_dim") or 0)
    heads = int(flat.get("linear_num_value_heads") or 0)
    values = heads * int(flat.get("linear_value_head_dim") or 0)
    return hidden * (2 * keys + 2 * values + 2 * heads) + values * hidden


def adapters(shape: Shape, arguments: Mapping[str, Any], tensor: int) -> float:
    """Bytes of the slots for LoRA adapters, which are allocated at start (vllm/lora/layers/)."""
    if not arguments.get("enable_lora"):
        return 0.0
    rank, slots = int(arguments.get("max_lora_rank") or 16), int(arguments.get("max_loras") or 1)
    wide = 4 * (shape.hidden + shape.head_dim * shape.heads) + 3 * (shape.hidden + shape.intermediate)
    return 2.0 * rank * slots * shape.layers * wide / tensor
