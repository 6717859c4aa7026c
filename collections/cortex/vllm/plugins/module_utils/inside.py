# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Asks an image what it holds, once: from its files where they say it, else in a one-off container that has neither a
GPU nor a network. The work is a detached job, because importing vLLM outlasts a call; answers are kept by image id.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid

from ansible_collections.cortex.vllm.plugins.module_utils import detach, files, locks, ours, state
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine, EngineError

POLL = 0.2
NOTE_EVERY = 1.0
# Below /tmp, which every user of an image may write to.
ANSWER = "/tmp/.cortex-vllm-answer.json"
# Bytes; the parser of a release is described in some 60 KiB.
LARGEST = 16 * 1024 * 1024

_VERSION = re.compile(rb"^__version__\s*(?::\s*str\s*)?=\s*(?:version\s*=\s*)?['\"]([^'\"]+)['\"]", re.M)
_KEY = re.compile(r"^(version|parser|plugins|packages|(argv|collective|model|toolkit)-[0-9a-f]{64})$")
# Where packages beside vLLM tell their version.
PACKAGES = {"transformers": "transformers/__init__.py", "torch": "torch/version.py"}
# Facts by hash: what the key's first word is called in images.json.
_PROOFS = {"argv": "proved", "model": "models", "toolkit": "toolkit"}
# Of the host as much as of the image: what failed may have been mended, and is asked for again.
_OF_HOST = "toolkit-"


def _name(image_id, key):
    return hashlib.sha256((image_id + " " + key).encode("utf-8")).hexdigest()[:24]


def _answer(done, image_id, message="", noted=None, look=None):
    noted = noted or {}
    return {
        "done": done,
        "image_id": image_id,
        "message": message or noted.get("message", ""),
        "answer": noted.get("answer"),
        "started": bool(noted.get("started")),
        "seconds": noted.get("seconds", 0.0),
        "look": look or noted.get("look"),
    }


def inside(request, params):
    """One slice: begin the look or follow it for ``budget`` seconds. ``done`` without an ``answer``: it failed.

    ``keep``: observations of the image are to carry what comes of it.

    Raises `EngineError`, `OSError` and `files.RequestRefused`.
    """
    key, budget = str(request["key"]), float(request.get("budget", 10.0))
    if not _KEY.match(key):
        raise files.RequestRefused("key {0!r}: no such question".format(key))
    state_dir = request.get("state_dir") or files.STATE_DIR
    begin = time.monotonic()
    engine = Engine(params)
    try:
        found = engine.image(request["image"])
        if not found:
            return _answer(True, None, "image {0} is not here".format(request["image"]))
        image_id = found["Id"]
        path = os.path.join(state_dir, "images", _name(image_id, key) + ".json")
        lock = locks.path_of(state_dir, "look-" + _name(image_id, key))
        noted, look = files.read_json(path), request.get("look")
        kept = not key.startswith(_OF_HOST)
        if kept and noted and noted.get("answer") is not None and not locks.locked(lock):
            if request.get("keep", True) and not key.startswith("collective-"):
                remember(state_dir, image_id, key, noted["answer"])
            return _answer(True, image_id, noted=noted)
        if not (look and noted and noted.get("look") == look) and not locks.locked(lock):
            _start(state_dir, path, key, found, request, params)
        while True:
            # The lock first: what the job notes before it ends is then surely read below.
            alive = locks.locked(lock)
            noted = files.read_json(path) or {}
            if noted.get("done"):
                return _answer(True, image_id, noted=noted)
            if not alive:
                return _answer(True, image_id, "the look into {0} was killed; run the task again".format(image_id))
            if time.monotonic() - begin >= budget:
                return _answer(False, image_id, noted=noted)
            time.sleep(POLL)
    finally:
        engine.close()


def remember(state_dir, image_id, key, answer):
    """Put into images.json what every observation of the image is to carry. Raises `OSError`."""
    kind, _mark, digest = key.partition("-")
    if answer.get("problem"):
        if digest:
            return
        fact = {kind + "_problem": answer["problem"]}
    elif key == "version":
        fact = {"vllm_version": answer["version"], "source": answer["source"]}
    elif key == "parser":
        # The description itself is large; `observe` reads it where this says so.
        fact = {"parser": _name(image_id, key)}
    elif key in ("plugins", "packages"):
        fact = {key: answer[key]}
    else:
        said = answer.get("said" if kind == "toolkit" else "error")
        if said and answer.get("step"):
            said = "{0}: {1}".format(answer["step"], said)
        fact = {_PROOFS[kind]: {digest: said}}
    state.note_images(state_dir, {image_id: fact})


def _start(state_dir, path, key, found, request, params):
    files.directory(state_dir, 0o711)
    files.directory(os.path.dirname(path), 0o755)
    lock = locks.Lock(state_dir, "look-" + _name(found["Id"], key))
    try:
        lock.acquire(0)
    except locks.LockTimeout:
        return  # another call was faster: its look is followed
    try:
        look = Look(state_dir, path, key, found, request, params)
        look.note({"done": False, "message": "making a container"})
        detach.detach(look.run, keep=[lock.fd])
    finally:
        lock.release()


class Look:
    """The detached job; its lock ends with it."""

    def __init__(self, state_dir, path, key, found, request, params):
        self.state_dir, self.path, self.key = state_dir, path, key
        self.found, self.script = found, str(request["script"])
        self.limit = float(request.get("limit", 300.0))
        self.keep = request.get("keep", True)
        self.wants, self.record = request.get("wants") or {}, request.get("record") or {}
        self.params, self.ident = params, uuid.uuid4().hex
        self.name = "cortex-vllm-look-" + _name(found["Id"], key)
        self.started, self.begin = False, time.monotonic()

    def note(self, fields):
        entry = {
            "look": self.ident,
            "image_id": self.found["Id"],
            "started": self.started,
            "seconds": round(time.monotonic() - self.begin, 1),
        }
        entry.update(fields)
        files.write_atomic(self.path, json.dumps(entry, sort_keys=True).encode("utf-8"), 0o644)

    def run(self):
        answer, message, engine = None, "", None
        try:
            engine = Engine(self.params)
            engine.remove(self.name)  # of a look that was killed: the lock says that none lives
            engine.create(self.name, body(self.found["Id"], self.script, self.key, self.wants))
            answer = self.read(engine)
            if answer is None:
                answer, message = self.ask(engine)
            if answer is not None and self.key.startswith("collective-"):
                self.measured(answer)
            elif answer is not None and self.keep:
                remember(self.state_dir, self.found["Id"], self.key, answer)
        except EngineError as exc:
            answer, message = None, exc.message
        except Exception as exc:  # noted for the follower, who would else only see that the job has gone
            answer, message = None, "{0}: {1}".format(type(exc).__name__, exc)
        finally:
            try:
                if engine is not None:
                    engine.remove(self.name)
            except EngineError as exc:
                message = message or "{0} could not be removed: {1}".format(self.name, exc.message)
        self.note({"done": True, "answer": answer, "message": message})

    def measured(self, answer):
        """A fact of the host: what its GPUs do together, for as long as driver and links stay."""
        if "arms" not in answer:
            return
        content = json.dumps(dict(self.record, arms=answer["arms"], measured_at=time.time()), indent=1, sort_keys=True)
        files.write_atomic(os.path.join(self.state_dir, "collectives.json"), content.encode("utf-8"), 0o644)

    def read(self, engine):
        """What the installed files tell; nothing is started for it. None when they do not tell it."""
        if self.key == "packages":
            found = {name: self.first(engine, path) for name, path in PACKAGES.items()}
            return {"packages": {name: text for name, text in found.items() if text}} if all(found.values()) else None
        if self.key != "version":
            return None
        for path in version_files(self.found.get("Config") or {}):
            content = engine.file(self.name, path, LARGEST)
            match = _VERSION.search(content or b"")
            if match:
                return {"version": match.group(1).decode("ascii", "replace"), "source": "installed"}
        return None

    def first(self, engine, path):
        """The version that a package's file tells, in the first place that has it."""
        for place in places(self.found.get("Config") or {}):
            match = _VERSION.search(engine.file(self.name, "{0}/{1}".format(place, path), LARGEST) or b"")
            if match:
                return match.group(1).decode("ascii", "replace")
        return None

    def ask(self, engine):
        """``(answer or None, message)`` of the program, run in the container."""
        noted = 0.0
        try:
            engine.start(self.name)
        except EngineError as exc:
            if exc.kind in ("connection", "timeout"):
                raise
            if self.key.startswith(_OF_HOST):
                return None, exc.message
            # An image without python3: that will not change.
            return {"problem": "python3 of the image cannot be started: {0}".format(exc.message)}, ""
        self.started = True
        while True:
            run = (engine.inspect(self.name) or {}).get("State") or {}
            if not run.get("Running"):
                break
            seconds = time.monotonic() - self.begin
            if seconds > self.limit:
                return None, "the image did not answer within {0:.0f} s".format(self.limit)
            if time.monotonic() - noted > NOTE_EVERY:
                noted = time.monotonic()
                self.note({"done": False, "message": "it is asked in a one-off container"})
            time.sleep(POLL)
        content = engine.file(self.name, ANSWER, LARGEST)
        if content is None:
            lines = engine.logs(self.name, 1, 5, False).decode("utf-8", "replace").strip().splitlines()
            why = lines[-1] if lines else "it printed nothing"
            text = "the one-off container ended with code {0}: {1}".format(run.get("ExitCode"), why)
            if self.key.startswith(_OF_HOST):
                return None, text
            # 126 and 127: its python3 is not there or no program, which will not change.
            return ({"problem": text}, "") if run.get("ExitCode") in (126, 127) else (None, text)
        if self.key.startswith(_OF_HOST):
            return {"said": content.decode("utf-8", "replace")}, ""
        answer = json.loads(content.decode("utf-8"))
        if self.key == "version" and "version" in answer:
            answer["source"] = "asked"
        return answer, ""


def version_files(config):
    """Where the installed package of an image tells its version, the likely places first.

    The package's build writes ``vllm/_version.py`` (setuptools-scm); older ones have ``vllm/version.py``.
    """
    return ["{0}/vllm/{1}".format(place, name) for name in ("_version.py", "version.py") for place in places(config)]


def places(config):
    """Directories of an image that packages may be in, the likely ones first."""
    environment = dict(item.split("=", 1) for item in config.get("Env") or [] if "=" in item)
    prefixes = [environment.get("VIRTUAL_ENV")]
    prefixes += [os.path.dirname(part) for part in environment.get("PATH", "").split(":") if part.endswith("/bin")]
    prefixes += ["/usr/local", "/usr", "/opt/venv", "/opt/conda"]
    found = [config.get("WorkingDir")]
    for prefix in dict.fromkeys(item for item in prefixes if item):
        for minor in (12, 10, 11, 13, 14, 9, 8):
            for kind in ("dist", "site"):
                found.append("{0}/lib/python3.{1}/{2}-packages".format(prefix, minor, kind))
    return list(dict.fromkeys(item.rstrip("/") for item in found if item))


def body(image_id, script, key, wants=None):
    """The one-off container: no network, no capability, nothing of the host, and GPUs only where it is about them.

    ``wants``: ``{"host_config": {…}}``, keys of HostConfig that a measurement or a look at a model needs; ``env`` and
    ``user`` as the server would have them.
    """
    made = {
        "Image": image_id,
        "Entrypoint": ["python3"],
        "Cmd": ["-c", script],
        "Env": [
            "CORTEX_ANSWER=" + ANSWER, "HF_HUB_OFFLINE=1", "NVIDIA_VISIBLE_DEVICES=void", "PYTHONDONTWRITEBYTECODE=1",
            "VLLM_NO_USAGE_STATS=1", "VLLM_PLUGINS=",
        ],
        "Labels": {ours.LOOK: key},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "none", "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "Init": True,
            "RestartPolicy": {"Name": "no"},
        },
    }  # fmt: skip
    if key.startswith(_OF_HOST):
        # A shell is in more images than Python is, and it says as much as there is to say.
        made.update(Entrypoint=["/bin/sh"])
    wants = wants or {}
    wanted = wants.get("host_config") or {}
    if wanted:
        made["HostConfig"].update(wanted)
        # Whatever of the host is seen, is seen to be read.
        for mount in made["HostConfig"].get("Mounts") or ():
            mount["ReadOnly"] = True
        if wanted.get("DeviceRequests"):
            made["Env"].remove("NVIDIA_VISIBLE_DEVICES=void")
    if wants.get("user"):
        made["User"] = wants["user"]
    own = {entry.partition("=")[0] for entry in made["Env"]}
    made["Env"] += sorted("{0}={1}".format(*item) for item in (wants.get("env") or {}).items() if item[0] not in own)
    return made
