# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Puts a bundle's content where it belongs on a host: images into the engine, models into caches and directories.

Nothing is seen by anybody before its hash was proven: a file gets its name afterwards, a revision its ref last of all.
"""

from __future__ import annotations

import os

from ansible_collections.cortex.vllm.plugins.module_utils import files, hashing, hub_layout, lending, longjob, state
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine

INCOMING = ".cortex-vllm-incoming"


def part_path(entry_sha256, folder):
    """Where parts of a file gather before it is whole."""
    return os.path.join(folder, INCOMING, entry_sha256 + ".part")


def _folder(model):
    """The directory that holds a model: its repository in a cache, or the directory itself."""
    if model.get("path"):
        return model["directory"]
    return hub_layout.repository(model.get("hub_cache"), model["model"])


def _lacks(model, folder):
    """Names of files of a model that are not here with their size; content is looked at when they are placed."""
    missing = []
    for name, entry in model["files"].items():
        if model.get("path"):
            there = hashing.size_of(os.path.join(folder, files.relative(name))) == entry["size"]
        else:
            there = hub_layout.linked(folder, model["commit"], name, entry["blob"], entry["size"])
        if not there:
            missing.append(name)
    return missing


def needs(place, request, params):
    """What of a bundle a host lacks: ``{"images": {key: …}, "models": {key: …}}``; reads only.

    An image is here when the engine knows its id, or the id that was noted when this very file was loaded: engines with
    the containerd store give another one.
    """
    answer = {"images": {}, "models": {}}
    state_dir = request.get("state_dir") or files.STATE_DIR
    known = state.load_images(state_dir)
    engine = Engine(params) if place.get("images") else None
    try:
        for entry in place.get("images") or []:
            ident = image_id(engine, entry, known)
            incoming = part_path(entry["sha256"], state_dir)
            answer["images"][entry["key"]] = {
                "id": ident, "folder": state_dir, "have": hashing.size_of(incoming) or 0, "free": _free(state_dir),
                "tags": [tag for tag in entry.get("tags") or [] if _id(engine, tag) != ident] if ident else [],
                "names": sorted(set(entry.get("names") or []) - set((known.get(ident) or {}).get("digests") or [])),
            }  # fmt: skip
    finally:
        if engine is not None:
            engine.close()
    for model in place.get("models") or []:
        folder = _folder(model)
        missing = _lacks(model, folder)
        refs = hub_layout.refs(folder) if not model.get("path") else {}
        answer["models"][model["key"]] = {
            "folder": folder, "missing": missing, "free": _free(folder),
            "refs": sorted(name for name, commit in (model.get("refs") or {}).items() if refs.get(name) != commit),
            # A content that is here for another revision needs no more than a link.
            "content": sorted({model["files"][name]["sha256"] for name in missing if _content(model, folder, name)}),
            "have": {
                entry["sha256"]: hashing.size_of(part_path(entry["sha256"], folder)) or 0
                for entry in (model["files"][name] for name in missing)
            },
        }  # fmt: skip
    return answer


def _content(model, folder, name):
    entry = model["files"][name]
    return not model.get("path") and hashing.size_of(os.path.join(folder, "blobs", entry["blob"])) == entry["size"]


def _free(path):
    while path != "/" and not os.path.isdir(path):
        path = os.path.dirname(path)
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def _id(engine, ref):
    found = engine.image(ref)
    return found["Id"] if found else None


def image_id(engine, entry, known):
    """The id under which the engine has an image of a bundle, or None.

    With the containerd store an image's id is the digest of its manifest, not of its configuration, and one that came
    from a registry is known by nothing but its digest there.
    """
    noted = [ident for ident, facts in known.items() if _mark(entry) in ((facts or {}).get("archives") or [])]
    pulled = [name for name in entry.get("names") or [] if "@" in name]
    return next((ident for ident in (_id(engine, ref) for ref in [entry["id"]] + noted + pulled) if ident), None)


def _mark(entry):
    """What is noted of where an image came from: its file's sha256, or of one among several in a tar its own id."""
    return entry.get("mark") or entry["sha256"]


def receive(request):
    """Append a part to a file that is on its way. ``{folder, sha256, offset, part}`` → ``{"have": bytes}``.

    A part that does not begin where the file ends is left out, and the answer says where to go on. With ``name`` the
    file gets its name in ``folder`` when its content is what ``sha256`` says.
    """
    path = part_path(request["sha256"], request["folder"])
    os.makedirs(request["folder"], 0o755, exist_ok=True)
    files.directory(os.path.dirname(path), 0o700)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        have = os.fstat(fd).st_size
        if request.get("restart"):
            os.ftruncate(fd, 0)
            have = 0
        if request.get("part") and have == request["offset"]:
            os.lseek(fd, have, os.SEEK_SET)
            for piece in hashing.read(request["part"]):
                view = memoryview(piece)
                while view:
                    written = os.write(fd, view)
                    view, have = view[written:], have + written
            os.fsync(fd)
    finally:
        os.close(fd)
    if request.get("name") and hashing.fits(path, request["sha256"], have):
        os.chmod(path, 0o644)
        os.rename(path, os.path.join(request["folder"], files.relative(request["name"])))
        if not os.listdir(os.path.dirname(path)):
            os.rmdir(os.path.dirname(path))
    return {"have": have}


def place(request, params):
    """One slice of placing.

    ``images``: ``[{key, file, sha256, size, id, tags, names, label}]``, ``file`` None when it was sent or is not
    needed; ``models``: as `needs` takes them, with ``sources: {sha256: path}``, the files that this host can read, and
    ``labels`` for messages, and ``lent: {host, port}`` where another host lends them (``secrets``: its token);
    ``verify``: read again what is here; ``renew``: contents to read again. ``sha256`` of a
    file may be git's name of a content. What was sent is used up. ``unsound`` of the result: what is here with another
    content, and would have to be sent.
    """
    name = "place " + " ".join(
        sorted(
            [entry["key"] for entry in request.get("images") or []] + [_folder(m) for m in request.get("models") or []]
        )
    )
    return longjob.run(request, name, lambda note, lock: _Placing(request, params, note).run())


class _Placing:
    def __init__(self, request, params, note):
        self.request, self.params, self.note = request, params, note
        self.state_dir = request.get("state_dir") or files.STATE_DIR
        self.damaged, self.done, self.unsound = [], [], []
        # Of tars that this job loaded: what the engine called their images.
        self.loaded = {}
        self.renew = set(request.get("renew") or [])

    def run(self):
        images, models = self.request.get("images") or [], self.request.get("models") or []
        todo = [(model, _folder(model)) for model in models]
        sizes = [2 * entry["size"] for entry in images if entry.get("file")]
        for model, folder in todo:
            names = self._wanted(model, _lacks(model, folder))
            # What is lent is read twice: from the other host, and to be proven.
            sizes += [(2 if model.get("lent") else 1) * model["files"][name]["size"] for name in names]
        self.note.total(sum(sizes), len(sizes))
        for model, folder in todo:
            self._model(model, folder)
        for entry in images:
            self._image(entry)
        return {"damaged": self.damaged, "done": self.done, "unsound": self.unsound}

    # -- models

    def _wanted(self, model, missing):
        """Names of files to look into, sorted."""
        return sorted(
            name
            for name, entry in model["files"].items()
            if name in missing or self.request.get("verify") or entry["sha256"] in self.renew
        )

    def _model(self, model, folder):
        bad = len(self.damaged)
        missing = set(_lacks(model, folder))
        for name in self._wanted(model, missing):
            self._file(model, folder, name)
        if len(self.damaged) == bad:
            for ref, commit in sorted((model.get("refs") or {}).items()):
                if hub_layout.refs(folder).get(ref) != commit:
                    hub_layout.write_ref(folder, ref, commit)
                    self._did("{0}: {1} is {2}".format(model["key"], ref, commit))
        incoming = os.path.join(folder, INCOMING)
        if os.path.isdir(incoming) and not os.listdir(incoming):
            os.rmdir(incoming)

    def _file(self, model, folder, name):
        entry = model["files"][name]
        local = bool(model.get("path"))
        path = (
            os.path.join(folder, files.relative(name))
            if local
            else os.path.join(folder, "blobs", files.relative(entry["blob"]))
        )
        self.note.begin("{0} {1}".format(model["key"], name))
        there = hashing.size_of(path) == entry["size"]
        if not (there and self._sound(path, entry)):
            if there and not model.get("lent") and not self._source(model, entry, folder):
                self.unsound.append({"model": model["key"], "name": name, "sha256": entry["sha256"], "folder": folder})
                return
            if not self._bring(model, entry, path, folder):
                return
            self._did("{0} {1}".format(model["key"], name))
        if not local and hub_layout.link(folder, model["commit"], name, entry["blob"]):
            self._did("{0} {1}: linked".format(model["key"], name))
        self.note.finish()

    def _sound(self, path, entry):
        return hashing.fits(path, entry["sha256"], entry["size"], self.note.add)

    def _source(self, model, entry, folder):
        """Where a content can be had: what was sent, or a file that this host can read; None when there is none."""
        own = part_path(entry["sha256"], folder)
        return own if hashing.size_of(own) == entry["size"] else (model.get("sources") or {}).get(entry["sha256"])

    def _bring(self, model, entry, path, folder):
        """Prove a source and give it its name; whether that was done."""
        what = model.get("labels", {}).get(entry["sha256"]) or "blobs/" + entry["sha256"]
        if model.get("lent") and not self._source(model, entry, folder):
            self._take(model, entry, folder)
        source, own = self._source(model, entry, folder), part_path(entry["sha256"], folder)
        if source is None or hashing.size_of(source) != entry["size"]:
            self.damaged.append({"file": what, "why": "is not there" if source is None else "has another size"})
            return False
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        fresh = source if source == own else path + ".part"
        if source == own:
            sound = self._sound(own, entry)
        else:
            hashes = hashing.Hashes(entry["sha256"], entry["size"])
            hashing.copy(source, fresh, hashes, self.note.add)
            sound = hashes.fits()
        if not sound:
            os.unlink(fresh)
            self.damaged.append({"file": what, "why": "has another content"})
            return False
        os.chmod(fresh, 0o644)
        os.rename(fresh, path)
        files.sync_directory(os.path.dirname(path))
        return True

    def _take(self, model, entry, folder):
        """Let a content come from the host that lends it. It is proven later; one that does not come ends it all."""
        own = part_path(entry["sha256"], folder)
        os.makedirs(folder, 0o755, exist_ok=True)
        files.directory(os.path.dirname(own), 0o700)
        token = (self.params.get("secrets") or {}).get("token") or ""
        repository = os.path.basename(hub_layout.repository(None, model["model"]))
        lending.take(model["lent"], token, repository, entry["sha256"], entry["size"], own, self.note.add)

    def _did(self, text):
        self.done.append(text)

    # -- images

    def _image(self, entry):
        engine = Engine(dict(self.params, timeout=3600))
        try:
            ident = image_id(engine, entry, state.load_images(self.state_dir))
            if ident is None and entry.get("mark") and entry.get("label") in self.loaded:
                ident = self._named(engine, entry)  # it came with the one before it
            if ident is None:
                ident = self._load(engine, entry)
            if ident is None:
                return
            for tag in entry.get("tags") or []:
                if _id(engine, tag) != ident:
                    engine.tag(ident, tag)
                    self._did("image {0}: named {1}".format(entry["key"], tag))
        finally:
            engine.close()
        state.note_origin(self.state_dir, ident, entry.get("names") or [], _mark(entry))

    def _load(self, engine, entry):
        own = part_path(entry["sha256"], self.state_dir)
        source = own if hashing.size_of(own) == entry["size"] else entry.get("file")
        label = entry.get("label") or entry["key"]
        if not source or hashing.size_of(source) != entry["size"]:
            self.damaged.append(
                {"file": label, "why": "has another size" if source and os.path.exists(source) else "is not there"}
            )
            return None
        self.note.begin("proving image " + entry["key"])
        if entry["sha256"] and not self._sound(source, entry):  # of a plain tar nobody may have told it
            self.damaged.append({"file": label, "why": "has another content"})
            if source == own:
                os.unlink(own)
            return None
        self.note.begin("loading image " + entry["key"])
        loaded = self.loaded[label] = engine.load(hashing.read(source, self.note.add))
        ident = self._named(engine, entry)
        if ident is None:
            raise hashing.Damaged(
                "the engine loaded {0} and named no image: {1}".format(label, ", ".join(loaded) or "nothing")
            )
        if source == own:
            os.unlink(own)
        self._did("image {0}: loaded".format(entry["key"]))
        self.note.finish()
        return ident

    def _named(self, engine, entry):
        """The id that the engine gave an image of a file that was loaded: some count it in another way.

        `hashing.Damaged` when nobody can tell which of several images without a name it is.
        """
        loaded = self.loaded[entry.get("label") or entry["key"]]
        own = _id(engine, entry["id"])
        if own or not loaded:
            return own
        wanted = {state.plain_name(tag) for tag in entry.get("tags") or []}
        nameless = [name for name in loaded if name.startswith("sha256:")]
        found = [name for name in loaded if state.plain_name(name) in wanted] or (
            loaded if len(loaded) == 1 else nameless
        )
        if len(found) > 1 and not found[0].startswith("sha256:"):
            found = found[:1]  # names of one image
        if len(found) != 1:
            raise hashing.Damaged(
                "the engine keeps images under other ids than {0} does, and several images in it have no name, so that "
                "nobody can tell them apart. Name them where they are saved (docker tag), and save them by their "
                "names".format(entry.get("label") or entry["key"])
            )
        return _id(engine, found[0])
