# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is asked of the memory model: no exception, figures that agree with each other, advice that is true."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cortex.vllm.plugins.plugin_utils import memory

VERSIONS = st.sampled_from(
    ["0.6.3", "0.7.3", "0.8.4", "0.9.2", "0.10.2", "0.11.0", "0.17.1", "0.20.2", "0.32.0", "nightly"]
)
GPUS = st.builds(
    lambda name, total, used: memory.Gpu(name, int(total * memory.GIB), int(total * (1 - used) * memory.GIB), 8.6),
    st.sampled_from(["Tesla T4", "NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3", "NVIDIA GB10", ""]),
    st.floats(4, 180),
    st.floats(0, 0.9),
)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Decoders of any size: some dense, some with experts, with sliding windows or a latent cache."""
    heads = draw(st.sampled_from([4, 8, 16, 28, 32, 64]))
    layers = draw(st.integers(2, 80))
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": draw(st.sampled_from([number for number in (1, 2, 4, 8, heads) if number <= heads])),
        "head_dim": draw(st.sampled_from([64, 128])),
        "hidden_size": heads * 128,
        "intermediate_size": heads * 128 * draw(st.integers(2, 4)),
        "vocab_size": draw(st.sampled_from([32000, 128256, 262208])),
        "tie_word_embeddings": draw(st.booleans()),
        "max_position_embeddings": draw(st.sampled_from([2048, 32768, 131072])),
    }
    kind = draw(st.sampled_from(["plain", "experts", "sliding", "latent", "states", "wide"]))
    if kind == "experts":
        config |= {"architectures": ["Qwen3MoeForCausalLM"], "num_experts": 16, "num_experts_per_tok": 2}
        config |= {"moe_intermediate_size": 512}
    elif kind == "sliding":
        config |= {"architectures": ["Gemma3ForCausalLM"], "sliding_window": 1024}
    elif kind == "states":
        config |= {"architectures": ["Qwen3_5ForCausalLM"], "full_attention_interval": 2, "linear_num_value_heads": 16}
        config |= {"linear_num_key_heads": 8, "linear_key_head_dim": 128, "linear_value_head_dim": 128}
    elif kind == "wide":
        kinds = ["sliding_attention" if number % 6 else "full_attention" for number in range(layers)]
        config |= {"architectures": ["Gemma4ForCausalLM"], "sliding_window": 512, "global_head_dim": 256}
        config |= {"layer_types": kinds, "num_global_key_value_heads": 1, "attention_k_eq_v": True}
    elif kind == "latent":
        config |= {"architectures": ["DeepseekV2ForCausalLM"], "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    own = draw(st.sampled_from([None, *QUANTIZED]))
    return {**config, "quantization_config": own} if own else config


FP4 = {"num_bits": 4, "type": "float", "group_size": 16}
#: What checkpoints say of their quantization.
QUANTIZED: list[dict[str, Any]] = [
    {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["visual"]},
    {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.0.self_attn.q_proj", "gate"]},
    {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": FP4, "targets": ["Linear"]}},
     "ignore": ["re:.*self_attn.*", "lm_head"]},
    {"quant_method": "modelopt", "quantized_layers": {"model.layers.1.mlp.up_proj": {"quant_algo": "FP8"}}},
]  # fmt: skip


ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "max_model_len": st.sampled_from([512, 4096, "8k", 40000, 131072]),
        "gpu_memory_utilization": st.sampled_from([0.2, 0.5, 0.75, 0.9, 0.95]),
        "max_num_seqs": st.sampled_from([1, 16, 256, 1024]),
        "enforce_eager": st.booleans(),
        "quantization": st.sampled_from(["awq", "fp8", "bitsandbytes"]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8"]),
        "tensor_parallel_size": st.sampled_from([1, 2, 4]),
        "enable_prefix_caching": st.booleans(),
        "enable_expert_parallel": st.booleans(),
        "kv_cache_memory_bytes": st.sampled_from([1 << 28, 1 << 32]),
    },
)


@given(configurations(), ARGUMENTS, VERSIONS, GPUS)
def test_advice_is_true(config: dict[str, Any], arguments: dict[str, Any], version: str, gpu: memory.Gpu) -> None:
    found = memory.estimate(memory.Question(config, arguments, version, gpu))
    advice = memory.advise(found)
    assert found.fits is not None and advice is not None and found.kv is not None
    assert found.kv.low <= found.kv.value <= found.kv.high
    if advice.engine_args:
        assert not found.fits
        assert memory.estimate(found.question.with_arguments(**advice.engine_args)).fits
    if advice.max_model_len:
        assert memory.estimate(found.question.with_arguments(max_model_len=advice.max_model_len)).fits
    if advice.gpu_memory_utilization:
        share = advice.gpu_memory_utilization
        assert memory.estimate(found.question.with_arguments(gpu_memory_utilization=share)).fits
    if found.fits:
        assert found.cache is not None and found.cache.concurrency >= 1


@given(configurations(), VERSIONS, GPUS, st.sampled_from([4096, 32768]))
def test_more_memory_never_hurts(config: dict[str, Any], version: str, gpu: memory.Gpu, length: int) -> None:
    # The size of the GPU decides defaults: they are pinned, so that only the memory differs.
    pinned = {"max_model_len": length, "max_num_seqs": 64, "max_num_batched_tokens": 32768}
    larger = memory.Gpu(gpu.name, gpu.memory + memory.GIB, None, gpu.capability)
    smaller = memory.Gpu(gpu.name, gpu.memory, None, gpu.capability)
    few, many = (memory.estimate(memory.Question(config, pinned, version, one)) for one in (smaller, larger))
    assert few.kv is not None and many.kv is not None
    assert many.kv.value > few.kv.value
    assert many.fits or not few.fits


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(configurations(), st.data(), VERSIONS, GPUS)
def test_bad_input_is_answered(config: dict[str, Any], data: st.DataObject, version: str, gpu: memory.Gpu) -> None:
    names = [*config, "rope_scaling", "layer_types", "sliding_window", "quantization_config", "vision_config", "top_k"]
    broken = {**config, data.draw(st.sampled_from(names)): data.draw(JUNK)}
    arguments = data.draw(
        st.dictionaries(
            st.sampled_from(["max_model_len", "max_num_seqs", "speculative_config", "kv_cache_dtype", "dtype", "tp"]),
            JUNK,
        )
    )
    found = memory.estimate(memory.Question(broken, arguments, version, gpu))
    memory.advise(found)
    memory.as_dict(found)
    memory.table("x", found)
