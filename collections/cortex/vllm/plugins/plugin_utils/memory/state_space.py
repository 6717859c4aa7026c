# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Mamba layers, alone or between attention: what each layer is, its weights, and the state that it keeps for a request.

Sources: configuration_*.py of transformers for the names; vllm/model_executor/layers/mamba/mamba_mixer.py,
mamba_mixer2.py and mamba_utils.py (``mamba1_state_shape``, ``mamba2_state_shape``) for sizes and how they are cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Architecture → the generation of its mixer.
FAMILIES = {
    "Mamba": 1, "FalconMamba": 1, "Jamba": 1, "Mamba2": 2, "Bamba": 2, "FalconH1": 2, "GraniteMoeHybrid": 2,
    "NemotronH": 2,
}  # fmt: skip
#: Without attention at all.
PURE = frozenset({"Mamba", "FalconMamba", "Mamba2"})


def kinds(flat: Mapping[str, Any], layers: int, family: str) -> list[str]:
    """``full`` and ``linear`` for what keeps something, ``shared`` for a layer that does not; ``""`` when unknown."""
    if family in PURE:
        return ["linear"] * layers
    if family == "FalconH1":  # both in every layer
        return ["full", "linear"] * layers
    if family == "Jamba":
        period, offset = int(flat.get("attn_layer_period") or 8), int(flat.get("attn_layer_offset") or 0)
        return ["full" if number % period == offset else "linear" for number in range(layers)]
    if family == "Bamba":
        indexes = flat.get("attn_layer_indices")
        chosen = set(indexes) if isinstance(indexes, list) else set()
        return ["full" if number in chosen else "linear" for number in range(layers)]
    if family == "NemotronH":
        words = {"M": "linear", "*": "full", "-": "shared", "E": "shared"}
        if flat.get("hybrid_override_pattern"):
            return [words.get(sign, "") for sign in str(flat["hybrid_override_pattern"])]
    types = flat.get("layer_types") or flat.get("layers_block_type")
    words = {"mamba": "linear", "attention": "full", "moe": "shared", "mlp": "shared"}
    return [words.get(str(word), "") for word in types] if isinstance(types, list) else []


def _sizes(flat: Mapping[str, Any], family: str, hidden: int) -> dict[str, int]:
    """inner width, state, kernel of the convolution, and rank (1) or heads and groups (2)."""

    def first(names: tuple[str, ...], usual: int) -> int:
        return next((int(flat[name]) for name in names if isinstance(flat.get(name), (int, float))), usual)

    wide = first(("mamba_expand", "expand"), 2) * hidden
    found = {
        "inner": wide,
        "state": first(("mamba_d_state", "ssm_state_size", "state_size"), 16 if FAMILIES[family] == 1 else 128),
        "kernel": first(("mamba_d_conv", "conv_kernel"), 4),
    }
    if FAMILIES[family] == 1:
        found["rank"] = first(("mamba_dt_rank", "time_step_rank"), -(-hidden // 16))
        return found
    size = first(("mamba_d_head", "mamba_head_dim", "head_dim"), 64)
    found["heads"] = first(("mamba_n_heads", "mamba_num_heads", "num_heads"), wide // size)
    found["inner"] = first(("mamba_d_ssm",), found["heads"] * size)
    found["groups"] = first(("mamba_n_groups", "n_groups"), 1)
    return found


def mixer(flat: Mapping[str, Any], family: str, hidden: int) -> float:
    """Parameters of one Mamba layer."""
    size = _sizes(flat, family, hidden)
    inner, state, kernel = size["inner"], size["state"], size["kernel"]
    if FAMILIES[family] == 1:
        rank = size["rank"]
        own = inner * (kernel + 1) + inner * (rank + 2 * state) + (rank + 1) * inner + inner * state + inner
        return float(hidden * 2 * inner + own + inner * hidden)
    joined = inner + 2 * size["groups"] * state
    return float(hidden * (inner + joined + size["heads"]) + joined * (kernel + 1) + inner + inner * hidden)


def state(flat: Mapping[str, Any], family: str, hidden: int, tensor: int) -> tuple[float, float]:
    """Elements that one layer keeps for one request on one rank: of the convolution, and of the state."""
    size = _sizes(flat, family, hidden)
    depth = size["kernel"] - 1
    if FAMILIES[family] == 1:
        return size["inner"] / tensor * depth, size["inner"] / tensor * size["state"]
    groups = size["groups"]
    if groups % tensor:  # each rank gets a copy of the groups that its heads read
        groups = tensor
    joined = size["inner"] + 2 * groups * size["state"]
    return joined / tensor * depth, size["inner"] / tensor * size["state"]


def experts_in(flat: Mapping[str, Any], layers: int, family: str) -> int:
    """Layers whose MLP is one of experts."""
    if family == "NemotronH":
        types = flat.get("layers_block_type")
        listed = types.count("moe") if isinstance(types, list) else 0
        return str(flat.get("hybrid_override_pattern") or "").count("E") or listed
    if family != "Jamba":
        return layers
    period, offset = int(flat.get("expert_layer_period") or 2), int(flat.get("expert_layer_offset") or 1)
    return sum(1 for number in range(layers) if number % period == offset)
