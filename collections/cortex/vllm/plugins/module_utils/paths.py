# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Facts of paths and of the host, read from the file system alone."""

from __future__ import annotations

import os
import socket
import stat
import sys
import time


def look(path):
    """``{exists, kind, uid, gid, mode, message}`` of a path, links followed; never raises."""
    answer = {"exists": False, "kind": None, "uid": None, "gid": None, "mode": None, "message": None}
    try:
        info = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            answer["message"] = "a link to {0}, which does not exist".format(os.readlink(path))
        return answer
    except (OSError, ValueError) as exc:
        answer["message"] = getattr(exc, "strerror", None) or str(exc)
        return answer
    kinds = (
        (stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"),
    )  # fmt: skip
    answer.update(
        exists=True,
        kind=next((kind for test, kind in kinds if test(info.st_mode)), "other"),
        uid=info.st_uid,
        gid=info.st_gid,
        mode="{0:04o}".format(stat.S_IMODE(info.st_mode)),
    )
    return answer


def disk(path):
    """``{free, total}`` in bytes of the file system that holds ``path`` or will; None when it cannot be asked."""
    while path and not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    try:
        info = os.statvfs(path or "/")
    except OSError:
        return None
    return {"free": info.f_bavail * info.f_frsize, "total": info.f_blocks * info.f_frsize}


def _memory():
    found = {}
    try:
        with open("/proc/meminfo", "rb") as stream:
            for line in stream:
                name, dummy, rest = line.decode("ascii", "replace").partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return found


def _read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read(256).decode("ascii", "replace").strip()
    except OSError:
        return None


def host(disks):
    """The host part of an observation; ``disks``: paths whose file systems are of interest."""
    memory = _memory()
    return {
        "hostname": socket.gethostname(),
        "time": time.time(),
        "python": sys.version.split()[0],
        "uid": os.getuid(),
        "cpus": os.cpu_count(),
        "memory_total": memory.get("MemTotal"),
        "memory_available": memory.get("MemAvailable"),
        "selinux": {"1": "enforcing", "0": "permissive"}.get(_read("/sys/fs/selinux/enforce") or "", "disabled"),
        "boot_id": _read("/proc/sys/kernel/random/boot_id"),
        "disk": {path: disk(path) for path in disks if path},
    }
