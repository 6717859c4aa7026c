# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation: complete, current, and pointing at things that exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "collections/cortex/vllm/README.md",
    "collections/cortex/vllm/roles/*/README.md",
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)


def _pages(root: Path) -> list[Path]:
    return sorted(page for pattern in PAGES for page in root.glob(pattern))


def test_links_lead_somewhere(root: Path) -> None:
    broken = []
    for page in _pages(root):
        for target in LINK.findall(CODE.sub("", page.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            goal = (page.parent / path).resolve() if path else page
            lost = anchor and goal.suffix == ".md" and goal.exists() and anchor not in _anchors(goal)
            if lost or not goal.exists():
                broken.append(f"{page.relative_to(root)}: {target}")
    assert not broken


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_architecture_names_what_exists(root: Path, collection: Path) -> None:
    """Every path that the architecture page gives in backticks is there, so a reader finds the place of a change."""
    text = CODE.sub("", (root / "docs" / "architecture.md").read_text())
    places = {name.rstrip("/") for name in re.findall(r"`([\w.]+(?:/[\w.-]+)+/?|\w+\.(?:py|md|yml))`", text)}
    bases = (root, root / "docs", collection, collection / "plugins", collection / "plugins" / "plugin_utils")
    bases += (collection / "plugins" / "module_utils",)
    missing = [place for place in places if not any((base / place).exists() for base in bases)]
    assert len(places) > 15
    assert not missing


def test_architecture_tree_is_the_tree(root: Path, collection: Path) -> None:
    """The drawn tree names only what is there, and every part of the brains."""
    text = (root / "docs" / "architecture.md").read_text()
    tree = next(block for block in CODE.findall(text) if "what ships" in block)
    brains = collection / "plugins" / "plugin_utils"
    section = tree[tree.index("plugin_utils/") : tree.index("module_utils/")]
    drawn = set(re.findall(r"── ([\w.]+)", section)) - {"module_utils"}
    present = {path.name for path in brains.iterdir() if path.name not in ("__pycache__", "__init__.py")}
    assert drawn == present


def _tables(readme: str) -> set[str]:
    return set(re.findall(r"^\| `cortex\.vllm\.(\w+)`", readme, re.MULTILINE))


def test_readme_lists_the_content(collection: Path) -> None:
    """The tables of the collection's README hold exactly the public tasks, roles and playbooks."""
    public = {path.stem for path in (collection / "plugins" / "modules").glob("[!_]*.py")}
    public |= {path.name for path in (collection / "roles").iterdir() if path.is_dir()}
    public |= {path.stem for path in (collection / "playbooks").glob("[!_]*.yml")}
    assert _tables((collection / "README.md").read_text()) == public


def test_readme_agrees_with_galaxy(collection: Path, galaxy: dict) -> None:
    text = (collection / "README.md").read_text()
    assert set(re.findall(r"cortex-vllm-([\d.]+)\.tar\.gz", text)) == {galaxy["version"]}
    assert f"git+{galaxy['repository']}.git#/collections/cortex/vllm" in text
    runtime = yaml.safe_load((collection / "meta" / "runtime.yml").read_text())
    assert runtime["requires_ansible"].removeprefix(">=").removesuffix(".0") in text


def test_sample_execution_environment_agrees(collection: Path, galaxy: dict) -> None:
    text = (collection / "docs" / "execution-environment.yml").read_text()
    assert set(re.findall(r"cortex-vllm-([\d.]+)\.tar\.gz", text)) == {galaxy["version"]}


def test_changelog_fragments_are_valid(run, collection: Path, tmp_path: Path) -> None:
    copy = _copy(collection, tmp_path)
    run("antsibull-changelog", "lint", cwd=copy)


def test_a_release_can_be_made(run, collection: Path, galaxy: dict, tmp_path: Path) -> None:
    """In a copy: fragments become the changelog, and each public module is named in it as new."""
    copy = _copy(collection, tmp_path)
    if f"  {galaxy['version']}:" in (copy / "changelogs" / "changelog.yaml").read_text():
        pytest.skip(f"{galaxy['version']} is released")
    run(
        "antsibull-changelog",
        "release",
        "--version",
        galaxy["version"],
        cwd=copy,
        ANSIBLE_COLLECTIONS_PATH=str(tmp_path),
    )
    text = (copy / "CHANGELOG.md").read_text().replace("\\", "")
    assert f"v{galaxy['version']}" in text
    for module in (collection / "plugins" / "modules").glob("[!_]*.py"):
        assert f"cortex.vllm.{module.stem}" in text
    assert (copy / "CHANGELOG.rst").is_file()


def _copy(collection: Path, folder: Path) -> Path:
    copy = folder / "ansible_collections" / "cortex" / "vllm"
    shutil.copytree(collection, copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".plugin-cache.yaml"))
    return copy


def test_version_has_a_changelog(collection: Path, galaxy: dict) -> None:
    for name in ("CHANGELOG.md", "CHANGELOG.rst"):
        assert galaxy["version"] in (collection / name).read_text().replace("\\", "")


def test_site_documentation(run, root: Path) -> None:
    """Plugins, roles and guides as the documentation site reads them; references lead to what exists."""
    run(
        "antsibull-docs",
        "lint-collection-docs",
        "--plugin-docs",
        "--validate-collection-refs",
        "self",
        "--skip-rstcheck",
        ".",
        cwd=root / "collections" / "ansible_collections" / "cortex" / "vllm",
        ANSIBLE_COLLECTIONS_PATH=str(root / "collections"),
    )
