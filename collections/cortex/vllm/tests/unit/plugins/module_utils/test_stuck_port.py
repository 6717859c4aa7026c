# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A port that the engine keeps for a container that is gone: when it is restarted, and when it is only told."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import locks, stuck_port
from ansible_collections.cortex.vllm.plugins.module_utils.connection import EngineError
from ansible_collections.cortex.vllm.tests.unit.plugins.module_utils.engine_double import Engine

REFUSED = (
    "driver failed programming external connectivity on endpoint cortex-vllm-chat (fb1a): "
    "Bind for 0.0.0.0:8000 failed: port is already allocated"
)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with systemd; ``commands``: what was run on it, ``codes``: what a command answers, if not 0."""

    class Host:
        state_dir, commands, codes = str(tmp_path), [], {}

        def run(self, command):
            self.commands.append(" ".join(command))
            return self.codes.get(command[1], 0), "", "Job failed.\n"

        def free(self, engine, message=REFUSED):
            return stuck_port.free(engine, message, self.run, self.state_dir, "chat")

        @property
        def restarts(self):
            return self.commands.count("systemctl restart docker.service")

    monkeypatch.setattr(stuck_port, "SYSTEMD", str(tmp_path))
    Host.commands, Host.codes = [], {}
    return Host()


def stopped(**fields):
    return Engine(a=dict({"name": "cortex-vllm-chat", "running": False}, **fields))


@pytest.mark.parametrize(
    "message, port",
    [
        (REFUSED, 8000),
        ("Bind for :::8443 failed: port is already allocated", 8443),
        ("Bind for 192.0.2.7:80 failed: port is already allocated", 80),
        ("listen tcp 0.0.0.0:8000: bind: address already in use", None),
        ("no such image", None),
        ("", None),
    ],
)
def test_the_port_is_named_by_the_refusal(message, port):
    assert stuck_port.port_of(message) == port


def test_an_engine_in_which_nothing_runs_is_restarted(host):
    assert host.free(stopped()) == 8000
    assert host.commands[-2:] == ["systemctl reset-failed docker.service", "systemctl restart docker.service"]


def test_another_refusal_and_a_port_that_somebody_has_are_none_of_its_business(host):
    assert host.free(stopped(), "no such image") is None
    engine = stopped(running=True)
    engine.published = [{"PublicPort": 8000, "Type": "tcp", "IP": "0.0.0.0"}]
    assert host.free(engine) is None
    assert host.commands == []


@pytest.mark.parametrize(
    "trouble, words",
    [
        ("running", "it would end what runs: somebody"),
        ("remote", "docker_host is not this system's own engine"),
        ("inactive", "systemd does not run it here as docker.service"),
        ("no systemd", "systemd does not run it here as docker.service"),
        ("busy", "another job works on embed"),
    ],
)
def test_where_it_may_not_be_restarted_the_refusal_says_why(host, monkeypatch, trouble, words):
    engine, other = stopped(), locks.Lock(host.state_dir, "server-embed")
    # Its own lock is held by this very job.
    with locks.Lock(host.state_dir, "server-chat").acquire(0):
        if trouble == "running":
            engine.add("b", name="somebody", label=None)
        if trouble == "remote":
            engine.host = "tcp://192.0.2.1:2376"
        if trouble == "inactive":
            host.codes["is-active"] = 3
        if trouble == "no systemd":
            monkeypatch.setattr(stuck_port, "SYSTEMD", host.state_dir + "/none")
        if trouble == "busy":
            other.acquire(0)
        with pytest.raises(EngineError) as caught:
            host.free(engine)
        other.release()
    assert words in caught.value.message and "systemctl restart docker" in caught.value.message
    assert "keeps port 8000 for a container that is gone" in caught.value.message
    assert host.restarts == 0


def test_a_restart_that_fails_is_told(host):
    host.codes["restart"] = 1
    with pytest.raises(EngineError) as caught:
        host.free(stopped())
    assert "could not be restarted: Job failed." in caught.value.message
