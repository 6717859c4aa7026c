# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Whether the other ranks of a model that spans hosts are still there, without asking anybody.

A rank keeps a connection to the head's rendezvous for as long as both live, and the kernels of both hosts know it. A
rank whose fellow has gone may wait for it for many minutes; whoever waits for the rank need not.
"""

from __future__ import annotations

import binascii
import socket
import sys

ESTABLISHED = "01"  # include/net/tcp_states.h
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
# Seconds without a connection after which the head is gone: ranks open a new one while the first is closing.
PATIENCE = 5.0
EVERY = 1.0


def form(address, port):
    """An address as the kernel's tables show it: 32 bit words in the host's byte order."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address)
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return "{0}:{1:04X}".format(binascii.hexlify(b"".join(words)).decode("ascii").upper(), port)


def connected(peer, tables=TABLES):
    """Whether a process of this host has a live connection with a peer; None when the kernel does not tell.

    ``peer``: ``{"address", "port"}``, a port of the other side, or ``{"address", "local_port"}``, one of this side.
    """
    address, port = str(peer["address"]), int(peer.get("port") or 0)
    wanted, told = [form(address, port)], False
    if ":" not in address:
        wanted.append(form("::ffff:" + address, port))
    hosts = [item.partition(":")[0] for item in wanted]
    own = ":{0:04X}".format(int(peer["local_port"])) if peer.get("local_port") else None
    for path in tables:
        try:
            with open(path, "rb") as stream:
                rows = stream.read().decode("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        told = True
        for row in rows:
            parts = row.split()
            if len(parts) < 4 or parts[3] != ESTABLISHED:
                continue
            if own and parts[1].endswith(own) and parts[2].partition(":")[0] in hosts:
                return True
            if not own and parts[2] in wanted:
                return True
    return False if told else None


class Watch:
    """Of all peers, for one start. ``gone()`` is true once one of them was there and has been missing for a while."""

    def __init__(self, peers, look=connected):
        self._peers, self._look, self._next = list(peers), look, 0.0
        self._seen, self._since = set(), {}
        # A rank that follows a head believes its answers only once it has met it: an older head may still answer.
        self._heads = [index for index, peer in enumerate(self._peers) if peer.get("port")]
        self.lost = None

    def gone(self, now):
        if now < self._next:
            return False
        self._next = now + EVERY
        for index, peer in enumerate(self._peers):
            alive = self._look(peer)
            if alive:
                self._seen.add(index)
                self._since.pop(index, None)
            elif alive is False and index in self._seen and peer.get("keep", True):
                if now - self._since.setdefault(index, now) >= PATIENCE:
                    self.lost = peer
                    return True
        return False

    @property
    def met(self):
        """Whether every head was there once; the kernel must tell, else nobody is waited for."""
        return all(index in self._seen or self._look(self._peers[index]) is None for index in self._heads)

    @property
    def message(self):
        what = "a rank at {0}" if (self.lost or {}).get("local_port") else "the head at {0}"
        return what.format((self.lost or {}).get("address")) + " has ended: this one lost it"
