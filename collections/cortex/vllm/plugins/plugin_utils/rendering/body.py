# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The body of ``POST /containers/create`` that every declaration becomes, and what goes with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..findings import Finding, accepted
from ..spec import MOUNT_FILES, Declaration, Mount
from .generation import digests, generation_of
from .images import ImageFacts
from .mounts import rendered_mounts

LABEL_SERVER = "cortex.vllm.server"
LABEL_GENERATION = "cortex.vllm.generation"
LABEL_KIND = "cortex.vllm.kind"

NANO = 1_000_000_000
#: Capabilities given back after all were dropped, with the reason. None is needed: vLLM runs as its image's user,
#: opens no low port, and its workers are its own children. What a special image needs goes into ``cap_add``.
CAPABILITIES: dict[str, str] = {}


@dataclass(frozen=True)
class Rendered:
    """Everything that the target needs in order to run one declaration.

    :ivar entrypoint: program of the image (or as declared), before ``argv``
    :ivar argv: its arguments
    :ivar env: environment of the container, without secrets
    :ivar files: files of the generation: ``path``, ``mode``, ``content``
    :ivar secret_names: variables that become 0400 files
    :ivar directories: directories below the state directory: ``path``, ``mode``
    :ivar body: create body; its restart policy is ``no``
    :ivar probe: how readiness is proven
    :ivar generation: name of the generation
    :ivar digests: variable to digest of its secret
    :ivar findings: what is wrong or uncertain, after ``accept``
    :ivar networks: further networks to connect
    :ivar verified_restart_policy: for the container that has proven itself
    :ivar gpu_locks: UUIDs of the GPUs
    :ivar start_timeout: seconds until a start has failed
    :ivar stop_timeout: seconds from SIGTERM to SIGKILL
    :ivar user: numeric ``uid`` and ``gid`` that own the secrets and directories
    """

    container_name: str
    entrypoint: list[str]
    argv: list[str]
    env: dict[str, str]
    files: list[dict[str, str]]
    secret_names: list[str]
    directories: list[dict[str, str]]
    body: dict[str, Any]
    probe: dict[str, Any]
    generation: str
    digests: dict[str, str]
    gpu_locks: list[str]
    start_timeout: float
    stop_timeout: float
    user: dict[str, int]
    image: ImageFacts
    verified_restart_policy: dict[str, Any]
    networks: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Process:
    """What runs inside: the part of a body that servers and plain containers make differently.

    :ivar launched: whether the launcher runs it
    :ivar devices: devices of the host beside those that somebody declared
    :ivar ports: ``(address, host port, "8000/tcp")`` to publish
    :ivar healthcheck: of the body, if any
    """

    entrypoint: list[str]
    argv: list[str]
    env: dict[str, str]
    files: list[dict[str, str]]
    ports: list[tuple[str, int, str]]
    launched: bool = True
    devices: list[str] = field(default_factory=list)
    healthcheck: dict[str, Any] | None = None


def container_name(name: str) -> str:
    """Name of the container of a declaration."""
    return f"cortex-vllm-{name}"


def assemble(
    spec: Declaration,
    image: ImageFacts,
    process: Process,
    gpus: Sequence[str],
    mounts: Any,
    salt: str,
    host: Mapping[str, Any] | None,
    *,
    kind: str,
) -> tuple[dict[str, Any], str, list[dict[str, str]], dict[str, str]]:
    """Body, generation, files and digests.

    :param mounts: a function from the generation's name to the mounts: the path of the generation holds its name, so
        the name is made from everything else first
    """
    secret_digests = digests(spec.secret_values(), salt)
    nameless = _body(spec, image, process, gpus, mounts(""), host, kind)
    generation = generation_of(nameless, process.files, secret_digests)
    body = _body(spec, image, process, gpus, mounts(generation), host, kind)
    body["Labels"][LABEL_GENERATION] = generation
    files = list(process.files)
    if process.launched:
        # For the launcher's count of failed starts; not part of what the name is made from.
        files.append({"path": "generation", "mode": "0444", "content": f"{generation}\n"})
    return body, generation, files, secret_digests


def owner(spec: Declaration, image: ImageFacts, findings: list[Finding]) -> dict[str, int]:
    """Who the process is, for the files and directories that it must read and write."""
    found = spec.uid_gid or image.uid_gid()
    if found is None:
        findings.extend(
            accepted(
                [
                    Finding(
                        "image.user-name",
                        "error",
                        f"the image runs as {image.user!r}, and the host cannot know that user's number",
                        field=spec.where("user"),
                        fix=f'Write user: "uid:gid", as "docker run --entrypoint id {image.ref}" prints them',
                        server=spec.name,
                    )
                ],
                spec.accept,
            )
        )
        found = (0, 0)
    return {"uid": found[0], "gid": found[1]}


def restart_policy(name: str) -> dict[str, Any]:
    """A policy as the engine reports it."""
    return {"Name": name, "MaximumRetryCount": 0}


def verified_policy(spec: Declaration, host: Mapping[str, Any] | None) -> dict[str, Any]:
    """The policy of a container that has proven itself.

    Podman has no daemon: after a boot podman-restart.service starts what has the policy `always`, and nothing of
    `unless-stopped` (podman 4.3, contrib/systemd). Both are one otherwise (libpod/define/container.go).
    """
    name = spec.restart_policy
    return restart_policy("always" if engine_name(host) == "podman" and name == "unless-stopped" else name)


def created_policy(spec: Declaration, host: Mapping[str, Any] | None) -> dict[str, Any]:
    """The policy that a container is created with: none until it has proven itself, where that can be changed later.

    Podman's Docker API cannot change a container (4.3: no /update). What fails there is removed by the job, which ends
    the restarts too.
    """
    return verified_policy(spec, host) if engine_name(host) == "podman" else restart_policy("no")


def engine_name(host: Mapping[str, Any] | None) -> str | None:
    """``docker`` or ``podman``, from what was observed."""
    engine = (host or {}).get("engine")
    return engine.get("name") if isinstance(engine, Mapping) else engine


def _body(
    spec: Declaration,
    image: ImageFacts,
    process: Process,
    gpus: Sequence[str],
    mounts: Sequence[Mount],
    host: Mapping[str, Any] | None,
    kind: str,
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "Image": image.id or image.ref,
        "Env": [f"{name}={value}" for name, value in sorted(process.env.items())],
        "Labels": {**spec.labels, LABEL_SERVER: spec.name, LABEL_KIND: kind},
        "StopTimeout": math.ceil(spec.effective_stop_timeout),
        "HostConfig": _host_config(spec, process, gpus, mounts, host),
    }
    if process.launched:
        body["Entrypoint"] = ["/bin/sh", f"{MOUNT_FILES}/launch.sh"]
        body["Cmd"] = [*process.entrypoint, *process.argv]
    else:
        body |= {"Entrypoint": process.entrypoint} if process.entrypoint else {}
        body |= {"Cmd": process.argv} if process.argv else {}
    if spec.user is not None:
        body["User"] = spec.user
    if process.ports:
        body["ExposedPorts"] = {inner: {} for _address, _port, inner in process.ports}
    if process.healthcheck:
        body["Healthcheck"] = process.healthcheck
    return body


def _host_config(
    spec: Declaration,
    process: Process,
    gpus: Sequence[str],
    mounts: Sequence[Mount],
    host: Mapping[str, Any] | None,
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": spec.network,
        "RestartPolicy": created_policy(spec, host),
        "Init": spec.init,
        "IpcMode": spec.ipc,
        "CapDrop": ["ALL"],
        "CapAdd": sorted({*CAPABILITIES, *spec.cap_add}),
        "SecurityOpt": ["no-new-privileges", *spec.security_opt],
        "LogConfig": {"Type": spec.log.driver, "Config": dict(spec.log.options)},
        **rendered_mounts(mounts, selinux=(host or {}).get("selinux") == "enforcing"),
    }
    if spec.ipc != "host":
        config["ShmSize"] = spec.effective_shm_size()
    limits = spec.effective_ulimits()
    if limits:
        config["Ulimits"] = [
            {"Name": name, "Soft": limits[name].soft, "Hard": limits[name].hard} for name in sorted(limits)
        ]
    if spec.memory is not None:
        # Weights in swap are worse than a clear end.
        config |= {"Memory": spec.memory, "MemorySwap": spec.memory}
    if spec.cpus is not None:
        config["NanoCpus"] = int(spec.cpus * NANO)
    devices = [*spec.devices, *process.devices]
    if devices:
        config["Devices"] = [
            {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"} for path in devices
        ]
    if gpus:
        config["DeviceRequests"] = [_device_request(spec, gpus, host)]
    if process.ports and spec.network != "host":
        bindings: dict[str, list[dict[str, str]]] = {}
        for address, port, inner in process.ports:
            bindings.setdefault(inner, []).append({"HostIp": address, "HostPort": str(port)})
        config["PortBindings"] = bindings
    return config


def _device_request(spec: Declaration, gpus: Sequence[str], host: Mapping[str, Any] | None) -> dict[str, Any]:
    """GPUs by UUID: NVIDIA's driver of device requests, or names of the Container Device Interface.

    podman knows only CDI (names as ``nvidia-ctk cdi generate`` makes them).
    """
    if spec.gpu_access == "cdi" or (spec.gpu_access == "auto" and engine_name(host) == "podman"):
        return {"Driver": "cdi", "Count": 0, "DeviceIDs": [f"nvidia.com/gpu={uuid}" for uuid in gpus]}
    return {"Driver": "nvidia", "Count": 0, "DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}
