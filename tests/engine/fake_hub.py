# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Hub on loopback: the endpoints that huggingface_hub asks for a snapshot, and the ways in which it refuses."""

from __future__ import annotations

import http.server
import json
import pathlib
import re
import threading
from urllib.parse import unquote, urlsplit

from sites import blob_name

LARGE = (".safetensors", ".bin", ".onnx", ".gguf")


class Hub:
    """Repositories in memory. ``cut``: file names whose transfer breaks off in the middle; ``asked``: what came."""

    def __init__(self, tls=None):
        """``tls``: lets the server speak it (`authority.Authority.over_tls`)."""
        self.repositories, self.gated, self.tokens = {}, set(), set()
        self.cut, self.asked, self.seen_arguments = set(), [], set()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "https" if tls else "http"
        if tls:
            tls(self.server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "{}://127.0.0.1:{}".format(self.scheme, self.server.server_address[1])

    def publish(self, model, files, commit, revisions=("main",)):
        entry = self.repositories.setdefault(model, {"commits": {}, "refs": {}})
        entry["commits"][commit] = files
        entry["refs"].update(dict.fromkeys(revisions, commit))

    def files_asked(self):
        return [path.rpartition("/")[2] for method, path in self.asked if method == "GET" and "/resolve/" in path]

    def answer(self, handler):
        path = unquote(urlsplit(handler.path).path)
        self.asked.append((handler.command, path))
        if "/resolve/" in path and handler.command == "GET":
            self.look_at_processes()
        api = re.match(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", path)
        file = re.match(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        model = (api or file)[1] if api or file else None
        token = (handler.headers.get("Authorization") or "").replace("Bearer ", "")
        if token and token not in self.tokens:
            return self.refuse(handler, 401, None, "Invalid credentials in Authorization header")
        if model not in self.repositories:
            return self.refuse(handler, 404 if token else 401, "RepoNotFound", "Repository not found")
        if model in self.gated and not (api and api[2] == "revision") and not token:
            return self.refuse(handler, 401, "GatedRepo", "Access to model is restricted")
        repository = self.repositories[model]
        revision = (api[3] if api else file[2]).split("?")[0]
        commit = repository["refs"].get(revision, revision)
        files = repository["commits"].get(commit)
        if files is None:
            return self.refuse(handler, 404, "RevisionNotFound", "Invalid rev id")
        if api:
            return self.send(handler, json.dumps(self.describe(api[2], model, commit, files)).encode())
        content = files.get(file[3])
        if content is None:
            return self.refuse(handler, 404, "EntryNotFound", "Entry not found")
        large = file[3].endswith(LARGE)
        headers = {"X-Repo-Commit": commit, "ETag": '"{}"'.format(blob_name(content, large)), "Accept-Ranges": "bytes"}
        if large:
            headers.update({"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))})
        return self.send(handler, content, headers, file[3] in self.cut)

    def describe(self, what, model, commit, files):
        rows = []
        for name, content in files.items():
            large = name.endswith(LARGE)
            sha256 = blob_name(content, True)
            git, size = blob_name(content, False), len(content)
            if what == "tree":
                lfs = {"lfs": {"oid": sha256, "size": size, "pointerSize": 130}} if large else {}
                rows.append({"type": "file", "path": name, "size": size, "oid": git, **lfs})
            else:
                lfs = {"lfs": {"sha256": sha256, "size": size, "pointerSize": 130}} if large else {}
                rows.append({"rfilename": name, "size": size, "blobId": git, **lfs})
        return rows if what == "tree" else {"id": model, "sha": commit, "siblings": rows, "private": False}

    def send(self, handler, content, headers=(), cut=False):
        status, begin = 200, 0
        asked = re.match(r"bytes=(\d+)-", handler.headers.get("Range") or "")
        if asked:
            status, begin = 206, int(asked[1])
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        if asked:
            handler.send_header("Content-Range", "bytes {}-{}/{}".format(begin, len(content) - 1, len(content)))
        handler.send_header("Content-Length", str(len(content) - begin))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content[begin : begin + (len(content) - begin) // 2] if cut else content[begin:])
        if cut:
            handler.close_connection = True

    def refuse(self, handler, status, code, message):
        handler.send_response(status)
        if code:
            handler.send_header("X-Error-Code", code)
        handler.send_header("X-Error-Message", message)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def look_at_processes(self):
        """Remember what every process of the machine shows of its arguments while a file is fetched."""
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.seen_arguments.add(path.read_bytes())
            except OSError:
                pass
