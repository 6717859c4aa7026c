# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""Which keys the JSON of an option may have: the fields of the class that reads it, found by asking parser and class.

An option either brings its class in its type function (``parse_dataclass``, ``KVTransferConfig.from_cli``) or hands a
mapping to a class that is called like it (``speculative_config``: ``SpeculativeConfig``). Whether a key that the class
does not have is refused or silently dropped differs between releases, so it is tried.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import sys
import types
import typing
from typing import Any

#: A key that no class has.
NOBODY = "cortex_no_such_key"
#: Options whose class has another name.
_CALLED = {"override_pooler_config": "poolerconfig"}
#: What vLLM itself puts into a draft's configuration, whatever a declaration says.
_OWN = {"target_model_config", "target_parallel_config", "draft_model_config", "draft_parallel_config"}
#: How many classes may lie within each other.
_DEPTH = 3


def _class(value: Any) -> Any:
    """``value`` when it is a class with fields."""
    if not isinstance(value, type) or getattr(value, "_is_stub", False):
        return None
    return value if dataclasses.is_dataclass(value) or hasattr(value, "model_fields") else None


def _behind(function: Any, seen: int = 0) -> Any:
    """The class that a type function makes: itself, bound to it, a default of it, or in what it wraps."""
    if function is None or seen > _DEPTH:
        return None
    found = _class(function) or _class(getattr(function, "__self__", None))
    if found is not None:
        return found
    inner = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _filled(cell)]
    for value in (*(getattr(function, "__defaults__", None) or ()), *inner):
        found = _class(value) or (_behind(value, seen + 1) if isinstance(value, types.FunctionType) else None)
        if found is not None:
            return found
    return _behind(function.__func__, seen + 1) if isinstance(function, types.MethodType) else None


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _named(dest: str) -> Any:
    """The configuration class that is called like an option."""
    wanted = _CALLED.get(dest, dest.replace("_", ""))
    for module in ("vllm.config", *sorted(name for name in sys.modules if name.startswith("vllm.config."))):
        try:
            members = vars(importlib.import_module(module))
        except Exception:
            continue
        for name, value in sorted(members.items()):
            if name.lower() == wanted and _class(value) is not None:
                return value
    return None


def _init(field: Any) -> bool:
    """Whether a field may be given: not those that a class works out for itself."""
    default = field.default
    said = getattr(default, "init", None) if type(default).__name__ == "FieldInfo" else None
    return bool(field.init if said is None else said)


def _fields(cls: Any) -> dict[str, Any]:
    """Names that a mapping may have, with their annotations."""
    try:
        hints = typing.get_type_hints(cls, include_extras=False)
    except Exception:
        hints = {}
    if not dataclasses.is_dataclass(cls):
        return {name: hints.get(name, field.annotation) for name, field in cls.model_fields.items()}
    found = {field.name: hints.get(field.name) for field in dataclasses.fields(cls) if _init(field)}
    for name, field in cls.__dataclass_fields__.items():  # arguments that are no attributes
        if getattr(field, "_field_type", None) is getattr(dataclasses, "_FIELD_INITVAR", object()):
            found[name] = None
    return found


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, of optional and annotated types."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _parts(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [part for item in typing.get_args(annotation) for part in _parts(item)]
    return [annotation]


def _choices(annotation: Any) -> list[str] | None:
    """Words, where nothing but words and nothing at all are meant."""
    found: set[str] = set()
    for part in _parts(annotation):
        if part in (type(None), None):
            continue
        if typing.get_origin(part) is not typing.Literal:
            return None
        for item in typing.get_args(part):
            items = typing.get_args(item) if typing.get_origin(item) is typing.Literal else (item,)
            if not all(isinstance(word, str) for word in items):
                return None
            found.update(items)
    return sorted(found) or None


def _said(cls: Any, values: dict[str, Any]) -> str | None:
    """What a class says to a mapping, as the parser's type function hands it over; None when it takes it."""
    try:
        if getattr(cls, "__pydantic_validator__", None) is not None or hasattr(cls, "model_fields"):
            importlib.import_module("pydantic").TypeAdapter(cls).validate_python(values)
        else:
            cls(**values)
    except Exception as error:
        return str(error)
    return None


def _refuses(cls: Any, function: Any) -> bool:
    """Whether a key that the class does not have ends the start."""
    if _behind(function) is not None:
        try:
            function(f'{{"{NOBODY}": 1}}')
        except BaseException as error:
            return NOBODY in str(error)
        return False
    said = None
    try:
        cls(**{NOBODY: 1})
    except Exception as error:
        said = str(error)
    return said is not None and NOBODY in said


def _enforced(cls: Any, key: str) -> bool:
    """Whether the class itself refuses a word that is not among a field's."""
    said = _said(cls, {key: NOBODY})
    return said is not None and key in said and ("literal_error" in said or "Input should be" in said)


def _keys(cls: Any, depth: int = 0) -> dict[str, list[str] | None]:
    """Keys, those of classes within dotted, with their words where the class insists on them."""
    found: dict[str, list[str] | None] = {}
    for name, annotation in _fields(cls).items():
        if name in _OWN:
            continue
        words = _choices(annotation) if annotation is not None else None
        found[name] = words if words and _enforced(cls, name) else None
        inner = [part for part in _parts(annotation) if _class(part) is not None]
        if len(inner) == 1 and depth < _DEPTH:
            for below, choices in _keys(inner[0], depth + 1).items():
                found[f"{name}.{below}"] = choices
    return found


def describe(parser: argparse.ArgumentParser, flags: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Keys of each JSON option whose class is known.

    :param flags: the options as the catalogue describes them
    :returns: by destination: ``names``; ``words`` of those that take only words; ``lax`` where vLLM drops any other key
        without a word instead of refusing it
    """
    found: dict[str, dict[str, Any]] = {}
    kinds = {entry.get("dest") or name[2:].replace("-", "_"): entry for name, entry in flags.items()}
    for action in parser._actions:
        entry = kinds.get(action.dest)
        if entry is None or entry.get("kind") != "json" or action.dest in found:
            continue
        cls = _behind(action.type) or (_named(action.dest) if action.dest.endswith("_config") else None)
        if cls is None or inspect.isabstract(cls):
            continue
        keys = _keys(cls)
        if not keys:
            continue
        found[action.dest] = {"names": sorted(keys)}
        words = {key: choices for key, choices in keys.items() if choices}
        if words:
            found[action.dest]["words"] = words
        if not _refuses(cls, action.type):
            found[action.dest]["lax"] = True
    return found
