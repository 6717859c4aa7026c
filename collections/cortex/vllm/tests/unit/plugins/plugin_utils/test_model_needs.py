# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server would open or ask the Hub for, and what is said when it is not there."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, checks, model_needs, observation, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks import gguf, model
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import image_entry, server

TINY = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
CACHE = "/srv/hub"


def declared(**fields):
    return spec.load({"chat": server(**{"model": "/models/m", "offline": True, "hub_cache": CACHE, **fields})})[0]


def found(**fields):
    return [(need.role, need.place, need.revision) for need in model_needs.needs(declared(**fields))]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"tokenizer": TINY}, [("tokenizer", TINY, None)]),
        (
            {"tokenizer": TINY, "engine_args": {"tokenizer_revision": "v1"}},
            [("tokenizer", TINY, "v1")],
        ),
        ({"tokenizer": TINY, "engine_args": {"skip_tokenizer_init": True}}, []),
        ({"engine_args": {"hf_config_path": "org/base"}}, [("config", "org/base", None)]),
        ({"engine_args": {"generation_config": "vllm"}}, []),
        ({"engine_args": {"generation_config": "/models/m/g"}}, [("generation", "/models/m/g", None)]),
        (
            {"engine_args": {"speculative_config": {"model": "org/draft", "revision": "r", "method": "eagle"}}},
            [("draft", "org/draft", "r")],
        ),
        ({"engine_args": {"speculative_config": '{"model": "org/draft"}'}}, [("draft", "org/draft", None)]),
        ({"engine_args": {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}}}, []),
        ({"engine_args": {"speculative_model": "[ngram]"}}, []),
        ({"engine_args": {"speculative-model": "org/draft"}}, [("draft", "org/draft", None)]),
        (
            {"engine_args": {"lora_modules": ["a=org/a", '{"path": "/models/m/b"}', {"name": "c", "path": "/c"}]}},
            [("adapter", "org/a", None), ("adapter", "/models/m/b", None), ("adapter", None, None)],
        ),
        ({"engine_args": {"chat_template": "{{ inline }}"}}, []),
        ({"engine_args": {"chat_template": "/t/x.jinja"}}, [("file", None, None)]),
        ({"engine_args": {"chat_template": "/t/x.jinja"}, "mounts": ["/srv/t:/t"]}, [("file", "/srv/t/x.jinja", None)]),
        ({"engine_args": {"tool_parser_plugin": "/models/m/p.py"}}, [("file", "/models/m/p.py", None)]),
    ],
)  # fmt: skip
def test_needs(fields, expected):
    assert found(**fields)[0] == ("model", "/models/m", None)
    assert found(**fields)[1:] == expected


def test_one_look_for_what_servers_share():
    one = server(model="org/m", tokenizer=TINY, hub_cache=CACHE)
    specs = spec.load(
        {"a": one, "b": {**one, "server_port": 8001}, "c": {**one, "server_port": 8002, "tokenizer": "org/t"}}
    )
    asked = observation.query(specs, "/s")["models"]
    assert [entry["model"] for entry in asked] == ["org/m", TINY, "org/t"]
    assert asked[0]["needs_tokenizer"] is False and asked[1]["role"] == "tokenizer"


def subject(entry=None, models=None, release="0.32.0", image=None, **fields):
    one = declared(**fields)
    answers = {need.key: (models or {}).get(need.role, COMPLETE) for need in model_needs.needs(one)}
    seen = observation.Observation.parse({"schema": 1, "models": answers})
    return checks.Server(
        one, seen, (one,), image=image, model=entry or COMPLETE, release=catalog.release(release), exact=True
    )


COMPLETE = {"status": "complete", "problems": []}
ABSENT = {
    "status": "absent",
    "problems": [
        {"code": "model.absent", "severity": "error", "message": "x is not in the hub cache", "path": CACHE, "fix": "f"}
    ],
}
GGUF = {
    "status": "complete", "format": "gguf", "path": "/models/m.gguf", "files": 1, "problems": [],
    "gguf": {"architecture": "llama", "tokenizer": "llama"}, "tokenizer_kind": "gguf", "config": None,
}  # fmt: skip


def said(findings):
    return [(item.code, item.severity) for item in findings]


def test_gguf_with_a_tokenizer_that_the_cache_lacks_is_refused_with_the_ways_out():
    (told,) = model.check(subject(GGUF, {"tokenizer": ABSENT}, model="/models/m.gguf", tokenizer=TINY))
    assert (told.code, told.severity, told.field) == ("model.absent", "error", "vllm_servers[chat].tokenizer")
    ways = [told.fix.index(word) for word in ("Fetch", "cortex.vllm.model", "write `tokenizer:`", "delete `tokenizer`")]
    assert ways == sorted(ways) and TINY in told.message
    assert not list(model.check(subject(GGUF, {}, model="/models/m.gguf", tokenizer=TINY)))
    # Who may ask the Hub is only told.
    (told,) = model.check(subject(GGUF, {"tokenizer": ABSENT}, model="/models/m.gguf", tokenizer=TINY, offline=False))
    assert told.severity == "warning"


@pytest.mark.parametrize(
    ("fields", "role", "expected"),
    [
        ({"engine_args": {"lora_modules": ["a=org/a"]}}, "adapter", [("argument.lora", "error")]),
        ({"engine_args": {"lora_modules": ["a=/nowhere"]}}, "", [("argument.lora", "error")]),
        ({"engine_args": {"chat_template": "/nowhere/t.jinja"}}, "", [("argument.chat-template", "warning")]),
        ({"engine_args": {"chat_template": "/vllm-workspace/examples/t.jinja"}}, "", []),
        ({"engine_args": {"chat_template": "/models/m/t.jinja"}}, "file", [("argument.chat-template", "error")]),
        ({"engine_args": {"hf_config_path": "org/base"}}, "config", [("model.absent", "error")]),
        ({"engine_args": {"generation_config": "/models/m/g"}}, "generation", [("model.absent", "error")]),
        ({"engine_args": {"speculative_config": {"model": "org/draft"}}}, "draft", [("model.absent", "error")]),
        ({"engine_args": {"speculative_config": {"model": "org/draft"}}, "hub_cache": None}, "draft", []),
        ({"tokenizer": TINY, "hub_cache": None}, "tokenizer", [("model.absent", "error")]),
        ({"engine_args": {"load_format": "dummy"}}, "", []),
    ],
)
def test_what_is_missing_has_the_code_of_its_failure(fields, role, expected):
    weights = {**ABSENT, "status": "incomplete", "problems": [{"code": "model.weights-missing", "message": "m"}]}
    entry = weights if "load_format" in (fields.get("engine_args") or {}) else None
    assert said(model.check(subject(entry, {role: ABSENT}, **fields))) == expected


@pytest.mark.parametrize(
    ("adapter", "arguments", "expected", "words"),
    [
        ({"rank": 16, "beyond": {}}, {}, [], ""),
        ({"rank": 17, "beyond": {}}, {}, [("argument.lora", "error")], "max_lora_rank: 32"),
        ({"rank": 64, "beyond": {}}, {"max_lora_rank": 64}, [], ""),
        ({"rank": 1000, "beyond": {}}, {"max_lora_rank": 512}, [("argument.lora", "error")], "smaller rank"),
        ({"rank": None, "beyond": {"use_dora": "true"}}, {}, [("argument.lora", "error")], "use_dora"),
        ({"rank": 8, "beyond": {"bias": "all"}}, {}, [("argument.lora", "error")], "Merge"),
        ({"rank": 8, "beyond": {"bias": "all"}}, {"enable_lora_bias": True}, [], ""),
        ({"rank": 8, "beyond": {"init_lora_weights": "pissa"}}, {}, [("argument.lora", "warning")], "pissa"),
        ({"rank": 8}, {}, [], ""),  # what an older module on a host tells
    ],
)
def test_an_adapter_that_the_server_would_refuse(adapter, arguments, expected, words):
    """vllm/lora/peft_helper.py validate_legal: static adapters are loaded at the start, which then fails."""
    entry = {**COMPLETE, "adapter": {"base_model": "org/base", "type": "LORA", **adapter}}
    fields = {"engine_args": {"lora_modules": ["a=org/a"], **arguments}}
    found = list(model.check(subject(None, {"adapter": entry}, **fields)))
    assert said(found) == expected
    assert not words or words in found[0].message + str(found[0].fix)


def access(kind, mode, uid=0, gid=0, files=1):
    return {"kind": kind, "uid": uid, "gid": gid, "mode": mode, "path": f"/models/m/{kind}", "files": files}


@pytest.mark.parametrize(
    ("user", "entry", "expected"),
    [
        (None, access("weights", "0600", uid=1000), [("model.file-unreadable", "error")]),
        (None, access("weights", "0600"), []),
        ("1000:1000", access("weights", "0600"), [("model.file-unreadable", "error")]),
        ("1000:1000", access("weights", "0640", gid=1000), []),
        ("1000:1000", access("weights", "0604"), []),
        ("1000:1000", access("directory", "0700"), [("model.absent", "error")]),
        ("1000:1000", access("directory", "0744"), [("model.absent", "error")]),
        ("1000:1000", access("directory", "0755"), []),
        ("1000:1000", access("config", "0600"), [("model.absent", "error")]),
        # The owner's bits count for the owner, even where others may do more.
        ("1000:1000", access("weights", "0044", uid=1000), [("model.file-unreadable", "error")]),
    ],
)
def test_the_containers_user_must_be_able_to_read_it(user, entry, expected):
    fields = {"user": user} if user else {}
    whole = {**COMPLETE, "access": [entry]}
    assert said(model.check(subject(whole, image=image_entry(), **fields))) == expected
    (told, *_rest) = [*model.check(subject(whole, image=image_entry(), **fields)), None]
    assert told is None or (entry["mode"] in told.message and "chmod" in told.fix)
    assert not list(model.check(subject(whole, image=image_entry(), cap_add=["DAC_OVERRIDE"], **fields)))
    # Who the image's user is may be unknown: then nothing is claimed.
    if not user:
        assert not list(model.check(subject(whole, image=image_entry(User="somebody"))))


PLUGIN = {"plugins": ["vllm-gguf-plugin 0.0.5"]}


@pytest.mark.parametrize(
    ("release", "known", "change", "expected"),
    [
        ("0.32.0", {}, {}, [("model.config-invalid", "warning")]),
        ("0.32.0", {"plugins": []}, {}, [("model.config-invalid", "error")]),
        ("0.32.0", PLUGIN, {}, [("model.gguf-config", "error")]),
        ("0.32.0", PLUGIN, {"config": {"model_type": "llama"}}, []),
        (
            "0.32.0",
            PLUGIN,
            {"tokenizer_kind": "gguf"},
            [("model.gguf-config", "error"), ("model.tokenizer-missing", "error")],
        ),
        ("0.23.0", {}, {}, []),
        ("0.20.2", {}, {"files": 3}, []),
        ("0.19.1", {}, {"files": 3}, [("model.gguf-form", "error")]),
        ("0.23.0", {}, {"gguf": {"architecture": "rwkv6"}}, [("model.gguf-config", "warning")]),
    ],
)
def test_gguf_by_release_and_plugin(release, known, change, expected):
    image = {**image_entry(), "known": known}
    entry = {**GGUF, "tokenizer_kind": "fast", **change}
    assert said(gguf.check(subject(entry, release=release, image=image, model="/models/m.gguf"))) == expected


def test_gguf_by_quantization_and_its_tokenizer():
    entry = {**GGUF, "tokenizer_kind": "fast"}
    assert said(gguf.check(subject(entry, release="0.10.2", model="org/m:Q4_K_M"))) == [
        ("model.gguf-form", "error"), ("model.gguf-config", "error"),
    ]  # fmt: skip
    config = {**entry, "config": {"model_type": "llama"}}
    assert said(gguf.check(subject(config, release="0.13.0", model="org/m:Q4_K_M"))) == []
    assert said(gguf.check(subject(GGUF, release="0.13.0", model="/m.gguf"))) == [("model.gguf-tokenizer", "info")]
    assert said(gguf.check(subject(GGUF, release="0.13.0", model="/m.gguf", tokenizer=TINY))) == []
    path = {"engine_args": {"hf_config_path": "org/base"}}
    assert said(gguf.check(subject(entry, release="0.13.0", model="org/m:Q4_K_M", **path))) == []


def test_own_code_for_a_configuration_that_nobody_else_has():
    code = {"classes": ["AutoConfig"], "files": ["c.py"], "repositories": []}
    own = {**COMPLETE, "code": code, "config": {"model_type": "brand_new", "auto_map": {}, "architectures": ["X"]}}
    assert said(model.check(subject(own))) == [("model.remote-code", "error")]
    assert not list(model.check(subject(own, engine_args={"trust_remote_code": True})))
    known = {**own, "config": {**own["config"], "model_type": "deepseek_v3"}}
    assert not list(model.check(subject(known)))


def test_a_tokenizer_of_the_hub_gets_the_default_cache_too():
    fields = server(model="/models/m.gguf", tokenizer=TINY)
    assert spec.load({"chat": fields})[0].hub_cache == spec.load({"chat": server(model="org/m")})[0].hub_cache
    assert spec.load({"chat": server(model="/models/m", tokenizer="/models/t")})[0].hub_cache is None
