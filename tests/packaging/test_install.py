# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installed as a user would: from the tarball without a network, and from git."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve()


def _files(folder: Path) -> dict[str, str]:
    """Path and content hash of every file that is a plain file, compiled files aside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    }


def _names(collection: Path, kind: str) -> list[str]:
    """Full names of the plugins of one kind (``modules``, ``action``) or of the ``roles`` or ``playbooks``."""
    if kind == "roles":
        found = [path.parent.parent.name for path in collection.glob("roles/*/tasks/main.yml")]
    elif kind == "playbooks":
        found = [path.stem for path in collection.glob("playbooks/*.yml")]
    else:
        found = [path.stem for path in (collection / "plugins" / kind).glob("*.py") if path.stem != "__init__"]
    return sorted(f"cortex.vllm.{name}" for name in found)


def test_verify(run, installed: Path) -> None:
    """What lies on disk is what the manifest says."""
    done = run("ansible-galaxy", "collection", "verify", "cortex.vllm", "--offline", "-p", installed, cwd=installed)
    assert "Successfully verified" in done.stdout


def test_listed_once(run, installed: Path, galaxy: dict) -> None:
    done = run(
        "ansible-galaxy",
        "collection",
        "list",
        "--format",
        "json",
        "-p",
        installed,
        cwd=installed,
        ANSIBLE_COLLECTIONS_PATH=str(installed),
    )
    found = [
        version["cortex.vllm"]["version"] for version in json.loads(done.stdout).values() if "cortex.vllm" in version
    ]
    assert found == [galaxy["version"]]


@pytest.fixture(scope="module")
def documented(run, installed: Path, collection: Path) -> dict:
    """What ``ansible-doc`` says about every module of the installed collection."""
    names = _names(collection, "modules")
    if not names:
        pytest.fail("the collection has no modules")
    done = run(
        "ansible-doc", "--type", "module", "--json", *names, cwd=installed, ANSIBLE_COLLECTIONS_PATH=str(installed)
    )
    assert "[WARNING]" not in done.stderr, done.stderr
    return json.loads(done.stdout)


def test_every_module_is_documented(documented: dict, collection: Path) -> None:
    assert sorted(documented) == _names(collection, "modules")
    for name, entry in documented.items():
        assert entry["doc"]["short_description"], name
        assert entry["doc"]["description"], name
        for option, about in (entry["doc"].get("options") or {}).items():
            assert about.get("description"), f"{name}: {option}"


def test_every_action_has_a_module(collection: Path) -> None:
    """``ansible-doc`` finds the documentation of an action in the module of the same name."""
    assert set(_names(collection, "action")) <= set(_names(collection, "modules"))


def test_public_modules_have_examples_and_returns(documented: dict) -> None:
    for name, entry in documented.items():
        if name.rsplit(".", 1)[1].startswith("_"):
            continue
        tasks = yaml.safe_load(entry["examples"] or "")
        assert tasks, f"{name}: no example"
        assert any(name in task for task in tasks if isinstance(task, dict)), f"{name}: the examples never call it"
        assert entry["return"], f"{name}: no documented results"
        for key, value in entry["return"].items():
            assert value.get("description") and value.get("returned") and value.get("type"), f"{name}: {key}"


def test_every_role_is_documented(run, installed: Path, collection: Path) -> None:
    roles = _names(collection, "roles")
    if not roles:
        pytest.fail("the collection has no roles")
    done = run(
        "ansible-doc", "--type", "role", "--json", *roles, cwd=installed, ANSIBLE_COLLECTIONS_PATH=str(installed)
    )
    found = json.loads(done.stdout)
    assert sorted(found) == roles
    for name, entry in found.items():
        assert entry["entry_points"]["main"]["short_description"], name


def test_every_playbook_can_be_read(run, installed: Path, collection: Path, tmp_path: Path) -> None:
    playbooks = [name for name in _names(collection, "playbooks") if not name.rsplit(".", 1)[1].startswith("_")]
    if not playbooks:
        pytest.fail("the collection has no playbooks")
    run(
        "ansible-playbook",
        "--syntax-check",
        "-i",
        "localhost,",
        *playbooks,
        cwd=tmp_path,
        ANSIBLE_COLLECTIONS_PATH=str(installed),
    )


def test_from_git(run, clone: Path, tmp_path: Path) -> None:
    """The documented way to install from git: the folder is named after the ``#``."""
    url = f"git+file://{clone}#/collections/cortex/vllm"
    run("ansible-galaxy", "collection", "install", url, "-p", tmp_path, cwd=tmp_path)
    installed = tmp_path / "ansible_collections" / "cortex" / "vllm"
    assert _names(installed, "modules") == _names(clone / "collections" / "cortex" / "vllm", "modules")
    assert _names(installed, "modules")
    assert (installed / "MANIFEST.json").is_file()


def test_link_is_in_the_clone(clone: Path) -> None:
    """The link that makes the source importable in place, relative, so that it works in every clone."""
    link = clone / "collections" / "ansible_collections" / "cortex"
    assert link.is_symlink()
    assert str(link.readlink()) == "../cortex"
    assert (link / "vllm" / "galaxy.yml").is_file()


def test_forced_installation_spares_the_source(run, root: Path, tarball: Path, tmp_path: Path) -> None:
    """``ansible-galaxy collection install --force`` at the root follows ``collections_path`` of our ansible.cfg.

    Were ``./collections`` its first entry, the installation would go through the link into the source and replace it.
    """
    copy = tmp_path / "repository"
    copy.mkdir()
    shutil.copy(root / "ansible.cfg", copy)
    shutil.copytree(
        root / "collections", copy / "collections", symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    source = copy / "collections" / "cortex" / "vllm"
    (source / "only-in-the-source.txt").write_text("still here\n")
    before = _files(source)
    run("ansible-galaxy", "collection", "install", tarball, "--force", "--offline", cwd=copy)
    assert _files(source) == before
    assert (copy / ".ansible" / "collections" / "ansible_collections" / "cortex" / "vllm" / "MANIFEST.json").is_file()


def test_no_installed_copy_shadows_the_source(root: Path) -> None:
    """Everything that runs at the root must run the source, not a copy that was installed once."""
    copy = root / ".ansible" / "collections" / "ansible_collections" / "cortex"
    assert not copy.exists(), f"{copy} is found before the source: remove it"
