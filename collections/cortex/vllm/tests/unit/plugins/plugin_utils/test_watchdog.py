# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a running server is: what its answers, numbers and failed starts say, and what a converge does about it."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import observation, spec, status
from ansible_collections.cortex.vllm.plugins.plugin_utils.converge import ConvergeError
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import Host, server

WELL = {"http": 200, "error": None, "models": ["chat"], "seconds": 0.01}


def pulse(**more):
    return {"running": 3, "waiting": 1, "moved": False, "seconds": 40.0, "token": False, "error": "no answer", **more}


@pytest.fixture
def host():
    found = Host()
    found.converge({"chat": server()})
    return found


def looked(host, health=None, **declared):
    if health is not None:
        host.health["chat"] = health
    return host.plan({"chat": server(**declared)})


@pytest.mark.parametrize(
    ("health", "verdict", "words"),
    [
        (WELL, "ready", ""),
        ({**WELL, "pulse": pulse(moved=True, token=None)}, "ready", ""),
        ({**WELL, "pulse": pulse(running=0, waiting=0, moved=None, token=None)}, "ready", ""),
        ({**WELL, "pulse": pulse(token=True)}, "ready", "it gives a token, whatever its numbers say"),
        ({**WELL, "pulse": pulse()}, "hung", "3 requests run, 1 wait, and no token comes for 40 s; asked for one"),
        ({**WELL, "pulse": pulse(token=None, error=None)}, "hung", "no token comes"),
        ({**WELL, "pulse": pulse(running=0, moved=None)}, "hung", "no token comes: no answer"),
        ({**WELL, "models": ["other"]}, "other-model", "it answers for other"),
        ({**WELL, "http": 503}, "engine-dead", "503"),
        ({**WELL, "http": None, "error": "refused"}, "hung", "does not answer"),
    ],
)
def test_a_verdict_in_one_word(host, health, verdict, words):
    for name in host.containers:
        host.containers[name]["state"] = {"StartedAt": "2020-01-01T00:00:00Z"}
    plan = looked(host, health)
    seen = observation.Observation.parse(host.observe(observation.query(spec.load({"chat": server()}), "/s")))
    (row,) = status.rows("gpu1", "", spec.load({"chat": server()}), plan, seen)
    assert row["verdict"] == verdict, row
    assert verdict == "ready" or words in row["trouble"]
    unwell = [] if verdict == "ready" else ["chat"]
    assert status.watched("gpu1", [row], fail=False)["unwell"] == unwell
    if unwell:
        with pytest.raises(ConvergeError, match=verdict):
            status.watched("gpu1", [row], fail=True)


def test_a_hung_server_is_restarted_only_where_that_is_declared(host):
    hung = {**WELL, "pulse": pulse()}
    plan = looked(host, hung)
    assert plan.servers[0].action == "none" and [item.code for item in plan.findings] == ["server.hung"]
    plan = looked(host, hung, restart_when_hung=True)
    assert plan.servers[0].action == "restart"


def test_only_who_may_be_restarted_is_watched_by_a_converge():
    specs = spec.load({"a": server(restart_when_hung=True), "b": server(server_port=8001)})
    assert observation.query(specs, "/s")["pulse"] == {"servers": ["a"]}
    everybody = observation.query(specs, "/s", pulse={"window": 5.0})["pulse"]
    assert everybody == {"servers": ["a", "b"], "window": 5.0}
    assert "pulse" not in observation.query(specs[1:], "/s")
    assert "pulse" not in observation.query(specs, "/s", health=False)


@pytest.mark.parametrize(("count", "code"), [(1, ""), (3, ""), (4, "server.crash-loop"), (9, "server.crash-loop")])
def test_a_crash_loop_is_reported_instead_of_waited_for(host, monkeypatch, count, code):
    known = Host._server

    def counted(self, name):
        return {**known(self, name), "failed_starts": count, "health": None}

    monkeypatch.setattr(Host, "_server", counted)
    host.containers["cortex-vllm-chat"]["state"] = {"Restarting": True, "ExitCode": 1}
    plan = looked(host)
    if code:
        assert plan.servers[0].action == "none"
        assert plan.servers[0].reason == f"{count - 1} starts in a row have failed, the last time with exit code 1"
        assert [item.code for item in plan.findings] == [code]
    else:
        assert plan.servers[0].action == "wait"


def test_a_row_shows_what_a_job_is_doing():
    host = Host()
    host.converge({"chat": server()})
    host.locked.add("chat")
    host.jobs["chat"] = {"job": "j", "offset": 0, "done": False, "phase": {"phase": "loading weights", "percent": 40}}
    specs = spec.load({"chat": server()})
    seen = observation.Observation.parse(host.observe(observation.query(specs, "/s")))
    (row,) = status.rows("gpu1", "", specs, host.plan({"chat": server()}), seen)
    assert row["phase"] == "loading weights 40 %" and row["verdict"] == "loading"


def test_a_paused_server_is_named_with_what_continues_it(host):
    """Its log says nothing about it, and no converge takes back what somebody did on purpose."""
    host.containers["cortex-vllm-chat"]["state"] = {"Paused": True, "Status": "paused"}
    plan = looked(host, restart_when_hung=True)
    assert (plan.servers[0].action, plan.servers[0].state) == ("none", "failed")
    (finding,) = plan.findings
    assert finding.code == "server.paused" and finding.message.startswith("it is paused")
    assert "docker unpause cortex-vllm-chat" in finding.fix and "docker logs" not in finding.fix
    seen = observation.Observation.parse(host.observe(observation.query(spec.load({"chat": server()}), "/s")))
    (row,) = status.rows("gpu1", "", spec.load({"chat": server()}), plan, seen)
    assert (row["state"], row["verdict"]) == ("paused", "paused") and "docker unpause" in row["trouble"]
    assert looked(host, engine_args={"max_model_len": 99}).servers[0].action == "replace"
