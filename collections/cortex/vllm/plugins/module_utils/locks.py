# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Locks that die with their process: ``flock`` on files of the state directory, one per server and per GPU."""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ansible_collections.cortex.vllm.plugins.module_utils import files

POLL = 0.1


class LockTimeout(files.FilesError):
    """Somebody else held the lock for the whole time; the text says who."""


def path_of(state_dir, name):
    """The lock file ``locks/<name>.lock``; characters that a path cannot have become ``_``."""
    clean = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    return os.path.join(state_dir, "locks", clean + ".lock")


class Lock:
    """One exclusive lock; a context manager once acquired."""

    def __init__(self, state_dir, name):
        self.name = name
        self.path = path_of(state_dir, name)
        self._fd = None

    def acquire(self, timeout, waiting=None):
        """Take the lock within ``timeout`` seconds, else `LockTimeout`. ``waiting()`` is called once if it is held."""
        files.directory(os.path.dirname(self.path), 0o711)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + timeout
        told = False
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as exc:
                if exc.errno not in (errno.EAGAIN, errno.EACCES):
                    os.close(fd)
                    raise
            if waiting is not None and not told:
                waiting()
                told = True
            if time.monotonic() >= deadline:
                os.close(fd)
                pid = holder(self.path)["pid"]
                raise LockTimeout(
                    "{0} is locked by another job{1} for more than {2:g} s".format(
                        self.name, " (pid {0})".format(pid) if pid else "", timeout
                    )
                )
            time.sleep(POLL)
        self._fd = fd
        try:
            os.ftruncate(fd, 0)
            os.write(fd, str(os.getpid()).encode("ascii"))
        except OSError:
            pass  # the pid only informs; a full disk must not refuse the lock
        return self

    @property
    def fd(self):
        """The descriptor that holds the lock: a child that inherits it holds the lock too."""
        return self._fd

    def release(self):
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        self.release()


def locked(path):
    """Whether some process holds an exclusive lock on ``path``. Asks for a shared one for a moment; writes nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(fd)


def holder(path):
    """``{"held": bool, "pid": int|None}`` of a lock file."""
    if not locked(path):
        return {"held": False, "pid": None}
    try:
        with open(path, "rb") as stream:
            pid = int(stream.read(32).decode("ascii", "replace").strip())
    except (OSError, ValueError):
        pid = None
    return {"held": True, "pid": pid}
