# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection says it needs is what its code imports."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

#: Distribution → name under which it is imported.
IMPORTED_AS = {"pydantic": "pydantic", "httpx": "httpx", "jinja2": "jinja2"}


@pytest.fixture(scope="module")
def requirements(collection: Path) -> dict[str, Requirement]:
    lines = (collection / "meta" / "ee-requirements.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {one.name: one for one in found}


def _imports(folder: Path) -> dict[str, set[str]]:
    """Top-level module name → files (relative to ``folder``) that import it, absolute imports only."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(folder)))
    return {name: files for name, files in found.items() if name not in sys.stdlib_module_names}


def test_installed_versions_are_allowed(requirements: dict[str, Requirement]) -> None:
    """What the tests run with is what the collection promises to run with."""
    assert set(requirements) == set(IMPORTED_AS)
    for name, requirement in requirements.items():
        assert requirement.specifier.contains(importlib.metadata.version(name)), name


def test_brains_import_only_what_is_declared(collection: Path) -> None:
    imports = _imports(collection / "plugins" / "plugin_utils")
    # What catalog/inside holds runs in an image, beside the vLLM that it asks; nccl/measure.py beside its torch.
    inside = ("catalog/inside/", "nccl/measure.py")
    imports = {name: files for name, files in imports.items() if not all(file.startswith(inside) for file in files)}
    # What downloads runs on a host, in the Python that has huggingface_hub.
    assert imports.pop("huggingface_hub", {"transport/hub_client.py"}) == {"transport/hub_client.py"}
    for name in ("pydantic", "pydantic_core"):  # the core is a part of pydantic, of exactly its version
        assert imports.pop(name, {"_pydantic.py"}) == {"_pydantic.py"}, "import pydantic through _pydantic.py"
    assert imports.pop("ansible", {"_action.py"}) == {"_action.py"}, "only _action.py knows Ansible"
    imports.pop("ansible_collections", None)
    assert set(imports) <= set(IMPORTED_AS.values())


def test_hands_import_only_the_docker_sdk(collection: Path) -> None:
    """Nothing from PyPI on a target; requests and urllib3 are what the SDK itself stands on."""
    for folder in ("module_utils", "modules"):
        imports = _imports(collection / "plugins" / folder)
        assert set(imports) <= {"ansible", "ansible_collections", "docker", "requests", "urllib3"}, folder


def test_brains_and_hands_are_apart(collection: Path) -> None:
    for folder, other in (
        ("plugin_utils", "module_utils"),
        ("module_utils", "plugin_utils"),
        ("modules", "plugin_utils"),
    ):
        for path in (collection / "plugins" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.ImportFrom)
                    and node.module
                    and node.module.startswith(("ansible_collections", "plugins"))
                ):
                    assert other not in node.module.split("."), f"{path}: {node.module}"


def test_execution_environment_files(collection: Path) -> None:
    meta = yaml.safe_load((collection / "meta" / "execution-environment.yml").read_text())
    assert meta["version"] == 1, "collections declare their needs in version 1 of the format"
    for path in meta["dependencies"].values():
        assert (collection / path).is_file(), path


def test_sample_definition_builds_a_context(root: Path, tarball: Path, collection: Path, tmp_path: Path) -> None:
    """With ansible-builder at hand: the sample definition is accepted and holds the built collection."""
    builder = Path(sys.executable).parent / "ansible-builder"
    if not builder.is_file():
        pytest.skip("ansible-builder is not installed")
    (tmp_path / tarball.name).write_bytes(tarball.read_bytes())
    (tmp_path / "execution-environment.yml").write_bytes(
        (collection / "docs" / "execution-environment.yml").read_bytes()
    )
    subprocess.run([builder, "create"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "context" / "_build" / tarball.name).is_file()
