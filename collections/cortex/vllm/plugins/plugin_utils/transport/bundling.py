# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Writing a bundle on the connected side: look at what there is, fetch what is missing, pack what is new."""

from __future__ import annotations

import dataclasses
import datetime
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..findings import Finding, FindingsError
from ..following import Remote
from ..observation import SCHEMA
from . import downloading, manifest, needs, pulling, sending, work

EXTRAS = ("collection", "execution-environment", "packages", "wheels")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one task wants its bundle.

    :ivar brought: files of the controller for it: name in the bundle, path here, sha256
    """

    path: str
    state_dir: str
    images: tuple[str, ...] = ()
    models: tuple[needs.Model, ...] = ()
    pull: bool = True
    download: downloading.Settings | None = None
    everything: bool = False
    check_mode: bool = False
    collection_version: str = ""
    registries: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    brought: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass
class Plan:
    """What a bundle is to hold, and what of it must be written."""

    images: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    models: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    save: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    copies: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    files: dict[str, Any] = dataclasses.field(default_factory=dict)
    gone: list[str] = dataclasses.field(default_factory=list)
    extras: list[str] = dataclasses.field(default_factory=list)
    remove: list[str] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What must be written."""
        return sum(int(entry["size"]) for entry in [*self.save, *self.copies])


def look(remote: Remote, settings: Settings) -> dict[str, Any]:
    """What the host has of all that is wanted, and of the bundle."""
    request = {
        "schema": SCHEMA,
        "state_dir": settings.state_dir,
        "bundle": settings.path,
        "images": list(settings.images),
        "models": [
            {"key": model.key, "model": model.repository, "revision": model.revision, "hub_cache": model.hub_cache}
            for model in settings.models
        ],
    }
    return dict(remote("stock", request)["stock"])


def write(remote: sending.Carrier, settings: Settings) -> dict[str, Any]:
    """Bring the bundle up to date.

    :returns: the task's result
    :raises FindingsError: when something that is wanted cannot be had
    :raises work.WorkError: when writing failed
    """
    seen = look(remote, settings)
    fetched = _fetch(remote, settings, seen)
    if fetched and not settings.check_mode:
        seen = look(remote, settings)
    found = _missing(settings, seen, fetched)
    if found:
        raise FindingsError(found)
    brought = _bring(remote, settings, seen)
    if brought and not settings.check_mode:
        seen = look(remote, settings)
    plan = planned(settings, seen)
    before = (seen["bundle"] or {}).get("manifest") or {}
    changed = bool(
        fetched or brought or plan.save or plan.copies or plan.extras or plan.gone or plan.remove
    ) or _described(before) != (_described({"images": plan.images, "models": plan.models}))
    result: dict[str, Any] = {
        "changed": changed,
        "fetched": fetched,
        "path": settings.path,
        "images": [image["ref"] for image in plan.images],
        "models": [str(model.get("path") or f"{model['model']}@{model['commit']}") for model in plan.models],
        "left_out": plan.left_out,
        "written": [entry["file"] for entry in plan.save]
        + [entry["key"] for entry in plan.copies]
        + sorted({*plan.extras, *brought}),
        "removed": plan.remove,
        "findings": [],
        "manifest_sha256": (seen["bundle"] or {}).get("sha256"),
        "bytes": sum(int(entry["size"]) for entry in (before.get("files") or {}).values()),
        "diff": _diff(before, plan, settings),
    }
    if settings.check_mode or not changed:
        return result
    _room(remote, settings, seen, plan)
    answer = work.follow(remote, "pack", _request(settings, plan), f"bundle {settings.path}")
    result.update(manifest_sha256=answer["sha256"], bytes=answer["bytes"], removed=answer["removed"])
    remote.say(
        f"[{remote.host}] bundle {settings.path}: {answer['files']} files, {work.size(answer['bytes'])}, "
        f"manifest sha256 {answer['sha256']}"
    )
    return result


def _fetch(remote: Remote, settings: Settings, seen: Mapping[str, Any]) -> list[str]:
    """Pull and download what is missing, where that is allowed; in check mode only say so."""
    fetched = []
    for ref in settings.images:
        if seen["images"].get(ref) is None and settings.pull:
            if not settings.check_mode:
                pulling.pull(remote, settings.state_dir, ref, registries=settings.registries)
            fetched.append(f"image {ref}")
    for model in settings.models:
        if model.local or settings.download is None or not seen["models"][model.key]["problem"]:
            continue
        if not settings.check_mode:
            downloading.download(remote, settings.state_dir, model, settings.download)
        fetched.append(f"model {model.key}")
    return fetched


def _bring(remote: sending.Carrier, settings: Settings, seen: Mapping[str, Any]) -> list[str]:
    """Put the controller's files into the bundle where they differ; in check mode only say so."""
    there = (seen["bundle"] or {}).get("extras") or {}
    names = []
    for name, path, sha256 in settings.brought:
        if (there.get(name) or {}).get("sha256") == sha256:
            continue
        names.append(name)
        if not settings.check_mode:
            folder, _slash, base = name.rpartition("/")
            sending.deliver(remote, path, sha256, posixpath.join(settings.path, folder), base)
    return names


def _missing(settings: Settings, seen: Mapping[str, Any], fetched: Sequence[str]) -> list[Finding]:
    found = []
    for ref in settings.images:
        if seen["images"].get(ref) is None and f"image {ref}" not in fetched:
            fix = "Pull it there, or set pull: true."
            found.append(Finding("image.absent", "error", f"image {ref} is not on the host", "images", fix))
    for model in settings.models:
        problem = seen["models"][model.key]["problem"]
        if problem and f"model {model.key}" not in fetched:
            fix = "Correct the path." if model.local else "Download it there, or set download: true."
            found.append(Finding("model.absent", "error", str(problem), "models", fix))
    return found


def planned(settings: Settings, seen: Mapping[str, Any]) -> Plan:
    """What to write. Whatever an earlier run finished is kept, also when it was interrupted."""
    bundle = seen["bundle"] or {}
    old, unfinished, sizes = bundle.get("manifest") or {}, bundle.get("unfinished") or {}, bundle.get("sizes") or {}
    known = {**(old.get("files") or {}), **(unfinished.get("files") or {})}
    plan = Plan(files={name: entry for name, entry in known.items() if sizes.get(name) == entry.get("size")})
    contents = _contents(old, unfinished, plan.files)
    for ref in settings.images:
        image = seen["images"].get(ref)
        if image is None:
            continue  # check mode: it would be pulled
        _image(plan, ref, image)
    for model in settings.models:
        _model(plan, model, seen["models"][model.key], contents, settings.everything)
    extras = bundle.get("extras") or {}
    plan.files = {name: entry for name, entry in plan.files.items() if name.split("/")[0] not in EXTRAS} | extras
    plan.extras = sorted(name for name, entry in extras.items() if (old.get("files") or {}).get(name) != entry)
    plan.gone = sorted(name for name in old.get("files") or {} if name.split("/")[0] in EXTRAS and name not in extras)
    kept = {image["file"] for image in plan.images}
    kept |= {
        f"blobs/{entry['sha256']}" for model in plan.models for entry in model["files"].values() if "sha256" in entry
    }
    plan.remove = sorted(name for name in sizes if name.split("/")[0] in {"images", "blobs"} and name not in kept)
    return plan


def _image(plan: Plan, ref: str, image: Mapping[str, Any]) -> None:
    short = str(image["id"]).rpartition(":")[2][:24]
    name = f"images/{short}.tar"
    repository = re.sub(r"(:[^:/@]+)?(@.*)?$", "", ref)
    tags = [ref] if "@" not in ref and not ref.startswith("sha256:") else []
    if tags and ":" not in ref.rpartition("/")[2]:
        tags = [f"{ref}:latest"]
    if not tags:
        # Without a name an image is garbage to every clean-up.
        tags = [f"{repository if '@' in ref else 'cortex-vllm/bundled'}:sha256-{short[:12]}"]
    names = sorted({*image["digests"], *([ref] if "@" in ref else [])})
    entry = {
        "ref": ref,
        "id": image["id"],
        "file": name,
        "size": plan.files[name]["size"] if name in plan.files else image["size"],
        "tags": tags,
        "names": names,
        "architecture": image["architecture"],
    }
    plan.images.append(entry)
    if name not in plan.files and name not in [other["file"] for other in plan.save]:
        plan.save.append({"ref": ref, "id": image["id"], "file": name, "size": image["size"]})


def _model(
    plan: Plan, model: needs.Model, found: Mapping[str, Any], contents: Mapping[str, Any], everything: bool
) -> None:
    if found["problem"]:
        return  # check mode: it would be downloaded
    names = set(found["files"])
    left = [] if everything or model.local else needs.superfluous(names, model.quantization)
    plan.left_out += [f"{model.key} {name}" for name in left]
    entries: dict[str, Any] = {}
    for name in sorted(names - set(left)):
        source = found["files"][name]
        key = f"{model.key} {name}"
        known = contents.get(source["blob"]) if source["blob"] else None
        if known and known["size"] == source["size"]:
            entries[name] = {"sha256": known["sha256"], "size": known["size"], "blob": source["blob"]}
            continue
        entries[name] = {"key": key, "size": source["size"], "blob": source["blob"]}
        twin = next((c for c in plan.copies if source["blob"] and c["blob"] == source["blob"]), None)
        if twin is not None:
            entries[name]["key"] = twin["key"]
            continue
        plan.copies.append({"key": key, "from": source["path"], "blob": source["blob"], "size": source["size"]})
    entry: dict[str, Any] = {"files": entries}
    if model.local:
        entry["path"] = found["path"]
    else:
        entry.update(model=found["model"], revision=found["revision"], commit=found["commit"], refs=found["refs"])
    plan.models.append(entry)


def _contents(old: Mapping[str, Any], unfinished: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    """Contents that the bundle has, by the names that caches give them."""
    found = {}
    for model in old.get("models") or ():
        for entry in model["files"].values():
            if f"blobs/{entry['sha256']}" in files:
                found[entry["blob"]] = {"sha256": entry["sha256"], "size": entry["size"]}
    for entry in (unfinished.get("keys") or {}).values():
        if f"blobs/{entry['sha256']}" in files and entry.get("blob"):
            found[entry["blob"]] = {"sha256": entry["sha256"], "size": entry["size"]}
    return found


def _described(content: Mapping[str, Any]) -> Any:
    """Images and models of a manifest, without what only writing finds out."""
    models = [
        {key: value for key, value in model.items() if key != "files"} | {"files": sorted(model["files"])}
        for model in content.get("models") or ()
    ]
    images = [{key: value for key, value in image.items() if key != "size"} for image in content.get("images") or ()]
    return [images, models]


def _request(settings: Settings, plan: Plan) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "state_dir": settings.state_dir,
        "bundle": settings.path,
        "images": plan.save,
        "copies": plan.copies,
        "files": plan.files,
        "remove": plan.remove,
        "manifest": {
            "schema": manifest.SCHEMA,
            "created": now,
            "collection_version": settings.collection_version,
            "images": plan.images,
            "models": plan.models,
        },
    }


def _room(remote: Remote, settings: Settings, seen: Mapping[str, Any], plan: Plan) -> None:
    """:raises FindingsError: ``disk.full`` when the bundle does not fit"""
    free = int(seen["bundle"]["free"])
    if plan.bytes > free:
        more = work.size(plan.bytes)
        text = f"{settings.path} on {remote.host} has {work.size(free)} free, the bundle takes {more} more"
        raise FindingsError([Finding("disk.full", "error", text, "path", "Free some space, or choose another path.")])


def _diff(before: Mapping[str, Any], plan: Plan, settings: Settings) -> dict[str, str]:
    def lines(content: Mapping[str, Any]) -> str:
        rows = [f"image {image['ref']} {image['id']}" for image in content.get("images") or ()]
        for model in content.get("models") or ():
            head = model.get("path") or f"{model['model']} {model['revision']} {model['commit']}"
            rows += [f"model {head} {name}" for name in sorted(model["files"])]
        rows += [str(name) for name in content.get("extras") or ()]
        return "".join(f"{row}\n" for row in rows)

    extras = [name for name in before.get("files") or {} if name.split("/")[0] in EXTRAS]
    after = {
        "images": plan.images, "models": plan.models, "extras": sorted({*extras, *plan.extras} - set(plan.gone)),
    }  # fmt: skip
    where = f"{settings.path}/{manifest.NAME}"
    return {
        "before": lines({**before, "extras": sorted(extras)}),
        "after": lines(after),
        "before_header": where,
        "after_header": where,
    }
