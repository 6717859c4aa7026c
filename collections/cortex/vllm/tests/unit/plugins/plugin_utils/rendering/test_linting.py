# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said about a declaration with nothing but the release at hand."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import ImageFacts

BASE: dict[str, Any] = {"name": "chat", "image": "x", "model": "o/m"}


def rendered(version: str, **fields: Any) -> Any:
    release = catalog.release(version)
    assert release is not None
    (made,) = spec.load([{**BASE, **fields}])
    return rendering.render(made, ImageFacts.assumed("x", version), release, [], "/s", None, "0" * 32, {})


def found(version: str, **fields: Any) -> list[str]:
    return [f"{item.severity} {item.code}: {item}" for item in rendered(version, **fields).findings]


def one(version: str, **fields: Any) -> str:
    said = [line for line in found(version, **fields) if "argument.translated" not in line]
    assert len(said) == 1, said
    return said[0]


@pytest.mark.parametrize(
    "version, fields, expected",
    [
        ("0.6.4.post1", {"engine": "v1"}, {"VLLM_USE_V1": "1"}),
        ("0.10.2", {"engine": "v0"}, {"VLLM_USE_V1": "0"}),
        ("0.10.2", {"engine": "auto"}, {}),
        ("0.6.0", {"engine": "v0"}, {}),
        ("0.32.0", {"engine": "v1"}, {}),
        ("0.12.0", {"model_runner": "v2"}, {"VLLM_USE_V2_MODEL_RUNNER": "1"}),
        ("0.33.0", {"model_runner": "v1"}, {"VLLM_USE_V2_MODEL_RUNNER": "0"}),
        ("0.11.0", {"model_runner": "v1"}, {}),
        ("0.32.0", {"debug": {"level": "debug", "stats_interval": 5}},
         {"VLLM_LOGGING_LEVEL": "DEBUG", "VLLM_LOG_STATS_INTERVAL": "5"}),
        ("0.9.0", {"engine_args": {"attention_backend": "flashinfer"}}, {"VLLM_ATTENTION_BACKEND": "FLASHINFER"}),
    ],
)  # fmt: skip
def test_rendered_to_what_the_release_reads(version: str, fields: dict[str, Any], expected: dict[str, str]) -> None:
    result = rendered(version, **fields)
    plain = rendered(version).env
    assert {name: value for name, value in result.env.items() if name not in plain} == expected
    assert not [item for item in result.findings if item.severity == "error"]
    assert all(f"{name}={value}" in result.body["Env"] for name, value in expected.items())


@pytest.mark.parametrize(
    "version, fields, words",
    [
        ("0.11.0", {"engine": "v0"}, "vllm_servers[chat].engine: the V0 engine left vLLM in 0.11"),
        ("0.11.0", {"env": {"VLLM_USE_V1": "0"}}, "error release.engine: vllm_servers[chat].env.VLLM_USE_V1"),
        ("0.6.3.post1", {"engine": "v1"}, "came with vLLM 0.6.4"),
        ("0.8.5.post1", {"engine": "v1", "engine_args": {"num_scheduler_steps": 8}}, "error release.engine"),
        ("0.8.5.post1", {"engine_args": {"num_scheduler_steps": 8}}, "warning release.engine"),
        ("0.9.2", {"engine_args": {"preemption_mode": "swap"}}, "fall back to the V0 engine"),
        ("0.11.2", {"model_runner": "v2"}, "error release.model-runner"),
        ("0.9.0", {"debug": {"stats_interval": 5}}, "error debug.unavailable"),
        ("0.32.0", {"debug": {"stats_interval": 5}, "engine_args": {"disable_log_stats": True}}, "warning debug.unav"),
        ("0.32.0", {"debug": {"trace_functions": True}}, "warning debug.cost"),
        ("0.32.0", {"debug": {"cuda_launch_blocking": True}}, "warning debug.cost"),
        ("0.32.0", {"env": {"NCCL_TIMEOUT": "1800"}}, "error environment.unread: vllm_servers[chat].env.NCCL_TIMEOUT: "
         "nothing reads it: not NCCL, not torch, not vLLM. Write engine_args.distributed_timeout_seconds"),
        ("0.32.0", {"env": {"VLLM_USE_V1": "1"}}, "error environment.removed: vllm_servers[chat].env.VLLM_USE_V1: "
         "removed in vLLM 0.11.1 (last seen in 0.11.0) (the image has 0.32.0): nothing reads it. Delete it: V1 is"),
        ("0.32.0", {"env": {"NCCL_P2P_DISABLE": "1"}, "gpus": 2, "engine_args": {"tensor_parallel_size": 2}},
         "warning nccl.p2p-off: vllm_servers[chat].env.NCCL_P2P_DISABLE: keeps NCCL from peer to peer, and vLLM's own"),
        ("0.32.0", {"env": {"VLLM_ENGINE_ITERATION_TIMEOUT_S": "60"}}, "Write VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"),
        ("0.20.2", {"env": {"VLLM_ATTENTION_BACKEND": "FLASH_ATTN"}}, "Write engine_args.attention_backend"),
        ("0.9.0", {"env": {"VLLM_ENGINE_READY_TIMEOUT_S": "600"}}, "warning environment.newer"),
        ("0.32.0", {"env": {"VLLM_LOGING_LEVEL": "DEBUG"}}, "Write VLLM_LOGGING_LEVEL, if that is meant"),
        ("0.32.0", {"env": {"VLLM_LOGGING_LEVEL": "LOUD"}}, "error environment.value"),
        ("0.32.0", {"env": {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "soon"}}, "is not a number"),
        ("0.32.0", {"env": {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "0"}}, "is outside of 1 … 86400"),
        ("0.32.0", {"env": {"VLLM_SERVER_DEV_MODE": "on"}}, "is a switch"),
        ("0.32.0", {"env": {"VLLM_WORKER_MULTIPROC_METHOD": "thread"}}, "Write one of fork, spawn"),
        ("0.32.0", {"env": {"HF_HUB_ENABLE_HF_TRANSFER": "1"}}, "warning environment.deprecated"),
        ("0.32.0", {"env": {"HF_HUB_OFFLINE": "0"}, "offline": True}, "undoes offline"),
        ("0.32.0", {"env": {"HF_HUB_CACHE": "/x"}}, "error environment.conflict"),
        ("0.32.0", {"env": {"VLLM_PORT": "8000"}}, "internal ports"),
        ("0.32.0", {"env": {"VLLM_LOGGING_LEVEL": "INFO"}, "debug": {"level": "debug"}}, "says otherwise"),
        ("0.32.0", {"env": {"PYTORCH_ALLOC_CONF": "a", "PYTORCH_CUDA_ALLOC_CONF": "b"}}, "Write one of them"),
        ("0.32.0", {"secrets": {"env": {"VLLM_USE_V1": "1"}}}, "error environment.removed"),
        ("0.32.0", {"engine_args": {"speculative_config": {"num_speculative_tokens": 3}}}, "neither which method"),
        ("0.32.0", {"engine_args": {"speculative_config": {"method": "guess"}}}, "has no method 'guess'"),
        ("0.33.0", {"engine_args": {"speculative_config": {"method": "medusa", "model": "a/b"}}},
         "0.32.0 was the last to have it"),
        ("0.9.0", {"engine_args": {"speculative_config": {"method": "mtp"}}}, "0.11.0 has it"),
        ("0.32.0", {"engine_args": {"speculative_config": {"method": "eagle3", "num_speculative_tokens": 3}}},
         "eagle3 needs a model"),
        ("0.12.0", {"engine_args": {"speculative_config":
                    {"method": "draft_model", "model": "a/b", "num_speculative_tokens": 3}}}, "from 0.15 on"),
        ("0.32.0", {"engine_args": {"speculative_config": {"method": "ngram"}}}, "error speculation.tokens"),
        ("0.32.0", {"engine_args": {"speculative_config": {"method": "ngram", "num_speculative_tokens": 0}}},
         "not a whole number"),
        ("0.32.0", {"engine_args": {"speculative_config": {"method": "ngram", "num_speculative_tokens": 40}}},
         "warning speculation.tokens"),
        ("0.7.3", {"engine_args": {"speculative_model": "[ngram]"}}, "error speculation.tokens"),
        ("0.32.0", {"engine_args": {"speculative_config":
                    {"method": "eagle3", "model": "/srv/draft", "num_speculative_tokens": 3}}}, "does not see"),
        ("0.32.0", {"model": "/srv/m", "offline": True, "engine_args": {"speculative_config":
                    {"method": "eagle3", "model": "a/b", "num_speculative_tokens": 3}}}, "no hub cache"),
        ("0.32.0", {"engine_args": {"quantization": "bitsandbytes"}}, "error model.quantization: vllm_servers[chat]."
         "engine_args.quantization: vLLM 0.32.0 has no quantization method bitsandbytes: it left vLLM in 0.28."),
        ("0.32.0", {"engine_args": {"quantization": "of-a-plugin"}}, "write accept: [model.quantization]"),
        ("0.32.0", {"engine_args": {"enable_auto_tool_choice": True}}, "error tools.parser"),
        ("0.32.0", {"engine_args": {"tool_call_parser": "hermes"}}, "warning tools.parser"),
        ("0.14.1", {"probe": {"request": "tool_call"}}, "error probe.unavailable: vllm_servers[chat].probe.request: "
         "vLLM 0.14.1 calls no tool without tool_call_parser"),
        ("0.32.0", {"engine_args": {"enable_auto_tool_choice": True, "tool_call_parser": "x"}}, "no parser 'x'"),
        ("0.32.0", {"engine_args": {"reasoning_parser": "x"}}, "error reasoning.parser"),
        ("0.32.0", {"engine_args": {"structured_outputs_config": {"backend": "x"}}}, "structured-outputs.backend"),
        ("0.32.0", {"engine_args": {"structured_outputs_config": {"disable_fallback": True}}}, "it went in 0.18"),
        ("0.32.0", {"engine_args": {"attention_backend": "XFORMERS"}}, "error attention.backend"),
        ("0.9.0", {"env": {"VLLM_ATTENTION_BACKEND": "XFORMER"}}, "error attention.backend"),
        ("0.32.0", {"engine_args": {"enable_log_outputs": True}}, "needs enable_log_requests"),
        ("0.32.0", {"engine_args": {"lora_modules": {"a": "/a"}}}, "needs enable_lora"),
        ("0.32.0", {"engine_args": {"trust-remote-code": True}}, "error security.trust-remote-code: "
         "vllm_servers[chat].engine_args.trust_remote_code"),
    ],
)  # fmt: skip
def test_what_is_said(version: str, fields: dict[str, Any], words: str) -> None:
    assert words in one(version, **fields)


@pytest.mark.parametrize("version", ["0.6.3.post1", "0.8.5.post1", "0.11.0", "0.33.0"])
def test_nothing_is_said_of_what_is_right(version: str) -> None:
    fields: dict[str, Any] = {
        "env": {"VLLM_LOGGING_LEVEL": "debug", "NCCL_DEBUG": "WARN", "VLLM_HOST_IP": "10.0.0.1", "MY_OWN": "1"},
        "debug": {"level": "debug"},
        "engine_args": {"enable_auto_tool_choice": True, "tool_call_parser": "hermes"},
    }
    del fields["env"]["VLLM_LOGGING_LEVEL"]
    assert found(version, **fields) == []


def test_an_accepted_code_is_a_warning() -> None:
    said = one("0.32.0", engine_args={"trust_remote_code": True}, accept=["security.trust-remote-code"])
    assert said.startswith("warning security.trust-remote-code")


def test_the_value_of_a_secret_is_not_the_origin_of_a_finding() -> None:
    for item in rendered("0.32.0", secrets={"env": {"VLLM_USE_V1": "hidden"}}).findings:
        assert item.origin is None and "hidden" not in str(item)


@pytest.mark.parametrize("name", ["best_of", "logits_processors", "guided_decoding_backend", "swap_space"])
def test_request_defaults_that_v1_dropped(name: str) -> None:
    with pytest.raises(FindingsError) as caught:
        spec.load([{**BASE, "request_defaults": {name: 2}}])
    (finding,) = caught.value.findings
    assert finding.code == "request-defaults.ignored" and ("V1" in str(finding) or "V0" in str(finding))
