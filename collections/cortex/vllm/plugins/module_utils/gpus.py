# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The host's NVIDIA GPUs, from ``nvidia-smi -q -x``: the driver's own answer, in the driver's own order."""

from __future__ import annotations

import re

# What people do about the two failures that follow a driver or kernel update.
ADVICE = (
    (
        "couldn't communicate with the NVIDIA driver",
        "load the driver (modprobe nvidia) or reinstall it for this kernel",
    ),
    (
        "Driver/library version mismatch",
        "the driver was updated under a loaded module: reboot the host, or reload nvidia",
    ),
    ("No devices were found", "the driver runs but sees no GPU: look for Xid and NVRM lines in dmesg"),
    ("Unable to determine the device handle", "a GPU has fallen off the bus: look for Xid 79 in dmesg, then reboot"),
)


def _text(node, path):
    """The text at ``path``; None for what is missing or the driver does not tell."""
    found = node.findtext(path)
    found = found.strip() if found else ""
    return (
        None if not found or found in ("N/A", "[N/A]", "Not Supported", "[Not Supported]", "Unknown Error") else found
    )


def _bytes(text):
    """``"81559 MiB"`` in bytes, or None."""
    match = re.match(r"(\d+)\s*([KMG]?i?B)\Z", text or "")
    if not match:
        return None
    return int(match.group(1)) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}.get(match.group(2), 2**20)


def _integer(text):
    return int(text) if text and text.isdigit() else None


def _watts(text):
    match = re.match(r"(\d+(?:\.\d+)?)\s*W\Z", text or "")
    return float(match.group(1)) if match else None


def _first(node, *paths):
    """The first text that is there: elements moved between drivers."""
    for path in paths:
        found = _text(node, path)
        if found is not None:
            return found
    return None


def _lower(text):
    return text.lower() if text else None


def _yes(text):
    return None if text is None else text.lower() == "yes"


def _health(gpu):
    """What a driver tells of a GPU beside what planning needs; None for what it does not tell."""
    errors = None
    volatile = gpu.find("ecc_errors/volatile")
    if volatile is not None:
        # 3.x of the schema counts SRAM and DRAM apart, older ones have one total.
        names = ("dram_uncorrectable", "sram_uncorrectable", "sram_uncorrectable_parity", "sram_uncorrectable_secded")
        counts = [_integer(_text(volatile, name)) for name in names]
        counts.append(_integer(_text(volatile, "double_bit/total")))
        counts = [count for count in counts if count is not None]
        errors = sum(counts) if counts else None
    return {
        "brand": _text(gpu, "product_brand"),
        "architecture": _text(gpu, "product_architecture"),
        "persistence_mode": _lower(_text(gpu, "persistence_mode")),
        "compute_mode": _lower(_text(gpu, "compute_mode")),
        "ecc_mode": _lower(_text(gpu, "ecc_mode/current_ecc")),
        "ecc_uncorrected": errors,
        "power_draw": _watts(
            _first(
                gpu,
                "gpu_power_readings/power_draw",
                "gpu_power_readings/instant_power_draw",
                "gpu_power_readings/average_power_draw",
                "power_readings/power_draw",
            )
        ),
        "power_limit": _watts(
            _first(
                gpu,
                "gpu_power_readings/current_power_limit",
                "gpu_power_readings/power_limit",
                "power_readings/power_limit",
            )
        ),
        "pcie_generation": _integer(_text(gpu, "pci/pci_gpu_link_info/pcie_gen/max_link_gen")),
        "pcie_width": _lower(_text(gpu, "pci/pci_gpu_link_info/link_widths/max_link_width")),
        "ecc_pending": _lower(_text(gpu, "ecc_mode/pending_ecc")),
        # Pages (until Volta and Turing) and rows (from Ampere on) that were found bad.
        "retirement_pending": _yes(
            _first(
                gpu,
                "remapped_rows/remapped_row_pending",
                "retired_pages/pending_retirement",
                "retired_pages/pending_blacklist",
            )
        ),
        "remap_failed": _yes(_text(gpu, "remapped_rows/remapped_row_failure")),
        "fabric_state": _lower(_text(gpu, "fabric/state")),
        "fabric_status": _text(gpu, "fabric/status"),
    }


def _instances(gpu):
    """MIG devices as the XML tells them: everything but their UUIDs and profiles, which `parse_mig` adds."""
    found = []
    for entry in gpu.findall("mig_devices/mig_device"):
        found.append(
            {
                "index": _integer(_text(entry, "index")),
                "gpu_instance": _integer(_text(entry, "gpu_instance_id")),
                "compute_instance": _integer(_text(entry, "compute_instance_id")),
                "memory_total": _bytes(_text(entry, "fb_memory_usage/total")),
                "memory_used": _bytes(_text(entry, "fb_memory_usage/used")),
                "memory_free": _bytes(_text(entry, "fb_memory_usage/free")),
            }
        )
    return found


def _processes(gpu):
    found = []
    for entry in gpu.findall("processes/process_info"):
        found.append(
            {
                "pid": _integer(_text(entry, "pid")),
                "gpu_instance": _integer(_text(entry, "gpu_instance_id")),
                "name": _text(entry, "process_name"),
                "memory_used": _bytes(_text(entry, "used_memory")),
            }
        )
    return found


def parse(xml):
    """``{driver, cuda, devices}`` of the XML of ``nvidia-smi -q -x``. Raises `ValueError` when it is none."""
    from xml.etree import ElementTree  # only hosts with a driver need it

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as exc:
        raise ValueError("nvidia-smi did not answer with XML: {0}".format(exc))
    devices = []
    for index, gpu in enumerate(root.findall("gpu")):
        mode = _text(gpu, "mig_mode/current_mig")
        total = _bytes(_text(gpu, "fb_memory_usage/total"))
        used = _bytes(_text(gpu, "fb_memory_usage/used"))
        free = _bytes(_text(gpu, "fb_memory_usage/free"))
        device = _health(gpu)
        device.update(
            {
                "index": index,
                "uuid": _text(gpu, "uuid"),
                "name": _text(gpu, "product_name"),
                "pci_bus_id": _text(gpu, "pci/pci_bus_id") or gpu.get("id"),
                "memory_total": total,
                # The driver's own part: CUDA's total is what is left.
                "memory_reserved": _bytes(_text(gpu, "fb_memory_usage/reserved")),
                "memory_used": used,
                "memory_free": free,
                "compute_capability": _text(gpu, "compute_cap") or _text(gpu, "cuda_compute_capability"),
                "mig_mode": mode.lower() if mode else None,
                "mig": [],
                "mig_instances": _instances(gpu),
                # GB10 and Jetson: the GPU uses the host's memory and tells no size of its own.
                "unified_memory": total is None and _lower(mode) != "enabled",
                "processes": _processes(gpu),
            }
        )
        devices.append(device)
    return {"driver": _text(root, "driver_version"), "cuda": _text(root, "cuda_version"), "devices": devices}


def parse_mig(listing):
    """``{gpu uuid: [{uuid, profile, index}]}`` from ``nvidia-smi -L``, which alone names the UUIDs of MIG devices."""
    found, current = {}, None
    for line in listing.splitlines():
        gpu = re.match(r"GPU \d+: .*\(UUID: (GPU-[0-9a-fA-F-]+)\)", line)
        if gpu:
            current = gpu.group(1)
        mig = re.match(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)]+)\)", line)
        if mig and current:
            found.setdefault(current, []).append(
                {"uuid": mig.group(3), "profile": mig.group(1), "index": int(mig.group(2))}
            )
    return found


def _failure(text):
    """The status and message of a failed nvidia-smi."""
    text = " ".join(text.split()) or "nvidia-smi failed and said nothing"
    for sign, advice in ADVICE:
        if sign in text:
            return "{0} ({1})".format(text, advice)
    return text


def look(module):
    """The GPU part of an observation; never raises. ``module``: for ``get_bin_path`` and ``run_command``."""
    answer = {"status": "ok", "message": "", "driver": None, "cuda": None, "devices": []}
    command = module.get_bin_path("nvidia-smi")
    if not command:
        answer.update(status="absent", message="nvidia-smi is not installed: this host has no NVIDIA driver")
        return answer
    code, out, err = module.run_command([command, "-q", "-x"], errors="replace")
    if code:
        # The driver's complaint comes on stdout.
        answer.update(status="error", message=_failure(out + " " + err))
        return answer
    try:
        answer.update(parse(out))
    except ValueError as exc:
        answer.update(status="error", message=str(exc))
        return answer
    devices = answer["devices"]
    if any(device["mig_mode"] == "enabled" for device in devices):
        code, out, dummy = module.run_command([command, "-L"], errors="replace")
        parts = parse_mig(out) if code == 0 else {}
        for device in devices:
            device["mig"] = parts.get(device["uuid"], [])
    if any(device["compute_capability"] is None for device in devices):
        # Drivers before 510 do not know the field and fail: then it stays unknown.
        code, out, dummy = module.run_command(
            [command, "--query-gpu=uuid,compute_cap", "--format=csv,noheader"], errors="replace"
        )
        if code == 0:
            known = dict(line.split(", ", 1) for line in out.splitlines() if ", " in line)
            for device in devices:
                value = known.get(device["uuid"], "").strip()
                if re.match(r"\d+\.\d+\Z", value):
                    device["compute_capability"] = value
    if len(devices) > 1:
        # Which of them are linked decides how a model is divided; one GPU has nobody to talk to.
        code, out, dummy = module.run_command([command, "topo", "-m"], errors="replace")
        if code == 0:
            answer["topology"] = parse_topology(out)
    return answer


def parse_topology(text):
    """``{links, nics, numa, cpus}`` of ``nvidia-smi topo -m``; by the index of each GPU, as text.

    ``links``: ``{"0": {"1": "NV18"}}``, ``nics``: ``{"0": {"mlx5_0": "PIX"}}``, ``numa``: ``{"0": "0"}``, ``cpus``:
    ``{"0": "0-15"}``. Sizes and orders of columns differ between drivers: they are found by their headings.
    """
    found = {"links": {}, "nics": {}, "numa": {}, "cpus": {}}
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    names = dict(re.findall(r"^\s*(NIC\d+):\s*(\S+)\s*$", text, re.MULTILINE))
    columns = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("\t")]
        if not columns:
            if len(cells) > 1 and not cells[0] and cells[1].startswith("GPU"):
                columns = [cell for cell in cells[1:] if cell]
            continue
        row = re.match(r"GPU(\d+)\Z", cells[0])
        if not row:
            continue
        # The drivers pad some columns with a second tab: empty cells carry nothing.
        for column, value in zip(columns, [cell for cell in cells[1:] if cell]):
            other = re.match(r"GPU(\d+)\Z", column)
            if other:
                if value != "X":
                    found["links"].setdefault(row.group(1), {})[other.group(1)] = value
            elif column.startswith(("NIC", "mlx")):
                found["nics"].setdefault(row.group(1), {})[names.get(column, column)] = value
            elif value != "N/A" and column in ("CPU Affinity", "NUMA Affinity"):
                found["cpus" if column == "CPU Affinity" else "numa"][row.group(1)] = value
    return found


def holders(engine, devices):
    """``{gpu uuid: [container name]}`` of the running containers that were given GPUs. Raises `EngineError`."""
    from ansible_collections.cortex.vllm.plugins.module_utils import trimming

    every = [device["uuid"] for device in devices]
    names = {str(device["index"]): device["uuid"] for device in devices}
    names.update((part["uuid"], device["uuid"]) for device in devices for part in device["mig"])
    found = {}
    for entry in engine.containers():
        inspect = engine.inspect(entry["Id"]) if entry.get("State") == "running" else None
        if inspect is None or not trimming.holds_gpus(inspect):
            continue
        for uuid in {names.get(item, item) for item in _given(inspect, every)}:
            found.setdefault(uuid, []).append(inspect["Name"].lstrip("/"))
    return found


def _given(inspect, every):
    """What a container was given: UUIDs or indexes; all of them when it asked for a count or for ``all``.

    A count is taken by the NVIDIA runtime from the first GPU on, as nvidia-container-cli numbers them.
    """
    from ansible_collections.cortex.vllm.plugins.module_utils import trimming

    given = []
    for request in (inspect.get("HostConfig") or {}).get("DeviceRequests") or []:
        ids = [str(item).rpartition("=")[2] for item in request.get("DeviceIDs") or []]
        count = request.get("Count") or 0
        given += ids or (every if count < 0 else every[:count])
    visible = trimming.visible_devices(inspect.get("Config"))
    if not given and visible:
        given = [item.strip() for item in visible.split(",")]
    return every if "all" in given or not given else given
