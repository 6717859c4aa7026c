# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The cache of the Hugging Face Hub: from an id and a revision to a snapshot, as huggingface_hub itself goes.

``models--org--name/refs/<revision>`` holds a commit, ``snapshots/<commit>/`` links into ``blobs/<etag>``
(huggingface_hub 0.20 … 1.x: file_download.py try_to_load_from_cache, _snapshot_download.py with local_files_only).
"""

from __future__ import annotations

import os
import re

from ansible_collections.cortex.vllm.plugins.module_utils import locks
from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import NOWHERE, Irregular, opened

COMMIT = re.compile(r"[0-9a-f]{40}\Z")
# utils/_validators.py validate_repo_id: these characters, at most one slash, 96 characters, no "--" and no "..".
HUB_ID = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)?[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
# repo:QUANT of GGUF repositories (vllm/transformers_utils/gguf_utils.py is_remote_gguf, 0.12 … 0.23).
QUANTIZED = re.compile(r"(?P<id>[^:]+):(?P<quant>[A-Za-z0-9_-]+)\Z")


def default_cache():
    """Where huggingface_hub keeps its cache for this user (constants.py, in its order)."""
    env = os.environ

    def expanded(text):
        return os.path.expandvars(os.path.expanduser(text))

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if env.get(name):
            return expanded(env[name])
    home = env.get("HF_HOME") or os.path.join(env.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return os.path.join(expanded(home), "hub")


def is_id(text):
    """Whether it may be the id of a model on the Hub."""
    return (
        bool(HUB_ID.match(text)) and len(text) <= 96 and ".." not in text and "--" not in text
        and not text.endswith((".git", ".ipynb", "-", "."))
    )  # fmt: skip


def folder_of(cache, model):
    return os.path.join(cache, "models--" + model.replace("/", "--"))


def ref_path(folder, revision):
    """The file of a ref; None when the name leads out of ``refs``."""
    refs = os.path.join(folder, "refs")
    path = os.path.normpath(os.path.join(refs, revision))
    return path if path.startswith(refs + os.sep) else None


def read_ref(folder, revision):
    """``(commit or None, text or None)`` of a ref: the text as it stands there, None when there is no such ref."""
    path = ref_path(folder, revision)
    if path is None:
        return None, None
    try:
        with opened(path) as stream:
            text = stream.read(4096).decode("utf-8", "replace")
    except Irregular:
        return None, None
    except OSError as exc:
        if exc.errno in NOWHERE:
            return None, None
        raise
    return (text.strip() if COMMIT.match(text.strip()) else None), text


def refs(folder):
    """``{name: text}`` of all refs of a repository, those with slashes too."""
    found, root = {}, os.path.join(folder, "refs")
    for at, _dirs, names in os.walk(root):
        for name in names:
            full = os.path.relpath(os.path.join(at, name), root)
            found[full] = read_ref(folder, full)[1] or ""
    return found


def snapshots(folder):
    """Commits of which the cache has a snapshot, sorted."""
    try:
        return sorted(name for name in os.listdir(os.path.join(folder, "snapshots")) if COMMIT.match(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def known(folder):
    """What the cache has of a repository, for a message."""
    names = ["{0}".format(name) for name in sorted(refs(folder))]
    commits = [commit[:12] for commit in snapshots(folder)]
    return "the cache has the refs {0} and the snapshots {1}".format(
        ", ".join(names) or "(none)", ", ".join(commits) or "(none)"
    )


def unfinished(folder):
    """Blobs of downloads that did not end (``<etag>.incomplete``, of newer ones ``<etag>.<hash>.incomplete``)."""
    try:
        return sorted(name for name in os.listdir(os.path.join(folder, "blobs")) if name.endswith(".incomplete"))
    except (FileNotFoundError, NotADirectoryError):
        return []


def downloading(cache, folder):
    """Whether some process holds a lock on a blob of this repository now (``.locks`` of the cache)."""
    place = os.path.join(cache, ".locks", os.path.basename(folder))
    try:
        names = [name for name in os.listdir(place) if name.endswith(".lock")]
    except OSError:
        return False
    return any(locks.locked(os.path.join(place, name)) for name in names[:1000])


def resolve(notes, model, revision, cache):
    """``(folder, snapshot or None, commit or None)`` of a hub model; what is wrong goes into ``notes``.

    Raises `OSError` for a directory that may not be read.
    """
    folder = folder_of(cache, model)
    if not os.path.isdir(folder):
        # A directory on the way that may not be entered looks the same as one that is not there.
        at = folder
        while at != "/" and not os.path.exists(at):
            at = os.path.dirname(at)
        if os.path.isdir(at) and not os.access(at, os.X_OK | os.R_OK):
            raise PermissionError(13, "Permission denied", at)
        similar, fix = _similar(cache, folder), "fetch it into that cache, or correct the name or hub_cache"
        if similar:
            fix = "the cache has it as {0}: names differ by their case too".format(similar)
        notes.add("absent", "{0} is not in the hub cache {1}".format(model, cache), folder, fix)
        return folder, None, None
    if COMMIT.match(revision):
        commit, text = revision, None
    else:
        commit, text = read_ref(folder, revision)
    if text is not None and text != commit:
        if commit:
            what, why = "has more than the commit in it (a newline or blank)", "the Hub's library does not strip it"
        else:
            what, why = "holds {0!r} and no commit".format(text[:60]), "it was written by hand or is damaged"
        notes.add(
            "ref-invalid", "refs/{0} of {1} {2}: {3}".format(revision, model, what, why), ref_path(folder, revision),
            "let cortex.vllm.model write it again (repair: true), or fetch the model again",
        )  # fmt: skip
    snapshot = os.path.join(folder, "snapshots", commit) if commit else None
    if snapshot and os.path.isdir(snapshot):
        return folder, snapshot, commit
    if text is None or COMMIT.match(revision):
        fix = "{0}; fetch the revision, or name one of these".format(known(folder))
        full = [name for name in snapshots(folder) if len(revision) >= 4 and name.startswith(revision.lower())]
        if full and full[0] != revision:
            fix = "write all 40 digits of the commit, in small letters: {0}".format(full[0])
        text = "revision {0} of {1} is not in {2}".format(revision, model, cache)
        notes.add("revision-absent", text, folder, fix)
    elif commit:
        notes.add(
            "snapshot-missing", "refs/{0} of {1} names {2}, and there is no such snapshot".format(
                revision, model, commit
            ),
            os.path.join(folder, "snapshots"), "{0}; fetch it again, or name one of these".format(known(folder)),
        )  # fmt: skip
    return folder, None, commit


def _similar(cache, folder):
    """The id of a repository of the cache whose name differs by nothing but the case; None when there is none."""
    name = os.path.basename(folder)
    try:
        found = [entry for entry in os.listdir(cache) if entry.lower() == name.lower() and entry != name]
    except OSError:
        return None
    return found[0][len("models--") :].replace("--", "/", 1) if found else None


def check_downloads(notes, cache, folder):
    """Downloads that were cut off or go on: an error only where something is missing."""
    left = unfinished(folder)
    if not left:
        return
    broken = any(entry["severity"] == "error" for entry in notes.problems)
    if downloading(cache, folder):
        notes.add(
            "download-running", "{0} files are being downloaded now".format(len(left)), os.path.join(folder, "blobs"),
            "wait for the download", "error" if broken else "warning",
        )  # fmt: skip
        return
    notes.add(
        "download-incomplete", "{0} files were not downloaded to the end".format(len(left)),
        os.path.join(folder, "blobs"), "run the download again", "error" if broken else "warning",
    )  # fmt: skip
