# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`vllm_only` with a typing error is refused before anything is looked at, however many hosts know the other names."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
INVENTORY = """
vllm:
  hosts:
    a: {vllm_servers: {chat: {image: "x:1", model: /m}}}
    b: {vllm_servers: [{name: embed, image: "x:1", model: /m}]}
    c: {}
  vars: {ansible_connection: local}
"""
# What comes after the check, without an engine.
PLAY = """
- hosts: vllm
  gather_facts: false
  serial: {serial}
  any_errors_fatal: true
  tasks:
    - ansible.builtin.import_role: {{name: cortex.vllm.server, tasks_from: named, rolespec_validate: false}}
    - ansible.builtin.debug: {{msg: "went on"}}
"""


def play(folder: pathlib.Path, book: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "inventory.yml").write_text(INVENTORY)
    program = pathlib.Path(sys.executable).with_name("ansible-playbook")
    return subprocess.run(
        [str(program), "-i", str(folder / "inventory.yml"), book, *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("serial", [1, 10])
def test_names_that_one_host_of_the_play_declares_are_good_for_all(tmp_path: pathlib.Path, serial: int) -> None:
    (tmp_path / "play.yml").write_text(PLAY.format(serial=serial))
    done = play(tmp_path, str(tmp_path / "play.yml"), "-e", "vllm_only=chat,embed")
    assert done.returncode == 0 and done.stdout.count("went on") == 3, done.stdout + done.stderr


def test_site_refuses_a_name_that_nobody_declares(tmp_path: pathlib.Path) -> None:
    """One good name beside it makes no difference. There is no engine at that address: nothing was asked."""
    book = str(ROOT / "playbooks" / "site.yml")
    done = play(tmp_path, book, "-e", "vllm_only=chat,embde", "-e", "vllm_docker_host=unix:///nowhere.sock")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "No host of this play declares a server named embde (did you mean embed?)" in said
    assert "Fetch what is missing" not in said and "nowhere.sock" not in said
