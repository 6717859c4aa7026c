# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Vision towers: their weights, and what profiling the largest image costs.

Transformers writes only what differs from a class's defaults, so the defaults of each family stand here.
Sources: configuration_*.py of transformers; vllm/model_executor/models/ of the families.
"""

from __future__ import annotations

from typing import Any

from .quantization import Encoding
from .shape import Shape

#: depth, width, MLP width, heads, MLP matrices, mergers, patches to one token, largest number of tokens of an image.
_CLIP = {"depth": 24, "width": 1024, "mlp": 4096, "heads": 16, "matrices": 2, "merge": 1, "tokens": 576}
_SIGLIP = {"depth": 27, "width": 1152, "mlp": 4304, "heads": 16, "matrices": 2, "merge": 16, "tokens": 256}
_QWEN2 = {"depth": 32, "width": 1280, "mlp": 5120, "heads": 16, "matrices": 2, "merge": 4, "tokens": 16384}
_QWEN3_SMALL = {**_QWEN2, "depth": 24, "width": 1024, "mlp": 4096, "mergers": 4}
FAMILIES: dict[str, dict[str, int]] = {
    "Llava": _CLIP,
    "LlavaNext": {**_CLIP, "tokens": 2880},
    "Gemma3": _SIGLIP,
    "PaliGemma": _SIGLIP,
    "Qwen2VL": _QWEN2,
    "Qwen2_5_VL": {**_QWEN2, "mlp": 3420, "matrices": 3},
    "Qwen3VL": {**_QWEN2, "depth": 27, "width": 1152, "mlp": 4304, "mergers": 4},
    "Qwen3VLMoe": {**_QWEN2, "depth": 27, "width": 1152, "mlp": 4304, "mergers": 4},
    "Qwen3_5": {**_QWEN2, "depth": 27, "width": 1152, "mlp": 4304},
    "Qwen3_5Moe": {**_QWEN2, "depth": 27, "width": 1152, "mlp": 4304},
    "InternVLChat": {**_CLIP, "merge": 4, "tokens": 3328},
    "Gemma4": {"depth": 27, "width": 1152, "mlp": 4304, "heads": 16, "matrices": 3, "merge": 9, "tokens": 280},
    "KimiK25": {"depth": 27, "width": 1152, "mlp": 4304, "heads": 16, "matrices": 2, "merge": 4, "tokens": 4096},
    "DotsOCR": {**_QWEN2, "depth": 42, "width": 1536, "mlp": 4224, "heads": 12, "matrices": 3},
}
#: Towers that transformers' own modules make are on every rank, whole (vllm/model_executor/models/gemma4_mm.py).
WHOLE = frozenset({"Gemma4"})
#: Share of what tensor parallel saves that three starts had above their cut tower.
SEEN = 0.2
#: Vectors of the tower's width that are live at its peak, for each patch: queries and keys that are rotated or
#: normalized in 32 bits (59 KB a patch were logged for Qwen3's tower), and where neither is done (15 KB for SigLIP).
ROTATED, STILL = 18, 6
_NAMES = {
    "depth": ("depth", "num_hidden_layers", "vt_num_hidden_layers"),
    "width": ("embed_dim", "hidden_size", "vt_hidden_size"),
    "mlp": ("intermediate_size", "vt_intermediate_size"),
    "heads": ("num_heads", "num_attention_heads", "vt_num_attention_heads"),
}


def tower(shape: Shape) -> dict[str, int] | None:
    """The tower's sizes; None when there is none, ``{}`` when there is one whose sizes are unknown."""
    if shape.vision is None:
        return None
    usual: dict[str, int] = dict(FAMILIES.get(shape.family, {}))
    if shape.family == "Qwen3VL" and shape.hidden <= 2560:
        usual = dict(_QWEN3_SMALL)
    if shape.family == "InternVLChat" and shape.hidden >= 5120:  # InternViT-6B comes with the large language models
        usual = {**usual, "depth": 45, "width": 3200, "mlp": 12800, "heads": 25}
    found: dict[str, Any] = dict(usual)
    for name, keys in _NAMES.items():
        for key in keys:
            value = shape.vision.get(key)
            # Qwen2-VL writes the width of the language model as hidden_size, Qwen2.5-VL as out_hidden_size.
            if isinstance(value, int) and value > 0 and not (key == "hidden_size" and value == shape.hidden and usual):
                found[name] = value
                break
    if "depth" not in found or "width" not in found:
        return {}
    ratio = shape.vision.get("mlp_ratio")
    if ratio and "intermediate_size" not in shape.vision:
        found["mlp"] = int(found["width"] * ratio)
    return {"mlp": 4 * found["width"], "heads": 16, "matrices": 2, "merge": 1, "tokens": 4096, **found}


def weights(shape: Shape, tensor: int, element: int, how: Encoding) -> tuple[float, float]:
    """Bytes of the tower on one rank, and how much that may be off.

    Towers stay in 16 bits in quantized checkpoints. With tensor parallel the sources cut all matrices, attention only
    when its heads can be shared out evenly; logs show about a fifth of what is cut beside that, and the range spans
    up to a tower that is repeated (``mm_encoder_tp_mode: data``).
    """
    sizes = tower(shape)
    if sizes is None:
        return 0.0, 0.0
    if not sizes:
        return 0.0, 1.0 * (1 << 30)
    width = sizes["width"]
    attention = sizes["depth"] * 4.0 * width * width
    mlp = sizes["depth"] * sizes["matrices"] * float(width) * sizes["mlp"]
    joined = width * (sizes["merge"] if 1 < sizes["merge"] <= 4 else 1)
    projector = sizes.get("mergers", 1) * (joined * joined * (sizes["merge"] > 1) + joined * shape.hidden)
    if sizes["merge"] == 1:
        projector += shape.hidden * shape.hidden
    rest = width * 14 * 14 * 3 * 2 + 2304.0 * width + projector
    whole = (attention + mlp + rest) * element
    if tensor == 1:
        return whole, whole * 0.05
    repeated = attention if sizes["heads"] % tensor else 0.0
    least = (repeated + (attention - repeated + mlp) / tensor + rest) * element
    alone = shape.family in WHOLE or (shape.family == "KimiK25" and sizes["heads"] % tensor > 0)
    if alone or shape.config.get("mm_encoder_tp_mode") == "data":
        return whole, whole * 0.05
    if repeated:  # heads that cannot be shared out: only the MLP is cut
        return least, (whole - least) / 4
    return least + SEEN * (whole - least), (whole - least) / 2


def activation(shape: Shape, tokens: int, rows: int, tensor: int, limits: Any = None) -> float:
    """Bytes at the peak of profiling the encoder with as many of the largest images as one batch may hold.

    vllm/v1/worker/gpu_model_runner.py profile_run: a batch of dummy items of the modality with the most tokens.
    """
    sizes = tower(shape)
    limit = limits.get("image") if isinstance(limits, dict) else None
    if not sizes or limit == 0:
        return 0.0
    images = max(1, min(tokens // sizes["tokens"], rows * (limit if isinstance(limit, int) else 1)))
    patches = images * sizes["tokens"] * sizes["merge"]
    width, mlp = sizes["width"], sizes["mlp"]
    pixels = patches * 14 * 14 * 3 * 2 * 2.0
    outputs = images * sizes["tokens"] * shape.hidden * sizes.get("mergers", 1) * 2 * 2.0
    live = ROTATED if shape.family.startswith(("Qwen", "DotsOCR", "Kimi", "InternVL")) else STILL
    return patches * (2 * mlp / tensor + live * width) * 2.0 + pixels + outputs
