# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Whether what a server mounts from its state directory is still what was written, and putting it back.

A generation never changes once it is written. People and clean-up jobs change it all the same, and nobody notices until
the next start: by then it may be the middle of the night.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import stat

from ansible_collections.cortex.vllm.plugins.module_utils import files, state

# More than any file of a generation: one that has grown beyond it is not read to say that it was edited.
LARGEST = 4 << 20


def _folder(server_dir, generation):
    return os.path.join(server_dir, "generations", generation)


def _opened(path):
    """A file for reading. What is none any more (a pipe, a link, a device) is never waited for: `FileNotFoundError`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise FileNotFoundError(exc.errno, exc.strerror, path)
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "no plain file", path)
    return os.fdopen(fd, "rb")


def _mark(salt, path):
    """``[digest, mode, uid, ctime]`` of a file. The digest is salted: that of a secret must not serve to guess it."""
    with _opened(path) as stream:
        info = os.fstat(stream.fileno())
        content = stream.read(LARGEST + 1)
    digest = hmac.new(salt.encode("utf-8"), content, hashlib.sha256).hexdigest()
    return [digest, "{0:04o}".format(stat.S_IMODE(info.st_mode)), info.st_uid, info.st_ctime_ns]


def marks(server_dir, generation, salt):
    """``{path: [digest, mode, uid, ctime]}`` of a generation that was just written: what `look` compares with."""
    folder, found = _folder(server_dir, generation), {}
    for base, dummy, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            found[os.path.relpath(path, folder)] = _mark(salt, path)
    return found


def _sources(body):
    """Host paths that a create body mounts."""
    config = (body or {}).get("HostConfig") or {}
    found = [str(mount.get("Source") or "") for mount in config.get("Mounts") or [] if mount.get("Type") == "bind"]
    return found + [str(bind).partition(":")[0] for bind in config.get("Binds") or []]


def look(state_dir, server, committed):
    """``[{"path", "problem"}]`` of what is not as it was written: ``missing``, ``edited`` or how it is protected now.

    ``committed``: the record. Paths are below the server's directory. Never raises; what may not be read is no problem.
    """
    if not committed or committed.get("adopted"):
        return []
    server_dir = state.server_dir(state_dir, server)
    folder = _folder(server_dir, str(committed.get("generation") or ""))
    found = []
    # What the collection makes itself; a model that somebody keeps beside it is theirs. Files of the generation that
    # are mounted by themselves are among its marks.
    made = (os.path.join(server_dir, "cache", ""), os.path.join(state_dir, "locks", "starting", ""))
    for source in sorted(set(_sources(committed.get("body")))):
        own = source in (folder, os.path.join(server_dir, "run")) or source.startswith(made)
        if own and not os.path.lexists(source):
            found.append({"path": os.path.relpath(source, server_dir), "problem": "missing"})
    if not os.path.isdir(folder):
        return found
    salt = str(committed.get("salt") or "")
    for path, mark in sorted((committed.get("files") or {}).items()):
        problem = _problem(os.path.join(folder, path), salt, mark)
        if problem:
            found.append({"path": os.path.relpath(os.path.join(folder, path), server_dir), "problem": problem})
    return found


def _problem(path, salt, mark):
    try:
        # The kernel sets this time with each change of content, mode or owner, nobody else can: most looks end here.
        if os.lstat(path).st_ctime_ns == mark[3]:
            return None
        digest, mode, uid = _mark(salt, path)[:3]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "missing"
    except OSError:
        return None  # not ours to read: a task without become
    if digest != mark[0]:
        return "edited"
    if [mode, uid] != mark[1:3]:
        return "mode {0} and owner {1}, written with {2} and {3}".format(mode, uid, *mark[1:3])
    return None


def put_back(server_dir, generation, wanted, secrets, user, stamp):
    """Bring a generation back to what it is: see `files.write_generation` for what is given.

    The directory stays the one that a running container has mounted, if there is one; each file is replaced whole.
    Raises `OSError` or `files.FilesError`.
    """
    folder = _folder(server_dir, generation)
    if not os.path.isdir(folder):
        files.write_generation(server_dir, generation, wanted, secrets, user, stamp)
        return
    for entry in wanted:
        path = os.path.join(folder, files.relative(entry["path"]))
        _file(path, entry["content"].encode("utf-8"), int(str(entry.get("mode") or "0444"), 8), stamp, 0o755)
    owner = (user.get("uid", 0), user.get("gid", 0))
    for name, value in secrets.items():
        path = os.path.join(folder, files.relative("secrets/" + name))
        _file(path, str(value).encode("utf-8"), 0o400, stamp, 0o500, *owner)


def _file(path, content, mode, stamp, folder_mode, uid=None, gid=None):
    files.directory(os.path.dirname(path), folder_mode, uid, gid)
    temporary = "{0}.{1}".format(path, stamp)
    try:
        with _opened(path) as stream:
            info, same = os.fstat(stream.fileno()), stream.read() == content
        if same and stat.S_IMODE(info.st_mode) == mode and uid in (None, info.st_uid):
            return
    except OSError:
        pass  # it is not there, or no file: what follows says which
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    try:
        files.write_new(temporary, content, mode, uid, gid)
        os.rename(temporary, path)
    except OSError:
        if os.path.lexists(temporary):
            os.unlink(temporary)  # half of it, on a full disk
        raise
    files.sync_directory(os.path.dirname(path))
