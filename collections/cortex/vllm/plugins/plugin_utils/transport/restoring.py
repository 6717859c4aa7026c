# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Restoring a bundle on a host: see what it lacks, send that, place it. A second time there is nothing to do."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from ..findings import Finding, FindingsError, errors
from ..following import Remote
from ..observation import SCHEMA
from ..spec.server import DEFAULT_HUB_CACHE
from . import manifest, needs, sending, work


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one task wants its host restored.

    :ivar on_host: the bundle lies on the host (a mounted medium, a shared store), not on the controller
    :ivar images: references to restore; None for all
    :ivar models: models to restore; None for all, into ``hub_cache``
    :ivar lent: models that another host lends, instead of a bundle; who has ``token`` gets them
    :ivar strict: what was named and is not in the bundle is an error, not a warning
    """

    path: str
    state_dir: str
    on_host: bool = False
    images: tuple[str, ...] | None = None
    models: tuple[needs.Model, ...] | None = None
    hub_cache: str = DEFAULT_HUB_CACHE
    strict: bool = True
    verify: bool = False
    part: int = 128 * 2**20
    manifest_sha256: str | None = None
    check_mode: bool = False
    store: str | None = None
    lent: tuple[Mapping[str, Any], ...] | None = None
    token: str | None = dataclasses.field(default=None, repr=False)


def restore(remote: sending.Carrier, settings: Settings) -> dict[str, Any]:
    """Bring what is in the bundle, and what was chosen of it, to the host.

    :returns: the task's result
    :raises FindingsError: ``bundle.damaged`` for each file that is not what the manifest says; what was sound is placed
    :raises work.WorkError: when the work failed
    """
    images: list[dict[str, Any]] = []
    found: list[Finding] = []
    if settings.lent is not None:
        models = [dict(model) for model in settings.lent]
    elif settings.store:
        models, found = stored(remote, settings.store, settings.state_dir, settings.models or (), settings.strict)
    else:
        images, models, found = chosen(_manifest(remote, settings), settings)
    if errors(found):
        raise FindingsError(found)
    seen = remote(
        "stock",
        {"schema": SCHEMA, "state_dir": settings.state_dir, "place": {"images": images, "models": models}},
    )["stock"]["place"]
    return place(remote, settings, images, models, seen, found)


def stored(
    remote: Remote, store: str, state_dir: str, named: Sequence[needs.Model], strict: bool
) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Models of a cache that the host can read, as if from a bundle: the names of blobs prove their content."""
    request = {
        "schema": SCHEMA,
        "state_dir": state_dir,
        "models": [
            {"key": model.key, "model": model.repository, "revision": model.revision, "hub_cache": store}
            for model in named
            if not model.local
        ],
    }
    seen = remote("stock", request)["stock"]["models"]
    models, found = [], []
    for model in named:
        if model.local:
            continue
        there = seen[model.key]
        nameless = sorted(name for name, entry in there["files"].items() if not entry["blob"])
        problem = there["problem"] or (f"{nameless[0]} of {model.key} is no link to a blob" if nameless else None)
        if problem:
            fix = "Download it there, or correct the store; a cache without links can be carried as a bundle."
            found.append(Finding("bundle.lacks", "error" if strict else "warning", str(problem), "store", fix))
            continue
        left = needs.superfluous(there["files"], model.quantization)
        files = {
            name: {"blob": entry["blob"], "sha256": entry["blob"], "size": entry["size"]}
            for name, entry in there["files"].items()
            if name not in left
        }
        models.append(
            {
                "key": model.key,
                "model": model.repository,
                "hub_cache": model.hub_cache,
                "role": model.role,
                "commit": there["commit"],
                "refs": there["refs"],
                "files": files,
                "sources": {entry["blob"]: entry["path"] for entry in there["files"].values()},
                "labels": {entry["blob"]: entry["path"] for entry in there["files"].values()},
            }
        )
    return models, found


def _manifest(remote: sending.Carrier, settings: Settings) -> manifest.Manifest:
    where = f"{settings.path}/{manifest.NAME}"
    if settings.on_host:
        request = {"schema": SCHEMA, "state_dir": settings.state_dir, "bundle": settings.path, "plain": True}
        bundle = remote("stock", request)["stock"]["bundle"] or {}
        written, digest = bundle.get("manifest"), str(bundle.get("sha256"))
        if written is None:
            raise FindingsError([manifest.absent(f"{remote.host} has no readable {where}")])
    else:
        written, digest = manifest.read(settings.path)
    manifest.expected(settings.manifest_sha256, digest, where)
    return manifest.parse(written, where)


def chosen(
    content: manifest.Manifest, settings: Settings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Finding]]:
    """The images and models to place, as the host's steps take them, and what the bundle lacks."""
    found: list[Finding] = []
    images = list(content.images)
    if settings.images is not None:
        images = []
        for ref in settings.images:
            match = next((image for image in content.images if _is(image, ref)), None)
            if match is None:
                found.append(_lacks(f"image {ref}", settings))
            elif match not in images:
                images.append(match)
    wanted: list[tuple[manifest.Model, str | None, str | None]] = [
        (model, None if model.path else settings.hub_cache, None) for model in content.models
    ]
    if settings.models is not None:
        wanted = []
        for name in settings.models:
            one = next((model for model in content.models if _means(model, name)), None)
            if one is None:
                found.append(_lacks(f"model {name.key}", settings))
            elif (one, name.hub_cache, name.role) not in wanted:
                wanted.append((one, name.hub_cache, name.role))
    return [_image(image, content) for image in images], [_model(*pair) for pair in wanted], found


def _is(image: manifest.Image, ref: str) -> bool:
    """Whether an image of a bundle is meant: by its reference, a tag of it, or a digest of it."""
    if ref in (image.ref, image.id) or ref in image.tags or f"{ref}:latest" in image.tags:
        return True
    return "@" in ref and _digest(ref) in [_digest(name) for name in [image.ref, *image.names] if "@" in name]


def _digest(ref: str) -> str:
    name, _at, digest = ref.partition("@")
    head, slash, last = name.rpartition("/")
    plain = head + slash + last.partition(":")[0]
    for words in ("index.docker.io/", "docker.io/"):
        plain = plain.removeprefix(words)
    return f"{plain.removeprefix('library/')}@{digest}"


def _means(model: manifest.Model, name: needs.Model) -> bool:
    if name.local:
        return model.path == name.name
    revision = name.revision or "main"
    return model.model == name.repository and revision in {model.revision, model.commit, *model.refs}


def _lacks(what: str, settings: Settings) -> Finding:
    fix = "Write the bundle again with it, or bring it there in another way."
    text = f"{settings.path} does not hold {what}"
    return Finding("bundle.lacks", "error" if settings.strict else "warning", text, "bundle", fix)


def _image(image: manifest.Image, content: manifest.Manifest) -> dict[str, Any]:
    entry = content.files[image.file]
    return {
        "key": image.ref,
        "id": image.id,
        "tags": list(image.tags),
        "names": list(image.names),
        "label": image.file,
        "size": entry.size,
        "sha256": entry.sha256,
        "file": None,
    }


def _model(model: manifest.Model, hub_cache: str | None, role: str | None) -> dict[str, Any]:
    files = {name: entry.model_dump() for name, entry in model.files.items()}
    entry: dict[str, Any] = {"files": files, "sources": {}, "labels": {}, "role": role}
    if model.path:
        directory = posixpath.dirname(model.path) if model.path.endswith(".gguf") else model.path
        return {**entry, "key": model.key, "path": model.path, "directory": directory}
    named = {"key": f"{model.key}", "model": model.model, "hub_cache": hub_cache}
    return {**entry, **named, "commit": model.commit, "refs": dict(model.refs)}


def place(
    remote: sending.Carrier,
    settings: Settings,
    images: Sequence[dict[str, Any]],
    models: Sequence[dict[str, Any]],
    seen: Mapping[str, Any],
    found: Sequence[Finding],
) -> dict[str, Any]:
    """Send and place what the host lacks."""
    todo = _todo(images, models, seen)
    result: dict[str, Any] = {
        "changed": bool(todo),
        "images": [image["key"] for image in images],
        "models": [model["key"] for model in models],
        "needed": [
            {"model": model["path"] if model.get("path") else model["model"], "revision": model.get("commit")}
            | {"hub_cache": model.get("hub_cache"), "role": model.get("role")}
            for model in models
        ],
        "placed": todo,
        "sent": 0,
        "lacking": [finding.message for finding in found],
        "findings": [finding.as_dict() for finding in found],
        "diff": {"before": "", "after": "".join(f"{line}\n" for line in todo)},
    }
    if settings.check_mode or not (todo or settings.verify):
        return result
    if settings.store or settings.lent is not None:
        _room(remote, settings, 0, models, seen)
    elif not settings.on_host:
        result["sent"] = _send(remote, settings, images, models, seen)
    else:
        _sources(settings, images, models)
        _room(remote, settings, 0, models, seen)
    request = {
        "state_dir": settings.state_dir,
        "images": list(images),
        "models": list(models),
        "verify": settings.verify,
    }
    secrets = {"token": settings.token} if settings.token else None
    answer = work.follow(remote, "place", request, "restoring", secrets)
    if answer.get("unsound") and not answer["damaged"]:
        result["sent"] += _send_again(remote, settings, models, answer["unsound"])
        renew = sorted({row["sha256"] for row in answer["unsound"]})
        again = work.follow(remote, "place", {**request, "verify": False, "renew": renew}, "restoring")
        answer = {"damaged": again["damaged"], "done": answer["done"] + again["done"]}
    if answer["damaged"]:
        raise FindingsError(manifest.damaged(answer["damaged"], settings.store or settings.path))
    result.update(changed=bool(answer["done"]), placed=answer["done"])
    result["diff"]["after"] = "".join(f"{line}\n" for line in answer["done"])
    return result


def _todo(
    images: Sequence[Mapping[str, Any]], models: Sequence[Mapping[str, Any]], seen: Mapping[str, Any]
) -> list[str]:
    """What will be done, as lines."""
    lines = []
    for image in images:
        state = seen["images"][image["key"]]
        if state["id"] is None:
            lines.append(f"image {image['key']}: loaded")
        elif state["tags"]:
            lines += [f"image {image['key']}: named {tag}" for tag in state["tags"]]
        if state["id"] is not None and state["names"]:
            lines.append(f"image {image['key']}: its digest noted")
    for model in models:
        state = seen["models"][model["key"]]
        lines += [f"{model['key']} {name}" for name in state["missing"]]
        lines += [f"{model['key']}: {ref} is {model['refs'][ref]}" for ref in state["refs"]]
    return lines


def _sources(settings: Settings, images: Sequence[dict[str, Any]], models: Sequence[dict[str, Any]]) -> None:
    """Where the host finds the files of a bundle that lies on it."""
    for image in images:
        image["file"] = os.path.join(settings.path, image["label"])
    for model in models:
        for entry in model["files"].values():
            name = f"blobs/{entry['sha256']}"
            model["sources"][entry["sha256"]] = os.path.join(settings.path, name)
            model["labels"][entry["sha256"]] = name


def _send(
    remote: sending.Carrier,
    settings: Settings,
    images: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    seen: Mapping[str, Any],
) -> int:
    """Send what the host has not; returns the bytes."""
    parcels: dict[tuple[str, str], tuple[str, Mapping[str, Any], int]] = {}
    for image in images:
        state = seen["images"][image["key"]]
        if state["id"] is None:
            parcels[(state["folder"], image["sha256"])] = (image["label"], image, int(state["have"]))
    for model in models:
        state = seen["models"][model["key"]]
        for name in state["missing"]:
            entry = model["files"][name]
            if entry["sha256"] not in state["content"]:
                have = int(state["have"].get(entry["sha256"]) or 0)
                parcels[(state["folder"], entry["sha256"])] = (f"blobs/{entry['sha256']}", entry, have)
    total = sum(int(entry["size"]) - have for _name, entry, have in parcels.values())
    coming = {image["sha256"]: int(image["size"]) for image in images if seen["images"][image["key"]]["id"] is None}
    _room(remote, settings, sum(coming.values()), models, seen)
    sender = sending.Sender(remote, settings.path, total, settings.part)
    found: list[Finding] = []
    for (folder, _sha256), (name, entry, have) in parcels.items():
        if have != entry["size"] or have == 0:
            try:
                sender.send(name, entry, folder, have)
            except FindingsError as problem:
                found += problem.findings
    if found:
        raise FindingsError(found)
    return sender.sent


def _send_again(
    remote: sending.Carrier,
    settings: Settings,
    models: Sequence[Mapping[str, Any]],
    unsound: Sequence[Mapping[str, Any]],
) -> int:
    """Send what the host has with another content than the bundle; returns the bytes."""
    files = {model["key"]: model["files"] for model in models}
    parcels = {(row["folder"], row["sha256"]): files[row["model"]][row["name"]] for row in unsound}
    for row in unsound:
        remote.say(f"[{remote.host}] {row['model']} {row['name']}: damaged, comes anew")
    sender = sending.Sender(remote, settings.path, sum(int(e["size"]) for e in parcels.values()), settings.part)
    for (folder, sha256), entry in parcels.items():
        sender.send(f"blobs/{sha256}", entry, folder, 0)
    return sender.sent


def _room(
    remote: sending.Carrier,
    settings: Settings,
    images: int,
    models: Sequence[Mapping[str, Any]],
    seen: Mapping[str, Any],
) -> None:
    """:raises FindingsError: ``disk.full`` when it cannot fit"""
    wanted: dict[str, tuple[int, int]] = {}
    if images:
        free = min(int(state["free"]) for state in seen["images"].values())
        wanted[settings.state_dir] = (images, free)
    for model in models:
        state = seen["models"][model["key"]]
        contents = {model["files"][name]["sha256"]: int(model["files"][name]["size"]) for name in state["missing"]}
        need = sum(size for sha256, size in contents.items() if sha256 not in state["content"])
        need -= sum(int(have) for have in state["have"].values())
        if need > 0:
            folder = posixpath.dirname(state["folder"])
            wanted[folder] = (wanted.get(folder, (0, 0))[0] + need, int(state["free"]))
    found = [
        Finding(
            "disk.full",
            "error",
            f"{folder} on {remote.host} has {work.size(free)} free, {work.size(need)} are to come",
            "hub_cache",
            "Free some space there.",
        )
        for folder, (need, free) in wanted.items()
        if need > free
    ]
    if found:
        raise FindingsError(found)
