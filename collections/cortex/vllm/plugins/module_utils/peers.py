# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Whether the head of a model that spans hosts is still there, seen from a further rank, without asking anybody.

A rank keeps a connection to the head's rendezvous for as long as both live. The kernel of this host knows it. A rank
whose head has gone may wait for it for many minutes; whoever waits for the rank need not.
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


def connected(address, port, tables=TABLES):
    """Whether a process of this host has a live connection to ``address``; None when the kernel does not tell."""
    wanted, told = {form(address, port)}, False
    if ":" not in address:
        wanted.add(form("::ffff:" + address, port))
    for path in tables:
        try:
            with open(path, "rb") as stream:
                rows = stream.read().decode("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        told = True
        for row in rows:
            parts = row.split()
            if len(parts) > 3 and parts[2] in wanted and parts[3] == ESTABLISHED:
                return True
    return False if told else None


class Watch:
    """Of one head, for one start. ``gone()`` is true once there was a connection and has been none for a while."""

    def __init__(self, peer, look=connected):
        self.address, self.port = str(peer["address"]), int(peer["port"])
        self._look, self._seen, self._since, self._next = look, False, None, 0.0

    def gone(self, now):
        if now < self._next:
            return False
        self._next = now + EVERY
        alive = self._look(self.address, self.port)
        if alive is None:
            return False
        if alive:
            self._seen, self._since = True, None
            return False
        if not self._seen:
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= PATIENCE

    @property
    def message(self):
        return "the head at {0} has ended: this rank lost it".format(self.address)
