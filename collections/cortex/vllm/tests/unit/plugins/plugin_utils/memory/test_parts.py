# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weights and KV cache against published sizes, and against what releases logged."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import memory
from ansible_collections.cortex.vllm.plugins.plugin_utils.memory import (
    arguments,
    cards,
    kv_cache,
    overhead,
    quantization,
    runner,
    shape,
    vision,
    weights,
)

GIB = memory.GIB


def config(architecture, hidden, layers, heads, kv_heads, intermediate, vocab, **more):
    return {
        "architectures": [f"{architecture}ForCausalLM"], "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": intermediate,
        "vocab_size": vocab, "tie_word_embeddings": False, "torch_dtype": "bfloat16", **more,
    }  # fmt: skip


LLAMA8 = config("Llama", 4096, 32, 32, 8, 14336, 128256, max_position_embeddings=131072)
QWEN7 = config("Qwen2", 3584, 28, 28, 4, 18944, 152064, max_position_embeddings=32768)
MIXTRAL = config("Mixtral", 4096, 32, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2)
QWEN30 = config(
    "Qwen3Moe", 2048, 48, 32, 4, 6144, 151936, head_dim=128, num_experts=128, num_experts_per_tok=8,
    moe_intermediate_size=768,
)  # fmt: skip
DEEPSEEK = config(
    "DeepseekV3", 7168, 61, 128, 128, 18432, 129280, n_routed_experts=256, num_experts_per_tok=8, n_shared_experts=1,
    moe_intermediate_size=2048, first_k_dense_replace=3, q_lora_rank=1536, kv_lora_rank=512, qk_rope_head_dim=64,
    qk_nope_head_dim=128, v_head_dim=128,
)  # fmt: skip
GEMMA = config("Gemma3", 5376, 62, 32, 16, 21504, 262208, head_dim=128, sliding_window=1024)
GPT_OSS = config(
    "GptOss", 2880, 24, 64, 8, 2880, 201088, head_dim=64, num_local_experts=32, num_experts_per_tok=4,
    sliding_window=128, layer_types=["sliding_attention", "full_attention"] * 12,
)  # fmt: skip
QWEN35 = config(
    "Qwen3_5", 4096, 32, 16, 4, 12288, 248320, head_dim=256, full_attention_interval=4, linear_num_key_heads=16,
    linear_num_value_heads=32, linear_key_head_dim=128, linear_value_head_dim=128, linear_conv_kernel_dim=4,
)  # fmt: skip


def settings(one, version="0.13.0", gpu=None, **given):
    return arguments.settle(shape.read(one), given, version, gpu or memory.Gpu())


@pytest.mark.parametrize(
    ("one", "billions"),
    [(LLAMA8, 8.030), (QWEN7, 7.616), (MIXTRAL, 46.70), (QWEN30, 30.53), (DEEPSEEK, 671.0), (GPT_OSS, 20.9)],
)
def test_parameters_are_those_that_the_publishers_name(one, billions):
    found = weights.per_gpu(shape.read(one), quantization.plain(2))
    assert found.total / 2 / 1e9 == pytest.approx(billions, rel=0.007)


def test_weights_are_shared_out_and_repeated():
    model, plain = shape.read(LLAMA8), quantization.plain(2)
    one, two, sixteen = (weights.per_gpu(model, plain, ranks).total for ranks in (1, 2, 16))
    assert one / 2 < two < one / 2 * 1.02
    assert sixteen > one / 16 * 1.05, "eight KV heads on sixteen ranks are repeated"
    assert weights.per_gpu(model, plain, 1, 2).total == pytest.approx(one / 2, rel=0.02)
    tied = shape.read({**LLAMA8, "tie_word_embeddings": True})
    assert one - weights.per_gpu(tied, plain).total == pytest.approx(128256 * 4096 * 2, rel=0.01)
    assert weights.per_gpu(model, plain, head=False).total == pytest.approx(one - 128256 * 4096 * 2, rel=0.01)


@pytest.mark.parametrize(
    ("declared", "own", "linear"),
    [
        ("awq_marlin", {}, 0.5195),
        (None, {"quant_method": "gptq", "bits": 8, "group_size": -1}, 1.0),
        (None, {"quant_method": "fp8"}, 1.0),
        (None, {"quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}}}}, 0.5195),
        (None, {"quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float"}}}}, 0.5625),
        (None, {"quant_method": "modelopt", "quant_algo": "NVFP4"}, 0.5625),
        ("modelopt_fp4", {}, 0.5625),
        ("bitsandbytes", {}, 0.5159),
        ("bitsandbytes", {"quant_method": "bitsandbytes", "load_in_8bit": True}, 1.0),
        ("experts_int8", {}, 2.0),
        (None, {}, 2.0),
        ("somebody_elses", {}, None),
    ],
)  # fmt: skip
def test_encodings(declared, own, linear):
    found = quantization.encoding(declared, {"quantization_config": own} if own else {}, 2)
    assert found.linear == (None if linear is None else pytest.approx(linear, abs=1e-3))


def test_kernels_for_mxfp4_pad_the_experts():
    how = quantization.encoding("mxfp4", {}, 2)
    found = weights.per_gpu(shape.read(GPT_OSS), how)
    assert found.total / GIB == pytest.approx(13.72, rel=0.01), "logged for gpt-oss-20b; its files have 12.8 GiB"
    assert weights.from_checkpoint(shape.read(GPT_OSS), how, int(12.8 * GIB)).total == pytest.approx(found.total)


def test_the_checkpoints_bytes_win():
    model, plain = shape.read(LLAMA8), quantization.plain(2)
    size = 16_060_522_496
    assert weights.from_checkpoint(model, plain, size).total == pytest.approx(size, rel=0.005)
    assert weights.from_checkpoint(model, plain, size, 2).total == pytest.approx(size / 2, rel=0.02)
    fp8 = quantization.encoding("fp8", {}, 2)
    assert weights.from_checkpoint(model, fp8, size).total == pytest.approx(weights.per_gpu(model, fp8).total, rel=0.01)
    gguf = quantization.encoding("gguf", {}, 2)
    assert weights.from_checkpoint(model, gguf, 5 * GIB, 2).total == 2.5 * GIB
    assert weights.from_checkpoint(model, plain, 60 * GIB).total == 60 * GIB, "not the model of this configuration"


def test_vision_towers():
    plain = quantization.plain(2)
    seven = shape.read(
        {**QWEN7, "architectures": ["Qwen2_5_VLForConditionalGeneration"], "vision_config": {"depth": 32}}
    )
    assert weights.per_gpu(seven, plain).total / GIB == pytest.approx(15.5, rel=0.01), "8.29 billion"
    large = shape.read({**QWEN7, "architectures": ["InternVLChatModel"], "hidden_size": 8192})
    repeated, dummy = vision.weights(large, 8, 2, plain)
    assert repeated / GIB == pytest.approx(4.6, rel=0.05), "25 heads are not shared out on 8 ranks"
    unknown = shape.read({**LLAMA8, "architectures": ["Llama4ForConditionalGeneration"]})
    assert vision.tower(unknown) == {} and vision.weights(unknown, 1, 2, plain) == (0.0, GIB)
    own = shape.read({**LLAMA8, "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24, "mlp_ratio": 4}})
    assert vision.tower(own)["mlp"] == 4096
    data = shape.read({**QWEN7, "architectures": ["Qwen2VLForConditionalGeneration"], "mm_encoder_tp_mode": "data"})
    assert vision.weights(data, 2, 2, plain)[0] > 1.2 * GIB
    usual, none = (
        arguments.settle(seven, {"limit_mm_per_prompt": limits}, "0.13.0", arguments.Gpu())
        for limits in ({}, {"image": 0, "video": 0})
    )
    assert vision.activation(seven, none) == 0.0 < vision.activation(seven, usual)


@pytest.mark.parametrize(
    ("one", "version", "given", "size"),
    [
        (LLAMA8, "0.13.0", {}, 4096),  # 2 x 8 heads x 128 x 2 bytes
        (LLAMA8, "0.13.0", {"tensor_parallel_size": 16}, 512),
        (LLAMA8, "0.13.0", {"kv_cache_dtype": "fp8_e5m2"}, 2048),
        (LLAMA8, "0.13.0", {"kv_cache_dtype": "bfloat16"}, 4096),
        (LLAMA8, "0.33.0", {"kv_cache_dtype": "nvfp4"}, 1152),
        ({**LLAMA8, "quantization_config": {"kv_cache_scheme": {"num_bits": 8}}}, "0.13.0", {}, 2048),
        ({**LLAMA8, "quantization_config": {"kv_cache_quant_algo": "FP8"}}, "0.13.0", {}, 2048),
        ({**LLAMA8, "multi_query": True}, "0.13.0", {}, 512),
        (DEEPSEEK, "0.13.0", {"tensor_parallel_size": 8}, 1152),  # one latent vector, on every rank
        (DEEPSEEK, "0.7.3", {"tensor_parallel_size": 8}, 1280),  # padded to 640 elements
        (DEEPSEEK, "0.6.3", {"tensor_parallel_size": 8}, 16 * 2 * 256 * 2),
        (DEEPSEEK, "0.20.2", {"kv_cache_dtype": "fp8_ds_mla"}, 656),
        ({**DEEPSEEK, "index_head_dim": 128}, "0.20.2", {}, 1284),
    ],
)  # fmt: skip
def test_bytes_of_a_token_in_one_layer(one, version, given, size):
    assert kv_cache.token_bytes(shape.read(one), settings(one, version, **given)) == size


def test_packed_types_have_no_guess():
    with pytest.raises(kv_cache.UnknownCache, match="turboquant"):
        kv_cache.element_bytes(settings(LLAMA8, kv_cache_dtype="turboquant_3bit"), {})


@pytest.mark.parametrize(
    ("one", "version", "given", "gib", "tokens", "concurrency"),
    [
        (LLAMA8, "0.17.1", {"max_model_len": 32768}, 55.79, 457024, 13.95),
        # Sliding and full layers share the pool: half of the blocks go to each, the window makes requests small.
        (GPT_OSS, "0.13.0", {"max_model_len": 8192}, 12.94, 282624, 54.44),
        # 62 layers in seven groups of ten: 70 are paid.
        (GEMMA, "0.11.0", {"max_model_len": 8192}, 10.0, 18720, None),
        (GEMMA, "0.8.0rc3", {"max_model_len": 65536, "tensor_parallel_size": 4}, 18.03, 9526 * 16, 2.33),
        # Linear attention: attention's page grows to 528 tokens to hold a state; as logged by 0.19.
        (QWEN35, "0.19.0", {"max_model_len": 32768, "tensor_parallel_size": 4}, 15.36, 502656, 57.74),
    ],
)  # fmt: skip
def test_tokens_as_releases_log_them(one, version, given, gib, tokens, concurrency):
    found = kv_cache.cache(shape.read(one), settings(one, version, **given), gib * GIB)
    assert found.tokens == pytest.approx(tokens, rel=0.002)
    if concurrency:
        assert found.concurrency == pytest.approx(concurrency, rel=0.003)


def test_since_0_20_hybrid_models_log_concurrency_times_length():
    old, new = (
        kv_cache.cache(shape.read(GPT_OSS), settings(GPT_OSS, version, max_model_len=8192), 12.94 * GIB)
        for version in ("0.13.0", "0.20.2")
    )
    assert new.tokens == int(new.concurrency * 8192) > old.tokens


def test_kinds_of_layers():
    switched_off = config("Qwen2", 896, 24, 14, 2, 4864, 151936, sliding_window=32768, use_sliding_window=False)
    assert set(shape.read(switched_off).kinds) == {"full"}
    assert set(shape.read(config("Mistral", 4096, 32, 32, 8, 14336, 32000, sliding_window=4096)).kinds) == {"sliding"}
    llama4 = config("Llama4", 5120, 48, 40, 8, 8192, 202048, attention_chunk_size=8192, num_local_experts=16)
    assert shape.read(llama4).kinds.count("chunked") == 36
    shared = config("Gemma3n", 2048, 30, 8, 2, 16384, 262400, num_kv_shared_layers=10)
    assert shape.read(shared).kinds.count("shared") == 10
    assert kv_cache.layout(shape.read(shared), settings(shared)).group == 20
    counted = {**GPT_OSS, "layer_types": {"sliding_attention": 12, "full_attention": 12}}
    assert sorted(shape.read(counted).kinds) == sorted(shape.read(GPT_OSS).kinds)
    one = dataclasses.replace(settings(llama4, max_model_len=65536), batched=2048)
    assert kv_cache.blocks_needed(kv_cache.layout(shape.read(llama4), one), one, 65536) == 4096 + 3 * 640


def test_switches_that_undo_the_hybrid_pool():
    plain = settings(GEMMA, "0.11.0", max_model_len=8192, disable_hybrid_kv_cache_manager=True)
    assert kv_cache.layout(shape.read(GEMMA), plain).group == 62
    piped = kv_cache.layout(shape.read(GPT_OSS), settings(GPT_OSS, pipeline_parallel_size=2))
    assert piped.group == 6
    even = config("Gemma2", 2304, 25, 8, 4, 9216, 256000, sliding_window=4096)
    assert kv_cache.layout(shape.read(even), settings(even, "0.13.0")).group == 13, (
        "13 and 12: padded to one group each"
    )


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"architectures": ["WhisperForCausalLM"]}, "architecture Whisper"),
        ({}, "(none named)"),
        ({**LLAMA8, "hidden_size": "wide"}, "no hidden_size"),
        ({**LLAMA8, "vocab_size": None}, "no vocab_size"),
        ({**LLAMA8, "layer_types": ["mystery"] * 32}, "layer_types"),
        ({**LLAMA8, "layer_types": ["full_attention"]}, "layer_types"),
        ({**LLAMA8, "layer_types": ["linear_attention"] * 32}, "linear attention"),
    ],
)
def test_what_is_unknown_is_called_unknown(broken, said):
    with pytest.raises(shape.UnknownArchitecture) as problem:
        shape.read(broken)
    assert said in str(problem.value)
    found = memory.estimate(memory.Question(broken, {}, "0.32.0", memory.Gpu("x", 80 * GIB)))
    assert (found.fits, found.kv, found.weights) == (None, None, None)
    assert [item.code for item in found.findings] == ["memory.architecture-unknown"]


@pytest.mark.parametrize(
    ("version", "given", "environment", "path"),
    [
        ("0.7.3", {}, {}, ("sorting", False)),
        ("0.9.2", {}, {}, ("sorting", True)),
        ("0.10.1.1", {}, {}, ("lean", True)),
        ("0.10.1.1", {}, {"VLLM_USE_FLASHINFER_SAMPLER": "0"}, ("sorting", False)),
        ("0.13.0", {}, {}, ("sorting", False)),
        ("0.13.0", {}, {"VLLM_USE_FLASHINFER_SAMPLER": "1"}, ("lean", False)),
        ("0.17.1", {}, {}, ("lean", False)),
        ("0.32.0", {}, {}, ("lean", False)),
    ],
)
def test_which_sampler_a_release_profiles(version, given, environment, path):
    assert overhead.sampler_path(settings(LLAMA8, version, **given), environment) == path


def test_activation_follows_the_sampler_the_batch_or_the_image():
    h100 = memory.Gpu("NVIDIA H100 80GB HBM3", int(79.18 * GIB), None, 9.0)
    llama = shape.read(LLAMA8)
    assert overhead.activation(llama, settings(LLAMA8, "0.11.0", h100)).value / GIB == pytest.approx(4.76, rel=0.02)
    long = settings(LLAMA8, "0.6.4", max_model_len=20000)
    assert overhead.activation(llama, long).value / GIB == pytest.approx(2.07, rel=0.04), "V0 profiles the whole length"
    cut = settings(LLAMA8, "0.6.4", max_model_len=40000)
    assert overhead.activation(llama, cut).value < 1.3 * GIB, "chunked prefill is turned on above 32k"
    pooling = overhead.activation(llama, settings(LLAMA8, "0.12.0", h100, runner="pooling", max_model_len=8192))
    assert pooling.value / GIB == pytest.approx(0.8, rel=0.15)
    adapted = overhead.activation(llama, settings(LLAMA8, "0.11.0", h100, enable_lora=True))
    assert adapted.value > overhead.activation(llama, settings(LLAMA8, "0.11.0", h100)).value
    assert weights.adapters(llama, {"enable_lora": True, "max_loras": 4}, 1) > weights.adapters(llama, {}, 1) == 0
    sees = {**LLAMA8, "architectures": ["LlavaForConditionalGeneration"]}
    assert overhead.activation(shape.read(sees), settings(sees, "0.7.3")).value > 0.15 * GIB


def test_graphs_by_release():
    def subtracted(version, environment=None):
        return overhead.graphs_subtracted(shape.read(LLAMA8), settings(LLAMA8, version), environment)

    assert not subtracted("0.19.1")
    assert subtracted("0.19.1", {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "1"})
    assert subtracted("0.20.2")
    assert not subtracted("0.20.2", {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "0"})
    # The second model runner estimates nothing until 0.29, whatever is asked for.
    assert not subtracted("0.26.0", {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "1"})
    assert subtracted("0.29.0")
    few, many = (overhead.cuda_graphs(shape.read(LLAMA8), settings(LLAMA8, max_num_seqs=seqs)) for seqs in (8, 256))
    assert few.value < many.value / 3
    assert overhead.cuda_graphs(shape.read(LLAMA8), settings(LLAMA8, enforce_eager=True)).high == 0


@pytest.mark.parametrize(
    ("one", "version", "given", "environment", "second"),
    [
        (LLAMA8, "0.21.0", {}, {}, False),
        (LLAMA8, "0.22.1", {}, {}, False),
        (LLAMA8, "0.23.0", {}, {}, True),
        (LLAMA8, "0.23.0", {"quantization": "fp8"}, {}, False),
        (LLAMA8, "0.24.0", {"quantization": "fp8"}, {}, True),
        (LLAMA8, "0.25.1", {"runner": "pooling"}, {}, False),
        (LLAMA8, "0.28.0", {"speculative_config": {"method": "ngram"}}, {}, False),
        (LLAMA8, "0.28.0", {"speculative_config": '{"method": "ngram"}'}, {}, False),
        (LLAMA8, "0.28.0", {"speculative_config.method": "ngram"}, {}, False),
        (LLAMA8, "0.28.0", {}, {"VLLM_USE_V2_MODEL_RUNNER": "0"}, False),
        (LLAMA8, "0.22.1", {}, {"VLLM_USE_V2_MODEL_RUNNER": "1"}, True),
        (LLAMA8, "0.20.2", {}, {"VLLM_USE_V2_MODEL_RUNNER": "1"}, False),
        (LLAMA8, "0.29.0", {"runner": "pooling"}, {}, True),
    ],
)  # fmt: skip
def test_which_model_runner_a_release_takes(one, version, given, environment, second):
    """vllm/config/vllm.py use_v2_model_runner of each release."""
    assert runner.second(shape.read(one), settings(one, version, **given), environment) is second


def test_the_second_runner_profiles_less():
    given = {"max_num_seqs": 1024, "max_num_batched_tokens": 1024}
    first, second = (
        overhead.activation(shape.read(LLAMA8), settings(LLAMA8, version, **given)) for version in ("0.22.1", "0.26.0")
    )
    assert second.value < first.value / 3


@pytest.mark.parametrize(
    ("name", "gib", "box", "real"),
    [
        ("NVIDIA GeForce RTX 3060 Laptop GPU", 6, 6, 5.80), ("RTX 3060", 6, 6, 5.80), ("rtx3060", None, 12, 11.63),
        ("H100-SXM5-80GB", None, 80, 79.18), ("NVIDIA H100 80GB HBM3", 80, 80, 79.18), ("H100 NVL x4", 94, 94, 93.0),
        ("NVIDIA A100-SXM4-40GB", None, 40, 39.38), ("A100", 40, 40, 39.38), ("Tesla T4", 16, 16, 14.56),
        ("NVIDIA L4", 24, 24, 22.03), ("NVIDIA L40S", 48, 48, 44.39), ("4090", 24, 24, 23.54), ("V100", 32, 32, 31.73),
        ("NVIDIA H200", None, 141, 139.80), ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 96, 96, 94.97),
    ],
)  # fmt: skip
def test_cards_in_any_spelling(name, gib, box, real):
    card = cards.find(name, gib)
    assert (card.box, card.real) == (box, real)


@pytest.mark.parametrize(("name", "gib"), [("", 80), ("GeForce GTX 1080", 8), ("H100", 24), ("an unknown card", None)])
def test_cards_that_are_not_known(name, gib):
    assert cards.find(name, gib) is None
