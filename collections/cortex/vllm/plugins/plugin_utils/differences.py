# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What differs between a plan and a container, between two plans, and between two declarations: field by field.

Nothing here decides what to do about a difference but its ``kind``: whether a new container is needed (``replace``),
``docker update`` is enough (``in_place``), or nothing follows from it (``cosmetic``: the plan leaves the field open and
the engine's own, configurable, default stands there).
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from . import command_line, engine_defaults, engine_view
from .containers import LABEL_VERSION
from .spec.parts import looks_secret

Kind = Literal["replace", "in_place", "cosmetic"]
#: Why a field differs: a person changed the declaration, the container was changed by hand, the collection writes it
#: otherwise now, or what a name stands for has moved (image tag, model branch, GPU).
Cause = Literal["declared", "drift", "renderer", "resolved"]

HIDDEN = "(hidden)"

#: Fields that ``POST /containers/{id}/update`` can change, and the keys of the update body (Docker API 1.41 … 1.50).
IN_PLACE = {
    "restart_policy": ("RestartPolicy",),
    "memory": ("Memory", "MemorySwap"),
    "memory_swap": ("MemorySwap",),
    "memory_reservation": ("MemoryReservation",),
    "cpus": ("NanoCpus",),
    "cpu_shares": ("CpuShares",),
    "cpuset_cpus": ("CpusetCpus",),
    "cpuset_mems": ("CpusetMems",),
    "pids_limit": ("PidsLimit",),
    "blkio_weight": ("BlkioWeight",),
}
_LABELS_NEVER_COMPARED = frozenset({f"labels.{LABEL_VERSION}"})


@dataclasses.dataclass(frozen=True)
class Difference:
    """One field that differs.

    :ivar field: the field as a person knows it: ``engine_args.max_model_len``, ``ports.8000/tcp``, ``env.NAME``
    :ivar before: what is, as plain JSON; None when it is not there
    :ivar after: what is planned; None when it is to go
    :ivar kind: what it takes
    :ivar cause: why it differs
    """

    field: str
    before: Any
    after: Any
    kind: Kind = "replace"
    cause: Cause = "drift"

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return f"{self.field}: {_short(self.before)} -> {_short(self.after)}"


def compare(
    body: Mapping[str, Any],
    inspect: Mapping[str, Any],
    image_config: Mapping[str, Any] | None,
    salt: str,
    *,
    restart_policy: Mapping[str, Any] | None = None,
    recorded: Mapping[str, Any] | None = None,
    networks: Iterable[str] = (),
    engine: str = "docker",
    cause: Cause = "drift",
) -> list[Difference]:
    """Compare a plan with what the engine reports.

    :param body: ``POST /containers/create`` body, Image = image id
    :param inspect: the engine's inspect, environment values replaced by their digests
    :param image_config: ``Config`` of the image that ``body`` names (``Env`` as a mapping), None when unknown
    :param salt: of the observation, for the digests of environment values
    :param restart_policy: policy that a verified container has; the body's own only holds until then
    :param recorded: create body on record, whose environment values may be shown as ``before``
    :param networks: further networks that the order connects
    :param engine: ``docker`` or ``podman``
    :returns: differences sorted by field; empty when the container is what the body says
    """
    image = image_config or {}
    config, host = inspect.get("Config") or {}, inspect.get("HostConfig") or {}
    planned = _planned(body, image, engine)
    # The image is merged into an inspect by the engine already: what is missing there was taken away by hand.
    actual = engine_view.view(config, host, {}, engine)
    actual["image"] = _image_id(inspect.get("Image"))
    if restart_policy is not None:
        planned["restart_policy"] = engine_view.restart_policy(restart_policy)
    found = [*_engine_choices(body, host, engine), *_mounts(body, inspect), *_networks(body, inspect, networks)]
    variables = _environment(body, config.get("Env") or {}, image, salt, recorded, engine)
    found += variables if image_config is not None else [item for item in variables if item.after is not None]
    if image_config is None:
        # Without the image nobody can tell its own labels, command and health check from hand-made ones.
        _forget_image(planned, actual, body)
    if engine == "podman":
        engine_defaults.forget_podman(planned, actual, body)
    found += _fields(actual, planned)
    found += _hostname(body, inspect)
    return _told(found, cause)


def compare_bodies(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    image_before: Mapping[str, Any] | None,
    image_after: Mapping[str, Any] | None,
    cause: Cause = "renderer",
) -> list[Difference]:
    """Compare two create bodies: the one on record with one rendered now."""
    if image_before == image_after and _unlabelled(before) == _unlabelled(after):
        return []  # the usual case, and a hundred times faster than taking both apart
    flat = []
    for body, image in ((before, image_before or {}), (after, image_after or {})):
        one = _planned(body, image, "docker")
        host = body.get("HostConfig") or {}
        one.update({f"mounts.{target}": text for target, text in engine_view.mounts(body, host).items()})
        one.update({f"env.{name}": value for name, value in environment(body).items()})
        one.update(engine_defaults.chosen(host))
        one["networks"] = sorted(_endpoints(body)) or None
        one["hostname"] = body.get("Hostname") or None
        flat.append(one)
    return _told(_fields(*flat), cause)


def _unlabelled(body: Mapping[str, Any]) -> dict[str, Any]:
    labels = {key: value for key, value in (body.get("Labels") or {}).items() if key != LABEL_VERSION}
    return {**body, "Labels": labels}


def compare_declarations(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Compare two canonical declarations: what a person changed. Secrets are digests and stay hidden."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    found = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            was, now = old.get(name), new.get(name)
            if name.startswith("secrets."):
                was, now = (None if value is None else HIDDEN for value in (was, now))
            found.append(Difference(name, was, now, kind="replace", cause="declared"))
    return found


def environment(body: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a create body as a mapping."""
    return {name: value for name, _sep, value in (str(item).partition("=") for item in body.get("Env") or ())}


def update_body(
    differences: Iterable[Difference], body: Mapping[str, Any], restart_policy: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The body of ``POST /containers/{id}/update`` that brings ``in_place`` differences to the plan."""
    host = {**(body.get("HostConfig") or {}), "RestartPolicy": dict(restart_policy or {"Name": "no"})}
    update: dict[str, Any] = {}
    for difference in differences:
        for key in IN_PLACE.get(difference.field, ()):
            if host.get(key):
                update[key] = host[key]
    if update.get("Memory") and "MemorySwap" not in update:
        # The engine refuses a limit above the old MemorySwap; twice the memory is what it sets by itself.
        update["MemorySwap"] = 2 * update["Memory"]
    return update


def _told(found: Iterable[Difference], cause: Cause) -> list[Difference]:
    """Sorted by field, with their cause; values of fields whose name says that they are secret stay hidden.

    Nothing of ours puts a secret there, but a person may have: ``--api-key`` in a command line, a log driver's token.
    """
    told = []
    for item in found:
        before, after = item.before, item.after
        if _secret(item.field, before, after):
            before, after = (None if value is None else HIDDEN for value in (before, after))
        told.append(dataclasses.replace(item, before=before, after=after, cause=cause))
    return sorted(told, key=lambda item: item.field)


def _secret(field: str, *values: Any) -> bool:
    if looks_secret(field.replace(".", "_")):
        return True
    names = [key for value in values if isinstance(value, dict) for key in value]
    names += [word for value in values if isinstance(value, str) and field == "arguments" for word in value.split()]
    return any(looks_secret(name.partition("=")[0]) for name in names)


def _planned(body: Mapping[str, Any], image: Mapping[str, Any], engine: str) -> dict[str, Any]:
    planned = engine_view.view(body, body.get("HostConfig") or {}, image, engine)
    planned["image"] = _image_id(body.get("Image"))
    return planned


def _image_id(value: Any) -> str:
    return str(value or "").removeprefix("sha256:")


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    found = []
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new or name in _LABELS_NEVER_COMPARED:
            continue
        if name == "command":
            found += arguments(old or [], new or [])
            continue
        kind: Kind = "replace"
        if name.startswith("ulimits.") and new is None:
            kind = "cosmetic"
        elif name in IN_PLACE and new:  # an update cannot take a limit away: 0 means "leave it"
            kind = "in_place"
        if name == "image":
            old, new = (f"sha256:{item}" if item else None for item in (old, new))
        found.append(Difference(name, old, new, kind))
    return found


def arguments(before: list[str], after: list[str]) -> list[Difference]:
    """Differences of two command lines, named by option; another order alone is cosmetic."""
    if before == after:
        return []
    old, new = command_line.options(before), command_line.options(after)
    found = [
        Difference(f"arguments.{name}", old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return found or [Difference("arguments", " ".join(before), " ".join(after), "cosmetic")]


def _environment(
    body: Mapping[str, Any],
    reported: Mapping[str, str],
    image: Mapping[str, Any],
    salt: str,
    recorded: Mapping[str, Any] | None,
    engine: str,
) -> list[Difference]:
    """Reported values are ``hmac-sha256(salt, value)``; ours are brought into the same form."""
    key = salt.encode()
    inherited = image.get("Env") or {}
    planned = {**inherited, **environment(body)}
    known = environment(recorded or {})
    found = []
    for name in planned.keys() | reported.keys():
        value, digest = planned.get(name), reported.get(name)
        if value is not None and digest == hmac.digest(key, value.encode(), "sha256").hex():
            continue
        if value is None and engine == "podman" and name in engine_view.PODMAN_ENVIRONMENT:
            continue
        before = None if digest is None else HIDDEN
        for candidate in (known.get(name), inherited.get(name)):
            if digest and candidate is not None and hmac.digest(key, candidate.encode(), "sha256").hex() == digest:
                before = candidate
        found.append(Difference(f"env.{name}", before, value))
    return found


def _engine_choices(body: Mapping[str, Any], host: Mapping[str, Any], engine: str) -> list[Difference]:
    asked = body.get("HostConfig") or {}
    planned, actual = engine_defaults.chosen(asked), engine_defaults.chosen(host)
    found = []
    for name, new in planned.items():
        old = actual[name]
        if old == new or (name == "log_options" and not planned["log_driver"]):
            continue
        if engine == "podman" and engine_defaults.podman_hides(name, old, new):
            continue
        kind: Kind = "in_place" if name in IN_PLACE else "replace"
        if new is None:
            if name in {"masked_paths", "read_only_paths"}:
                # Opened by hand: an empty list where the engine hides some; privileged containers have none anyway.
                if old == [] and not host.get("Privileged"):
                    found.append(Difference(name, [], None, "replace"))
                continue
            if engine_defaults.is_default(name, old, asked, host):
                continue
            kind = "cosmetic" if name in engine_defaults.ENGINES_CHOICE else kind
            if name == "memory_swap":
                kind = "replace"
        elif name == "memory_swappiness" and old is None:
            continue  # cgroup v2 has none: the engine drops it
        found.append(Difference(name, old, new, kind))
    return found


def _mounts(body: Mapping[str, Any], inspect: Mapping[str, Any]) -> list[Difference]:
    planned = engine_view.mounts(body, body.get("HostConfig") or {})
    actual = engine_view.effective_mounts(inspect)
    found = []
    for target in planned.keys() | actual.keys():
        old, new = actual.get(target), planned.get(target)
        # An anonymous volume comes from a VOLUME of the image, never from a person.
        if old == new or (new is None and engine_view.anonymous(old or "")):
            continue
        found.append(Difference(f"mounts.{target}", old, new))
    return found


def _endpoints(body: Mapping[str, Any]) -> dict[str, Any]:
    return dict((body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {})


def _networks(body: Mapping[str, Any], inspect: Mapping[str, Any], networks: Iterable[str]) -> list[Difference]:
    """Networks by name: the only part beside limits that can change while a container stays (network connect)."""
    mode = str((body.get("HostConfig") or {}).get("NetworkMode") or "default")
    mode = "bridge" if mode == "default" else mode
    if mode.startswith("container:"):
        return []
    endpoints = _endpoints(body)
    planned = {mode, *endpoints, *networks}
    actual = (inspect.get("NetworkSettings") or {}).get("Networks")
    if actual is None:
        return []
    names = {"bridge" if name == "podman" and "podman" not in planned else name for name in actual}
    found = [] if names == planned else [Difference("networks", sorted(names), sorted(planned))]
    short = str(inspect.get("Id") or "")[:12]
    for name, endpoint in endpoints.items():
        new = {str(item) for item in (endpoint or {}).get("Aliases") or ()}
        old = {str(item) for item in (actual.get(name) or {}).get("Aliases") or ()} - {
            short,
            str(inspect.get("Name") or "").lstrip("/"),
        }
        if name in actual and old != new:
            found.append(Difference(f"networks.{name}.aliases", sorted(old), sorted(new)))
    return found


def _hostname(body: Mapping[str, Any], inspect: Mapping[str, Any]) -> list[Difference]:
    """Left open, the engine takes the short id; with the host's network it is the host's name."""
    new, old = body.get("Hostname"), (inspect.get("Config") or {}).get("Hostname")
    mode = str((inspect.get("HostConfig") or {}).get("NetworkMode") or "")
    if new == old or (
        not new and (not old or str(inspect.get("Id") or "").startswith(old) or mode == "host" or ":" in mode)
    ):
        return []
    return [Difference("hostname", old, new or None)]


def _forget_image(planned: dict[str, Any], actual: dict[str, Any], body: Mapping[str, Any]) -> None:
    """Drop from both sides what only the image's configuration could explain."""
    labels = body.get("Labels") or {}
    dropped = {name for name in actual if name.startswith("labels.") and name[7:] not in labels}
    for name, key in (
        ("entrypoint", "Entrypoint"),
        ("user", "User"),
        ("working_dir", "WorkingDir"),
        ("stop_signal", "StopSignal"),
    ):
        if not body.get(key):
            dropped.add(name)
    if not body.get("Cmd") and not body.get("Entrypoint"):
        dropped.add("command")
    if not body.get("Healthcheck"):
        dropped.update(name for name in actual if name.startswith("healthcheck."))
    for name in dropped:
        planned.pop(name, None)
        actual.pop(name, None)


def _leaves(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Flatten mappings to dotted names; lists and scalars are leaves. Nothing (None, {}, []) is left out."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    elif value is not None and value != []:
        yield prefix, value


def _short(value: Any, limit: int = 120) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
