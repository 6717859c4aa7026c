# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties: advice fits when it is followed and not one step beyond; no question ends in a traceback."""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import memory

DATA = Path(__file__).parent / "data"
MODELS = {item["name"]: item["config"] for item in json.loads((DATA / "architectures.json").read_text("utf-8"))}
GIB = memory.GIB
CARDS = ("RTX 3060 Laptop", "T4", "A10G", "RTX 4090", "A100 40", "L40S", "H100", "H200")
VERSIONS = ("0.6.6.post1", "0.8.5.post1", "0.10.2", "0.11.2", "0.17.1", "0.22.1", "0.26.0", "0.33.0")
LENGTHS = (2048, 32768, 131072)


def card(name: str, free: float | None = None) -> memory.Gpu:
    found = memory.cards.find(name)
    assert found is not None
    return memory.Gpu(
        name, int(found.real * GIB), None if free is None else int(free * found.real * GIB), found.capability
    )


def questions(number: int) -> list[memory.Question]:
    """Starts that people try, chosen at random but the same each time."""
    choose = random.Random(20261127)
    every = list(itertools.product(sorted(MODELS), CARDS, VERSIONS, LENGTHS, (None, 0.95, 0.5), (1, 2, 8)))
    asked = []
    for name, gpu, version, length, share, count in choose.sample(every, number):
        arguments: dict[str, object] = {"max_model_len": length}
        if share is not None:
            arguments["gpu_memory_utilization"] = share
        arguments |= choose.choice([{}, {}, {"enforce_eager": True}, {"max_num_seqs": 16}, {"kv_cache_dtype": "fp8"}])
        free = choose.choice([None, None, 0.97, 0.7])
        asked.append(memory.Question(MODELS[name], arguments, version, card(gpu, free), gpu_count=count))
    return asked


def test_a_model_without_heads_is_not_told_to_share_them_out() -> None:
    """Mamba layers have none; that two ranks cannot divide one is no reason to take fewer."""
    asked = {"tensor_parallel_size": 2, "gpu_memory_utilization": 0.15}
    found = memory.estimate(memory.Question(MODELS["mamba-2.8b"], asked, "0.26.0", card("T4"), gpu_count=2))
    advice = memory.advise(found)

    assert found.fits is False and advice is not None
    assert "tensor_parallel_size" not in advice.engine_args and advice.engine_args["gpu_memory_utilization"] > 0.15


def test_advice_fits_when_it_is_followed() -> None:
    given = {"max_model_len": 0, "gpu_memory_utilization": 0, "gpu_count": 0, "engine_args": 0}
    for question in questions(400):
        found = memory.estimate(question)
        if found.fits is not False:
            continue
        advice = memory.advise(found)
        if advice is None:
            continue
        if advice.engine_args:
            given["engine_args"] += 1
            assert memory.estimate(question.with_arguments(**advice.engine_args)).fits, (question, advice)
        if advice.max_model_len:
            given["max_model_len"] += 1
            followed = memory.estimate(question.with_arguments(max_model_len=advice.max_model_len))
            assert followed.fits, (question, advice)
        if advice.gpu_memory_utilization:
            given["gpu_memory_utilization"] += 1
            followed = memory.estimate(question.with_arguments(gpu_memory_utilization=advice.gpu_memory_utilization))
            assert followed.fits, (question, advice)
        if advice.gpu_count:
            given["gpu_count"] += 1
            more = memory.Question(
                question.config, {**question.engine_args, "tensor_parallel_size": advice.gpu_count}, question.version,
                question.gpu, gpu_count=advice.gpu_count,
            )  # fmt: skip
            assert memory.estimate(more).fits, (question, advice)
    assert all(number >= 10 for number in given.values()), given


def test_the_longest_length_is_the_longest() -> None:
    seen = 0
    for question in questions(200):
        found = memory.estimate(question)
        advice = memory.advise(found) if found.fits is False else None
        if advice is None or not advice.max_model_len or found.cache is None or found.settings is None:
            continue
        if not found.settings.v1:  # V0 profiles less again above 32k, where it cuts prompts in chunks
            continue
        step = math.ceil(found.cache.block * 1.1)
        if advice.max_model_len + step >= found.settings.max_len:
            continue
        seen += 1
        beyond = memory.estimate(question.with_arguments(max_model_len=advice.max_model_len + step))
        assert beyond.fits is False, (question, advice)
    assert seen >= 5


def test_more_memory_never_fits_less() -> None:
    for name in ("Llama-3.1-8B", "gemma-3-27b", "DeepSeek-V2-Lite", "Qwen3-Next-80B-A3B"):
        verdicts = [
            memory.estimate(
                memory.Question(MODELS[name], {"max_model_len": 8192}, "0.33.0", memory.Gpu("", size * GIB))
            ).fits
            for size in range(4, 400, 4)
        ]  # fmt: skip
        assert verdicts == sorted(verdicts, key=bool)
        assert {True, False} == set(verdicts)


ODD = (
    None, "", "auto", "x", "8k", "8K", "1e400", "-1", -1, 0, 1, 2.5, True, [], {}, [1], {"a": 1}, "nan", float("nan"),
    float("inf"), 10**30, "{", "{}", b"x",
)  # fmt: skip
KEYS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size",
    "intermediate_size", "max_position_embeddings", "torch_dtype", "quantization_config", "rope_scaling", "layer_types",
    "sliding_window", "architectures", "text_config", "vision_config", "num_experts", "kv_lora_rank",
    "tie_word_embeddings", "partial_rotary_factor", "num_kv_shared_layers",
)  # fmt: skip
ARGUMENTS = (
    "max_model_len", "gpu_memory_utilization", "tensor_parallel_size", "pipeline_parallel_size", "max_num_seqs",
    "max_num_batched_tokens", "block_size", "kv_cache_dtype", "dtype", "quantization", "speculative_config",
    "enable_lora", "max_lora_rank", "kv_cache_memory_bytes", "limit_mm_per_prompt", "enforce_eager", "hf_overrides",
    "--tensor-parallel-size", "mamba_ssm_cache_dtype",
)  # fmt: skip


def asked(config: object, arguments: dict[str, object], version: str = "0.33.0") -> memory.Estimate:
    found = memory.estimate(memory.Question(config, arguments, version, card("H100")))  # type: ignore[arg-type]
    advice = memory.advise(found) if found.fits is False else None
    memory.as_dict(found, advice)
    assert memory.table("model", found, advice)
    for item in found.findings:
        assert item.message
        assert "Traceback" not in item.message
    return found


@pytest.mark.parametrize("key", KEYS)
def test_an_odd_configuration_is_no_traceback(key: str) -> None:
    for name, value in itertools.product(("Llama-3.1-8B", "gemma-3-27b", "Qwen3-30B-A3B", "DeepSeek-V3"), ODD):
        found = asked({**MODELS[name], key: value}, {})
        assert found.fits is not None or found.findings


@pytest.mark.parametrize("key", ARGUMENTS)
def test_an_odd_argument_is_no_traceback(key: str) -> None:
    for value in ODD:
        asked(MODELS["Llama-3.1-8B"], {key: value})


@pytest.mark.parametrize(
    "version", ["", "latest", "v0.9.x", "0.8.x", "main", "99.0", "0.26.1rc1.dev156+g0eec856cc", "0"]
)
def test_an_odd_version_is_no_traceback(version: str) -> None:
    assert asked(MODELS["Llama-3.1-8B"], {}, version).fits is True


@pytest.mark.parametrize("missing", sorted(MODELS["Llama-3.1-8B"]))
def test_a_missing_field_is_no_traceback(missing: str) -> None:
    asked({key: value for key, value in MODELS["Llama-3.1-8B"].items() if key != missing}, {})


@pytest.mark.parametrize(
    "config", [{}, {"architectures": []}, {"architectures": [None]}, {"architectures": "Llama"}, []]
)
def test_no_configuration_is_called_unknown(config: object) -> None:
    assert asked(config, {}).fits is None
