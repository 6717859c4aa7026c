# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests with engines judge by: results as tasks returned them, and every call that crossed a connection."""

from __future__ import annotations

import json
import pathlib
import time

import plays


class Here(plays.Target):
    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def inventory(self) -> dict[str, object]:
        host = {"ansible_connection": "counted", "ansible_python_interpreter": "/usr/bin/python3"}
        return {"vllm": {"hosts": {"here": host}}}

    def book(self, *tasks: dict[str, object]) -> pathlib.Path:
        path = self.directory / "book.json"
        path.write_text(json.dumps([{"hosts": "vllm", "gather_facts": False, "tasks": tasks}]))
        return path


def test_results_and_calls_of_a_play(tmp_path: pathlib.Path) -> None:
    here = Here(tmp_path)
    book = here.book(
        {"name": "ask", "ansible.builtin.ping": {"data": "x"}},
        {"name": "change", "ansible.builtin.command": "true"},
        {"name": "fail", "ansible.builtin.fail": {"msg": "as it should"}},
    )

    outcome = here.play(book)

    assert outcome.code == 2 and "as it should" in outcome.text
    assert [row["task"] for row in outcome.rows] == ["ask", "change", "fail"]
    assert outcome.one("ask")["ping"] == "x" and outcome.last["msg"] == outcome.message("here") == "as it should"
    assert (outcome.changed, outcome.failed) == ({"here"}, {"here"})
    assert outcome.calls_of("here") == ["exec", "exec"], "two modules, and an action that needs no host"


def test_a_play_that_is_killed_leaves_nobody(tmp_path: pathlib.Path) -> None:
    here, mark = Here(tmp_path), tmp_path / "mark"
    script = f"sh -c 'while :; do touch {mark}; sleep 0.1; done'"
    running = here.begin(here.book({"name": "wait", "ansible.builtin.command": script}))
    until = time.monotonic() + 60
    while not mark.exists():
        assert running.process.poll() is None and time.monotonic() < until
        time.sleep(0.05)

    running.kill()

    assert running.process.poll() == -9
    mark.unlink()
    time.sleep(0.4)
    assert not mark.exists(), "a worker lives on, in a session of its own"
