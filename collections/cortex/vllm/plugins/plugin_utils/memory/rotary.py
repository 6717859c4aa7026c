# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Tables of rotary positions: sines and cosines of every position in 16 bits, on every rank and beside the checkpoint.

Source: vllm/model_executor/layers/rotary_embedding/ (``_compute_cos_sin_cache`` of each kind).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .shape import Shape

#: Families whose positions have three parts, whether or not a shortened configuration says so.
_THREE = frozenset({"Qwen2VL", "Qwen2_5_VL", "Qwen3VL", "Qwen3VLMoe", "Qwen3_5", "Qwen3_5Moe"})


def tables(shape: Shape) -> float:
    """Bytes of all tables of a model: layers with the same positions share one."""
    return sum(2.0 * width * _rows(shape, scaling) for width, scaling in _kinds(shape))


def _kinds(shape: Shape) -> list[tuple[int, Mapping[str, Any]]]:
    """Width and scaling of each table."""
    flat = shape.config
    said = flat.get("rope_parameters") or flat.get("rope_scaling")
    said = said if isinstance(said, Mapping) else {}
    full, sliding = (said.get(f"{name}_attention") for name in ("full", "sliding"))
    if isinstance(full, Mapping) or isinstance(sliding, Mapping):
        full, sliding = (item if isinstance(item, Mapping) else {} for item in (full, sliding))
    else:
        full, sliding = said, {}
    if shape.wide_dim:  # gemma4_rope.py: dimensions that do not turn stand in the table too
        return [(shape.wide_dim, {**full, "rope_type": "default"}), (shape.head_dim, sliding)]
    partial = flat.get("partial_rotary_factor") or full.get("partial_rotary_factor")
    width = int(flat.get("qk_rope_head_dim") or shape.head_dim)
    width = int(width * (partial if isinstance(partial, (int, float)) else 1))
    if shape.family in {"Gemma3", "Gemma3n"} and "sliding" in shape.kinds:
        return [(width, full), (width, sliding)]
    return [(width, full)]


def _rows(shape: Shape, scaling: Mapping[str, Any]) -> float:
    rows = float(shape.positions or 32768)
    kind, factor = str(scaling.get("rope_type") or scaling.get("type") or "default"), scaling.get("factor")
    if isinstance(factor, (int, float)) and not isinstance(factor, bool):
        if "yarn" in kind:
            rows = float(scaling.get("original_max_position_embeddings") or rows) * factor
        elif kind in {"linear", "dynamic"}:
            rows *= factor
    if scaling.get("mrope_section") or shape.family in _THREE:  # mrope.py: room for long videos
        rows *= 4
    return rows
