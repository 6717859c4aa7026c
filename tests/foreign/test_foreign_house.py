# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A foreign house: playbooks and inventory of somebody else, with the collection installed from its tarball.

Nothing of this repository is on the collections path of these runs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import typing as t
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = pathlib.Path(sys.executable).parent


@dataclasses.dataclass
class Done:
    """A finished command."""

    code: int
    text: str


@dataclasses.dataclass
class House:
    """A copy of the foreign directory."""

    path: pathlib.Path
    variables: dict[str, t.Any]

    def play(self, playbook: str, *arguments: str, **variables: t.Any) -> Done:
        given = json.dumps({**self.variables, **variables})
        return command([BIN / "ansible-playbook", playbook, *arguments, "-e", given], self.path)


def command(words: t.Sequence[t.Any], folder: pathlib.Path) -> Done:
    """Run a command in a folder, with an environment that knows nothing of this repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**kept, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(folder / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Done(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The collection, installed from its tarball."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copy(HERE / "site/ansible.cfg", folder)
    galaxy = BIN / "ansible-galaxy"
    built = command(
        [galaxy, "collection", "build", ROOT / "collections/cortex/vllm", "--output-path", folder / "dist"], folder
    )
    assert built.code == 0, built.text
    (tarball,) = (folder / "dist").glob("cortex-vllm-*.tar.gz")
    done = command(
        [galaxy, "collection", "install", tarball, "-p", folder / "collections", "--offline", "--force"], folder
    )
    assert done.code == 0, done.text
    return folder / "collections"


@pytest.fixture
def house(installed: pathlib.Path, tmp_path: pathlib.Path) -> House:
    folder = tmp_path / "house"
    shutil.copytree(HERE / "site", folder)
    (folder / "collections").symlink_to(installed)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"work_dir": str(tmp_path), "prefix": f"for-{uuid.uuid4().hex[:6]}", "first_port": port}
    return House(folder, variables)


PLAYBOOKS = ["serve.yml", "render.yml", "defaults.yml", "remove.yml"]
OURS = [f"cortex.vllm.{path.stem}" for path in sorted((ROOT / "collections/cortex/vllm/playbooks").glob("*.yml"))]


def test_syntax(house: House) -> None:
    """Theirs, and ours by full name."""
    done = house.play(PLAYBOOKS[0], *PLAYBOOKS[1:], *OURS, "--syntax-check")

    assert done.code == 0, done.text
    assert "ERROR" not in done.text
    assert done.text.count("playbook: ") == len(PLAYBOOKS) + len(OURS)


def test_rendering_needs_no_host(house: House) -> None:
    first, second = house.play("render.yml"), house.play("render.yml")

    assert first.code == 0, first.text
    assert "changed=1" in first.text
    assert "changed=0" in second.text
    script = (house.path.parent / "serve.sh").read_text(encoding="utf-8")
    assert script.splitlines()[-1].startswith("exec vllm serve Qwen/Qwen3-0.6B --host")


def test_defaults_of_the_group_arrive_and_a_missing_engine_is_one_clear_error(house: House) -> None:
    done = house.play("defaults.yml")

    assert done.code == 2
    assert "/nowhere/docker.sock" in done.text
    assert "Traceback" not in done.text


def test_an_error_points_at_its_file_and_line(house: House) -> None:
    file = house.path / "group_vars/models.yml"
    text = file.read_text(encoding="utf-8").replace("server_port", "server_prot")
    file.write_text(text, encoding="utf-8")
    line = next(number for number, words in enumerate(text.splitlines(), 1) if "server_prot" in words)

    done = house.play("serve.yml", "--check")

    assert done.code == 2
    assert "server_prot: is not a field. Write server_port." in done.text
    assert f"group_vars/models.yml:{line}:" in done.text
    assert "sk-foreign-0123456789" not in done.text
    assert "Traceback" not in done.text


@pytest.mark.engine
def test_the_installed_role_serves(house: House, tmp_path: pathlib.Path) -> None:
    """Check mode, a converge, nothing to do, and away with it."""
    subprocess.run([ROOT / "tests/standin/build"], check=True, capture_output=True)
    subprocess.run(
        [sys.executable, ROOT / "tests/lib/standin_model.py", tmp_path / "model"], check=True, capture_output=True
    )
    name = f"{house.variables['prefix']}-chat"
    try:
        checked = house.play("serve.yml", "--check")
        assert checked.code == 0, checked.text
        assert f"[here] {name}: create" in checked.text
        assert not running(name)

        served = house.play("serve.yml")
        assert served.code == 0, served.text
        assert f"[here] {name}: ready after" in served.text
        assert "changed=1" in served.text
        assert running(name)

        again = house.play("serve.yml", "-vv")
        assert again.code == 0, again.text
        assert "changed=0" in again.text
        assert "remote_calls: 1" in again.text
        for output in (checked, served, again):
            assert "sk-foreign-0123456789" not in output.text
    finally:
        removed = house.play("remove.yml")
    assert removed.code == 0, removed.text
    assert not running(name)


def running(name: str) -> bool:
    """Whether the container of a server runs."""
    done = subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Running}}", f"cortex-vllm-{name}"], capture_output=True, text=True
    )
    return done.stdout.strip() == "true"
