# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ranks of one model on several hosts, as vLLM's own multi-node joins them: the head has a port, the others come to it.

Seen with vLLM 0.32 on the CPU: a head whose rank ends while loading fails, and ends with code 0 after it was ready; a
rank whose head ends while it loads waits on.
"""

from __future__ import annotations

import socket
import threading
import time
import typing as t


class Ranks:
    """One rank. ``lost`` is set when a fellow's connection ended."""

    def __init__(self, options: t.Mapping[str, t.Any], wake: threading.Event) -> None:
        self.count = int(options.get("nnodes") or 1)
        self.rank = int(options.get("node_rank") or 0)
        self.address = (str(options.get("master_addr") or "127.0.0.1"), int(options.get("master_port") or 29501))
        self.lost = threading.Event()
        self._wake = wake
        self._sockets: t.List[socket.socket] = []

    def join(self) -> None:
        """Wait until every rank is there, as long as it takes."""
        if self.count < 2:
            return
        if self.rank == 0:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self.address)
            listener.listen(8)
            while len(self._sockets) < self.count - 1:
                self._sockets.append(listener.accept()[0])
            for fellow in self._sockets:
                fellow.sendall(b"go")
            self._sockets.append(listener)
        else:
            while True:
                try:
                    self._sockets = [socket.create_connection(self.address)]
                    if self._sockets[0].recv(2) == b"go":
                        break
                except OSError:
                    pass
                time.sleep(0.1)
        for fellow in self._sockets[: self.count - 1]:
            threading.Thread(target=self._watch, args=(fellow,), daemon=True).start()

    def _watch(self, fellow: socket.socket) -> None:
        try:
            while fellow.recv(1):
                pass
        except OSError:
            pass
        self.lost.set()
        self._wake.set()
