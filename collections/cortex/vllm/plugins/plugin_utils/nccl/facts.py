# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What of a host decides how its GPUs talk: interfaces, adapters, links, and what was measured."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from .judging import judge

#: Words of `nvidia-smi topo -m` for a link that is NVLink.
NVLINK = "NV"


@dataclasses.dataclass(frozen=True)
class Adapter:
    """One port of an InfiniBand or RoCE adapter."""

    name: str
    port: int
    active: bool
    layer: str
    rate: float
    gid: int | None

    @property
    def words(self) -> str:
        return f"{self.name}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known; everything may be unknown.

    :ivar asked: whether the host was asked for its network at all
    :ivar interfaces: by name: ``up``, ``addresses``, ``kind``, ``default``
    :ivar links: kinds of links between the GPUs of the server, empty for fewer than two or when unknown
    :ivar gpus: how many GPUs the server has on this host
    :ivar capability: the least compute capability of them
    :ivar address: own address among the nodes of a model
    :ivar nodes: hosts that the model spans
    :ivar shares_network: whether the container has the host's interfaces
    :ivar measured: verdict of a measurement on this host, for this driver and topology
    """

    asked: bool = False
    interfaces: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    adapters: tuple[Adapter, ...] = ()
    links: frozenset[str] = frozenset()
    gpus: int = 0
    capability: tuple[int, int] | None = None
    address: str | None = None
    nodes: int = 1
    shares_network: bool = False
    measured: Mapping[str, Any] | None = None

    @property
    def nvlinked(self) -> bool:
        """Whether every pair of the server's GPUs has NVLink."""
        return bool(self.links) and all(link.startswith(NVLINK) for link in self.links)

    @property
    def active_adapters(self) -> list[Adapter]:
        """Ports to use: InfiniBand before Ethernet, and of these the fastest only."""
        usable = [item for item in self.adapters if item.active]
        layer = "InfiniBand" if any(item.layer == "InfiniBand" for item in usable) else "Ethernet"
        # A RoCE port without an address cannot reach another host.
        chosen = [item for item in usable if item.layer == layer and (layer == "InfiniBand" or item.gid is not None)]
        best = max((item.rate for item in chosen), default=0.0)
        return sorted((item for item in chosen if item.rate == best), key=lambda item: (item.name, item.port))

    def interface_of(self, address: str) -> str | None:
        """The interface that has an address."""
        for name, item in self.interfaces.items():
            if any(_same(address, other) for other in item.get("addresses") or ()):
                return name
        return None

    @property
    def default_interface(self) -> str | None:
        """The interface of the default route."""
        return next((name for name, item in self.interfaces.items() if item.get("default")), None)


def facts_of(
    host: Mapping[str, Any] | None,
    gpus: Sequence[str],
    *,
    address: str | None = None,
    nodes: int = 1,
    shares_network: bool = False,
) -> Facts:
    """The facts for one server.

    :param host: ``network``, ``gpus`` and ``collectives`` of an observation
    :param gpus: UUIDs that were resolved
    """
    host = host or {}
    network, seen = host.get("network"), host.get("gpus") or {}
    devices = [item for item in seen.get("devices") or () if item.get("uuid") in gpus]
    capabilities = [_capability(item.get("compute_capability")) for item in devices]
    return Facts(
        asked=bool(network),
        interfaces={str(item["name"]): item for item in (network or {}).get("interfaces") or ()},
        adapters=tuple(_adapters((network or {}).get("hcas") or ())),
        links=links_between(devices, (seen.get("topology") or {}).get("links") or {}),
        gpus=len(gpus),
        capability=min((item for item in capabilities if item), default=None) if all(capabilities) else None,
        address=address,
        nodes=nodes,
        shares_network=shares_network,
        measured=valid_measurement(host.get("collectives"), seen),
    )


def links_between(devices: Sequence[Mapping[str, Any]], matrix: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """Kinds of links between the given GPUs (``nvidia-smi topo -m``)."""
    indexes = [str(device.get("index")) for device in devices]
    found = {(matrix.get(one) or {}).get(other, "") for at, one in enumerate(indexes) for other in indexes[at + 1 :]}
    return frozenset(found - {""})


def topology_key(gpus: Mapping[str, Any]) -> str:
    """What a measurement holds for: driver, GPUs and their links."""
    devices = sorted(str(item.get("uuid")) for item in gpus.get("devices") or ())
    links = (gpus.get("topology") or {}).get("links") or {}
    flat = sorted(f"{one}-{other}:{link}" for one, row in links.items() for other, link in row.items())
    return "|".join([str(gpus.get("driver") or ""), *devices, *flat])


def valid_measurement(measured: Mapping[str, Any] | None, gpus: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The measurement with its verdict, if it was made with the driver and topology that the host has now."""
    if not measured or measured.get("key") != topology_key(gpus):
        return None
    return {**measured, **judge(measured)}


def _adapters(hcas: Sequence[Mapping[str, Any]]) -> list[Adapter]:
    return [
        Adapter(
            name=str(hca.get("name")),
            port=int(port.get("port") or 1),
            active=str(port.get("state") or "").upper() == "ACTIVE",
            layer=str(port.get("link_layer") or ""),
            rate=float(port.get("rate") or 0),
            gid=_routable(port.get("gids") or ()),
        )
        for hca in hcas
        for port in hca.get("ports") or ()
    ]


def _routable(gids: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the RoCE v2 GID of an IPv4 address, else of a global IPv6 one."""
    ranked = []
    for gid in gids:
        if gid.get("type") != "RoCE v2":
            continue
        try:
            address = ipaddress.IPv6Address(str(gid.get("gid")))
        except ValueError:
            continue
        if address.ipv4_mapped is not None:
            ranked.append((0, int(gid["index"])))
        elif not address.is_link_local and int(address):
            ranked.append((1, int(gid["index"])))
    return min(ranked)[1] if ranked else None


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


def _capability(text: Any) -> tuple[int, int] | None:
    major, _dot, minor = str(text or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
