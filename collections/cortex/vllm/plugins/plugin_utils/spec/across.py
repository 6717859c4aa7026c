# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What can be said about all declarations of one host before the host is asked: ports, GPUs, open doors."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from ..findings import Finding, accepted
from .server import ServerSpec

#: A server in one of these states has, or may have, its port and its GPUs.
_ACTIVE = ("started", "held")


def check(specs: Sequence[ServerSpec], *, root: str = "vllm_servers") -> list[Finding]:
    """Findings about the declarations of one host, after each declaration's ``accept``.

    Errors make ``load`` refuse; warnings are for the plan to tell.
    """
    findings: list[Finding] = []
    for spec in specs:
        findings += accepted(_alone(spec, f"{root}[{spec.name}]"), spec.accept)
    active = sorted((spec for spec in specs if spec.state in _ACTIVE), key=lambda spec: spec.name)
    for first, second in _meeting(active):
        # What two servers do to each other is accepted when both say so.
        findings += accepted(_together(first, second, root), set(first.accept) & set(second.accept))
    return findings


def _meeting(specs: Sequence[ServerSpec]) -> Iterator[tuple[ServerSpec, ServerSpec]]:
    """Pairs that may want the same port or GPU, in order; comparing each with each takes seconds for a thousand."""
    wanting: dict[Any, list[int]] = {}
    greedy: list[int] = []
    others: list[int] = []
    for place, spec in enumerate(specs):
        ports = {("port", port) for _address, port in spec.published()}
        for key in ports | {("gpu", item) for item in spec.gpus.items}:
            wanting.setdefault(key, []).append(place)
        if spec.gpus:
            (greedy if spec.gpus.kind == "all" else others).append(place)
    pairs = {pair for places in wanting.values() for pair in combinations(places, 2)}
    pairs |= set(combinations(greedy, 2)) | {(min(one, two), max(one, two)) for one in greedy for two in others}
    yield from ((specs[one], specs[two]) for one, two in sorted(pairs))


def _alone(spec: ServerSpec, path: str) -> Iterator[Finding]:
    if spec.state in ("stopped", "absent"):
        return
    if spec.published() and not _is_loopback(spec.bind) and "VLLM_API_KEY" not in spec.secret_values():
        yield Finding(
            "security.public-without-key",
            "error",
            f"{spec.bind} can be reached from other machines, and no API key is asked of them",
            field=f"{path}.bind",
            fix="Write secrets.api_key, or bind: 127.0.0.1, or accept: [security.public-without-key] if something else "
            "guards the port",
            server=spec.name,
            origin=spec.bind,
        )


def _together(first: ServerSpec, second: ServerSpec, root: str) -> Iterator[Finding]:
    for address, port in first.published():
        for other_address, other_port in second.published():
            if port == other_port and _overlap(address, other_address):
                yield Finding(
                    "port.shared",
                    "error",
                    f"port {port} on {other_address} is wanted by {first.name} too",
                    field=f"{root}[{second.name}].server_port",
                    fix="Give each server a port of its own",
                    server=second.name,
                )
    shared = sorted(set(first.gpus.items) & set(second.gpus.items))
    both = bool(first.gpus) and bool(second.gpus)
    # Indexes beside UUIDs can only be compared with the host at hand: that is the plan's to check.
    if (first.gpus.kind == second.gpus.kind and shared) or (both and "all" in (first.gpus.kind, second.gpus.kind)):
        what = f"GPU {', '.join(shared)}" if shared else "a GPU"
        yield Finding(
            "gpu.shared",
            "error",
            f"{what} is taken by {first.name} too",
            field=f"{root}[{second.name}].gpus",
            fix="Name other GPUs, or write share_gpus: true in both and divide gpu_memory_utilization",
            server=second.name,
        )


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _overlap(first: str, second: str) -> bool:
    """Whether two listening addresses exclude each other: the same, or one of them every address.

    ``::`` takes IPv4 too where the kernel is left as it comes (net.ipv6.bindv6only = 0).
    """
    one, other = ipaddress.ip_address(first), ipaddress.ip_address(second)
    if one == other:
        return True
    if one.version == other.version:
        return one.is_unspecified or other.is_unspecified
    return (one.version == 6 and one.is_unspecified) or (other.version == 6 and other.is_unspecified)
