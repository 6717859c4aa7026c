# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a closed site has between itself and the world: a CA that nobody else knows, and a forward proxy."""

from __future__ import annotations

import base64
import http.server
import select
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import hands


class Authority:
    """A CA made by openssl, and certificates that it signed."""

    def __init__(self, folder):
        hands.needed("openssl")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "ca.crt"
        self._run(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=A private CA", "-keyout", folder / "ca.key", "-out", self.ca,
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    @staticmethod
    def _run(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def certificate(self, *names):
        """``(certificate, key)`` of a server: names as openssl writes them, ``DNS:x`` or ``IP:1.2.3.4``."""
        stem = self.folder / "server"
        self._run(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a server",
            "-keyout", f"{stem}.key", "-out", f"{stem}.csr",
        )  # fmt: skip
        (self.folder / "extensions").write_text(f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth\n")
        self._run(
            "x509", "-req", "-in", f"{stem}.csr", "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", self.folder / "extensions", "-out", f"{stem}.crt",
        )  # fmt: skip
        return f"{stem}.crt", f"{stem}.key"

    def over_tls(self, server, *names):
        """Let a server of the standard library speak TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(*names))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return server


class Proxy:
    """A forward proxy on loopback that alone knows where ``*.invalid`` is; with a login it answers 407 to others.

    ``asked``: ``CONNECT host:port`` and the URLs that came; ``refused``: how many came without the login.
    """

    def __init__(self, addresses, login=None, port=0, within=lambda function: function(), address="127.0.0.1"):
        self.asked, self.refused = [], 0
        proxy = self
        wanted = "Basic " + base64.b64encode(login.encode()).decode() if login else None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def allowed(self):
                if wanted and self.headers.get("Proxy-Authorization") != wanted:
                    proxy.refused += 1
                    self.send_response(407)
                    self.send_header("Proxy-Authenticate", "Basic realm=x")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return False
                proxy.asked.append(f"{self.command} {self.path}")
                return True

            def do_CONNECT(self):
                if not self.allowed():
                    return
                if self.path.partition(":")[0] not in addresses:
                    self.send_response(502)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                with socket.create_connection(addresses[self.path.partition(":")[0]], timeout=60) as far:
                    self.send_response(200)
                    self.end_headers()
                    self.tunnel(self.connection, far)
                self.close_connection = True

            @staticmethod
            def tunnel(near, far):
                ends = {near: far, far: near}
                while True:
                    for end in select.select(list(ends), [], [], 60)[0]:
                        try:
                            data = end.recv(65536)
                            ends[end].sendall(data)
                        except OSError:  # one of the two went away
                            return
                        if not data:
                            return

            def do_GET(self):
                if not self.allowed():
                    return
                asked = urlsplit(self.path)
                host, port = addresses[asked.hostname]
                url = asked._replace(scheme="http", netloc=f"{host}:{port}").geturl()
                keep = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy")}
                request = urllib.request.Request(url, headers={**keep, "Host": asked.netloc}, method=self.command)
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                try:
                    answer = opener.open(request, timeout=60)
                except urllib.error.HTTPError as problem:
                    answer = problem
                body = answer.read()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in {"connection", "transfer-encoding"}:
                        self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

        # Who asks may live in another network than the one that the answers come from.
        self.server = within(lambda: http.server.ThreadingHTTPServer((address, port), Handler))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]
        self.url = f"http://{login + '@' if login else ''}{address}:{self.port}"
