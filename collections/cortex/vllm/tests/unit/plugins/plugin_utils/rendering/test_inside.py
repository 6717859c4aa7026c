# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is inside of JSON options, and numbers that only vLLM's configuration refuses: told per release."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import ImageFacts, tables

BASE: dict[str, Any] = {"name": "chat", "image": "x", "model": "o/m", "offline": False}
NGRAM = {"method": "ngram", "num_speculative_tokens": 3}


def rendered(version: str, arguments: dict[str, Any]) -> Any:
    release = catalog.release(version)
    assert release is not None
    (made,) = spec.load([{**BASE, "engine_args": arguments}])
    return rendering.render(made, ImageFacts.assumed("x", version), release, [], "/s", None, "0" * 32, {})


def said(version: str, arguments: dict[str, Any]) -> list[str]:
    findings = rendered(version, arguments).findings
    return [f"{item.severity} {item.code} {item}" for item in findings if item.code != "argument.translated"]


@pytest.mark.parametrize(
    "version, arguments, expected",
    [
        ("0.32.0", {"speculative_config": {**NGRAM, "promt_lookup_max": 4}},
         ["error argument.key", "engine_args.speculative_config.promt_lookup_max", "Write prompt_lookup_max"]),
        ("0.32.0", {"speculative_config": {**NGRAM, "disable_by_batch_size": 4}},
         ["error argument.key", "lost the key disable_by_batch_size in vLLM 0.17"]),
        ("0.10.2", {"speculative_config": {**NGRAM, "rejection_sample_method": "standard"}},
         ["error argument.key", "from vLLM 0.", "or use a newer image"]),
        ("0.32.0", {"kv_transfer_config": {"kv_connector": "X", "kv_rol": "kv_both"}},
         ["error argument.key", "Write kv_role"]),
        # Dropped without a word by the classes of those days: said, and not refused.
        ("0.9.2", {"kv_transfer_config": {"kv_connector": "X", "kv_rol": "kv_both"}},
         ["warning argument.key", "drops it without a word"]),
        ("0.32.0", {"compilation_config": {"pass_config": {"fuse_nrm_quant": True}}},
         ["error argument.key", "engine_args.compilation_config.pass_config.fuse_nrm_quant", "Write fuse_norm_quant"]),
        ("0.32.0", {"kv_transfer_config": {"kv_connector": "X", "kv_role": "kv_botch"}},
         ["error argument.invalid", "kv_botch", "kv_producer"]),
        ("0.32.0", {"structured_outputs_config": {"disable_anywhitespace": True}},
         ["error argument.key", "disable_any_whitespace"]),
        ("0.32.0", {"limit_mm_per_prompt": {"image": "two"}}, ["error argument.invalid", "image: 'two'"]),
        ("0.32.0", {"limit_mm_per_prompt": {"imge": 1}}, ["warning argument.key", "Write image"]),
        ("0.32.0", {"limit_mm_per_prompt": 5}, ["error argument.shape"]),
        ("0.32.0", {"speculative_config": {}}, ["error speculation.method"]),
        ("0.32.0", {"hf_overrides": [1]}, ["error argument.shape", "takes a mapping, or text"]),
        ("0.32.0", {"gpu_memory_utilization": 1.5}, ["error argument.invalid", "at most 1"]),
        ("0.32.0", {"gpu_memory_utilization": 0}, ["error argument.invalid", "more than 0"]),
        ("0.18.1", {"block_size": 0}, ["error argument.invalid", "at least 1"]),
        ("0.13.0", {"max_model_len": -1}, ["error argument.invalid", "at least 1"]),
        ("0.32.0", {"max_model_len": 10**40}, ["error argument.invalid", "out of range"]),
        # No number at all: told as any wrong kind.
        ("0.32.0", {"max_model_len": {"a": 1}}, ["error argument.shape"]),
        ("0.32.0", {"max_num_seqs": [2]}, ["error argument.value"]),
        ("0.10.0", {"max_logprobs": -1}, ["error argument.invalid", "came with 0.10.1"]),
        ("0.32.0", {"seed": -1}, ["error argument.invalid", "0 to 4294967295"]),
        ("0.32.0", {"tensor_parallel_size": "0"}, ["error argument.invalid", "at least 1"]),
        ("0.33.0", {"distributed_executor_backend": "rays"}, ["error argument.invalid", "external_launcher"]),
        ("0.22.1", {"spec_method": "ngram", "spec_tokens": 2, "speculative_config": {**NGRAM, "prompt_lookup_max": 2}},
         ["error argument.twice", "speculative_config.method"]),
        ("0.13.0", {"swap_space": 4}, ["warning release.engine", "ignores it"]),
        ("0.12.0", {"speculative_config": {"model": "o/d", "num_speculative_tokens": 2}},
         ["warning speculation.method", "refuses draft models"]),
        ("0.12.0", {"attention_backend": "XFORMERS"}, ["error attention.backend"]),
        ("0.10.1.1", {"kv_cache_memory": "1g"}, ["error argument.newer", "0.10.2"]),
        ("0.9.2", {"data_parallel_start_rank": 1}, ["error argument.unknown", "Write entrypoint: [vllm, serve]"]),
    ],
)  # fmt: skip
def test_what_would_end_the_start_is_said_with_what_to_write(
    version: str, arguments: dict[str, Any], expected: list[str]
) -> None:
    found = said(version, arguments)
    assert found, "nothing was said"
    assert all(word in found[0] for word in expected), found


@pytest.mark.parametrize(
    "version, arguments",
    [
        ("0.32.0", {"speculative_config": {**NGRAM, "prompt_lookup_max": 4}}),
        ("0.24.0", {"speculative_config": {"method": "ngram", "num-speculative-tokens": 3}}),
        ("0.9.2", {"kv_transfer_config": {"kv_connector": "X", "kv_role": "kv_both"}}),
        ("0.32.0", {"kv_transfer_config": {"kv_connector": "X", "kv_connector_extra_config": {"any": {"thing": 1}}}}),
        ("0.32.0", {"compilation_config": {"cudagraph_mode": "FULL", "pass_config": {"fuse_norm_quant": True}}}),
        ("0.32.0", {"hf_overrides": {"anything": {"at": "all"}}}),
        ("0.32.0", {"limit_mm_per_prompt": {"video": {"count": 1, "num_frames": 8}, "image": 2}}),
        ("0.32.0", {"max_model_len": "auto"}), ("0.32.0", {"max_model_len": -1}), ("0.10.1.1", {"max_logprobs": -1}),
        ("0.32.0", {"distributed_executor_backend": "my.executor.Class"}),
        ("0.6.0", {"swap_space": 4}), ("0.32.0", {"swap_space": 0}),
        ("0.12.0", {"speculative_config": {"model": "o/EAGLE-d", "num_speculative_tokens": 2}}),
    ],
)  # fmt: skip
def test_what_is_right_is_left_in_peace(version: str, arguments: dict[str, Any]) -> None:
    assert said(version, arguments) == []


OLD = {"level": 3, "use_cudagraph": False, "pass_config": {"enable_fusion": True, "enable_noop": True}}
NEW = {"mode": 3, "cudagraph_mode": "NONE", "pass_config": {"fuse_norm_quant": True, "eliminate_noops": True}}


@pytest.mark.parametrize(
    "version, arguments, expected",
    [
        ("0.9.2", {"compilation_config": OLD}, OLD),
        ("0.24.0", {"compilation_config": OLD}, NEW),
        ("0.32.0", {"compilation_config": {"level": 2}}, {"mode": 2}),
        ("0.9.2", {"compilation_config": {"mode": 2}}, {"level": 2}),
        ("0.32.0", {"compilation_config": {"full_cuda_graph": False}}, {}),
        ("0.32.0", {"pooler_config": {"normalize": False}}, {"use_activation": False}),
        ("0.24.0", {"speculative_config": {"method": "ngram", "num-speculative-tokens": 3}}, NGRAM),
    ],
)
def test_keys_are_written_in_the_words_of_the_release(
    version: str, arguments: dict[str, Any], expected: dict[str, Any]
) -> None:
    (made,) = spec.load([{**BASE, "engine_args": arguments}])
    release = catalog.release(version)
    assert release is not None
    (name,) = arguments
    assert rendering.arguments(made, release).values[name] == expected


def test_a_number_outside_of_int64_is_no_traceback() -> None:
    for name in ("max_num_seqs", "seed", "block_size", "swap_space", "tensor_parallel_size"):
        assert said("0.13.0" if name == "swap_space" else "0.32.0", {name: 10**400})


def test_each_row_of_ranges_and_keys_says_where_it_is_read() -> None:
    assert all(row["source"] and row["fix"] for row in tables.rows()["ranges"])
    assert all(row["source"] for row in tables.rows()["inner"])


def test_each_renamed_key_existed_on_both_sides() -> None:
    """Else the row would never do anything."""
    for row in tables.rows()["inner"]:
        assert catalog.key_lifetime(row["argument"], row["old"]) or row["argument"] == "pooler_config", row
        assert catalog.key_lifetime(row["argument"], row["new"]) or "override" in row["argument"], row


NEGATIVES = [
    ("0.10.0", {"no_enable_log_requests": True}, ["--disable-log-requests"]),
    ("0.32.0", {"no-disable-log-requests": True}, ["--enable-log-requests"]),
    ("0.16.0", {"no_disable_log_requests": True}, ["--enable-log-requests"]),
    ("0.32.0", {"disable_prefix_caching": True}, ["--no-enable-prefix-caching"]),
    ("0.33.0", {"disable_prefix_caching": True}, ["--disable-prefix-caching"]),
    ("0.8.4", {"disable_chunked_prefill": True}, ["--enable-chunked-prefill", "false"]),
    ("0.32.0", {"enable_custom_all_reduce": False}, ["--disable-custom-all-reduce"]),
    ("0.32.0", {"enable_custom_all_reduce": True}, []),
    ("0.12.0", {"compilation_config": 3}, ["--optimization-level", "3"]),
    ("0.11.2", {"compilation_config": 3}, ["--compilation-config", "3"]),
    ("0.12.0", {"O": {"cudagraph_mode": "FULL"}}, ["--compilation-config", '{"cudagraph_mode":"FULL"}']),
    ("0.10.2", {"guided_decoding_backend": "xgrammar:no-fallback"},
     ["--guided-decoding-backend", "xgrammar", "--guided-decoding-disable-fallback"]),
    ("0.32.0", {"guided_decoding_backend": "xgrammar:no-fallback"},
     ["--structured-outputs-config", '{"backend":"xgrammar"}']),
    ("0.6.4.post1", {"task": "embed"}, ["--task", "embedding"]),
    ("0.32.0", {"moe_backend": "DEEP-GEMM"}, ["--moe-backend", "deep_gemm"]),
    ("0.33.0", {"attention_backend": "TRITON_ATTN_VLLM_V1"}, ["--attention-backend", "TRITON_ATTN"]),
]  # fmt: skip


@pytest.mark.parametrize("version, arguments, expected", NEGATIVES)
def test_spellings_of_other_releases(version: str, arguments: dict[str, Any], expected: list[str]) -> None:
    argv = rendered(version, arguments).argv
    words = argv[argv.index("--served-model-name") + 2 :]
    if "--shutdown-timeout" in words:
        place = words.index("--shutdown-timeout")
        del words[place : place + 2]
    assert words == expected
