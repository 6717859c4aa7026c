# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The estimate as a whole: verdicts, defaults by release, findings, advice, and what people are shown."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import memory
from ansible_collections.cortex.vllm.plugins.plugin_utils.memory import arguments, shape
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.memory.test_parts import (
    DEEPSEEK,
    LLAMA8,
    QWEN7,
    config,
)

GIB = memory.GIB
QWEN06 = config(
    "Qwen3", 1024, 28, 16, 8, 3072, 151936, head_dim=128, tie_word_embeddings=True, max_position_embeddings=40960
)
QWEN05 = config("Qwen2", 896, 24, 14, 2, 4864, 151936, tie_word_embeddings=True, max_position_embeddings=32768)
LAPTOP = memory.Gpu("NVIDIA GeForce RTX 3060 Laptop GPU", int(5.8 * GIB), int(5.5 * GIB), 8.6)
H100 = memory.Gpu("NVIDIA H100 80GB HBM3", int(79.18 * GIB), None, 9.0)


def ask(one, given=None, version="0.32.0", gpu=H100, **more):
    return memory.estimate(memory.Question(one, given or {}, version, gpu, **more))


def codes(found):
    return [(item.code, item.severity) for item in found.findings]


@pytest.mark.parametrize("version", ["0.11.0", "0.20.2", "0.32.0"])
@pytest.mark.parametrize("utilization", [0.7, 0.8])
def test_the_laptop(version, utilization):
    said = {"gpu_memory_utilization": utilization, "enforce_eager": True, "max_model_len": 4096}
    assert ask(QWEN06, said, version, LAPTOP).fits
    gguf = ask(QWEN05, {**said, "quantization": "gguf"}, version, LAPTOP, weights_bytes=491_400_032)
    assert gguf.fits and gguf.weights.value < 0.6 * GIB
    seven = ask(QWEN7, said, version, LAPTOP)
    assert seven.fits is False and codes(seven)[0] == ("memory.kv-cache-none", "error")
    assert memory.advise(seven).engine_args is None
    assert "smaller or quantized model" in memory.advise(seven).text()


def test_advice_fits_when_it_is_followed():
    wide = ask(QWEN06, {}, "0.32.0", LAPTOP)
    assert codes(wide) == [("memory.kv-cache-length", "error")]
    advice = memory.advise(wide)
    assert list(advice.engine_args) == ["max_model_len"]
    assert memory.estimate(wide.question.with_arguments(**advice.engine_args)).fits
    over = {"max_model_len": advice.max_model_len + 16}
    assert memory.estimate(wide.question.with_arguments(**over)).fits is False
    small = ask(QWEN06, {"gpu_memory_utilization": 0.2, "max_model_len": 8192}, "0.32.0", LAPTOP)
    share = memory.advise(small).gpu_memory_utilization
    assert memory.estimate(small.question.with_arguments(gpu_memory_utilization=share)).fits
    assert not memory.estimate(small.question.with_arguments(gpu_memory_utilization=share - 0.02)).fits
    big = ask(config("Llama", 8192, 80, 64, 8, 28672, 128256), {"max_model_len": 8192})
    assert memory.advise(big).gpu_count == 4 or memory.advise(big).gpu_count == 2
    fitting = memory.advise(ask(LLAMA8, {"max_model_len": 8192}))
    assert fitting.engine_args == {} and fitting.gpu_count == 1 and fitting.text() == "It fits as declared."


def test_a_plan_that_holds_only_with_flashinfer_is_no_plan():
    """gpt-oss-120b on one H100 with 0.10.1 had -2.14 GiB: its sampler sorted."""
    big = config(
        "GptOss", 2880, 36, 64, 8, 2880, 201088, head_dim=64, num_local_experts=128, num_experts_per_tok=4,
        sliding_window=128, layer_types=["sliding_attention", "full_attention"] * 18,
    )  # fmt: skip
    said = {"quantization": "mxfp4", "max_model_len": 131072, "gpu_memory_utilization": 0.9}
    found = ask(big, said, "0.10.1")
    assert found.fits is False and found.kv.value > 0
    assert ask(big, said, "0.10.1", environment={"VLLM_USE_FLASHINFER_SAMPLER": "1"}).kv.value > 0


@pytest.mark.parametrize(
    ("version", "gpu", "seqs", "batched", "share"),
    [
        ("0.7.3", H100, 256, 2048, 0.9),
        ("0.8.0", LAPTOP, 1024, 2048, 0.9),
        ("0.8.4", LAPTOP, 256, 2048, 0.9),
        ("0.8.4", H100, 1024, 8192, 0.9),
        ("0.11.0", H100, 1024, 8192, 0.9),
        ("0.13.0", memory.Gpu("NVIDIA A100-SXM4-80GB", 79 * GIB), 256, 2048, 0.9),
        ("0.13.0", memory.Gpu("NVIDIA GB10", 121 * GIB), 256, 2048, 0.9),
        ("0.27.1", memory.Gpu("NVIDIA B200", 178 * GIB), 1024, 8192, 0.92),
        ("0.33.0", memory.Gpu("NVIDIA B200", 178 * GIB), 1024, 16384, 0.92),
        ("v0.20.2+cu129", H100, 1024, 8192, 0.92),
        ("0.11.0 (2025-10-31)", H100, 1024, 8192, 0.9),
    ],
)
def test_defaults_of_releases(version, gpu, seqs, batched, share):
    one = arguments.settle(shape.read(LLAMA8), {}, version, gpu)
    assert (one.max_seqs, one.batched, one.utilization) == (seqs, batched, share)


def test_other_defaults():
    read = shape.read(LLAMA8)
    one = arguments.settle(read, {"max-model-len": "8k", "-tp": "2", "kv-cache-memory": "1.5G"}, "0.20.2", H100)
    assert (one.max_len, one.tensor, one.cache_bytes) == (8000, 2, int(1.5 * GIB))
    assert arguments.settle(read, {"max_model_len": "8K"}, "0.20.2", H100).max_len == 8192
    assert arguments.settle(read, {"max_model_len": "auto"}, "0.20.2", H100).max_len == 131072
    turing = memory.Gpu("Tesla T4", int(14.56 * GIB), None, 7.5)
    assert not arguments.settle(read, {}, "0.9.2", turing).v1
    assert arguments.settle(read, {}, "0.9.2", turing, {"VLLM_USE_V1": "1"}).v1
    assert arguments.settle(read, {}, "0.11.0", turing).v1
    assert not arguments.settle(read, {"task": "embed"}, "0.8.4", H100).v1
    long = shape.read(
        {**QWEN7, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}
    )
    assert arguments.settle(long, {}, "0.20.2", H100).max_len == 131072
    linear = shape.read({**QWEN7, "rope_scaling": {"type": "linear", "factor": 2.0}})
    assert arguments.settle(linear, {}, "0.20.2", H100).max_len == 65536
    pooling = arguments.settle(read, {"task": "embed", "max_model_len": 4096}, "0.7.3", H100)
    assert pooling.pooling and pooling.batched == 32768
    unchunked = arguments.settle(read, {"enable_chunked_prefill": False, "max_model_len": 50000}, "0.13.0", H100)
    assert unchunked.batched == 50000


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"gpu_memory_utilization": "much"}, "engine_args.gpu_memory_utilization"),
        ({"gpu_memory_utilization": 90}, "engine_args.gpu_memory_utilization"),
        ({"gpu_memory_utilization": 0}, "engine_args.gpu_memory_utilization"),
        ({"max_model_len": "long"}, "engine_args.max_model_len"),
        ({"max_model_len": 0}, "engine_args.max_model_len"),
        ({"tensor_parallel_size": "two"}, "engine_args.tensor_parallel_size"),
        ({"tensor_parallel_size": -1}, "engine_args.tensor_parallel_size"),
        ({"max_num_seqs": []}, "engine_args.max_num_seqs"),
        ({"dtype": "int4"}, "engine_args.dtype"),
    ],
)
def test_bad_values_are_named(given, place):
    found = ask(LLAMA8, given)
    assert found.fits is None
    assert [(item.code, item.field) for item in found.findings] == [("memory.value", place)]


def test_findings():
    assert codes(ask(LLAMA8, gpu=None)) == [("memory.gpu-unknown", "info")]
    assert codes(ask(LLAMA8, {"max_model_len": 8192}, "nightly")) == [("memory.version-unknown", "info")]
    assert codes(ask(LLAMA8, {"max_model_len": 8192, "tensor_parallel_size": 4}, gpu_count=2)) == [
        ("memory.gpu-count", "error")
    ]
    assert codes(ask(LLAMA8, {"max_model_len": 8192}, gpu_count=2)) == [("memory.assumed", "info")]
    assert codes(ask(LLAMA8, {"quantization": "gguf"}))[0] == ("memory.quantization-unknown", "info")
    assert codes(ask(LLAMA8, {"kv_cache_dtype": "int4_per_token"})) == [("memory.cache-unknown", "info")]
    taken = memory.Gpu(H100.name, H100.memory, 20 * GIB, 9.0)
    busy = ask(LLAMA8, {"max_model_len": 8192}, gpu=taken)
    assert busy.fits is False and codes(busy) == [("memory.gpu-free", "error")]
    assert "write 0.25 or less" in busy.findings[0].fix
    advice = memory.advise(busy).engine_args
    assert advice["gpu_memory_utilization"] == 0.25
    assert memory.estimate(busy.question.with_arguments(**advice)).fits
    tight = ask(LLAMA8, {"max_model_len": 8192, "gpu_memory_utilization": 0.998}, "0.11.0")
    assert ("memory.graphs", "warning") in codes(tight)
    near = next(
        found
        for length in range(90000, 131072, 1000)
        if (found := ask(LLAMA8, {"max_model_len": length, "gpu_memory_utilization": 0.375}, "0.32.0")).close
    )
    assert ("memory.close", "warning") in codes(near) and near.kv.low < near.needed <= near.kv.value


def test_bytes_given_for_the_cache():
    found = ask(LLAMA8, {"kv_cache_memory_bytes": 10 * GIB, "max_model_len": 8192})
    assert found.kv.value == 10 * GIB and found.cache.tokens == 10 * GIB // (16 * 131072) * 16 and found.fits
    small = ask(LLAMA8, {"kv_cache_memory_bytes": GIB // 2, "max_model_len": 8192})
    assert small.fits is False
    assert memory.advise(small).engine_args == {"max_model_len": 4096}
    large = ask(LLAMA8, {"kv_cache_memory_bytes": 70 * GIB, "max_model_len": 8192})
    assert codes(large) == [("memory.gpu-free", "error")]


def test_draft_models_and_adapters_take_room():
    plain = ask(LLAMA8, {"max_model_len": 8192})
    said = {"max_model_len": 8192, "speculative_config": {"model": "org/draft", "num_speculative_tokens": 5}}
    with_draft = ask(LLAMA8, said, draft_config=QWEN06)
    assert with_draft.weights.value - plain.weights.value == pytest.approx(1.11 * GIB, rel=0.05)
    assert ask(LLAMA8, said, draft_weights_bytes=2 * GIB).weights.value == pytest.approx(plain.weights.value + 2 * GIB)
    assert ("memory.draft-unknown", "info") in codes(ask(LLAMA8, said))
    assert ("memory.draft-unknown", "info") in codes(ask(LLAMA8, said, draft_config={"architectures": ["X"]}))
    ngram = {"max_model_len": 8192, "speculative_config": {"method": "ngram", "num_speculative_tokens": 5}}
    assert ask(LLAMA8, ngram).weights == plain.weights
    assert ask(LLAMA8, {**ngram, "enable_lora": True}).weights.value > plain.weights.value


def test_the_layers_of_a_draft_model_take_a_share_of_every_block():
    """V1 registers a draft's attention layers beside the target's: tokens shrink by what they keep for a token."""
    said = {"max_model_len": 8192, "speculative_config": {"model": "org/draft", "num_speculative_tokens": 5}}
    said["kv_cache_memory_bytes"] = 10 * GIB
    alone, both = ask(LLAMA8, {**said, "speculative_config": None}), ask(LLAMA8, said, draft_config=QWEN06)
    target, drafts = 32 * 2 * 8 * 128 * 2, 28 * 2 * 8 * 128 * 2
    assert alone.cache.per_token == target
    assert both.cache.per_token == target + drafts
    assert both.cache.tokens == 10 * GIB // ((target + drafts) * 16) * 16
    longest = memory.advise(ask(LLAMA8, {**said, "max_model_len": 131072}, draft_config=QWEN06)).max_model_len
    assert longest == both.cache.tokens


def test_layers_for_multi_token_prediction_are_the_targets_own():
    plain = ask(DEEPSEEK, {"tensor_parallel_size": 8})
    said = {"tensor_parallel_size": 8, "speculative_config": '{"method": "deepseek_mtp", "num_speculative_tokens": 1}'}
    found = ask({**DEEPSEEK, "num_nextn_predict_layers": 1}, said)
    layer = 3 * 7168 * 2048 * 257 / 8 + 2 * 7168 * 7168  # experts, and the projection of two states to one
    assert found.weights.value - plain.weights.value == pytest.approx(2 * layer, rel=0.05)
    assert found.cache.per_token == pytest.approx(plain.cache.per_token * 62 / 61, rel=0.001)


def test_weights_are_told_of_an_unknown_architecture_when_their_bytes_are():
    found = ask({"architectures": ["SomethingNew"]}, {"tensor_parallel_size": 2}, weights_bytes=20 * GIB)
    assert (found.weights.value, found.kv, found.fits) == (10 * GIB, None, None)
    assert memory.advise(found) is None
    assert codes(ask(None, {"tensor_parallel_size": "x"}, weights_bytes=GIB)) == [("memory.value", "error")]


def test_on_the_processor_the_space_is_all():
    tiny = config("Qwen3", 64, 2, 4, 2, 128, 1000, head_dim=16, max_position_embeddings=4096)
    found = ask(tiny, {}, gpu=None, cpu=True, environment={"VLLM_CPU_KVCACHE_SPACE": "1"})
    assert found.fits and found.cache.tokens == GIB // (128 * 2 * 128) * 128
    small = ask(LLAMA8, {}, gpu=None, cpu=True, environment={"VLLM_CPU_KVCACHE_SPACE": "1"})
    assert small.fits is False and "VLLM_CPU_KVCACHE_SPACE has 1.00 GiB" in small.findings[0].message
    assert memory.advise(small).engine_args == {"max_model_len": 8192}


def test_shown():
    found = ask(QWEN06, {}, "0.32.0", LAPTOP)
    advice = memory.advise(found)
    told = memory.as_dict(found, advice)
    assert json.loads(json.dumps(told)) == told
    names = {"weights_gib", "activation_gib", "non_torch_gib", "cuda_graph_gib", "kv_cache_gib"}
    assert names == set(told["ranges"])
    assert all(low <= told[name] <= high for name, (low, high) in told["ranges"].items())
    lines = memory.table("chat", found, advice)
    assert lines[0] == "chat: does not fit (confidence high)"
    assert len(memory.gauge(found)) == 62 and "█" in memory.gauge(found)
    assert lines[-1] == f"  It fits with max_model_len: {advice.max_model_len}."
    assert memory.gauge(ask(LLAMA8, gpu=None)) == ""
    assert memory.table("x", ask({}))[0].startswith("x: memory unknown")
    assert memory.gauge(ask(QWEN7, {}, gpu=LAPTOP)).endswith("+")
    assert memory.as_dict(ask({}))["confidence"] == "none"


def test_it_takes_no_time():
    ask(DEEPSEEK)
    begun = time.process_time()
    for _again in range(20):
        memory.advise(ask(DEEPSEEK, {"tensor_parallel_size": 8}))
    assert (time.process_time() - begun) / 20 < 0.02
