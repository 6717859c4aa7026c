# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Which parts of a layer a checkpoint quantizes, and how small each is.

A checkpoint names its modules: by groups with targets, by what is left out, or each with its own algorithm. Names are
told apart by what they are part of (attention, experts, …); a part is quantized in as many layers as are named.
Sources: vllm/model_executor/layers/quantization/compressed_tensors/utils.py (``should_ignore_layer``,
``find_matched_target``), modelopt.py (``exclude_modules``, ``quantized_layers``), utils/quant_utils.py
(``is_layer_skipped``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

#: Part of a layer → names that its modules have.
PARTS: dict[str, tuple[str, ...]] = {
    "attention": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    "latent": ("self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa"),
    "recurrent": ("linear_attn.in_proj_qkv", "linear_attn.in_proj_z", "linear_attn.out_proj"),
    "mixer": ("mixer.in_proj", "mixer.out_proj"),
    "mlp": ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    "shared": ("mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj"),
    "experts": ("mlp.experts.N.up_proj", "mlp.experts.N.down_proj"),
}
#: Other names of the same module.
_SAME = (
    ("mlp.shared_experts.", "mlp.shared_expert."), ("block_sparse_moe.experts.", "mlp.experts."),
    ("mixer.experts.", "mlp.experts."), ("mixer.shared_experts.", "mlp.shared_expert."),
    ("feed_forward.experts.", "mlp.experts."), ("layers.N.experts", "layers.N.mlp.experts"),
    ("linear_attn.in_proj_qkvz", "linear_attn.in_proj_qkv"), (".w1", ".gate_proj"), (".w3", ".up_proj"),
    (".w2", ".down_proj"), ("self_attn.q_b_proj", "self_attn.q_proj"), ("self_attn.kv_b_proj", "self_attn.k_proj"),
)  # fmt: skip
_LEFT_OUT = ("ignore", "exclude_modules", "modules_to_not_convert", "ignored_layers", "llm_int8_skip_modules")
_PREFIX = re.compile(r"^(?:model\.|language_model\.|text_model\.|backbone\.)+")
_LAYER = re.compile(r"\blayers\.(\d+)\b")
#: Modules outside of the language model's layers, which the estimate keeps in 16 bits by itself.
_OUTSIDE = ("visual", "vision", "audio", "lm_head", "embed", "mtp", "multi_modal", "projector")


class Names:
    """A list of names and patterns, made for many questions."""

    def __init__(self, patterns: Iterable[Any]) -> None:
        self._every: list[Callable[[str], bool]] = []
        self._some: dict[str, set[int]] = {}
        self._exact = {str(item) for item in patterns}
        for pattern in self._exact:
            if pattern.startswith("re:"):
                self._every.append(_expression(pattern[3:]))
                continue
            short = _PREFIX.sub("", pattern)
            if short.startswith(_OUTSIDE):
                continue
            number = _LAYER.search(short)
            if number:
                name = _usual(_LAYER.sub("layers.N", short))
                self._some.setdefault(name, set()).add(int(number[1]))
            else:
                self._every.append(_pattern(_usual(short.replace("layers.*", "layers.N"))))

    def has(self, name: str) -> bool:
        """Whether a name stands in the list as it is."""
        return name in self._exact

    def share(self, module: str, layers: int) -> float:
        """In which share of the layers that have it a module such as ``mlp.up_proj`` is named."""
        name = f"layers.N.{module}"
        if any(match(name) for match in self._every):
            return 1.0
        named: set[int] = set()
        for pattern, numbers in self._some.items():
            if _pattern(pattern)(name):
                named |= numbers
        return min(1.0, len(named) / max(1, layers))


def _usual(name: str) -> str:
    for other, usual in _SAME:
        name = name.replace(other, usual)
    return re.sub(r"experts\.(?:\d+|\*)", "experts.N", name)


def _pattern(pattern: str) -> Callable[[str], bool]:
    """As a whole, as something that it is part of, with wildcards, or as a run of its words."""
    if "*" in pattern:
        return lambda name: fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")
    words = f".{pattern}."
    return lambda name: words in f".{name}."


def _expression(text: str) -> Callable[[str], bool]:
    try:
        compiled = re.compile(text)
    except re.error:
        return lambda _name: False
    forms = ("", "model.", "model.language_model.", "language_model.model.")

    def match(name: str) -> bool:
        spelled = name.replace(".N", ".1")
        others = [spelled.replace(usual, other) for other, usual in _SAME[:2] if usual in spelled]
        return any(compiled.match(form + one) for form in forms for one in (spelled, *others))

    return match


def sizes(
    own: Mapping[str, Any],
    usual: float | None,
    layers: Mapping[str, int],
    size: Callable[[Mapping[str, Any]], float | None],
) -> dict[str, float]:
    """Bytes of a weight for each part of a layer where they differ; empty where the checkpoint does not say.

    :param own: the checkpoint's ``quantization_config``
    :param usual: bytes of a weight by the method's name
    :param layers: how many layers have each part
    :param size: bytes of a weight by a group's ``weights``
    """
    key = (id(own), usual, tuple(sorted(layers.items())))
    kept = _RECENT.get(key)
    if kept is None or kept[0] is not own:  # advice asks the same question dozens of times
        while len(_RECENT) > 16:
            _RECENT.pop(next(iter(_RECENT)), None)
        kept = _RECENT[key] = (own, _sizes(own, usual, layers, size))
    return kept[1]


#: The last configurations that were asked for and their answers; each is held, so that its identity stays its own.
_RECENT: dict[tuple[Any, ...], tuple[Mapping[str, Any], dict[str, float]]] = {}


def _sizes(
    own: Mapping[str, Any],
    usual: float | None,
    layers: Mapping[str, int],
    size: Callable[[Mapping[str, Any]], float | None],
) -> dict[str, float]:
    groups = _groups(own, size)
    left_out = Names(left_out_of(own))
    if not groups and usual is None:
        return {}
    found: dict[str, float] = {}
    for names, each in groups:
        if names.has("lm_head"):
            found["head"] = each
    for part, modules in PARTS.items():
        number = max(1, layers.get(part, 1))
        values = [_module(module, number, usual, groups, left_out) for module in modules]
        found[part] = sum(values) / len(values)
    return found


def left_out_of(own: Mapping[str, Any]) -> list[str]:
    """Names and patterns of modules that stay in 16 bits; GPTQModel marks them with ``-:`` among its exceptions."""
    found = [str(item) for name in _LEFT_OUT for item in _list(own.get(name))]
    dynamic = own.get("dynamic")
    marked = dynamic if isinstance(dynamic, Mapping) else ()
    return found + [f"re:{str(name)[2:]}" for name in marked if str(name).startswith("-:")]


def _module(module: str, number: int, usual: float | None, groups: list[tuple[Names, float]], left_out: Names) -> float:
    """Bytes of a weight of one module, in the mean of the layers that have it; 16 bits where nothing names it."""
    if groups:
        value = 2.0 + sum(names.share(module, number) * (each - 2.0) for names, each in groups)
        everywhere = any(names is EVERY for names, _each in groups)
    else:
        value, everywhere = 2.0 if usual is None else usual, True
    if everywhere:
        value += left_out.share(module, number) * (2.0 - value)
    return min(2.0, max(0.25, value))


class _Every(Names):
    """Every linear layer."""

    def share(self, module: str, layers: int) -> float:
        return 1.0


EVERY = _Every(())


def _groups(own: Mapping[str, Any], size: Callable[[Mapping[str, Any]], float | None]) -> list[tuple[Names, float]]:
    """Names and the bytes of their weights, by group."""
    found: list[tuple[Names, float]] = []
    named = own.get("quantized_layers")
    if isinstance(named, Mapping) and named:
        by_size: dict[float, list[str]] = {}
        for name, how in named.items():
            algorithm = str(how.get("quant_algo") if isinstance(how, Mapping) else how)
            by_size.setdefault(0.5 + 1 / 16 if "FP4" in algorithm else 1.0, []).append(name)
        return [(Names(names), each) for each, names in by_size.items()]
    groups = own.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        if not isinstance(group, Mapping) or not isinstance(group.get("weights"), Mapping):
            continue
        each = size(group["weights"])
        targets = _list(group.get("targets")) or ["Linear"]
        if each is not None:
            found.append((EVERY if "Linear" in targets else Names(targets), each))
    return found


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
