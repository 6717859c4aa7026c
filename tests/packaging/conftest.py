# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ships: built once, installed once, looked at by every test of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections" / "cortex" / "vllm"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def collection() -> Path:
    """The source of what ships."""
    return COLLECTION


@pytest.fixture(scope="session")
def galaxy() -> dict:
    """What galaxy.yml says."""
    return yaml.safe_load((COLLECTION / "galaxy.yml").read_text())


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a tool of the virtual environment as a user who has nothing else, and who has no network.

    Returns the finished process; a failure is an assertion with both outputs, unless ``check=False``.
    """
    home = tmp_path_factory.mktemp("home")

    def call(
        *command: str | Path, cwd: Path, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GIT_"))}
        kept.update(
            HOME=str(home),
            ANSIBLE_HOME=str(home / ".ansible"),
            ANSIBLE_LOCAL_TEMP=str(home / "tmp"),
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            # Whoever asks for a network all the same is refused at once, and the test with it.
            http_proxy="http://127.0.0.1:9",
            https_proxy="http://127.0.0.1:9",
            no_proxy="",
            GIT_CONFIG_GLOBAL=os.devnull,
            LC_ALL="C.UTF-8",
        )
        kept.update(environment)
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd, env=kept, capture_output=True, text=True, timeout=300, check=False
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture(scope="session")
def tarball(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as ``ansible-galaxy collection build`` packs it."""
    output = tmp_path_factory.mktemp("dist")
    run("ansible-galaxy", "collection", "build", COLLECTION, "--output-path", output, cwd=output)
    return next(output.glob("*.tar.gz"))


@pytest.fixture(scope="session")
def installed(run: Run, tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path on which nothing but the built collection is installed, from the tarball, offline."""
    path = tmp_path_factory.mktemp("installed")
    run("ansible-galaxy", "collection", "install", tarball, "-p", path, "--offline", cwd=path)
    return path


@pytest.fixture(scope="session")
def clone(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository's newest commit."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    path = tmp_path_factory.mktemp("git") / "clone"
    run("git", "-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks", ROOT, path, cwd=path.parent)
    return path
