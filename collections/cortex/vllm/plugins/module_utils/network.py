# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Interfaces with their addresses, and adapters for RDMA, as the kernel shows them.

A part that cannot be read is left out; nothing here raises.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct

NET = "/sys/class/net"
INFINIBAND = "/sys/class/infiniband"
ROUTES = "/proc/net/route"
INET6 = "/proc/net/if_inet6"
# linux/sockios.h
SIOCGIFADDR = 0x8915


def look(module):
    """``{"interfaces": [...], "hcas": [...]}`` of docs/contract.md."""
    return {"interfaces": interfaces(_addresses(module)), "hcas": hcas()}


def measured(state_dir):
    """What a measurement left in collectives.json; None when there is none."""
    try:
        return json.loads(_read(os.path.join(state_dir, "collectives.json")) or "null")
    except ValueError:
        return None


def interfaces(addresses, folder=NET, routes=ROUTES):
    """Interfaces in the order of their names; ``addresses``: by name."""
    default = _default(routes)
    found = []
    for name in _names(folder):
        place = os.path.join(folder, name)
        speed = _read(os.path.join(place, "speed"))
        found.append(
            {
                "name": name,
                "up": _up(place),
                "kind": _kind(name, place),
                "mtu": _number(_read(os.path.join(place, "mtu"))),
                # In Mb/s; unknown (-1) for most that are virtual.
                "speed": _number(speed) if speed and not speed.startswith("-") else None,
                "addresses": sorted(addresses.get(name) or []),
                "default": name == default,
            }
        )
    return found


def hcas(folder=INFINIBAND):
    """``[{"name", "ports": [{"port", "state", "link_layer", "rate", "gids": [{"index", "gid", "type", …}]}]}]``."""
    found = []
    for name in _names(folder):
        place = os.path.join(folder, name, "ports")
        ports = [_port(int(number), os.path.join(place, number)) for number in _names(place) if number.isdigit()]
        found.append({"name": name, "ports": sorted(ports, key=lambda port: port["port"])})
    return found


def _port(number, place):
    state = _read(os.path.join(place, "state")) or ""
    rate = re.match(r"([\d.]+) Gb/sec", _read(os.path.join(place, "rate")) or "")
    return {
        "port": number,
        "state": state.partition(":")[2].strip() or state,
        "link_layer": _read(os.path.join(place, "link_layer")),
        "rate": float(rate.group(1)) if rate else None,
        "gids": _gids(place),
    }


def _gids(place):
    """Those in use. Reading an unused entry of ``gid_attrs`` fails, which is how the kernel says so."""
    found = []
    for index in sorted((name for name in _names(os.path.join(place, "gids")) if name.isdigit()), key=int):
        gid = _read(os.path.join(place, "gids", index))
        if not gid or not gid.replace(":", "").strip("0"):
            continue
        found.append(
            {
                "index": int(index),
                "gid": gid,
                "type": _read(os.path.join(place, "gid_attrs", "types", index)),
                "interface": _read(os.path.join(place, "gid_attrs", "ndevs", index)),
            }
        )
    return found


def _kind(name, place):
    if name == "lo":
        return "loopback"
    kind = _number(_read(os.path.join(place, "type")))
    if kind == 32:  # linux/if_arp.h: ARPHRD_INFINIBAND
        return "infiniband"
    for folder in ("bridge", "bonding"):
        if os.path.isdir(os.path.join(place, folder)):
            return folder.replace("bonding", "bond")
    return "ethernet" if os.path.exists(os.path.join(place, "device")) else "virtual"


def _up(place):
    """Down only where the kernel says so: many virtual ones are ``unknown`` and work."""
    return (_read(os.path.join(place, "operstate")) or "unknown") in ("up", "unknown", "dormant")


def _addresses(module):
    """Addresses by interface, of ``ip``; where it is missing the first IPv4 one of each, and those of IPv6."""
    command = module.get_bin_path("ip") if module is not None else None
    if command:
        code, out, dummy = module.run_command([command, "-json", "address", "show"], errors="replace")
        if code == 0:
            found = parse_ip(out)
            if found:
                return found
    return _by_kernel()


def parse_ip(text):
    """``ip -json address show`` as ``{interface: [addresses]}``, without those that only hold on one link."""
    try:
        entries = json.loads(text)
    except ValueError:
        return {}
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("ifname"):
            found[entry["ifname"]] = [
                item["local"]
                for item in entry.get("addr_info") or []
                if item.get("local") and item.get("scope") != "link"
            ]
    return found


def _by_kernel(folder=NET, inet6=INET6):
    import fcntl

    found = {}
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        for name in _names(folder):
            try:
                answer = fcntl.ioctl(listener.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except (OSError, ValueError):
                continue
            found.setdefault(name, []).append(socket.inet_ntoa(answer[20:24]))
    finally:
        listener.close()
    for line in (_read(inet6) or "").splitlines():
        parts = line.split()
        if len(parts) == 6 and parts[3] == "00":  # scope: global
            text = ":".join(parts[0][at : at + 4] for at in range(0, 32, 4))
            found.setdefault(parts[5], []).append(
                socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
            )
    return found


def _default(routes):
    """Interface of the default route with the lowest metric."""
    best = None
    for line in (_read(routes) or "").splitlines()[1:]:
        parts = line.split()
        if len(parts) > 6 and parts[1] == "00000000" and parts[7:8] == ["00000000"]:
            metric = _number(parts[6]) or 0
            if best is None or metric < best[0]:
                best = (metric, parts[0])
    return best[1] if best else None


def _names(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read(65536).decode("utf-8", "replace").strip()
    except OSError:
        return None


def _number(text):
    try:
        return int(text)
    except (TypeError, ValueError):
        return None
