# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""One declaration for several hosts, as each of them has to see it: on what was written, before it is validated."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

#: A declaration of other hosts only.
_ELSEWHERE = object()


def expand(servers: Any, defaults: Any, host: str, address_of: Callable[[str], str | None]) -> Any:
    """The declarations of ``host``: those that span other hosts only are left out, the others know their rank.

    What is wrong stays as it is, for the models to refuse.

    :param servers: as written, a mapping by name or a list
    :param defaults: as written; ``nodes`` may stand there too
    :param host: name in the inventory
    :param address_of: address of a host of the inventory, None when it tells none
    """
    below = defaults.get("nodes") if isinstance(defaults, Mapping) else None

    def one(written: Any) -> Any:
        """The declaration for this host, or the mark when it is not part of it."""
        if written is not None and not isinstance(written, Mapping):
            return written
        nodes = (written or {}).get("nodes", below)
        hosts = nodes.get("hosts") if isinstance(nodes, Mapping) else nodes
        if not nodes or not isinstance(hosts, (list, tuple)):
            return written
        full = [_node(item, address_of) for item in hosts]
        names = [item.get("host") if isinstance(item, Mapping) else item for item in full]
        if host not in names:
            return _ELSEWHERE
        rest = dict(nodes) if isinstance(nodes, Mapping) else {}
        return {**(written or {}), "nodes": {**rest, "hosts": full, "rank": names.index(host)}}

    if isinstance(servers, Mapping):
        made = {name: one(written) for name, written in servers.items()}
        return {name: item for name, item in made.items() if item is not _ELSEWHERE}
    if isinstance(servers, (list, tuple)):
        return [item for item in (one(written) for written in servers) if item is not _ELSEWHERE]
    return servers


def _node(item: Any, address_of: Callable[[str], str | None]) -> Any:
    if isinstance(item, str):
        item = {"host": item}
    if not isinstance(item, Mapping) or item.get("address") or not isinstance(item.get("host"), str):
        return item
    address = address_of(item["host"])
    return {**item, "address": address} if address else item


def literal(text: Any) -> str | None:
    """An IP address as text; None for a name, which says nothing about interfaces."""
    try:
        return str(ipaddress.ip_address(str(text).strip("[]")))
    except ValueError:
        return None
