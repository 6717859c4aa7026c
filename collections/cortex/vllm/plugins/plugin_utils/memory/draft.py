# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The draft model of speculative decoding: its weights, and the layers that it adds to the cache.

A draft's attention layers register beside the target's and share its blocks (vllm/v1/spec_decode/, V1). MTP uses layers
that the target's own checkpoint holds (vllm/config/speculative.py); n-gram and suffix methods have no model.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import kv_cache, modules, quantization, weights
from .arguments import Settings
from .shape import Shape, UnknownArchitecture, read

#: Methods without a model of their own.
_NONE = frozenset({"ngram", "ngram_gpu", "suffix", "custom_class"})


@dataclass(frozen=True)
class Draft:
    """Bytes on one rank. ``token``: what its layers keep for one token; ``unknown``: why it is left out."""

    weights: float = 0.0
    token: float = 0.0
    unknown: str = ""


def draft(
    target: Shape,
    settings: Settings,
    how: quantization.Encoding,
    config: Mapping[str, Any] | None = None,
    size: int | None = None,
) -> Draft:
    """What the draft model of a start takes; nothing when there is none.

    :param how: encoding of the target's weights, which its MTP layers have too
    :param config: the draft's config.json
    :param size: bytes of the draft's checkpoint
    """
    said = settings.given.get("speculative_config")
    said = said if isinstance(said, Mapping) else {}
    name = said.get("model") or settings.given.get("speculative_model")
    method = str(said.get("method") or "").lower()
    if method in _NONE or str(name).strip("[]") == "ngram":
        return Draft()
    if method.endswith("mtp"):
        return _own(target, settings, how)
    if not (said or name or config or size):
        return Draft()
    tensor = int(said.get("draft_tensor_parallel_size") or settings.tensor)
    if config is None:
        text = f"the draft model {name} is left out: its configuration is not known" if name or size is None else ""
        return Draft(size / tensor if size else 0.0, 0.0, "" if size else text)
    try:
        shape = read(config)
    except UnknownArchitecture as problem:
        return Draft(size / tensor if size else 0.0, 0.0, f"the draft model is left out: {problem}")
    found = weights.per_gpu(shape, quantization.plain(2), tensor)
    token = kv_cache.token_bytes(shape, settings) * len([kind for kind in shape.kinds if kind != "shared"])
    total = size / tensor if size else found.total if found else 0.0
    return Draft(total, token if settings.v1 else 0.0)


def _own(target: Shape, settings: Settings, how: quantization.Encoding) -> Draft:
    """Layers for multi-token prediction: each a layer of the target and a projection of two hidden states to one."""
    if _apart(target):
        how = quantization.plain(2)
    number = int(target.config.get("num_nextn_predict_layers") or target.config.get("mtp_num_hidden_layers") or 1)
    one = dataclasses.replace(target, layers=1, dense_layers=0 if target.experts else 1, kinds=("full",), vision=None)
    none = dataclasses.replace(one, layers=0, dense_layers=0, kinds=())
    parts = [weights.blocks(shape, how, settings.tensor) for shape in (one, none)]
    if None in parts:
        return Draft(0.0, kv_cache.token_bytes(target, settings) * number)
    layer = (parts[0] or 0.0) - (parts[1] or 0.0) + 2.0 * target.hidden * target.hidden * 2
    return Draft(layer * number, kv_cache.token_bytes(target, settings) * number)


def _apart(target: Shape) -> bool:
    """Whether a quantized checkpoint leaves these layers in 16 bits: by their name, or as the layer after the last."""
    own = target.config.get("quantization_config")
    names = modules.left_out_of(own) if isinstance(own, Mapping) else []
    return any("mtp" in name or re.search(rf"layers\\?\.{target.layers}\b", name) for name in names)
