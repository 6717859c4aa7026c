# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What the result of a converge says beside the plan and the journals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from . import nodes, planning
from .findings import Finding
from .observation import Observation
from .telling import IDLE


def expected(seen: Observation, name: str, order: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the start that an order brings went the last time, if this host remembers one of its image and model."""
    image = (order.get("body") or {}).get("Image") or (seen.server(name).committed or {}).get("image_id")
    return seen.start_like(name, image, order.get("model"))


def unwell(plan: planning.Plan) -> list[str]:
    """Servers that failed and that nothing will be done about, because nobody declared that they may be restarted."""
    return [server.name for server in plan.servers if server.state == "failed" and server.action == "none"]


def spans(
    specs: Sequence[Any], plan: planning.Plan, seen: Observation, only: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Models of this host that span others: which hosts, what these must agree about, and whether anything is to do."""
    found = {}
    for spec in specs:
        if getattr(spec, "nodes", None) is None or (only and spec.name not in only):
            continue
        server = next((item for item in plan.servers if item.name == spec.name), None)
        action = server.action if server is not None else "none"
        before = (seen.server(spec.name).committed or {}).get("declaration") or {}
        container = seen.container(spec.name)
        found[spec.name] = {
            # Ranks of one key meet at one port: an old one must be gone before a new one comes.
            "waits": bool(container and container.running and (not before or nodes.key_of(before) == nodes.key(spec))),
            "hosts": spec.nodes.names,
            "rank": spec.nodes.place,
            "key": nodes.key(spec),
            # Its fellows must not be changed without it: they would wait for it, and fail.
            "held": server is not None and server.action == "held",
            "todo": (server.deferred or action if server is not None else action) not in IDLE,
        }
    return found


def all_findings(plan: planning.Plan) -> list[Finding]:
    """The plan's findings and those of its servers, each once."""
    found = list(plan.findings)
    for server in plan.servers:
        found += [finding for finding in server.findings if finding not in found]
    return found
