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

from collections.abc import Mapping
from typing import Any

from .arguments import Settings, true
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
#: Vectors of the tower's width that are live at its peak, for each patch: queries and keys that are rotated together
#: in 32 bits (0.11 and 0.12; 59 KB a patch were logged for Qwen3's tower), and where it is not done (15 KB for SigLIP).
ROTATED, STILL = 18, 6
#: The same for Qwen's towers since 0.13, which rotate in 16 bits: their MLP is the widest place then.
SLIM = 3
#: And before 0.11, where queries and keys are rotated in 32 bits one after the other: vectors of the attention.
APART = 10
#: Frames of the video that Qwen2-VL and Qwen2.5-VL are profiled with, two to a group; Qwen3-VL's is an image's size.
FRAMES, FRAMES_BEFORE = 14, 16
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
    when its heads can be shared out evenly, Qwen's mergers too; the range spans up to a tower that is repeated.
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
    rest = width * 14 * 14 * 3 * 2 + 2304.0 * width
    if shape.family.startswith("Qwen"):
        mlp += projector
    else:
        rest += projector
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
    return least, (whole - least) / 2


def wanted(shape: Shape, settings: Settings) -> bool:
    """Whether the tower is loaded: not where every kind of input is limited to none.

    vllm/model_executor/models/ of the families since 0.10 (``get_limit_per_prompt``), ``language_model_only`` since.
    """
    limits = settings.given.get("limit_mm_per_prompt")
    if true(settings.given.get("language_model_only")):
        return False
    if not isinstance(limits, Mapping) or settings.key < ((0, 10), 0, 0):
        return True
    moving = shape.family.startswith(("Qwen", "Intern", "Gemma4", "Kimi"))
    return not (_limit(limits, "image") == 0 and (_limit(limits, "video") == 0 or not moving))


def _limit(limits: Any, kind: str) -> int | None:
    """How many items of a kind a prompt may have; a mapping may say their sizes too."""
    value = limits.get(kind) if isinstance(limits, Mapping) else None
    value = value.get("count") if isinstance(value, Mapping) else value
    return value if isinstance(value, int) else None


def activation(shape: Shape, settings: Settings) -> float:
    """Bytes at the peak of profiling the encoder with as many of the largest items as one batch may hold.

    vllm/v1/worker/gpu_model_runner.py profile_run: a batch of dummy items of the modality with the most tokens.
    """
    sizes = tower(shape)
    if not sizes or true(settings.given.get("skip_mm_profiling")):
        return 0.0
    limits = settings.given.get("limit_mm_per_prompt")
    image, video = _limit(limits, "image"), _limit(limits, "video")
    each = sizes["tokens"] if image != 0 else 0
    if shape.family in {"Qwen2VL", "Qwen2_5_VL"} and video != 0 and settings.v1:
        # models/qwen2_vl.py get_num_frames_with_most_features: as many frames as max_model_len has room for.
        frames = FRAMES if settings.key >= ((0, 11), 0, 0) else FRAMES_BEFORE
        each = max(each, sizes["tokens"] * max(1, min(frames // 2, settings.max_len // sizes["tokens"])))
    if not each:
        return 0.0
    items = max(1, min(settings.batched // each, settings.max_seqs * (image or 1)))
    tokens = items * each
    patches = tokens * sizes["merge"]
    width, mlp = sizes["width"], sizes["mlp"]
    pixels = patches * 14 * 14 * 3 * 2 * 2.0
    outputs = tokens * shape.hidden * sizes.get("mergers", 1) * 2 * 2.0
    live, matrices = STILL, 2
    if shape.family.startswith("Qwen") and not ((0, 11), 0, 0) <= settings.key < ((0, 13), 0, 0):
        live, matrices = SLIM, sizes["matrices"]
        if settings.key < ((0, 11), 0, 0):
            attention = (2 + APART / (1 if sizes["heads"] % settings.tensor else settings.tensor)) * width
            mlp = max(mlp, int((attention - live * width) * settings.tensor / matrices))
    elif shape.family.startswith(("Qwen", "DotsOCR", "Kimi", "InternVL")):
        live = ROTATED
    return patches * (matrices * mlp / settings.tensor + live * width) * 2.0 + pixels + outputs
