# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What only ``gpu_info`` asks for: links, fabric manager, container toolkit, kernel messages, AMD GPUs.

A part that cannot be read is None or empty; nothing here raises.
"""

from __future__ import annotations

import json
import os
import re

# Read in this order by engines (CDI specification, "CDI JSON Specification", spec directories).
CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
PCI_DEVICES = "/sys/bus/pci/devices"
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}

# NVIDIA, "Xid Errors" (docs.nvidia.com/deploy/xid-errors): those that decide what to do next.
XID = {
    13: "a kernel faulted: the application, rarely the hardware",
    31: "a kernel used an address that is not its own: the application or the driver",
    43: "a process was stopped after an error of its own",
    45: "a process was ended, often the result of an earlier Xid",
    48: "a double bit ECC error: reset the GPU, replace it if it returns",
    61: "the GPU's firmware halted: reset the GPU",
    62: "the GPU's firmware halted: reset the GPU",
    63: "a memory row was remapped or a page retired: it takes effect with the next reset",
    64: "a memory row could not be remapped: have the GPU replaced",
    74: "an NVLink failed: look at nvidia-smi nvlink -e and the seating of the boards",
    79: "the GPU has fallen off the bus: power, cooling or seating; reboot the host",
    92: "many single bit ECC errors: watch it",
    94: "a contained ECC error: the application ended, the GPU goes on",
    95: "an uncontained ECC error: reset the GPU",
    119: "the GPU's system processor does not answer: reset the GPU, upgrade the driver",
    120: "an error of the GPU's system processor: reset the GPU",
    154: "the driver asks for a reset of the GPU or a reboot",
}


def _run(module, name, *arguments):
    """Output of a program, or None when it is not there or fails."""
    command = module.get_bin_path(name)
    if not command:
        return None
    code, out, dummy = module.run_command([command] + list(arguments), errors="replace")
    return out if code == 0 else None


def parse_nvlink(text):
    """``{gpu uuid: {active, inactive, gb_per_second}}`` of ``nvidia-smi nvlink -s``."""
    found, current = {}, None
    for line in text.splitlines():
        gpu = re.match(r"GPU \d+: .*\(UUID: (GPU-[0-9a-fA-F-]+)\)", line)
        if gpu:
            current = found.setdefault(gpu.group(1), {"active": 0, "inactive": 0, "gb_per_second": 0.0})
        link = re.match(r"\s+Link \d+: (?:(\d+(?:\.\d+)?) GB/s|<?(inactive)>?)", line)
        if link and current is not None:
            if link.group(1):
                current["active"] += 1
                current["gb_per_second"] = round(current["gb_per_second"] + float(link.group(1)), 3)
            else:
                current["inactive"] += 1
    return found


def nvlink(module):
    out = _run(module, "nvidia-smi", "nvlink", "-s")
    return parse_nvlink(out) if out else {}


def fabric_manager(module):
    """State of the service that joins NVSwitches: ``active``, ``inactive``, ``failed`` …; None when it is not known."""
    command = module.get_bin_path("systemctl")
    if not command:
        return None
    dummy, out, err = module.run_command([command, "is-active", "nvidia-fabricmanager"], errors="replace")
    state = out.strip()
    return state if re.match(r"[a-z]+\Z", state) else None


def parse_cdi(text):
    """``(kind, [device names])`` of a CDI specification in JSON, or in the YAML that ``nvidia-ctk`` writes."""
    try:
        content = json.loads(text)
        return content.get("kind"), [device.get("name") for device in content.get("devices") or []]
    except (ValueError, AttributeError):
        pass
    kind, names, inside, dash = None, [], False, None
    for line in text.splitlines():
        top = re.match(r"(\w+):\s*(.*)", line)
        if top:
            inside = top.group(1) == "devices"
            if top.group(1) == "kind":
                kind = top.group(2).strip().strip("\"'") or None
        if not inside:
            continue
        item = re.match(r"( *)- ", line)
        if item and dash is None:
            dash = len(item.group(1))
        name = re.match(r"( *(?:- )?)name:\s*(\S+)\s*\Z", line)
        # Names further in belong to what is mounted, not to devices.
        if name and dash is not None and len(name.group(1)) == dash + 2:
            names.append(name.group(2).strip("\"'"))
    return kind, names


def toolkit(module, folders=CDI_FOLDERS):
    """``{version, runtime, cdi: [{path, kind, devices}]}``: NVIDIA's container toolkit and the CDI specifications."""
    out = _run(module, "nvidia-ctk", "--version") or ""
    match = re.search(r"version (\d[\w.+~-]*)", out)
    specifications = []
    for folder in folders:
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith((".json", ".yaml", ".yml")))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as stream:
                    kind, devices = parse_cdi(stream.read(1 << 20).decode("utf-8", "replace"))
            except OSError:
                kind, devices = None, []
            specifications.append({"path": path, "kind": kind, "devices": devices})
    return {
        "version": match.group(1) if match else None,
        "runtime": module.get_bin_path("nvidia-container-runtime"),
        "cdi": specifications,
    }


def parse_xid(text, last=20):
    """The last Xid messages of a kernel log: ``[{pci_bus_id, xid, message, meaning}]``."""
    found = []
    for line in text.splitlines():
        match = re.search(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)(?:, )?(.*)", line)
        if match:
            code = int(match.group(2))
            entry = {"pci_bus_id": match.group(1), "xid": code, "message": match.group(3).strip()}
            entry["meaning"] = XID.get(code)
            found.append(entry)
    return found[-last:]


def xid(module):
    """Xid errors since boot; None when this user may not read the kernel's messages."""
    out = _run(module, "dmesg")
    if out is None:
        out = _run(module, "journalctl", "-k", "-b", "-q", "--no-pager", "-g", "NVRM: Xid")
    return None if out is None else parse_xid(out)


def hardware(folder=PCI_DEVICES):
    """``[{pci_bus_id, vendor}]`` of the display and compute devices on the PCI bus, whatever drives them."""
    found = []
    try:
        addresses = sorted(os.listdir(folder))
    except OSError:
        return found
    for address in addresses:
        try:
            with open(os.path.join(folder, address, "class")) as stream:
                kind = stream.read().strip()
            with open(os.path.join(folder, address, "vendor")) as stream:
                vendor = stream.read().strip()
        except OSError:
            continue
        # 03: display controllers; 12: processing accelerators (PCI Code and ID Assignment Specification).
        if kind[:4] in ("0x03", "0x12") and vendor in VENDORS:
            found.append({"pci_bus_id": address, "vendor": VENDORS[vendor]})
    return found


def parse_rocm(text):
    """``(driver, devices)`` of ``rocm-smi … --json``; raises `ValueError` when it is none."""
    content = json.loads(text[text.index("{") :])
    devices, driver = [], None
    for name, card in sorted(content.items(), key=lambda item: (len(item[0]), item[0])):
        if name == "system":
            driver = card.get("Driver version")
        if not re.match(r"card\d+\Z", name):
            continue
        facts = {key.lower(): value for key, value in card.items()}
        total = facts.get("vram total memory (b)")
        used = facts.get("vram total used memory (b)")
        total = int(total) if str(total).isdigit() else None
        used = int(used) if str(used).isdigit() else None
        devices.append(
            {
                "index": len(devices),
                "uuid": facts.get("unique id"),
                "name": facts.get("card series") or facts.get("card model"),
                "pci_bus_id": facts.get("pci bus"),
                "architecture": facts.get("gfx version"),
                "memory_total": total,
                "memory_used": used,
                "memory_free": total - used if total is not None and used is not None else None,
                "mig": [],
                "processes": [],
            }
        )
    return driver, devices


def _size(value):
    """Bytes of ``{"value": 196592, "unit": "MB"}``, whose MB are of 1024 times 1024; None for anything else."""
    units = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
    if not isinstance(value, dict) or isinstance(value.get("value"), bool):
        return None
    number = value.get("value")
    return int(number * units.get(value.get("unit"), 0)) or None if isinstance(number, (int, float)) else None


def _told(value):
    """A text that tells something: not N/A."""
    return value if isinstance(value, str) and value not in ("", "N/A") else None


def _cards(text):
    """Index to entry of ``amd-smi … --json``: a list, and since ROCm 7 one under ``gpu_data``."""
    begin = re.search(r"[\[{]", text)  # warnings may stand before it
    content = json.loads(text[begin.start() :] if begin else text)
    rows = content.get("gpu_data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise ValueError("no list of GPUs")
    return {row["gpu"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("gpu"), int)}


def _section(row, name):
    found = row.get(name)
    return found if isinstance(found, dict) else {}


def parse_amd_smi(static, usage=None, listed=None):
    """``(driver, devices)`` of ``amd-smi static``, ``metric --mem-usage``, ``list``; `ValueError` when it is none."""
    rows, driver = _cards(static), None
    used, names = (_cards(text) if text else {} for text in (usage, listed))
    devices = []
    for index, row in sorted(rows.items()):
        asic, memory = _section(row, "asic"), _section(used.get(index, {}), "mem_usage")
        total = _size(memory.get("total_vram")) or _size(_section(row, "vram").get("size"))
        taken = memory.get("used_vram")
        taken = 0 if isinstance(taken, dict) and taken.get("value") == 0 else _size(taken)
        driver = driver or _told(_section(row, "driver").get("version"))
        name = names.get(index, {})
        devices.append(
            {
                "index": index,
                "uuid": _told(name.get("uuid")) or _told(asic.get("asic_serial")),
                "name": _told(asic.get("market_name")),
                "pci_bus_id": _told(_section(row, "bus").get("bdf")) or _told(name.get("bdf")),
                "architecture": _told(asic.get("target_graphics_version")),
                "memory_total": total,
                "memory_used": taken,
                "memory_free": total - taken if total is not None and taken is not None else None,
                "mig": [],
                "processes": [],
            }
        )
    return driver, devices


def _amd_smi(module):
    """What the newer tool says, which replaces rocm-smi (ROCm 7 no longer installs that everywhere)."""
    static = _run(module, "amd-smi", "static", "--asic", "--bus", "--vram", "--driver", "--json")
    if static is None:
        return None
    usage, listed = (
        _run(module, "amd-smi", "metric", "--mem-usage", "--json"),
        _run(module, "amd-smi", "list", "--json"),
    )
    for more in ((usage, listed), (None, None)):  # what is optional must not spoil the rest
        try:
            return parse_amd_smi(static, *more)
        except (ValueError, AttributeError, TypeError, KeyError):
            continue
    return None


def _rocm_smi(module):
    out = _run(
        module, "rocm-smi", "--showproductname", "--showuniqueid", "--showbus", "--showmeminfo", "vram",
        "--showdriverversion", "--json",
    )  # fmt: skip
    try:
        return parse_rocm(out) if out is not None else None
    except (ValueError, AttributeError):
        return None


def amd(module):
    """The GPU part of the answer for a host with ROCm's tools; None where there are none or they fail."""
    for ask in (_amd_smi, _rocm_smi):
        driver, devices = ask(module) or (None, [])
        if devices:
            return {"status": "ok", "message": "", "driver": driver, "cuda": None, "devices": devices}
    return None


def container_names(engine, devices):
    """Add ``container`` to each process on the GPUs: the name of the running container that it is in, or None."""
    names = {}
    for entry in engine.containers():
        names[entry["Id"]] = (entry.get("Names") or ["?"])[0].lstrip("/")
    for device in devices:
        for process in device["processes"]:
            process["container"] = names.get(_container_of(process["pid"]))


def _container_of(pid):
    try:
        with open("/proc/{0}/cgroup".format(pid), "rb") as stream:
            match = re.search(r"[0-9a-f]{64}", stream.read().decode("ascii", "replace"))
    except OSError:
        return None
    return match.group(0) if match else None


def problems(answer):
    """Sentences about what looks wrong, each with what to do."""
    found = []
    for device in answer["devices"]:
        name = "GPU {0}".format(device["index"])
        if device.get("fabric_state") in ("in progress", "not started"):
            found.append(
                "{0} has not joined the NVLink fabric (state {1}, fabric manager {2}): CUDA will not start on it;"
                " install nvidia-fabricmanager of the driver's version and start it".format(
                    name, device["fabric_state"], answer.get("fabric_manager") or "unknown"
                )
            )
        if device.get("ecc_uncorrected"):
            found.append(
                "{0} counted {1} uncorrected memory errors since boot: reset it, and replace it if they return".format(
                    name, device["ecc_uncorrected"]
                )
            )
        if device.get("compute_mode") == "prohibited":
            found.append("{0} is in compute mode prohibited: nvidia-smi -c DEFAULT allows programs again".format(name))
    for entry in (answer.get("xid") or [])[-3:]:
        found.append(
            "Xid {0} at {1}: {2}".format(
                entry["xid"], entry["pci_bus_id"], entry["meaning"] or entry["message"] or "see NVIDIA's list"
            )
        )
    return found
