# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Every byte of a model against what the Hub said it is: blobs are named by their etag, which is a hash.

Files in Git LFS (weights) have the SHA-256 of their content as etag, all others Git's own SHA-1 of a blob
(huggingface_hub file_download.py). A directory written by ``hf download --local-dir`` has etags in
``.cache/huggingface/download/<file>.metadata``.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading

from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import AGAIN, problem

SHA256, SHA1 = re.compile(r"[0-9a-f]{64}\Z"), re.compile(r"[0-9a-f]{40}\Z")
PIECE = 4 * 1024 * 1024
# hashlib works without Python's lock, so threads share the cores; more than this only makes a disk seek.
THREADS = 4


def targets(folder):
    """``([(path, hash)], [paths without a known hash])`` of all files of a snapshot or directory."""
    known, unknown = [], []
    for at, dirs, names in os.walk(folder):
        dirs[:] = sorted(name for name in dirs if name not in (".cache", ".git", ".locks"))
        for name in sorted(names):
            path = os.path.join(at, name)
            etag = os.path.basename(os.readlink(path)) if os.path.islink(path) else _noted(folder, path)
            if etag and (SHA256.match(etag) or SHA1.match(etag)):
                known.append((path, etag))
            else:
                unknown.append(path)
    return known, unknown


def _noted(folder, path):
    note = os.path.join(
        folder, ".cache", "huggingface", "download", os.path.relpath(path, folder) + ".metadata"
    )  # fmt: skip
    try:
        with open(note) as stream:
            lines = stream.read(4096).splitlines()
    except (OSError, ValueError):
        return None
    return lines[1].strip() if len(lines) > 1 else None


def digest(path, etag, advanced):
    """The hash of a file in the form of ``etag``; ``advanced(bytes)`` is called on the way. Raises `OSError`."""
    with open(path, "rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        if len(etag) == 64:
            state = hashlib.sha256()
        else:
            state = hashlib.sha1()  # Git's name of a blob, nothing that anybody has to trust
            state.update("blob {0}\0".format(size).encode("ascii"))
        piece = bytearray(PIECE)
        view = memoryview(piece)
        while True:
            length = stream.readinto(piece)
            if not length:
                return state.hexdigest()
            state.update(view[:length])
            advanced(length)


class Verification:
    """All files of one place, by several threads."""

    def __init__(self, folder):
        self.files, self.unknown = targets(folder)
        # The largest first: the last one to end decides how long it takes.
        self.files.sort(key=lambda item: -_size(item[0]))
        self.total = sum(_size(path) for path, _etag in self.files)
        self.bytes, self.done, self.problems = 0, 0, []
        self.current = ""
        self._lock = threading.Lock()
        self._next = 0

    def run(self, note):
        """Hash everything; ``note()`` is called now and then by the calling thread."""
        threads = [
            threading.Thread(target=self._work, daemon=True)
            for _unused in range(min(THREADS, os.cpu_count() or 1, len(self.files)))
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1.0)
                note()

    def _work(self):
        while True:
            with self._lock:
                if self._next >= len(self.files):
                    return
                path, etag = self.files[self._next]
                self._next += 1
                self.current = os.path.basename(path)
            try:
                found = digest(path, etag, self._advanced)
                wrong = None
                if found != etag:
                    wrong = problem(
                        "hash-mismatch", "{0} is not what the Hub named it: its hash is {1} and not {2}".format(
                            os.path.basename(path), found[:16], etag[:16]
                        ),
                        path, "delete the file and its blob, and " + AGAIN,
                    )  # fmt: skip
            except OSError as exc:
                wrong = problem(
                    "unreadable", "{0}: {1}".format(path, exc.strerror or exc), path,
                    "read the kernel's log: the disk may be failing",
                )  # fmt: skip
            with self._lock:
                self.done += 1
                if wrong:
                    self.problems.append(wrong)

    def _advanced(self, length):
        with self._lock:
            self.bytes += length

    def progress(self):
        return {
            "bytes": self.bytes, "total": self.total, "files": self.done, "of": len(self.files), "file": self.current,
        }  # fmt: skip

    def result(self):
        return {
            "verified": len(self.files) - len(self.problems), "bytes": self.total, "problems": self.problems,
            "unverifiable": [os.path.basename(path) for path in self.unknown],
        }  # fmt: skip


def _size(path):
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
