# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The contract of a host, its GPUs: healthy, as they were meant to be, and held by nobody who should not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..findings import Finding, Severity
from .context import Findings, Host, gib
from .host_driver import needed

#: Xid errors after which a GPU cannot be trusted until somebody acted (docs.nvidia.com/deploy/xid-errors).
BROKEN = frozenset({48, 61, 62, 64, 74, 79, 95, 119, 120, 154})
#: Xid errors that announce something.
DOUBTFUL = frozenset({63, 92, 94})
#: What draws a desktop: it holds a little of a GPU, and nobody calls it a stray.
DESKTOP = ("Xorg", "Xwayland", "gnome-shell", "kwin", "plasmashell", "mutter", "sddm", "gdm")
#: Memory that a driver holds for itself, without any process.
OWN = 1 << 30


def check(host: Host) -> Findings:
    """Sources: nvidia-smi's manual page; docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt (row remapping)."""
    contract = host.observation.contract
    if contract is None:
        return
    yield from _xid(host, contract)
    for device in host.observation.devices:
        yield from _memory(device)
        yield from _modes(device, contract)
    yield from _held(host)
    names = sorted({str(device.get("name")) for device in host.observation.devices})
    if len(names) > 1:
        text = f"the host has GPUs of {len(names)} kinds ({', '.join(names)})"
        fix = "Name GPUs by index or UUID in declarations: a count takes whatever is free."
        yield Finding("gpu.mixed", "info", text, fix=fix)


def _name(device: Mapping[str, Any]) -> str:
    return f"GPU {device.get('index')} ({device.get('name')})"


def _xid(host: Host, contract: Mapping[str, Any]) -> Findings:
    if contract.get("xid") is None:
        if host.observation.devices:
            text = "the kernel's messages could not be read, and Xid errors stand there alone"
            yield Finding("gpu.xid", "info", text, fix="Run with become: true.")
        return
    counted: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for entry in contract["xid"]:
        counted.setdefault((entry["pci_bus_id"], entry["xid"]), []).append(entry)
    for (address, code), entries in counted.items():
        severity: Severity = needed(host) if code in BROKEN else "warning" if code in DOUBTFUL else "info"
        times = f" {len(entries)} times" if len(entries) > 1 else ""
        meaning = entries[-1].get("meaning") or entries[-1].get("message") or "see NVIDIA's list of Xid errors"
        fix = "Do that, then reboot: the message stays until then." if code in BROKEN else None
        yield Finding("gpu.xid", severity, f"Xid {code} at {address}{times} since boot: {meaning}", fix=fix)


def _memory(device: Mapping[str, Any]) -> Findings:
    name = _name(device)
    if device.get("remap_failed"):
        text = f"{name} has bad memory rows that could not be taken out of use"
        yield Finding("gpu.memory-retired", "error", text, fix="Have it replaced.")
    elif device.get("retirement_pending"):
        text = f"{name} has bad memory that waits for a reset to be taken out of use"
        yield Finding(
            "gpu.memory-retired", "warning", text, fix="Drain the host and reboot it, or nvidia-smi --gpu-reset."
        )
    if device.get("ecc_uncorrected"):
        text = f"{name} counted {device['ecc_uncorrected']} uncorrected memory errors since its driver was loaded"
        fix = "Reset it or reboot; have it replaced if they return."
        yield Finding("gpu.ecc", "warning", text, fix=fix)
    pending = device.get("ecc_pending")
    if pending and device.get("ecc_mode") and pending != device["ecc_mode"]:
        text = f"ECC of {name} is {device['ecc_mode']} and will be {pending} after the next reboot, with another size"
        yield Finding("gpu.ecc", "warning", text, fix="Drain the host and reboot it.")


def _modes(device: Mapping[str, Any], contract: Mapping[str, Any]) -> Findings:
    name, mode = _name(device), device.get("compute_mode")
    if mode == "prohibited":
        text = f"{name} is in compute mode prohibited: no program may use it"
        yield Finding("gpu.compute-mode", "error", text, fix="nvidia-smi -c DEFAULT, or host_gpu_settings.")
    elif mode == "exclusive_process":
        text = f"{name} is in compute mode exclusive_process: one process at a time, so servers cannot share it"
        yield Finding("gpu.compute-mode", "info", text, fix="nvidia-smi -c DEFAULT where servers share it.")
    if device.get("mig_mode") == "enabled":
        parts = [str(part.get("profile")) for part in device.get("mig") or ()]
        if parts:
            text = f"{name} is divided by MIG into {', '.join(parts)}"
            yield Finding("gpu.mig", "info", text, fix="Name parts by UUID in declarations.")
        else:
            text = f"{name} is in MIG mode and has no parts: nothing can use it"
            fix = "Divide it (host_gpu_settings: mig), or nvidia-smi -mig 0."
            yield Finding("gpu.mig", "warning", text, fix=fix)
    daemon = contract.get("persistence_daemon")
    if device.get("persistence_mode") == "disabled" and not device.get("unified_memory"):
        text = f"persistence is off on {name}: its driver is unloaded when nobody uses it, and settings are lost"
        severity: Severity = "info" if contract.get("carried") else "warning"
        fix = f"systemctl enable --now nvidia-persistenced (it is {daemon or 'not installed'})."
        yield Finding("gpu.persistence", severity, text, fix=fix)


def _held(host: Host) -> Findings:
    """Memory of a GPU that is taken and belongs to no container."""
    given: set[str] = set()
    for container in host.observation.containers:
        if container.running:
            given |= container.gpus
    for device in host.observation.devices:
        strays = [
            process
            for process in device.get("processes") or ()
            if not process.get("container") and (process.get("memory_used") or 0) > 0 and not _desktop(process)
        ]
        names = [
            f"{entry.get('name') or '?'} (pid {entry.get('pid')}, {gib(entry['memory_used'])})" for entry in strays
        ]
        if strays:
            text = f"{_name(device)} is held by {', '.join(names)}, outside of any container"
            yield Finding(
                "gpu.held", "warning", text, fix="End it, or use other GPUs: what it holds is missing at the start."
            )
        elif (
            not device.get("processes")
            and (device.get("memory_used") or 0) > OWN
            and device.get("uuid") not in given
            and "all" not in given
            and not device.get("mig")
        ):
            text = f"{gib(device['memory_used'])} of {_name(device)} are used, and by no process that can be seen"
            fix = "A process of a dead container may hold it: fuser -v /dev/nvidia*. A reset frees it."
            yield Finding("gpu.held", "warning", text, fix=fix)


def _desktop(process: Mapping[str, Any]) -> bool:
    program = str(process.get("name") or "").rsplit("/", 1)[-1]
    return program.startswith(DESKTOP)
