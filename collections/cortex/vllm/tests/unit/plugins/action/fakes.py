# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fakes of what is beside the spine: plans without planning, and answers of a host."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import converge
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding


@dataclasses.dataclass
class ServerPlan:
    """What the spine reads of a planned server."""

    name: str
    action: str = "none"
    state: str = "ready"
    differences: list[t.Any] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    reason: str = ""


@dataclasses.dataclass
class FakePlan:
    """What the spine reads of a plan."""

    servers: list[ServerPlan]
    orders: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    needs: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    groups: list[list[str]] | None = None
    disrupts: list[str] = dataclasses.field(default_factory=list)
    looks: list[t.Any] = dataclasses.field(default_factory=list)
    follows: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        return any(server.action not in converge.IDLE for server in self.servers)

    def request(self, job: str) -> dict[str, t.Any]:
        groups = self.groups or [[name] for name in self.orders]
        return {"schema": 1, "job": job, "orders": self.orders, "groups": groups}

    def secrets(self) -> dict[str, t.Any]:
        return {name: {"VLLM_API_KEY": "sk-very-secret"} for name in self.orders}

    def diff(self) -> dict[str, str]:
        return {"before": "", "after": "".join(f"{server.name}: {server.action}\n" for server in self.servers)}

    def result(self) -> dict[str, t.Any]:
        return {
            "changed": self.changed,
            "findings": [finding.as_dict() for finding in self.findings],
            "servers": {
                server.name: {"action": server.action, "state": server.state, "differences": [], "findings": []}
                for server in self.servers
            },
        }


def order(action: str = "create", **more: t.Any) -> dict[str, t.Any]:
    """An order with the times that the spine reads."""
    return {
        "action": action,
        "start_timeout": 100.0,
        "stop_timeout": 10.0,
        "lock_timeout": 5.0,
        "probe": {"token_timeout": 20.0},
        **more,
    }


def observed(**more: t.Any) -> dict[str, t.Any]:
    """The answer of step ``observe`` of a host that has nothing."""
    answer = {
        "schema": 1,
        "salt": "00",
        "host": {"hostname": "gpu1", "time": 1000.0},
        "engine": {"status": "ok", "name": "docker"},
        "containers": [],
        "images": {},
        "models": {},
        "paths": {},
        "ports": {},
        "gpus": {"status": "absent", "devices": []},
        "servers": {},
    }
    answer.update(more)
    return {"changed": False, "observation": answer}


def watched(events: dict[str, list[dict[str, t.Any]]], alive: bool = True) -> dict[str, t.Any]:
    """The answer of step ``watch``."""
    return {
        "servers": {name: {"events": list(items), "offset": 10, "alive": alive} for name, items in events.items()},
        "waited": 0.1,
    }


def done(result: str = "ok", message: str = "") -> dict[str, t.Any]:
    return {"event": "done", "result": result, "message": message}


def returned(caught: t.Any) -> dict[str, t.Any]:
    """What a failed action gives to the task's result beside its message."""
    return dict(caught.value.result)
