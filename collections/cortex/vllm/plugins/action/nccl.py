# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    _action,
    findings,
    nccl,
    observation,
    spec,
    task_options,
)


class ActionModule(_action.BrainsAction):
    """What a host's GPUs need to talk to each other: resolved from its facts, explained, and written where wanted."""

    SPEC = {
        **task_options.CONNECTION,
        "settings": {"type": "raw"},
        "address": {"type": "str"},
        "nodes": {"type": "int", "default": 1},
        **task_options.STATE_DIR,
        **task_options.FILE,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        # As it was written, with file and line.
        settings = spec.load_nccl(self._task.args.get("settings"), root="settings")
        request = observation.query([], options["state_dir"], health=False)
        answer = remote("observe", {**request, "gpus": True, "network": True})
        seen = observation.Observation.parse(answer.get("observation") or {})
        host = {"network": seen.network, "gpus": seen.gpus, "collectives": seen.collectives}
        uuids = [str(device.get("uuid")) for device in seen.devices]
        facts = nccl.facts_of(host, uuids, address=options["address"], nodes=options["nodes"], shares_network=True)
        resolved = nccl.resolve(settings, facts, None)
        found = [
            findings.Finding(code, severity, message, field=".".join(("settings", *field)), fix=fix)
            for severity, code, message, fix, field in resolved.notes
        ]
        if findings.errors(found):
            raise findings.FindingsError(found)
        content = nccl.conf(resolved)
        result: dict[str, t.Any] = {
            "changed": False,
            "profile": resolved.profile,
            "settings": [{**dataclasses.asdict(item), "reader": item.reader} for item in resolved.settings],
            "environment": resolved.environment,
            "content": content,
            "network": dict(seen.network),
            "measured": facts.measured,
            "findings": [finding.as_dict() for finding in found],
        }
        if options["dest"]:
            result.update(self.write(content, options, "0644", task_vars))
        return result
