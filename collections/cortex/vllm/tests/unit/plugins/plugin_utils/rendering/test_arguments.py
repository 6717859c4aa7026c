# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines: each kind of flag, each refusal, each release's own words."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import Flag, Release
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering.formatting import words
from ansible_collections.cortex.vllm.plugins.plugin_utils.spec.values import Problem

BASE: dict[str, Any] = {"image": "vllm/vllm-openai:v0.32.0", "model": "Qwen/Qwen3-0.6B", "name": "chat"}


def flag(kind: str, **values: Any) -> Flag:
    return Flag.of("--x", {"kind": kind, **values})


def small(version: str, flags: dict[str, dict[str, Any]], entrypoint: list[str] | None = None) -> Release:
    """A release of our own making: what is tested does not depend on what vLLM did."""
    return Release(version, entrypoint or ["vllm", "serve"], {"flags": flags, "environment": {}, "source": {}})


def server(**fields: Any) -> spec.ServerSpec:
    (made,) = spec.load([{**BASE, **fields}])
    return made


def tail(made: spec.ServerSpec, release: Release, **more: Any) -> tuple[list[str], list[str]]:
    """Arguments after the fixed ones, and ``code: message`` of the findings."""
    rendered = rendering.arguments(made, release, **more)
    fixed = ["Qwen/Qwen3-0.6B", "--host", "0.0.0.0", "--port", "8000", "--served-model-name", "chat"]
    assert rendered.argv[: len(fixed)] == fixed
    return rendered.argv[len(fixed) :], [f"{item.code}: {item}" for item in rendered.findings]


@pytest.mark.parametrize(
    "made, value, expected",
    [
        (flag("value", type="int"), 5, ["--x", "5"]),
        (flag("value", type="int"), "5", ["--x", "5"]),
        (flag("value", type="int"), 5.0, ["--x", "5"]),
        (flag("value", type="int"), -1, ["--x=-1"]),
        (flag("value", type="human_int"), "8k", ["--x", "8k"]),
        (flag("value", type="human_int", words=["auto"]), "auto", ["--x", "auto"]),
        (flag("value", type="float"), 0.85, ["--x", "0.85"]),
        (flag("value", type="float"), 1, ["--x", "1"]),
        (flag("value", type="float"), 1e-05, ["--x", "1e-05"]),
        (flag("value"), "text with spaces", ["--x", "text with spaces"]),
        (flag("value"), "--y", ["--x=--y"]),
        (flag("value"), "", ["--x", ""]),
        (flag("value"), 32, ["--x", "32"]),
        (flag("value"), {"b": 1, "a": 2}, ["--x", '{"a":2,"b":1}']),
        (flag("value", type="kvs"), {"video": 1, "image": 4}, ["--x", "image=4,video=1"]),
        (flag("value", type="csv"), [0, 1], ["--x", "0,1"]),
        (flag("value", type="csv"), "0,1", ["--x", "0,1"]),
        (flag("value", nargs="?"), True, ["--x"]),
        (flag("value", choices=["a", 16]), 16, ["--x", "16"]),
        (flag("store_true", default=False), True, ["--x"]),
        (flag("store_true", default=False), False, []),
        (flag("store_true", default=False), "true", ["--x"]),
        (flag("bool_optional", negation="--no-x", default=None), True, ["--x"]),
        (flag("bool_optional", negation="--no-x", default=None), False, ["--no-x"]),
        (flag("bool_optional", negation="--no-x", default=True), False, ["--no-x"]),
        (flag("bool_optional", negation="--no-x", default=False), False, []),
        (flag("bool_value", default=False), True, ["--x", "true"]),
        (flag("bool_value", default=False), False, ["--x", "false"]),
        (flag("list", nargs="+"), ["a", "b"], ["--x", "a", "b"]),
        (flag("list", nargs="+"), "a", ["--x", "a"]),
        (flag("list", nargs="+"), [], []),
        (flag("list", nargs="*"), [], ["--x"]),
        (flag("list", nargs="+"), ["-a"], ["--x=-a"]),
        (flag("list", nargs="+", type="int"), [1, -2], ["--x", "1", "-2"]),
        (flag("list", nargs=2, type="int"), [1, 2], ["--x", "1", "2"]),
        (flag("list", repeat=True), ["a", "-b"], ["--x", "a", "--x=-b"]),
        (flag("list", nargs="+", type="name=path"), {"b": "/b", "a": "/a"}, ["--x", "a=/a", "b=/b"]),
        (flag("list", nargs="+", type="name=path"), {"name": "a", "path": "/a"}, ["--x", '{"name":"a","path":"/a"}']),
        (flag("list", nargs="+", type="name=path"), [{"name": "a", "path": "/a"}, "b=/b"],
         ["--x", '{"name":"a","path":"/a"}', "b=/b"]),
        (flag("json", type="json"), {"b": [1, True, None], "a": {"d": 1, "c": "é"}},
         ["--x", '{"a":{"c":"\\u00e9","d":1},"b":[1,true,null]}']),
        (flag("json", type="json"), '{"b": 1,  "a": 2}', ["--x", '{"a":2,"b":1}']),
        (flag("json", type="json"), 3, ["--x", "3"]),
        (flag("json", type="json"), "3", ["--x", "3"]),
        (flag("json", type="json"), True, ["--x", "true"]),
        (flag("json", type="json|str"), "module.Class", ["--x", "module.Class"]),
    ],
)  # fmt: skip
def test_kinds(made: Flag, value: Any, expected: list[str]) -> None:
    assert words(made, value) == expected


def test_negative_names_turn_the_value_round() -> None:
    made = flag("bool_optional", negation="--no-x", default=None)
    assert words(made, True, negative=True) == ["--no-x"]
    assert words(made, False, negative=True) == ["--x"]


@pytest.mark.parametrize(
    "made, value, message, fix",
    [
        (flag("value", type="int"), "many", "takes a whole number, not 'many'", "Write a whole number"),
        (flag("value", type="int"), 1.5, "takes a whole number, not '1.5'", "Write a whole number"),
        (flag("value", type="int"), True, "takes a whole number, not true", "or delete it"),
        (flag("value", type="int"), [1], "takes one value, not a list", "Write a whole number"),
        (flag("value", type="int"), {"a": 1}, "takes one value, not a mapping", "Write a whole number"),
        (flag("value", type="human_int", words=["auto"]), "8 k", "8192 or 8k or auto, not '8 k'", "auto"),
        (flag("value", type="float"), "much", "takes a number, not 'much'", "Write a number"),
        (flag("value", choices=["a", "b"]), "c", "'c' is not one of the choices", "Write one of a, b"),
        (flag("list", nargs="+", choices=["a"]), ["a", "c"], "'c' is not one of the choices", "Write one of a"),
        (flag("store_true"), 1, "is a switch", "Write true or false"),
        (flag("bool_optional"), "yes", "is a switch", "Write true or false"),
        (flag("json", type="json"), "{bad", "is text that is not JSON", "Write a mapping"),
        (flag("list", nargs="+"), ["a", "-b"], "begins with a hyphen", "Change it"),
        (flag("list", nargs=2, type="int"), [1], "takes 2 values, not 1", "Write a list of 2"),
    ],
)
def test_wrong_values(made: Flag, value: Any, message: str, fix: str) -> None:
    with pytest.raises(Problem) as caught:
        words(made, value)
    assert message in caught.value.message and fix in (caught.value.fix or "")
    assert caught.value.code in ("argument.value", "argument.choice", "argument.shape")


@pytest.mark.parametrize(
    "version, arguments, code",
    [
        # What the real parser of 0.32 and 0.27 said to thousands of generated values.
        ("0.32.0", {"max_model_len": "1.5K"}, "argument.value"),
        ("0.32.0", {"max_model_len": "-5k"}, "argument.value"),
        ("0.32.0", {"seed": "1e3"}, "argument.value"),
        ("0.32.0", {"dtype": {"a": 1}}, "argument.value"),
        ("0.32.0", {"lora_modules": ["abc"], "enable_lora": True}, "argument.value"),
        ("0.32.0", {"lora_modules": [{"a": 1}], "enable_lora": True}, "argument.value"),
        ("0.27.1", {"safetensors_load_strategy": "None"}, "argument.choice"),
        ("0.6.0", {"limit_mm_per_prompt": "image=a"}, "argument.value"),
        ("0.32.0", {"speculative_config": [1]}, "argument.shape"),
        ("0.32.0", {"speculative_config": "true"}, "argument.shape"),
        ("0.32.0", {"compilation_config": 5}, "argument.shape"),
        ("0.32.0", {"pooler_config": "5"}, "argument.shape"),
        # And what only looks wrong.
        ("0.32.0", {"max_model_len": "8192 "}, None),
        ("0.32.0", {"seed": "1_000"}, None),
        ("0.32.0", {"safetensors_load_strategy": "None"}, None),
        ("0.32.0", {"custom_histogram_buckets": "None"}, None),
        ("0.11.0", {"compilation_config": 3}, None),
        ("0.6.0", {"limit_mm_per_prompt": "image=2,video=1"}, None),
    ],
)
def test_values_are_judged_as_the_release_does(version: str, arguments: dict[str, Any], code: str | None) -> None:
    release = catalog.release(version)
    assert release is not None
    (made,) = spec.load([{"name": "x", "image": "y", "model": "o/m", "engine_args": arguments}])
    found = [item.code for item in rendering.arguments(made, release).findings if item.severity == "error"]
    assert found == ([code] if code else [])


FLAGS: dict[str, dict[str, Any]] = {
    "--max-model-len": {"type": "human_int"},
    "--max-num-seqs": {"type": "int"},
    "--enable-prefix-caching": {"kind": "bool_optional", "negation": "--no-enable-prefix-caching"},
    "--speculative-config": {"kind": "json", "type": "json", "aliases": ["-sc"]},
    "--override-generation-config": {"kind": "json", "type": "json"},
    "--old-one": {"type": "int", "deprecated": "it is old "},
    "--only-serve": {"type": "int", "only": "serve"},
    "--port": {"type": "int", "aliases": ["--alias-of-port"]},
    "--kv-cache-memory-bytes": {"type": "human_int"},
}
RELEASE = small("0.32.0", FLAGS)


def test_the_whole_line_in_its_order() -> None:
    made = server(
        served_model_name=["chat", "other"],
        revision="main",
        tokenizer="/tok",
        engine_args={"speculative_config.method": "ngram", "max-model-len": "8k", "no_enable_prefix_caching": True},
        request_defaults={"top_p": 0.9},
    )
    assert rendering.arguments(made, RELEASE, model={"commit": "c" * 40}).argv == [
        "Qwen/Qwen3-0.6B",
        *("--host", "0.0.0.0", "--port", "8000"),
        *("--served-model-name", "chat", "other"),
        *("--revision", "c" * 40),
        *("--tokenizer", "/tok"),
        *("--max-model-len", "8k"),
        "--no-enable-prefix-caching",
        *("--override-generation-config", '{"top_p":0.9}'),
        *("--speculative-config", '{"method":"ngram"}'),
    ]


def test_without_a_commit_the_declared_revision_is_rendered() -> None:
    assert "main" in rendering.arguments(server(revision="main"), RELEASE).argv
    assert "--revision" not in rendering.arguments(server(model="/srv/m"), RELEASE, model={"commit": "c"}).argv


def test_on_the_hosts_network_only_the_bind_address_listens() -> None:
    argv = rendering.arguments(server(network="host", bind="::1", server_port=8001), RELEASE).argv
    assert argv[1:5] == ["--host", "::1", "--port", "8001"]


def test_a_headless_node_listens_nowhere() -> None:
    release = small("0.32.0", {"--headless": {"kind": "store_true"}})
    argv = rendering.arguments(server(engine_args={"headless": True}), release).argv
    assert "--port" not in argv and argv[-1] == "--headless"


@pytest.mark.parametrize(
    "entrypoint, first",
    [
        (["vllm", "serve"], ["Qwen/Qwen3-0.6B", "--host"]),
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], ["--model", "Qwen/Qwen3-0.6B"]),
        (["/usr/local/bin/vllm-nonroot-entrypoint.sh"], ["Qwen/Qwen3-0.6B", "--host"]),
    ],
)
def test_the_model_is_positional_only_where_that_is_read(entrypoint: list[str], first: list[str]) -> None:
    assert rendering.arguments(server(), RELEASE, entrypoint=entrypoint).argv[:2] == first
    assert rendering.arguments(server(), small("0.9.0", {}, entrypoint)).argv[:2] == first


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"max_num_seq": 3}, "argument.unknown: vllm_servers[chat].engine_args.max_num_seq: vLLM 0.32.0 has no "
         "argument --max-num-seq. Write max_num_seqs, if that is meant, or delete it."),
        ({"kv_cache": 3}, "Write kv_cache_memory_bytes, if that is meant"),
        ({"frobnicate": 3}, "has no argument --frobnicate. Delete it, or use a release that has it."),
        ({"swap_space": 4}, "argument.removed: vllm_servers[chat].engine_args.swap_space: removed in vLLM 0.18 (the "
         "image has 0.32.0). Delete it: the V1 engine has ignored it since 0.8."),
        ({"request_timeout": 4}, "no release of vLLM has this argument"),
        ({"old_one": 4}, "argument.deprecated: vllm_servers[chat].engine_args.old_one: deprecated in vLLM 0.32.0: it "
         "is old."),
        ({"sc": {"a": 1}, "speculative_config": {"a": 1}}, "argument.twice: vllm_servers[chat].engine_args."
         "speculative_config: is the same argument as sc in vLLM 0.32.0. Write one of them."),
        ({"alias_of_port": 1}, "argument.reserved: vllm_servers[chat].engine_args.alias_of_port: has a field of its "
         "own. Write server_port instead."),
        ({"max_num_seqs": "x"}, "argument.value: vllm_servers[chat].engine_args.max_num_seqs: takes a whole number"),
    ],
)  # fmt: skip
def test_findings(arguments: dict[str, Any], expected: str) -> None:
    argv, findings = tail(server(engine_args=arguments), RELEASE)
    assert len(findings) == 1 and expected in findings[0]
    assert bool(argv) is ("deprecated" in expected or "twice" in expected)


def test_an_accepted_finding_is_a_warning() -> None:
    made = server(engine_args={"frobnicate": 1}, accept=["argument.unknown"])
    (finding,) = rendering.arguments(made, RELEASE).findings
    assert finding.severity == "warning" and finding.server == "chat" and finding.origin == 1


def test_request_defaults_need_their_option() -> None:
    _argv, findings = tail(server(request_defaults={"top_p": 1}), small("0.6.0", {}))
    assert findings[0].startswith("argument.newer: vllm_servers[chat].request_defaults:")


def test_what_only_serve_knows() -> None:
    made = server(engine_args={"only_serve": 1})
    assert tail(made, RELEASE)[0] == ["--only-serve", "1"]
    module = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    (finding,) = rendering.arguments(made, RELEASE, entrypoint=module).findings
    assert "only vllm serve" in finding.message


# --- real releases --------------------------------------------------------------------------------------------------


def of(version: str) -> Release:
    release = catalog.release(version)
    if release is None:
        pytest.skip(f"vLLM {version} is not in the catalogue")
    return release


@pytest.mark.parametrize(
    "version, arguments, expected",
    [
        ("0.9.0", {"enable_log_requests": False}, ["--disable-log-requests"]),
        ("0.9.0", {"enable_log_requests": True}, []),
        ("0.20.2", {"enable_log_requests": False}, []),
        ("0.20.2", {"enable_log_requests": True}, ["--enable-log-requests"]),
        ("0.20.2", {"disable_log_requests": True}, []),
        ("0.20.2", {"disable_log_requests": False}, ["--enable-log-requests"]),
        ("0.33.0", {"disable_log_requests": False}, ["--enable-log-requests"]),
        ("0.6.0", {"enable_chunked_prefill": False}, ["--enable-chunked-prefill", "false"]),
        ("0.32.0", {"enable_chunked_prefill": False}, ["--no-enable-chunked-prefill"]),
        ("0.32.0", {"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ("0.33.0", {"enable_prefix_caching": False}, ["--disable-prefix-caching"]),
        ("0.32.0", {"tensor_parallel_size": 2}, ["--tensor-parallel-size", "2"]),
        ("0.32.0", {"tp": 2}, ["--tensor-parallel-size", "2"]),
        ("0.32.0", {"trust-remote-code": True}, ["--trust-remote-code"]),
        ("0.32.0", {"max_model_len": "auto"}, ["--max-model-len", "auto"]),
    ],
)
def test_in_the_words_of_each_release(version: str, arguments: dict[str, Any], expected: list[str]) -> None:
    rendered = rendering.arguments(server(engine_args=arguments), of(version))
    assert rendered.argv[rendered.argv.index("chat") + 1 :] == expected
    assert not [item for item in rendered.findings if item.severity == "error"]


@pytest.mark.parametrize(
    "version, arguments, code",
    [
        ("0.32.0", {"swap_space": 4}, "argument.removed"),
        ("0.9.0", {"swap_space": 4}, None),
        ("0.6.0", {"structured_outputs_config": {"backend": "x", "reasoning_parser": "y"}}, "argument.newer"),
        ("0.32.0", {"dtype": "float99"}, "argument.choice"),
    ],
)
def test_what_a_release_does_not_have(version: str, arguments: dict[str, Any], code: str | None) -> None:
    findings = rendering.arguments(server(engine_args=arguments), of(version)).findings
    assert [item.code for item in findings if item.severity == "error"] == ([code] if code else [])
