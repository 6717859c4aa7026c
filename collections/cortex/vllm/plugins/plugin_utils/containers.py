# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""A container of a host, as its engine inspects it: whose it is, whether it runs, what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

LABEL_SERVER = "cortex.vllm.server"
LABEL_GENERATION = "cortex.vllm.generation"
LABEL_VERSION = "cortex.vllm.version"


def container_name(server: str) -> str:
    """The name of the container of a declared server."""
    return f"cortex-vllm-{server}"


@dataclass(frozen=True)
class Container:
    """One container as the engine inspects it (trimmed; environment values are digests)."""

    raw: Mapping[str, Any] = field(repr=False)
    #: The server that has this very container on record; it says whose one is that was taken over, and has no label.
    owner: str | None = None

    @property
    def id(self) -> str:
        return str(self.raw.get("Id") or "")

    @property
    def name(self) -> str:
        """Name without the engine's leading slash."""
        return str(self.raw.get("Name") or "").lstrip("/")

    @property
    def image_id(self) -> str:
        return str(self.raw.get("Image") or "")

    @property
    def state(self) -> Mapping[str, Any]:
        return self.raw.get("State") or {}

    @property
    def running(self) -> bool:
        return bool(self.state.get("Running"))

    @property
    def restarting(self) -> bool:
        """The engine's restart policy is at work: it died and waits to be started again."""
        return bool(self.state.get("Restarting"))

    @property
    def exit(self) -> dict[str, Any]:
        """Exit state in the form of the journal: ``{code, oom, error}``."""
        return {
            "code": self.state.get("ExitCode"),
            "oom": bool(self.state.get("OOMKilled")),
            "error": self.state.get("Error") or "",
        }

    @cached_property
    def labels(self) -> Mapping[str, str]:
        return (self.raw.get("Config") or {}).get("Labels") or {}

    @property
    def server(self) -> str | None:
        """Name of the server if the container is one of ours."""
        return self.labels.get(LABEL_SERVER) or self.owner

    @cached_property
    def gpus(self) -> frozenset[str]:
        """What its device requests name (UUIDs where we made it); ``{"all"}`` for a request without names."""
        return gpus_of(self.raw.get("HostConfig") or {})

    @cached_property
    def published(self) -> frozenset[tuple[str, int]]:
        """(address, port) on the host that it publishes when it runs."""
        found = set()
        for bindings in ((self.raw.get("HostConfig") or {}).get("PortBindings") or {}).values():
            for binding in bindings or ():
                port = str(binding.get("HostPort") or "")
                if port.isdigit():
                    found.add((str(binding.get("HostIp") or "0.0.0.0"), int(port)))
        return frozenset(found)


def gpus_of(host_config: Mapping[str, Any]) -> frozenset[str]:
    """GPUs that a ``HostConfig`` asks for: UUIDs or CDI names, ``all`` for a request without names."""
    found: set[str] = set()
    for request in host_config.get("DeviceRequests") or ():
        ids = request.get("DeviceIDs") or ()
        if ids:
            found.update(str(item).removeprefix("nvidia.com/gpu=") for item in ids)
        elif request.get("Count"):
            found.add("all")
    return frozenset(found)
