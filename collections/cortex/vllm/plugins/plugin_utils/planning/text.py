# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The diff of a plan, as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..differences import HIDDEN
from .model import PASSIVE, ServerPlan

#: Fields of the record that nobody wrote and nobody reads.
_NOISE = ("labels.cortex.vllm.generation", "mounts./etc/nccl.conf", "mounts./run/cortex-vllm")


def diff(servers: Iterable[ServerPlan]) -> dict[str, str]:
    """Both sides, one block for each server that changes; cosmetic differences are left out."""
    before, after = [], []
    for server in servers:
        if server.action in PASSIVE:
            continue
        old = {item.field: item.before for item in server.differences if item.kind != "cosmetic"}
        new = {item.field: item.after for item in server.differences if item.kind != "cosmetic"}
        state = {"create": "started", "start": "started", "stop": "stopped", "remove": "absent"}.get(server.action)
        was = {"create": "absent"}.get(server.action, server.state)
        left: list[str] = []
        right: list[str] = []
        if state and state != was:
            left.append(f"  state: {was}")
            right.append(f"  state: {state}")
        elif server.action in {"restart", "recover"}:
            left.append(f"  state: {server.state}")
            right.append(f"  state: {server.action}ed, ready")
        for field in list(old):
            if field in _NOISE and len(old) > 1:
                continue
            if HIDDEN in (old[field], new[field]):
                changed = (
                    "changed"
                    if None not in (old[field], new[field])
                    else ("added" if old[field] is None else "removed")
                )
                left += [] if old[field] is None else [f"  {field}: {HIDDEN}"]
                right += (
                    []
                    if new[field] is None
                    else [f"  {field}: {_yaml(new[field]) if new[field] != HIDDEN else changed}"]
                )
                continue
            left += [] if old[field] is None else [f"  {field}: {_yaml(old[field])}"]
            right += [] if new[field] is None else [f"  {field}: {_yaml(new[field])}"]
        before += [f"{server.name}:", *left]
        after += [f"{server.name}:  # {server.action}", *right]
    return {"before": _text(before), "after": _text(after)}


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _yaml(value: Any) -> str:
    """A value on one line; JSON is YAML, and plain words need no quotes."""
    if (
        isinstance(value, str)
        and value
        and value.strip() == value
        and not set(value) & set(":#{}[]\"'&*!|>%@`,")
        and value.lower()
        not in {
            "null",
            "true",
            "false",
            "yes",
            "no",
            "on",
            "off",
        }
    ):
        return value
    return json.dumps(value, ensure_ascii=False)
