# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""A plan that was saved and read by somebody is carried out as it was, or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..findings import Finding
from .model import PASSIVE, ServerPlan

#: What stands in a record that differs from run to run for a server without one: its salt, and digests made with it.
_SALTED = ("salt", "secrets", "declaration_hash")


def fingerprint(server: ServerPlan, order: Mapping[str, Any] | None, salted: bool) -> str:
    """What identifies the plan of one server: the action, why, and the order with what it expects to find.

    :param order: the order for the host; None when it cannot be written yet
    :param salted: the salt is on record, so that digests of secrets are the same in every run
    """
    said: dict[str, Any] = {"action": server.action, "differences": [item.as_dict() for item in server.differences]}
    text = json.dumps({**said, "order": _comparable(order, salted)}, sort_keys=True, default=str)
    generation = (order or {}).get("generation")
    if generation and not salted:
        text = text.replace(str(generation), "generation")  # made of digests of secrets too
    return hashlib.sha256(text.encode()).hexdigest()


def _comparable(order: Mapping[str, Any] | None, salted: bool) -> Any:
    if order is None or salted or "record" not in order:
        return order
    record = {key: value for key, value in order["record"].items() if key not in _SALTED}
    declaration = dict(record.get("declaration") or {})
    declaration["secrets"] = sorted(declaration.get("secrets") or {})
    return {**order, "record": {**record, "declaration": declaration}}


def deviations(servers: Iterable[ServerPlan], saved: Mapping[str, Any]) -> list[Finding]:
    """Errors for each server with which something else would be done now than was planned then.

    What is done already, by an earlier part of the same play, is no deviation.

    :param saved: ``servers`` of the saved plan: name to ``{action, fingerprint}``
    """
    found = []
    for server in servers:
        action = server.deferred or server.action
        if action in PASSIVE:
            continue
        then = saved.get(server.name)
        planned = str(then.get("action") or "none") if isinstance(then, Mapping) else None
        if isinstance(then, Mapping) and planned == action and then.get("fingerprint") == server.fingerprint:
            continue
        if planned is None:
            text = f"{action} ({server.reason}) is to be done now, and the saved plan does not know this server"
        elif planned == action:
            text = f"{action} would be another one than in the saved plan: declaration, host or image changed since"
        else:
            text = f"{action} ({server.reason}) is to be done now, and the saved plan says {planned}"
        fix = "Make a new plan, read it, and run it; or run without a plan."
        found.append(Finding("plan.changed", "error", text, fix=fix, server=server.name))
    return found
