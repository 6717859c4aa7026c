# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Who holds a port: listening sockets (``/proc/net/tcp``), their processes, and ports that containers publish."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct

LISTEN = "0A"
ANY = ("0.0.0.0", "::")


def _address(text):
    """``0100007F`` or 32 hex digits (words of the host's byte order) as an address."""
    raw = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def listeners(root="/proc"):
    """``[(address, port, inode)]`` of all listening TCP sockets; unreadable files count as none."""
    found = []
    for name in ("tcp", "tcp6"):
        try:
            with open(os.path.join(root, "net", name), "rb") as stream:
                lines = stream.read().decode("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == LISTEN:
                address, dummy, port = fields[1].partition(":")
                found.append((_address(address), int(port, 16), fields[9]))
    return found


def _same(wanted, held):
    """Whether two bind addresses cannot be bound at once. A socket on :: takes IPv4 too (Linux's default)."""
    wanted, held = wanted or ANY[0], held or ANY[0]
    if wanted in ANY or held in ANY:
        return True
    try:
        left, right = ipaddress.ip_address(wanted), ipaddress.ip_address(held)
    except ValueError:
        return wanted == held
    mapped = getattr(right, "ipv4_mapped", None)
    return left == right or (mapped is not None and left == mapped)


def processes(inodes, root="/proc"):
    """``{inode: (pid, name)}`` of who has these sockets open, as far as we may look."""
    wanted = {"socket:[{0}]".format(inode): inode for inode in inodes}
    found = {}
    try:
        pids = [name for name in os.listdir(root) if name.isdigit()]
    except OSError:
        return found
    for pid in pids:
        folder = os.path.join(root, pid, "fd")
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                inode = wanted.get(os.readlink(os.path.join(folder, name)))
            except OSError:
                continue
            if inode is not None and inode not in found:
                try:
                    with open(os.path.join(root, pid, "comm"), "rb") as stream:
                        comm = stream.read().decode("utf-8", "replace").strip()
                except OSError:
                    comm = None
                found[inode] = (int(pid), comm)
        if len(found) == len(wanted):
            break
    return found


def published(containers):
    """``[(address, port, container name)]`` of running containers, from the engine's short list."""
    found = []
    for entry in containers:
        name = (entry.get("Names") or [""])[0].lstrip("/")
        for port in entry.get("Ports") or []:
            if port.get("PublicPort") and port.get("Type", "tcp") == "tcp":
                found.append((port.get("IP") or ANY[0], int(port["PublicPort"]), name))
    return found


def ours(addresses):
    """``{"203.0.113.9": False}``: whether something could listen there. Datagram sockets are in nobody's way."""
    answer = {}
    for address in addresses:
        if not address or address in answer:
            continue
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
            answer[address] = True
        except OSError as exc:
            # Anything else (no IPv6 in the kernel, a sandbox) is nothing that the declaration is to blame for.
            if exc.errno == errno.EADDRNOTAVAIL:
                answer[address] = False
    return answer


def look(wanted, containers, root="/proc"):
    """``{"8000": None | {address, pid, process, container}}`` for ``[{address, port}]``; None = free."""
    sockets = listeners(root)
    bindings = published(containers)
    answer, missing = {}, set()
    for entry in wanted:
        port, address = int(entry["port"]), entry.get("address")
        key = str(port)
        if answer.get(key):
            continue
        answer[key] = None
        for held, number, name in bindings:
            if number == port and _same(address, held):
                answer[key] = {"address": held, "pid": None, "process": None, "container": name}
                break
        for held, number, inode in sockets:
            if number == port and _same(address, held):
                if answer[key] is None:
                    answer[key] = {"address": held, "pid": None, "process": None, "container": None}
                answer[key]["inode"] = inode
                missing.add(inode)
                break
    owners = processes(missing, root) if missing else {}
    for found in answer.values():
        if found is not None:
            found["pid"], found["process"] = owners.get(found.pop("inode", None), (None, None))
    return answer
