# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Snapshots of the Hugging Face cache, listed and written as huggingface_hub does it.

``models--org--name/refs/<revision>`` holds a commit, ``snapshots/<commit>/`` has a link for each file, ``blobs/`` the
content by its etag (file_download.py of huggingface_hub: _create_symlink, _get_pointer_path, REFS).
"""

from __future__ import annotations

import os

from ansible_collections.cortex.vllm.plugins.module_utils import files, hashing
from ansible_collections.cortex.vllm.plugins.module_utils.hub_cache import COMMIT, default_cache, folder_of, is_id


def repository(cache, model):
    """The folder of a model in a cache; `files.RequestRefused` for what is no id."""
    if not is_id(model):
        raise files.RequestRefused("{0!r} is no id on the Hub: write org/name".format(model))
    return folder_of(cache or default_cache(), model)


def refs(folder):
    """``{revision: commit}`` of a repository; names may have slashes."""
    found, top = {}, os.path.join(folder, "refs")
    for at, dummy, names in os.walk(top):
        for name in names:
            path = os.path.join(at, name)
            try:
                with open(path, "rb") as stream:
                    text = stream.read(64).decode("ascii", "replace").strip()
            except OSError:
                continue
            if COMMIT.match(text):
                found[os.path.relpath(path, top)] = text
    return found


def snapshot(cache, model, revision):
    """What a cache has of a revision: ``{"model", "revision", "commit", "refs", "files": {name: …}, "problem"}``.

    A file is ``{"path", "blob", "size"}``; ``blob`` is None where a cache without links has a plain file.
    """
    folder = repository(cache, model)
    known = refs(folder)
    revision = revision or "main"
    commit = revision if COMMIT.match(revision) else known.get(revision)
    answer = {"model": model, "revision": revision, "commit": commit, "refs": {}, "files": {}, "problem": None}
    top = os.path.join(folder, "snapshots", commit or "-")
    if not commit or not os.path.isdir(top):
        answer["problem"] = "{0} at {1} is not in {2}".format(model, revision, os.path.dirname(folder))
        return answer
    answer["refs"] = {name: value for name, value in known.items() if value == commit}
    for name, path in walk(top):
        real = os.path.realpath(path)
        size = hashing.size_of(real)
        if size is None:
            answer["problem"] = "{0} of {1} is a link to nothing".format(name, model)
            continue
        blob = _blob(folder, path)
        answer["files"][name] = {"path": real, "blob": blob, "size": size}
    return answer


def _blob(folder, path):
    """The name of the blob that a snapshot's file leads to. That may be a link again: huggingface_hub 2 can keep a
    content once for all repositories of a cache (utils/_shared_blobs.py)."""
    if not os.path.islink(path):
        return None
    target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    same = os.path.realpath(os.path.dirname(target)) == os.path.realpath(os.path.join(folder, "blobs"))
    return os.path.basename(target) if same else None


def directory(path):
    """The same for a model that is a directory or a .gguf file of the host."""
    answer = {"path": path, "files": {}, "problem": None}
    top = path if os.path.isdir(path) else os.path.dirname(path)
    for name, found in walk(top) if os.path.exists(path) else ():
        if os.path.isdir(path) or _beside(name, os.path.basename(path)):
            answer["files"][name] = {"path": os.path.realpath(found), "blob": None, "size": hashing.size_of(found)}
    broken = sorted(name for name, entry in answer["files"].items() if entry["size"] is None)
    if broken or not answer["files"]:
        answer["problem"] = "{0} is a link to nothing".format(broken[0]) if broken else "{0} is not there".format(path)
    return answer


def _beside(name, gguf):
    """Whether a file belongs to a GGUF file: its shards, and what a tokenizer is made of."""
    stem = gguf[: -len("-00001-of-00001.gguf")] if "-of-" in gguf else gguf
    if name.endswith(".gguf"):
        return name == gguf or ("-of-" in gguf and name.startswith(stem + "-"))
    return "/" not in name and name.endswith((".json", ".jinja", ".model", ".txt"))


def walk(top):
    """``(relative name, path)`` of every file below ``top``, sorted; hidden folders are left out."""
    found = []
    for at, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.endswith((".part", ".new")):
                path = os.path.join(at, name)
                found.append((os.path.relpath(path, top), path))
    return sorted(found)


def pointer(folder, commit, name):
    """The path of a file in a snapshot; `files.FilesError` when its name leaves the snapshot."""
    return os.path.join(folder, "snapshots", commit, files.relative(name))


def link(folder, commit, name, blob):
    """Let a snapshot's file be a relative link to its blob, replacing what is there at once."""
    path = pointer(folder, commit, name)
    target = os.path.relpath(os.path.join(folder, "blobs", blob), os.path.dirname(path))
    if os.path.islink(path) and os.readlink(path) == target:
        return False
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    fresh = "{0}.{1}.new".format(path, os.getpid())
    if os.path.lexists(fresh):
        os.unlink(fresh)
    os.symlink(target, fresh)
    os.rename(fresh, path)
    return True


def linked(folder, commit, name, blob, size):
    """Whether a snapshot's file leads to its blob, and that has its size."""
    path = pointer(folder, commit, name)
    blob_path = os.path.join(folder, "blobs", blob)
    return (
        os.path.exists(path)
        and os.path.realpath(path) == os.path.realpath(blob_path)
        and (hashing.size_of(blob_path) == size)
    )


def write_ref(folder, name, commit):
    """Let a revision stand for a commit; without a line break, as huggingface_hub compares it."""
    path = os.path.join(folder, "refs", files.relative(name))
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    files.write_atomic(path, commit.encode("ascii"), 0o644)
