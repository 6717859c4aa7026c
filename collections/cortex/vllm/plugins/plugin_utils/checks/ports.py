# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Ports that somebody else holds. (Two declarations that want one are refused when they are loaded: spec/across.py.)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..containers import container_name
from ..findings import Finding
from .context import Server

#: The process with which Docker listens on a published port (moby cmd/docker-proxy).
ENGINES_LISTENER = "docker-proxy"

_EVERYWHERE = {"0.0.0.0", "::", ""}


def overlap(one: str, other: str) -> bool:
    """Whether two addresses to listen on exclude each other (bind(2): the wildcard takes every address)."""
    return one == other or bool({one, other} & _EVERYWHERE)


def holders(spec: Any, ports: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Declared ports that somebody else listens on, and who."""
    for address, port in spec.published():
        entry = ports.get(str(port))
        if not entry or entry.get("container") == container_name(spec.name):
            continue
        if overlap(address, str(entry.get("address") or "")):
            yield port, entry


def kept(server: Server, port: int, entry: Mapping[str, Any], running: Sequence[str]) -> Finding | None:
    """The finding for a port that the engine keeps for nobody (module_utils/stuck_port.py): None when it is another's.

    :param running: containers of ours that run: the engine is not restarted under them
    """
    if entry.get("container") or entry.get("process") != ENGINES_LISTENER:
        return None
    what = f"the engine keeps port {port} for a container that is gone ({ENGINES_LISTENER}, pid {entry.get('pid')})"
    field = field_of_port(server.spec)
    if running:
        fix = f"Restart the engine when it suits (systemctl restart docker); it runs {', '.join(running)}."
        return server.finding("port.kept", "error", what, field, fix, port)
    fix = "The start restarts it, unless it runs something else; systemctl restart docker does the same."
    return server.finding("port.kept", "warning", what, field, fix, port)


def taken(server: Server, port: int, entry: Mapping[str, Any]) -> Finding:
    """The finding for a port that somebody else holds."""
    if entry.get("container"):
        who, fix = (
            f"container {entry['container']}",
            f"Stop that container (docker stop {entry['container']}), or write another port.",
        )
    elif entry.get("pid"):
        who = f"{entry.get('process') or 'process'} (pid {entry['pid']})"
        fix = "Stop that process, or write another port."
    else:
        who, fix = "another program", "Find it with ss -ltnp, or write another port."
    return server.finding(
        "port.taken", "error", f"port {port} is taken by {who}", field_of_port(server.spec), fix, port
    )


def field_of_port(spec: Any) -> str:
    """The field that names the port: a server has one, a container a list."""
    return "server_port" if hasattr(spec, "server_port") else "ports"
