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


def explain(ref, text):
    """What a failed pull means and what to do."""
    text = " ".join(str(text).split())
    low = text.lower()
    if "x509" in low or "certificate" in low:
        hint = (
            "put the registry's CA on the host as /etc/docker/certs.d/{0}/ca.crt; the engine reads it at the next pull"
        ).format(ref.partition("/")[0])
    elif (
        "no such host" in low
        or "dial tcp" in low
        or "connection refused" in low
        or "timeout" in low
        or "proxyconnect" in low
    ):
        hint = (
            "the host does not reach the registry: restore a bundle (cortex.vllm.restore), load the image by hand "
            "(docker save, docker load), or use a mirror"
        )
    elif "server gave http response to https client" in low:
        hint = "give the registry a certificate, or name it in insecure-registries of the engine's daemon.json"
    elif "unauthorized" in low or "denied" in low or "authentication" in low or "no basic auth" in low:
        hint = (
            "give its credentials (registries of the task, vllm_registries of the role), log in on the host (docker "
            "login, as the user of the task), or correct the name of the image"
        )
    elif "not found" in low or "manifest unknown" in low or "http 404" in low:
        hint = "correct the name or tag of the image"
    elif "no space" in low:
        hint = "free some space where the engine keeps its images"
    else:
        hint = "see the engine's log"
    return "{0} could not be pulled: {1}; {2}".format(ref, text, hint)


def _answer(done, image_id=None, message="", progress=None, pull=None):
    empty = {"layers": 0, "done": 0, "bytes": 0, "total": 0}
    return {"done": done, "image_id": image_id, "message": message, "progress": progress or empty, "pull": pull}


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
                    True, noted.get("image_id"), noted.get("message", ""), noted.get("progress"), noted.get("pull")
                )
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
    progress, noted = Progress(), 0.0
    message = image_id = None
    try:
        engine = Engine(dict(params, timeout=3600))
        for event in engine.pull(ref, login):
            if event.get("error"):
                message = explain(ref, event["error"])
                break
            progress.feed(event)
            if time.monotonic() - noted > NOTE_EVERY:
                noted = time.monotonic()
                _note(path, pull, ref, {"done": False, "message": "", "progress": progress.summary()})
        if message is None:
            found = engine.image(ref)
            image_id = found["Id"] if found else None
            message = "pulled" if found else explain(ref, "the engine ended the pull without the image")
    except EngineError as exc:
        message = explain(ref, exc.message)
    except Exception as exc:  # noted for the follower, who would else only see that the job has gone
        message = explain(ref, "{0}: {1}".format(type(exc).__name__, exc))
    if login and login.get("password"):
        message = message.replace(login["password"], "********")
    _note(path, pull, ref, {"done": True, "image_id": image_id, "message": message, "progress": progress.summary()})
