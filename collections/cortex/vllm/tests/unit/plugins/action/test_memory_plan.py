# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory of a start, asked without a host and of one."""

from __future__ import annotations

import json
import typing as t

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible.errors import AnsibleActionFail

from ansible_collections.cortex.vllm.plugins.action import memory_plan
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import observed

GIB = 1 << 30
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
}  # fmt: skip
#: What is a whole number in it.
NUMBERS = [key for key, value in CONFIG.items() if isinstance(value, int) and not isinstance(value, bool)]
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory_gib": 79.18, "compute_capability": "9.0"}
SERVER = {
    "name": "chat", "image": "x:1", "model": "/models/x", "gpus": [0],
    "engine_args": {"max_model_len": 8192, "gpu_memory_utilization": 0.9},
}  # fmt: skip


def test_a_question_needs_no_host(play: t.Any) -> None:
    said = {"max_model_len": 16000}
    played = play(memory_plan, [], config=CONFIG, engine_args=said, vllm_version="0.11.0", gpu=H100, gpu_count=1)

    result = played.run()

    assert result["remote_calls"] == 0 and result["changed"] is False
    assert result["kv_cache_gib"] == pytest.approx(51.38, rel=0.005)
    assert result["weights_gib"] == pytest.approx(14.99, rel=0.005)
    assert result["activation_gib"] == pytest.approx(4.76, rel=0.02)
    assert result["non_torch_gib"] == 0.12 and result["cuda_graph_gib"] > 0
    assert result["kv_cache_tokens"] == pytest.approx(51.38 * GIB / 131072, rel=0.005)
    assert result["max_concurrency"] == pytest.approx(result["kv_cache_tokens"] / 16000, abs=0.01)
    assert (result["fits"], result["findings"], result["vllm_version"]) == (True, [], "0.11.0")
    assert set(result["ranges"]) == {name for name in result if name in result["ranges"]}
    assert result["table"][0] == "Llama: fits (confidence high)"


def test_what_does_not_fit_is_an_answer_and_no_failure(play: t.Any) -> None:
    laptop = {"name": "RTX 3060", "memory_gib": 5.8, "free_gib": 5.5, "compute_capability": 8.6}
    result = play(memory_plan, [], config=CONFIG, gpu=laptop).run()

    assert result["fits"] is False
    assert result["findings"][0]["code"] == "memory.kv-cache-none"
    assert result["advice"]["engine_args"] is None


def test_an_unknown_architecture_gets_no_figures(play: t.Any) -> None:
    result = play(memory_plan, [], config={"architectures": ["FutureModel"]}, gpu=H100).run()

    assert (result["fits"], result["weights_gib"], result["kv_cache_gib"]) == (None, None, None)
    assert result["findings"][0]["code"] == "memory.architecture-unknown"


def without(*names: str) -> dict[str, t.Any]:
    return {key: value for key, value in CONFIG.items() if key not in names}


def having(**more: t.Any) -> dict[str, t.Any]:
    return {**CONFIG, **more}


METHODS = [
    "awq", "gptq", "fp8", "bitsandbytes", "compressed-tensors", "modelopt", "modelopt_fp4", "mxfp4", "gguf", "torchao",
    "quark", "hqq", "experts_int8", "fbgemm_fp8", "aqlm", "inc", "auto-round", "ptpc_fp8", "petit_nvfp4",
    "never-heard-of",
]  # fmt: skip
VISION = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
GROUPS = {"a": None, "b": {"weights": None}, "c": {"weights": {"num_bits": None, "group_size": None}}}
#: Question → what it is answered with: a verdict, None for none, or the text of the refusal.
ODD: list[tuple[dict[str, t.Any], t.Any]] = [
    ({"config": {**without("torch_dtype"), "dtype": "float16"}}, True),
    ({"config": without("torch_dtype")}, True),
    ({"config": having(torch_dtype="float32")}, True),
    ({"config": having(torch_dtype="torch.bfloat16")}, True),
    ({"config": having(torch_dtype="float8_e4m3fn")}, "config: float8_e4m3fn is no type"),
    ({"config": without("max_position_embeddings")}, True),
    ({"config": without("num_key_value_heads")}, False),
    ({"config": without("intermediate_size")}, True),
    ({"config": without("vocab_size")}, None),
    ({"config": without("num_hidden_layers")}, None),
    ({"config": without("architectures")}, None),
    ({"config": having(architectures="LlamaForCausalLM")}, True),
    ({"config": having(architectures=[])}, None),
    ({"config": having(architectures=["LLamaForCausalLM"])}, None),
    ({"config": having(architectures=["Foo"]), "weights_bytes": 16 * 10**9}, None),
    ({"weights_bytes": 16 * 10**9}, None),
    ({"config": having(text_config=None)}, True),
    ({"config": {"architectures": ["InternVLChatModel"], "llm_config": CONFIG, "vision_config": VISION}}, True),
    ({"config": having(architectures=["LlavaForConditionalGeneration"], vision_config={"hidden_size": "big"})}, True),
    ({"config": having(rope_scaling="linear")}, True),
    ({"config": having(rope_scaling={"type": "linear", "factor": "2"})}, True),
    *(({"config": having(quantization_config={"quant_method": method})}, ...) for method in METHODS),
    ({"config": having(quantization_config={"quant_method": "gptq", "bits": "4", "group_size": "128"})}, True),
    ({"config": having(quantization_config=["awq"])}, True),
    ({"config": having(quantization_config={
        "quant_method": "compressed-tensors", "config_groups": GROUPS, "ignore": "lm_head",
    })}, True),
    ({"config": having(quantization_config={"quant_method": "fp8", "ignored_layers": None})}, True),
    ({"config": CONFIG, "weights_bytes": 0}, True),
    ({"config": CONFIG, "weights_bytes": "14.96GiB"}, True),
    ({"config": CONFIG, "weights_bytes": "16.06 GB"}, True),
    ({"config": CONFIG, "weights_bytes": "1.6e10"}, True),
    ({"config": CONFIG, "weights_bytes": -5}, "weights_bytes: -5 is no size"),
    ({"config": CONFIG, "weights_bytes": "big"}, "weights_bytes: 'big' is no size"),
    ({"config": CONFIG, "gpu": "H100"}, True),
    ({"config": CONFIG, "gpu": {"name": "RTX 4090", "memory_gib": 24}}, False),
    ({"config": CONFIG, "gpu": {"memory_gib": 24}}, False),
    ({"config": CONFIG, "gpu": {"name": "A100", "memory_gib": 40}}, True),
    ({"config": CONFIG, "gpu": {"name": "H100", "memory_gib": "80GB"}}, True),
    ({"config": CONFIG, "gpu": {"name": "H100", "memory_gib": "81559 MiB"}}, True),
    ({"config": CONFIG, "gpu": {"name": "H100", "memory_gib": 81559}}, "it looks like MiB"),
    ({"config": CONFIG, "gpu": {"name": "FooCard 9000"}}, None),
    ({"config": CONFIG, "gpu": 7}, "gpu: 7 is no GPU"),
    ({"config": CONFIG, "gpu_count": 3}, False),
    ({"config": CONFIG, "gpu_count": 64}, False),
    ({"config": CONFIG, "engine_args": {"gpu_memory_utilization": 90}}, "write 0.9 for 90 %"),
    ({"config": CONFIG, "engine_args": {"gpu_memory_utilization": "90%"}}, "'90%' is no number"),
    ({"config": CONFIG, "engine_args": {"max-model-len": "32k"}}, True),
    ({"config": CONFIG, "engine_args": {"max_model_len": -1}}, True),
    ({"config": CONFIG, "engine_args": {"max_model_len": 0}}, "0 is no number of tokens"),
    ({"config": CONFIG, "engine_args": {"tensor_parallel_size": True}}, "True is no number"),
    ({"config": CONFIG, "engine_args": {"kv_cache_dtype": "int4"}}, None),
    ({"config": CONFIG, "engine_args": {"kv_cache_memory_bytes": "8G"}}, False),
    ({"config": CONFIG, "engine_args": {"speculative_config": '{"method":'}}, True),
    ({"config": CONFIG, "engine_args": {"enable_lora": True, "max_lora_rank": "64", "max_loras": "4"}}, True),
    ({"config": CONFIG, "engine_args": {"enable_lora": True, "max_lora_rank": "big"}}, "max_lora_rank: 'big'"),
    ({"config": CONFIG, "vllm_version": "v0.20.2"}, True),
    ({"config": CONFIG, "vllm_version": "nightly"}, True),
    ({"config": CONFIG, "vllm_version": 0.2}, True),
    ({"config": CONFIG, "vllm_version": "1.4.0"}, True),
    ({"config": CONFIG, "gpu": None, "environment": {"VLLM_CPU_KVCACHE_SPACE": 40}}, True),
    ({"config": CONFIG, "gpu": None, "environment": {"VLLM_CPU_KVCACHE_SPACE": "4GB"}},
     "environment.VLLM_CPU_KVCACHE_SPACE: '4GB' is no number"),
    ({"config": {**CONFIG, **{key: str(CONFIG[key]) for key in NUMBERS}}}, True),
    ({"config": {**CONFIG, **{key: float(CONFIG[key]) for key in NUMBERS}}}, True),
    ({"config": having(head_dim=None)}, True),
    ({"config": having(layer_types=["full_attention"] * 3)}, None),
    ({"config": having(architectures=["BertModel"])}, True),
    ({"config": having(
        architectures=["Qwen3MoeForCausalLM"], num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768
    ), "gpu_count": 8, "engine_args": {"data_parallel_size": 8, "enable_expert_parallel": True}}, True),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer"), ODD)
def test_odd_questions_are_answered_or_refused_in_words(play: t.Any, question: dict[str, t.Any], answer: t.Any) -> None:
    asked = {"gpu": "H100", **question}
    if isinstance(answer, str):
        with pytest.raises(AnsibleActionFail) as refused:
            play(memory_plan, [], **asked).run()
        assert answer in str(refused.value)
        return
    result = play(memory_plan, [], **asked).run()
    if answer is not ...:
        assert result["fits"] is answer
    if result["fits"] is None:
        assert any(item["code"].endswith(("-unknown", ".assumed")) for item in result["findings"])
    changed = (result["advice"] or {}).get("engine_args")
    if changed:
        again = {**asked, "engine_args": {**asked.get("engine_args", {}), **changed}}
        assert play(memory_plan, [], **again).run()["fits"], "the advice that was given"


def test_experts_are_shared_by_all_copies(play: t.Any) -> None:
    experts = having(
        architectures=["Qwen3MoeForCausalLM"], num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768
    )
    said = {"data_parallel_size": 8}
    alone, shared = (
        play(memory_plan, [], config=experts, gpu="H200", gpu_count=8, engine_args={**said, **more}).run()
        for more in ({}, {"enable_expert_parallel": True})
    )
    expert = 3 * 4096 * 768 * 128 * 32 * 2 / GIB
    assert alone["weights_gib"] - shared["weights_gib"] == pytest.approx(expert * 7 / 8, rel=0.01)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "config: neither a model's configuration nor servers"),
        ({"config": CONFIG, "gpu": {"memory": 80}}, "memory: this task has no such option"),
        ({"config": CONFIG, "gpu": {"memory_gib": "much"}}, "gpu.memory_gib: 'much' is no number"),
        ({"config": CONFIG, "gpu": {"memory_gib": -1}}, "gpu.memory_gib: -1 is no number"),
        ({"config": CONFIG, "gpu_count": 0}, "gpu_count: 0 is not at least 1"),
        ({"config": CONFIG, "engine_args": {"max_model_len": "far"}}, "engine_args.max_model_len: 'far' is no number"),
        ({"config": CONFIG, "gpus": 1}, "gpus: this task has no such option"),
        ({"config": [1]}, "config"),
        ({"servers": {"a": {}}}, "vllm_servers[a].image"),
    ],
)
def test_bad_input_is_named(play: t.Any, args: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said.replace("[", r"\[").replace("]", r"\]")):
        play(memory_plan, [], **args).run()


def host(free: float, **more: t.Any) -> t.Any:
    device = {
        "index": 0, "uuid": "GPU-1", "name": H100["name"], "memory_total": 81559 << 20, "compute_capability": "9.0",
        "memory_used": int((79.6 - free) * GIB), "memory_free": int(free * GIB),
    }  # fmt: skip
    image = {
        "id": "sha256:1",
        "config": {"Entrypoint": ["vllm", "serve"]},
        "known": {"vllm_version": "0.32.0", "source": "x"},
    }
    model = {"status": "complete", "format": "safetensors", "bytes": 16060522496, "config": CONFIG, "problems": []}
    facts = {
        "images": {"x:1": image}, "models": {"/models/x||": model},
        "gpus": {"status": "ok", "devices": [device]}, **more,
    }  # fmt: skip
    return observed(**facts)


def test_servers_of_a_host(play: t.Any) -> None:
    played = play(memory_plan, [host(79.0)], servers=[SERVER])

    result = played.run()

    assert played.steps == ["observe"]
    assert result["fits"] is True
    assert result["servers"]["chat"]["kv_cache_gib"] > 50
    assert any("chat: fits" in line for line in played.shown)
    assert json.dumps(result)


def test_what_others_hold_counts(play: t.Any) -> None:
    result = play(memory_plan, [host(30.0)], servers=[SERVER]).run()

    assert result["fits"] is False
    (found,) = [item for item in result["findings"] if item["code"] == "memory.gpu-free"]
    assert found["field"] == "vllm_servers[chat].engine_args.gpu_memory_utilization"
    assert "gpu_memory_utilization: 0.3" in found["fix"]


def test_what_the_server_itself_holds_does_not(play: t.Any) -> None:
    container = {
        "Id": "c1", "Name": "/cortex-vllm-chat", "Image": "sha256:1", "State": {"Running": True, "Status": "running"},
        "Config": {"Labels": {"cortex.vllm.server": "chat"}},
        "HostConfig": {"DeviceRequests": [{"DeviceIDs": ["GPU-1"]}]},
    }  # fmt: skip
    stranger = {**container, "Id": "c2", "Name": "/other", "Config": {"Labels": {}}}

    alone = play(memory_plan, [host(5.0, containers=[container])], servers=[SERVER]).run()
    beside = play(memory_plan, [host(5.0, containers=[container, stranger])], servers=[SERVER]).run()

    assert alone["fits"] is True
    # Beside another container it gives back no more than its record claims: 0.93 of the GPU, which is enough as well.
    assert beside["fits"] is True


def test_two_servers_on_one_gpu_are_added_up(play: t.Any) -> None:
    shared = {**SERVER, "accept": ["gpu.shared"]}
    half = {**shared, "engine_args": {"max_model_len": 8192, "gpu_memory_utilization": 0.45}}
    second = {**half, "name": "other", "server_port": 8001}

    fitting = play(memory_plan, [host(79.0)], servers=[half, second]).run()
    busy = play(memory_plan, [host(60.0)], servers=[half, second]).run()

    assert fitting["fits"] is True
    assert busy["servers"]["chat"]["fits"] is True and busy["servers"]["other"]["fits"] is False
