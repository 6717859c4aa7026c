# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Bytes that one weight takes, by quantization method. Scales and zero points are counted.

Sources: vllm/model_executor/layers/quantization/ (``create_weights`` of each method) of 0.33.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import modules
from .padding import MARLIN, Padding

_GROUPED = {"awq", "gptq", "auto_awq", "auto_gptq", "moe_wna16", "gptq_bitblas", "hqq", "inc", "auto-round"}
_ONE_BYTE = {
    "fp8", "fbgemm_fp8", "ptpc_fp8", "modelopt", "modelopt_mxfp8", "mxfp8", "online", "fp8_per_tensor",
    "fp8_per_channel", "fp8_per_block", "int8_per_channel_weight_only", "deepseek_v4_fp8",
}  # fmt: skip
#: Bytes of a weight: four bits, and a scale of a byte for 32 of them, or 16.
MXFP4, NVFP4 = 0.5 + 1 / 32, 0.5 + 1 / 16


@dataclass(frozen=True)
class Encoding:
    """How weights are held.

    :ivar linear: bytes of a weight of a linear layer; None: the method's size is not known from its name
    :ivar experts: bytes of a weight of an expert
    :ivar pads: how experts' sizes are rounded up for their kernels
    :ivar parts: bytes of a weight for each part of a layer (``modules.PARTS``) where they differ
    :ivar assumed: what was taken for granted, in words
    """

    method: str
    linear: float | None
    experts: float | None
    pads: Padding = Padding()
    parts: Mapping[str, float] = field(default_factory=dict)
    assumed: str = ""

    def of(self, part: str) -> float:
        """Bytes of a weight of one part of a layer."""
        usual = self.experts if part == "experts" else self.linear
        return self.parts.get(part, usual if usual is not None else 2.0)

    @property
    def repacks(self) -> bool:
        """Whether its kernels lay weights out anew, with room for it."""
        return self.quantized and not self.mxfp4 and self.linear is not None and self.linear < 1

    @property
    def mxfp4(self) -> bool:
        return "mxfp4" in self.method and self.experts == MXFP4

    @property
    def quantized(self) -> bool:
        return bool(self.method)


def plain(dtype_bytes: int) -> Encoding:
    """Weights as they are."""
    return Encoding("", float(dtype_bytes), float(dtype_bytes))


def encoding(
    declared: str | None, config: Mapping[str, Any], dtype_bytes: int, layers: Mapping[str, int] | None = None
) -> Encoding:
    """The encoding that a start has.

    :param declared: the argument ``quantization``; what the checkpoint says of itself wins, as in vLLM
    :param config: the checkpoint's configuration
    :param layers: how many layers have each part of ``modules.PARTS``, which names of modules are counted against
    """
    own = config.get("quantization_config") or config.get("compression_config") or {}
    own = own if isinstance(own, Mapping) else {}
    method = str(own.get("quant_method") or declared or "").lower().replace("_marlin", "").replace("_24", "")
    if not method or method == "none":
        return plain(dtype_bytes)
    size = _size(method, own)
    if method in {"mxfp4", "gpt_oss_mxfp4"}:
        return Encoding(method, float(dtype_bytes), MXFP4, pads=MARLIN)
    if method == "experts_int8":
        return Encoding(method, float(dtype_bytes), 1.0)
    parts = modules.sizes(own, size, layers or {}, _weights)
    if parts and size is None:
        size = parts["mlp"]
    assumed = ""
    if method in {"compressed-tensors", "compressed_tensors"} and not own.get("config_groups"):
        assumed = "the checkpoint's quantization_config does not say how its groups are packed: 8 bits are assumed"
    return Encoding(method, size, size, parts=parts, assumed=assumed)


def _size(method: str, own: Mapping[str, Any]) -> float | None:
    if method in _GROUPED:
        return grouped(_int(own, ("bits", "w_bit"), 4), _int(own, ("group_size", "q_group_size"), 128))
    if method == "bitsandbytes":
        # Blocks of 64 weights with one scale, itself kept in 8 bits with a float for 256 of them (compress_statistics).
        return 1.0 if own.get("load_in_8bit") else 0.5 + 1 / 64 + 4 / (64 * 256)
    if method in {"modelopt_fp4", "nvfp4", "nvfp4_per_token", "petit_nvfp4"}:
        return NVFP4
    if method in {"compressed-tensors", "compressed_tensors"}:
        return _compressed(own)
    if method == "modelopt" and "FP4" in str(own.get("quant_algo") or ""):
        return NVFP4
    return 1.0 if method in _ONE_BYTE else None


def _compressed(own: Mapping[str, Any]) -> float | None:
    groups = own.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        return 1.0
    first = next(iter(groups.values()))
    return _weights(first.get("weights") or {} if isinstance(first, Mapping) else {})


def _weights(weights: Mapping[str, Any]) -> float:
    """Bytes of a weight by a group's ``weights``."""
    bits, size = int(weights.get("num_bits") or 8), int(weights.get("group_size") or 0)
    if bits == 4 and str(weights.get("type")) == "float":
        return NVFP4
    return grouped(bits, size) if bits < 8 else 1.0


def grouped(bits: int, group: int) -> float:
    """Integers in groups: a 16-bit scale and a zero point for each group of the input dimension."""
    return bits / 8 + ((2 + bits / 8) / group if group > 0 else 0.0)


def machete(how: Encoding, config: Mapping[str, Any]) -> Encoding:
    """AWQ as Hopper's kernel keeps it: zero points multiplied with their scales, in 16 bits.

    vllm/model_executor/kernels/linear/mixed_precision/machete.py ``transform_w_zp``; AWQ takes it since 0.20.
    """
    own = config.get("quantization_config") or {}
    group = _int(own, ("group_size", "q_group_size"), 128)
    if how.linear is None or group <= 0 or own.get("zero_point") is False:
        return how
    more = (2 - _int(own, ("bits", "w_bit"), 4) / 8) / group
    parts = {part: size + more if size == how.linear else size for part, size in how.parts.items()}
    return dataclasses.replace(how, linear=how.linear + more, parts=parts)


def _int(own: Mapping[str, Any], names: tuple[str, ...], usual: int) -> int:
    return next((int(own[name]) for name in names if isinstance(own.get(name), int)), usual)
