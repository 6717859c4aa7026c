# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Images of a tar that `docker save` wrote: which they are, and which of them a host lacks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Mapping
from typing import Any

from ..findings import Finding, FindingsError
from ..observation import SCHEMA
from . import restoring, sending

#: What `docker save` (and podman, skopeo, buildah with ``docker-archive``) writes for who loads it.
LISTING = "manifest.json"
_CONFIG = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?\Z")
_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclasses.dataclass(frozen=True)
class Settings:
    """One tar for one host.

    :ivar images: tags or ids of the images that are wanted; None for all
    :ivar digests: by tag or id of an image, the digest in a registry that it stands for
    """

    path: str
    state_dir: str
    on_host: bool = False
    images: tuple[str, ...] | None = None
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sha256: str | None = None
    part: int = 128 * 2**20
    check_mode: bool = False


def load(remote: sending.Carrier, settings: Settings) -> dict[str, Any]:
    """Have the images of a tar in the host's engine; what is there by its id is left alone.

    :raises FindingsError: ``bundle.damaged`` when it is no such tar, ``bundle.lacks`` for an image that is not in it
    :raises work.WorkError: when the work failed
    """
    _checked(settings)
    if settings.on_host:
        request = {"schema": SCHEMA, "state_dir": settings.state_dir, "archive": settings.path}
        listing = dict(remote("stock", request)["stock"]["archive"])
    else:
        listing = members(settings.path)
    images = chosen(listing, settings)
    place = {"images": images, "models": []}
    seen = remote("stock", {"schema": SCHEMA, "state_dir": settings.state_dir, "place": place})["stock"]["place"]
    todo = [image for image in images if seen["images"][image["key"]]["id"] is None]
    if todo and not settings.on_host and not settings.check_mode:
        sha256 = _hashed(settings.path)
        if settings.sha256 not in (None, sha256):
            raise FindingsError([_other(settings)])
        for image in images:
            image["sha256"] = sha256
        # What came of it before lies under its hash: looked for once more.
        seen = remote("stock", {"schema": SCHEMA, "state_dir": settings.state_dir, "place": place})["stock"]["place"]
    elif settings.on_host:
        for image in images:
            image["sha256"] = settings.sha256 or ""
    how = restoring.Settings(
        path=settings.path,
        state_dir=settings.state_dir,
        on_host=settings.on_host,
        part=settings.part,
        check_mode=settings.check_mode,
    )
    result = restoring.place(remote, how, images, [], seen, [])
    return {
        "changed": result["changed"],
        "images": [
            {"id": image["id"], "tags": image["tags"], "digests": image["names"], "image": image["key"]}
            for image in images
        ],
        "done": result["placed"],
        "sent": result["sent"],
        "findings": [],
        "diff": result["diff"],
    }


def _checked(settings: Settings) -> None:
    found = [
        Finding("spec.value", "error", f"{value!r} is no digest", f"digests[{name}]", "Write repository@sha256:….")
        for name, value in settings.digests.items()
        if not isinstance(value, str) or not _DIGEST.match(value)
    ]
    if settings.sha256 and not _SHA256.match(settings.sha256):
        found.append(Finding("spec.value", "error", "is no sha256", "sha256", "Write the 64 digits of sha256sum."))
    if found:
        raise FindingsError(found)


def members(path: str) -> dict[str, Any]:
    """``{"size", "listing", "problem"}`` of a tar of the controller, as step ``stock`` answers for one of the host."""
    try:
        size = os.stat(path).st_size
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.name.removeprefix("./") == LISTING and member.isfile() and member.size < 16 * 2**20:
                    stream = archive.extractfile(member)
                    text = (stream.read() if stream else b"").decode("utf-8", "replace")
                    return {"size": size, "listing": text, "problem": None}
    except (OSError, EOFError, tarfile.TarError) as problem:
        return {"size": 0, "listing": None, "problem": getattr(problem, "strerror", None) or str(problem)}
    return {"size": size, "listing": None, "problem": None}


def chosen(listing: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """The images of a tar that are wanted, as the host's steps take them.

    :raises FindingsError: see :func:`load`
    """
    images = _images(listing, settings)
    wanted = images
    if settings.images is not None:
        found, wanted = [], []
        for name in settings.images:
            match = next((image for image in images if _is(image, name)), None)
            if match is None:
                there = ", ".join(tag for image in images for tag in image["tags"] or [image["id"]])
                text, fix = f"{settings.path} has no image {name}", f"It has {there}."
                found.append(Finding("bundle.lacks", "error", text, "images", fix))
            elif match not in wanted:
                wanted.append(match)
        if found:
            raise FindingsError(found)
    for name, digest in settings.digests.items():
        match = next((image for image in images if _is(image, name)), None)
        if match is None:
            text = f"{settings.path} has no image {name}"
            raise FindingsError([Finding("bundle.lacks", "error", text, f"digests[{name}]", "Correct the name.")])
        match["names"] = sorted({*match["names"], digest})
    for image in wanted:
        if not image["tags"]:
            # Without a name an image is garbage to every clean-up.
            repository = image["names"][0].partition("@")[0] if image["names"] else "cortex-vllm/loaded"
            image["tags"] = [f"{repository}:sha256-{image['id'][7:19]}"]
        image["key"] = image["tags"][0]
    return wanted


def _is(image: Mapping[str, Any], name: str) -> bool:
    return name in (image["id"], image["id"][7:]) or name in image["tags"] or f"{name}:latest" in image["tags"]


def _images(listing: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    if listing["problem"]:
        raise FindingsError([_damaged(settings, f"cannot be read: {listing['problem']}")])
    if listing["listing"] is None:
        fix = (
            "Write it with docker save, or turn it: skopeo copy oci-archive:… docker-archive:…. A tar of a file system"
            " (docker export) is no image."
        )
        raise FindingsError([_damaged(settings, f"holds no {LISTING}, so no images that an engine loads", fix)])
    found = []
    try:
        for entry in json.loads(listing["listing"]):
            config = _CONFIG.match(entry["Config"])
            if config is None:
                raise ValueError(f"{entry['Config']!r} is no configuration of an image")
            ident = f"sha256:{config[1]}"
            tags = [str(tag) for tag in entry.get("RepoTags") or []]
            more = {"names": [], "label": settings.path, "size": listing["size"], "file": None}
            # Until the file is hashed its parts and its origin go by what is in it.
            found.append({"id": ident, "tags": tags, "sha256": config[1], "mark": config[1], **more})
        if not found:
            raise ValueError("it names no image")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise FindingsError([_damaged(settings, f"has a damaged {LISTING}: {problem}")]) from None
    return found


def _damaged(settings: Settings, what: str, fix: str = "Copy the file again.") -> Finding:
    return Finding("bundle.damaged", "error", f"{settings.path} {what}", "path", fix)


def _other(settings: Settings) -> Finding:
    text = f"{settings.path} has another content than sha256 says"
    return Finding("bundle.damaged", "error", text, "sha256", "Copy the file again, or correct sha256.")


def _hashed(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
