# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The step ``model``: looks at models in one call; what takes long, hashing and copying, in a detached job."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid

from ansible_collections.cortex.vllm.plugins.module_utils import detach, files, locks, model_files, model_hashes

POLL = 0.1
NOTE_EVERY = 0.5
# Seconds that a job may take to end after its last note.
ENDING = 5.0


def model(request):
    """One slice of the step. Raises `OSError`, `files.RequestRefused`."""
    do = request.get("do") or "look"
    state_dir = request.get("state_dir") or files.STATE_DIR
    if do == "look":
        return {"models": model_files.looks(request["models"])}
    if do not in ("plan", "make", "verify"):
        raise files.RequestRefused("do {0!r}: no such work".format(do))
    if do == "plan":
        return dict(plan(request["make"], state_dir), done=True)
    work = request["make"] if do == "make" else request["models"][0]
    name = hashlib.sha256(json.dumps([do, work], sort_keys=True).encode("utf-8")).hexdigest()[:24]
    path = os.path.join(state_dir, "models", name + ".json")
    lock_path, begin = locks.path_of(state_dir, "model-" + name), time.monotonic()
    budget, ident = float(request.get("budget", 10.0)), request.get("job")
    noted = files.read_json(path) or {"done": False}
    if not (ident and noted.get("job") == ident):
        # A job that has noted its end holds its lock for a moment more; what it found is no answer to this call.
        while noted.get("done") and locks.locked(lock_path) and time.monotonic() - begin < ENDING:
            time.sleep(0.01)
        if not locks.locked(lock_path):
            _start(state_dir, path, name, do, work)
    while True:
        # The lock first: what the job notes before it ends is then surely read below.
        alive = locks.locked(lock_path)
        noted = files.read_json(path) or {"done": False}
        if noted.get("done") or not alive:
            if not noted.get("done"):
                noted = dict(noted, done=True, message="the job was killed; run the task again")
            return noted
        if time.monotonic() - begin >= budget:
            return noted
        time.sleep(POLL)


def plan(make, state_dir):
    """What `make` would do, and how the model looks now."""
    from ansible_collections.cortex.vllm.plugins.module_utils import model_changes

    built = model_changes.Plan(make, state_dir).build()
    return {"steps": built.steps, "problems": built.problems, "model": _look(make)}


def _look(make):
    # A tokenizer that is copied into a directory of its own makes that directory a place for tokenizers.
    return model_files.look(
        make["model"], make.get("revision"), make.get("hub_cache"), make.get("role") or "model",
        make.get("needs_tokenizer", True),
    )  # fmt: skip


def _start(state_dir, path, name, do, work):
    files.directory(state_dir, 0o711)
    files.directory(os.path.dirname(path), 0o700)
    lock = locks.Lock(state_dir, "model-" + name)
    try:
        lock.acquire(0)
    except locks.LockTimeout:
        return  # another call was faster: its job is followed
    try:
        job = Job(state_dir, path, do, work)
        job.note(force=True)
        detach.detach(job.run, keep=[lock.fd])
    finally:
        lock.release()


class Job:
    """The detached job; its lock ends with it."""

    def __init__(self, state_dir, path, do, work):
        self.state_dir, self.path, self.do, self.work = state_dir, path, do, work
        self.ident, self.begin, self.noted = uuid.uuid4().hex, time.monotonic(), 0.0
        self.progress = {"bytes": 0, "total": 0}

    def note(self, force=False, **fields):
        if not force and time.monotonic() - self.noted < NOTE_EVERY:
            return
        self.noted = time.monotonic()
        entry = dict(
            {"job": self.ident, "done": False, "message": "", "progress": self.progress},
            seconds=round(self.noted - self.begin, 1), **fields
        )  # fmt: skip
        files.write_atomic(self.path, json.dumps(entry, sort_keys=True).encode("utf-8"), 0o600)

    def run(self):
        fields = {"message": ""}
        try:
            fields.update(self.verify() if self.do == "verify" else self.make())
        except OSError as exc:
            # EXDEV: a hard link cannot lead to another file system.
            hint = ": write method: copy" if exc.errno == 18 else ""
            fields["message"] = "{0}: {1}{2}".format(exc.filename or "", exc.strerror or exc, hint)
        except Exception as exc:  # noted for the follower, who would else only see that the job has gone
            fields["message"] = "{0}: {1}".format(type(exc).__name__, exc)
        self.note(force=True, done=True, **fields)

    def verify(self):
        entry = self.work
        found = model_files.looks([dict(entry, key="it")])["it"]
        if not found["path"] or found["status"] in ("absent", "unreadable"):
            return {"model": found, "verification": None}
        folder = found["path"] if os.path.isdir(found["path"]) else os.path.dirname(found["path"])
        verification = model_hashes.Verification(folder)

        def note():
            self.progress = verification.progress()
            self.note()

        verification.run(note)
        self.progress = verification.progress()
        return {"model": found, "verification": verification.result()}

    def make(self):
        from ansible_collections.cortex.vllm.plugins.module_utils import model_changes

        built = model_changes.Plan(self.work, self.state_dir).build()
        self.progress = {"bytes": 0, "total": sum(step["bytes"] for step in built.steps if step["do"] == "copy")}
        if not built.problems:
            room(built.steps)

            def advanced(length):
                self.progress["bytes"] += length
                self.note()

            model_changes.apply(built.steps, advanced)
        return {"steps": built.steps, "problems": built.problems, "model": _look(self.work)}


def room(steps):
    """Raise `OSError` before anything is copied that would not fit."""
    for step in steps:
        if step["do"] == "copy":
            place = os.path.dirname(step["path"])
            while not os.path.isdir(place):
                place = os.path.dirname(place)
            space, total = os.statvfs(place), sum(item["bytes"] for item in steps if item["do"] == "copy")
            free = space.f_bavail * space.f_frsize
            if free < total:
                raise OSError(28, "{0} bytes are to be copied and {1} are free".format(total, free), place)
            return
