# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""From pydantic's errors to findings that name the field, the fault and what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .._pydantic import BaseModel, ValidationError
from ..findings import Finding
from .parts import holds_secret, looks_secret
from .server import ServerSpec, argument_name
from .values import Problem, Problems

#: Names that people bring from elsewhere (compose files, other roles, ``docker run``), and ours.
_SYNONYMS = {
    "port": "server_port",
    "host": "bind",
    "address": "bind",
    "api_key": "secrets.api_key",
    "hf_token": "secrets.hf_token",
    "token": "secrets.hf_token",
    "volumes": "mounts",
    "environment": "env",
    "env_vars": "env",
    "gpu": "gpus",
    "gpu_ids": "gpus",
    "device_requests": "gpus",
    "args": "engine_args",
    "extra_args": "engine_args",
    "vllm_args": "engine_args",
    "command": "engine_args",
    "cache_dir": "hub_cache",
    "download_dir": "hub_cache",
    "model_name": "served_model_name",
    "model_id": "model",
    "model_path": "model",
    "shm": "shm_size",
    "timeout": "start_timeout",
    "restart": "restart_policy",
    "version": "vllm_version",
    "ports": "bind and server_port",
}

#: pydantic's kinds of errors, in our words: what is wrong, what to write. ``{…}`` come from the error's context.
_WORDS: dict[str, tuple[str, str | None]] = {
    "missing": ("is required", None),
    "string_type": ("is not text", "Write text"),
    "int_type": ("is not a whole number", "Write a whole number"),
    "int_parsing": ("is not a whole number", "Write a whole number"),
    "int_from_float": ("is not a whole number", "Write a whole number"),
    "float_type": ("is not a number", "Write a number"),
    "float_parsing": ("is not a number", "Write a number"),
    "bool_type": ("is neither true nor false", "Write true or false"),
    "bool_parsing": ("is neither true nor false", "Write true or false"),
    "list_type": ("is not a list", "Write a list"),
    "dict_type": ("is not a mapping", "Write a mapping"),
    "model_type": ("is not a mapping", "Write a mapping"),
    "literal_error": ("is not one of the choices", "Write {expected}"),
    "greater_than": ("is too small", "Write a number above {gt}"),
    "greater_than_equal": ("is too small", "Write {ge} or more"),
    "too_short": ("is empty", "Write a value, or leave the field out"),
    "less_than": ("is too large", "Write a number below {lt}"),
    "less_than_equal": ("is too large", "Write {le} or less"),
}


#: Stands for "there is nothing", where None is a value.
_ABSENT: Any = object()


class Place:
    """Where a declaration stands in the person's files, and what they wrote there.

    :param root: path of the declaration, such as ``vllm_servers[chat]``
    :param written: what the person wrote there, as it came (tagged values keep their file and line)
    :param server: name for the findings
    :param above: the place of the defaults, for values that are not written in the declaration itself
    """

    def __init__(self, root: str, written: Any, server: str | None = None, above: Place | None = None) -> None:
        self.root = root
        self.written = written
        self.server = server
        self.above = above

    def path(self, location: tuple[Any, ...]) -> str:
        """``location`` as a person writes it: ``vllm_servers[chat].mounts[0].source``."""
        path = self.root
        for part in location:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        return path

    def owner(self, location: tuple[Any, ...]) -> Place:
        """The place whose value counts at ``location``: the declaration itself, or the defaults behind it."""
        if self.above is None or _at(self.written, location) is not _ABSENT:
            return self
        return self.above if _at(self.above.written, location) is not _ABSENT else self

    def origin(self, location: tuple[Any, ...]) -> Any:
        """The value at ``location``, or the nearest thing around it that knows its line. Never a secret.

        Mappings may hold secrets further down, so the first key of one stands in for it: it has a line too.
        """
        if any(part == "secrets" or (isinstance(part, str) and looks_secret(part)) for part in location):
            return None
        found, name = self.written, None
        for part in location:
            inner = _at(found, (part,))
            if inner is _ABSENT:
                break
            if isinstance(found, Mapping):
                name = next((key for key in found if str(key) == part), None)
            found = inner
        if isinstance(found, str) and holds_secret(found):
            return None
        if found is None or isinstance(found, bool):
            return name  # true, false and null carry no line; their key does
        return next((key for key in found if key != "name"), None) if isinstance(found, Mapping) else found

    def pointed(self, field: str) -> Any:
        """What stands at a field that a finding names by its path, in the declaration or in the defaults behind it."""
        if self.root and field.startswith(self.root):
            words = re.findall(r"\[(\d+)\]|([^.\[\]]+)", field[len(self.root) :])
            return self.origin(tuple(int(index) if index else word for index, word in words))
        return None if self.above is None else self.above.pointed(field)

    def finding(
        self, location: tuple[Any, ...], message: str, fix: str | None, code: str = "spec.value", origin: Any = _ABSENT
    ) -> Finding:
        """An error at ``location``, told where its value was written. ``origin``: what to point at instead."""
        owner = self.owner(location)
        return Finding(
            code,
            "error",
            message,
            field=owner.path(location),
            fix=fix,
            server=owner.server,
            origin=owner.origin(location) if origin is _ABSENT else origin,
        )


def _at(value: Any, location: tuple[Any, ...]) -> Any:
    for part in location:
        if isinstance(value, Mapping):
            # ``--max-model-len`` in the files is max_model_len in the model.
            keys = [key for key in value if str(key) == part] or [
                key for key in value if argument_name(str(key)) == part
            ]
            if not keys:
                return _ABSENT
            value = value[keys[0]]
        elif isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return _ABSENT
    return value


def findings_of(error: ValidationError, model: type[BaseModel], place: Place) -> list[Finding]:
    """Everything that pydantic found, as findings. No input value gets into a message by itself."""
    return [
        finding for item in error.errors(include_input=False, include_url=False) for finding in _one(item, model, place)
    ]


def _one(item: Any, model: type[BaseModel], place: Place) -> Iterator[Finding]:
    location = tuple(part for part in item["loc"] if part != "[key]")
    kind, context = item["type"], item.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, Problems):
        for problem in cause.problems:
            yield place.finding((*location, *problem.at), problem.message, problem.fix, problem.code)
    elif isinstance(cause, Problem):
        yield place.finding((*location, *cause.at), cause.message, cause.fix, cause.code)
    elif kind == "extra_forbidden":
        yield _unknown(location, _model_at(model, location[:-1]), place)
    else:
        message, fix = _WORDS.get(kind, (item["msg"][:1].lower() + item["msg"][1:], None))
        if kind == "missing":
            fix = _example(_model_at(model, location[:-1]), str(location[-1]))
        yield place.finding(
            location,
            message,
            fix.format_map(context) if fix else None,
            "spec.missing" if kind == "missing" else "spec.value",
        )


def _unknown(location: tuple[Any, ...], model: type[BaseModel] | None, place: Place) -> Finding:
    name = str(location[-1])
    fields = list(model.model_fields) if model is not None else []
    key = _key_as_written(place.owner(location).written, location)
    top = len(location) == 1
    synonym = _SYNONYMS.get(name.lower().replace("-", "_")) if top and model is not None else None
    if synonym and (synonym.split(".")[0].split(" ")[0] in fields):
        fix = f"Write {synonym}"
    elif top and model is ServerSpec and is_engine_argument(name):
        fix = f"Write it below engine_args: engine_args.{argument_name(name)}"
    else:
        near = difflib.get_close_matches(name.replace("-", "_").lower(), fields, n=1, cutoff=0.6)
        fix = f"Write {near[0]}" if near else f"Write one of {', '.join(fields)}"
    return place.finding(
        location, "is not a field", fix, "spec.unknown-field", origin=None if looks_secret(name) else key
    )


def _key_as_written(written: Any, location: tuple[Any, ...]) -> Any:
    around = _at(written, location[:-1])
    return next((key for key in around if str(key) == location[-1]), None) if isinstance(around, Mapping) else None


def is_engine_argument(name: str) -> bool:
    """Whether any release that we know has an argument of this name."""
    try:
        from .. import catalog
    except ImportError:  # pragma: no cover - the catalogue ships with the collection
        return False
    wanted = argument_name(name)
    versions = catalog.versions()
    # The newest release, and one of the years before: an argument is old or new, seldom only in between.
    for version in (versions[-1:] + versions[: -1 : max(1, len(versions) // 4)]) if versions else ():
        release = catalog.release(version)
        if release is not None and release.flag(wanted) is not None:
            return True
    return False


def _model_at(model: type[BaseModel] | None, location: tuple[Any, ...]) -> type[BaseModel] | None:
    """The model that validates ``location``: fields, and the items of lists and mappings of models."""
    for part in location:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        if field is None:
            continue
        model = next(iter(_models_in(field.annotation)), None)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _example(model: type[BaseModel] | None, name: str) -> str:
    field = model.model_fields.get(name) if model is not None else None
    examples = field.examples if field is not None else None
    return f"Write {name}, such as {examples[0]}" if examples else f"Write {name}"
