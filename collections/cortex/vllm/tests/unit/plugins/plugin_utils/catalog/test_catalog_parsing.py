# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog.parsing import CommandLine, human_int, parse


def values(version, *argv):
    parsed = parse(catalog.release(version), argv)
    assert parsed.error is None, parsed.error
    return parsed.values


def error(version, *argv):
    parsed = parse(catalog.release(version), argv)
    assert parsed.error is not None, parsed.values
    return parsed.error


@pytest.mark.parametrize(
    ("text", "number"),
    [("8192", 8192), ("8k", 8000), ("8K", 8192), ("25.6k", 25600), ("1g", 10**9), ("2G", 2**31), ("-1", -1)],
)
def test_numbers_with_a_unit(text, number):
    assert human_int(text) == number


@pytest.mark.parametrize("text", ["1.5K", "1.5", "k", "", "8kb", "x"])
def test_what_is_no_number_with_a_unit(text):
    with pytest.raises(ValueError):
        human_int(text)


@pytest.mark.parametrize("version", catalog.versions())
def test_every_release_parses_its_own_options(version):
    release = catalog.release(version)
    model = ["m"] if release.model_positional else ["--model", "m"]
    found = CommandLine(release).parse([*model, "-tp", "2", "--max_model_len", "4096", "--enforce-eager"])
    expected = {"tensor_parallel_size": 2, "max_model_len": 4096, "enforce_eager": True}
    assert found.error is None
    assert {name: found.values[name] for name in expected} == expected
    assert CommandLine(release).parse(["--no-such-option"]).error == "unrecognized arguments: --no-such-option"


def test_unique_prefixes_are_taken_ambiguous_ones_are_not():
    assert values("0.32.0", "--max-num-seq", "5") == {"max_num_seqs": 5}
    assert values("0.32.0", "--kv-cache-memory", "1g") == {"kv_cache_memory_bytes": 10**9}
    assert "ambiguous option: --max-num could match" in error("0.32.0", "--max-num", "5")


def test_switches_take_no_value():
    assert values("0.32.0", "--no-enable-prefix-caching") == {"enable_prefix_caching": False}
    assert "ignored explicit argument 'false'" in error("0.32.0", "--enable-prefix-caching=false")
    assert values("0.32.0", "--enable-prefix-caching", "true") == {"enable_prefix_caching": True, "model_tag": "true"}
    assert values("0.8.4", "--enable-chunked-prefill", "false") == {"enable_chunked_prefill": False}
    assert values("0.8.4", "--enable-chunked-prefill") == {"enable_chunked_prefill": True}
    assert "invalid bool value" in error("0.8.4", "--enable-chunked-prefill", "no")


def test_text_is_truth_for_three_switches_of_0_11():
    assert values("0.11.0", "--guided-decoding-disable-fallback", "false") == {"guided_decoding_disable_fallback": True}


def test_the_negative_form_of_0_33():
    assert values("0.33.0", "--disable-log-requests") == {"enable_log_requests": False}
    assert values("0.33.0", "--no-enable-log-requests") == {"enable_log_requests": False}
    assert "unrecognized arguments: --disable-log-requests" in error("0.32.0", "--disable-log-requests")
    assert values("0.10.0", "--disable-log-requests") == {"disable_log_requests": True}


def test_dotted_keys_make_one_json_value():
    found = values("0.32.0", "--speculative-config.method", "ngram", "--speculative_config.num_speculative_tokens=5")
    assert found == {"speculative_config": {"method": "ngram", "num_speculative_tokens": 5}}
    assert values("0.32.0", "--hf-overrides.a+", "x,y", "--hf-overrides.a+=z", "--hf-overrides.b.c", "1k") == {
        "hf_overrides": {"a": ["x", "y", "z"], "b": {"c": 1000}}
    }
    assert "expected one argument" in error("0.32.0", "--speculative-config.method")
    assert "unrecognized" in error("0.8.4", "--speculative-config.method", "ngram")


def test_lists():
    assert values("0.32.0", "--api-key", "a", "b") == {"api_key": ["a", "b"]}
    assert values("0.10.0", "--api-key", "a") == {"api_key": "a"}
    assert values("0.32.0", "--middleware", "a", "--middleware", "b") == {"middleware": ["a", "b"]}
    assert values("0.32.0", "--lora-modules", "sql=/x", '{"name": "a", "path": "/y"}') == {
        "lora_modules": [{"name": "sql", "path": "/x"}, {"name": "a", "path": "/y"}]
    }
    assert "invalid name=path value: 'sql'" in error("0.32.0", "--lora-modules", "sql")


def test_values_of_other_forms():
    assert values("0.8.4", "--limit-mm-per-prompt", "image=4,video=1") == {
        "limit_mm_per_prompt": {"image": 4, "video": 1}
    }
    assert "invalid kvs value" in error("0.8.4", "--limit-mm-per-prompt", "image=4,image=1")
    assert values("0.32.0", "--max-model-len", "auto") == {"max_model_len": -1}
    assert "invalid human_int value: 'auto'" in error("0.13.0", "--max-model-len", "auto")
    assert values("0.32.0", "--hf-overrides", "text") == {"hf_overrides": "text"}
    assert "invalid choice: 'x'" in error("0.32.0", "--all2all-backend", "x")
    assert values("0.24.0", "--device-ids", "0, 1,GPU-x") == {"device_ids": [0, 1, "GPU-x"]}


def test_optimization_level_and_compilation_config():
    assert values("0.32.0", "-O3") == {"optimization_level": "3"}
    assert values("0.32.0", "-O=2") == {"optimization_level": "2"}
    assert values("0.32.0", "-cc", '{"level": 1}') == {"compilation_config": {"level": 1}}


def test_the_file_of_arguments():
    assert values("0.32.0", "--config", "/a.yaml") == {"config": "/a.yaml"}
    assert error("0.32.0", "--config", "/a.json") == "Config file must be of a yaml/yml type. /a.json supplied"


def test_options_of_serve_alone():
    release = catalog.release("0.9.2")
    assert parse(release, ["--headless"]).error
    assert parse(release, ["m", "--headless"], serve=True).values == {"headless": True, "model_tag": "m"}


def test_a_parser_can_be_used_again():
    line = CommandLine(catalog.release("0.32.0"))
    assert line.parse(["--seed", "x"]).error
    assert line.parse(["--seed", "1"]).values == {"seed": 1}
    assert line.parse([]).values == {}
