# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated declarations, rendered, and read by the real parser of the release in its image.

What the planner passes, the parser takes, with every value as it was declared; what the planner refuses for how it is
written, the parser refuses too when it is written by hand.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import Flag, Release, parsing
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import errors
from ansible_collections.cortex.vllm.plugins.plugin_utils.spec.arguments import REFUSED_ARGUMENTS, RESERVED_ARGUMENTS

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent

#: Codes that speak about how an argument is written; all others are about what comes after parsing.
PARSING = {"argument.value", "argument.choice", "argument.unknown", "argument.removed", "argument.newer"}
#: What is declared elsewhere, or cannot be known here: whether the image's platform has a device.
NOT_ARGUMENTS = {*RESERVED_ARGUMENTS, *REFUSED_ARGUMENTS, "headless", "mm_processor_device", "disable_log_requests"}
#: JSON options whose class wants certain keys: something that each takes.
OBJECTS: dict[str, list[Any]] = {
    "attention_config": [{"backend": "FLASH_ATTN"}],
    "compilation_config": [{"cudagraph_capture_sizes": [1, 2, 4]}, {"cudagraph_mode": "PIECEWISE"}],
    "eplb_config": [{"window_size": 10, "step_interval": 20}],
    "kv_events_config": [{"enable_kv_cache_events": True, "publisher": "zmq"}],
    "kv_transfer_config": [{"kv_connector": "NixlConnector", "kv_role": "kv_both"}],
    "pooler_config": [{"pooling_type": "MEAN"}],
    "structured_outputs_config": [{"backend": "xgrammar"}, {"backend": "guidance", "disable_any_whitespace": True}],
    "speculative_config": [
        {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4},
        {"model": "/draft", "num_speculative_tokens": 2},
    ],
}  # fmt: skip

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
WORD = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
#: Texts and values of the wrong kind, and some that look wrong and are not.
WRONG: list[Any] = [
    "abc", "1.5K", "-5k", "8192 ", " 7", "1_000", "٣", "0x10", "1e3", "nan", "", "None", "true", True, False, 1.5, -1,
    ["a", "b"], ["1", "2", "3"], {"a": 1}, '{"a": 1', "[1", "a=b,c", "k=v",
]  # fmt: skip


def scalar(flag: Flag) -> st.SearchStrategy[Any]:
    """One value that the flag takes."""
    if flag.choices:
        return st.sampled_from([choice for choice in flag.choices if str(choice) != "None"])
    one = {
        "int": st.integers(-(10**6), 10**9) | st.integers(0, 99).map(str),
        "human_int": st.integers(0, 10**9) | st.from_regex(r"[0-9]{1,2}[kKmMgG]", fullmatch=True),
        "float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 9),
        "kvs": st.dictionaries(WORD, st.integers(0, 99), min_size=1, max_size=3),
        "name=path": st.builds("{}={}".format, WORD, WORD) | st.fixed_dictionaries({"name": WORD, "path": WORD}),
    }.get(flag.type, TEXT)
    return one | st.sampled_from(flag.words) if flag.words else one


def value_of(flag: Flag) -> st.SearchStrategy[Any]:
    """Everything that may be declared for a flag, and is right."""
    if flag.is_boolean:
        return st.booleans() | st.sampled_from(["true", "False"])
    if flag.kind == "json":
        if flag.dest in OBJECTS:
            return st.sampled_from(OBJECTS[flag.dest]).flatmap(lambda item: st.sampled_from([item, json.dumps(item)]))
        return st.dictionaries(TEXT, JSON, max_size=3) if flag.type == "json|str" or not classed(flag) else st.just({})
    if flag.kind == "list":
        least, most = (flag.nargs, flag.nargs) if isinstance(flag.nargs, int) else (1, 4)
        safe = scalar(flag).filter(lambda item: not str(item).startswith("-"))
        return st.lists(safe, min_size=least, max_size=most)
    return scalar(flag)


def classed(flag: Flag) -> bool:
    """Whether a class reads the JSON, which wants its own keys."""
    return flag.dest.endswith("_config") and flag.dest != "override_generation_config" or flag.dest == "ir_op_priority"


#: As on a command line, as in Python, and between.
SPELLINGS = st.sampled_from(
    [
        lambda name: name,
        lambda name: name[2:],
        lambda name: name[2:].replace("-", "_"),
        lambda name: "--" + name[2:].replace("-", "_"),
    ]
)


@st.composite
def declarations(draw: st.DrawFn, release: Release) -> tuple[dict[str, Any], dict[str, Any]]:
    """A declaration without a mistake, and what was declared, by the long names of the flags."""
    usable = sorted(
        name for name, flag in release.flags.items()
        if not {flag.dest, name[2:].replace("-", "_")} & NOT_ARGUMENTS
    )  # fmt: skip
    names = draw(st.lists(st.sampled_from(usable), unique=True, max_size=7))
    wanted = {name: draw(value_of(release.flags[name])) for name in names}
    arguments: dict[str, Any] = {}
    for name, value in wanted.items():
        flag, spell = release.flags[name], draw(SPELLINGS)
        if flag.is_boolean and flag.negation and isinstance(value, bool) and draw(st.booleans()):
            arguments[spell(flag.negation)] = not value
        else:
            arguments[
                spell(draw(st.sampled_from([name, *(item for item in flag.aliases if item.startswith("--"))])))
            ] = value
    declared: dict[str, Any] = {
        "name": draw(WORD),
        "image": "vllm/vllm-openai:latest",
        "model": draw(st.sampled_from(["org/model", "/models/a b", "/models/ü", "/models/x.gguf", "org/m.o-d_el"])),
        "offline": draw(st.booleans()),
        "engine_args": arguments,
        "served_model_name": draw(st.lists(st.sampled_from(["a", "b c", "ü/x", "m:1"]), min_size=1, unique=True)),
    }
    if draw(st.booleans()):
        declared["tokenizer"] = draw(st.sampled_from(["org/tokenizer", "/models/tokenizer"]))
    if draw(st.booleans()) and not declared["model"].startswith("/"):
        declared["revision"] = draw(st.sampled_from(["main", "refs/pr/1", "a" * 40]))
    if draw(st.booleans()) and "--override-generation-config" not in wanted:
        declared["request_defaults"] = {"temperature": draw(st.floats(0, 2)), "top_k": draw(st.integers(1, 50))}
    if draw(st.booleans()):
        declared |= {"network": "host", "bind": "127.0.0.1", "server_port": draw(st.integers(1024, 65535))}
    return declared, wanted


@st.composite
def mistakes(draw: st.DrawFn, release: Release) -> tuple[str, Any]:
    """One argument that may well be wrong: name and value."""
    usable = sorted(
        name for name, flag in release.flags.items()
        if not {flag.dest, name[2:].replace("-", "_")} & NOT_ARGUMENTS
    )  # fmt: skip
    name = draw(st.sampled_from(usable))
    value = draw(st.sampled_from([item for item in WRONG if item is not False or release.flags[name].is_boolean]))
    if draw(st.integers(0, 3)) == 0:  # a slip of the pen
        place = draw(st.integers(3, len(name) - 1))
        name = draw(st.sampled_from([name[:place] + "x" + name[place:], f"{name}s", f"{name}-x"]))
        value = draw(st.sampled_from([True, 1, "a"]))
    return name, value


def by_hand(name: str, value: Any, flag: Flag | None) -> list[str]:
    """How a person would write it on a command line."""
    if isinstance(value, bool):
        return [name] if value else [f"--no-{name[2:]}"]
    if isinstance(value, dict):
        return [name, json.dumps(value)]
    if isinstance(value, list):
        return [name, json.dumps(value)] if flag is not None and flag.kind == "json" else [name, *value]
    return [f"{name}={value}"]


def generated(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """What hypothesis makes of a strategy; the same every time."""
    found: list[Any] = []

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def collect(item: Any) -> None:
        found.append(item)

    collect()
    return found


def ask(tag: str, argvs: list[list[str]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the image's own parser makes of command lines, and its defaults."""
    command = ["docker", "run", "--rm", "-i", "--network", "none", "--entrypoint", "python3"]
    command += ["-v", f"{ROOT}:/repository:ro", "-v", f"{HERE}:/test:ro"]
    command += ["-e", "PYTHONDONTWRITEBYTECODE=1", tag, "/test/parse_in_image.py"]
    done = subprocess.run(command, input=json.dumps(argvs), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.rpartition("\nANSWER")[2])
    return answer["answers"], answer["defaults"]


def rendered(declared: dict[str, Any], release: Release) -> rendering.Rendered:
    (made,) = spec.load([declared])
    image = rendering.ImageFacts.assumed(declared["image"], release.version)
    return rendering.render(made, image, release, [], "/s", None, "0" * 32, {})


def expected(flag: Flag, value: Any) -> Any:
    """What the parser must have read for a declared value."""
    if flag.is_boolean:
        return value if isinstance(value, bool) else value.lower() == "true"
    if flag.kind == "json":
        return json.loads(value) if isinstance(value, str) else value
    read = parsing.reader(flag)

    def one(item: Any) -> Any:
        if isinstance(item, dict):
            return item if flag.type in ("kvs", "name=path") else json.dumps(item)
        return read(repr(item) if isinstance(item, float) and flag.type == "float" else str(item))

    return [one(item) for item in value] if isinstance(value, list) else one(value)


def same(flag: Flag, found: Any, wanted: Any) -> bool:
    if isinstance(found, dict) and "object" in found:
        fields = found["fields"]
        if flag.type == "json":  # a class read it: what was given is there, what it made of words is its own
            return all(
                key in fields and (fields[key] == item or isinstance(item, str))
                for key, item in wanted.items()
                if key in fields
            )
        return found["fields"] == wanted
    if isinstance(found, list) and isinstance(wanted, list) and flag.type == "name=path":
        pairs = [item.get("fields", item) if isinstance(item, dict) else item for item in found]
        return [(item["name"], item["path"]) for item in pairs] == [(item["name"], item["path"]) for item in wanted]
    return json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True) or (
        not isinstance(wanted, (bool, dict, list)) and not isinstance(found, bool) and found == wanted
    )


def lost(declared: dict[str, Any], wanted: dict[str, Any], values: dict[str, Any], release: Release) -> list[Any]:
    """Everything that was declared and did not arrive."""
    host = ("127.0.0.1", declared["server_port"]) if "server_port" in declared else ("0.0.0.0", 8000)
    fields = {
        "model_tag": declared["model"],
        "host": host[0],
        "port": host[1],
        "served_model_name": declared["served_model_name"],
        **{name: declared[name] for name in ("tokenizer", "revision") if name in declared},
    }
    if "request_defaults" in declared:
        fields["override_generation_config"] = declared["request_defaults"]
    missing = [(name, item, values.get(name)) for name, item in fields.items() if values.get(name) != item]
    for name, value in wanted.items():
        flag = release.flags[name]
        item = expected(flag, value)
        if item is False and flag.kind == "store_true":
            continue  # nothing is written: it is off by itself
        if item is True and flag.kind == "store_false":
            continue
        if not same(flag, values.get(flag.dest), item):
            missing.append((name, value, values.get(flag.dest)))
    return missing


def image(release: str) -> str:
    command = [ROOT / "tools" / "vllm-image", *([release] if release else [])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.e2e
@pytest.mark.parametrize(
    "version, count",
    [
        ("", 300),
        pytest.param("", 4000, marks=[pytest.mark.long, pytest.mark.slow]),
        pytest.param("0.27.0", 4000, marks=[pytest.mark.long, pytest.mark.slow]),
    ],
)
def test_planner_and_parser_agree_about_declarations(version: str, count: int) -> None:
    tag = image(version)
    release = catalog.nearest(tag.rpartition(":")[2])[0]

    passed, foretold = [], []
    for declared, wanted in generated(declarations(release), count):
        result = rendered(declared, release)
        broken = errors(result.findings)
        assert not [item for item in broken if item.code in PARSING], (declared, [str(item) for item in broken])
        # What a lint refuses (a parser of tools without its switch) is not the parser's to judge.
        passed.append((declared, wanted, list(result.argv), broken))
    for name, value in generated(mistakes(release), count):
        result = rendered({"name": "x", "image": "y", "model": "o/m", "engine_args": {name: value}}, release)
        found = [item for item in errors(result.findings) if item.code in PARSING]
        foretold.append((name, value, by_hand(name, value, release.flag(name)), list(result.argv), found))

    argvs = [argv for _declared, _wanted, argv, _broken in passed]
    argvs += [["o/m", *words] if found else argv for _name, _value, words, argv, found in foretold]
    answers, defaults = ask(tag, argvs)

    wrong: list[Any] = []
    for (declared, wanted, argv, _broken), answer in zip(passed, answers, strict=False):
        if "error" in answer:
            wrong.append(("refused", argv, answer["error"]))
        else:
            wrong += [("lost", item, argv) for item in lost(declared, wanted, defaults | answer["values"], release)]
    for (name, value, words, argv, found), answer in zip(foretold, answers[len(passed) :], strict=True):
        if found and "error" not in answer:
            wrong.append(("would pass", name, value, words, str(found[0])))
        elif not found and "error" in answer and not (release.flag(name) is not None and classed(release.flags[name])):
            wrong.append(("refused", name, value, argv, answer["error"]))
    assert len(passed) >= count * 0.9 and sum(bool(found) for *_rest, found in foretold) > count / 4
    assert wrong == [], f"{len(wrong)} of {len(argvs)}:\n" + "\n".join(str(item) for item in wrong[:100])
