# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""One value as the words of a command line, by the kind of its flag."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..catalog import Flag, parsing
from ..spec.values import Problem

#: ``image=4,video=1``, as --limit-mm-per-prompt was written up to 0.9.1.
_PAIRS = re.compile(r"^\w+=\d+(?:,\w+=\d+)*$")
#: Types whose texts the parser can refuse.
_CHECKED = frozenset({"int", "human_int", "float", "kvs", "name=path"})


def words(flag: Flag, value: Any, *, negative: bool = False) -> list[str]:
    """The words that give ``flag`` this value; none when the release does so by itself.

    :param negative: the declaration used the flag's negative name (``no_enable_prefix_caching``)
    :raises Problem: with code ``argument.value`` or ``argument.choice``
    """
    if flag.is_boolean:
        return _switch(flag, _boolean(flag, value) is not negative)
    if isinstance(value, bool) and flag.kind != "json":
        if value and flag.nargs == "?":
            return [flag.name]
        raise _wrong(f"takes {_what(flag)}, not {str(value).lower()}", f"Write {_what(flag)}, or delete it")
    if flag.kind == "json":
        return _pair(flag.name, json_text(flag, value))
    if flag.kind == "list":
        return _list(flag, value)
    if isinstance(value, (list, tuple)):
        if flag.type == "csv":  # one word with commas, such as --device-ids 0,1
            return _pair(flag.name, ",".join(scalar(flag, item) for item in value))
        raise _wrong("takes one value, not a list", f"Write {_what(flag)}")
    return _pair(flag.name, scalar(flag, value))


def scalar(flag: Flag, value: Any) -> str:
    """One value as text, checked as far as the parser of that release checks it.

    :raises Problem: with code ``argument.value`` or ``argument.choice``
    """
    if isinstance(value, Mapping):
        if flag.type == "kvs":
            return ",".join(f"{key}={value[key]}" for key in sorted(value))
        if flag.type not in ("name=path", "str", "json", "json|str"):
            raise Problem("takes one value, not a mapping", f"Write {_what(flag)}", code="argument.shape")
        if flag.choices is not None or (flag.type == "name=path" and not {"name", "path"} <= set(value)):
            raise _wrong(f"takes {_what(flag)}, not {compact(value)}", f"Write {_what(flag)}")
        return compact(value)
    text = repr(value) if isinstance(value, float) else str(value)
    if flag.type == "kvs" and text.startswith("{"):
        try:
            return scalar(flag, json.loads(text))
        except ValueError:
            raise _wrong("is text that is not JSON", "Write a mapping, as YAML") from None
    if text in flag.words:
        return text
    if flag.nullable and text in ("", "None") and (flag.choices is None or None in flag.choices):
        return text
    if flag.type in ("int", "human_int") and isinstance(value, float) and value.is_integer():
        text = str(int(value))
    if flag.type in _CHECKED:
        try:
            parsing.reader(flag)(text)
        except ValueError:
            raise _wrong(f"takes {_what(flag)}, not {text!r}", f"Write {_what(flag)}") from None
    # A parser that reads None for "None" never finds the word among its choices, where 0.27 and others list it.
    nothing = {None, "None"} if flag.nullable else {None}
    taken = {str(choice) for choice in flag.choices or () if choice not in nothing}
    if flag.choices is not None and text not in taken:
        folded = [choice for choice in taken if _folded(choice) == _folded(text)]
        if len(folded) == 1:  # as vLLM itself does for some: DEEP-GEMM is deep_gemm
            return folded[0]
        choices = ", ".join(sorted(taken))
        raise Problem(f"{text!r} is not one of the choices", f"Write one of {choices}", code="argument.choice")
    return text


def _folded(text: str) -> str:
    return text.strip().lower().replace("-", "_")


def json_text(flag: Flag, value: Any) -> str:
    """A JSON value as compact text with sorted keys, so that the same declaration always gives the same words."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except ValueError:
            if _PAIRS.match(value) and flag.name == "--limit-mm-per-prompt":  # its form up to 0.9.1
                return compact({key: int(number) for key, number in (item.split("=") for item in value.split(","))})
            if flag.type == "json|str" or value in flag.words or (flag.nullable and value in ("", "None")):
                return value
            shape = "a list" if isinstance(flag.default, (list, tuple)) else "a mapping"
            raise _wrong("is text that is not JSON", f"Write {shape}, as YAML") from None
        return compact(parsed) if isinstance(_object(flag, parsed), (dict, list)) else value
    return compact(_object(flag, value))


def _object(flag: Flag, value: Any) -> Any:
    """A configuration is a mapping, whoever reads it: its class, or vLLM once it is parsed. To 0.11 a level was one."""
    if flag.type == "json|str" and isinstance(value, (list, tuple)):  # vLLM takes what is no mapping for text
        raise Problem("takes a mapping, or text", "Write a mapping, as YAML", code="argument.shape")
    if flag.type != "json" or not flag.dest.endswith("_config") or flag.dest == "additional_config":
        return value
    level = flag.dest == "compilation_config" and "-O" in flag.aliases and str(value) in ("0", "1", "2", "3")
    if isinstance(value, Mapping) or value is None or level:
        return value
    raise Problem("takes a mapping", "Write a mapping, as YAML", code="argument.shape")


def compact(value: Any) -> str:
    """JSON without spaces, keys sorted, in ASCII: independent of the locale inside of the image."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _switch(flag: Flag, wanted: bool) -> list[str]:
    if flag.kind == "bool_value":
        return [flag.name, "true" if wanted else "false"]
    if wanted:
        return [flag.name]
    if flag.kind == "store_true" and flag.default is True:
        raise _wrong("cannot be turned off in this release", "Delete it")
    # False is nothing to write where the release has it off by itself, and cannot be written otherwise.
    if flag.kind in ("store_true", "store_false") or flag.default is False or flag.negation is None:
        return []
    return [flag.negation]


def _boolean(flag: Flag, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):  # -e on ansible-playbook's command line
        return value.strip().lower() == "true"
    raise _wrong("is a switch", "Write true or false")


def _list(flag: Flag, value: Any) -> list[str]:
    if isinstance(value, Mapping) and flag.type == "name=path" and all(isinstance(v, str) for v in value.values()):
        # {sql: /adapters/sql} is what name=path means; {name: …, path: …} is one adapter in JSON.
        items: list[Any] = [value] if {"name", "path"} <= set(value) else [f"{k}={value[k]}" for k in sorted(value)]
    else:
        items = list(value) if isinstance(value, (list, tuple)) else [value]
    texts = [scalar(flag, item) for item in items]
    if isinstance(flag.nargs, int) and len(texts) != flag.nargs:
        raise _wrong(f"takes {flag.nargs} values, not {len(texts)}", f"Write a list of {flag.nargs}")
    if flag.repeat or flag.nargs is None:
        return [word for text in texts for word in _pair(flag.name, text)]
    if not texts:
        return [flag.name] if flag.nargs == "*" else []
    if len(texts) == 1:
        return _pair(flag.name, texts[0])
    for text in texts:
        if text.startswith("-") and not re.match(r"^-\d+$|^-\d*\.\d+$", text):
            raise _wrong(f"{text!r} begins with a hyphen, which the parser takes for another argument", "Change it")
    return [flag.name, *texts]


def _pair(name: str, text: str) -> list[str]:
    """Name and value; in one word where the parser would take the value for another argument."""
    return [f"{name}={text}"] if text.startswith("-") else [name, text]


def _what(flag: Flag) -> str:
    kind = {
        "int": "a whole number",
        "human_int": "a whole number such as 8192 or 8k",
        "float": "a number",
        "json": "a mapping",
        "kvs": "a mapping",
        "name=path": "name=path, or a mapping with name and path",
    }.get(flag.type, "text")
    return " or ".join([kind, *flag.words]) if flag.choices is None else "one of its choices"


def _wrong(message: str, fix: str) -> Problem:
    return Problem(message, fix, code="argument.value")
