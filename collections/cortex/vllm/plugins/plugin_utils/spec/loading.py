# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""From what stands in an inventory to validated declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._pydantic import ValidationError, require
from ..findings import Finding, FindingsError, errors, located
from .across import check
from .collectives import Nccl
from .container import ContainerSpec
from .errors import Place, findings_of
from .holds import Hold
from .server import ServerSpec, argument_name
from .values import Problem, plain

#: Fields whose mappings are merged with those of the defaults, at every depth. Other fields are replaced.
MERGED = ("engine_args", "env", "request_defaults", "secrets", "labels", "probe", "log", "nccl")


def load(
    servers: Any,
    defaults: Any = None,
    *,
    root: str = "vllm_servers",
    defaults_root: str = "vllm_server_defaults",
) -> list[ServerSpec]:
    """Validate all declarations of one host.

    :param servers: a mapping by name, or a list of mappings with ``name``
    :param defaults: what a declaration takes when it does not say otherwise; mappings (``engine_args``, ``env``, …) are
        merged, and a null removes what the defaults say
    :param root: name of the variable, for the findings
    :param defaults_root: name of the variable with the defaults
    :returns: the declarations, in the order of the names
    :raises FindingsError: everything that is wrong with any of them, at once
    """
    require()
    findings: list[Finding] = []
    above = _defaults(defaults, defaults_root, findings)
    specs: list[ServerSpec] = []
    for place in _places(servers, root, above, findings):
        spec = _validated(place, ServerSpec, findings)
        if spec is not None:
            specs.append(spec)
    # Of two declarations with one name, only the first is compared with the others.
    findings += check(list({spec.name: spec for spec in reversed(specs)}.values()), root=root)
    refused = _unique(located(errors(findings), specs))
    if refused:
        raise FindingsError(refused)
    return sorted(specs, key=lambda spec: spec.name)


def load_container(written: Any, *, root: str = "") -> ContainerSpec:
    """Validate the arguments of the task ``cortex.vllm.container``.

    :raises FindingsError: everything that is wrong with it
    """
    require()
    findings: list[Finding] = []
    name = written.get("name") if isinstance(written, Mapping) else None
    place = Place(root, written, name if isinstance(name, str) else None)
    spec = _validated(place, ContainerSpec, findings)
    if spec is None or findings:
        raise FindingsError(_unique(findings))
    return spec


def load_nccl(written: Any, *, root: str = "") -> Nccl:
    """Validate ``nccl`` by itself.

    :raises FindingsError: everything that is wrong with it
    """
    require()
    findings: list[Finding] = []
    made = _validated(Place(root, {} if written is None else written), Nccl, findings)
    if made is None or findings:
        raise FindingsError(_unique(findings))
    result: Nccl = made
    return result


def load_holds(written: Any, *, root: str = "vllm_holds") -> list[Hold]:
    """Validate what is held on a host: one mapping, or a list of them.

    :raises FindingsError: everything that is wrong with any of them
    """
    require()
    if isinstance(written, Mapping):
        written = [written]
    findings: list[Finding] = []
    if not isinstance(written, (list, tuple)):
        findings.append(_shape(root, "is neither a list nor a mapping", "Write [{reason: why}]", written))
        written = []
    made = [_validated(Place(f"{root}[{index}]", item), Hold, findings) for index, item in enumerate(written)]
    if findings:
        raise FindingsError(_unique(findings))
    return made


def merge(below: Any, above: Any) -> Any:
    """``above`` laid over ``below``: mappings are merged at every depth, null takes away, all else replaces."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    result = dict(below)
    for key, value in above.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result[key], value) if key in result else value
    return result


def _defaults(defaults: Any, root: str, findings: list[Finding]) -> Place | None:
    if defaults is None or defaults == {}:
        return None
    if not isinstance(defaults, Mapping):
        findings.append(_shape(root, "is not a mapping", "Write a mapping of fields", defaults))
        return None
    if "name" in defaults:
        findings.append(_shape(f"{root}.name", "cannot be a default", "Delete it", defaults["name"]))
    return Place(root, {key: value for key, value in defaults.items() if key != "name"})


def _places(servers: Any, root: str, above: Place | None, findings: list[Finding]) -> list[Place]:
    """One place for each declaration, whichever way they are written."""
    if servers is None:
        return []
    places: list[Place] = []
    if isinstance(servers, Mapping):
        for key, written in servers.items():
            body = {} if written is None else written
            place = Place(f"{root}[{key}]", body, str(key), above)
            if not isinstance(body, Mapping):
                findings.append(_shape(place.root, "is not a mapping", "Write the fields of the server below it", body))
                continue
            if "name" in body and str(body["name"]) != str(key):
                findings.append(
                    _shape(f"{place.root}.name", f"differs from its key {key}", "Delete it", body["name"], str(key))
                )
            place.written = {**body, "name": key}
            places.append(place)
    elif isinstance(servers, (list, tuple)):
        seen: dict[str, int] = {}
        for index, written in enumerate(servers):
            if not isinstance(written, Mapping):
                findings.append(_shape(f"{root}[{index}]", "is not a mapping", "Write a mapping with a name", written))
                continue
            name = written.get("name")
            label = name if isinstance(name, str) and name else None
            if label is not None and label in seen:
                findings.append(
                    Finding(
                        "spec.duplicate-name",
                        "error",
                        f"is the name of entry {seen[label]} too",
                        field=f"{root}[{index}].name",
                        fix="Choose another name",
                        server=label,
                        origin=name,
                    )
                )
            elif label is not None:
                seen[label] = index
            places.append(Place(f"{root}[{label or index}]", written, label, above))
    else:
        findings.append(_shape(root, "is neither a mapping nor a list", "Write a mapping of servers by name", servers))
    return places


def _validated(place: Place, model: Any, findings: list[Finding]) -> Any:
    written = place.written
    if not isinstance(written, Mapping):
        findings.append(_shape(place.root or "container", "is not a mapping", "Write a mapping of fields", written))
        return None
    try:
        data = _spelled(plain(written))
        base = _spelled(plain(place.above.written)) if place.above is not None else {}
    except Problem as problem:
        findings.append(place.finding(problem.at, problem.message, problem.fix, problem.code))
        return None
    merged = {key: value for key, value in base.items() if value is not None}
    for key, value in data.items():
        if value is None:
            merged.pop(key, None)
        elif key in MERGED and isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    try:
        spec = model.model_validate(merged)
    except ValidationError as error:
        findings += findings_of(error, model, place)
        return None
    if hasattr(spec, "_place"):
        spec._place = place
    return spec


def _spelled(data: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the engine in one spelling before they are merged, unless one mapping has two of the same."""
    arguments = data.get("engine_args")
    if not isinstance(arguments, dict):
        return data
    spelled = {argument_name(key): value for key, value in arguments.items()}
    return data if len(spelled) != len(arguments) else {**data, "engine_args": spelled}


def _shape(field: str, message: str, fix: str, origin: Any, server: str | None = None) -> Finding:
    return Finding("spec.shape", "error", message, field=field, fix=fix, server=server, origin=origin)


def _unique(findings: list[Finding]) -> list[Finding]:
    """Each finding once: a fault in the defaults shows up in every server."""
    return list(dict.fromkeys(findings))


def accepting(servers: Any, defaults: Any, codes: Sequence[str]) -> Any:
    """The declarations, as they were written, with more finding codes that a person decided to live with.

    Done before they are validated, because validation has findings of its own. What is no declaration stays what it is.
    """
    if not codes:
        return servers
    below = defaults.get("accept") if isinstance(defaults, Mapping) else None

    def one(written: Any) -> Any:
        if written is not None and not isinstance(written, Mapping):
            return written
        known = (written or {}).get("accept", below) or []
        more = [*known, *(code for code in codes if code not in known)] if isinstance(known, list) else known
        return {**(written or {}), "accept": more}

    if isinstance(servers, Mapping):
        return {name: one(written) for name, written in servers.items()}
    return [one(written) for written in servers] if isinstance(servers, list) else servers
