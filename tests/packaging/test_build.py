# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tarball: everything that is needed, nothing that is not."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

REQUIRED = (
    "README.md",
    "COPYING",
    "CHANGELOG.md",
    "CHANGELOG.rst",
    "changelogs/changelog.yaml",
    "meta/runtime.yml",
    "meta/execution-environment.yml",
    "meta/ee-requirements.txt",
    "meta/ee-bindep.txt",
    "docs/execution-environment.yml",
    "docs/docsite/config.yml",
    "docs/docsite/extra-docs.yml",
    "docs/docsite/links.yml",
)
#: Left by tools, editors and merges.
STRAY = re.compile(
    r"(^|/)(__pycache__|\.[^/]*(cache|coverage|venv|ansible|git)[^/]*|output|.*\.egg-info|ansible\.cfg)(/|$)"
    r"|\.(pyc|pyo|orig|rej|swp|log|retry|gz\.tmp)$|~$"
)
#: Packed and unpacked, bytes. A collection is copied to every controller; the catalogue is its largest part.
LARGEST = 6 * 1024 * 1024


@pytest.fixture(scope="module")
def members(tarball: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(tarball) as archive:
        return {member.name: member for member in archive.getmembers()}


def test_name_and_manifest(tarball: Path, galaxy: dict) -> None:
    assert tarball.name == f"cortex-vllm-{galaxy['version']}.tar.gz"
    with tarfile.open(tarball) as archive:
        manifest = json.load(io.TextIOWrapper(archive.extractfile("MANIFEST.json")))["collection_info"]
    assert (manifest["namespace"], manifest["name"]) == ("cortex", "vllm")
    assert manifest["license"] == ["GPL-3.0-or-later"]
    assert manifest["dependencies"] == {}, "an air-gapped controller installs the tarball alone"
    assert {"vllm", "gpu", "llm", "inference", "nvidia", "docker", "linux", "tools"} <= set(manifest["tags"])
    assert all(re.fullmatch(r"[a-z0-9_]+", tag) for tag in manifest["tags"])


@pytest.mark.parametrize("name", REQUIRED)
def test_required_file(members: dict[str, tarfile.TarInfo], name: str) -> None:
    assert name in members
    assert members[name].size > 0


def test_nothing_stray(members: dict[str, tarfile.TarInfo]) -> None:
    recorded = re.compile(r"^tests/unit/.*/data/.*\.log$")
    assert not [name for name in members if STRAY.search(name) and not recorded.search(name)]


def test_only_plain_files(members: dict[str, tarfile.TarInfo]) -> None:
    """No links (they would point outside when installed), nothing that only its owner can read."""
    for member in members.values():
        assert member.isfile() or member.isdir(), member.name
        assert member.mode & 0o444 == 0o444, member.name


def test_size(tarball: Path) -> None:
    assert tarball.stat().st_size < LARGEST


def _tracked(root: Path, *arguments: str) -> set[str]:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", *arguments, "--", "collections/cortex/vllm"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    prefix = "collections/cortex/vllm/"
    return {line.removeprefix(prefix) for line in done.stdout.splitlines() if (root / line).is_file()}


def test_everything_tracked_ships(root: Path, members: dict[str, tarfile.TarInfo]) -> None:
    assert _tracked(root) - set(members) - {"galaxy.yml", ".gitignore"} == set()


def test_nothing_ignored_ships(root: Path, members: dict[str, tarfile.TarInfo]) -> None:
    ignored = _tracked(root, "--others", "--ignored", "--exclude-standard")
    assert ignored & set(members) == set()


def test_root_galaxy_is_a_link(root: Path, collection: Path) -> None:
    """One source of truth: a second file would drift."""
    link = root / "galaxy.yml"
    assert link.is_symlink()
    assert not Path(link.readlink()).is_absolute()
    assert link.resolve() == (collection / "galaxy.yml").resolve()


def test_licence_is_the_same_text(root: Path, collection: Path) -> None:
    text = (root / "COPYING").read_text()
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 3, 29 June 2007" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert (collection / "COPYING").read_text() == text


HEADER = (
    "# Copyright (c) ",
    "# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)


def test_every_python_file_has_the_header(collection: Path) -> None:
    missing = []
    for path in sorted(collection.rglob("*.py")):
        text = path.read_text()
        head = text.splitlines()[:8]
        if text.strip() and not all(any(line.startswith(part) for line in head) for part in HEADER):
            missing.append(str(path.relative_to(collection)))
    assert not missing
