# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Who may open a model's files, and what they lie on."""

from __future__ import annotations

import os
import stat

# More owners and modes than this in one model are told as they come; nobody has them.
MOST = 32


def summary(stats):
    """``[{"kind", "uid", "gid", "mode", "path", "files"}]``: one entry for each way in which files are protected.

    The container's user is not known when files are looked at (an image can name it), so the host tells what there is
    and the controller judges. ``kind``: ``directory``, ``config``, ``weights`` or ``file``.
    """
    found = {}
    for kind, path, facts in stats:
        key = (kind, facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode))
        if key in found:
            found[key]["files"] += 1
        elif len(found) < MOST:
            found[key] = {
                "kind": kind, "uid": key[1], "gid": key[2], "mode": "{0:04o}".format(key[3]), "path": path, "files": 1,
            }  # fmt: skip
    return list(found.values())


def may_open(entry, uid, gids):
    """Whether a user without capabilities may read a file of this entry, or enter and list a directory."""
    mode = int(entry["mode"], 8)
    if entry["uid"] == uid:
        bits = mode >> 6
    elif entry["gid"] in gids:
        bits = mode >> 3
    else:
        bits = mode
    need = 5 if entry["kind"] == "directory" else 4
    return bits & need == need


def links(root, stats, same):
    """``[{"path", "target", "kind", "files"}]``: links that a container which is shown ``root`` alone does not follow.

    ``same``: the container sees ``root`` under the same path, so that a link that begins with a slash may lead into it.
    One entry for each directory that is led to; ``target`` is the first file's.
    """
    found, known = {}, {}
    for kind, path, _facts in stats:
        left = _leaves(root, path, same, known)
        if left is None:
            continue
        key = (kind, os.path.dirname(left))
        if key in found:
            found[key]["files"] += 1
        elif len(found) < MOST:
            found[key] = {"path": path, "target": left, "kind": kind, "files": 1}
    return list(found.values())


def _leaves(root, path, same, known):
    """Where the way from ``root`` to ``path`` leaves it, as an absolute path; None when it stays inside."""
    if path != root and not path.startswith(root.rstrip("/") + "/"):
        return None
    todo, at, hops = path[len(root) :].split("/")[::-1], [], 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        here = os.path.join(root, *(at + [part]))
        if part == "..":
            if not at:
                return os.path.normpath(os.path.join(root, "..", *reversed(todo)))
            at.pop()
            continue
        if here not in known:
            known[here] = os.readlink(here) if os.path.islink(here) else None
        text = known[here]
        if text is None:
            at.append(part)
            continue
        hops += 1
        if hops > 40:
            return None
        rest = text.split("/")[::-1]
        if text.startswith("/"):
            inside = text == root or text.startswith(root.rstrip("/") + "/")
            if not (same and inside):
                return os.path.normpath(os.path.join(text, *reversed(todo)))
            at, rest = [], text[len(root) :].split("/")[::-1]
        todo += rest
    return None


def place(path):
    """``{"type", "source", "free", "total", "read_only"}`` of the file system that ``path`` is on."""
    found = {"type": None, "source": None, "free": None, "total": None, "read_only": False}
    try:
        space = os.statvfs(path)
        found.update(
            free=space.f_bavail * space.f_frsize, total=space.f_blocks * space.f_frsize,
            read_only=bool(space.f_flag & getattr(os, "ST_RDONLY", 1)),
        )  # fmt: skip
        device = os.stat(path).st_dev
    except OSError:
        return found
    wanted = "{0}:{1}".format(os.major(device), os.minor(device))
    real, best = os.path.realpath(path), -1
    try:
        with open("/proc/self/mountinfo", errors="surrogateescape") as stream:
            for line in stream:
                left, _mark, right = line.partition(" - ")
                fields, end = left.split(), right.split()
                if len(fields) < 5 or len(end) < 2:
                    continue
                point = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape", "replace")
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                # The device decides; overlay and btrfs tell another one here than stat does, so the path does too.
                score = (1000000 if fields[2] == wanted else 0) + len(point)
                if inside and score > best:
                    best = score
                    found.update(type=end[0], source=end[1])
    except OSError:
        pass
    return found
