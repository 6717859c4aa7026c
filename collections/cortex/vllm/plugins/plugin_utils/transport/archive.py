# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""This collection as an archive that ansible-galaxy installs, from its source or from where it is installed.

The same content gives the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
from collections.abc import Iterable

#: Name in a bundle, and path in the collection, of what an execution environment is made from.
ENVIRONMENT = (
    ("execution-environment/execution-environment.yml", "docs/execution-environment.yml"),
    ("execution-environment/requirements.txt", "meta/ee-requirements.txt"),
    ("execution-environment/bindep.txt", "meta/ee-bindep.txt"),
)


class ArchiveError(Exception):
    """The collection cannot be packed; ``str()`` says why."""


def gather(root: pathlib.Path, scratch: pathlib.Path) -> list[tuple[str, str, str]]:
    """What a bundle gets of the controller: name in the bundle, path here, sha256.

    :param root: the collection
    :param scratch: an empty folder for the archive
    :raises ArchiveError: when there is no archive to be had
    """
    archive = installed(root, scratch) if (root / "MANIFEST.json").is_file() else built(root, scratch)
    found = [(f"collection/{archive.name}", archive)]
    found += [(name, root / path) for name, path in ENVIRONMENT if (root / path).is_file()]
    return [(name, str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in found]


def installed(root: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """Pack what FILES.json lists: that, the list and the manifest are what an archive is."""
    info = json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))["collection_info"]
    listed = json.loads((root / "FILES.json").read_text(encoding="utf-8"))["files"]
    entries = [("MANIFEST.json", "file"), ("FILES.json", "file")]
    entries += sorted((entry["name"], entry["ftype"]) for entry in listed if entry["name"] != ".")
    target = scratch / f"{info['namespace']}-{info['name']}-{info['version']}.tar.gz"
    paths = [(name, root / name, kind == "dir") for name, kind in entries]
    return _pack(
        target, ((name, None if folder else path.read_bytes(), path.stat().st_mode) for name, path, folder in paths)
    )


def built(root: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """Let ansible-galaxy build the source, and pack the result again with fixed times."""
    command = [sys.executable, "-m", "ansible", "galaxy", "collection", "build", "--force"]
    command += ["--output-path", str(scratch / "built"), str(root)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ArchiveError(f"the collection cannot be packed: {problem}") from None
    found = sorted((scratch / "built").glob("*.tar.gz"))
    if done.returncode or not found:
        text = (done.stderr or done.stdout).strip().splitlines()
        raise ArchiveError(f"the collection cannot be packed: {text[-1] if text else 'ansible-galaxy built nothing'}")
    with tarfile.open(found[0]) as archive:
        entries = [(member, archive.extractfile(member)) for member in archive.getmembers()]
        contents = [(member.name, stream.read() if stream else None, member.mode) for member, stream in entries]
    return _pack(scratch / found[0].name, contents)


def _pack(target: pathlib.Path, entries: Iterable[tuple[str, bytes | None, int]]) -> pathlib.Path:
    """Write an archive of names, contents (None for a folder) and modes."""
    with target.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, content, mode in entries:
                member = tarfile.TarInfo(name)
                member.mode = 0o755 if content is None or mode & 0o100 else 0o644
                if content is None:
                    member.type = tarfile.DIRTYPE
                else:
                    member.size = len(content)
                archive.addfile(member, io.BytesIO(content or b""))
    return target
