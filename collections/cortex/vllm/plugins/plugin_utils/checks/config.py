# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What ``config.json`` says that decides whether a model runs, in the names that vLLM looks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .context import Server

#: Where a multimodal model keeps the configuration of its language model
#: (transformers ``get_text_config``; vllm/transformers_utils/config.py get_hf_text_config).
TEXT = ("text_config", "thinker_config", "language_config", "llm_config")

_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


class Config:
    """The configuration of a model with the declaration's ``hf_overrides`` in it."""

    def __init__(self, top: Mapping[str, Any]) -> None:
        self.top = top
        self.text = _text(top)

    @classmethod
    def of(cls, server: Server) -> Config | None:
        """What a start would see; None when the model's files were not looked at or hold no configuration."""
        found = (server.model or {}).get("config")
        if not isinstance(found, Mapping) or not found:
            return None
        overrides = server.argument("hf_overrides")
        if isinstance(overrides, str):
            try:
                overrides = json.loads(overrides)
            except ValueError:
                overrides = None
        return cls(_merged(found, overrides) if isinstance(overrides, Mapping) else found)

    def number(self, *names: str) -> int | None:
        """The first of the names that holds a whole number; lists (one value a layer) are unknown."""
        for name in names:
            value = self.text.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        return None

    @property
    def heads(self) -> int | None:
        return self.number(*_HEADS)

    @property
    def kv_heads(self) -> int | None:
        """Heads of keys and values; None when unknown, and for MLA, which has one latent that every GPU holds."""
        if "kv_lora_rank" in self.text:
            return None
        if self.text.get("multi_query") is True and not self.text.get("new_decoder_architecture"):
            return 1
        return self.number(*_KV_HEADS)

    @property
    def layers(self) -> int | None:
        return self.number(*_LAYERS)

    @property
    def experts(self) -> int | None:
        found = self.number(*_EXPERTS)
        return found if found and found > 1 else None

    @property
    def architectures(self) -> list[str]:
        found = self.top.get("architectures")
        return [str(item) for item in found] if isinstance(found, list) else []

    @property
    def model_type(self) -> str:
        return str(self.top.get("model_type") or "")

    @property
    def dtype(self) -> str | None:
        """``bfloat16``, as the checkpoint was saved (``dtype`` since Transformers 4.56, ``torch_dtype`` before)."""
        for config in (self.text, self.top):
            value = config.get("dtype") or config.get("torch_dtype")
            if isinstance(value, str):
                return value.removeprefix("torch.")
        return None

    @property
    def quantization(self) -> Mapping[str, Any]:
        """The checkpoint's own quantization; empty when it has none."""
        for config in (self.top, self.text):
            for name in ("quantization_config", "compression_config"):
                found = config.get(name)
                if isinstance(found, Mapping) and found:
                    return found
        return {}

    @property
    def rope(self) -> list[Mapping[str, Any]]:
        """Rope parameters: one mapping, or one for each kind of layer."""
        found = self.text.get("rope_parameters") or self.text.get("rope_scaling")
        if not isinstance(found, Mapping):
            return []
        nested = [item for item in found.values() if isinstance(item, Mapping)]
        return nested or [found]


def _text(top: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in TEXT:
        inner = top.get(name)
        if isinstance(inner, Mapping) and inner:
            return _text(inner)
    return top


def _merged(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(config)
    for name, value in overrides.items():
        inner = result.get(name)
        result[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result
