# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""The data files, against facts that were read from vLLM's sources by hand, independently of the harvest tool."""

import json

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import store

VERSIONS = catalog.versions()
KINDS = {"value", "store_true", "store_false", "bool_optional", "bool_value", "list", "json"}
TYPES = {"str", "int", "float", "bool", "human_int", "json", "json|str", "kvs", "csv", "name=path"}
NEWEST = VERSIONS[-1]


def at_least(version, bound):
    return catalog.version_key(version) >= catalog.version_key(bound)


@pytest.mark.parametrize("version", VERSIONS)
def test_schema(version):
    path = store.DATA / f"{version}.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["schema"] == store.SCHEMA
    assert data["version"] == version
    assert data["source"]["kind"] in ("sdist", "wheel")
    assert version in data["source"]["name"]
    assert len(data["source"]["sha256"]) == 64
    assert list(data["flags"]) == sorted(data["flags"])
    assert list(data["environment"]) == sorted(data["environment"])
    for key in ("architectures", "tool_parsers", "reasoning_parsers", "speculative_methods", "attention_backends"):
        assert data.get(key, []) == sorted(set(data.get(key, []))), key


@pytest.mark.parametrize("version", VERSIONS)
def test_one_flag_a_line(version):
    lines = (store.DATA / f"{version}.json").read_text(encoding="utf-8").splitlines()
    starts = {line.split('"')[1] for line in lines if line.startswith('"--')}
    assert starts == set(catalog.release(version).flags)


@pytest.mark.parametrize("version", VERSIONS)
def test_flags_are_well_formed(version):
    release = catalog.release(version)
    assert len(release.flags) > 100
    for flag in release.flags.values():
        assert flag.name.startswith("--") and "_" not in flag.name, flag
        assert flag.kind in KINDS, flag
        assert flag.type in TYPES, flag
        assert (flag.negation is not None) == (flag.kind == "bool_optional"), flag
        assert all(alias.startswith("-") for alias in (*flag.aliases, *flag.negations)), flag
        assert flag.name not in flag.aliases, flag
        if flag.kind in ("json", "list", "value"):
            assert not flag.is_boolean
        # --reasoning-parser of 0.9.0 to 0.11.0 has "" as default, which its own choices refuse.
        if flag.choices is not None and flag.default not in (None, "") and flag.kind == "value":
            assert flag.default in flag.choices, flag
        assert flag.default != "==SUPPRESS==", flag


@pytest.mark.parametrize("version", VERSIONS)
def test_every_spelling_of_every_flag_is_found(version):
    release = catalog.release(version)
    for flag in release.flags.values():
        assert release.flag(flag.name) is flag
        assert release.flag(flag.name.removeprefix("--").replace("-", "_")) is flag
        for alias in flag.aliases:
            found = release.flag(alias)
            assert found is flag or alias == found.name, (flag, alias)
        if flag.negation and release.flag(flag.negation) is flag:
            assert release.is_negative(flag.negation)


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_comes_from_the_machine_that_harvested(version):
    text = (store.DATA / f"{version}.json").read_text(encoding="utf-8")
    for word in ("/work", "/tmp/vllm", "harvest", "site-packages", "http://", "stub"):
        assert word not in text, word
    # The only home directory is that of the image's user.
    assert "/home/" not in text


def test_all_data_is_small():
    assert sum(path.stat().st_size for path in store.DATA.glob("*.json")) < 4_000_000


# flag, first catalogued release that has it, first catalogued release that lacks it again (None: still there)
SPANS = [
    ("swap_space", "0.6.0", "0.18.1"),
    ("speculative_config", "0.8.3", None),
    ("speculative_model", "0.6.0", "0.8.3"),
    ("num_speculative_tokens", "0.6.0", "0.8.3"),
    ("ngram_prompt_lookup_max", "0.6.0", "0.8.3"),
    ("attention_backend", "0.13.0", None),
    ("attention_config", "0.13.0", None),
    ("enable_log_requests", "0.10.1.1", None),
    ("kv_cache_memory_bytes", "0.10.2", None),
    ("guided_decoding_backend", "0.6.0", "0.12.0"),
    ("structured_outputs_config", "0.11.0", None),
    ("prefix_caching_hash_algo", "0.8.3", None),
    ("cuda_graph_sizes", "0.9.0", "0.13.0"),
    ("cudagraph_capture_sizes", "0.11.1", None),
    ("max_cudagraph_capture_size", "0.11.1", None),
    ("max_seq_len_to_capture", "0.6.0", "0.11.0"),
    ("hf_config_path", "0.8.0", None),
    ("max_log_len", "0.6.0", None),
    ("disable_frontend_multiprocessing", "0.6.0", "0.19.1"),
    ("enable_reasoning", "0.7.3", "0.10.0"),
    ("reasoning_parser", "0.7.3", None),
    ("async_scheduling", "0.10.0", None),
    ("task", "0.6.4.post1", "0.13.0"),
    ("runner", "0.10.1.1", None),
    ("convert", "0.10.1.1", None),
    ("data_parallel_size", "0.8.3", None),
    ("headless", "0.9.0", None),
    ("nnodes", "0.11.1", None),
    ("distributed_timeout_seconds", "0.18.1", None),
    ("cpu_distributed_timeout_seconds", "0.22.1", None),
    ("compilation_config", "0.6.6.post1", None),
    ("optimization_level", "0.12.0", None),
    ("rope_scaling", "0.6.0", "0.11.1"),
    ("rope_theta", "0.6.0", "0.11.1"),
    ("num_scheduler_steps", "0.6.0", "0.10.1.1"),
    ("preemption_mode", "0.6.0", "0.11.0"),
    ("device", "0.6.0", "0.10.0"),
    ("use_v2_block_manager", "0.6.0", "0.10.0"),
    ("logits_processor_pattern", "0.6.6.post1", "0.17.1"),
    ("max_num_partial_prefills", "0.7.3", "0.27.1"),
    ("calculate_kv_scales", "0.7.0", "0.28.0"),
    ("fail_on_environ_validation", "0.17.1", None),
]


@pytest.mark.parametrize(("flag", "since", "until"), SPANS, ids=[row[0] for row in SPANS])
def test_known_spans(flag, since, until):
    for version in VERSIONS:
        expected = at_least(version, since) and not (until and at_least(version, until))
        found = "--" + flag.replace("_", "-") in catalog.release(version).flags
        assert found is expected, f"{flag} in {version}: {found}"


@pytest.mark.parametrize("flag", ["request_timeout", "enable_prometheus", "kv_cache_memory"])
def test_flags_that_never_existed(flag):
    assert [version for version in VERSIONS if catalog.release(version).flag(flag)] == []


def test_prefix_of_a_flag_is_a_completion_only():
    assert catalog.release("0.32.0").completions("kv_cache_memory") == ("--kv-cache-memory-bytes",)


# flag, [(since, default)…]
DEFAULTS = [
    ("gpu_memory_utilization", [("0.6.0", 0.9), ("0.20.2", 0.92)]),
    ("seed", [("0.6.0", 0), ("0.8.0", None), ("0.12.0", 0)]),
    ("generation_config", [("0.6.6.post1", None), ("0.8.0", "auto")]),
    ("max_logprobs", [("0.6.0", 20)]),
    ("async_scheduling", [("0.10.0", False), ("0.14.1", None)]),
    ("block_size", [("0.6.0", 16), ("0.6.6.post1", None)]),
    ("disable_log_stats", [("0.6.0", False)]),
    ("swap_space", [("0.6.0", 4)]),
    (
        "guided_decoding_backend",
        [("0.6.0", "outlines"), ("0.6.6.post1", "xgrammar"), ("0.8.4", "auto"), ("0.11.0", None)],
    ),
    ("prefix_caching_hash_algo", [("0.8.3", "builtin"), ("0.10.2", "sha256")]),
    ("optimization_level", [("0.12.0", 2)]),
    ("master_port", [("0.11.1", 29501)]),
    ("eplb_step_interval", [("0.9.2", 3000), ("0.10.2", None)]),
]


@pytest.mark.parametrize(("flag", "values"), DEFAULTS, ids=[row[0] for row in DEFAULTS])
def test_known_defaults(flag, values):
    for version in VERSIONS:
        found = catalog.release(version).flag(flag)
        since = [value for bound, value in values if at_least(version, bound)]
        if found is not None and since:
            assert found.default == since[-1], version


# flag, [(since, kind, type)…]
FORMS = [
    ("enable_chunked_prefill", [("0.6.0", "bool_value", "bool"), ("0.8.5.post1", "bool_optional", "bool")]),
    ("multi_step_stream_outputs", [("0.6.3.post1", "bool_value", "bool"), ("0.8.5.post1", "bool_optional", "bool")]),
    ("enable_prefix_caching", [("0.6.0", "store_true", "bool"), ("0.6.6.post1", "bool_optional", "bool")]),
    ("trust_remote_code", [("0.6.0", "store_true", "bool"), ("0.9.0", "bool_optional", "bool")]),
    ("max_model_len", [("0.6.0", "value", "int"), ("0.8.4", "value", "human_int")]),
    ("max_num_batched_tokens", [("0.6.0", "value", "int"), ("0.9.1", "value", "human_int")]),
    ("kv_cache_memory_bytes", [("0.10.2", "value", "human_int")]),
    ("speculative_config", [("0.8.3", "json", "json")]),
    ("api_key", [("0.6.0", "value", "str"), ("0.10.1.1", "list", "str")]),
    ("lora_modules", [("0.6.0", "list", "name=path")]),
    ("hf_overrides", [("0.6.4.post1", "json", "json"), ("0.9.0", "json", "json|str")]),
    ("served_model_name", [("0.6.0", "list", "str")]),
    ("disable_log_stats", [("0.6.0", "store_true", "bool")]),
    ("compilation_config", [("0.6.6.post1", "json", "json")]),
    ("structured_outputs_config", [("0.11.0", "json", "json")]),
    ("tensor_parallel_size", [("0.6.0", "value", "int")]),
    ("device_ids", [("0.24.0", "value", "csv")]),
    ("limit_mm_per_prompt", [("0.6.0", "value", "kvs"), ("0.8.5.post1", "json", "json")]),
]


@pytest.mark.parametrize(("flag", "forms"), FORMS, ids=[row[0] for row in FORMS])
def test_known_forms(flag, forms):
    for version in VERSIONS:
        found = catalog.release(version).flag(flag)
        since = [form for form in forms if at_least(version, form[0])]
        if found is not None and since:
            assert (found.kind, found.type) == since[-1][1:], version


def test_entrypoint_flips_at_0_11_1():
    for version in VERSIONS:
        release = catalog.release(version)
        if at_least(version, "0.11.1"):
            assert release.entrypoint == ["vllm", "serve"]
            assert release.model_positional
        else:
            assert release.entrypoint == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
            assert not release.model_positional


def test_labels_since_0_21():
    for version in VERSIONS:
        labels = catalog.release(version).labels
        assert ("org.opencontainers.image.version" in labels) is at_least(version, "0.21.0"), version


# variable, first release with it, first without (None: still there)
VARIABLES = [
    ("VLLM_USE_V1", "0.6.4.post1", "0.11.1"),
    ("VLLM_ATTENTION_BACKEND", "0.6.0", "0.15.1"),
    ("VLLM_ENGINE_ITERATION_TIMEOUT_S", "0.6.0", "0.32.0"),
    ("VLLM_ENGINE_READY_TIMEOUT_S", "0.14.1", None),
    ("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "0.9.2", None),
    ("VLLM_LOG_STATS_INTERVAL", "0.10.1.1", None),
    ("VLLM_LOGGING_LEVEL", "0.6.0", None),
    ("VLLM_TRACE_FUNCTION", "0.6.0", None),
    ("VLLM_API_KEY", "0.6.0", None),
    ("VLLM_USE_V2_MODEL_RUNNER", "0.12.0", None),
    ("VLLM_RPC_TIMEOUT", "0.6.3.post1", "0.23.0"),
    ("VLLM_HOST_IP", "0.6.0", None),
    ("VLLM_SERVER_DEV_MODE", "0.7.0", None),
]


@pytest.mark.parametrize(("name", "since", "until"), VARIABLES, ids=[row[0] for row in VARIABLES])
def test_known_variables(name, since, until):
    for version in VERSIONS:
        expected = at_least(version, since) and not (until and at_least(version, until))
        assert (name in catalog.release(version).environment) is expected, version


@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_reads_nccl_timeout(version):
    assert "NCCL_TIMEOUT" not in catalog.release(version).environment


def test_v1_defaults():
    assert not catalog.release("0.7.3").environment["VLLM_USE_V1"].default
    assert catalog.release("0.8.0").environment["VLLM_USE_V1"].default is True
    assert catalog.release("0.32.0").environment["VLLM_ENGINE_READY_TIMEOUT_S"].default == 600
    assert catalog.release("0.21.0").environment["VLLM_USE_V2_MODEL_RUNNER"].default is False
    assert catalog.release("0.22.1").environment["VLLM_USE_V2_MODEL_RUNNER"].default is None


def test_a_default_that_each_process_makes_up_is_not_kept():
    name = "VLLM_OBJECT_STORAGE_SHM_BUFFER_NAME"
    for version in VERSIONS:
        variable = catalog.release(version).environment.get(name)
        if variable is None:
            assert not at_least(version, "0.11.0")
        elif at_least(version, "0.15.1"):
            assert variable.generated and variable.default is None
        else:
            assert not variable.generated and variable.default == "VLLM_OBJECT_STORAGE_SHM_BUFFER"


def test_negative_form_changes_at_0_33():
    before, after = catalog.release("0.32.0"), catalog.release("0.33.0")
    assert before.flag("enable_prefix_caching").negation == "--no-enable-prefix-caching"
    assert before.flag("--disable-prefix-caching") is None
    assert before.flag("--disable-log-requests") is None
    assert after.flag("--disable-prefix-caching").name == "--enable-prefix-caching"
    assert after.is_negative("--disable-prefix-caching")
    assert after.is_negative("--no-enable-prefix-caching")
    assert after.flag("--disable-log-requests").name == "--enable-log-requests"


def test_compilation_config_short_forms():
    assert "-O" in catalog.release("0.11.2").flag("compilation_config").aliases
    assert catalog.release("0.12.0").flag("compilation_config").aliases == ("-cc",)


def test_methods():
    assert set(catalog.release("0.8.5.post1").speculative_methods) >= {"ngram", "eagle", "medusa", "mlp_speculator"}
    assert "medusa" not in catalog.release("0.33.0").speculative_methods
    assert "suffix" in catalog.release("0.11.1").speculative_methods
    assert "suffix" not in catalog.release("0.11.0").speculative_methods


def test_attention_backends():
    assert set(catalog.release("0.6.0").attention_backends) >= {"FLASH_ATTN", "XFORMERS", "FLASHINFER"}
    assert "XFORMERS" not in catalog.release("0.12.0").attention_backends
    assert "FLASH_ATTN_VLLM_V1" in catalog.release("0.10.2").attention_backends
    assert "TREE_ATTN" not in catalog.release("0.33.0").attention_backends


def test_quantization():
    last = catalog.release("0.33.0").quantization
    assert {"gguf", "bitsandbytes"} & set(last) == set()
    assert (last["awq"], last["gptq"], last["fp8"], last["mxfp4"], last["fp_quant"]) == (75, 60, 75, 80, 100)
    assert "gguf" in catalog.release("0.23.0").quantization
    assert "gguf" not in catalog.release("0.24.0").quantization
    assert "bitsandbytes" in catalog.release("0.27.1").quantization
    assert "bitsandbytes" not in catalog.release("0.28.0").quantization


def test_metrics():
    names = catalog.release("0.20.2").metrics
    assert {"vllm:kv_cache_usage_perc", "vllm:num_requests_running", "vllm:engine_sleep_state"} <= set(names)
    assert "vllm:gpu_cache_usage_perc" not in names
    assert "vllm:gpu_cache_usage_perc" in catalog.release("0.10.2").metrics
    assert names["vllm:num_requests_running"] == "gauge"
    assert names["vllm:generation_tokens"] == "counter"
    assert names["vllm:time_to_first_token_seconds"] == "histogram"
    assert "vllm:admission_rejections" in catalog.release("0.33.0").metrics


@pytest.mark.parametrize("version", VERSIONS)
def test_endpoints(version):
    found = catalog.release(version).endpoints
    for path in ("/health", "/version", "/v1/models", "/v1/completions", "/v1/chat/completions", "/metrics"):
        assert path in found and not found[path].dev, path
    assert ("/ping" in found) is at_least(version, "0.7.0")
    assert ("/load" in found) is at_least(version, "0.8.0")
    assert ("/reset_prefix_cache" in found) is at_least(version, "0.7.0")
    assert ("/sleep" in found) is at_least(version, "0.7.3")
    if "/sleep" in found:
        assert found["/sleep"].dev
        assert found["/sleep"].methods == ("POST",)
    if version == "0.33.0":
        assert found["/pause"].dev


def test_batch_defaults():
    def sizes(version):
        rows = catalog.release(version).batch_defaults
        return {row["gpu"].split()[1]: (row["max_num_batched_tokens"], row["max_num_seqs"]) for row in rows}

    assert sizes("0.33.0") == {
        "L4": (2048, 256),
        "A100-SXM4-80GB": (2048, 256),
        "H100": (8192, 1024),
        "B200": (16384, 1024),
    }
    assert sizes("0.27.1")["B200"] == (8192, 1024)
    assert set(sizes("0.8.0").values()) == {(2048, 1024), (8192, 1024)}
    assert sizes("0.8.3")["L4"] == (2048, 1024)
    assert sizes("0.8.4")["L4"] == (2048, 256)
    assert sizes("0.8.5.post1")["A100-SXM4-80GB"] == (8192, 1024)
    assert sizes("0.7.3") == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_known_architectures(version):
    assert {"LlamaForCausalLM", "Qwen2ForCausalLM", "MixtralForCausalLM"} <= set(catalog.release(version).architectures)
    assert ("Qwen3ForCausalLM" in catalog.release(version).architectures) is at_least(version, "0.8.4")


@pytest.mark.parametrize("version", VERSIONS)
def test_known_parsers(version):
    release = catalog.release(version)
    if at_least(version, "0.6.3.post1"):
        assert {"hermes", "mistral"} <= set(release.tool_parsers)
    if at_least(version, "0.9.0"):
        assert {"deepseek_r1", "qwen3"} <= set(release.reasoning_parsers)
