# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Sending files of the controller to a host in parts, so that an interruption costs one part and no more."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Protocol

from ..findings import FindingsError
from ..following import BACK_OFF, Lost, Remote
from ..observation import SCHEMA
from . import manifest, work

CHUNK = 1 << 20


class Carrier(Remote, Protocol):
    """A host that files can be copied to."""

    def put(self, path: str) -> str:
        """Copy a file of the controller to the host; returns where the module finds it."""


def _pieces(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(CHUNK, size))
        if not piece:
            return
        size -= len(piece)
        yield piece


class Sender:
    """Everything that one task sends to one host, under one progress line.

    :param sizes: bytes to send in all
    :param part: bytes of a part
    """

    def __init__(
        self,
        remote: Carrier,
        top: str,
        sizes: int,
        part: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.remote, self.top, self.part, self.total, self.sent = remote, top, part, sizes, 0
        self._sleep = sleep
        self._line = work.Line(remote.say, f"[{remote.host}] sending", clock)

    def send(self, name: str, entry: Mapping[str, Any], folder: str, have: int) -> None:
        """Send a file of the bundle, or the rest of it.

        :param folder: the host's directory that it belongs to; parts gather below it
        :param have: bytes that are there already
        :raises FindingsError: ``bundle.damaged`` when the file here is not what the manifest says
        """
        path = os.path.join(self.top, name)
        try:
            size = os.stat(path).st_size
        except OSError as problem:
            raise FindingsError(
                manifest.damaged([{"file": name, "why": f"is not there ({problem.strerror})"}], self.top)
            ) from None
        if size != entry["size"]:
            raise FindingsError(manifest.damaged([{"file": name, "why": "has another size"}], self.top))
        digest = hashlib.sha256()
        have = 0 if have > size else have
        with open(path, "rb") as stream, tempfile.TemporaryDirectory(prefix="cortex-vllm-") as scratch:
            for piece in _pieces(stream, have):
                digest.update(piece)
            if have == 0:
                self._receive(entry, folder, restart=True)
            while have < size:
                length = min(self.part, size - have)
                part = os.path.join(scratch, "part")
                with open(part, "wb") as copy:
                    for piece in _pieces(stream, length):
                        digest.update(piece)
                        copy.write(piece)
                self._part(part, entry, folder, have, length)
                have += length
                self.sent += length
                self._line.tell(self.sent, self.total, name)
        if digest.hexdigest() != entry["sha256"]:
            self._receive(entry, folder, restart=True)
            raise FindingsError(manifest.damaged([{"file": name, "why": "has another content"}], self.top))

    def _part(self, part: str, entry: Mapping[str, Any], folder: str, offset: int, length: int) -> None:
        """One part, again and again until it is there or the host stays away.

        :raises following.Lost: when the connection does not come back
        """
        for pause in (*BACK_OFF, None):
            try:
                have = self._receive(entry, folder)
                if have == offset:
                    have = self._receive(entry, folder, offset=offset, part=self.remote.put(part))
                if have == offset + length:
                    return
                raise work.WorkError(
                    f"{self.remote.host}: {have} bytes of {entry['sha256'][:12]} are in {folder}, {offset + length} "
                    "were sent. Does another run send the same? Run the task again when it is over."
                )
            except Lost:
                if pause is None:
                    raise
                self.remote.say(f"[{self.remote.host}] sending: no connection, trying again")
                self._sleep(pause)
                self.remote.reset()

    def _receive(self, entry: Mapping[str, Any], folder: str, **more: Any) -> int:
        request = {"schema": SCHEMA, "folder": folder, "sha256": entry["sha256"], **more}
        return int(self.remote("receive", request)["have"])


def deliver(remote: Carrier, path: str, sha256: str, folder: str, name: str) -> None:
    """Bring one small file of the controller to its place on the host."""
    request = {"schema": SCHEMA, "folder": folder, "sha256": sha256, "name": name, "offset": 0, "restart": True}
    remote("receive", {**request, "part": remote.put(path)})
