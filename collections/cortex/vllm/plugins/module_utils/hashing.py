# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Files copied and compared by their hashes, in pieces: a file is never in memory as a whole."""

from __future__ import annotations

import hashlib
import os
import re

CHUNK = 1 << 20
_SHA1 = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Damaged(Exception):
    """A file whose content is not what it has to be; the text names it."""


class Hashes:
    """sha256 of a stream and, when the name of a blob asks for it, what git calls it."""

    def __init__(self, blob=None, size=0):
        self._sha256, self._git, self._blob = hashlib.sha256(), None, blob
        if blob and _SHA1.match(blob):
            self._git = hashlib.sha1("blob {0}\0".format(size).encode("ascii"))  # a name, no protection

    def update(self, data):
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)

    @property
    def sha256(self):
        return self._sha256.hexdigest()

    def fits(self):
        """Whether the content is what the blob's name says: sha256 of large files, git's sha1 of small ones."""
        if self._git is not None:
            return self._git.hexdigest() == self._blob
        return not (self._blob and _SHA256.match(self._blob)) or self.sha256 == self._blob


def read(path, add=None):
    """Pieces of a file; ``add(bytes)`` hears of each."""
    with open(path, "rb", buffering=0) as stream:
        while True:
            piece = stream.read(CHUNK)
            if not piece:
                return
            yield piece
            if add is not None:
                add(len(piece))


def sha256(path, add=None):
    digest = hashlib.sha256()
    for piece in read(path, add):
        digest.update(piece)
    return digest.hexdigest()


def fits(path, name, size, add=None):
    """Whether a file has the content that ``name`` stands for: a sha256, or what git calls it."""
    hashes = Hashes(name, size)
    for piece in read(path, add):
        hashes.update(piece)
    return hashes.fits()


def write(pieces, path, mode=0o644):
    """Write pieces to a new file, on disk when this returns. Raises `OSError`."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def copy(source, path, hashes, add=None, mode=0o644):
    """Copy ``source`` to ``path``, feeding ``hashes``."""

    def pieces():
        for piece in read(source, add):
            hashes.update(piece)
            yield piece

    write(pieces(), path, mode)


def size_of(path):
    """Bytes of a file, links followed; None when there is none."""
    try:
        return os.stat(path).st_size if os.path.isfile(path) else None
    except OSError:
        return None
