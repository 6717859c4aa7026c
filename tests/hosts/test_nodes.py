# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One model on two hosts, each with its own address, systemd and engine, by vLLM's native multi-node.

With the stand-in, and with real vLLM on the CPU.
"""

from __future__ import annotations

import json
import pathlib
import time
import typing as t
import uuid

import pytest

import plays
from engines import ask, docker, made

from .conftest import KEY, MODEL, Machine

pytestmark = [pytest.mark.engine, pytest.mark.long]

NAMES = ["one", "two"]
SERVER = "big"
CONTAINER = f"cortex-vllm-{SERVER}"
PORT = 8000


class Pair(plays.Target):
    """Two hosts and the inventory that names them; one declaration for both."""

    def __init__(self, folder: pathlib.Path, image: str) -> None:
        self.directory = folder
        self.machines = {name: Machine(folder / name, image) for name in NAMES}
        self.image = image
        self.declaration: dict[str, t.Any] = {}
        self.reset()

    def reset(self) -> None:
        self.declaration = {
            "image": self.image,
            "pull": "never",
            "model": MODEL,
            "offline": True,
            "nodes": list(NAMES),
            "server_port": PORT,
            "start_timeout": 400,
            "engine_args": {"tensor_parallel_size": 2, "max_model_len": 256, "enforce_eager": True},
            # The image has no compiler; without this the first request fails.
            "env": {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"},
            "nccl": {"timeout": 120},
            "secrets": {"api_key": KEY},
        }

    def inventory(self) -> dict[str, t.Any]:
        hosts = {
            name: {
                "ansible_connection": "counted_docker",
                "ansible_host": machine.name,
                "ansible_python_interpreter": "/usr/bin/python3",
                "vllm_address": machine.address,
            }
            for name, machine in self.machines.items()
        }
        return {"vllm": {"hosts": hosts, "vars": {"vllm_servers": {SERVER: self.declaration}}}}

    def play(self, playbook: str | pathlib.Path = "site", *arguments: str, timeout: float = 900) -> plays.Outcome:
        outcome = super().play(playbook, *arguments, timeout=timeout)
        print(outcome.text)
        return outcome

    def inspect(self, name: str) -> dict[str, t.Any]:
        return json.loads(self.machines[name].run("docker", "inspect", CONTAINER))[0]

    def starts(self) -> dict[str, tuple[str, str]]:
        """Container and start of each rank."""
        seen = {name: self.inspect(name) for name in NAMES}
        return {name: (entry["Id"], entry["State"]["StartedAt"]) for name, entry in seen.items()}

    def answer(self) -> tuple[int, t.Any]:
        """What the head says to another machine."""
        body = {"model": SERVER, "prompt": "Hello", "max_tokens": 4}
        return ask(self.machines["one"].address, PORT, "/v1/completions", body, KEY, timeout=60)


@pytest.fixture(scope="module", params=["stand-in", pytest.param("vllm", marks=[pytest.mark.e2e, pytest.mark.slow])])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Pair]:
    real = request.param == "vllm"
    tag = made(*(["tools/vllm-image"] if real else ["tests/standin/build"]))
    # A name of its own: another checkout that builds its images meanwhile would give one of the hosts another one.
    image = f"cortex-vllm/nodes-{request.param}:{uuid.uuid4().hex[:6]}"
    docker("tag", tag, image)
    host_image = made("tools/base-image", "host")
    folder = tmp_path_factory.mktemp("nodes")
    both = Pair(folder, image)
    try:
        for name, machine in both.machines.items():
            (folder / name).mkdir(exist_ok=True)
            machine.start(host_image)
            machine.load(image)
            if real:
                machine.run("mkdir", "-p", MODEL)
                docker("cp", f"{made('tools/tiny-model', tag)}/.", f"{machine.name}:{MODEL}")
            else:
                machine.put_model(when=[{"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P6"}}])
        yield both
    finally:
        for machine in both.machines.values():
            machine.remove()
        docker("rmi", image, check=False)


def test_one_declaration_becomes_one_model_on_two_hosts(pair: Pair) -> None:
    outcome = pair.converged()
    assert outcome.changed == set(NAMES)
    status, answer = pair.answer()
    # Random weights may say nothing that can be read; the tokens are counted all the same.
    assert status == 200 and answer["usage"]["completion_tokens"] > 0, answer

    head, other = pair.inspect("one"), pair.inspect("two")
    assert "--headless" in other["Config"]["Cmd"] and "--headless" not in head["Config"]["Cmd"]
    at = other["Config"]["Cmd"].index("--node-rank")
    assert other["Config"]["Cmd"][at + 1] == "1"
    for name, entry in (("one", head), ("two", other)):
        assert f"VLLM_HOST_IP={pair.machines[name].address}" in entry["Config"]["Env"]
        assert "GLOO_SOCKET_IFNAME=eth0" in entry["Config"]["Env"]
        assert entry["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"

    before = pair.starts()
    again = pair.converged()
    assert again.changed == set(), again.text
    assert {name: again.calls_of(name) for name in NAMES} == {name: ["exec"] for name in NAMES}, again.text
    assert pair.starts() == before


def test_half_of_it_is_refused(pair: Pair) -> None:
    pair.declaration["engine_args"]["max_model_len"] = 300
    before = pair.starts()
    outcome = pair.play("site", "--limit", "two")
    assert outcome.code != 0
    assert "one is not in this batch" in outcome.text
    assert pair.starts() == before
    assert pair.answer()[0] == 200
    pair.reset()


def test_a_killed_rank_is_named_and_the_group_comes_back_as_one(pair: Pair) -> None:
    before = pair.starts()
    # By hand, so that the engine does not bring it back.
    pair.machines["two"].run("docker", "stop", "--time", "5", CONTAINER)
    outcome = pair.converged()
    assert outcome.changed == set(NAMES), outcome.text
    after = pair.starts()
    assert all(after[name][0] == before[name][0] for name in NAMES), "the same containers"
    assert all(after[name][1] != before[name][1] for name in NAMES), "both were started anew"
    assert pair.answer()[0] == 200
    assert pair.converged().changed == set()


def test_a_changed_declaration_replaces_both(pair: Pair) -> None:
    before = pair.starts()
    pair.declaration["engine_args"]["max_model_len"] = 300
    assert pair.converged().changed == set(NAMES)
    after = pair.starts()
    assert all(after[name][0] != before[name][0] for name in NAMES)
    assert pair.answer()[0] == 200


def test_what_cannot_start_goes_back_on_both_and_says_who_failed_first(pair: Pair) -> None:
    pair.declaration["engine_args"]["max_model_len"] = 300
    pair.converged()
    before = {name: pair.inspect(name)["Id"] for name in NAMES}
    # Real ranks: no host has as much memory. The stand-in's fails where its worker starts.
    pair.declaration["env"] = {**pair.declaration["env"], "VLLM_CPU_KVCACHE_SPACE": "900"}
    pair.declaration["engine_args"]["max_num_seqs"] = 7
    outcome = pair.play()
    assert outcome.code != 0
    assert f"{SERVER}, first on" in outcome.text and "(rank" in outcome.text, outcome.text
    assert {name: pair.inspect(name)["Id"] for name in NAMES} == before
    until = time.monotonic() + 60
    while pair.answer()[0] != 200:
        assert time.monotonic() < until
        time.sleep(1)
    pair.reset()
    pair.declaration["engine_args"]["max_model_len"] = 300
    assert pair.converged().changed == set()
