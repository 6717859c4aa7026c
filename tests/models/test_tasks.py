# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tasks model and model_info as people run them: through ansible-playbook, on a host without an engine."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from . import caches

ROOT = pathlib.Path(__file__).parents[2]
PLAY = """
- hosts: localhost
  gather_facts: false
  connection: local
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  module_defaults:
    cortex.vllm.model: {hub_cache: "%(root)s/hub", state_dir: "%(root)s/state"}
    cortex.vllm.model_info: {hub_cache: "%(root)s/hub", state_dir: "%(root)s/state"}
  tasks:
    - {cortex.vllm.model_info: {model: org/chat}, register: broken}
    - {cortex.vllm.model: {model: org/chat}, check_mode: true, diff: true, register: foreseen}
    - {cortex.vllm.model: {model: org/chat, verify: true}, register: made}
    - {cortex.vllm.model: {model: org/chat}, register: again}
    - {cortex.vllm.model_info: {model: org/chat, verify: true, require: true}, register: whole}
    - {cortex.vllm.model_info: {model: org/none, require: true}, register: missing, ignore_errors: true}
    - {cortex.vllm.model: {model: org/chat, tokenizer_form: x}, register: typo, ignore_errors: true}
    - {cortex.vllm.model: {model: org/chat, tokenizer_id: x}, register: alone, ignore_errors: true}
    - {cortex.vllm.model: {model: "%(root)s/m", tokenizer_from: org/none}, register: nowhere, ignore_errors: true}
    - ansible.builtin.copy:
        dest: "%(root)s/results.json"
        content: "{{ dict(names | zip(names | map('extract', vars))) | to_json }}"
        mode: "0600"
      vars:
        names: [broken, foreseen, made, again, whole, missing, typo, alone, nowhere]
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    root = tmp_path_factory.mktemp("tasks")
    folder = caches.hub(root / "hub", "org/chat", caches.chat_model())
    (folder / "refs" / "main").write_text(caches.NEW + "\n")
    (root / "play.yml").write_text(PLAY % {"root": root})
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), str(root / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, dict] = json.loads((root / "results.json").read_text())
    return found


def test_a_look_is_one_call_and_changes_nothing(results: dict[str, dict]) -> None:
    broken = results["broken"]
    assert (broken["status"], broken["changed"], broken["remote_calls"]) == ("incomplete", False, 1)
    assert [entry["code"] for entry in broken["problems"]] == ["model.ref-invalid"]


def test_check_mode_tells_what_would_be_done(results: dict[str, dict]) -> None:
    foreseen = results["foreseen"]
    assert (foreseen["changed"], foreseen["remote_calls"]) == (True, 1)
    assert [step["do"] for step in foreseen["steps"]] == ["write"] and caches.NEW in foreseen["diff"]["after"]


def test_it_is_made_and_the_second_time_nothing_is_done(results: dict[str, dict]) -> None:
    made, again = results["made"], results["again"]
    assert (made["changed"], made["status"], made["verification"]["problems"]) == (True, "complete", [])
    assert made["verification"]["verified"] == 11
    assert (again["changed"], again["steps"], again["remote_calls"]) == (False, [], 1)
    assert results["whole"]["status"] == "complete" and results["whole"]["verification"]["verified"] == 11


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "org/none is not in the hub cache"),
        ("typo", "Write `tokenizer_from`"),
        ("alone", "Write tokenizer_from too"),
        ("nowhere", "org/none is not in the hub cache"),
    ],
)
def test_what_cannot_be_done_is_said(results: dict[str, dict], name: str, words: str) -> None:
    assert results[name]["failed"] is True and words in results[name]["msg"], results[name]["msg"]
    assert "Traceback" not in json.dumps(results[name])
