# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Waits until the memory of GPUs is really free: the driver takes it back a while after a process has ended.

A server that starts too early sees less free memory than it was promised and ends, or sizes its KV cache too small.
"""

from __future__ import annotations

import time

from ansible_collections.cortex.vllm.plugins.module_utils import gpus
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError

MIB = 1 << 20
# Memory that a driver keeps or gives to somebody else in between is no reason to wait.
SLACK = 256 * MIB
# Two looks that agree this closely mean that nothing is being taken back any more.
SETTLED = 16 * MIB
POLL = 0.25
LIMIT = 30.0


def _rows(run, command, what):
    """Cells of one CSV question to nvidia-smi; None when it cannot be asked."""
    code, out, dummy = run([command, what, "--format=csv,noheader,nounits"], errors="replace")
    if code != 0:
        return None
    return [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line.strip()]


def used(run, command, uuids):
    """``{uuid: {"used": bytes, "pids": set}}`` of the ``uuids`` that the driver knows; None when it says nothing."""
    found = _whole(run, command, uuids)
    if found is not None and any(uuid.startswith("MIG-") for uuid in uuids):
        found.update(_parts(run, command, uuids))
    return found or None


def _parts(run, command, uuids):
    """As `used`, for MIG devices: no CSV question knows them, the XML has their memory and the list their UUIDs."""
    code, xml = run([command, "-q", "-x"], errors="replace")[:2]
    other, listing = run([command, "-L"], errors="replace")[:2]
    found = {}
    try:
        devices = gpus.parse(xml)["devices"] if code == other == 0 else []
    except ValueError:
        devices = []
    named = gpus.parse_mig(listing)
    for device in devices:
        instances = {entry["index"]: entry for entry in device["mig_instances"]}
        for part in named.get(device["uuid"], []):
            instance = instances.get(part["index"]) or {}
            if part["uuid"] not in uuids or instance.get("memory_used") is None:
                continue
            number = instance["gpu_instance"]
            pids = {process["pid"] for process in device["processes"] if process["gpu_instance"] == number}
            found[part["uuid"]] = {"used": instance["memory_used"], "pids": pids}
    return found


def _whole(run, command, uuids):
    """As `used`, for whole GPUs."""
    rows = _rows(run, command, "--query-gpu=uuid,memory.used")
    if rows is None:
        return None
    found = {}
    for row in rows:
        if len(row) == 2 and row[0] in uuids and row[1].isdigit():
            found[row[0]] = {"used": int(row[1]) * MIB, "pids": set()}
    for row in _rows(run, command, "--query-compute-apps=gpu_uuid,pid") or []:
        if len(row) == 2 and row[0] in found and row[1].isdigit():
            found[row[0]]["pids"].add(int(row[1]))
    return found


def held(engine, ident, run, command, uuids):
    """The `Release` of what a container holds of ``uuids``; its ``wait`` says None where nobody can be asked."""
    try:
        pids = engine.processes(ident) if uuids and command else []
    except EngineError:
        pids = []
    return Release(run, command, uuids, pids)


class Release:
    """What a server holds of its GPUs before it is stopped, and the wait until that is free.

    ``run``: as `AnsibleModule.run_command`; ``command``: the path of nvidia-smi; ``pids``: the server's processes.
    """

    def __init__(self, run, command, uuids, pids):
        self.before = None
        self._run, self._command, self._uuids, self._pids = run, command, set(uuids), set(pids)
        if run and command and uuids:
            self.before = used(run, command, self._uuids)

    def wait(self, limit=LIMIT):
        """``{seconds, free, gpus}``, or None where no driver can be asked. Never raises."""
        if self.before is None:
            return None
        begin, last = time.monotonic(), None
        while True:
            now = used(self._run, self._command, self._uuids)
            if now is None:
                return None
            held = sorted(uuid for uuid in now if not self._free(uuid, now[uuid], (last or {}).get(uuid)))
            seconds = time.monotonic() - begin
            if not held or seconds > limit:
                gpus = {
                    uuid: {"used": entry["used"], "before": self.before.get(uuid, {}).get("used")}
                    for uuid, entry in sorted(now.items())
                }
                return {"seconds": round(seconds, 3), "free": not held, "held": held, "gpus": gpus}
            last = now
            time.sleep(POLL)

    def _free(self, uuid, now, last):
        if self._pids & now["pids"]:
            return False  # a process that has ended for us still lives for the driver
        before = self.before.get(uuid)
        if before is not None and self._pids and self._pids & before["pids"] == before["pids"] and not now["pids"]:
            # It was alone on this GPU: what is left has to be next to nothing.
            if now["used"] <= SLACK * 4:
                return True
        # Others are there, or containers hide their processes: free is when nothing is given back any more. A look
        # that still showed one of ours does not count: the driver names processes and memory one after the other.
        if last is None or self._pids & last["pids"]:
            return False
        return abs(now["used"] - last["used"]) <= SETTLED
