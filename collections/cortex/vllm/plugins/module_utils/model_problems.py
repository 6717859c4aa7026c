# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The words in which looks at model files speak: problems, and small files that must be JSON.

The codes are those of the diagnosis wherever vLLM fails for the same reason, so that what was foreseen and what was
seen can be compared (a truncated and a garbled weight file read the same in its log, for instance).
"""

from __future__ import annotations

import errno
import json
import os
import stat

AGAIN = "download the model again into this place"
# Larger JSON files are indexes of shards and tokenizers; a config.json has some kilobytes.
LARGEST_JSON = 64 * 1024 * 1024
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_PULL = "run `git lfs pull` in the repository it was cloned from"
# A name that leads nowhere: nothing there, a file on the way, links in a circle, longer than the system takes.
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class Irregular(ValueError):
    """A pipe, a socket, a device or a directory where a file should be."""


def opened(path):
    """A stream of a regular file; anything else raises `Irregular`, and no pipe is waited for. Raises `OSError`."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise Irregular("it is a directory" if stat.S_ISDIR(mode) else "it is no regular file (a pipe, socket, device)")
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))


def problem(code, message, path, fix, severity="error"):
    """One entry of MODEL's ``problems``."""
    return {"code": "model." + code, "message": message, "path": path, "fix": fix, "severity": severity}


def unreadable(path, exc):
    return problem(
        "unreadable", "{0}: {1}".format(path, exc.strerror or exc), path,
        "make it readable for the user that the task and the container run as",
    )  # fmt: skip


def gone(path):
    """What to say of a name that leads nowhere: never downloaded, or a link to a blob that has gone."""
    if os.path.islink(path):
        return "{0} is a link to {1}, which does not exist".format(os.path.basename(path), os.readlink(path))
    return "{0} is missing".format(os.path.basename(path))


class Notes:
    """What one look has found so far."""

    def __init__(self):
        self.problems = []
        # Of every file and directory that the server opens: (kind, path, os.stat_result).
        self.stats = []
        # Whether there was a directory or file to look into at all.
        self.entered = False

    def add(self, *args, **kwargs):
        self.problems.append(problem(*args, **kwargs))

    def codes(self):
        return [entry["code"] for entry in self.problems]

    def stat(self, kind, path):
        """Remember who may open ``path``; None when it leads nowhere."""
        try:
            found = os.stat(path)
        except OSError as exc:
            if exc.errno in NOWHERE:
                return None
            raise
        self.stats.append((kind, path, found))
        return found

    def json(self, path, code, kind=dict, severity="error", fix=AGAIN):
        """The content of a JSON file of the given kind, or None and a problem."""
        name = os.path.basename(path)
        try:
            with opened(path) as stream:
                raw = stream.read(LARGEST_JSON + 1)
            if raw.startswith(LFS_POINTER):
                text = "{0} is a Git LFS pointer, not the file itself".format(name)
                self.add("pointer-file", text, path, LFS_PULL, severity)
                return None
            if len(raw) > LARGEST_JSON:
                raise ValueError("larger than {0} MiB".format(LARGEST_JSON >> 20))
            if not raw.strip(b"\0 \n\r\t"):
                raise ValueError("it is empty" if not raw else "it holds nothing but zeros")
            found = json.loads(raw.decode("utf-8"))
            if isinstance(found, kind):
                return found
            text = "not an object" if kind is dict else "of another kind"
        except (ValueError, RecursionError) as exc:
            text = str(exc)
        except OSError as exc:
            if exc.errno in NOWHERE:
                self.add(code, gone(path), path, fix, severity)
                return None
            self.problems.append(unreadable(path, exc))
            return None
        self.add(code, "{0} is damaged: {1}".format(name, text), path, fix, severity)
        return None
