# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The plan as a whole: request, secrets, diff and result."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..findings import Finding, errors
from ..inspection import Look
from ..observation import SCHEMA
from ..progress import PHASE_RULES
from . import text
from .groups import groups
from .model import DISRUPTIVE, PASSIVE, Options, ServerPlan


@dataclasses.dataclass
class Plan:
    """What is to be done on one host.

    :ivar servers: in the order of the declarations, undeclared ones after them
    :ivar findings: those about the host, and those of every server that is looked at
    :ivar needs: ``{"images": [references that are missing and may be pulled]}``
    :ivar looks: what images would have to be asked first
    """

    options: Options
    servers: list[ServerPlan] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    needs: dict[str, list[str]] = dataclasses.field(default_factory=lambda: {"images": []})
    looks: list[Look] = dataclasses.field(default_factory=list)

    def server(self, name: str) -> ServerPlan:
        """The plan of one server.

        :raises KeyError: when there is none of this name
        """
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)

    @property
    def refused(self) -> list[Finding]:
        """Error findings: with any of these nothing may be touched."""
        return errors(self.findings)

    @property
    def changed(self) -> bool:
        """Whether carrying the plan out changes the host."""
        return any(server.action not in PASSIVE for server in self.servers)

    @property
    def disrupts(self) -> list[str]:
        """Servers that clients will miss for a time."""
        return [server.name for server in self.servers if server.action in DISRUPTIVE]

    @property
    def starts(self) -> list[str]:
        """Servers that are started without taking anything away."""
        return [server.name for server in self.servers if server.action in {"create", "start"}]

    @property
    def follows(self) -> list[dict[str, Any]]:
        """Jobs that work on servers already: ``{server, job, offset}``."""
        return [server.facts["job"] for server in self.servers if server.action == "follow"]

    def request(self, job: str) -> dict[str, Any]:
        """The request of step ``apply``; its ``orders`` are empty when there is nothing to do.

        :param job: a fresh id
        """
        orders = {server.name: server.order for server in self.servers if server.order is not None}
        return {
            "schema": SCHEMA,
            "state_dir": str(self.options.state_dir),
            "job": job,
            "job_labels": dict(self.options.job_labels),
            "groups": groups([server for server in self.servers if server.order is not None]),
            "phase_rules": PHASE_RULES,
            "orders": orders,
        }

    def secrets(self) -> dict[str, dict[str, str]]:
        """Secret values for the orders, by server and variable. Hand it on, never show it."""
        return {
            server.name: dict(server.secrets) for server in self.servers if server.order is not None and server.secrets
        }

    def diff(self) -> dict[str, str]:
        """``{"before": …, "after": …}``: two texts like YAML, which differ in what will change. No secrets."""
        return text.diff(self.servers)

    def result(self) -> dict[str, Any]:
        """Plain JSON for a task's result."""
        return {
            "changed": self.changed,
            "servers": {server.name: server.as_dict() for server in self.servers},
            "findings": [finding.as_dict() for finding in self.findings],
            "disrupts": self.disrupts,
            "starts": self.starts,
            "needs": {key: list(value) for key, value in self.needs.items()},
        }
