# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Makes a model complete: what would be done, as steps, and doing them.

Planning reads and nothing else, so that check mode and the real run have the same steps. Each step is atomic: a file
appears whole under its name or not at all, and a run that was killed is continued by the next one.
"""

from __future__ import annotations

import json
import os
import shutil

from ansible_collections.cortex.vllm.plugins.module_utils import (
    files,
    gguf_files,
    hub_cache,
    model_files,
    model_parts,
    state,
)
from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import problem

MARKER = model_parts.MARKER
PIECE = 8 * 1024 * 1024
# What a shared store has beside the model.
NOT_COPIED = (".cache", ".git", ".locks", ".gitattributes", MARKER)


class Plan:
    """The steps for one request (``make`` of the contract), and why some of it cannot be done."""

    def __init__(self, request, state_dir):
        self.request, self.state_dir = request, state_dir
        self.steps, self.problems = [], []
        model = request["model"]
        self.cache = request.get("hub_cache") or hub_cache.default_cache()
        self.revision = request.get("revision") or "main"
        self.role = request.get("role") or "model"
        self.on_hub = not os.path.isabs(model)
        name = hub_cache.QUANTIZED.match(model)
        self.name = name.group("id") if name else model
        if self.on_hub:
            self.folder = hub_cache.folder_of(self.cache, self.name)
        else:
            self.folder = os.path.dirname(model) if model.endswith(".gguf") else model

    def build(self):
        """Everything, in the order in which it is done. Raises `OSError`."""
        if self.on_hub and not hub_cache.is_id(self.name):
            self.problem("absent", "{0!r} is neither an absolute path nor a hub id".format(self.name), None,
                         "write org/name, or an absolute path")  # fmt: skip
            return self
        if self.request.get("source"):
            self.fetch(self.request["source"])
        if self.request.get("repair") and self.on_hub:
            self.repair()
        for option, role in (("tokenizer_from", "tokenizer"), ("config_from", "config")):
            if self.request.get(option):
                self.beside(option, role)
        if self.request.get("remove_unused"):
            self.prune()
        return self

    def problem(self, *args):
        self.problems.append(problem(*args))

    # -- steps

    def copy(self, source, target, how="copy"):
        """One file; nothing when it is there already: the same length and time, or the same bytes."""
        size = os.stat(source).st_size
        if _same(source, target):
            return
        self.steps.append({"do": how, "path": target, "source": os.path.realpath(source), "bytes": size,
                           "replaces": os.path.lexists(target)})  # fmt: skip

    def write(self, target, content):
        try:
            with open(target) as stream:
                if stream.read() == content:
                    return
        except (OSError, ValueError):
            pass
        self.steps.append({"do": "write", "path": target, "content": content, "bytes": len(content),
                           "replaces": os.path.lexists(target)})  # fmt: skip

    def link(self, target, to):
        if os.path.islink(target) and os.readlink(target) == to:
            return
        self.steps.append({"do": "link", "path": target, "to": to, "bytes": 0, "replaces": os.path.lexists(target)})

    # -- from a store

    def fetch(self, source):
        """From another hub cache, or a directory, into the place of the model; a model that is whole is left alone."""
        how = self.request.get("method") or "copy"
        if not os.path.isdir(source):
            self.problem("absent", "the source {0} is not there".format(source), source, "mount it, or correct source")
            return
        if self.on_hub:
            self.fetch_snapshot(source, how)
            return
        found = model_files.look(source, role=self.role, needs_tokenizer=False)
        if self.request["model"].endswith(".gguf"):
            wanted = [os.path.basename(self.request["model"])]
            wanted = [name for name in os.listdir(source) if name in wanted or _sibling(name, wanted[0])]
            if not wanted:
                text = "there is no {0} in {1}".format(os.path.basename(self.request["model"]), source)
                self.problem("absent", text, source, "correct source or model")
        else:
            if found["status"] != "complete":
                self.problems.extend(entry for entry in found["problems"] if entry["severity"] == "error")
                return
            wanted = list(_files(source))
        for name in sorted(wanted):
            self.copy(os.path.join(source, name), os.path.join(self.folder, name), how)

    def fetch_snapshot(self, source, how):
        theirs = hub_cache.folder_of(source, self.name)
        found = model_files.look(self.request["model"], self.revision, source, self.role, False)
        if found["status"] != "complete":
            self.problems.extend(entry for entry in found["problems"] if entry["severity"] == "error")
            return
        # Of a repository with many quantizations the asked one alone.
        wanted = gguf_files.shards(found["path"]) if found["format"] == "gguf" else None
        commit, snapshot = found["commit"], os.path.join(theirs, "snapshots", found["commit"])
        for name in _files(snapshot):
            link = os.path.join(snapshot, name)
            if wanted is not None and name.endswith(".gguf") and link not in wanted:
                continue
            target = os.path.join(self.folder, "snapshots", commit, name)
            if os.path.islink(link):
                blob = os.path.join(self.folder, "blobs", os.path.basename(os.readlink(link)))
                self.copy(link, blob, how)
                self.link(target, os.path.relpath(blob, os.path.dirname(target)))
            else:
                self.copy(link, target, how)
        if not hub_cache.COMMIT.match(self.revision):
            self.write(hub_cache.ref_path(self.folder, self.revision), commit)

    # -- refs

    def repair(self):
        if not os.path.isdir(self.folder):
            return
        asked = {} if hub_cache.COMMIT.match(self.revision) else {self.revision: hub_cache.read_ref(
            self.folder, self.revision)[1]}  # fmt: skip
        have = hub_cache.snapshots(self.folder)
        for name, text in sorted(dict(hub_cache.refs(self.folder), **asked).items()):
            commit = (text or "").strip()
            if text == commit and commit in have:
                continue
            if commit not in have:
                if len(have) != 1:
                    known = ", ".join(have) or "no snapshot at all"
                    self.problem(
                        "ref-invalid", "refs/{0} cannot be repaired: the cache has {1}".format(name, known),
                        hub_cache.ref_path(self.folder, name),
                        "write the commit it should name (revision), or fetch the model again",
                    )  # fmt: skip
                    continue
                commit = have[0]
            self.write(hub_cache.ref_path(self.folder, name), commit)

    # -- files beside the weights

    def beside(self, option, role):
        wanted, revision = self.request[option], self.request.get(option.split("_")[0] + "_revision")
        if self.on_hub and option == "tokenizer_from":
            self.problem(
                "tokenizer-missing", "{0} is in a hub cache, where nothing may lie beside a snapshot".format(self.name),
                self.folder, "name the model by its path, or write `tokenizer` in the declaration",
            )  # fmt: skip
            return
        found = model_files.look(wanted, revision, self.cache, role=role)
        if found["status"] != "complete":
            self.problems.extend(entry for entry in found["problems"] if entry["severity"] == "error")
            return
        target = self.folder
        if self.on_hub:
            commit = hub_cache.read_ref(self.folder, self.revision)[0] or self.revision
            target = os.path.join(self.folder, "snapshots", commit)
        matches = model_parts.COPIED.match if role == "tokenizer" else model_parts.CONFIGS.__contains__
        for name in sorted(os.listdir(found["path"])):
            if matches(name) and os.path.isfile(os.path.join(found["path"], name)):
                self.copy(os.path.join(found["path"], name), os.path.join(target, name))
        if role == "tokenizer":
            identity = self.request.get("tokenizer_id") or (wanted if not os.path.isabs(wanted) else None)
            text = json.dumps({"tokenizer": identity, "from": wanted, "commit": found["commit"]}, sort_keys=True) + "\n"
            self.write(os.path.join(target, MARKER), text)

    # -- what nobody uses

    def prune(self):
        """Snapshots that no ref names, nobody asked for and no server of the host has on record, and their blobs."""
        if not self.on_hub:
            self.problem("absent", "only a hub cache has revisions", self.folder, "delete remove_unused")
            return
        kept = {text.strip() for text in hub_cache.refs(self.folder).values()}
        kept.update(self.request.get("keep") or (), (self.revision,), used_revisions(self.state_dir))
        kept.update(step["content"] for step in self.steps if step["do"] == "write")
        have = hub_cache.snapshots(self.folder)
        unused = [commit for commit in have if commit not in kept]
        if unused and len(unused) == len(have):
            self.problem("ref-invalid", "no ref names a snapshot, so that all would be unused", self.folder,
                         "repair the refs first (repair: true)")  # fmt: skip
            return
        if unused and (hub_cache.downloading(self.cache, self.folder)):
            self.problem("download-running", "the model is being downloaded now", self.folder, "wait for the download")
            return
        alive = set()
        for commit in have:
            if commit not in unused:
                alive.update(_blobs(os.path.join(self.folder, "snapshots", commit)))
        dead = {}
        for commit in unused:
            place = os.path.join(self.folder, "snapshots", commit)
            self.steps.append({"do": "remove", "path": place, "bytes": 0})
            for blob in _blobs(place) - alive:
                dead[blob] = os.stat(blob).st_size if os.path.exists(blob) else 0
        inside = os.path.join(os.path.realpath(self.folder), "blobs") + os.sep
        for blob in sorted(dead):
            if blob.startswith(inside):
                self.steps.append({"do": "remove", "path": blob, "bytes": dead[blob]})


def used_revisions(state_dir):
    """Commits that servers of this host run or may come back to, by their records."""
    found = set()
    try:
        names = os.listdir(state_dir)
    except OSError:
        return found
    for name in names:
        loaded = state.load(state_dir, name)[0] if os.path.isfile(os.path.join(state_dir, name, "state.json")) else None
        if loaded:
            found.update(_commits(loaded))
    return found


def _commits(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [commit for item in value for commit in _commits(item)]
    return [value] if isinstance(value, str) and hub_cache.COMMIT.match(value) else []


def apply(steps, advanced):
    """Do the steps; ``advanced(bytes)`` on the way. Raises `OSError` with the path in it."""
    for step in steps:
        path = step["path"]
        if step["do"] == "remove":
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
            continue
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            os.makedirs(folder, 0o755)
        if step["do"] == "write":
            files.write_atomic(path, step["content"].encode("utf-8"), 0o644)
            continue
        new = os.path.join(folder, "." + os.path.basename(path) + ".cortex-new")
        if os.path.lexists(new):
            os.unlink(new)
        if step["do"] == "link":
            os.symlink(step["to"], new)
        elif step["do"] == "hardlink":
            os.link(step["source"], new)
        else:
            _copy(step["source"], new, advanced)
        os.rename(new, path)
        files.sync_directory(folder)


def _copy(source, target, advanced):
    with open(source, "rb", buffering=0) as reading, open(target, "xb", buffering=0) as writing:
        while True:
            piece = reading.read(PIECE)
            if not piece:
                break
            view = memoryview(piece)
            while view:
                view = view[writing.write(view) :]
            advanced(len(piece))
        os.fsync(writing.fileno())
    facts = os.stat(source)
    os.chmod(target, (facts.st_mode & 0o777) | 0o444)
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _same(source, target):
    """Whether a copy is there: weights by length and time, which a copy keeps; small files byte by byte."""
    try:
        ours, theirs = os.stat(target), os.stat(source)
    except OSError:
        return False
    if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
        return True
    if ours.st_size != theirs.st_size:
        return False
    if ours.st_size > PIECE:
        return ours.st_mtime_ns == theirs.st_mtime_ns
    with open(source, "rb") as one, open(target, "rb") as other:
        return one.read() == other.read()


def _files(folder):
    for at, dirs, names in os.walk(folder):
        dirs[:] = sorted(name for name in dirs if name not in NOT_COPIED)
        for name in sorted(names):
            if name not in NOT_COPIED and not name.endswith((".incomplete", ".cortex-new")):
                yield os.path.relpath(os.path.join(at, name), folder)


def _blobs(snapshot):
    found = set()
    for at, _dirs, names in os.walk(snapshot):
        for name in names:
            path = os.path.join(at, name)
            if os.path.islink(path):
                found.add(os.path.realpath(path))
    return found


def _sibling(name, wanted):
    """Whether both are shards of one GGUF model."""
    one, other = gguf_files.SHARD.match(name), gguf_files.SHARD.match(wanted)
    return bool(
        one and other and (one.group("stem"), one.group("total")) == (other.group("stem"), other.group("total"))
    )
