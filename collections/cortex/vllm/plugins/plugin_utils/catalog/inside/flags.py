# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""Describe every option of a built ``argparse`` parser by asking it, not by reading names.

What a type function accepts is found by calling it; which spelling of a switch means true is found by running its
action. So a new type function or action class of a new release is understood without a change here, or is reported.
"""

from __future__ import annotations

import argparse
import enum
import json
import math
import re
from collections.abc import Callable
from typing import Any

Actions = list[tuple[argparse.Action, list[str]]]


def plain(value: Any) -> Any:
    """A JSON value for a default or choice; ``ValueError`` for an object that has none."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if type(value).__module__ in ("torch",):
        return str(value).removeprefix("torch.")
    raise ValueError(type(value).__name__)


def _try(function: Callable[[str], Any], text: str) -> Any:
    try:
        return function(text)
    except Exception as error:
        return error


def _is(value: Any, kind: type) -> bool:
    """Whether a value is of this kind; a bool is no int here."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def classify(function: Any) -> tuple[str, list[str]]:
    """What a ``type=`` function makes of text.

    Returns:
        The name that the catalogue uses (see ``Flag.type``), and the words it takes beside numbers.
    """
    if function is None or function is str:
        return "str", []
    if function in (int, float, bool):
        return function.__name__, []
    obj = _try(function, '{"a": 1}')
    word = _try(function, "harvest")
    empty = _try(function, "{}")
    if isinstance(word, list) and len(_try(function, "1,2")) == 2:
        return "csv", []
    if not isinstance(empty, (str, bool, int, float, list, Exception)) and empty is not None:
        # A dictionary, or an object of a configuration class that parses its own JSON.
        return ("json|str" if word == "harvest" else "json"), []
    if isinstance(obj, dict):
        return ("json|str" if word == "harvest" else "json"), []
    if isinstance(obj, list) or (isinstance(_try(function, '["*"]'), list) and isinstance(word, Exception)):
        return "json", []
    kvs = _try(function, "image=4,video=1")
    if isinstance(kvs, dict):
        return "kvs", []
    words = [w for w in ("auto", "None") if not isinstance(_try(function, w), Exception) and word != "harvest"]
    words = [w for w in words if _try(function, w) is not None]
    number, suffixed, fraction = _try(function, "5"), _try(function, "1k"), _try(function, "1.5")
    if _is(number, int) and suffixed == 1000:
        return "human_int", words
    if _is(number, int) and isinstance(fraction, Exception):
        return "int", words
    if _is(number, float):
        return "float", words
    if _is(_try(function, "true"), bool) and isinstance(word, (Exception, bool)):
        return "bool", []
    if isinstance(word, str):
        return "str", words
    if _is(number, int):
        return "int", words
    # A method of a configuration class that validates: sampled JSON is refused for its content, plain words for form.
    owner = getattr(function, "__qualname__", "")
    if "from_cli" in owner or "json" in owner or re.search(r"[Cc]onfig", owner):
        return "json", []
    return "str", words


def grouped(parser: argparse.ArgumentParser) -> Actions:
    """Every action with every spelling that reaches it, also those that help hides."""
    found: dict[int, tuple[argparse.Action, list[str]]] = {}
    for action in parser._actions:
        found[id(action)] = (action, list(action.option_strings))
    for spelling, action in parser._option_string_actions.items():
        entry = found.setdefault(id(action), (action, []))
        if spelling not in entry[1]:
            entry[1].append(spelling)
    return list(found.values())


def _truth(parser: argparse.ArgumentParser, action: argparse.Action, spelling: str) -> Any:
    """The value that a switch gets from one of its spellings."""
    space = argparse.Namespace()
    try:
        action(parser, space, [] if action.nargs == 0 else None, spelling)
        return getattr(space, action.dest, None)
    except (Exception, SystemExit):
        return None


def _kind(parser: argparse.ArgumentParser, action: argparse.Action, spellings: list[str]) -> dict[str, Any]:
    name = type(action).__name__
    if action.nargs == 0:
        if isinstance(action, argparse._StoreTrueAction):
            return {"kind": "store_true", "type": "bool"}
        if isinstance(action, argparse._StoreFalseAction):
            return {"kind": "store_false", "type": "bool"}
        values = {spelling: _truth(parser, action, spelling) for spelling in spellings}
        if any(value is False for value in values.values()):
            return {"kind": "bool_optional", "type": "bool", "values": values}
        # A deprecated store_true is made of a subclass with its own name.
        const = getattr(action, "const", None)
        return {"kind": "store_false" if const is False else "store_true", "type": "bool"}
    type_name, words = classify(action.type)
    shape: dict[str, Any] = {"type": type_name}
    if words:
        shape["words"] = words
    # vLLM's optional_type(): the word None (and nothing at all) means no value.
    convert: Any = action.type
    if convert is not None and _try(convert, "None") is None:
        shape["nullable"] = True
    if name == "StoreBoolean" or (type_name == "bool" and action.nargs in (None, "?")):
        return {"kind": "bool_value", "type": "bool", "nargs": action.nargs}
    if "LoRAParser" in name or "PromptAdapterParser" in name:
        return {"kind": "list", **shape, "type": "name=path", "nargs": action.nargs}
    if isinstance(action, argparse._AppendAction):
        return {"kind": "list", "repeat": True, **shape}
    if action.nargs in ("+", "*") or isinstance(action.nargs, int):
        return {"kind": "list", "nargs": action.nargs, **shape}
    if action.nargs == "?":
        shape["nargs"] = "?"
    if type_name.startswith("json"):
        return {"kind": "json", **shape}
    return {"kind": "value", **shape}


def help_of(action: argparse.Action) -> str:
    """The help text on one line, without what says the same for many options or names the release in a link."""
    if action.help is None or action.help is argparse.SUPPRESS:
        return ""
    text = re.sub(r"API docs: https?://\S+", "", action.help)
    text = text.replace("Should either be a valid JSON string or JSON keys passed individually.", "")
    return " ".join(text.split())


def _deprecation(action: argparse.Action, name: str, deprecated: set[Any]) -> str | None:
    """vLLM's words about why an option should not be used, from the place where it says so to the end.

    Deprecated is what the parser or the action's class marks so, and what its help calls so: at its beginning, in
    brackets, or in a sentence about this option.
    """
    text = help_of(action)
    subject = rf"(?:^|(?<=[.:] ))(?:this (?:parameter|argument|flag|option)|(?:the )?`?{re.escape(name)}`?)"
    match = re.search(
        r"(?i)^\W*deprecated\b.*|\[deprecated\].*|(?<=\. )deprecated: .*|"
        rf"{subject}(?: (?:flag|option|argument))?,? (?:is|has been) (?:now )?deprecated\b.*|"
        rf"{subject} has no effect\b.*",
        text,
    )
    if match:
        return match.group(0).strip()
    if action in deprecated or getattr(action, "deprecated", False) or "Deprecat" in type(action).__name__:
        return text or "deprecated"
    return None


def describe(parser: argparse.ArgumentParser) -> dict[str, dict[str, Any]]:
    """All options of a parser, in the form of the data file.

    Returns:
        ``{"--max-model-len": {"dest": …, "kind": …, …, "help": …}}``; values that equal the loader's defaults are
        left out. ``help`` is moved to the shared file of texts by the writer.
    """
    groups = {id(action): group.title for group in parser._action_groups for action in group._group_actions}
    deprecated = set(getattr(parser, "_deprecated", ()) or ())
    flags: dict[str, dict[str, Any]] = {}
    for action, spellings in grouped(parser):
        if not spellings or isinstance(action, argparse._HelpAction) or action.dest == "version":
            continue
        shape = _kind(parser, action, spellings)
        values = shape.pop("values", {})
        false = [s for s in spellings if values.get(s) is False]
        true = [s for s in spellings if s not in false]
        dashed = list(dict.fromkeys(s.replace("_", "-") for s in true))
        long = [s for s in dashed if s.startswith("--")]
        # The spelling that the destination is named after, if there is one: help sometimes shows a short form first.
        own = "--" + action.dest.replace("_", "-")
        name = own if own in long else long[0]
        if name in flags:
            raise ValueError(f"two options are called {name}")
        entry: dict[str, Any] = {}
        if action.dest != name.removeprefix("--").replace("-", "_"):
            entry["dest"] = action.dest
        entry.update({key: value for key, value in shape.items() if value not in (None, [])})
        entry["aliases"] = [s for s in dashed if s != name]
        if false:
            shown = [s for s in action.option_strings if s in false] or false
            entry["negation"] = shown[0].replace("_", "-")
            others = dict.fromkeys(s.replace("_", "-") for s in false)
            entry["negations"] = [s for s in others if s != entry["negation"]]
        _values(entry, action)
        entry["required"] = bool(action.required)
        entry["hidden"] = action.help is argparse.SUPPRESS
        entry["deprecated"] = _deprecation(action, name, deprecated)
        entry["group"] = groups.get(id(action))
        entry["help"] = help_of(action) or None
        flags[name] = {k: v for k, v in entry.items() if v not in (None, [], False) or k == "const" and v is not None}
        if entry.get("default") in (False, 0) or entry.get("default") == []:
            flags[name]["default"] = entry["default"]
    return flags


def _values(entry: dict[str, Any], action: argparse.Action) -> None:
    """Choices, default and constant of an action."""
    if action.choices is not None:
        entry["choices"] = plain(list(action.choices))
    try:
        entry["default"] = None if action.default is argparse.SUPPRESS else plain(action.default)
        json.dumps(entry["default"])
    except (ValueError, TypeError):
        entry["default"] = None
        # A private class is a mark for "not given", not a configuration.
        name = type(action.default).__name__
        entry["default_class"] = None if name.startswith("_") else name
    if action.nargs == "?" and action.const is not None:
        try:
            entry["const"] = plain(action.const)
        except ValueError:
            pass
