# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Files on the target: written whole or not at all, and generations that never change once written."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat

#: Where the collection keeps its state on a host unless it is told otherwise.
STATE_DIR = "/var/lib/cortex-vllm"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")


class FilesError(Exception):
    """Something could not be written; the text names the path and what to do."""


class RequestRefused(Exception):
    """A request that cannot be carried out; the text says which part."""


def explain(exc, path):
    """A sentence for an `OSError` at ``path`` that says what to do about it."""
    what = os.strerror(exc.errno) if exc.errno else str(exc)
    text = "cannot write {0}: {1}".format(path, what)
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return text + ". Free some space on this file system"
    if exc.errno in (errno.EACCES, errno.EPERM):
        return text + ". Run the task with become: true, or choose a state directory that this user owns"
    if exc.errno == errno.EROFS:
        return text + ". Choose a state directory on a writable file system"
    return text


def explain_request(exc, request):
    """One sentence for what a step raised: a path that cannot be written, or a request with something missing."""
    if isinstance(exc, OSError):
        return explain(exc, exc.filename or request.get("state_dir"))
    if isinstance(exc, KeyError):
        return "the request lacks {0}".format(exc)
    return "the request cannot be carried out: {0}".format(exc)


def safe_name(name):
    """Whether ``name`` may be one component of a path: letters, digits, ``_``, ``.``, ``-``; no leading dot."""
    return isinstance(name, str) and bool(_NAME.match(name))


def relative(path):
    """``path`` normalised when it stays below where it starts; else `FilesError`."""
    clean = os.path.normpath(str(path))
    if os.path.isabs(clean) or clean in (".", "..") or clean.startswith("../"):
        raise FilesError("the file path {0!r} leaves its generation; use a relative path".format(path))
    return clean


def below(root, path):
    """The absolute ``path`` when, links followed, it lies below ``root``; else `FilesError`."""
    base = os.path.realpath(root)
    real = os.path.realpath(path)
    if not real.startswith(base.rstrip("/") + "/"):
        raise FilesError("{0} does not lie below the state directory {1}".format(path, root))
    return os.path.abspath(path)


def _own(fd_or_path, uid, gid):
    """Hand a file to uid and gid, when it is not theirs yet (which a person without root cannot do)."""
    info = os.stat(fd_or_path)
    if (uid is not None and info.st_uid != uid) or (gid is not None and info.st_gid != gid):
        os.chown(fd_or_path, -1 if uid is None else uid, -1 if gid is None else gid)


def read_json(path):
    """A JSON object that a job or an earlier run wrote, or None when there is none."""
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read().decode("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def sync_directory(path):
    """Make a rename in ``path`` survive a power cut."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path, content, mode, uid=None, gid=None):
    """Create ``path`` with bytes ``content``: never readable by others in between, on disk when this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        _own(fd, uid, gid)
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path, content, mode=0o600):
    """Replace ``path`` by bytes ``content``: a reader sees the old or the new file, never a half. Raises `OSError`."""
    temporary = "{0}.{1}.new".format(path, os.getpid())
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    try:
        write_new(temporary, content, mode)
        os.rename(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    sync_directory(os.path.dirname(path))


def directory(path, mode, uid=None, gid=None):
    """Make sure that the directory ``path`` exists with ``mode`` and owner. Missing parents get 0711."""
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        directory(parent, 0o711)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    if stat.S_IMODE(os.stat(path).st_mode) != mode:
        os.chmod(path, mode)
    _own(path, uid, gid)


def _content(tree):
    """``{relative path: (mode, bytes)}`` of a directory, to see whether a generation is what it should be."""
    found = {}
    for folder, dummy, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                found[os.path.relpath(path, tree)] = (stat.S_IMODE(os.stat(path).st_mode), stream.read())
    return found


def write_generation(server_dir, generation, files, secrets, user, stamp):
    """Write the immutable directory ``generations/<generation>`` of a server; returns its path.

    ``files``: the order's list of ``{path, mode, content}``; ``secrets``: ``{NAME: value}``, each a 0400 file of
    ``user`` (``{uid, gid}``); ``stamp``: text that makes temporary names unique. A generation that is there with the
    same content is left as it is. One that differs (edited by hand) is moved aside: a container that runs with it
    keeps its mount. Raises `OSError` or `FilesError`; nothing half-written stays.
    """
    if not safe_name(generation):
        raise FilesError("the generation {0!r} is not a plain name".format(generation))
    uid, gid = user.get("uid", 0), user.get("gid", 0)
    wanted = {}
    for entry in files:
        wanted[relative(entry["path"])] = (int(str(entry.get("mode") or "0444"), 8), entry["content"].encode("utf-8"))
    hidden = {}
    for name, value in secrets.items():
        hidden[relative("secrets/" + name)] = (0o400, str(value).encode("utf-8"))
    parent = os.path.join(server_dir, "generations")
    directory(parent, 0o711)
    final = os.path.join(parent, generation)
    expected = dict(wanted)
    expected.update(hidden)
    if os.path.isdir(final) and _content(final) == expected:
        return final
    temporary = os.path.join(parent, ".{0}.{1}".format(generation, stamp))
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        directory(temporary, 0o755)
        for path, (mode, content) in sorted(wanted.items()):
            target = os.path.join(temporary, path)
            directory(os.path.dirname(target), 0o755)
            write_new(target, content, mode)
        if hidden:
            directory(os.path.join(temporary, "secrets"), 0o500, uid, gid)
            for path, (mode, content) in sorted(hidden.items()):
                write_new(os.path.join(temporary, path), content, mode, uid, gid)
        if os.path.isdir(final):
            os.rename(final, os.path.join(parent, ".replaced-{0}.{1}".format(generation, stamp)))
        os.rename(temporary, final)
        sync_directory(parent)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def prune_generations(server_dir, keep):
    """Remove every generation of a server but those named in ``keep``: old secrets do not stay on the disk."""
    parent = os.path.join(server_dir, "generations")
    try:
        names = os.listdir(parent)
    except OSError:
        return
    for name in names:
        if name not in keep:
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)


def secret(generation_dir, name):
    """The secret ``name`` of a generation as text, or None when there is none or it cannot be read."""
    if not generation_dir or not safe_name(name):
        return None
    try:
        with open(os.path.join(generation_dir, "secrets", name), "rb") as stream:
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return None


def secrets(generation_dir):
    """All secret values of a generation: what must not appear in what is said about it."""
    try:
        names = os.listdir(os.path.join(generation_dir or "", "secrets"))
    except OSError:
        return []
    return [value for value in (secret(generation_dir, name) for name in names) if value]
