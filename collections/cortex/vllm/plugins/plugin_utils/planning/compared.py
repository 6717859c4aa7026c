# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Differences of one server, classed: declared, drift, renderer, resolved, in place, cosmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ..differences import Difference, Kind, compare, compare_bodies, compare_declarations
from ..observation import Observation
from . import intact
from .orders import expected_policy
from .prepare import Prepared

#: Fields of a declaration that no container ever sees.
RECORD_ONLY = frozenset(
    {
        "accept",
        "held",
        "name",
        "probe",
        "prove",
        "pull",
        "restart_when_hung",
        "start_timeout",
        "state",
        "vllm_version",
        "warm_cache",
    }
)
#: Fields of a body that stand for something a name was resolved to.
_RESOLVED = ("image", "gpus", "env.NVIDIA_VISIBLE_DEVICES", "arguments.--revision", "arguments.--tokenizer-revision")
#: What follows from any other difference: the directory of files of a generation.
_CONSEQUENCES = ("labels.cortex.vllm.generation", "mounts./etc/nccl.conf", "mounts./run/cortex-vllm")


@dataclasses.dataclass
class Compared:
    """All differences of one server.

    :ivar declared: a person changed them; the in-place ones among them are named as the engine names them
    :ivar drift: changed by hand on the host
    :ivar files: what it mounts and somebody changed, in place where it can be put back
    :ivar rendered: the collection, or what a name stands for, moved; not acted on without a reason
    """

    declared: list[Difference] = dataclasses.field(default_factory=list)
    drift: list[Difference] = dataclasses.field(default_factory=list)
    rendered: list[Difference] = dataclasses.field(default_factory=list)
    body: list[Difference] = dataclasses.field(default_factory=list)
    files: list[Difference] = dataclasses.field(default_factory=list)

    @property
    def all(self) -> list[Difference]:
        return [*self.declared, *self.drift, *self.files, *self.rendered]

    @property
    def mendable(self) -> bool:
        """Whether changed files can be put back as they were."""
        return bool(self.files) and all(item.kind == "in_place" for item in self.files)

    @property
    def classes(self) -> list[str]:
        found = {item.kind if item.kind != "replace" else item.cause for item in self.all}
        found |= {item.cause for item in self.all if item.kind != "cosmetic"}
        return sorted(found)


def compare_all(ready: Prepared, observation: Observation) -> Compared:
    """Compare the declaration with the recorded one, the container with the record, the rendering with the record."""
    committed, container, rendered = ready.server.committed, ready.container, ready.rendered
    result = Compared()
    if not committed or container is None:
        return result
    body = committed.get("body") or {}
    engine = str(observation.engine.get("name") or "docker")
    old_config = _config(observation, committed.get("image_id"))
    if rendered is not None:
        new_config = _config(observation, ready.image_id) or (ready.image or {}).get("config")
        result.body = compare_bodies(body, rendered.body, old_config, new_config)
    if committed.get("declaration_hash") != ready.declaration_hash:
        result.declared = _declared(committed.get("declaration") or {}, ready, result.body)
    if all(item.kind == "cosmetic" for item in result.declared):
        # Also when only the hash differs: a newer collection knows more fields, and nobody declared one of them.
        result.rendered = [_caused(item) for item in _without_consequences(result.body)]
    policy = expected_policy(ready)
    if not container.running:
        policy = None  # a stopped one has `no` by design; it gets its policy back when it answers
    drift = compare(
        body,
        container.raw,
        old_config,
        observation.salt,
        restart_policy=policy,
        recorded=body,
        networks=[str(name) for name in (committed.get("declaration") or {}).get("networks") or ()],
        engine=engine,
    )
    result.drift = [item for item in drift if item.field != "restart_policy" or policy is not None]
    if container.id == committed.get("container_id"):
        result.drift = [_same_container(item) for item in result.drift]
    if result.declared:
        # What a person changed in place shows as "drift" of the container too: told once, as declared.
        own = {item.field for item in result.declared} | {item.field for item in result.body}
        result.drift = [item for item in result.drift if item.field not in own]
    if engine == "podman":
        result.declared, result.rendered, result.drift, result.body = (
            [_on_podman(item) for item in part]
            for part in (result.declared, result.rendered, result.drift, result.body)
        )
    result.files = intact.damage(ready)
    return result


def _on_podman(item: Difference) -> Difference:
    """Its Docker API changes no living container (4.3 has no /update), and a limit of processes that nobody declared is
    an administrator's default: a replacement would bring the same one back.
    """
    if item.field == "pids_limit" and item.after is None:
        return dataclasses.replace(item, kind="cosmetic")
    return dataclasses.replace(item, kind="replace") if item.kind == "in_place" else item


def _same_container(item: Difference) -> Difference:
    """A container keeps what it was created with: only limits, restart policy and networks can change under one id.

    Anything else is an engine that reports its own way of writing it (an unknown release, a daemon-wide default), and
    replacing the server would not end it.
    """
    if item.kind != "replace" or item.field.startswith(
        ("networks", "memory", "cpu", "pids_limit", "blkio_weight", "name")
    ):
        return item
    return dataclasses.replace(item, kind="cosmetic")


def _declared(before: Mapping[str, Any], ready: Prepared, body: list[Difference]) -> list[Difference]:
    """What a person changed. A field that a newer collection adds, at its default, was changed by nobody."""
    defaults = _defaults(ready.spec)
    found = []
    for item in compare_declarations(before, ready.declaration):
        root = item.field.partition(".")[0]
        if root not in before and root in defaults and ready.declaration.get(root) == defaults[root]:
            continue
        if root not in ready.declaration:
            continue
        found.append(dataclasses.replace(item, kind=_kind_of_declared(root, body, ready.rendered is not None)))
    return found


def _kind_of_declared(root: str, body: list[Difference], rendered: bool) -> Kind:
    """What a changed field of the declaration takes, seen from what it does to the create body."""
    if root == "restart_policy":
        return "in_place"  # never in the body: it is set once the server is verified
    if root == "networks":
        return "replace"  # not in the body either: connected after the creation
    if root in RECORD_ONLY or (rendered and not body):
        return "cosmetic"
    return "in_place" if body and all(item.kind == "in_place" for item in body) else "replace"


def _defaults(spec: Any) -> dict[str, Any]:
    fields = getattr(type(spec), "model_fields", None) or {}
    minimal = {
        name: field.get_default(call_default_factory=True) for name, field in fields.items() if not field.is_required()
    }
    try:
        return dict(type(spec).model_construct(**{**dict(spec), **minimal}).canonical({}))
    except (AttributeError, TypeError, ValueError):
        return {}


def _without_consequences(body: Iterable[Difference]) -> list[Difference]:
    items = list(body)
    meant = [item for item in items if item.field not in _CONSEQUENCES]
    return meant or items


def _caused(item: Difference) -> Difference:
    return dataclasses.replace(item, cause="resolved") if item.field.startswith(_RESOLVED) else item


def _config(observation: Observation, image_id: Any) -> Mapping[str, Any] | None:
    entry = observation.image(str(image_id)) if image_id else None
    return (entry or {}).get("config")
