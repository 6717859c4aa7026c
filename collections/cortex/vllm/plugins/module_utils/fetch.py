# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Pulls an image in a detached job, so that a large layer survives the end of a call, and tells how far it is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid

from ansible_collections.cortex.vllm.plugins.module_utils import detach, files, locks
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine, EngineError, load_sdk

POLL = 0.2
NOTE_EVERY = 0.5


def _folder(state_dir):
    return os.path.join(state_dir, "fetch")


def _name(ref):
    return hashlib.sha256(ref.encode("utf-8")).hexdigest()[:24]


class Progress:
    """Sums up the engine's per-layer events."""

    def __init__(self):
        self._layers = {}

    def feed(self, event):
        ident, status = event.get("id"), event.get("status") or ""
        if not ident or status.startswith("Pulling from"):
            return
        layer = self._layers.setdefault(ident, {"done": False, "bytes": 0, "total": 0})
        detail = event.get("progressDetail") or {}
        if status == "Downloading":
            layer["bytes"] = int(detail.get("current") or layer["bytes"])
            layer["total"] = int(detail.get("total") or layer["total"])
        elif status in ("Download complete", "Verifying Checksum"):
            layer["bytes"] = layer["total"]
        elif status in ("Pull complete", "Already exists"):
            layer.update(done=True, bytes=layer["total"])

    def summary(self):
        """``{layers, done, bytes, total}``; ``total`` grows while layers are still queued."""
        layers = list(self._layers.values())
        return {
            "layers": len(layers),
            "done": sum(1 for layer in layers if layer["done"]),
            "bytes": sum(layer["bytes"] for layer in layers),
            "total": sum(layer["total"] for layer in layers),
        }


def proxies(engine):
    """``{"https", "http", "no"}``: what the engine itself asks registries through; None when it does not say."""
    try:
        info = engine.info()
    except EngineError:
        return None
    found = {}
    for key, name in (("https", "HttpsProxy"), ("http", "HttpProxy"), ("no", "NoProxy")):
        found[key] = _without_login(info.get(name) or "")
    return found


def _without_login(text):
    """Addresses without the login that may stand in them."""
    return re.sub(r"//[^/@\s\"]+@", "//", text)


def meaning(ref, text, via=None):
    """``(code, hint)`` of a failed pull.

    ``via``: the engine's own proxies. It is the engine that pulls: what the play or a user has in the environment does
    not reach it, which nobody sees in its words.
    """
    low, registry = text.lower(), ref.partition("/")[0]
    proxy = (via or {}).get("https") or (via or {}).get("http")
    theirs = "the engine pulls through its own proxy {0}, ".format(proxy)
    where = "host_engine_environment of role cortex.vllm.host"
    if "proxy authentication required" in low or "proxyconnect" in low and "407" in low:
        return "image.proxy", theirs + "which wants another login: correct HTTPS_PROXY in {0}".format(where)
    if "proxyconnect" in low or "invalid proxy" in low:
        return "image.proxy", theirs + "which cannot be reached: correct HTTPS_PROXY in {0}".format(where)
    if "x509" in low or "certificate" in low:
        hint = (
            "put the registry's CA on the host as /etc/docker/certs.d/{0}/ca.crt (Podman: /etc/containers/certs.d); "
            "the engine reads it at the next pull"
        ).format(registry)
        if proxy:
            hint += (
                ". If the engine's proxy {0} opens TLS, it is the proxy's CA that is wanted, and for every address: "
                "put it into the host's own list (update-ca-certificates, update-ca-trust) and restart the engine"
            ).format(proxy)
        return "image.registry", hint
    # What Go says when a proxy refuses CONNECT: the words of its status line and nothing else.
    if proxy and re.search(
        r"\"https://[^\"]+\": (forbidden|[a-z -]*gateway[a-z -]*|service unavailable|[a-z ]*not found)$", low
    ):
        return "image.proxy", theirs + (
            "which lets nobody through to {0}: allow it there, or name it in NO_PROXY where it is inside the site ({1})"
        ).format(registry, where)
    if "server gave http response to https client" in low:
        return (
            "image.registry",
            "give the registry a certificate, or name it in insecure-registries of the engine's daemon.json",
        )
    if any(word in low for word in ("no such host", "dial tcp", "connection refused", "timeout", "deadline exceeded")):
        hint = (
            "the host does not reach the registry: restore a bundle (cortex.vllm.restore), load the image by hand "
            "(docker save, docker load), or use a mirror"
        )
        if via is not None and not proxy:
            hint += (
                ". If the site has a proxy: the engine pulls, not the play, and has none of its own; HTTPS_PROXY and "
                "NO_PROXY in {0} give it one"
            ).format(where)
        elif proxy and not via["https"]:
            hint += ". The engine has an HTTP_PROXY only, which counts for no https: set HTTPS_PROXY in " + where
        elif proxy:
            hint += ". The engine's proxy {0} was not asked: NO_PROXY is {1} ({2})".format(
                proxy, via["no"] or "empty", where
            )
        return "image.registry", hint
    if "unauthorized" in low or "denied" in low or "authentication" in low or "no basic auth" in low:
        return "image.registry", (
            "give its credentials (registries of the task, vllm_registries of the role), log in on the host (docker "
            "login, as the user of the task), or correct the name of the image"
        )
    if "not found" in low or "manifest unknown" in low or "http 404" in low:
        return "image.absent", "correct the name or tag of the image"
    if "no space" in low:
        return "disk.full", "free some space where the engine keeps its images"
    return "image.registry", "see the engine's log" + (", and that of its proxy {0}".format(proxy) if proxy else "")


def explain(ref, text, via=None):
    """``(code, text)``: what a failed pull means and what to do."""
    text = _without_login(" ".join(str(text).split()))
    code, hint = meaning(ref, text, via)
    return code, "{0} could not be pulled: {1}; {2}".format(ref, text, hint)


def _answer(done, image_id=None, message="", progress=None, pull=None, code=None):
    empty = {"layers": 0, "done": 0, "bytes": 0, "total": 0}
    return {
        "done": done, "image_id": image_id, "message": message, "progress": progress or empty, "pull": pull,
        "code": code,
    }  # fmt: skip


def fetch(request, params):
    """One slice: start the pull or follow it for ``budget`` seconds. ``done`` without an ``image_id``: it failed.

    ``force``: pull although the image is there; ``pull``: the id from the last answer, given back to follow that pull.
    ``params["secrets"]``: ``{"registry": {username, password}}`` of the image's registry; it stays in the job's memory.
    Raises `EngineError` and `OSError`.
    """
    ref, budget = request["image"], float(request.get("budget", 10.0))
    begin = time.monotonic()
    engine = Engine(params)
    try:
        found = engine.image(ref)
        pull = request.get("pull")
        if found and not pull and not request.get("force"):
            return _answer(True, found["Id"], "the image is there")
        load_sdk()
        folder = _folder(request.get("state_dir") or files.STATE_DIR)
        path = os.path.join(folder, _name(ref) + ".json")
        lock = locks.path_of(os.path.dirname(folder), "fetch-" + _name(ref))
        noted = files.read_json(path)
        if not (pull and noted and noted.get("pull") == pull) and not locks.locked(lock):
            _start(folder, path, ref, params)
        while True:
            # The lock first: what the job notes before it ends is then surely read below.
            alive = locks.locked(lock)
            noted = files.read_json(path) or {}
            if noted.get("done"):
                return _answer(
                    True, noted.get("image_id"), noted.get("message", ""), noted.get("progress"), noted.get("pull"),
                    noted.get("code"),
                )  # fmt: skip
            if not alive:
                return _answer(
                    True, None, "the pull of {0} was killed; run the task again".format(ref), noted.get("progress")
                )
            if time.monotonic() - begin >= budget:
                return _answer(False, None, noted.get("message", ""), noted.get("progress"), noted.get("pull"))
            time.sleep(POLL)
    finally:
        engine.close()


def _start(folder, path, ref, params):
    files.directory(folder, 0o700)
    lock = locks.Lock(os.path.dirname(folder), "fetch-" + _name(ref))
    try:
        lock.acquire(0)
    except locks.LockTimeout:
        return  # another call was faster: its pull is followed
    try:
        pull = uuid.uuid4().hex
        _note(path, pull, ref, {"done": False})
        detach.detach(lambda: _pull(path, pull, ref, params), keep=[lock.fd])
    finally:
        lock.release()


def _note(path, pull, ref, fields):
    entry = {"pull": pull, "image": ref}
    entry.update(fields)
    files.write_atomic(path, json.dumps(entry).encode("utf-8"))


def _pull(path, pull, ref, params):
    """The detached job: pull, noting progress; its lock ends with it."""
    login = (params.get("secrets") or {}).get("registry")
    progress, noted, engine = Progress(), 0.0, None
    message = image_id = problem = code = None
    try:
        engine = Engine(dict(params, timeout=3600))
        for event in engine.pull(ref, login):
            if event.get("error"):
                problem = event["error"]
                break
            progress.feed(event)
            if time.monotonic() - noted > NOTE_EVERY:
                noted = time.monotonic()
                _note(path, pull, ref, {"done": False, "message": "", "progress": progress.summary()})
        if problem is None:
            found = engine.image(ref)
            image_id = found["Id"] if found else None
            message = "pulled"
            if not found:
                problem = "the engine ended the pull without the image"
    except EngineError as exc:
        problem = exc.message
    except Exception as exc:  # noted for the follower, who would else only see that the job has gone
        problem = "{0}: {1}".format(type(exc).__name__, exc)
    if problem is not None:
        code, message = explain(ref, problem, proxies(engine) if engine is not None else None)
    if login and login.get("password"):
        message = message.replace(login["password"], "********")
    fields = {"done": True, "image_id": image_id, "message": message, "code": code, "progress": progress.summary()}
    _note(path, pull, ref, fields)
