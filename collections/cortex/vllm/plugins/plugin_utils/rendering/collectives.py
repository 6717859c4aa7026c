# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What a server's ``nccl`` puts into its container: file, variables, arguments, devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .. import nccl as knowledge
from ..catalog import Release
from ..findings import Finding, accepted
from ..spec import Mount, Nccl, ServerSpec

#: The file inside of the generation.
FILE = "nccl.conf"


@dataclasses.dataclass(frozen=True)
class Collectives:
    """Nothing of it, when nothing was declared."""

    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    devices: list[str] = dataclasses.field(default_factory=list)
    files: list[dict[str, str]] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def mounts(self, own: str) -> list[Mount]:
        """Where NCCL looks, the file of the generation.

        :param own: the mount's source of the generation's files
        """
        return [Mount(source=f"{own}/{FILE}", target=knowledge.CONF)] if self.files else []


def collectives(spec: ServerSpec, release: Release, gpus: Sequence[str], host: Mapping[str, Any] | None) -> Collectives:
    """Resolve ``nccl`` on the host.

    :param host: ``network``, ``gpus`` and ``collectives`` of an observation
    """
    if spec.nccl is None and spec.nodes is None:
        return Collectives()
    nodes = spec.nodes
    facts = knowledge.facts_of(
        host,
        gpus,
        address=nodes.own.address if nodes is not None else None,
        nodes=len(nodes.hosts) if nodes is not None else 1,
        shares_network=spec.network == "host",
    )
    resolved = knowledge.resolve(spec.nccl or Nccl(), facts, release)
    findings = [
        Finding(
            code, severity, message, field=spec.where("nccl", *field), fix=fix, server=spec.name,
            origin=spec.origin("nccl", *field),
        )
        for severity, code, message, fix, field in resolved.notes
    ]  # fmt: skip
    findings += [
        Finding(
            "environment.conflict", "warning", "says otherwise than nccl, and wins", field=spec.where("env", item.name),
            fix="Delete it, or write it as a field of nccl", server=spec.name, origin=spec.origin("env", item.name),
        )
        for item in resolved.settings
        if spec.env.get(item.name, item.value) != item.value
    ]  # fmt: skip
    files = []
    if any(mount.target == knowledge.CONF for mount in spec.mounts):
        text = f"{knowledge.CONF} is mounted already: what nccl says for it is not written"
        findings.append(
            Finding("environment.conflict", "warning", text, field=spec.where("mounts"), fix="Delete that mount",
                    server=spec.name)
        )  # fmt: skip
    elif resolved.file or resolved.left:
        files.append({"path": FILE, "mode": "0444", "content": knowledge.conf(resolved)})
    return Collectives(
        environment=resolved.environment,
        arguments={name: value for name, value in resolved.arguments.items() if not _declared(spec, release, name)},
        # Somebody who names devices below it knows which ones are needed.
        devices=[
            path for path in resolved.devices if not any(f"{own}/".startswith(f"{path}/") for own in spec.devices)
        ],
        files=files,
        findings=accepted(findings, spec.accept),
    )


def _declared(spec: ServerSpec, release: Release, name: str) -> bool:
    """Whether somebody wrote the argument in ``engine_args``, in whichever spelling."""
    flag = release.flag(name)
    return any(written == name or (flag is not None and release.flag(written) == flag) for written in spec.engine_args)


__all__ = ["FILE", "Collectives", "collectives"]
