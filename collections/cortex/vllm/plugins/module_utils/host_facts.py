# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What the contract check asks of a host beside an ordinary look: driver, toolkit, CDI, kernel messages, packages.

None of it is read by a converge. Nothing here raises: a part that cannot be read is None or empty.
"""

from __future__ import annotations

import glob
import os
import re

from ansible_collections.cortex.vllm.plugins.module_utils import gpu_details

# Where the loader finds libraries on the families that we know (ldconfig -p would be a process more).
LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/lib/wsl/lib")
# SMBIOS 3.x, table 17: system enclosure types of machines that are carried around.
CARRIED = (8, 9, 10, 11, 14, 30, 31, 32)
# Packages whose upgrade under a loaded module ends every CUDA program.
DRIVER_PACKAGES = re.compile(
    r"(lib)?nvidia-(driver|open|kernel|dkms|headless|utils|compute|smi|ml1|fabricmanager|persistenced)|libcuda1|cuda-drivers"
)


def read(path, limit=65536):
    """Text of a file, or None."""
    try:
        with open(path, "rb") as stream:
            return stream.read(limit).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


def look(module, engine=None, devices=()):
    """The part ``contract`` of an observation. ``engine``: a connection, to name the containers of processes."""
    kernel = _messages(module)
    answer = {
        "hardware": gpu_details.hardware(),
        "nvswitches": nvswitches(),
        "kernel": dict(modules(), **loading(kernel)),
        "libraries": libraries(),
        "secure_boot": secure_boot(),
        "xid": None if kernel is None else gpu_details.parse_xid(kernel),
        "toolkit": gpu_details.toolkit(module),
        "fabric_manager": {
            "state": unit(module, "nvidia-fabricmanager"),
            "version": _version(module, "nv-fabricmanager"),
        },
        "persistence_daemon": unit(module, "nvidia-persistenced"),
        "packages": packages(),
        "carried": _integer(read("/sys/class/dmi/id/chassis_type")) in CARRIED,
        "device_links": os.path.lexists("/dev/char/195:0"),
        "rocm": None,
    }
    for specification in answer["toolkit"]["cdi"]:
        specification["drivers"] = cdi_drivers(read(specification["path"], 1 << 20) or "")
    if any(item["vendor"] == "AMD" for item in answer["hardware"]):
        found = gpu_details.amd(module)
        answer["rocm"] = {"driver": found["driver"], "gpus": len(found["devices"])} if found else None
    if engine is not None:
        gpu_details.container_names(engine, devices)
    return answer


def _messages(module):
    """The kernel's messages about the driver since boot; None when this user may not read them."""
    found = gpu_details._run(module, "dmesg")
    if found is None:
        found = gpu_details._run(module, "journalctl", "-k", "-b", "-q", "--no-pager")
    if found is None:
        return None
    wanted = ("NVRM", "nvidia", "nouveau", "module verification", "Loading of unsigned", "Key was rejected", "Lockdown")
    return "\n".join(line for line in found.splitlines() if any(word in line for word in wanted))


def loading(kernel):
    """``{refused}``: what the kernel said when it refused the driver's module, or None."""
    for line in reversed((kernel or "").splitlines()):
        if re.search(r"(Loading of unsigned module is rejected|Key was rejected by service|Lockdown: modprobe)", line):
            return {"refused": line.split("] ", 1)[-1].strip()}
    return {"refused": None}


def modules(folder="/sys/module", proc="/proc/driver/nvidia/version"):
    """``{driver, open, nouveau, amdgpu}``: versions and kinds of what the kernel has loaded."""
    version = read(os.path.join(folder, "nvidia", "version"))
    text = read(proc) or ""
    match = re.search(r"Kernel Module(?: for \S+)?\s+(\d+\.[\d.]+)", text)
    return {
        "driver": (version or "").strip() or (match.group(1) if match else None),
        "open": "Open Kernel Module" in text if text else None,
        "nouveau": os.path.isdir(os.path.join(folder, "nouveau")),
        "amdgpu": os.path.isdir(os.path.join(folder, "amdgpu")),
    }


def libraries(folders=LIBRARIES):
    """Versions of the driver's libraries for CUDA and NVML, as their files are named."""
    found = set()
    for folder in folders:
        for name in ("libcuda.so.*", "libnvidia-ml.so.*", "nvidia/current/libcuda.so.*"):
            for path in glob.glob(os.path.join(folder, name)):
                match = re.search(r"\.so\.(\d{3,}\.\d+(?:\.\d+)?)\Z", path)
                if match:
                    found.add(match.group(1))
    return sorted(found)


def secure_boot(folder="/sys/firmware/efi/efivars"):
    """Whether the firmware lets only signed modules in; None without EFI."""
    for path in glob.glob(os.path.join(folder, "SecureBoot-*")):
        try:
            with open(path, "rb") as stream:
                return stream.read()[-1:] == b"\x01"
        except OSError:
            return None
    return None


def nvswitches(folder=gpu_details.PCI_DEVICES):
    """NVSwitches on the PCI bus: bridges of NVIDIA's of class 0680 (NVLink 5 has none there)."""
    count = 0
    for path in glob.glob(os.path.join(folder, "*", "class")):
        vendor = read(os.path.join(os.path.dirname(path), "vendor")) or ""
        if (read(path) or "").startswith("0x0680") and vendor.strip() == "0x10de":
            count += 1
    return count


def unit(module, name):
    """State of a unit as systemd tells it, None where there is no such unit or no systemd."""
    command = module.get_bin_path("systemctl")
    if not command:
        return None
    dummy, out, err = module.run_command(
        [command, "show", "-p", "LoadState,ActiveState", "--value", name], errors="replace"
    )
    lines = out.split()
    return None if len(lines) < 2 or "not-found" in lines else next((w for w in lines if w != "loaded"), None)


def _version(module, name):
    match = re.search(r"(\d{3,}\.\d+(?:\.\d+)?)", gpu_details._run(module, name, "--version") or "")
    return match.group(1) if match else None


def cdi_drivers(text):
    """Versions of the driver whose libraries a CDI specification mounts."""
    return sorted(set(re.findall(r"libcuda\.so\.(\d{3,}\.\d+(?:\.\d+)?)", text)))


def packages(status="/var/lib/dpkg/status", locks="/etc/dnf/plugins/versionlock.list"):
    """``{manager, driver, free, upgrades}``: packages of the driver, those that may be upgraded, and by whom.

    ``upgrades``: whether something upgrades packages by itself here.
    """
    text = read(status, 1 << 26)
    if text is not None:
        found, free = [], []
        for name, state in re.findall(r"^Package: (\S+)\nStatus: (\w+) ok installed$", text, re.MULTILINE):
            if DRIVER_PACKAGES.match(name):
                found.append(name)
                if state != "hold":
                    free.append(name)
        automatic = os.path.exists("/usr/bin/unattended-upgrade")
        return {"manager": "apt", "driver": sorted(found), "free": sorted(free), "upgrades": automatic}
    if os.path.isdir("/etc/dnf"):
        automatic = os.path.exists("/etc/systemd/system/timers.target.wants/dnf-automatic.timer")
        locked = "nvidia" in (read(locks) or "")
        return {"manager": "dnf", "driver": [], "free": [] if locked else ["nvidia-driver"], "upgrades": automatic}
    return {"manager": None, "driver": [], "free": [], "upgrades": False}


def _integer(text):
    return int(text) if text and text.strip().isdigit() else None
