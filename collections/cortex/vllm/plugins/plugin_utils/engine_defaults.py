# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Fields that a plan may leave to the engine: what it, or its administrator in daemon.json, then chooses.

Left open and found at a known default, such a field does not differ. At any other value it is told and never acted on:
replacing the container would only bring the same value back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Left open by a plan, these are the engine's (or its administrator's) to choose: daemon.json has a default for each.
ENGINES_CHOICE = (
    "shm_size",
    "log_driver",
    "log_options",
    "runtime",
    "ipc_mode",
    "cgroupns_mode",
    "cgroup_parent",
    "ulimits.",
)


def chosen(host: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a HostConfig whose default is the engine's or its administrator's; None: left open."""
    log = host.get("LogConfig") or {}
    return {
        "shm_size": host.get("ShmSize") or None,
        "log_driver": log.get("Type") or None,
        "log_options": {key: str(value) for key, value in sorted((log.get("Config") or {}).items())} or None,
        "runtime": host.get("Runtime") or None,
        "ipc_mode": host.get("IpcMode") or None,
        "cgroupns_mode": host.get("CgroupnsMode") or None,
        "cgroup_parent": host.get("CgroupParent") or None,
        "memory_swap": host.get("MemorySwap") or None,
        "memory_swappiness": host.get("MemorySwappiness"),
        "masked_paths": sorted(host["MaskedPaths"]) if host.get("MaskedPaths") is not None else None,
        "read_only_paths": sorted(host["ReadonlyPaths"]) if host.get("ReadonlyPaths") is not None else None,
    }


#: What engines write where a plan says nothing (moby daemon_unix.go: adaptContainerSettings).
DEFAULTS: dict[str, frozenset[Any]] = {
    "shm_size": frozenset({64 << 20, 65_536_000}),
    "ipc_mode": frozenset({"private", "shareable"}),
    "runtime": frozenset({"runc", "crun", "oci", "io.containerd.runc.v2", "nvidia"}),
    "log_driver": frozenset({"json-file", "local", "journald", "k8s-file"}),
    "cgroupns_mode": frozenset({"host", "private"}),
    "memory_swappiness": frozenset({-1, 0}),
}


def is_default(name: str, value: Any, asked: Mapping[str, Any], host: Mapping[str, Any]) -> bool:
    """Whether an engine may report ``value`` for a field that the plan leaves open.

    :param asked: ``HostConfig`` of the body
    :param host: ``HostConfig`` of the inspect
    """
    if name == "memory_swap":
        limits = [one.get("Memory") or 0 for one in (asked, host)]
        return value in (-1, *limits, *(2 * limit for limit in limits))
    return isinstance(value, (str, int)) and value in DEFAULTS.get(name, ())


def podman_hides(name: str, reported: Any, planned: Any) -> bool:
    """Whether podman's Docker API reports this field without regard to what was asked (seen with 4.3).

    Options of the log driver are left out, and a private IPC namespace is called shareable.
    """
    return (name == "log_options" and reported is None) or (
        name == "ipc_mode" and (reported, planned) == ("shareable", "private")
    )


#: containers-common, `pids_limit`.
PODMAN_PIDS_LIMIT = 2048


def forget_podman(planned: dict[str, Any], actual: dict[str, Any], body: Mapping[str, Any]) -> None:
    """Drop what podman's Docker API cannot show from both flat views (seen with 4.3).

    Device requests are never reported, an image's health check is not shown with the image, a stop timeout that nobody
    asked for reads 0, and every container gets limits of its own: open files, processes of the user, and processes
    (`pids_limit` of containers.conf, 2048 where nobody changed it).
    """
    hidden = set()
    if planned.get("pids_limit") is None and actual.get("pids_limit") == PODMAN_PIDS_LIMIT:
        hidden.add("pids_limit")
    if not any(name.startswith("gpus") for name in actual):
        hidden |= {name for name in planned if name.startswith("gpus")}
    if not body.get("Healthcheck"):
        hidden |= {name for name in actual if name.startswith("healthcheck.")}
    if body.get("StopTimeout") is None:
        hidden.add("stop_timeout")
    hidden |= {name for name in ("ulimits.nofile", "ulimits.nproc") if name not in planned}
    for name in hidden:
        planned.pop(name, None)
        actual.pop(name, None)
