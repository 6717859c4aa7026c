# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What takes minutes: many converges in a row, deaths at many moments. Run by ./test --all."""

from __future__ import annotations

import json
import time

import pytest

from plays import kill

from .conftest import CONTAINER, SERVER, Host, docker

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]


@pytest.fixture(autouse=True)
def up(host: Host) -> None:
    """The server runs, as declared."""
    host.declare(state=None)
    run = host.run("playbooks/site.yml")
    assert run.code == 0, run.text


def answers(host: Host, seconds: float) -> None:
    begin = time.monotonic()
    while host.complete(host.api_key)[0] != 200:
        assert time.monotonic() - begin < seconds, f"no answer within {seconds} s"
        time.sleep(0.5)


def test_a_hundred_converges_change_nothing(host: Host) -> None:
    before = host.container()

    for number in range(100):
        run = host.run()
        assert run.code == 0, f"run {number}: {run.text}"
        assert run.answer is not None
        assert (run.answer["changed"], run.answer["remote_calls"]) == (False, 1), f"run {number}"

    after = host.container()
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]


@pytest.mark.parametrize("seconds", [2.0, 5.0, 9.0, 14.0, 20.0])
def test_a_controller_killed_at_any_moment_of_a_replacement(host: Host, seconds: float) -> None:
    """The new declaration is good: whichever moment the controller dies at, a server answers in the end."""
    length = 256 if host.max_model_len() != 256 else 384
    host.declare(engine_args={"max_model_len": length})

    process = host.begin()
    time.sleep(seconds)
    kill(process)

    answers(host, 180)
    run = host.run("playbooks/site.yml")
    assert run.code == 0
    assert host.max_model_len() == length
    assert host.containers() == [CONTAINER]


def test_a_dead_engine_comes_back(host: Host) -> None:
    """vLLM exits 0 when its engine dies after it was ready; the policy set after verification restarts it."""
    server = host.servers[SERVER]
    kept = host.kept()
    server["env"] = {"VLLM_CPU_KVCACHE_SPACE": "1"}  # engine and worker as processes of their own
    server["engine_args"] = {"max_model_len": 256, "enforce_eager": True}
    assert host.run("playbooks/site.yml").code == 0

    started = host.container()["State"]["StartedAt"]
    docker("exec", CONTAINER, "python3", "-c", KILL_ENGINE)
    begin = time.monotonic()
    while host.container()["State"]["StartedAt"] == started:
        assert time.monotonic() - begin < 60, "the container was not restarted"
        time.sleep(0.5)
    answers(host, 240)

    run = host.run("playbooks/site.yml")
    host.servers[SERVER] = kept
    assert run.code == 0
    assert json.loads(docker("inspect", CONTAINER))[0]["RestartCount"] >= 1


#: Finds the engine's process by its title and kills it.
KILL_ENGINE = """
import os, pathlib, signal
found = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if b"EngineCore" in (p / "cmdline").read_bytes()]
assert found
os.kill(found[0], signal.SIGKILL)
"""
