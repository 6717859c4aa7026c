# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's observation adds to the question: the draft model's files, and the tensors of GGUF files."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, checks, memory, model_needs, observation, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks import gpu_memory
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import GPUS, image_entry, server

GIB = 1 << 30
#: Llama 3.1 8B and Llama 3.2 1B, as their config.json have it.
TARGET = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
    "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
}  # fmt: skip
DRAFT = {
    **TARGET, "hidden_size": 2048, "num_hidden_layers": 16, "head_dim": 64, "intermediate_size": 8192,
    "tie_word_embeddings": True,
}  # fmt: skip
BIG, SMALL = 16_060_522_496, 2_471_645_608
SPECULATION = {"speculative_config": {"method": "draft_model", "model": "/models/draft", "num_speculative_tokens": 4}}


def subject(draft=None, target=None, arguments=None, mounts=("/models/draft",), memory=24 * GIB):
    fields = {"model": "/models/m", "gpus": [0], "mounts": list(mounts), "engine_args": arguments or {}}
    one = spec.load({"chat": server(**fields)})[0]
    card = {"index": 0, "uuid": GPUS[0], "name": "NVIDIA L4", "compute_capability": "8.9", "memory_total": memory}
    looks = {need.key: draft for need in model_needs.needs(one) if need.role == "draft" and draft}
    facts = {"status": "ok", "driver": "580.65.06", "devices": [card]}
    seen = observation.Observation.parse({"schema": 1, "gpus": facts, "models": looks})
    model = target or {"status": "complete", "format": "safetensors", "config": TARGET, "bytes": BIG}
    return checks.Server(
        one, seen, (one,), image_entry(), model, (GPUS[0],), {"chat": (GPUS[0],)}, catalog.release("0.32.0"), True
    )


def foreseen(*args, **more):
    return gpu_memory.foresee(subject(*args, **more), "0.32.0")[0]


def test_the_draft_takes_its_weights_and_a_share_of_the_cache():
    arguments = {"max_model_len": 8192, "gpu_memory_utilization": 0.92}
    alone = foreseen(arguments=arguments)
    both = foreseen(
        {"status": "complete", "format": "safetensors", "config": DRAFT, "bytes": SMALL},
        arguments={**arguments, **SPECULATION},
    )

    assert both.weights.value - alone.weights.value == pytest.approx(SMALL, rel=0.001)
    # 16 layers of 8 heads of 64, two bytes, keys and values.
    assert both.draft_token == 2 * 2 * 8 * 64 * 16
    assert both.cache.tokens < alone.cache.tokens


def test_a_draft_can_be_what_does_not_fit():
    small = {"max_model_len": 8192, "gpu_memory_utilization": 0.92}
    assert foreseen(arguments=small, memory=21 * GIB).fits is True
    found = {"status": "complete", "format": "safetensors", "config": DRAFT, "bytes": SMALL}
    refused = foreseen(found, arguments={**small, **SPECULATION}, memory=21 * GIB)
    assert refused.fits is False
    assert "error" in {item.severity for item in refused.findings}


@pytest.mark.parametrize("look", [None, {"status": "absent"}, {"status": "incomplete", "config": DRAFT, "bytes": 5}])
def test_a_draft_that_is_not_there_is_said_to_be_left_out(look):
    found = foreseen(look, arguments=SPECULATION)
    assert "memory.draft-unknown" in {item.code for item in found.findings}
    assert found.draft_token == 0


def test_a_draft_of_an_unknown_kind_counts_by_its_size():
    odd = {"status": "complete", "config": {"architectures": ["Odd"], "model_type": "odd"}, "bytes": SMALL}
    with_it, without = foreseen(odd, arguments=SPECULATION), foreseen()
    assert with_it.weights.value - without.weights.value == pytest.approx(SMALL, rel=0.001)
    assert "memory.draft-unknown" in {item.code for item in with_it.findings}


def test_no_mount_shows_the_draft():
    found = {"status": "complete", "config": DRAFT, "bytes": SMALL}
    assert foreseen(found, arguments=SPECULATION, mounts=()).draft_token == 0


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        ({}, None),
        ({"format": "safetensors", "bytes": 100, "tensors": {"dtypes": {"BF16": 90}}}, 100),
        # The vocabulary of a GGUF file is no weight; all shards are summed.
        ({"format": "gguf", "bytes": 500, "tensors": {"dtypes": {"Q4_K": 300, "Q6_K": 100, "F32": 20}}}, 420),
        ({"format": "gguf", "bytes": 500, "tensors": None}, 500),
    ],
)
def test_bytes_of_tensors(look, expected):
    assert gpu_memory.tensor_bytes(look) == expected


def test_a_gguf_file_is_weighed_by_its_tensors():
    tensors = {"count": 292, "parameters": 8_030_000_000, "dtypes": {"Q4_K": 4 * GIB, "Q6_K": GIB // 2}}
    look = {"status": "complete", "format": "gguf", "config": TARGET, "bytes": 5 * GIB, "tensors": tensors}
    found = foreseen(target=look)
    assert found.question.weights_bytes == 4 * GIB + GIB // 2
    assert found.weights.value == pytest.approx(4.5 * GIB, rel=0.25)


VISION = {
    **TARGET, "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
    "vision_config": {"depth": 32},
}  # fmt: skip


@pytest.mark.parametrize(
    ("version", "given"),
    [("0.32.0", {"mm_encoder_tp_mode": "data"}), ("0.10.2", {"enable_multimodal_encoder_data_parallel": True})],
)
def test_a_repeated_vision_tower_is_whole_on_every_rank(version, given):
    """The argument counts, as it was declared (vllm/model_executor/models/qwen2_5_vl.py: disable_tp)."""
    gpu = memory.Gpu("NVIDIA L4", 22 * GIB, None, 8.9)

    def tower(**more):
        arguments = {"tensor_parallel_size": 2, **more}
        return memory.estimate(memory.Question(VISION, arguments, version, gpu)).weights.value

    assert tower(**given) - tower() > 0.2 * GIB
    assert tower(**given) - tower(mm_encoder_tp_mode="weights") > 0.2 * GIB
