# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Which orders wait for each other: servers that share a GPU, and servers that take over a port."""

from __future__ import annotations

from collections.abc import Sequence

from .model import ServerPlan

#: What gives something up comes first.
_RANK = {
    "remove": 0,
    "stop": 1,
    "recover": 2,
    "replace": 3,
    "restart": 4,
    "update": 5,
    "start": 6,
    "create": 7,
    "wait": 8,
}


def groups(servers: Sequence[ServerPlan]) -> list[list[str]]:
    """Groups of names: one after the other inside a group, groups side by side.

    Two servers are in one group when they share a GPU (weights of both at once may not fit while one loads), or when
    one waits for a port that the other gives up (``after``).
    """
    parent = {server.name: server.name for server in servers}

    def find(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owner: dict[str, str] = {}
    for server in servers:
        for uuid in sorted(server.gpus):
            parent[find(server.name)] = find(owner.setdefault(uuid, server.name))
        for earlier in server.after:
            if earlier in parent:
                parent[find(server.name)] = find(earlier)
    together: dict[str, list[ServerPlan]] = {}
    for server in servers:
        together.setdefault(find(server.name), []).append(server)
    return [[server.name for server in _ordered(members)] for members in together.values()]


def _ordered(members: list[ServerPlan]) -> list[ServerPlan]:
    """By rank, and never before the server that it waits for (declared order breaks ties; a ring falls back to it)."""
    waiting = sorted(members, key=lambda server: _RANK.get(server.action, 9))
    done: list[ServerPlan] = []
    while waiting:
        names = {server.name for server in waiting}
        chosen = next((server for server in waiting if not names & (set(server.after) - {server.name})), waiting[0])
        waiting.remove(chosen)
        done.append(chosen)
    return done


def ring(servers: Sequence[ServerPlan]) -> list[str]:
    """Names of servers that wait for each other in a ring; empty when there is none."""
    after = {server.name: [name for name in server.after if name != server.name] for server in servers}
    while True:
        free = [name for name, waits in after.items() if not any(other in after for other in waits)]
        if not free:
            return sorted(after)
        for name in free:
            del after[name]
        if not after:
            return []
