# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What a bundle's manifest says, and what a damaged or foreign one is refused with."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

from .._pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from ..findings import Finding, FindingsError

SCHEMA = 1
NAME = "manifest.json"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


def _inside(name: str) -> str:
    """A relative path that stays where it is: manifests come from elsewhere."""
    parts = name.split("/")
    if not name or name.startswith("/") or {"", ".", ".."} & set(parts) or set(name) & {"\0", "\n"}:
        raise ValueError(f"{name!r} is no path below the bundle")
    return name


Inside = Annotated[str, AfterValidator(_inside)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class File(_Part):
    """One file of the bundle."""

    size: int = Field(ge=0)
    sha256: Sha256


class ModelFile(_Part):
    """One file of a model: its content in the bundle, and its name in a cache's ``blobs``."""

    size: int = Field(ge=0)
    sha256: Sha256
    blob: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,128}$")]


class Image(_Part):
    """An image. ``names`` are its digests in registries, which no engine knows any more once it was loaded."""

    ref: str
    id: str
    file: Inside
    size: int = Field(ge=0)
    tags: list[str] = []
    names: list[str] = []
    architecture: str | None = None


class Model(_Part):
    """A model: of the Hub at one commit, or a directory or GGUF file with its ``path`` on the host."""

    model: str | None = None
    revision: str | None = None
    commit: Commit | None = None
    refs: dict[Inside, Commit] = {}
    path: str | None = None
    files: dict[Inside, ModelFile]

    @property
    def key(self) -> str:
        """How people call it."""
        return self.path or f"{self.model}@{self.revision}"


class Manifest(_Part):
    """``manifest.json`` of a bundle."""

    schema_: int = Field(alias="schema")
    created: str = ""
    collection_version: str = ""
    files: dict[Inside, File]
    images: list[Image] = []
    models: list[Model] = []


def parse(content: Any, where: str) -> Manifest:
    """Read a manifest.

    :raises FindingsError: ``bundle.unreadable`` when it is none, or of another schema
    """
    schema = content.get("schema") if isinstance(content, Mapping) else None
    if schema != SCHEMA:
        said = (
            "is no manifest of a bundle" if schema is None else f"has schema {schema}, this collection reads {SCHEMA}"
        )
        raise FindingsError([_unreadable(where, said)])
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FindingsError([_unreadable(where, f"{place}: {first['msg']}")]) from None
    named = {image.file for image in manifest.images}
    named |= {f"blobs/{entry.sha256}" for model in manifest.models for entry in model.files.values()}
    for name in sorted(named - set(manifest.files)):
        raise FindingsError([_unreadable(where, f"it names {name} and does not list it")])
    return manifest


def _unreadable(where: str, said: str) -> Finding:
    return Finding("bundle.unreadable", "error", f"{where} {said}", "bundle", "Write the bundle again.")


def read(top: str) -> tuple[Any, str]:
    """The manifest of a bundle on this machine, as it stands there, and its sha256.

    :raises FindingsError: ``bundle.absent`` when there is none
    """
    path = os.path.join(top, NAME)
    try:
        with open(path, "rb") as stream:
            raw = stream.read()
        return json.loads(raw), hashlib.sha256(raw).hexdigest()
    except OSError as problem:
        text = f"{path}: {problem.strerror}"
    except ValueError as problem:
        text = f"{path} is no JSON: {problem}"
        raise FindingsError([_unreadable(path, f"is no JSON: {problem}")]) from None
    raise FindingsError([absent(text)])


def absent(text: str) -> Finding:
    """There is no bundle."""
    fix = "Give the directory that cortex.vllm.bundle wrote, with its manifest.json."
    return Finding("bundle.absent", "error", text, "bundle", fix)


def expected(wanted: str | None, found: str, where: str) -> None:
    """Compare the manifest with the sha256 that was told when it was written.

    :raises FindingsError: ``bundle.other``
    """
    if wanted and not re.fullmatch(r"(?:sha256:)?" + re.escape(found), wanted.strip().lower()):
        text = f"{where} has sha256 {found}, expected is {wanted}"
        raise FindingsError(
            [Finding("bundle.other", "error", text, "manifest_sha256", "Take the bundle that was meant.")]
        )


def damaged(rows: list[Mapping[str, Any]], top: str) -> list[Finding]:
    """A finding for each file that is not what the manifest says."""
    fix = "Copy it again from where the bundle was written, or write the bundle again."
    return [
        Finding("bundle.damaged", "error", f"{os.path.join(top, str(row['file']))} {row['why']}", "bundle", fix)
        for row in rows
    ]
