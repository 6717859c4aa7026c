# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is declared, a parser with the release's flags reads the very same values back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import Flag
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import errors
from ansible_collections.cortex.vllm.plugins.plugin_utils.spec.arguments import REFUSED_ARGUMENTS, RESERVED_ARGUMENTS

#: The two ends, the two entrypoints, and every kind of flag are among these.
VERSIONS = ("0.6.0", "0.8.4", "0.10.2", "0.20.2", "0.32.0", "0.33.0")

BASE: dict[str, Any] = {"name": "x", "image": "y", "model": "o/m"}
#: Names that a release takes without effect are written otherwise (disable_log_requests), or cannot be written.
EMPTY = {"disable_log_requests", "use_v2_block_manager"}
#: What is declared elsewhere, or changes which other arguments there are.
NOT_ARGUMENTS = {*RESERVED_ARGUMENTS, *REFUSED_ARGUMENTS, "headless"}


def human_int(text: str) -> float | int | str:
    """vLLM's integers with a unit (vllm/utils/argparse_utils.py, human_readable_int)."""
    units = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    if text[-1:] in units:
        return int(float(text[:-1]) * units[text[-1]])
    return int(text)


def word_or(read: Callable[[str], Any], words: tuple[str, ...]) -> Callable[[str], Any]:
    return lambda text: text if text in words else read(text)


READERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "human_int": human_int, "json": json.loads}


def boolean(text: str) -> bool:
    """StoreBoolean of vLLM up to 0.8.4."""
    return {"true": True, "false": False}[text.lower()]


@lru_cache(maxsize=None)
def parser_of(version: str) -> argparse.ArgumentParser:
    """A parser with the flags of a release, made from the catalogue with nothing but argparse."""
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=True, add_help=False)
    parser.add_argument("model_tag", nargs="?")
    release = catalog.release(version)
    assert release is not None
    for flag in release.flags.values():
        names = [name for name in (flag.name, *flag.aliases) if name not in parser._option_string_actions]
        read = word_or(READERS.get(flag.type, str), flag.words)
        if flag.kind == "store_true":
            parser.add_argument(*names, dest=flag.name, action="store_true")
        elif flag.kind == "store_false":
            parser.add_argument(*names, dest=flag.name, action="store_false")
        elif flag.kind == "bool_optional":
            parser.add_argument(*names, dest=flag.name, action="store_true", default=None)
            for negation in (flag.negation, *flag.negations):
                if negation and negation not in parser._option_string_actions:
                    parser.add_argument(negation, dest=flag.name, action="store_false", default=None)
        elif flag.kind == "bool_value":
            parser.add_argument(*names, dest=flag.name, nargs="?", const=True, type=boolean)
        elif flag.kind == "list" and (flag.repeat or flag.nargs is None):
            parser.add_argument(*names, dest=flag.name, action="append", type=read)
        elif flag.kind == "list":
            parser.add_argument(*names, dest=flag.name, nargs=flag.nargs, type=read)
        elif flag.kind == "json":
            parser.add_argument(*names, dest=flag.name, type=json_or_text if flag.type == "json|str" else json.loads)
        else:
            parser.add_argument(*names, dest=flag.name, nargs="?" if flag.nargs == "?" else None, type=read)
    return parser


def json_or_text(text: str) -> Any:
    """What is no JSON is text (vllm/engine/arg_utils.py, union_dict_and_str)."""
    try:
        return json.loads(text)
    except ValueError:
        return text


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


WORD = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
PAIRS = st.dictionaries(WORD, st.integers(0, 99), max_size=3).map(
    lambda pairs: ",".join(f"{key}={number}" for key, number in pairs.items())
)


def values_of(flag: Flag) -> st.SearchStrategy[Any]:
    """Everything that may be declared for a flag."""
    if flag.is_boolean:
        return st.booleans()
    if flag.choices:
        one: st.SearchStrategy[Any] = st.sampled_from([choice for choice in flag.choices if str(choice) != "None"])
    else:
        one = {
            "int": st.integers(-(10**9), 10**12),
            "human_int": st.integers(0, 10**9) | st.from_regex(r"[0-9]{1,2}[kKmMgG]", fullmatch=True),
            "float": st.floats(allow_nan=False, allow_infinity=False),
            "kvs": PAIRS,
            "name=path": st.builds("{}={}".format, WORD, WORD.map("/adapters/{}".format)),
        }.get(flag.type, TEXT)
    if flag.words:
        one = one | st.sampled_from(flag.words)
    if flag.kind == "json":
        mapping = st.dictionaries(TEXT, JSON, max_size=3)
        only_mappings = flag.dest.endswith("_config") or flag.type == "json|str"
        return mapping if only_mappings else mapping | st.lists(JSON, max_size=3)
    if flag.kind == "list":
        least, most = (flag.nargs, flag.nargs) if isinstance(flag.nargs, int) else (1, 4)
        return st.lists(one, min_size=least, max_size=most)
    return one


def expected(flag: Flag, value: Any) -> Any:
    """What the parser must have read."""
    read = word_or(READERS.get(flag.type, str), flag.words)
    if flag.is_boolean or flag.kind == "json":
        return value
    if flag.kind == "list":
        return [read(repr(item) if isinstance(item, float) else str(item)) for item in value]
    return read(repr(value) if isinstance(value, float) else str(value))


def fits(flag: Flag, value: Any) -> bool:
    """Leave out what is refused with a finding of its own: a list with a word that looks like an argument."""
    if flag.kind == "list" and len(value) > 1 and not flag.repeat and flag.nargs is not None:
        return not any(isinstance(item, str) and item.startswith("-") for item in value)
    return True


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_parser_reads_back_what_was_declared(version: str, data: st.DataObject) -> None:
    release = catalog.release(version)
    assert release is not None
    usable = sorted(
        name
        for name, flag in release.flags.items()
        if not {name.removeprefix("--").replace("-", "_"), flag.dest} & (NOT_ARGUMENTS | EMPTY)
        and not (flag.only == "serve" and not release.model_positional)
    )
    names = data.draw(st.lists(st.sampled_from(usable), unique=True, max_size=6))
    wanted = {name: data.draw(values_of(release.flags[name]), label=name) for name in names}
    assume(all(fits(release.flags[name], value) for name, value in wanted.items()))
    spell = data.draw(st.sampled_from([str, lambda name: name[2:], lambda name: name[2:].replace("-", "_")]))
    (made,) = spec.load([{**BASE, "engine_args": {spell(name): value for name, value in wanted.items()}}])

    rendered = rendering.arguments(made, release)

    assert errors(rendered.findings) == []
    assert all(isinstance(word, str) for word in rendered.argv)
    parsed = vars(parser_of(version).parse_args(rendered.argv))
    assert (parsed["model_tag"] or parsed["--model"]) == "o/m"
    assert parsed["--served-model-name"] in (["x"], "x")
    for name, value in wanted.items():
        flag, found = release.flags[name], parsed[name]
        if value is False and flag.is_boolean and flag.kind != "bool_value":
            # Not written where the release has it off by itself, or has no way to write it.
            assert found is False or (found is None and flag.default is False) or flag.negation is None, name
        else:
            assert found == expected(flag, value), name
    # The same declaration, written in another order, is the same command line.
    turned = {spell(name): wanted[name] for name in reversed(list(wanted))}
    (again,) = spec.load([{**BASE, "engine_args": turned}])
    assert rendering.arguments(again, release).argv == rendered.argv


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_another_releases_words_are_parsed_or_explained(version: str, data: st.DataObject) -> None:
    """Arguments of any release, on this one: the parser takes what was rendered, and all else has an error."""
    release = catalog.release(version)
    origin = catalog.release(data.draw(st.sampled_from(catalog.versions())))
    assert release is not None and origin is not None
    usable = sorted(
        name
        for name, flag in origin.flags.items()
        if not {name.removeprefix("--").replace("-", "_"), flag.dest} & NOT_ARGUMENTS and not flag.only
    )
    # What is not in every release is what is interesting.
    changed = [name for name in usable if release.flag(name) is None]
    picked = st.sampled_from(changed) | st.sampled_from(usable) if changed else st.sampled_from(usable)
    names = data.draw(st.lists(picked, unique=True, max_size=5))
    wanted = {name: data.draw(values_of(origin.flags[name]), label=name) for name in names}
    assume(all(fits(origin.flags[name], value) for name, value in wanted.items()))
    (made,) = spec.load([{**BASE, "engine_args": wanted}])

    rendered = rendering.arguments(made, release)

    parser_of(version).parse_args(rendered.argv)
    fields = {str(item.field).rpartition(".")[2] for item in rendered.findings}
    words = {word.partition("=")[0] for word in rendered.argv}
    for name, value in wanted.items():
        flag = release.flag(name)
        said = name[2:].replace("-", "_") in fields or (flag is not None and words & {*flag.spellings, flag.negation})
        # False and nothing (an option without a key, too) are not written where the release has them by itself.
        assert said or value is False or value == [] or value == {}, name
    for item in errors(rendered.findings):
        assert item.fix, item
