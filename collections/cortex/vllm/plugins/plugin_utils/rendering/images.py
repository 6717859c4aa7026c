# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What an image says about itself, and which vLLM is in it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import catalog
from ..findings import Finding
from ..spec import ServerSpec

_VERSION = re.compile(r"^v?(\d+\.\d+(?:\.\d+)*(?:\.?(?:a|b|rc|dev|post)\d+)?(?:\+[\w.]+)?)")

#: Names of users in images that this collection knows (vLLM docker/Dockerfile, vllm-openai-nonroot, 0.22 and newer).
KNOWN_USERS = {"vllm": (2000, 0)}


@dataclass(frozen=True)
class ImageFacts:
    """One image, as the engine inspects it.

    :ivar ref: what was declared
    :ivar id: identity, ``sha256:…``; empty when no engine was asked
    :ivar version: release of vLLM in it; None when nothing says
    :ivar version_source: ``declared``, ``known`` (looked up inside), ``label``, ``environment``, ``tag`` or ``none``
    :ivar entrypoint: of the image's configuration
    :ivar cmd: of the image's configuration
    :ivar env: of the image's configuration
    :ivar user: of the image's configuration; empty is root
    :ivar labels: of the image's configuration
    :ivar known: what its host keeps of it: ``vllm_version``, ``source``, ``parser``, ``proved``, ``…_problem``
    """

    ref: str
    id: str = ""
    version: str | None = None
    version_source: str = "none"
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parser(self) -> Mapping[str, Any] | None:
        """What the image's own parser said, where it was asked because the catalogue does not have its release."""
        found = self.known.get("parser")
        return found if isinstance(found, Mapping) and found.get("flags") else None

    @classmethod
    def assumed(cls, ref: str, version: str) -> ImageFacts:
        """An official image of a release, when there is no engine to ask."""
        release = catalog.nearest(version)[0]
        return cls(ref=ref, version=version, version_source="declared", entrypoint=tuple(release.entrypoint))

    def uid_gid(self) -> tuple[int, int] | None:
        """Numeric user and group of the image's own user; None when it is a name that nobody outside can resolve."""
        if not self.user:
            return 0, 0
        uid, dummy, gid = self.user.partition(":")
        if self.user in KNOWN_USERS:
            return KNOWN_USERS[self.user]
        if uid == "root" and gid in ("", "root", "0"):
            return 0, 0
        return (int(uid), int(gid or 0)) if uid.isdigit() and (gid or "0").isdigit() else None


def image_facts(ref: str, entry: Mapping[str, Any], declared_version: str | None = None) -> ImageFacts:
    """Read an observation's image entry.

    The release comes from the first that says it: the declaration, a look inside that is on record, the image's labels,
    its environment. The tag is only a last resort, and is reported as such: anybody can tag anything.

    :param ref: what was declared
    :param entry: ``images[ref]`` of an observation
    :param declared_version: ``vllm_version`` of the declaration
    """
    config = entry.get("config") or {}
    labels = dict(config.get("Labels") or {})
    env = dict(config.get("Env") or {})
    known = entry.get("known") or {}
    candidates = (
        ("declared", declared_version),
        ("known", known.get("vllm_version")),
        # Official images from 0.21 on: version is the build's VLLM_IMAGE_TAG, and may be empty in custom builds.
        ("label", labels.get("org.opencontainers.image.version") if _is_vllm(labels, env) else None),
        ("label", str(labels.get("ai.vllm.image.tag") or "").rpartition(":")[2]),
        ("environment", str(env.get("VLLM_IMAGE_TAG") or "").rpartition(":")[2]),
        ("tag", _tag(ref)),
    )
    version, source = None, "none"
    for name, text in candidates:
        match = _VERSION.match(text or "")
        if match:
            version, source = match[1], name
            break
    return ImageFacts(
        ref=ref,
        id=str(entry.get("id") or ""),
        version=version,
        version_source=source,
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        env=env,
        user=str(config.get("User") or ""),
        labels=labels,
        known=known,
    )


def release_for(image: ImageFacts) -> catalog.Release:
    """The release to render for: the image's, or what its own parser said, or the nearest of the catalogue."""
    if image.version and image.parser is not None and not catalog.harvested(image.version):
        return catalog.asked(image.version, image.parser)
    return catalog.nearest(image.version or catalog.versions()[-1])[0]


def exact(image: ImageFacts) -> bool:
    """Whether the release that is rendered for is the one in the image, of the catalogue or as its parser says."""
    return image.version is not None and (catalog.harvested(image.version) or image.parser is not None)


def release_findings(spec: ServerSpec, image: ImageFacts) -> list[Finding]:
    """What is uncertain about the release in an image."""
    path, origin = spec.where("image"), spec.origin("image")

    def finding(code: str, message: str, fix: str) -> Finding:
        return Finding(code, "warning", message, field=path, fix=fix, server=spec.name, origin=origin)

    if image.version is None:
        newest = catalog.versions()[-1]
        why = image.known.get("version_problem")
        return [
            finding(
                "release.unknown",
                f"{image.ref} does not say which vLLM it has{f' ({why})' if why else ''}; "
                f"the arguments are those of {newest}",
                'Write vllm_version, such as "0.32.0"',
            )
        ]
    found = []
    release, exact = catalog.nearest(image.version)
    if not exact and image.parser is None and _patch_of(image.version, release.version):
        text = f"vLLM {image.version} is not in the catalogue; its arguments are those of {release.version}: "
        text += "patch releases have not changed them since 0.14"
        found.append(dataclasses.replace(finding("release.unknown", text, ""), severity="info", fix=None))
    elif not exact and image.parser is None:
        why = image.known.get("parser_problem")
        asked = f", and its own parser could not be asked ({why})" if why else ""
        found.append(
            finding(
                "release.unknown",
                f"vLLM {image.version} is not in the catalogue{asked}; the arguments are those of {release.version}",
                "Use a release that docs/compatibility.md lists, or check the arguments yourself",
            )
        )
    if image.version_source == "tag":
        problem = image.known.get("version_problem")
        why = f"; it could not be asked ({problem})" if problem else "; it is asked when something is to be done"
        found.append(
            finding(
                "release.from-tag",
                f"only its tag says that {image.ref} has vLLM {image.version}, and tags can be set by anybody{why}",
                f'Write vllm_version: "{image.version}" if you know that it is true',
            )
        )
    return found


def _patch_of(version: str, other: str) -> bool:
    """Whether two releases are patches of one minor release in which patches change no argument (0.14 and newer)."""
    key, near = catalog.version_key(version), catalog.version_key(other)
    same = (*key[0], 0, 0)[:2] == (*near[0], 0, 0)[:2]
    return same and key[1] >= 0 and near[0] >= (0, 14)


def _is_vllm(labels: Mapping[str, str], env: Mapping[str, str]) -> bool:
    """Whether ``org.opencontainers.image.version`` is about vLLM: base images (Ubuntu: 22.04) set the same label."""
    about = " ".join(
        str(labels.get(f"org.opencontainers.image.{name}") or "") for name in ("source", "title", "url", "ref.name")
    )
    if "vllm" in about.lower() or any(name.startswith("ai.vllm.") for name in labels) or "VLLM_IMAGE_TAG" in env:
        return True
    return str(labels.get("org.opencontainers.image.version") or "").removeprefix("v").startswith("0.")


def _tag(ref: str) -> str:
    last = ref.split("@", 1)[0].rpartition("/")[2]
    return last.partition(":")[2]
