# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""One host lends its Hugging Face cache to others for the time of a play, and another host takes files of it.

Who lends answers who has the token and nobody else, and only with contents of the cache by their names. Who takes
believes nothing: the names and sizes of what is wanted came over Ansible's connection, and a content is proven by its
name before anybody can see it. The way between needs no secrecy for that; weights cross it as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import http.server
import os
import re
import socket
import socketserver
import stat
import threading
import time

from ansible_collections.cortex.vllm.plugins.module_utils import detach, files, hashing, locks

#: What is lent: `/models--org--name/<name of a blob>`.
WANTED = re.compile(r"/(models--[A-Za-z0-9_.-]+)/([0-9a-f]{40}|[0-9a-f]{64})\Z")
#: Files under way at the same time.
MOST = 64
#: Bytes of a file between two looks at the clock.
STRETCH = 16 << 20
#: Seconds without a byte after which a connection is given up, by either side.
SILENCE = 60.0
#: Seconds between attempts that brought nothing.
PAUSES = (1.0, 2.0, 5.0, 10.0)


def _place(request, token):
    """``(note, name of its lock)`` of what is lent with a token; it is the token that tells one play from another."""
    short = hashlib.sha256(token.encode("utf-8")).hexdigest()[:24]
    state_dir = request.get("state_dir") or files.STATE_DIR
    return os.path.join(state_dir, "work", "lend-" + short + ".json"), "lend-" + short


def lend(request, secrets):
    """Begin to lend a cache, or end it: ``{"store", "bind", "port", "idle", "end"}`` → ``{"port"}``, None when ended.

    It ends by itself when nobody took anything for ``idle`` seconds. Raises `OSError`, `files.RequestRefused`.
    """
    token = (secrets or {}).get("token") or ""
    if len(token) < 20:
        raise files.RequestRefused("the token has fewer than 20 characters, and anybody could guess it")
    path, name = _place(request, token)
    state_dir = request.get("state_dir") or files.STATE_DIR
    lock_path = locks.path_of(state_dir, name)
    if request.get("end"):
        _end(path, lock_path)
        return {"port": None}
    if not os.path.isdir(request["store"]):
        raise files.RequestRefused("there is no directory {0} to lend".format(request["store"]))
    files.directory(os.path.dirname(path), 0o700)
    lock = locks.Lock(state_dir, name)
    try:
        lock.acquire(0)
    except locks.LockTimeout:
        return {"port": _noted(path)}  # it is lent already, for another host of the same play
    try:
        listener = _listen(request.get("bind"), int(request.get("port") or 0))
        with listener:
            port = listener.getsockname()[1]
            # A port tells nobody anything; the token stays in the memory of the one process.
            files.write_atomic(path, ('{{"port": {0}}}'.format(port)).encode("ascii"))
            idle, store = float(request.get("idle") or 900.0), request["store"]
            keep = [lock.fd, listener.fileno()]
            detach.detach(lambda: _serve(listener, store, token, path, lock_path, idle), keep=keep)
    finally:
        lock.release()
    return {"port": port}


def _noted(path):
    """The port that another call noted, which may do so this very moment."""
    until = time.monotonic() + 5.0
    while True:
        found = files.read_json(path)
        if found or time.monotonic() > until:
            return (found or {}).get("port")
        time.sleep(0.1)


def _end(path, lock_path):
    """Take the note away, which who lends looks for each second, and wait until it has gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    until = time.monotonic() + 10.0
    while locks.locked(lock_path) and time.monotonic() < until:
        time.sleep(0.1)


def _listen(bind, port):
    """A listening socket, of all addresses unless one is named. Raises `OSError` that names the address."""
    try:
        if bind:
            family, dummy, dummy2, dummy3, address = socket.getaddrinfo(
                bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            return socket.create_server(address[:2], family=family, backlog=128)
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        return socket.create_server(("", port), backlog=128)
    except OSError as exc:
        text = "cannot listen at {0}, port {1}: {2}".format(
            bind or "all addresses", port or "(any)", exc.strerror or exc
        )
        raise files.RequestRefused(text)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    #: Seconds that `handle_request` waits for somebody.
    timeout = 1.0

    def __init__(self, listener, store, token):
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.store, self.wanted = store, "Bearer " + token
        self.busy, self.last, self.guard = 0, time.monotonic(), threading.Lock()

    def process_request(self, request, client_address):
        """Who has no token costs a thread all the same: more than a few at once are sent away unheard."""
        if threading.active_count() > 2 * MOST:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        """Who takes went away: it comes again."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cortex.vllm", ""
    timeout = SILENCE

    def log_message(self, *dummy):
        pass

    def _refuse(self, status):
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def do_GET(self):
        """One content, from a byte on."""
        given = (self.headers.get("Authorization") or "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self.server.wanted.encode("utf-8")):
            return self._refuse(403)
        found = WANTED.match(self.path)
        if found is None or ".." in found.group(1):
            return self._refuse(404)
        begin = re.match(r"bytes=([0-9]{1,18})-\Z", self.headers.get("Range") or "bytes=0-")
        with self.server.guard:
            full = self.server.busy >= MOST
            self.server.busy += 0 if full else 1
        if full:
            return self._refuse(503)
        try:
            path = os.path.join(self.server.store, found.group(1), "blobs", found.group(2))
            self._send(path, int(begin.group(1)) if begin else None)
        finally:
            with self.server.guard:
                self.server.busy -= 1
                self.server.last = time.monotonic()

    def _send(self, path, begin):
        try:
            # Without waiting for who would write into a named pipe of that name.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return self._refuse(404)
        with open(fd, "rb", buffering=0) as stream:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                return self._refuse(404)
            if begin is None or begin > about.st_size:
                return self._refuse(416)
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(about.st_size - begin))
            if begin:
                self.send_header("Content-Range", "bytes {0}-{1}/{2}".format(begin, about.st_size - 1, about.st_size))
            self.end_headers()
            self.wfile.flush()
            at = begin
            while at < about.st_size:
                sent = self.connection.sendfile(stream, at, min(STRETCH, about.st_size - at))
                if not sent:
                    self.close_connection = True  # it became shorter: who takes sees less than was promised
                    return
                at += sent
                self.server.last = time.monotonic()


def _serve(listener, store, token, path, lock_path, idle):
    """The job that lends: until its note is gone, or nobody wants anything any more."""
    server = _Server(listener, store, token)
    while os.path.exists(path):
        server.handle_request()
        if not server.busy and time.monotonic() - server.last > idle:
            break
    listener.close()
    # Nobody comes with this token again: nothing of it stays, not even the name of its lock.
    for left in (path, lock_path):
        try:
            os.unlink(left)
        except OSError:
            pass


class NotLent(Exception):
    """A content could not be taken; the text says from whom and why."""


def take(lent, token, folder, name, size, path, add):
    """Append to ``path`` what it lacks of a content of another host's cache, again and again while something comes.

    :arg lent: ``{"host", "port"}`` of who lends
    :arg folder: ``models--org--name``
    :arg add: hears of each piece
    Nothing is proven here. Raises `NotLent`, and `OSError` for what cannot be written.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        failed = 0
        have = os.fstat(fd).st_size
        if have > size:
            os.ftruncate(fd, 0)
            have = 0
        while have < size:
            why = _once(lent, token, "/{0}/{1}".format(folder, name), fd, have, size, add)
            now = os.fstat(fd).st_size
            failed, have = (0 if now > have else failed + 1), now
            if have < size and failed > len(PAUSES):
                raise NotLent(
                    "{0} does not come from {1}, port {2}: {3}. Does a firewall between the hosts let that port "
                    "through?".format(name[:12], lent["host"], lent["port"], why)
                )
            if have < size and failed:
                time.sleep(PAUSES[failed - 1])
        os.fsync(fd)
    finally:
        os.close(fd)


def _once(lent, token, path, fd, have, size, add):
    """One connection; why it ended early, or None. Raises `NotLent` for what another attempt would not change."""
    connection = http.client.HTTPConnection(lent["host"], int(lent["port"]), timeout=SILENCE)
    try:
        headers = {"Authorization": "Bearer " + token, "Connection": "close"}
        if have:
            headers["Range"] = "bytes={0}-".format(have)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status in (403, 404, 416):
            why = {403: "it lends to another play, or no longer", 404: "it has no such content any more"}
            told = why.get(answer.status, "its content has another size")
            raise NotLent("{0} is not lent by {1}: {2}".format(path, lent["host"], told))
        if answer.status != (206 if have else 200):
            return "it answers {0}".format(answer.status)
        os.lseek(fd, have, os.SEEK_SET)
        while have < size:
            piece = answer.read(min(hashing.CHUNK, size - have))
            if not piece:
                return "the connection ended"
            view = memoryview(piece)
            while view:
                view = view[_written(fd, view) :]
            have += len(piece)
            add(len(piece))
        return None
    except _Unwritable as exc:
        raise exc.problem
    except (OSError, http.client.HTTPException) as exc:
        return str(exc) or type(exc).__name__
    finally:
        connection.close()


class _Unwritable(Exception):
    def __init__(self, problem):
        super().__init__(str(problem))
        self.problem = problem


def _written(fd, view):
    """A full disk is no trouble of the connection."""
    try:
        return os.write(fd, view)
    except OSError as exc:
        raise _Unwritable(exc)
