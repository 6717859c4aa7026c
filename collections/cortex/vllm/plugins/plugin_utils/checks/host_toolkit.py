# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The contract of a host, between driver and engine: the container toolkit, CDI, and what a daemon-reload does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import toolkit_proof
from ..findings import Finding, Severity
from ..observation import wants_gpus
from .context import Findings, Host
from .host_driver import needed

KIND = "nvidia.com/gpu"


def check(host: Host) -> Findings:
    """Sources: docs.nvidia.com/datacenter/cloud-native/container-toolkit; NVIDIA/nvidia-container-toolkit#48."""
    contract, gpus = host.observation.contract, host.observation.gpus
    if contract is None or gpus.get("status") != "ok" or not host.observation.devices:
        return
    toolkit = contract.get("toolkit") or {}
    if not toolkit.get("version") and not toolkit.get("runtime"):
        text = "there are GPUs and no NVIDIA container toolkit: containers get none of them"
        fix = "Install nvidia-container-toolkit: role cortex.vllm.host does."
        yield Finding("host.toolkit", needed(host), text, fix=fix)
    yield from _cdi(host, toolkit)
    yield from _reload(host, contract)
    if contract.get("proof"):
        yield from toolkit_proof.judged(contract["proof"], needed(host))


def uses_cdi(host: Host) -> bool:
    """Whether a declared server gets its GPUs by CDI."""
    podman = host.observation.engine.get("name") == "podman"
    return any(wants_gpus(spec) and (getattr(spec, "gpu_access", "auto") == "cdi" or podman) for spec in host.specs)


def _cdi(host: Host, toolkit: Mapping[str, Any]) -> Findings:
    used = uses_cdi(host)
    specifications = [item for item in toolkit.get("cdi") or () if item.get("kind") == KIND]
    severity: Severity = "error" if used else "warning"
    fix = (
        "nvidia-ctk cdi generate --device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml: role cortex.vllm.host does."
    )
    if not specifications:
        if used:
            yield Finding("host.cdi", "error", "GPUs are given by CDI, and there is no specification of them", fix=fix)
        return
    driver = host.observation.gpus.get("driver")
    known: set[str] = set()
    for item in specifications:
        known.update(str(name) for name in item.get("devices") or ())
        versions = item.get("drivers") or ()
        if versions and driver not in versions:
            text = f"{item['path']} is of driver {', '.join(versions)}, and {driver} is loaded"
            yield Finding("host.cdi", severity, text, fix=fix)
            return
    names = {device["uuid"]: str(device["index"]) for device in host.observation.devices if not device.get("mig")}
    unknown = [uuid for uuid, index in names.items() if uuid not in known and (used or index not in known)]
    if unknown:
        text = f"the CDI specification does not name {', '.join(unknown)}"
        yield Finding("host.cdi", severity, text, fix=fix)


def _reload(host: Host, contract: Mapping[str, Any]) -> Findings:
    engine = host.observation.engine
    if engine.get("name") == "podman" or engine.get("cgroup_driver") != "systemd":
        return
    by_hook = [spec for spec in host.specs if wants_gpus(spec) and getattr(spec, "gpu_access", "auto") != "cdi"]
    # Links of the devices under /dev/char let systemd find them (nvidia-ctk system create-dev-char-symlinks).
    if not by_hook or contract.get("device_links"):
        return
    yield Finding(
        "host.daemon-reload",
        "warning",
        "systemd keeps the containers' cgroups and does not know their GPUs: systemctl daemon-reload takes them away"
        " (Failed to initialize NVML: Unknown Error)",
        fix='Set "exec-opts": ["native.cgroupdriver=cgroupfs"] in daemon.json (role cortex.vllm.host does), or write'
        " gpu_access: cdi.",
    )
