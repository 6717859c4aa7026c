# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The fields of a declaration as data: what documentation and editors are compared with."""

from __future__ import annotations

import types
import typing
from typing import Any

from .._pydantic import BaseModel, PydanticUndefined
from ..gpu_selection import GpuSelection
from .server import ServerSpec

_ANSIBLE_TYPES = {str: "str", int: "int", float: "float", bool: "bool", dict: "dict", list: "list"}


def fields(model: type[BaseModel] = ServerSpec) -> dict[str, dict[str, Any]]:
    """Name to ``type`` (Ansible's), ``required``, ``default``, ``choices``, ``description``, ``fields`` of parts."""
    return {name: _described(field) for name, field in model.model_fields.items()}


def _described(field: Any) -> dict[str, Any]:
    annotation = _without_none(field.annotation)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    described: dict[str, Any] = {
        "type": extra.get("ansible") or _type(annotation),
        "required": field.is_required(),
        "default": _default(field),
        "choices": list(typing.get_args(annotation)) if typing.get_origin(annotation) is typing.Literal else None,
        "description": field.description or "",
    }
    part = _part(annotation)
    if part is not None:
        described["fields"] = fields(part)
    return described


def _default(field: Any) -> Any:
    if field.is_required() or field.default is PydanticUndefined:
        return None
    if isinstance(field.default, BaseModel):
        return field.default.model_dump(mode="json", exclude_none=True)
    return field.default.canonical() if isinstance(field.default, GpuSelection) else field.default


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [item for item in typing.get_args(annotation) if item is not types.NoneType]
        annotation = inner[0]
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _type(annotation: Any) -> str:
    origin = typing.get_origin(annotation) or annotation
    if origin is typing.Literal:
        return "str"
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return "dict"
    return _ANSIBLE_TYPES.get(origin, "raw")


def _part(annotation: Any) -> type[BaseModel] | None:
    for item in (annotation, *typing.get_args(annotation)):
        if isinstance(item, type) and issubclass(item, BaseModel):
            return item
    return None
