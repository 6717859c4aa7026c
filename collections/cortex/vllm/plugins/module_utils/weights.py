# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""First look at weight files: are all shards there, and is each as long as its own header says?"""

from __future__ import annotations

import json
import os
import re
import struct

# safetensors refuses larger headers itself (MAX_HEADER_SIZE in its Rust source).
MAX_HEADER = 100_000_000
GGUF_SHARD = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.gguf$")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"

AGAIN = "download the model again into this place"


def problem(code, message, path, fix, severity="error"):
    """One entry of MODEL's ``problems``."""
    return {"code": "model." + code, "message": message, "path": path, "fix": fix, "severity": severity}


def _unreadable(path, exc):
    return problem(
        "unreadable", "{0}: {1}".format(os.path.basename(path), exc.strerror or exc), path,
        "make it readable for the user that the task and the container run as",
    )  # fmt: skip


def missing(path):
    """The problem of a weight file that is not there: never downloaded, or a link to a blob that has gone."""
    if os.path.islink(path):
        text = "{0} is a link to {1}, which does not exist".format(os.path.basename(path), os.readlink(path))
    else:
        text = "{0} is missing".format(os.path.basename(path))
    return problem("shard-missing", text, path, AGAIN)


class Damaged(Exception):
    """A weight file is not what it should be: the code of the problem, the text after the file's name, and the fix."""

    def __init__(self, code, text, fix=AGAIN):
        super().__init__(text)
        self.code, self.text, self.fix = code, text, fix


def examine(path, check):
    """``(size in bytes, problem or None)`` of a weight file; ``check(stream, size)`` raises `Damaged`."""
    size = 0
    try:
        size = os.stat(path).st_size
        with open(path, "rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                fix = "run `git lfs pull` in the repository it was cloned from"
                raise Damaged("pointer-file", "is a Git LFS pointer, not the file itself", fix)
            stream.seek(0)
            check(stream, size)
    except FileNotFoundError:
        return 0, missing(path)
    except OSError as exc:
        return size, _unreadable(path, exc)
    except Damaged as exc:
        return size, problem(exc.code, "{0} {1}".format(os.path.basename(path), exc.text), path, exc.fix)
    return size, None


def check_safetensors(stream, size):
    """Eight bytes of length, a JSON header, and as many bytes as its offsets say."""
    head = stream.read(8)
    if len(head) < 8:
        raise Damaged("shard-truncated", "has only {0} bytes".format(size))
    length = struct.unpack("<Q", head)[0]
    if length > MAX_HEADER:
        raise Damaged("shard-invalid", "is not a safetensors file")
    if 8 + length > size:
        raise Damaged("shard-truncated", "ends inside its header: {0} of at least {1} bytes".format(size, 8 + length))
    try:
        header = json.loads(stream.read(length).decode("utf-8"))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends or [0])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Damaged("shard-invalid", "has a damaged header")
    if size < wanted:
        raise Damaged("shard-truncated", "has {0} of {1} bytes".format(size, wanted))
    if size > wanted:
        raise Damaged("shard-invalid", "has {0} bytes more than its header tells".format(size - wanted))


def check_torch(stream, size):
    """A pickle tells nothing without being run: it only must not be empty."""
    if size == 0:
        raise Damaged("shard-truncated", "is empty")


def check_gguf(stream, size):
    """Magic and version, as in llama.cpp's ggml/include/gguf.h."""
    if size == 0:
        raise Damaged("shard-truncated", "is empty")
    magic, version = struct.unpack("<4sI", stream.read(8).ljust(8, b"\0"))
    if magic != b"GGUF":
        raise Damaged("gguf-invalid", "is not a GGUF file")
    if not 1 <= version <= 3:
        fix = "convert the model again with a current llama.cpp"
        raise Damaged("gguf-invalid", "has GGUF version {0}; 1 to 3 are known".format(version), fix)


def safetensors(path):
    return examine(path, check_safetensors)


def torch(path):
    return examine(path, check_torch)


def gguf(path):
    """``(paths of all shards, bytes, problems)`` of a GGUF model, given its file or any of its shards."""
    folder, name = os.path.split(path)
    match = GGUF_SHARD.match(name)
    names = [name]
    if match:
        stem, total = match.group("stem"), int(match.group("total"))
        names = ["{0}-{1:05d}-of-{2:05d}.gguf".format(stem, number, total) for number in range(1, total + 1)]
    paths, size, problems = [os.path.join(folder, name) for name in names], 0, []
    for shard in paths:
        length, found = examine(shard, check_gguf)
        size += length
        if found:
            problems.append(found)
    return paths, size, problems


def index(path):
    """``(names of the shards, problem or None)`` of a ``*.index.json``."""
    try:
        with open(path, "rb") as stream:
            names = sorted(set(json.loads(stream.read().decode("utf-8"))["weight_map"].values()))
        if not names or any(not isinstance(name, str) or os.path.isabs(name) or ".." in name for name in names):
            raise ValueError("no usable file names")
        return names, None
    except FileNotFoundError:
        return [], missing(path)
    except OSError as exc:
        return [], _unreadable(path, exc)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        return [], problem("index-invalid", "{0} is damaged: {1}".format(os.path.basename(path), exc), path, AGAIN)
