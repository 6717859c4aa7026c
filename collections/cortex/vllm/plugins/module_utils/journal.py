# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The journal of a server: one JSON object a line, written by a job, followed by ``watch``.

A job holds a lock on its own journal file as long as it lives: that is how a follower knows a slow job from a dead one.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time

from ansible_collections.cortex.vllm.plugins.module_utils import files, locks

CURRENT = "journal.jsonl"
# Jobs queue for the lock of a server, so the journal that somebody follows may not be the newest one.
OLDER = ("journal.1.jsonl", "journal.2.jsonl", "journal.3.jsonl")
ANSWER_LINES = 1000


class Journal:
    """The journal that one job writes for one server. `write` never fails: a full disk must not stop a rollback."""

    def __init__(self, server_dir, server, job, redactor):
        """Start a new file and lock it, moving older ones one name on. Raises `OSError`."""
        self.server = server
        self.job = job
        self.lost = 0
        self._redactor = redactor
        self._mutex = threading.Lock()
        files.directory(server_dir, 0o711)
        guard = os.open(server_dir, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            names = (CURRENT,) + OLDER
            for index in range(len(names) - 1, 0, -1):
                try:
                    os.rename(os.path.join(server_dir, names[index - 1]), os.path.join(server_dir, names[index]))
                except FileNotFoundError:
                    pass
            self._fd = os.open(
                os.path.join(server_dir, CURRENT),
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC,
                0o600,
            )
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(guard)

    @property
    def fd(self):
        """The descriptor that must survive the detaching."""
        return self._fd

    def write(self, event, **fields):
        """Append one event. Returns whether it is on the file."""
        entry = {"t": round(time.time(), 3), "job": self.job, "server": self.server, "event": event}
        entry.update(self._redactor.data(fields))
        line = json.dumps(entry, separators=(",", ":"), default=str).encode("utf-8") + b"\n"
        with self._mutex:
            try:
                # One write per line: O_APPEND keeps lines whole for readers. A short write means a full disk.
                written = os.write(self._fd, line)
                if written < len(line):
                    os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
                    raise OSError("short write")
                return True
            except OSError:
                self.lost += 1
                return False

    def close(self):
        """Close the descriptor; the last one closed gives the lock up."""
        os.close(self._fd)


def _first_job(path):
    try:
        with open(path, "rb") as stream:
            line = stream.readline(1 << 20)
        return json.loads(line.decode("utf-8", "replace")).get("job")
    except (OSError, ValueError, AttributeError):
        return None


def find(server_dir, job):
    """The path of the journal that ``job`` writes for this server, or None."""
    for name in (CURRENT,) + OLDER:
        path = os.path.join(server_dir, name)
        if _first_job(path) == job:
            return path
    return None


def alive(path):
    """Whether the job that writes this journal still runs."""
    return locks.locked(path)


def read(path, offset):
    """``(events, next offset)``: the whole lines from ``offset`` (bytes) on, at most a thousand."""
    events = []
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, int(offset)))
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                offset += len(line)
                try:
                    events.append(json.loads(line.decode("utf-8", "replace")))
                except ValueError:
                    pass  # a line cut by a full disk says nothing
                if len(events) >= ANSWER_LINES:
                    break
    except OSError:
        pass
    return events, offset


def last(server_dir):
    """What the journal of the job at work says: ``{job, offset, done, result, alive, phase}``; that of the newest job
    where none is, None without any.

    Others may queue for the server's lock, or have given up on it: the oldest that lives is the one that works.
    """
    for name in reversed(OLDER):
        path = os.path.join(server_dir, name)
        found = _said(path) if alive(path) else None
        if found and not found["done"]:
            return found
    return _said(os.path.join(server_dir, CURRENT))


def _said(path):
    job = _first_job(path)
    if job is None:
        return None
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            # A `failed` event may be long, `done` is short: the tail always holds it whole.
            stream.seek(max(0, size - 16384))
            tail = stream.read().split(b"\n")
    except OSError:
        return None
    result = None
    phase = _last_phase(tail)
    for line in reversed(tail):
        if b'"event":"done"' in line:
            try:
                result = json.loads(line.decode("utf-8", "replace")).get("result")
            except ValueError:
                pass
            break
    return {
        "job": job, "offset": size, "done": result is not None, "result": result, "alive": alive(path), "phase": phase,
    }  # fmt: skip


def _last_phase(lines):
    """``{phase, percent}`` of the last event that tells of one, or None."""
    for line in reversed(lines):
        if b'"event":"phase"' in line:
            try:
                event = json.loads(line.decode("utf-8", "replace"))
                return {"phase": event.get("phase"), "percent": event.get("percent")}
            except ValueError:
                return None
    return None
