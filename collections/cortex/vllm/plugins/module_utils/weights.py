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


def safetensors(path):
    """``(size in bytes, problem or None)`` of one safetensors file: header and length, not the tensors."""
    try:
        size = os.stat(path).st_size
        with open(path, "rb") as stream:
            head = stream.read(8)
            if len(head) < 8:
                return size, problem("shard-truncated", "{0} has only {1} bytes".format(os.path.basename(path), size), path, AGAIN)
            length = struct.unpack("<Q", head)[0]
            if head + stream.read(64)[:0] and (head == LFS_POINTER[:8]):
                return size, problem(
                    "pointer-file", "{0} is a Git LFS pointer, not the file itself".format(os.path.basename(path)), path,
                    "run `git lfs pull` in the repository it was cloned from",
                )  # fmt: skip
            if length > MAX_HEADER:
                return size, problem("shard-invalid", "{0} is not a safetensors file".format(os.path.basename(path)), path, AGAIN)
            if 8 + length > size:
                return size, problem(
                    "shard-truncated", "{0} ends inside its header: {1} of at least {2} bytes".format(
                        os.path.basename(path), size, 8 + length), path, AGAIN,
                )  # fmt: skip
            stream.seek(8)
            raw = stream.read(length)
    except FileNotFoundError:
        return 0, missing(path)
    except OSError as exc:
        return 0, _unreadable(path, exc)
    try:
        header = json.loads(raw.decode("utf-8"))
        end = max([entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"] or [0])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return size, problem("shard-invalid", "{0} has a damaged header".format(os.path.basename(path)), path, AGAIN)
    wanted = 8 + length + end
    if size < wanted:
        return size, problem(
            "shard-truncated", "{0} has {1} of {2} bytes".format(os.path.basename(path), size, wanted), path, AGAIN
        )
    if size > wanted:
        return size, problem(
            "shard-invalid", "{0} has {1} bytes more than its header tells".format(os.path.basename(path), size - wanted),
            path, AGAIN,
        )  # fmt: skip
    return size, None


def plain(path):
    """``(size, problem or None)`` of a weight file of which only the presence is checked (torch)."""
    try:
        size = os.stat(path).st_size
        with open(path, "rb") as stream:
            stream.read(1)
    except FileNotFoundError:
        return 0, missing(path)
    except OSError as exc:
        return 0, _unreadable(path, exc)
    if size == 0:
        return 0, problem("shard-truncated", "{0} is empty".format(os.path.basename(path)), path, AGAIN)
    return size, None


def gguf(path):
    """``(paths of all shards, bytes, problems)`` of a GGUF model, given its file or any of its shards."""
    folder, name = os.path.split(path)
    match = GGUF_SHARD.match(name)
    names = [name]
    if match:
        total = int(match.group("total"))
        names = ["{0}-{1:05d}-of-{2:05d}.gguf".format(match.group("stem"), number, total) for number in range(1, total + 1)]
    paths, size, problems = [os.path.join(folder, name) for name in names], 0, []
    for shard in paths:
        length, found = plain(shard)
        size += length
        if found is None:
            try:
                with open(shard, "rb") as stream:
                    magic, version = struct.unpack("<4sI", stream.read(8).ljust(8, b"\0"))
            except OSError as exc:
                found = _unreadable(shard, exc)
            else:
                if magic != b"GGUF":
                    found = problem("gguf-invalid", "{0} is not a GGUF file".format(os.path.basename(shard)), shard, AGAIN)
                elif not 1 <= version <= 3:
                    found = problem(
                        "gguf-invalid", "{0} has GGUF version {1}; 1 to 3 are known".format(os.path.basename(shard), version),
                        shard, "convert the model again with a current llama.cpp",
                    )  # fmt: skip
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
