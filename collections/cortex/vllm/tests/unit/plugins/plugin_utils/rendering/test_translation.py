# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments of one release in the words of another, and what is said where there are none."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import history
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import tables

BASE: dict[str, Any] = {"image": "vllm/vllm-openai:v0.32.0", "model": "Qwen/Qwen3-0.6B", "name": "chat"}


def rendered(version: str, arguments: dict[str, Any]) -> rendering.Arguments:
    release = catalog.release(version)
    assert release is not None
    (made,) = spec.load([{**BASE, "engine_args": arguments}])
    return rendering.arguments(made, release)


def tail(result: rendering.Arguments) -> list[str]:
    return result.argv[result.argv.index("chat") + 1 :]


NGRAM = {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4}
OLD_NGRAM = {"speculative_model": "[ngram]", "num_speculative_tokens": 5, "ngram_prompt_lookup_max": 4}
NGRAM_TEXT = '{"method":"ngram","num_speculative_tokens":5,"prompt_lookup_max":4}'


@pytest.mark.parametrize(
    "version, arguments, expected",
    [
        # Turned round, and without effect from 0.10.1 on under the old name.
        ("0.10.0", {"enable_log_requests": False}, ["--disable-log-requests"]),
        ("0.10.1.1", {"disable_log_requests": False}, ["--enable-log-requests"]),
        ("0.16.0", {"disable_log_requests": True}, []),
        ("0.32.0", {"disable_log_requests": "true"}, []),
        ("0.33.0", {"disable_log_requests": False}, ["--enable-log-requests"]),
        # A level: of its own from 0.12 on, of compilation before.
        ("0.32.0", {"O": 3}, ["--optimization-level", "3"]),
        ("0.12.0", {"O3": True}, ["--optimization-level", "3"]),
        ("0.11.0", {"O": "2"}, ["--compilation-config", "2"]),
        # Renamed.
        ("0.32.0", {"kv_cache_memory": "2G"}, ["--kv-cache-memory-bytes", "2G"]),
        ("0.6.6.post1", {"max_context_len_to_capture": 4096}, ["--max-seq-len-to-capture", "4096"]),
        ("0.6.0", {"device_memory_utilization": 0.8}, ["--gpu-memory-utilization", "0.8"]),
        ("0.32.0", {"override_pooler_config": {"pooling_type": "MEAN"}},
         ["--pooler-config", '{"pooling_type":"MEAN"}']),
        # Into a JSON option, and out of it.
        ("0.32.0", OLD_NGRAM, ["--speculative-config", NGRAM_TEXT]),
        ("0.8.0", {"speculative_config": NGRAM},
         ["--ngram-prompt-lookup-max", "4", "--num-speculative-tokens", "5", "--speculative-model", "[ngram]"]),
        ("0.7.3", {"speculative_config": {"method": "draft_model", "model": "a/b", "num_speculative_tokens": 3}},
         ["--num-speculative-tokens", "3", "--speculative-model", "a/b"]),
        ("0.20.2", {"spec_method": "ngram", "spec_tokens": 2},
         ["--speculative-config", '{"method":"ngram","num_speculative_tokens":2}']),
        ("0.32.0", {"guided_decoding_backend": "xgrammar"},
         ["--structured-outputs-config", '{"backend":"xgrammar"}']),
        ("0.17.1", {"guided_decoding_backend": "xgrammar:no-fallback"},
         ["--structured-outputs-config", '{"backend":"xgrammar","disable_fallback":true}']),
        ("0.10.0", {"structured_outputs_config": {"backend": "xgrammar"}}, ["--guided-decoding-backend", "xgrammar"]),
        ("0.10.0", {"eplb_config": {"window_size": 7}}, ["--eplb-window-size", "7"]),
        ("0.33.0", {"eplb_window_size": 7}, ["--eplb-config", '{"window_size":7}']),
        # One option that became two.
        ("0.32.0", {"task": "embed"}, ["--convert", "embed", "--runner", "pooling"]),
        ("0.32.0", {"task": "score"}, ["--runner", "pooling"]),
        ("0.32.0", {"task": "generate"}, ["--runner", "generate"]),
        ("0.9.0", {"runner": "pooling", "convert": "classify"}, ["--task", "classify"]),
        ("0.6.4.post1", {"convert": "embed"}, ["--task", "embedding"]),
        ("0.6.0", {"runner": "generate", "convert": "none"}, []),
        ("0.6.0", {"task": "generate"}, []),
        # Two that became one.
        ("0.8.0", {"reasoning_parser": "deepseek_r1"}, ["--enable-reasoning", "--reasoning-parser", "deepseek_r1"]),
        ("0.32.0", {"reasoning_parser": "deepseek_r1", "enable_reasoning": True},
         ["--reasoning-parser", "deepseek_r1"]),
        # Sizes of graphs: one number is the largest, several are the sizes.
        ("0.32.0", {"cuda_graph_sizes": [64]}, ["--max-cudagraph-capture-size", "64"]),
        ("0.32.0", {"cuda_graph_sizes": [1, 8]}, ["--cudagraph-capture-sizes", "1", "8"]),
        ("0.10.0", {"cudagraph_capture_sizes": [1, 8]}, ["--cuda-graph-sizes", "1", "8"]),
        ("0.10.0", {"cudagraph_capture_sizes": [8]}, ["--compilation-config", '{"cudagraph_capture_sizes":[8]}']),
        ("0.8.5.post1", {"max_cudagraph_capture_size": 16},
         ["--compilation-config", '{"cudagraph_capture_sizes":[1,2,4,8,16]}']),
        ("0.11.1", {"rope_theta": 1e6, "rope_scaling": {"rope_type": "yarn", "factor": 2}},
         ["--hf-overrides", '{"rope_scaling":{"factor":2,"rope_type":"yarn"},"rope_theta":1000000.0}']),
        # A switch that became a value.
        ("0.20.2", {"disable_mm_preprocessor_cache": True}, ["--mm-processor-cache-gb", "0"]),
        ("0.9.0", {"mm_processor_cache_gb": 0}, ["--disable-mm-preprocessor-cache"]),
        ("0.8.0", {"worker_use_ray": True}, ["--distributed-executor-backend", "ray"]),
        # What leaving it out says too.
        ("0.32.0", {"swap_space": 0}, []),
        ("0.32.0", {"use_v2_block_manager": True}, []),
        ("0.32.0", {"num_scheduler_steps": "1"}, []),
        ("0.32.0", {"disable_async_output_proc": False}, []),
        ("0.6.0", {"async_scheduling": False}, []),
        # Two forms of one value.
        ("0.32.0", {"limit_mm_per_prompt": "image=4,video=1"}, ["--limit-mm-per-prompt", '{"image":4,"video":1}']),
        ("0.8.4", {"limit_mm_per_prompt": {"image": 4}}, ["--limit-mm-per-prompt", "image=4"]),
        ("0.8.4", {"limit_mm_per_prompt": '{"image": 4}'}, ["--limit-mm-per-prompt", "image=4"]),
    ],
)  # fmt: skip
def test_the_same_meaning(version: str, arguments: dict[str, Any], expected: list[str]) -> None:
    result = rendered(version, arguments)
    assert [str(item) for item in result.findings if item.severity == "error"] == []
    assert tail(result) == expected
    release = catalog.release(version)
    changed = {name for name in arguments if release is not None and release.flag(name) is None}
    told = {str(item.field).rpartition(".")[2] for item in result.findings if item.code == "argument.translated"}
    assert changed <= told, "what was written otherwise is told"


@pytest.mark.parametrize("version, value, expected", [("0.12.0", "flashinfer", "FLASHINFER"), ("0.6.0", "auto", None)])
def test_an_argument_that_was_a_variable(version: str, value: str, expected: str | None) -> None:
    result = rendered(version, {"attention_backend": value})
    assert result.environment.get("VLLM_ATTENTION_BACKEND") == expected
    assert tail(result) == []
    assert rendered("0.13.0", {"attention_backend": value}).environment == {}


@pytest.mark.parametrize(
    "version, arguments, code, words",
    [
        ("0.32.0", {"swap_space": 4}, "argument.removed", "removed in vLLM 0.18 (the image has 0.32.0). Delete it"),
        ("0.32.0", {"gguf_weight_format": "q4"}, "argument.removed", "name the .gguf file as model"),
        ("0.32.0", {"max_seq_len_to_capture": 1}, "argument.removed", "removed in vLLM 0.11 (the image"),
        ("0.32.0", {"rope_scaling": {"factor": 2}}, "argument.removed", "rope_parameters"),
        ("0.32.0", {"task": "reward"}, "argument.removed", "Write runner"),
        ("0.32.0", {"enable_reasoning": True}, "argument.removed", "reasoning_parser alone"),
        ("0.33.0", {"guided_decoding_disable_fallback": True}, "argument.removed", "falls back"),
        ("0.32.0", {"speculative_disable_by_batch_size": 4}, "argument.removed", "num_speculative_tokens_per_batch"),
        ("0.33.0", {"request_timeout": 60}, "argument.removed", "no release of vLLM has this argument"),
        ("0.33.0", {"enable_prometheus": True}, "argument.removed", "/metrics is always there"),
        ("0.9.0", {"kv_cache_memory_bytes": 1}, "argument.newer", "appeared in vLLM 0.10.2 (not yet in 0.10.1.1)"),
        ("0.16.0", {"distributed_timeout_seconds": 60}, "argument.newer", "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"),
        ("0.6.0", {"runner": "pooling"}, "argument.newer", "Write task"),
        ("0.9.0", {"runner": "pooling"}, "argument.newer", "Write convert: embed"),
        ("0.7.3", {"speculative_config": {"method": "mtp"}}, "argument.newer", "Write speculative_model"),
        ("0.32.0", {"temperature": 0.7}, "argument.request", "Write request_defaults: {temperature: …}"),
        ("0.32.0", {"best_of": 2}, "argument.request", "ask for n answers and choose"),
        ("0.32.0", {"max_tokens": 2}, "argument.request", "Write request_defaults: {max_new_tokens: …}"),
        ("0.20.2", {"spec_tokens": 3, "num_speculative_tokens": 2}, "argument.twice", "Write one of them"),
        ("0.20.2", {"speculative_config": {"method": "ngram"}, "spec_method": "x"}, "argument.twice", "says the same"),
        ("0.12.0", {"max_model_len": "auto"}, "argument.value", "0.14.1 takes it"),
        ("0.20.2", {"prefix_caching_hash_algo": "builtin"}, "argument.choice", "0.10.1.1 was the last to take it"),
    ],
)  # fmt: skip
def test_no_words_for_it(version: str, arguments: dict[str, Any], code: str, words: str) -> None:
    found = [item for item in rendered(version, arguments).findings if item.severity == "error"]
    assert [item.code for item in found] == [code]
    assert words in str(found[0]) and found[0].fix


def test_the_tables_are_true_of_the_catalogue() -> None:
    newest = catalog.release(catalog.versions()[-1])
    assert newest is not None
    for row in tables.rows()["gone"]:
        life = catalog.flag_lifetime(row["argument"])
        assert life is not None, row
        assert life.gone or row["argument"] == "disable_log_requests", row
    for row in tables.rows()["never"]:
        assert catalog.flag_lifetime(row["argument"]) is None, row
    for row in tables.rows()["newer"]:
        life = catalog.flag_lifetime(row["argument"])
        assert life is not None and life.before, row
    for kind in ("renames", "values"):
        for row in tables.rows()[kind]:
            assert catalog.flag_lifetime(row["new"]), row
    for row in tables.rows()["keys"]:
        into = newest.flag(row["into"])
        assert catalog.flag_lifetime(row["argument"]) and into is not None and into.type.startswith("json"), row
    for row in tables.rows()["requests"]:
        assert newest.flag(row["field"]) is None, row
    for name, rows in tables.rows().items():
        if name not in ("schema", "requests", "unsupported_by_v1"):
            assert all(row["source"] for row in rows), name


def test_every_option_that_ever_was_is_rendered_or_explained() -> None:
    """For each option of each release, on the newest and the oldest: words, or an error that says what to do."""
    (made,) = spec.load([BASE])
    for version in (catalog.versions()[0], "0.10.2", catalog.versions()[-1]):
        release = catalog.release(version)
        assert release is not None
        for name in catalog.ever():
            if release.flag(name) is None:
                declared = made.model_copy(update={"engine_args": {name[2:].replace("-", "_"): 3}})
                found = rendering.arguments(declared, release)
                codes = {item.code for item in found.findings}
                assert codes & {"argument.translated", "argument.removed", "argument.newer", "argument.twice"}, name
                assert all(item.fix for item in found.findings if item.severity == "error")


def test_the_history_is_that_of_the_files() -> None:
    assert history._history() == history.compute(), "run tools/harvest/harvest --page"
