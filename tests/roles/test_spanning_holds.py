# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A model that spans hosts is changed on none of them while one is held."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PLAY = [
    {
        "hosts": "vllm",
        "gather_facts": False,
        "any_errors_fatal": True,
        "tasks": [
            {
                "ansible.builtin.include_role": {"name": "cortex.vllm.server", "tasks_from": "group"},
                "vars": {"server_group": "big", "server_nodes": ["a", "b"]},
            }
        ],
        # There is no engine at that address: what goes on from the check fails by that.
        "module_defaults": {"group/cortex.vllm.vllm": {"docker_host": "unix:///nowhere.sock"}},
    }
]


@pytest.mark.parametrize("held", [[], ["b"]])
def test_nothing_of_a_model_is_touched_while_one_of_its_hosts_is_held(tmp_path: pathlib.Path, held: list[str]) -> None:
    declared = {"big": {"image": "x:1", "model": "/m"}}
    hosts = {
        name: {
            "vllm_servers": declared,
            "server_plan": {"spans": {"big": {"held": name in held, "key": "k", "waits": False, "todo": True}}},
        }
        for name in ("a", "b")
    }
    inventory = {"vllm": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))
    (tmp_path / "play.yml").write_text(json.dumps(PLAY))
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(tmp_path / "inventory.json"),
            str(tmp_path / "play.yml"),
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert ("big is to be changed, and b holds it. Nothing of it was touched." in said) == bool(held)
    assert ("Begin on every host of the model" in said) != bool(held), said
