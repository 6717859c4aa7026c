# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What a ``config.json`` says about a model's shape, in one form for every architecture that is known.

Only architectures of the table are read: another one may store its cache or its experts in its own way, and a number
from a wrong formula is worse than none. Names are those of Hugging Face transformers' configuration classes; the
layouts those of vllm/model_executor/models/ of the releases in the catalogue.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import state_space

#: How an architecture differs from a gated decoder (Llama): by the part of its class name before ``For…``/``Model``.
#: ``plain``: two MLP matrices instead of three. ``learned``: a table of positions beside the embedding.
_GATED = """
Llama Mistral Qwen2 Qwen3 Phi3 Phi4MM Gemma Gemma2 Gemma3 Gemma3n Granite Olmo Olmo2 Olmo3 InternLM2 InternLM3 Cohere
Cohere2 StableLm Exaone Exaone4 Yi Aquila MiniCPM Glm Glm4 SmolLM3 Ernie4_5 SeedOss Apertus Helium Ministral3 Mistral3
Mixtral Qwen2Moe Qwen3Moe OlmoE Olmoe GraniteMoe Glm4Moe GptOss Llama4 PhiMoE Deepseek DeepseekV2 DeepseekV3
DeepseekV32 KimiK2 Ernie4_5_Moe MiniCPM3 Dots1 Qwen3Next Qwen3_5 Qwen3_5Moe Llava LlavaNext Qwen2VL Qwen2_5_VL
Qwen3VL Qwen3VLMoe InternVLChat InternVL PaliGemma DotsOCR MiMo MiniMaxM2 GlmMoeDsa KimiK25
"""
FAMILIES: dict[str, frozenset[str]] = {
    **dict.fromkeys(_GATED.split(), frozenset[str]()),
    **dict.fromkeys(("Starcoder2", "Nemotron", "Phi", "GPTNeoX", "GPTJ", "Falcon", "Arcee"), frozenset({"plain"})),
    **dict.fromkeys(("OPT", "GPT2", "GPTBigCode"), frozenset({"plain", "learned"})),
    # ALiBi: no positions are kept.
    **dict.fromkeys(("Bloom", "MPT"), frozenset({"plain", "alibi"})),
    # Mamba layers, alone or between attention.
    **dict.fromkeys(state_space.FAMILIES, frozenset({"mamba"})),
    "NemotronH": frozenset({"mamba", "plain"}),
    # An ordinary MLP beside the experts of each layer.
    "Gemma4": frozenset({"beside"}),
    # Layers found by search: some without attention, MLPs of different widths.
    "DeciLM": frozenset({"searched"}),
    # Encoders keep nothing for a request.
    **dict.fromkeys(("Bert", "Roberta", "XLMRoberta"), frozenset({"plain", "learned", "encoder"})),
}
_NESTED = ("text_config", "llm_config", "language_config", "language_model_config")
#: Short names that tables of models use for transformers' own.
_ALIASES = {
    "layers": "num_hidden_layers", "n_layer": "num_hidden_layers", "heads": "num_attention_heads",
    "n_head": "num_attention_heads", "kv_heads": "num_key_value_heads", "vocab": "vocab_size",
    "n_embd": "hidden_size", "ffn_dim": "intermediate_size", "n_inner": "intermediate_size",
    "num_kv_heads": "num_key_value_heads", "n_positions": "max_position_embeddings", "torch_dtype": "dtype",
    "moe_num_shared_experts": "n_shared_experts", "moe_layer_start_index": "first_k_dense_replace",
    "top_k_experts": "num_experts_per_tok", "moe_k": "num_experts_per_tok",
    "n_embed": "hidden_size", "d_model": "hidden_size", "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads", "max_seq_len": "max_position_embeddings",
}  # fmt: skip
#: Sizes above this are slips.
MOST = 1 << 26
DTYPE_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
_POOLING = ("RewardModel", "ForSequenceClassification", "ForTokenClassification", "EmbeddingModel")


@dataclass(frozen=True)
class Shape:
    """A decoder's shape. Sizes are counts of elements, never bytes.

    :ivar kinds: one word for each layer that keeps something for a request: ``full``, ``sliding``, ``chunked``,
        ``linear`` (state of fixed size); ``shared`` reads another layer's cache
    :ivar latent: width of the one vector that MLA keeps for a token, 0 without MLA
    :ivar wide_heads, wide_dim: KV heads and head size of full layers where they differ from those that slide; 0 if not
    :ivar widths: the MLP's width in each layer where they differ
    :ivar narrow: width of an input that each layer has of its own (Gemma), 0 without
    :ivar vision: the vision tower's configuration, ``{}`` when there is one of unknown size, None without
    """

    architecture: str
    family: str
    traits: frozenset[str]
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    intermediate: int
    tied: bool
    dtype: str
    positions: int
    kinds: tuple[str, ...]
    window: int = 0
    latent: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_width: int = 0
    shared_width: int = 0
    dense_layers: int = 0
    wide_heads: int = 0
    wide_dim: int = 0
    widths: tuple[int, ...] = ()
    narrow: int = 0
    vision: Mapping[str, Any] | None = None
    pooling: bool = False
    config: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def dtype_bytes(self) -> int:
        return DTYPE_BYTES.get(self.dtype, 2)

    @property
    def indexed(self) -> int:
        """Layers with an indexer of sparse attention of their own; others take what the last one chose.

        vllm/model_executor/models/deepseek_v2.py ``skip_topk`` since 0.21.
        """
        flat = self.config
        if not flat.get("index_head_dim"):
            return 0
        pattern = flat.get("index_topk_pattern")
        if pattern:
            return sum(mark != "S" for mark in list(pattern)[: self.layers]) + max(0, self.layers - len(pattern))
        step = max(1, int(flat.get("index_topk_freq") or 1))
        late = flat.get("index_skip_topk_offset")
        late = 2 if late is None else int(late)
        return sum(max(number - late + 1, 0) % step == 0 for number in range(self.layers))

    def having(self) -> dict[str, int]:
        """How many layers have each part (``modules.PARTS``)."""
        recurrent = self.kinds.count("linear")
        sparse = self.layers - self.dense_layers if self.experts else 0
        own = "mamba" in self.traits
        attention = self.kinds.count("full") if own else self.layers - recurrent
        mlp = self.layers if "beside" in self.traits else self.layers - sparse
        mlp = self.kinds.count("shared") - sparse if self.family == "NemotronH" else mlp
        return {
            "attention": attention, "latent": attention, "recurrent": recurrent, "mixer": recurrent, "mlp": mlp,
            "shared": sparse, "experts": sparse,
        }  # fmt: skip


class UnknownArchitecture(ValueError):
    """The configuration is of an architecture that this model does not know, or lacks what it needs."""


def read(config: Mapping[str, Any]) -> Shape:
    """The shape that a configuration describes.

    :param config: ``config.json`` as a mapping; nested text configurations are found
    :raises UnknownArchitecture: when the architecture is not in the table, or a size is missing or no number
    """
    flat = flatten(config)
    architecture = _architecture(config)
    family = re.split(r"For[A-Z]|Model$|LMHead", architecture)[0]
    if family not in FAMILIES:
        raise UnknownArchitecture(
            f"architecture {architecture or '(none named)'} is unknown to the memory model{_near(family)}"
        )
    if family == "DeciLM":
        flat = searched(flat)
    if not flat.get("num_hidden_layers") and isinstance(flat.get("layers_block_type"), list):
        flat = {**flat, "num_hidden_layers": len(flat["layers_block_type"])}
    if family in state_space.PURE:
        flat = {**flat, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 1, "num_experts": 0}
    hidden, layers, heads = (
        _number(flat, name) for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    intermediate = int(flat.get("intermediate_size") or 4 * hidden)
    latent = int(flat.get("kv_lora_rank") or 0)
    experts = next(
        (
            int(flat[name])
            for name in ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
            if flat.get(name)
        ),
        0,
    )
    width = int(flat.get("moe_intermediate_size") or 0) or (intermediate if experts else 0)
    shared = int(flat.get("shared_expert_intermediate_size") or 0)
    if not flat.get("moe_shared_expert_intermediate_size"):
        shared = shared or int(flat.get("n_shared_experts") or 0) * width or (intermediate if family == "Llama4" else 0)
    shared = shared or int(flat.get("moe_shared_expert_intermediate_size") or 0)
    if family == "GraniteMoeHybrid":
        shared = int(flat.get("shared_intermediate_size") or 0)
        intermediate = intermediate if experts else shared
    kinds, window = _kinds(flat, layers, family)
    if "encoder" in FAMILIES[family]:
        kinds = ("shared",) * layers
    top = {**flat, **{key: value for key, value in config.items() if key == "tie_word_embeddings"}}
    default_tied = family.startswith(
        ("Gemma", "Cohere", "OPT", "GPT2", "GPTBigCode", "Starcoder2", "PaliGemma", "Bloom")
    )
    tied = top.get("tie_word_embeddings")
    shape = Shape(
        architecture=architecture,
        family=family,
        traits=FAMILIES[family],
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=1 if flat.get("multi_query") else int(flat.get("num_key_value_heads") or heads),
        head_dim=int(flat.get("head_dim") or hidden // heads),
        vocab=_number(flat, "vocab_size"),
        intermediate=intermediate,
        tied=(default_tied or "encoder" in FAMILIES[family]) if tied is None else bool(tied),
        dtype=str(flat.get("dtype") or config.get("torch_dtype") or "bfloat16").removeprefix("torch."),
        positions=int(flat.get("max_position_embeddings") or 0),
        kinds=kinds,
        window=window,
        latent=latent + int(flat.get("qk_rope_head_dim") or 0) if latent else 0,
        experts=experts,
        experts_per_token=int(flat.get("num_experts_per_tok") or flat.get("top_k") or 1) if experts else 0,
        expert_width=width,
        shared_width=shared,
        dense_layers=_dense(flat, layers, family) if experts else layers,
        wide_heads=_wide(flat)[0],
        wide_dim=_wide(flat)[1],
        widths=tuple(flat.get("mlp_widths") or _doubled(flat, layers, intermediate)),
        narrow=int(flat.get("hidden_size_per_layer_input") or 0),
        vision=config.get("vision_config") or ({} if flat.get("has_vision_tower") or _sees(architecture) else None),
        pooling=architecture.endswith(_POOLING) or "encoder" in FAMILIES[family],
        config=flat,
    )
    for name in ("kv_heads", "head_dim", "intermediate", "experts_per_token", "expert_width", "positions", "latent"):
        if not 0 <= getattr(shape, name) <= MOST or (name in {"kv_heads", "head_dim"} and not getattr(shape, name)):
            raise UnknownArchitecture(f"the configuration has no usable number for {name}")
    if shape.experts > 65536 or shape.layers > 65536:
        raise UnknownArchitecture("the configuration has more layers or experts than any model")
    return shape


def _near(family: str) -> str:
    """A known name that is near one that is not: half of such questions are slips."""
    near = difflib.get_close_matches(family, FAMILIES, 1, 0.8) if family else []
    return f"; {near[0]} is known" if near else ""


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """The text model's own keys over the outer ones, under transformers' names."""
    inner: dict[str, Any] = dict(config)
    thinker = config.get("thinker_config")
    for source in (thinker if isinstance(thinker, Mapping) else {}, config):
        for name in _NESTED:
            nested = source.get(name)
            if isinstance(nested, Mapping):
                inner.update({key: value for key, value in nested.items() if value is not None})
    for name, value in inner.items():
        if isinstance(value, str) and value.isdecimal():  # templates make texts of numbers
            inner[name] = int(value)
    for short, name in _ALIASES.items():
        if inner.get(name) is None and inner.get(short) is not None:
            inner[name] = inner[short]
    return inner


def _architecture(config: Mapping[str, Any]) -> str:
    named = config.get("architectures") or config.get("architecture") or ""
    return str(named[0]) if isinstance(named, (list, tuple)) and named else str(named or "")


def _sees(architecture: str) -> bool:
    """Whether a class has a vision tower although its configuration does not show one."""
    return architecture.endswith("ForConditionalGeneration") or "VL" in architecture or "DotsOCR" in architecture


def _number(flat: Mapping[str, Any], name: str) -> int:
    value = flat.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= MOST:
        raise UnknownArchitecture(f"the configuration has no {name} (a number above 0)")
    return int(value)


def _wide(flat: Mapping[str, Any]) -> tuple[int, int]:
    """KV heads and head size of full layers (vllm/model_executor/models/gemma4.py Gemma4DecoderLayer)."""
    if not flat.get("global_head_dim"):
        return 0, 0
    heads = flat.get("num_global_key_value_heads") if flat.get("attention_k_eq_v") else None
    return int(heads or flat.get("num_key_value_heads") or 1), int(flat["global_head_dim"])


def _doubled(flat: Mapping[str, Any], layers: int, intermediate: int) -> list[int]:
    """Widths where layers that read another's cache have twice the MLP (gemma4.py ``use_double_wide_mlp``)."""
    shared = int(flat.get("num_kv_shared_layers") or 0)
    if not flat.get("use_double_wide_mlp") or not shared:
        return []
    return [intermediate] * (layers - shared) + [2 * intermediate] * shared


def searched(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A searched model's ``block_configs`` as sizes of its layers (vllm/model_executor/models/nemotron_nas.py)."""
    blocks, heads, hidden = flat.get("block_configs"), flat.get("num_attention_heads"), flat.get("hidden_size")
    if not isinstance(blocks, list) or not blocks or not isinstance(heads, int) or not isinstance(hidden, int):
        raise UnknownArchitecture("the configuration has no block_configs")
    groups, kinds, widths = set(), [], []
    for block in blocks:
        attention, mlp = (block.get(name) or {} for name in ("attention", "ffn"))
        if attention.get("replace_with_linear") or mlp.get("replace_with_linear"):
            raise UnknownArchitecture("layers of block_configs are replaced by linear ones")
        kinds.append("shared" if attention.get("no_op") else "full")
        if not attention.get("no_op"):
            groups.add(int(attention.get("n_heads_in_group") or 1))
        width = int(mlp.get("intermediate_size") or 2 * float(mlp.get("ffn_mult") or 0) * hidden / 3)
        widths.append(0 if mlp.get("no_op") else -(-width // 256) * 256)
    if len(groups) != 1:
        raise UnknownArchitecture("layers of block_configs have different numbers of KV heads")
    return {
        **flat, "num_key_value_heads": heads // groups.pop(), "layer_types": kinds, "mlp_widths": widths,
        "intermediate_size": max(widths),
    }  # fmt: skip


def _dense(flat: Mapping[str, Any], layers: int, family: str) -> int:
    """Layers with an ordinary MLP in a model with experts."""
    if family in state_space.FAMILIES:
        return layers - state_space.experts_in(flat, layers, family)
    first = int(flat.get("first_k_dense_replace") or 0)
    only = flat.get("mlp_only_layers")
    step = int(flat.get("decoder_sparse_step") or flat.get("interleave_moe_layer_step") or 1)
    return min(layers, first + len(only if isinstance(only, list) else ()) + layers - layers // step)


def _kinds(flat: Mapping[str, Any], layers: int, family: str) -> tuple[tuple[str, ...], int]:
    """What each layer keeps (vllm/v1/kv_cache_interface.py), and the window of those that slide."""
    window = int(flat.get("sliding_window") or flat.get("attention_chunk_size") or 0)
    types = flat.get("layer_types")
    words: list[str]
    if isinstance(types, Mapping):
        words = [name for name, number in types.items() for _each in range(int(number))]
    elif isinstance(types, (list, tuple)) and types:
        words = [str(item) for item in types]
    elif flat.get("full_attention_interval") and flat.get("linear_num_value_heads"):
        step = int(flat["full_attention_interval"])
        words = ["full" if (number + 1) % step == 0 else "linear" for number in range(layers)]
    elif window and family in {"Gemma3", "Gemma2", "Cohere2", "Gemma3n", "Llama4"}:
        step = _pattern(flat, {"Gemma2": 2, "Gemma3": 6, "Cohere2": 4, "Gemma3n": 5, "Llama4": 4}[family])
        word = "chunked" if family == "Llama4" else "sliding"
        words = ["full" if (number + 1) % step == 0 else word for number in range(layers)]
    elif window and flat.get("use_sliding_window", True) and family in {"Mistral", "Phi3", "Starcoder2", "Mixtral"}:
        words = ["sliding"] * layers
    else:
        words = ["full"] * layers
    if family in state_space.FAMILIES:
        words = state_space.kinds(flat, layers, family)
        if "" in words or not words or len(words) % layers:
            raise UnknownArchitecture("the order of Mamba and attention layers is not described by the configuration")
        return tuple(words), 0
    known = {"sliding": "sliding", "chunked": "chunked", "linear": "linear", "mamba": "linear", "full": "full"}
    known["shared"] = "shared"
    kinds = [known.get(word.split("_")[0], "") for word in words]
    if "" in kinds or len(kinds) != layers:
        raise UnknownArchitecture("layer_types of the configuration has layers that the memory model does not know")
    if "linear" in kinds and not flat.get("linear_num_value_heads"):
        raise UnknownArchitecture("the state of the linear attention layers is not described by the configuration")
    if family.startswith(("Qwen2", "Qwen3")) and not flat.get("use_sliding_window"):
        kinds = ["full" if kind == "sliding" else kind for kind in kinds]
    shared = int(flat.get("num_kv_shared_layers") or 0)
    if shared:
        kinds[-shared:] = ["shared"] * shared
    return tuple(kinds), window


def _pattern(flat: Mapping[str, Any], usual: int) -> int:
    value = flat.get("sliding_window_pattern") or flat.get("_sliding_window_pattern")
    return value if isinstance(value, int) and value > 0 else usual
