# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The contract of a host, driver and its services: module, libraries, packages and fabric manager agree.

The facts are those of ``contract`` in an observation, which only the contract check asks for; without them nothing is
said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..findings import Finding, Severity, first_of
from ..observation import wants_gpus
from .context import Findings, Host


def needed(host: Host) -> Severity:
    """How much a host without working GPUs matters: an error where GPUs are declared."""
    return "error" if any(wants_gpus(spec) for spec in host.specs) else "warning"


def nvidia(contract: Mapping[str, Any]) -> list[str]:
    """Addresses of NVIDIA's GPUs on the PCI bus, whatever drives them."""
    return [item["pci_bus_id"] for item in contract.get("hardware") or () if item.get("vendor") == "NVIDIA"]


def check(host: Host) -> Findings:
    """Sources: docs.nvidia.com/datacenter/tesla (driver installation guide, fabric manager user guide)."""
    contract = host.observation.contract
    if contract is None:
        return
    status = host.observation.gpus.get("status")
    if status == "ok":
        yield from _versions(host, contract)
        yield from _fabric(host, contract)
    elif status == "error" or nvidia(contract):
        yield _silent(host, contract)
    yield from _amd(host, contract)
    yield from _packages(contract)
    if contract.get("carried") and nvidia(contract):
        text = "the host is a laptop: its GPU shares power and cooling with the processor, and sleep ends CUDA programs"
        yield Finding(
            "host.laptop", "info", text, fix="Mask sleep.target, and expect lower clocks than the card's name."
        )


def _silent(host: Host, contract: Mapping[str, Any]) -> Finding:
    """There is a GPU and nvidia-smi does not answer: the nearest cause that the kernel names."""
    gpus, kernel, severity = host.observation.gpus, contract.get("kernel") or {}, needed(host)
    said = str(gpus.get("message") or "nvidia-smi is not installed")
    if "mismatch" in said:
        return _mismatch(severity, kernel.get("driver"), contract.get("libraries") or (), said)
    if kernel.get("refused"):
        sure = "secure boot is on, and " if contract.get("secure_boot") else ""
        return Finding(
            "host.secure-boot",
            severity,
            f"{sure}the kernel refused the driver's module: {kernel['refused']}",
            fix="Enrol the key that signs it (mokutil --import, then reboot), install a signed module, or"
            " turn secure boot off.",
        )
    if kernel.get("nouveau"):
        return Finding(
            "host.nouveau",
            severity,
            "nouveau drives the GPU: NVIDIA's module cannot take it over",
            fix="Blacklist nouveau, rebuild the initial file system and reboot (role cortex.vllm.host does).",
        )
    if gpus.get("status") == "absent":
        addresses = nvidia(contract)
        count = f"are {len(addresses)} NVIDIA GPUs" if len(addresses) > 1 else "is an NVIDIA GPU"
        return Finding(
            "gpu.driver",
            severity,
            f"there {count} on the PCI bus ({', '.join(addresses)}) and no driver",
            fix="Install it: role cortex.vllm.host does.",
        )
    return Finding("gpu.driver", severity, said, fix="Look for NVRM lines in dmesg.")


def _mismatch(severity: Severity, module: str | None, libraries: Any, said: str = "") -> Finding:
    text = f"module {module or '?'} is loaded, and the libraries are {', '.join(libraries) or 'of another version'}"
    return Finding(
        "host.driver-mismatch",
        severity,
        f"{text}{f' ({said})' if said else ''}",
        fix="Reboot, or unload and load the modules while nothing uses a GPU; then hold the driver's packages.",
    )


def _versions(host: Host, contract: Mapping[str, Any]) -> Findings:
    module = (contract.get("kernel") or {}).get("driver") or host.observation.gpus.get("driver")
    libraries = contract.get("libraries") or ()
    if module and libraries and module not in libraries:
        yield _mismatch(needed(host), module, libraries)
    elif len(libraries) > 1:
        text = f"libraries of {len(libraries)} versions of the driver lie side by side ({', '.join(libraries)})"
        fix = f"Remove those that are not {module}: what was not installed by packages is often a .run installer's."
        yield Finding("host.driver-mismatch", "warning", text, fix=fix)


def _fabric(host: Host, contract: Mapping[str, Any]) -> Findings:
    """CUDA answers with error 802 until every GPU has joined the fabric."""
    joining = [device for device in host.observation.devices if device.get("fabric_state")]
    if not contract.get("nvswitches") and not joining:
        return
    manager, driver, severity = contract.get("fabric_manager") or {}, host.observation.gpus.get("driver"), needed(host)
    version, state = manager.get("version"), manager.get("state")
    if version is None and state is None:
        text, fix = "is not installed", f"Install nvidia-fabricmanager {driver}: role cortex.vllm.host does."
    elif version and driver and version != driver:
        text, fix = f"is {version}, and the driver is {driver}", "Install the fabric manager of the driver's version."
    elif state != "active":
        text, fix = f"is {state}", "Look at journalctl -u nvidia-fabricmanager, and start it."
    else:
        text, fix = "", ""
    if text:
        yield Finding(
            "host.fabric-manager",
            severity,
            f"the GPUs are joined by NVSwitches, and the fabric manager {text}",
            fix=fix,
        )
        return
    left = [str(item["index"]) for item in joining if item["fabric_state"] != "completed"]
    failed = [
        str(item["index"])
        for item in joining
        if item["fabric_state"] == "completed" and str(item.get("fabric_status") or "Success").lower() != "success"
    ]
    if left or failed:
        text = f"GPU {', '.join(left or failed)} {'has not joined' if left else 'failed to join'} the NVLink fabric"
        fix = "Restart nvidia-fabricmanager; a GPU that stays out is to be reset, and its board to be looked at."
        yield Finding("host.fabric-manager", severity, text, fix=fix)


def _amd(host: Host, contract: Mapping[str, Any]) -> Findings:
    found = [item for item in contract.get("hardware") or () if item.get("vendor") == "AMD"]
    # The graphics of a processor stand there too, beside an NVIDIA GPU.
    if not found or nvidia(contract) or host.observation.gpus.get("status") == "ok":
        return
    rocm = contract.get("rocm") or {}
    driver = f"ROCm's driver {rocm['driver']}" if rocm.get("driver") else "no ROCm tools"
    text = f"the host has {len(found)} AMD display or compute device{'s' * (len(found) > 1)} ({driver})"
    severity: Severity = "error" if needed(host) == "error" else "info"
    fix = "Servers of this collection run on NVIDIA GPUs and on CPUs: write gpus: none, or leave the host out."
    yield Finding("host.amd", severity, text, fix=fix)


def _packages(contract: Mapping[str, Any]) -> Findings:
    packages = contract.get("packages") or {}
    free = packages.get("free") or ()
    if not free or not (contract.get("kernel") or {}).get("driver"):
        return
    text = f"{first_of(free)} may be upgraded under the loaded driver, which ends every CUDA program"
    if packages.get("upgrades"):
        text += "; this host upgrades by itself"
    hold = "apt-mark hold" if packages.get("manager") == "apt" else "dnf versionlock add"
    yield Finding(
        "host.packages-free",
        "warning" if packages.get("upgrades") else "info",
        text,
        fix=f"Hold them: {hold} {' '.join(free[:3])}; role cortex.vllm.host does.",
    )
