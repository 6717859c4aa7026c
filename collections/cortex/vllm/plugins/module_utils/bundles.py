# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Writes a bundle for a site without a network: what there is to put into it, and the job that does so.

A bundle is a directory of plain files without links, so that any medium can carry it:

    manifest.json              what is in it, with size and sha256 of each file; written last
    images/<id>.tar            an image as the engine saves it
    blobs/<sha256>             files of models, each content once
    collection/ wheels/ packages/ execution-environment/     what the controller and the hosts need beside
"""

from __future__ import annotations

import json
import os
import tarfile

from ansible_collections.cortex.vllm.plugins.module_utils import files, hashing, hub_layout, longjob, model_files
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine

MANIFEST = "manifest.json"
UNFINISHED = "manifest.unfinished.json"
OURS = ("images", "blobs")
EXTRAS = ("collection", "execution-environment", "packages", "wheels")


def stock(request, params):
    """What of the wanted is here, and what a bundle has: reads only.

    ``images``: references; ``models``: ``{key, model, revision, hub_cache}``, a path for a model that is none of the
    Hub; ``bundle``: a directory, or None; ``place``: what is to be placed here (`placing.needs`);
    ``archive``: a tar of images.
    """
    answer = {"images": {}, "models": {}, "bundle": None, "place": None, "archive": None}
    engine = Engine(params) if request.get("images") else None
    try:
        for ref in request.get("images") or []:
            answer["images"][ref] = _image(engine.image(ref))
    finally:
        if engine is not None:
            engine.close()
    for entry in request.get("models") or []:
        if os.path.isabs(entry["model"]):
            found = hub_layout.directory(entry["model"])
        else:
            found = hub_layout.snapshot(entry.get("hub_cache"), entry["model"], entry.get("revision"))
        if entry.get("judge"):
            verdict = model_files.look(entry["model"], entry.get("revision"), entry.get("hub_cache"), entry["judge"])
            found.update(sound=verdict["status"] == "complete", path=verdict["path"], problems=verdict["problems"])
        answer["models"][entry["key"]] = found
    if request.get("bundle"):
        answer["bundle"] = _bundle(request["bundle"], request.get("plain"))
    if request.get("archive"):
        answer["archive"] = _archive(request["archive"])
    if request.get("place"):
        from ansible_collections.cortex.vllm.plugins.module_utils import placing

        answer["place"] = placing.needs(request["place"], request, params)
    return answer


def _image(found):
    if not found:
        return None
    return {
        "id": found["Id"], "tags": found.get("RepoTags") or [], "digests": found.get("RepoDigests") or [],
        "architecture": found.get("Architecture"), "size": found.get("Size") or 0,
    }  # fmt: skip


def _archive(path):
    """``{"size", "listing": text of its manifest.json or None, "problem"}`` of a tar of images. Reads no layer."""
    answer = {"size": 0, "listing": None, "problem": None}
    try:
        answer["size"] = os.stat(path).st_size
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = member.name[2:] if member.name.startswith("./") else member.name
                if name == MANIFEST and member.isfile() and member.size < 16 * 2**20:
                    answer["listing"] = archive.extractfile(member).read().decode("utf-8", "replace")
                    break
    except (OSError, EOFError, tarfile.TarError) as exc:
        answer["problem"] = getattr(exc, "strerror", None) or str(exc)
    return answer


def _bundle(top, plain=False):
    """A bundle as it lies there: its manifest, and unless ``plain`` what an unfinished one noted and all its files."""
    path = os.path.join(top, MANIFEST)
    if plain:
        return {"manifest": files.read_json(path), "sha256": hashing.sha256(path) if os.path.isfile(path) else None}
    sizes = (
        {name: hashing.size_of(path) for name, path in hub_layout.walk(top) if "/" in name}
        if os.path.isdir(top)
        else {}
    )
    at = top
    while at != "/" and not os.path.isdir(at):
        at = os.path.dirname(at)
    disk = os.statvfs(at)
    return {
        "manifest": files.read_json(path),
        "sha256": hashing.sha256(path) if os.path.isfile(path) else None,
        "unfinished": files.read_json(os.path.join(top, UNFINISHED)),
        "sizes": sizes,
        # Wheels, packages, the collection: other tasks put them there, and only reading them tells a change.
        "extras": {
            name: {"size": size, "sha256": hashing.sha256(os.path.join(top, name))}
            for name, size in sizes.items()
            if name.split("/")[0] in EXTRAS
        },
        "free": disk.f_bavail * disk.f_frsize,
    }


def prove(request):
    """One slice of reading a bundle and comparing each file with its manifest: ``{bundle, files: {name: …}}`` →
    ``{"damaged": [{file, why}], "bytes"}``."""
    top = request["bundle"]

    def work(note, lock):
        note.total(sum(entry["size"] for entry in request["files"].values()), len(request["files"]))
        damaged = []
        for name, entry in sorted(request["files"].items()):
            note.begin(name)
            path = os.path.join(top, files.relative(name))
            size = hashing.size_of(path)
            if size != entry["size"]:
                damaged.append({"file": name, "why": "is not there" if size is None else "has another size"})
            elif not hashing.fits(path, entry["sha256"], size, note.add):
                damaged.append({"file": name, "why": "has another content"})
            note.finish()
        return {"damaged": damaged, "bytes": note.progress["bytes"]}

    return longjob.run(request, "prove " + os.path.abspath(top), work)


def pack(request, params):
    """One slice of writing a bundle.

    ``images``: ``[{ref, id, file, size}]`` to save; ``copies``: ``[{key, from, blob, size}]`` to take in by content;
    ``files``: what is there and known, the extras too; ``manifest``: the rest of it, in which
    ``models[].files[].key`` names a copy, or has its ``sha256`` already; ``remove``: files that nothing names any more.
    """
    top = request["bundle"]
    return longjob.run(
        request, "bundle " + os.path.abspath(top), lambda note, lock: _Packing(request, params, note).run()
    )


class _Packing:
    def __init__(self, request, params, note):
        self.request, self.params, self.note, self.top = request, params, note, request["bundle"]
        self.files = dict(request.get("files") or {})
        self.keys = dict(request.get("keys") or {})

    def run(self):
        """Everything, the manifest last; what is finished is noted at once, so that the next run skips it."""
        request, note = self.request, self.note
        for name in OURS:
            os.makedirs(os.path.join(self.top, name), 0o755, exist_ok=True)
        sizes = [entry["size"] for entry in (request.get("images") or []) + (request.get("copies") or [])]
        note.total(sum(sizes), len(sizes))
        for entry in request.get("copies") or []:
            self._copy(entry)
        for entry in request.get("images") or []:
            self._save(entry)
        return self._manifest()

    def _noted(self, name, size, sha256, **more):
        self.files[name] = {"size": size, "sha256": sha256}
        self.keys.update(more)
        content = json.dumps({"files": self.files, "keys": self.keys}, sort_keys=True)
        files.write_atomic(os.path.join(self.top, UNFINISHED), content.encode("utf-8"), 0o644)
        self.note.finish()

    def _copy(self, entry):
        self.note.begin(entry["key"])
        hashes = hashing.Hashes(entry.get("blob"), entry["size"])
        # One name for all: the lock keeps others out, and what a killed job left is written over.
        fresh = os.path.join(self.top, "blobs", ".taking-in.part")
        try:
            hashing.copy(entry["from"], fresh, hashes, self.note.add)
            if not hashes.fits():
                raise hashing.Damaged(
                    "{0} is damaged: {1} is not what its name in the cache says. Download it again".format(
                        entry["key"], entry["from"]
                    )
                )
            name = "blobs/" + hashes.sha256
            size = os.stat(fresh).st_size
            os.rename(fresh, os.path.join(self.top, name))
        finally:
            if os.path.exists(fresh):
                os.unlink(fresh)
        self._noted(
            name,
            size,
            hashes.sha256,
            **{entry["key"]: {"sha256": hashes.sha256, "size": size, "blob": entry.get("blob")}},
        )

    def _save(self, entry):
        self.note.begin("image " + entry["ref"])
        path = os.path.join(self.top, files.relative(entry["file"]))
        fresh, hashes = path + ".part", hashing.Hashes()
        engine = Engine(dict(self.params, timeout=3600))

        def pieces():
            for piece in engine.save(entry["id"]):
                hashes.update(piece)
                self.note.add(len(piece))
                yield piece

        try:
            hashing.write(pieces(), fresh)
            size = os.stat(fresh).st_size
            os.rename(fresh, path)
        finally:
            engine.close()
            if os.path.exists(fresh):
                os.unlink(fresh)
        self._noted(entry["file"], size, hashes.sha256)

    def _manifest(self):
        manifest = dict(self.request["manifest"])
        for model in manifest.get("models") or []:
            for entry in model["files"].values():
                key = entry.pop("key", None)
                if key is not None:
                    entry.update(sha256=self.keys[key]["sha256"], size=self.keys[key]["size"])
                entry["blob"] = entry.get("blob") or entry["sha256"]
        for image in manifest.get("images") or []:
            image["size"] = self.files[image["file"]]["size"]
        kept = {
            "blobs/" + entry["sha256"] for model in manifest.get("models") or [] for entry in model["files"].values()
        }
        kept.update(entry["file"] for entry in manifest.get("images") or [])
        kept.update(name for name in self.files if name.split("/")[0] in EXTRAS)
        manifest["files"] = {name: self.files[name] for name in sorted(kept)}
        content = json.dumps(manifest, indent=1, sort_keys=True).encode("utf-8") + b"\n"
        path = os.path.join(self.top, MANIFEST)
        before = files.read_json(path)
        if before is None or dict(before, created=None) != dict(manifest, created=None):
            files.write_atomic(path, content, 0o644)
        removed = []
        for name in self.request.get("remove") or []:
            if name not in manifest["files"] and os.path.exists(os.path.join(self.top, files.relative(name))):
                os.unlink(os.path.join(self.top, name))
                removed.append(name)
        if os.path.exists(os.path.join(self.top, UNFINISHED)):
            os.unlink(os.path.join(self.top, UNFINISHED))
        total = sum(entry["size"] for entry in manifest["files"].values())
        return {"sha256": hashing.sha256(path), "files": len(manifest["files"]), "bytes": total, "removed": removed}
