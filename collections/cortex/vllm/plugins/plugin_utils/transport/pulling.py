# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Pulling an image onto a host: in slices, with its progress, with the credentials of its registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..findings import Finding, FindingsError
from ..following import SLICE, Remote
from ..observation import SCHEMA

#: Seconds without a new byte after which a pull is given up.
STALL = 600.0


class PullError(Exception):
    """An image could not be pulled; ``str()`` says why and what to do.

    :ivar findings: the same as a finding of the task's result
    """

    def __init__(self, message: str, code: str = "image.registry") -> None:
        super().__init__(message)
        self.findings = [Finding(code, "error", message, "image").as_dict()]


def registry_of(reference: str) -> str:
    """The registry that a reference names; ``docker.io`` when it names none.

    Source: distribution/reference, splitDockerDomain: the first part is a host when it has a dot or a port, is
    ``localhost``, or has a capital letter.
    """
    head, slash, _rest = reference.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost" or head != head.lower()):
        return "docker.io" if head in {"index.docker.io", "registry-1.docker.io"} else head
    return "docker.io"


def checked(registries: Any, field: str = "registries") -> dict[str, dict[str, str]]:
    """Credentials as they were declared: ``{registry: {username, password}}``.

    :raises FindingsError: ``spec.shape``; no value is shown
    """
    known: dict[str, dict[str, str]] = {}
    for name, login in (registries or {}).items():
        where = f"{field}[{name}]"
        if "/" in str(name):
            fix = "Write the registry's host and port, such as registry.example.com:5000."
            raise FindingsError([Finding("spec.shape", "error", "is no registry", where, fix)])
        fine = isinstance(login, Mapping) and set(login) == {"username", "password"}
        if not fine or not all(isinstance(value, str) and value for value in login.values()):
            fix = "Write a mapping of username and password, both text."
            raise FindingsError([Finding("spec.shape", "error", "is no login", where, fix)])
        known[registry_of(f"{name}/x") if name != "docker.io" else name] = {k: str(v) for k, v in login.items()}
    return known


def pull(
    remote: Remote,
    state_dir: str,
    reference: str,
    force: bool = False,
    before: str | None = None,
    registries: Mapping[str, Mapping[str, str]] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Pull one image.

    :param force: ask the registry although the host has an image of this name
    :param before: id of the image that has this name now
    :param registries: logins by registry; they travel beside the request and stay in the memory of the job
    :returns: whether the host has another image of this name now
    :raises PullError: when the engine could not pull it, or stands still
    """
    request: dict[str, Any] = {"schema": SCHEMA, "state_dir": state_dir, "image": reference, "budget": SLICE}
    if force:
        request["force"] = True
    login = (registries or {}).get(registry_of(reference))
    secrets = {"registry": dict(login)} if login else None
    said, moved, received = "", clock(), -1
    while True:
        answer = remote("fetch", request, secrets) if secrets else remote("fetch", request)
        if answer.get("pull"):
            request["pull"] = answer["pull"]
        advance = answer.get("progress") or {}
        if answer.get("done"):
            if not answer.get("image_id"):
                why = str(answer.get("message") or "the engine does not say why").rstrip(".")
                fix = " Set `pull: never` if no registry has it." if force else ""
                said = why if reference in why else f"image {reference} could not be fetched: {why}"
                raise PullError(f"{remote.host}: {said}.{fix}", str(answer.get("code") or "image.registry"))
            if answer["image_id"] == before:
                return False
            remote.say(f"[{remote.host}] image {reference}: fetched")
            return True
        line = f"[{remote.host}] image {reference}: {progress(advance)}"
        if line != said:
            remote.say(line)
            said = line
        now = clock()
        if int(advance.get("bytes") or 0) != received:
            received, moved = int(advance.get("bytes") or 0), now
        elif now - moved > STALL:
            raise PullError(
                f"{remote.host}: image {reference}: nothing came for {STALL:.0f} s. "
                "Check the registry and the host's network."
            )


def progress(advance: Mapping[str, Any]) -> str:
    """``12 of 20 layers, 3.2 of 9.1 GiB`` from the progress of step ``fetch``."""
    parts = []
    if advance.get("layers"):
        parts.append(f"{advance.get('done') or 0} of {advance['layers']} layers")
    if advance.get("total"):
        parts.append(f"{(advance.get('bytes') or 0) / 2**30:.1f} of {advance['total'] / 2**30:.1f} GiB")
    return ", ".join(parts) or "asking the registry"
