# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Reads from an engine's socket on this host with the standard library alone, for looks that must cost little.

Has the reading methods of `client.Engine`, and its errors.
"""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import quote, urlencode

from ansible_collections.cortex.vllm.plugins.module_utils.connection import EngineError, look_at_socket


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Reader:
    """One connection that is kept open between requests; every method raises `EngineError`."""

    def __init__(self, path, timeout):
        """``path``: of the socket; ``timeout``: seconds a request may take."""
        look_at_socket("unix://" + path)
        self.timeout = timeout
        self._path = path
        self._connection = _Connection(path, timeout)
        self._prefix = ""
        self._version = self._get("/version")
        self.api_version = str(self._version.get("ApiVersion") or "")
        self._prefix = "/v" + self.api_version if self.api_version else ""

    def close(self):
        self._connection.close()

    def _get(self, path, **query):
        target = self._prefix + path + ("?" + urlencode(query) if query else "")
        try:
            self._connection.request("GET", target, headers={"Host": "localhost"})
            answer = self._connection.getresponse()
            status, raw = answer.status, answer.read()
        except socket.timeout:
            self._connection.close()
            raise EngineError("timeout", "the engine did not answer within {0:g} s".format(self.timeout))
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            raise EngineError("connection", "the connection to the engine was lost: {0}".format(exc))
        try:
            data = json.loads(raw.decode("utf-8", "replace"))
        except ValueError:
            data = None
        if status == 200 and data is not None:
            return data
        message = data.get("message") or data.get("cause") if isinstance(data, dict) else None
        message = message or "{0} answered {1}, which is no answer of an engine".format(self._path, status)
        raise EngineError({404: "not_found", 409: "conflict"}.get(status, "refused"), message)

    def _find(self, path):
        try:
            return self._get(path)
        except EngineError as exc:
            if exc.kind == "not_found":
                return None
            raise

    def version(self):
        return self._version

    def info(self):
        return self._get("/info")

    def containers(self):
        """All containers, stopped ones too, as the engine's short list."""
        return self._get("/containers/json", all=1)

    def inspect(self, ident):
        """The engine's full answer for one container, or None when there is none."""
        return self._find("/containers/{0}/json".format(quote(ident, safe="")))

    def network(self, name):
        """Whether there is a network of this name or id."""
        return self._find("/networks/{0}".format(quote(name, safe=""))) is not None

    def image(self, ref):
        """The engine's answer for one image, or None when it is not on the host."""
        return self._find("/images/{0}/json".format(quote(ref, safe="/:@")))
