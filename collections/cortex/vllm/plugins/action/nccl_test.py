# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    _action,
    findings,
    inspection,
    nccl,
    observation,
    task_options,
)


class ActionModule(_action.BrainsAction):
    """Sums over the GPUs of a host in an image, in two arms, and what follows from what came out."""

    SPEC = {
        **task_options.CONNECTION,
        "image": {"type": "str", "required": True},
        "backend": {"type": "str", "choices": ["auto", "nccl", "gloo"], "default": "auto"},
        "processes": {"type": "int"},
        "environment": {"type": "dict", "default": {}},
        "sizes": {"type": "list", "elements": "int", "default": list(nccl.SIZES)},
        "repeats": {"type": "int", "default": 5},
        "limit": {"type": "float", "default": 120.0},
        "force": {"type": "bool", "default": False},
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        request = observation.query([], options["state_dir"], health=False)
        answer = remote("observe", {**request, "images": [options["image"]], "gpus": True, "network": True})
        seen = observation.Observation.parse(answer.get("observation") or {})
        entry = seen.image(options["image"])
        uuids = [str(device.get("uuid")) for device in seen.devices]
        backend = options["backend"] if options["backend"] != "auto" else ("nccl" if uuids else "gloo")
        processes = options["processes"] or (len(uuids) if backend == "nccl" else 2)
        self._refuse(seen, entry, options, backend, processes, len(uuids), remote.host)
        told = {
            "backend": backend,
            "processes": processes,
            "sizes": options["sizes"],
            "repeats": options["repeats"],
            "limit": options["limit"],
            "arms": nccl.arms({str(name): str(value) for name, value in options["environment"].items()}),
        }
        key = nccl.topology_key(seen.gpus)
        known = seen.collectives if seen.collectives.get("key") == key else {}
        same = known.get("told") == told and known.get("image_id") == (entry or {}).get("id")
        if same and not options["force"]:
            return self._result(known, backend, processes, changed=False)
        if self._task.check_mode:
            return {"changed": True, "backend": backend, "processes": processes, "arms": {}, "findings": []}
        record = {"key": key, "told": told, "image": options["image"], "image_id": (entry or {}).get("id")}
        mark = json.dumps([record, seen.salt], sort_keys=True)  # the salt is another one at every look: measured anew
        found, why = inspection.ask(
            remote,
            options["state_dir"],
            options["image"],
            entry or {},
            f"collective-{hashlib.sha256(mark.encode()).hexdigest()}",
            nccl.script(told),
            keep=False,
            # Two arms, and the import of torch in each.
            limit=options["limit"] * 2 + 120.0,
            more={"record": record, "wants": {"host_config": _host_config(uuids[:processes], backend)}},
        )
        problem = (found or {}).get("problem") or (None if found else why)
        if found is None or problem:
            text = f"nothing could be measured in {options['image']}: {problem or 'it gave no answer'}"
            fix = "Look whether the image has torch, and whether the engine gives it the GPUs."
            raise findings.FindingsError([findings.Finding("nccl.unmeasured", "error", text, "image", fix)])
        return self._result({**record, **found}, backend, processes, changed=True)

    def _refuse(
        self,
        seen: observation.Observation,
        entry: t.Any,
        options: t.Mapping[str, t.Any],
        backend: str,
        processes: int,
        gpus: int,
        host: str,
    ) -> None:
        """What cannot be measured.

        :raises FindingsError: says why
        """
        if entry is None:
            text = f"image {options['image']} is not on {host}"
            if seen.engine.get("status") != "ok":
                text = f"the engine of {host} cannot be asked: {seen.engine.get('message')}"
            raise findings.FindingsError(
                [findings.Finding("image.absent", "error", text, "image", "Fetch it first, or name another.")]
            )
        if processes < 2 or (backend == "nccl" and processes > gpus):
            text = (
                f"{processes} processes cannot sum over {gpus} GPUs" if backend == "nccl" else "one process sums alone"
            )
            fix = "Write 2 and more, as many as there are GPUs; backend: gloo measures on the CPU."
            raise findings.FindingsError([findings.Finding("nccl.unmeasured", "error", text, "processes", fix)])

    def _result(
        self, measured: t.Mapping[str, t.Any], backend: str, processes: int, *, changed: bool
    ) -> dict[str, t.Any]:
        judged = nccl.judge(measured)
        found = []
        if judged["verdict"] != "p2p-works":
            code = "nccl.p2p-broken" if judged["verdict"] == "p2p-broken" else "nccl.unmeasured"
            fix = {
                "nccl.p2p-broken": "Servers with nccl: {} go without it from now on; look for ACS and the IOMMU.",
                "nccl.unmeasured": "Peer to peer is not to blame: look at the driver and at docs/nccl.md.",
            }[code]
            found.append(findings.Finding(code, "warning", judged["message"], fix=fix))
        return {
            "changed": changed,
            "backend": backend,
            "processes": processes,
            **judged,
            "arms": measured.get("arms") or {},
            "findings": [finding.as_dict() for finding in found],
        }


def _host_config(uuids: t.Sequence[str], backend: str) -> dict[str, t.Any]:
    """What a measurement needs of the engine: the GPUs, and the shared memory and limits that a server has."""
    wants: dict[str, t.Any] = {"ShmSize": 2 << 30}
    if backend == "nccl":
        wants["DeviceRequests"] = [
            {"Driver": "nvidia", "Count": 0, "DeviceIDs": list(uuids), "Capabilities": [["gpu"]]}
        ]
        wants["Ulimits"] = [{"Name": "memlock", "Soft": -1, "Hard": -1}]
    return wants
