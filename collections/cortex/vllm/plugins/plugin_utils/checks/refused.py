# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What the engine refuses, some of it only when the container starts, and the old one has been stopped by then."""

from __future__ import annotations

from .context import Findings, Server
from .ports import field_of_port


def check(server: Server) -> Findings:
    """Source: moby daemon/daemon_unix.go (``Range of CPUs is from``), libnetwork (``network … not found``,
    ``cannot assign requested address``)."""
    spec, seen = server.spec, server.observation
    place = "bind" if field_of_port(spec) == "server_port" else "ports"
    for address in dict.fromkeys(address for address, _port in spec.published()):
        if seen.addresses.get(address) is False:
            text = f"{address} is no address of this host: nothing could listen there"
            fix = "Write one that `ip address` shows on the host, 127.0.0.1, or 0.0.0.0."
            yield server.finding("port.address", "error", text, place, fix)
    for index, name in enumerate((spec.network, *spec.networks)):
        if seen.networks.get(name) is False:
            field = f"networks.{index - 1}" if index else "network"
            fix = f"Create it on the host (docker network create {name}), or correct the name."
            yield server.finding("engine.network", "error", f"the engine has no network {name}", field, fix)
    there = seen.host.get("cpus")
    if spec.cpus is not None and isinstance(there, int) and spec.cpus > there:
        text = f"{spec.cpus:g} cores are asked for, and the host has {there}"
        yield server.finding("engine.cpus", "error", text, "cpus", f"Write {there} or less, or leave it out.")
