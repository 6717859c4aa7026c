# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the harvest tool makes of a parser: each kind of option that any vLLM release has used."""

from __future__ import annotations

import argparse
import enum
import json

import pytest


class StoreBoolean(argparse.Action):
    """As in vLLM up to 0.8.4."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, values.lower() == "true")


class EnableDisableAction(argparse.BooleanOptionalAction):
    """As in vLLM 0.33: --enable-x pairs with --disable-x, --no-enable-x is hidden."""

    def __init__(self, option_strings, dest, **kwargs):
        super().__init__(option_strings, dest, **kwargs)
        self.option_strings = [*option_strings, *(s.replace("--enable-", "--disable-") for s in option_strings)]
        self.hidden = [s.replace("--enable-", "--no-enable-") for s in option_strings]

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, not option_string.startswith(("--disable-", "--no-")))


class LoRAParserAction(argparse.Action):
    pass


def human_int(text):
    return int(float(text[:-1]) * 1000) if text.endswith("k") else int(text)


def human_or_auto(text):
    return -1 if text == "auto" else human_int(text)


def optional(convert):
    return lambda text: None if text in ("", "None") else convert(text)


def dict_or_str(text):
    return json.loads(text) if text.startswith("{") else text


def kvs(text):
    return {key: int(value) for key, _, value in (pair.partition("=") for pair in text.split(","))}


class Config:
    @classmethod
    def parse(cls, text):
        if json.loads(text):
            raise ValueError("unknown field")
        return cls()


class Colour(enum.Enum):
    RED = "red"


def described(harvester, *arguments, **options):
    parser = argparse.ArgumentParser()
    parser.add_argument(*arguments, **options)
    (entry,) = harvester.flags.describe(parser).items()
    return entry


@pytest.mark.parametrize(
    ("type_", "name", "words"),
    [
        (None, "str", []),
        (str, "str", []),
        (int, "int", []),
        (float, "float", []),
        (human_int, "human_int", []),
        (human_or_auto, "human_int", ["auto"]),
        (optional(int), "int", []),
        (optional(float), "float", []),
        (optional(str), "str", []),
        (optional(human_int), "human_int", []),
        (json.loads, "json", []),
        (optional(json.loads), "json", []),
        (dict_or_str, "json|str", []),
        (kvs, "kvs", []),
        (lambda text: text.split(","), "csv", []),
        (Config.parse, "json", []),
        (lambda text: text.lower(), "str", []),
    ],
)
def test_types_are_found_by_calling_them(harvester, type_, name, words):
    assert harvester.flags.classify(type_) == (name, words)


def test_value(harvester):
    name, entry = described(
        harvester, "--tensor-parallel-size", "-tp", type=int, default=1, choices=[1, 2], help="Number of\n  groups."
    )
    assert name == "--tensor-parallel-size"
    assert entry["aliases"] == ["-tp"]
    assert (entry["kind"], entry["type"], entry["default"], entry["choices"]) == ("value", "int", 1, [1, 2])
    assert entry["help"] == "Number of groups."
    assert "deprecated" not in entry and "required" not in entry and "hidden" not in entry


def test_none_as_a_word(harvester):
    assert described(harvester, "--x", type=optional(int))[1]["nullable"] is True
    assert described(harvester, "--x", type=optional(json.loads))[1]["nullable"] is True
    assert "nullable" not in described(harvester, "--x", type=int)[1]
    assert "nullable" not in described(harvester, "--x", type=str)[1]


def test_default_of_zero_false_and_nothing_is_kept(harvester):
    assert described(harvester, "--a", type=int, default=0)[1]["default"] == 0
    assert described(harvester, "--b", action="store_true")[1]["default"] is False
    assert described(harvester, "--c", nargs="+", default=[])[1]["default"] == []
    assert "default" not in described(harvester, "--d")[1]


def test_switches(harvester):
    assert described(harvester, "--x", action="store_true")[1]["kind"] == "store_true"
    assert described(harvester, "--x", action="store_false")[1]["kind"] == "store_false"
    name, entry = described(harvester, "--enable-x", action=argparse.BooleanOptionalAction)
    assert (name, entry["kind"], entry["negation"]) == ("--enable-x", "bool_optional", "--no-enable-x")
    name, entry = described(harvester, "--x", action=StoreBoolean, nargs="?", const="True", default=False)
    assert (entry["kind"], entry["nargs"], entry["const"], entry["default"]) == ("bool_value", "?", "True", False)


def test_the_new_negative_form_and_the_hidden_one(harvester):
    parser = argparse.ArgumentParser()
    action = parser.add_argument("--enable-x", action=EnableDisableAction)
    for spelling in action.hidden:
        parser._option_string_actions[spelling] = action
    entry = harvester.flags.describe(parser)["--enable-x"]
    assert entry["kind"] == "bool_optional"
    assert entry["negation"] == "--disable-x"
    assert entry["negations"] == ["--no-enable-x"]
    assert "aliases" not in entry


def test_lists(harvester):
    entry = described(harvester, "--x", nargs="+", type=int)[1]
    assert (entry["kind"], entry["type"], entry["nargs"]) == ("list", "int", "+")
    entry = described(harvester, "--x", action="append")[1]
    assert (entry["kind"], entry["repeat"]) == ("list", True)
    entry = described(harvester, "--x", action=LoRAParserAction, nargs="+")[1]
    assert (entry["kind"], entry["type"]) == ("list", "name=path")


def test_json_and_objects(harvester):
    entry = described(harvester, "--compilation-config", "-cc", type=Config.parse, default=Config())[1]
    assert (entry["kind"], entry["type"], entry["default_class"]) == ("json", "json", "Config")
    assert "default" not in entry


def test_a_mark_for_not_given_is_no_default(harvester):
    class _Unset:
        pass

    entry = described(harvester, "--x", type=int, default=_Unset())[1]
    assert "default" not in entry and "default_class" not in entry


def test_values_become_json(harvester):
    plain = harvester.flags.plain
    assert plain(Colour.RED) == "red"
    assert plain(float("inf")) == "inf"
    assert plain({"b", "a"}) == ["a", "b"]
    assert plain((1, None, True)) == [1, None, True]
    with pytest.raises(ValueError, match="Config"):
        plain(Config())


def test_underscores_become_dashes_and_another_destination_is_kept(harvester):
    name, entry = described(harvester, "--old_name", dest="other")
    assert (name, entry["dest"]) == ("--old-name", "other")


@pytest.mark.parametrize(
    ("text", "deprecated"),
    [
        ("[DEPRECATED] Use --other.", True),
        ("This parameter is deprecated and will be removed in a future release.", True),
        ("Deprecated: use --other instead.", True),
        ("Order of kernels. Deprecated: will be removed in v0.34.0.", True),
        ("In one of these modes: a; b (deprecated).", False),
        ("--x is deprecated and has no effect since 0.30.", True),
        ("The `--x` has no effect, do not set it, and it will be removed in v0.10.0.", True),
        ("Allow models whose quantization is deprecated.", False),
        ("Show metrics that have been deprecated since.", False),
        ("Plain.", False),
    ],
)
def test_deprecation_is_read_from_the_text(harvester, text, deprecated):
    assert ("deprecated" in described(harvester, "--x", help=text)[1]) is deprecated


def test_descriptions_lose_what_says_nothing(harvester):
    text = "The order.\n  API docs: https://docs.example/en/v9/x/#a.B\n "
    text += "Should either be a valid JSON string or JSON keys passed individually."
    assert described(harvester, "--x", help=text)[1]["help"] == "The order."


def test_deprecation_is_read_from_the_parser(harvester):
    parser = argparse.ArgumentParser()
    parser._deprecated = {parser.add_argument("--x", help="Plain.")}
    assert harvester.flags.describe(parser)["--x"]["deprecated"] == "Plain."


def test_group_and_hidden(harvester):
    parser = argparse.ArgumentParser()
    group = parser.add_argument_group("ModelConfig", "text")
    group.add_argument("--x", help=argparse.SUPPRESS)
    entry = harvester.flags.describe(parser)["--x"]
    assert entry["group"] == "ModelConfig"
    assert entry["hidden"] is True
    assert "help" not in entry
