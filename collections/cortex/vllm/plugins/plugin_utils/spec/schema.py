# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""A JSON Schema of declarations for one release, for editors: from the models and the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .. import catalog
from ..catalog import Flag, Release
from .arguments import REFUSED_ARGUMENTS, RESERVED_ARGUMENTS
from .describe import fields

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Text that Ansible fills in later fits everywhere.
TEMPLATE = {"type": "string", "pattern": r"\{\{"}
#: Ansible's types; text is also taken for a list of one, and durations and sizes are numbers or text.
_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": ["string", "number"]},
    "int": {"type": "integer"},
    "float": {"type": ["number", "string"]},
    "bool": {"type": "boolean"},
    "list": {"type": ["array", "string"]},
    "dict": {"type": "object"},
}
_VALUES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "human_int": {"type": ["integer", "string"]},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
}


def schema(release: Release) -> dict[str, Any]:
    """A file of variables: ``vllm_servers`` as a mapping or a list, ``vllm_server_defaults``.

    Whatever ``spec.load`` takes for this release is valid; what depends on other fields is the plan's to say.

    :param release: whose arguments ``engine_args`` offers; names of other releases are marked as deprecated
    """
    server = _object(fields(), required=("model", "image"))
    server["properties"]["engine_args"] = {
        "description": f"Arguments of vLLM {release.version}, and of other releases, which are translated.",
        "type": "object",
        "properties": _arguments(release),
        "additionalProperties": True,
    }
    partial = {**server, "required": []}
    entry = {"$ref": "#/$defs/server"}
    return {
        "$schema": DIALECT,
        "title": f"Servers of cortex.vllm, with vLLM {release.version}",
        "type": "object",
        "properties": {
            "vllm_server_defaults": {"$ref": "#/$defs/server"},
            "vllm_servers": {
                "description": "Servers of a host: a mapping by name, or a list with names.",
                "anyOf": [
                    {"type": "object", "additionalProperties": entry},
                    {"type": "array", "items": {"allOf": [entry, {"required": ["name"]}]}},
                    TEMPLATE,
                ],
            },
        },
        "$defs": {"server": partial},
    }


def _object(described: Mapping[str, Mapping[str, Any]], required: tuple[str, ...] = ()) -> dict[str, Any]:
    properties = {name: _field(field) for name, field in described.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False, "required": list(required)}


def _field(field: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict(_TYPES.get(str(field["type"]), {}))
    if field["choices"]:
        found = {"enum": list(field["choices"])}
    parts = field.get("fields")
    if parts and field["type"] == "dict":
        # Parts have short forms (text for a mount, a number for a limit), and mappings by free names hold parts.
        found = {"anyOf": [_object(parts), {"type": ["string", "number"]}, {"type": "object"}]}
        if not any(inner.get("required") for inner in parts.values()):
            found = _object(parts)
    elif parts:
        found["items"] = {"anyOf": [_object(parts), {"type": ["string", "number"]}]}
    if not found:
        return {"description": _plain(field["description"])}
    described = {"anyOf": [found, TEMPLATE, {"type": "null"}], "description": _plain(field["description"])}
    return described if field["default"] in (None, {}, []) else {**described, "default": field["default"]}


def _arguments(release: Release) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, flag in release.flags.items():
        key = name.removeprefix("--").replace("-", "_")
        if key not in RESERVED_ARGUMENTS and key not in REFUSED_ARGUMENTS:
            found[key] = _argument(flag, release)
    for name in catalog.ever():
        key = name.removeprefix("--").replace("-", "_")
        life = catalog.flag_lifetime(name)
        if key in found or key in RESERVED_ARGUMENTS or key in REFUSED_ARGUMENTS or life is None:
            continue
        text = f"Of vLLM {life.first} to {life.last}; translated for {release.version} where it can be, else refused."
        found[key] = {"description": text, "deprecated": True}
    return dict(sorted(found.items()))


def _argument(flag: Flag, release: Release) -> dict[str, Any]:
    value: dict[str, Any] = dict(_VALUES.get(flag.type, {"type": ["string", "number"]}))
    if flag.is_boolean:
        value = {"type": "boolean"}
    elif flag.choices is not None:
        value = {"enum": [choice for choice in flag.choices if choice is not None]}
    if flag.kind == "json" or flag.type in ("kvs", "json|str", "csv"):
        value = {}
    elif flag.kind == "list":
        value = {"anyOf": [{"type": "array"}, {"type": "object"}, value]}
    elif flag.nargs == "?":
        value = {"anyOf": [value, {"type": "boolean"}]}
    if value:
        words = [{"enum": list(flag.words)}] if flag.words else []
        value = {"anyOf": [value, *words, TEMPLATE, {"type": "null"}]}
    text = catalog.help_text(flag.name, release.version)
    if text:
        value["description"] = text
    if flag.default is not None:
        value["default"] = flag.default
    return {**value, "deprecated": True} if flag.deprecated else value


def _plain(text: str) -> str:
    """A description without Ansible's marks."""
    return re.sub(r"[VCOBI]\(([^)]*)\)", r"\1", text)
