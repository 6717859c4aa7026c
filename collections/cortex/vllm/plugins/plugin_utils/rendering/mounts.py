# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What of the host a container sees: model, Hub cache, its own directories, declared paths."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable
from typing import Any

from ..spec import MOUNT_CACHE, MOUNT_FILES, MOUNT_HUB, MOUNT_STATE, Declaration, Mount, ServerSpec
from ..spec.parts import SYSTEM_PATHS

_SNAPSHOT = re.compile(r"^(?P<repository>.*/(?:models|datasets)--[^/]+)/snapshots/[^/]+(?:/.*)?$")


def server_mounts(spec: ServerSpec, image_id: str, state_dir: str, generation: str) -> list[Mount]:
    """Every mount of a server, in the order of the targets."""
    own = f"{state_dir}/{spec.name}"
    mounts = [
        Mount(source=f"{own}/generations/{generation}", target=MOUNT_FILES),
        Mount(source=f"{own}/run", target=MOUNT_STATE, read_only=False),
        Mount(source=cache_directory(spec, image_id, state_dir), target=MOUNT_CACHE, read_only=False),
        *spec.mounts,
    ]
    if spec.hub_cache:
        # Read-only where nothing may be fetched; a server that may fetch keeps what it fetched.
        mounts.append(Mount(source=spec.hub_cache, target=MOUNT_HUB, read_only=spec.offline))
    for path in (spec.model, spec.tokenizer):
        if path and path.startswith("/"):
            source = model_source(path)
            if not _covered(source, mounts):
                mounts.append(Mount(source=source, target=source))
    return sorted(mounts, key=lambda mount: mount.target)


def model_source(path: str) -> str:
    """The directory to mount so that a model's path works inside of the container as it does on the host.

    A snapshot of the Hub cache is made of links to ``../../blobs``, so its whole repository is mounted; a GGUF file may
    have further shards beside it, so its directory is.
    """
    snapshot = _SNAPSHOT.match(path)
    if snapshot:
        return snapshot["repository"]
    if path.endswith(".gguf"):
        directory = posixpath.dirname(path)
        return path if directory in SYSTEM_PATHS else directory
    return path


def cache_directory(spec: ServerSpec, image_id: str, state_dir: str) -> str:
    """Compile cache on the host: one for each image and model, because what is compiled holds for these two only."""
    key = hashlib.sha256(f"{image_id}\0{spec.model}\0{spec.revision or ''}".encode()).hexdigest()[:12]
    return f"{state_dir}/{spec.name}/cache/{key}"


def rendered_mounts(mounts: Iterable[Mount], selinux: bool) -> dict[str, Any]:
    """The ``HostConfig`` keys for these mounts.

    ``Mounts`` never makes a missing source, unlike ``Binds``; but only ``Binds`` can give SELinux labels, so hosts that
    enforce SELinux get those (the sources are proven to exist before).
    """
    host_config: dict[str, Any] = {}
    for mount in mounts:
        if selinux and mount.relabel and not mount.is_volume:
            options = f"{'ro' if mount.read_only else 'rw'},z"
            host_config.setdefault("Binds", []).append(f"{mount.source}:{mount.target}:{options}")
        else:
            host_config.setdefault("Mounts", []).append(
                {
                    "Type": "volume" if mount.is_volume else "bind",
                    "Source": mount.source,
                    "Target": mount.target,
                    "ReadOnly": mount.read_only,
                }
            )
    return host_config


def own_files(spec: Declaration, state_dir: str, generation: str) -> Mount:
    """The mount of the generation's files."""
    return Mount(source=f"{state_dir}/{spec.name}/generations/{generation}", target=MOUNT_FILES)


def _covered(path: str, mounts: Iterable[Mount]) -> bool:
    """Whether a declared mount shows ``path`` already, at the same place."""
    return any(path == mount.target or path.startswith(mount.target + "/") for mount in mounts)
