# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Weights for each GPU: parameters counted by what they are, since that decides who shares them and who shrinks.

Counted as vLLM lays them out: linear layers, embedding and head are cut by tensor parallel, norms and routers are on
every rank, KV heads are repeated when there are fewer than ranks (vllm/model_executor/layers/linear.py
QKVParallelLinear), tables of rotary positions are on every rank (``rotary``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import rotary, state_space, vision
from .arguments import integer
from .padding import Padding
from .quantization import Encoding, plain
from .shape import Shape

#: What logs show above the parameters: 0 to 0.5 % (median 0.3 %) in 16 and 8 bits, more with kernels that repack.
PLAIN, QUANTIZED = 1.001, 1.006
#: Parts that stay as they are: norms, and routers of experts.
_KEPT = frozenset({"norm", "router"})
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
        last = embedding * how.parts.get("head", float(element)) / element
        ends = embedding + last if pipeline == 1 else max(embedding, last)
    if shape.narrow:
        words = int(shape.config.get("vocab_size_per_layer_input") or shape.vocab)
        ends += (words + shape.hidden) * shape.narrow * shape.layers / tensor * element
    if "learned" in shape.traits:
        ends += (shape.positions or 2048) * shape.hidden * element
    tables = 0.0 if shape.traits & {"learned", "alibi", "mamba"} else rotary.tables(shape)
    tower, spread = vision.weights(shape, tensor, element, how)
    total = (layers + ends + tower) * (QUANTIZED if how.repacks else PLAIN) + tables + BUFFERS
    return Weights(total, tower, spread + total * (0.01 if not how.quantized else 0.02))


def blocks(shape: Shape, how: Encoding, tensor: int) -> float | None:
    """Bytes of all layers on one rank; None when the encoding's size is unknown."""
    if how.linear is None or how.experts is None:
        return None
    kept = 2.0 if how.quantized else float(shape.dtype_bytes)
    total = sum(
        count * (kept if part in _KEPT else how.of(part) if how.quantized else kept)
        for part, count in parts(shape, how, tensor).items()
    )
    return total + absorbed(shape, how, tensor)


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
    filed = dataclasses.replace(how, pads=Padding())  # kernels' padding is not in the file
    whole = [per_gpu(shape, item) for item in (filed, plain(2))]
    totals = [item.total for item in whole if item is not None]
    totals += [total + extra for total in totals[:1] for extra in _not_loaded(shape, filed)]
    nearest = min(totals, key=lambda total: abs(math.log(max(size, 1) / total)))
    ratio = size / nearest
    if not 0.8 < ratio < 1.6:  # the file is not what the configuration describes: trust the file
        rough = size / tensor / pipeline
        return Weights(rough, 0.0, rough * 0.15)
    if how.mxfp4:  # such checkpoints bring other copies of the weights
        ratio = 1.0
    return Weights(wanted.total * ratio, wanted.tower * ratio, wanted.total * 0.01)


def _not_loaded(shape: Shape, how: Encoding) -> list[float]:
    """Bytes of layers for multi-token prediction, which lie in the file and are loaded for speculation alone."""
    number = int(shape.config.get("num_nextn_predict_layers") or shape.config.get("mtp_num_hidden_layers") or 0)
    if not number:
        return []
    one = dataclasses.replace(
        shape, layers=1, dense_layers=0 if shape.experts else 1, kinds=("full",), vision=None, widths=()
    )
    return [number * (blocks(one, item, 1) or 0.0) + number * 4.0 * shape.hidden**2 for item in (how, plain(2))]


def parts(shape: Shape, how: Encoding, tensor: int) -> dict[str, float]:
    """Parameters of all layers on one rank, by the part of a layer that they are (``modules.PARTS``, ``_KEPT``)."""
    found: dict[str, float] = {}
    if "mamba" in shape.traits:
        return _mamba_parts(shape, how, tensor)
    recurrent = shape.kinds.count("linear")
    wide = shape.kinds.count("full") if shape.wide_heads else 0
    without = shape.kinds.count("shared") if "searched" in shape.traits else 0
    found["attention"] = _attention(shape, tensor) * (shape.layers - recurrent - wide - without)
    if wide:
        found["attention"] += _attention(dataclasses.replace(
            shape, kv_heads=shape.wide_heads, head_dim=shape.wide_dim
        ), tensor) * wide  # fmt: skip
    found["norm"] = 2.0 * shape.hidden * shape.layers
    if shape.latent:
        found["latent"] = _latent_replicated(shape) * shape.layers + _indexer(shape) * shape.indexed
    if recurrent:
        found["recurrent"] = _linear_attention(shape.config, shape.hidden) / tensor * recurrent
    matrices = 2 if "plain" in shape.traits else 3
    each = matrices * shape.hidden / tensor
    if shape.widths:
        found["mlp"] = each * sum(shape.widths)
    else:
        beside = shape.layers if "beside" in shape.traits else shape.dense_layers  # an MLP beside the experts
        found["mlp"] = each * shape.intermediate * (beside if shape.experts else shape.layers)
    if shape.narrow:  # Gemma's inputs of each layer: a gate and a projection, on every rank
        found["norm"] += 2.0 * shape.hidden * shape.narrow * shape.layers
    if not shape.experts:
        return found
    sparse = shape.layers - shape.dense_layers
    found["shared"] = each * shape.shared_width * sparse
    found["router"] = shape.hidden * shape.experts * sparse
    one = how.pads.weights(shape.hidden, shape.expert_width / tensor, 3, how.of("experts"))
    found["experts"] = one * shape.experts * sparse / _shared_by(shape)
    return found


def absorbed(shape: Shape, how: Encoding, tensor: int) -> float:
    """Copies that MLA makes of its up-projection when it is quantized: both halves in 16 bits.

    vllm/v1/attention/backends/mla/common.py ``process_weights_after_loading`` (``W_UK_T``, ``W_UV``); views of the
    weights themselves where they are not quantized.
    """
    if not shape.latent or how.parts.get("attention", how.linear) == 2.0 or not how.quantized:
        return 0.0
    flat = shape.config
    rank, heads = int(flat.get("kv_lora_rank") or 512), shape.heads / tensor
    both = int(flat.get("qk_nope_head_dim") or 128) + int(flat.get("v_head_dim") or 128)
    return rank * heads * both * 2.0 * shape.layers


def absorbed_before(shape: Shape, how: Encoding, tensor: int) -> float:
    """What 0.7 keeps beside that: the products of MLA's matrices, in the weights' own type.

    vllm/attention/backends/mla/utils.py of 0.7 (``W_Q_UK``, ``W_UV_O``, ``W_QR``).
    """
    if not shape.latent:
        return 0.0
    flat = shape.config
    rank, heads = int(flat.get("kv_lora_rank") or 512), shape.heads / tensor
    query = int(flat.get("q_lora_rank") or 0) or shape.hidden
    products = rank * heads * (query + shape.hidden) * how.of("attention")
    return (products + query * heads * int(flat.get("qk_rope_head_dim") or 64) * 2.0) * shape.layers


def _mamba_parts(shape: Shape, how: Encoding, tensor: int) -> dict[str, float]:
    """The same for models with Mamba layers, whose layers differ in what they have."""
    found: dict[str, float] = {}
    flat = shape.config
    attention, mamba, neither = (shape.kinds.count(kind) for kind in ("full", "linear", "shared"))
    sparse = shape.layers - shape.dense_layers if shape.experts else 0
    if shape.family == "NemotronH":
        mlps = neither  # each of its layers is one thing
    else:
        mlps = 0 if shape.family in state_space.PURE else shape.layers
    found["attention"] = attention * _attention(shape, tensor)
    found["mixer"] = mamba * state_space.mixer(flat, shape.family, shape.hidden) / tensor
    matrices = 2 if "plain" in shape.traits else 3
    each = matrices * shape.hidden / tensor
    found["mlp"] = each * shape.intermediate * (mlps - sparse)
    found["shared"] = each * shape.shared_width * sparse
    found["norm"] = shape.hidden * 2.0 * shape.layers
    found["router"] = float(shape.hidden * shape.experts * sparse)
    inner = int(flat.get("moe_latent_size") or 0)  # experts on a narrower vector, its projections on every rank
    found["latent"] = 2.0 * shape.hidden * inner * sparse
    one = how.pads.weights(inner or shape.hidden, shape.expert_width / tensor, matrices, how.of("experts"))
    found["experts"] = one * shape.experts * sparse / _shared_by(shape)
    return found


def _shared_by(shape: Shape) -> int:
    """Data parallel copies that share the experts (expert parallel), beside the ranks of each."""
    return max(1, int(shape.config.get("expert_copies") or 1))


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
    """MLA's down projections are on every rank (models/deepseek_v2.py)."""
    return shape.hidden * (int(shape.config.get("q_lora_rank") or 0) + shape.latent)


def _indexer(shape: Shape) -> int:
    """The indexer of sparse attention, on every rank too (the same, ``Indexer``)."""
    query, index = int(shape.config.get("q_lora_rank") or 0), int(shape.config.get("index_head_dim") or 0)
    heads = int(shape.config.get("index_n_heads") or 0)
    return shape.hidden * (index + heads) + query * heads * index


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
    rank, slots = integer(arguments, "max_lora_rank", 16), integer(arguments, "max_loras", 1)
    wide = 4 * (shape.hidden + shape.head_dim * shape.heads) + 3 * (shape.hidden + shape.intermediate)
    return 2.0 * rank * slots * shape.layers * wide / tensor
