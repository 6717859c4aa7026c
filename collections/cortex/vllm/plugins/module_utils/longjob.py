# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Long work on files in a detached job: a call starts it or follows it for a slice, and a lost call loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid

from ansible_collections.cortex.vllm.plugins.module_utils import detach, files, locks

POLL = 0.2
NOTE_EVERY = 0.5


class Note:
    """What a job leaves for who follows it: a small file, replaced atomically."""

    def __init__(self, path, job):
        self.path, self.job = path, job
        self.progress = {"what": "", "bytes": 0, "total": 0, "files": 0, "of": 0}
        self._last = 0.0

    def write(self, **fields):
        entry = {"job": self.job, "done": False, "message": "", "result": None, "progress": self.progress}
        entry.update(fields)
        files.write_atomic(self.path, json.dumps(entry).encode("utf-8"))
        self._last = time.monotonic()

    def total(self, size, count):
        """How much there is to do: bytes to read, and files."""
        self.progress.update(total=size, of=count)

    def begin(self, what):
        self.progress["what"] = what
        self.write()

    def add(self, size):
        """Bytes that are done; written twice a second at most."""
        self.progress["bytes"] += size
        if time.monotonic() - self._last > NOTE_EVERY:
            self.write()

    def finish(self):
        self.progress["files"] += 1


def place(state_dir, name):
    """``(path of the note, name of its lock)`` of the work called ``name``."""
    short = hashlib.sha256(name.encode("utf-8")).hexdigest()[:24]
    return os.path.join(state_dir, "work", short + ".json"), "work-" + short


def _answer(noted, done, own, message=None):
    noted = noted or {}
    return {
        "done": done, "own": own, "job": noted.get("job"), "message": message or noted.get("message") or "",
        "result": noted.get("result"), "progress": noted.get("progress") or {},
    }  # fmt: skip


def run(request, name, work):
    """One slice of the work ``name``. Answers ``{done, own, job, message, result, progress}``.

    ``work(note, lock)`` is what the detached job does: it returns the result, or raises an exception whose text becomes
    the message. ``own`` false: somebody else's job of that name was followed; the caller then asks again for its own.
    ``done`` without a ``result``: it failed.
    """
    state_dir = request.get("state_dir") or files.STATE_DIR
    path, lock_name = place(state_dir, name)
    lock_path = locks.path_of(state_dir, lock_name)
    wanted, budget, begin = request.get("work"), float(request.get("budget", 10.0)), time.monotonic()
    if not wanted and not locks.locked(lock_path):
        files.directory(os.path.dirname(path), 0o700)
        wanted = _start(state_dir, path, lock_name, work)
    while True:
        # The lock first: what the job notes before it ends is then surely read below.
        alive = locks.locked(lock_path)
        noted = files.read_json(path) or {}
        own = bool(wanted) and noted.get("job") == wanted
        if noted.get("done") and (own or not alive):
            return _answer(noted, True, own)
        if not alive:
            return _answer(noted, True, own, "the work on {0} was killed; run the task again".format(name))
        if time.monotonic() - begin >= budget:
            answer = _answer(noted, False, own)
            answer["job"] = wanted
            return answer
        time.sleep(POLL)


def _start(state_dir, path, lock_name, work):
    lock = locks.Lock(state_dir, lock_name)
    try:
        lock.acquire(0)
    except locks.LockTimeout:
        return None  # another call was faster: its job is followed
    try:
        note = Note(path, uuid.uuid4().hex)
        note.write()
        detach.detach(lambda: _work(note, work, lock), keep=[lock.fd])
        return note.job
    finally:
        lock.release()


def _work(note, work, lock):
    try:
        result, message = work(note, lock), ""
    except OSError as exc:
        result, message = None, files.explain(exc, exc.filename or note.progress["what"])
    except Exception as exc:  # told to the follower, who would else only see that the job has gone
        result, message = None, str(exc) or type(exc).__name__
    note.write(done=True, result=result, message=message)
