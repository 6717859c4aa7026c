# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Views of one container engine: each simulated host sees only its own containers.

Fifty inventory hosts of a benchmark share the engine of one machine. A real host would not see the containers of the
other forty-nine, so each gets a socket of its own that passes everything on and narrows one request: the list of
containers, to names that match. Runs as a process of its own; its CPU time is in nobody's measurement.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import urllib.parse
from pathlib import Path

LIST = re.compile(rb"^GET (?P<path>(?:/v[\d.]+)?/containers/json)(?:\?(?P<query>\S*))? HTTP/1\.[01]\r\n")
HEAD_LIMIT = 1 << 20


def narrowed(head: bytes, name: str) -> bytes:
    """A request's head, and if it lists containers, only those whose name matches the regular expression ``name``."""
    found = LIST.match(head)
    if not found:
        return head
    query = dict(urllib.parse.parse_qsl((found["query"] or b"").decode(), keep_blank_values=True))
    filters = json.loads(query.get("filters") or "{}")
    filters["name"] = [name]
    query["filters"] = json.dumps(filters)
    line = f"GET {found['path'].decode()}?{urllib.parse.urlencode(query)} HTTP/1.1\r\n".encode()
    return line + head[found.end() :]


def _header(head: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"\r\n" + name + rb":[ \t]*([^\r]*)", head, re.IGNORECASE)
    return found[1].strip() if found else None


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    with contextlib.suppress(ConnectionError, OSError):
        target.close()


async def _requests(source: asyncio.StreamReader, target: asyncio.StreamWriter, name: str) -> None:
    """Pass on one request after another, until a body has no known length (then the rest goes as it is)."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await source.readuntil(b"\r\n\r\n")
            target.write(narrowed(head, name))
            length = _header(head, b"content-length")
            if length:
                target.write(await source.readexactly(int(length)))
            await target.drain()
            if _header(head, b"transfer-encoding") or _header(head, b"upgrade"):
                await _copy(source, target)
                return
    with contextlib.suppress(ConnectionError, OSError):
        target.close()


async def serve(engine: str, views: dict[str, str]) -> None:
    """Listen on each socket of ``views`` (path → regular expression of container names) until killed."""

    def handler(name: str):
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            upstream, to_engine = await asyncio.open_unix_connection(engine, limit=HEAD_LIMIT)
            await asyncio.gather(_requests(reader, to_engine, name), _copy(upstream, writer), return_exceptions=True)

        return connected

    for path, name in views.items():
        Path(path).unlink(missing_ok=True)
        await asyncio.start_unix_server(handler(name), path=path, limit=HEAD_LIMIT)
        os.chmod(path, 0o600)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], json.load(sys.stdin)))
