# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import store
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog.release import Flag, Release

ORDERED = [
    "0.1.dev1+g0123abc",
    "0.6.0",
    "0.6.3",
    "0.6.3.post1",
    "0.6.10",
    "0.8.5.post1",
    "0.10.0",
    "0.11.0.dev3",
    "0.11.0rc1",
    "0.11.0rc2",
    "0.11.0",
    "0.11.1",
    "0.33.0",
    "1.0",
]


def test_versions_sort_as_published_not_as_text():
    shuffled = sorted(ORDERED, key=lambda version: version[::-1])
    assert sorted(shuffled, key=catalog.version_key) == ORDERED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("v0.32.0", "0.32.0"),
        ("0.32.0+cu129", "0.32.0"),
        ("0.32", "0.32.0"),
        ("0.32.0+cpu", "0.32.0"),
        ("v0.32.0-cu129", "0.32.0"),
    ],
)
def test_one_version_has_many_spellings(one, other):
    assert catalog.version_key(one) == catalog.version_key(other)


@pytest.mark.parametrize("text", ["nightly", "latest", "", "gabc", "0.32.0rcx", "0.32x", "9" * 5000, "0." * 3000])
def test_what_is_no_version_says_what_to_write(text):
    with pytest.raises(ValueError, match="write it as 0.32.0"):
        catalog.version_key(text)


def test_versions_are_ordered_and_complete():
    versions = list(catalog.versions())
    files = {path.stem for path in store.DATA.glob("[0-9]*.json")}
    assert set(versions) == files
    assert versions == sorted(versions, key=catalog.version_key)
    assert len(versions) == len(set(versions))


def test_versions_reads_only_the_index():
    store._load.cache_clear()
    store._index.cache_clear()
    catalog.versions()
    assert store._load.cache_info().currsize == 0
    assert (store.DATA / "index.json").stat().st_size < 4096


def test_a_release_is_read_once():
    assert catalog.release("0.32.0") is catalog.release("v0.32.0+cu129")


@pytest.mark.parametrize("text", ["0.5.0", "0.32.99", "nightly", ""])
def test_a_release_outside_the_catalogue_is_none(text):
    assert catalog.release(text) is None
    assert not catalog.harvested(text)


@pytest.mark.parametrize(
    ("asked", "found", "exact"),
    [
        ("0.32.0", "0.32.0", True),
        ("v0.32.0+cu129", "0.32.0", True),
        ("0.14.0", "0.14.1", False),
        ("0.17.0", "0.17.1", False),
        ("0.20.1", "0.20.2", False),
        ("0.10.1", "0.10.1.1", False),
        ("0.8.2", "0.8.3", False),
        ("0.8.1", "0.8.0", False),
        ("0.6.1", "0.6.0", False),
        ("0.6.3", "0.6.3.post1", False),
        ("0.5.4", "0.6.0", False),
        ("0.99.0", catalog.versions()[-1], False),
        ("nightly", catalog.versions()[-1], False),
        ("0.1.dev1+g0123abc", catalog.versions()[-1], False),
        ("0.11.0rc2", "0.11.0", False),
        ("0.32.1rc1.dev7+g0123abc", "0.32.0", False),
        ("0.8.5.post2", "0.8.5.post1", False),
    ],
)
def test_nearest(asked, found, exact):
    release, is_exact = catalog.nearest(asked)
    assert (release.version, is_exact) == (found, exact)


def test_a_file_of_another_schema_is_refused(tmp_path, monkeypatch):
    (tmp_path / "9.9.9.json").write_text(json.dumps({"schema": 99}), encoding="utf-8")
    monkeypatch.setattr(store, "DATA", tmp_path)
    with pytest.raises(ValueError, match=r"9\.9\.9\.json has schema 99, this collection reads 1"):
        store._load.__wrapped__("9.9.9")


def test_parsing_the_largest_file_takes_less_than_two_milliseconds():
    text = max((path.read_text(encoding="utf-8") for path in store.DATA.glob("[0-9]*.json")), key=len)
    best = 1.0
    for dummy in range(20):
        start = time.perf_counter()
        json.loads(text)
        best = min(best, time.perf_counter() - start)
    assert best < 0.002


RELEASE = Release(
    version="9.9.9",
    entrypoint=["vllm", "serve"],
    data={
        "flags": {
            "--max-model-len": {"kind": "value", "type": "human_int"},
            "--tensor-parallel-size": {"kind": "value", "type": "int", "aliases": ["-tp"], "default": 1},
            "--enable-x": {
                "kind": "bool_optional",
                "type": "bool",
                "negation": "--disable-x",
                "negations": ["--no-enable-x"],
            },
            "--disable-y": {"kind": "bool_optional", "type": "bool", "negation": "--enable-y"},
            "--enable-y": {"kind": "store_true", "type": "bool"},
            "--speculative-config": {"kind": "json", "type": "json", "aliases": ["-sc"]},
            "--lora-modules": {"kind": "list", "type": "name=path", "nargs": "+"},
            "--old": {"kind": "value", "dest": "new_name", "choices": ["a", 1, None]},
        },
        "environment": {"VLLM_A": {"type": "str", "default": "x", "choices": ["x", "y"]}},
    },
)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("max_model_len", "--max-model-len"),
        ("max-model-len", "--max-model-len"),
        ("--max-model-len", "--max-model-len"),
        ("--max_model_len", "--max-model-len"),
        ("--max-model_len", "--max-model-len"),
        ("-tp", "--tensor-parallel-size"),
        ("tp", "--tensor-parallel-size"),
        ("--no-enable-x", "--enable-x"),
        ("no_enable_x", "--enable-x"),
        ("disable_x", "--enable-x"),
        ("enable_y", "--enable-y"),
        ("speculative_config.method", "--speculative-config"),
        ("--speculative_config.num_speculative_tokens", "--speculative-config"),
        ("new_name", "--old"),
        ("max_model", None),
        ("max-model-len.x", None),
        ("lora_modules.x", None),
        ("MAX_MODEL_LEN", None),
        ("", None),
        ("--", None),
        (".", None),
    ],
)
def test_lookup_by_spelling(spelling, name):
    flag = RELEASE.flag(spelling)
    assert (flag.name if flag else None) == name


def test_looking_up_one_flag_makes_one_record():
    release = Release(version="9.9.9", entrypoint=[], data=RELEASE.data)
    flag = release.flag("max_model_len")
    assert list(release._made) == ["--max-model-len"]
    assert release.flag("--max-model-len") is flag
    assert release.flags["--max-model-len"] is flag


def test_a_prefix_is_offered_never_taken():
    assert RELEASE.flag("max_model") is None
    assert RELEASE.completions("max_model") == ("--max-model-len",)
    assert RELEASE.completions("enable") == ("--enable-x", "--enable-y")
    assert RELEASE.completions("max_model_len") == ()
    assert RELEASE.completions("-t") == ()


@pytest.mark.parametrize(
    ("spelling", "negative"),
    [("enable_x", False), ("disable_x", True), ("no-enable-x", True), ("enable_y", False), ("unknown", False)],
)
def test_negative_spellings(spelling, negative):
    assert RELEASE.is_negative(spelling) is negative


def test_a_record_is_complete_and_immutable():
    flag = RELEASE.flag("old")
    assert flag.dest == "new_name"
    assert flag.choices == ("a", 1, None)
    assert RELEASE.flag("max_model_len").dest == "max_model_len"
    assert RELEASE.flag("enable_x").is_boolean
    assert not flag.is_boolean
    with pytest.raises(AttributeError):
        flag.default = 1
    hash(flag)
    assert Flag.of("--a-b", {}).dest == "a_b"


def test_variables():
    variable = RELEASE.environment["VLLM_A"]
    assert (variable.type, variable.default, variable.choices) == ("str", "x", ("x", "y"))


def test_sections_that_a_release_lacks_are_empty():
    assert RELEASE.metrics == {}
    assert RELEASE.endpoints == {}
    assert RELEASE.architectures == RELEASE.tool_parsers == RELEASE.reasoning_parsers == ()
    assert RELEASE.speculative_methods == RELEASE.attention_backends == ()
    assert RELEASE.quantization == {}
    assert RELEASE.batch_defaults == []
    assert RELEASE.model_positional


def test_descriptions():
    text = catalog.help_text("max_model_len", "0.32.0")
    assert text and text.startswith("Model context length")
    assert catalog.help_text("--no-such-flag", "0.32.0") is None
    assert catalog.help_text("swap_space", "0.17.1")
    assert catalog.help_text("swap_space", "0.18.1") is None
    assert catalog.help_text("speculative_config", "0.6.0") is None
