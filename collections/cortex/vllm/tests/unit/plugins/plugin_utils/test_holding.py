# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person wants of a fleet that runs: restarts, holds of hosts and GPUs, plans that were read before."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import plan_files, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import GPUS, Host, server

LATER, EARLIER = "2100-01-01", "2020-01-01"


@pytest.fixture
def host():
    return Host()


def holds(*written):
    return {"holds": spec.load_holds(list(written))}


def actions(plan):
    return {item.name: item.action for item in plan.servers}


def codes(plan):
    return [finding.code for finding in plan.findings]


# -- restart


def test_restart_takes_what_is_there_and_nothing_new(host):
    host.converge({"chat": server()})
    changed = {"chat": server(engine_args={"max_model_len": 4096})}
    plan = host.plan(changed, restart=True)
    assert actions(plan) == {"chat": "restart"} and plan.disrupts == ["chat"]
    assert "body" not in plan.request("j")["orders"]["chat"]
    assert actions(host.plan(changed)) == {"chat": "replace"}


def test_a_restart_removes_nobody(host):
    """`vllm_prune: remove` may stand in an inventory for ever; who restarts servers did not ask for that."""
    host.converge({"chat": server(), "old": server(server_port=8001)})
    plan = host.plan({"chat": server()}, prune="remove", restart=True)
    assert actions(plan) == {"chat": "restart", "old": "none"} and "server.undeclared" in codes(plan)
    assert actions(host.plan({"chat": server()}, prune="remove"))["old"] == "remove"


def test_restart_starts_what_has_ended_and_creates_nothing(host):
    host.converge({"chat": server()})
    host.containers["cortex-vllm-chat"]["state"] = {"running": False, "ExitCode": 1}
    plan = host.plan({"chat": server(), "new": server(server_port=8001)}, restart=True)
    assert actions(plan) == {"chat": "start", "new": "none"}


def test_restart_leaves_alone_what_is_declared_stopped(host):
    host.converge({"chat": server()})
    assert actions(host.plan({"chat": server(state="stopped")}, restart=True)) == {"chat": "none"}


# -- holds


def test_a_held_host_is_left_alone_whatever_is_declared(host):
    host.converge({"chat": server(), "old": server(server_port=8001)})
    declared = {"chat": server(engine_args={"max_model_len": 5}), "new": server(server_port=8002)}
    plan = host.plan(declared, prune="remove", **holds({"reason": "memory test", "until": LATER}))
    assert set(actions(plan).values()) == {"held"} and not plan.changed
    assert "memory test" in plan.server("new").reason
    assert host.plan(declared, state_override="stopped", **holds({"reason": "x"})).changed is False


def test_a_hold_that_is_over_is_told_and_holds_nothing(host):
    plan = host.plan({"chat": server()}, **holds({"reason": "memory test", "until": EARLIER}))
    assert actions(plan) == {"chat": "create"}
    assert codes(plan).count("server.hold-over") == 1


def test_a_held_gpu_is_not_given_away_and_its_server_stays(host):
    host.converge({"first": server(gpus=1)})
    assert host.plan({"first": server(gpus=1)}).server("first").gpus == {GPUS[0]}
    held = holds({"reason": "broken fan", "gpus": [0, 1]})
    declared = {
        "first": server(gpus=1, engine_args={"max_model_len": 5}),
        "second": server(gpus=1, server_port=8001),
        "third": server(gpus=[1], server_port=8002),
        "fourth": server(gpus=[3], server_port=8003),
    }
    plan = host.plan(declared, **held)
    assert actions(plan) == {"first": "held", "second": "create", "third": "held", "fourth": "create"}
    assert plan.server("second").gpus == {GPUS[2]}
    assert f"GPU {GPUS[1]} is held" in plan.server("third").reason


def test_a_held_gpu_that_is_gone_is_only_told(host):
    plan = host.plan({"chat": server()}, **holds({"reason": "sent back", "gpus": [7]}))
    assert actions(plan) == {"chat": "create"}
    assert [item.severity for item in plan.findings if item.code == "gpu.absent"] == ["warning"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("all of it", "neither a list nor a mapping"),
        ([{}], "vllm_holds[0].reason"),
        ([{"reason": "x", "until": "tomorrow"}], "vllm_holds[0].until"),
        ([{"reason": "x", "gpus": 2}], "vllm_holds[0].gpus"),
        ([{"reason": "x", "gpu": [2]}], "gpus"),
        (["x"], "vllm_holds[0]"),
    ],
)
def test_a_wrong_hold_is_named(written, said):
    with pytest.raises(FindingsError) as refused:
        spec.load_holds(written)
    assert said in str(refused.value)


# -- a plan that was saved


def saved(host, declared, **options):
    return json.loads(json.dumps(host.plan(declared, **options).result()["servers"]))


def test_a_saved_plan_is_carried_out_as_it_was(host):
    host.converge({"chat": server(secrets={"api_key": "sk-1"})})
    declared = {
        "chat": server(secrets={"api_key": "sk-1"}, engine_args={"max_model_len": 4096}),
        "new": server(server_port=8001, gpus=1, secrets={"api_key": "sk-2"}),
    }
    plan = host.plan(declared, saved=saved(host, declared))
    assert actions(plan) == {"chat": "replace", "new": "create"}
    assert plan.refused == []
    # Also when a part of it has been done, or is left to a later task.
    partly = host.plan(declared, saved=saved(host, declared), steps=["start"])
    assert actions(partly) == {"chat": "deferred", "new": "create"} and partly.refused == []
    before = saved(host, declared)
    host.apply(partly)
    assert host.plan(declared, saved=before).refused == []


@pytest.mark.parametrize("what", ["declaration", "secret", "host", "another server", "nothing planned"])
def test_what_changed_since_is_refused(host, what):
    first = {"chat": server(secrets={"api_key": "sk-1"})}
    host.converge(first)
    declared = {"chat": server(secrets={"api_key": "sk-1"}, engine_args={"max_model_len": 4096})}
    then = saved(host, first if what == "nothing planned" else declared)
    if what == "declaration":
        declared["chat"]["engine_args"]["max_model_len"] = 2048
    elif what == "secret":
        declared["chat"]["secrets"]["api_key"] = "sk-2"
    elif what == "host":
        host.containers["cortex-vllm-chat"]["id"] = host.fresh_id()
    elif what == "another server":
        declared["new"] = server(server_port=8001)
    plan = host.plan(declared, saved=then)
    assert [item.code for item in plan.refused] == ["plan.changed"]
    assert "sk-" not in str(plan.refused)


def test_nothing_to_do_needs_no_plan(host):
    host.converge({"chat": server()})
    assert host.plan({"chat": server()}, saved={}).refused == []


def test_a_plan_file_is_read_for_its_host(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"schema": 1, "hosts": {"a": {"servers": {"chat": {"action": "create"}}}}}))
    assert plan_files.saved_plan(str(path), "a") == {"chat": {"action": "create"}}
    assert plan_files.saved_plan(str(path), "b") == {}


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"schema": 2, "hosts": {}}', '{"schema": 1, "hosts": []}', "\0"]
)
def test_an_unreadable_plan_file_is_named(tmp_path, text):
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FindingsError) as refused:
        plan_files.saved_plan(str(path), "a")
    assert [item.code for item in refused.value.findings] == ["plan.unreadable"]
    assert str(path) in str(refused.value)


def test_a_held_server_whose_change_was_cut_off_is_more_than_a_remark(host):
    """It may be down, between the old container and the new one, and nobody ends that while it is held."""
    host.converge({"chat": server()})
    host.states["chat"]["transaction"] = {"job": "dead", "action": "replace", "step": "stopped"}
    plan = host.plan({"chat": server()}, **holds({"reason": "its disk is copied"}))
    (finding,) = plan.findings
    assert actions(plan) == {"chat": "held"} and plan.servers[0].state == "interrupted"
    assert (finding.code, finding.severity) == ("server.held", "warning")
    assert "an earlier replace was cut off at step stopped, and stays so" in finding.message
    assert actions(host.plan({"chat": server()})) == {"chat": "recover"}
