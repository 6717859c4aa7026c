# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner: every state of a server, and what several servers of a host do to each other."""

from __future__ import annotations

import copy
import json
import time

import pytest

from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import (
    GPUS,
    IMAGE,
    NOW,
    Host,
    image_entry,
    server,
)


@pytest.fixture
def host():
    return Host()


def codes(plan, severity=None):
    return [finding.code for finding in plan.findings if severity in (None, finding.severity)]


def container(host, name="chat"):
    return host.containers[f"cortex-vllm-{name}"]


def by_hand(host, change, name="chat"):
    """Somebody removed the container and made another one that is different."""
    item = container(host, name)
    item["body"] = copy.deepcopy(item["body"])
    item["id"] = host.fresh_id()
    change(item["body"])


# -- creation and idempotence


def test_new_server_is_created_and_then_nothing_is_left_to_do(host):
    declared = {"chat": server(gpus=1, secrets={"api_key": "sk-very-secret"}, memory="64g", cpus=8)}
    plan = host.converge(declared)
    assert [item.action for item in plan.servers] == ["create"]
    assert (plan.changed, plan.starts, plan.disrupts) == (True, ["chat"], [])
    order = plan.request("j")["orders"]["chat"]
    assert order["expected"] == {"container_id": None, "state_hash": ""}
    assert order["body"]["Image"].startswith("sha256:")
    assert plan.secrets() == {"chat": {"VLLM_API_KEY": "sk-very-secret"}}
    for _again in range(100):
        again = host.plan(declared)
        assert not again.changed
        assert again.request("j")["orders"] == {}
        assert again.servers[0].differences == []
        assert again.servers[0].state == "ready"


def test_no_secret_is_anywhere_but_in_secrets(host):
    declared = {"chat": server(secrets={"api_key": "sk-very-secret"})}
    first = host.converge(declared)
    second = host.plan({"chat": server(secrets={"api_key": "sk-other-secret"})})
    for plan in (first, second):
        said = json.dumps([plan.request("j"), plan.result(), plan.diff()]) + repr(plan.servers)
        assert "very-secret" not in said
        assert "other-secret" not in said


def test_record_holds_what_the_next_plan_needs(host):
    host.converge({"chat": server()}, collection_version="1.2.3")
    committed = host.states["chat"]["committed"]
    assert committed["image"] == IMAGE
    assert committed["image_id"] == host.images[IMAGE]["id"]
    assert committed["declaration"]["model"] == "/models/qwen"
    assert committed["body"]["Labels"]["cortex.vllm.version"] == "1.2.3"
    # Upgrading the collection restarts nothing.
    assert not host.plan({"chat": server()}, collection_version="2.0.0").changed


# -- declared differences


@pytest.mark.parametrize(
    ("change", "field", "action"),
    [
        ({"engine_args": {"max_model_len": 4096}}, "engine_args.max_model_len", "replace"),
        ({"env": {"A": "b"}}, "env.A", "replace"),
        ({"server_port": 8001}, "server_port", "replace"),
        ({"gpus": [1]}, "gpus", "replace"),
        ({"shm_size": "4g"}, "shm_size", "replace"),
        ({"user": "1000:1000"}, "user", "replace"),
        ({"secrets": {"api_key": "new"}}, "secrets.VLLM_API_KEY", "replace"),
        ({"labels": {"team": "x"}}, "labels.team", "replace"),
        ({"networks": ["backend"]}, "networks", "replace"),
        ({"restart_policy": "always"}, "restart_policy", "update"),
        ({"memory": "8g"}, "memory", "update"),
        ({"cpus": 2.5}, "cpus", "update"),
        ({"start_timeout": 99}, "start_timeout", "none"),
        ({"accept": ["gpu.foreign"]}, "accept", "none"),
        ({"pull": "never"}, "pull", "none"),
    ],
)
def test_a_declared_change_is_named_and_takes_what_it_takes(host, change, field, action):
    host.converge({"chat": server(memory="4g", cpus=1)})
    declared = {"chat": server(**{"memory": "4g", "cpus": 1, **change})}
    plan = host.plan(declared)
    assert plan.servers[0].action == action
    assert field in [item.field for item in plan.servers[0].differences]
    if action != "none":
        assert "declared" in plan.servers[0].classes
        host.apply(plan)
        after = host.plan(declared)
        assert not after.changed
        assert after.servers[0].differences == []


def test_update_in_place_touches_only_what_changed(host):
    host.converge({"chat": server(memory="4g")})
    plan = host.plan({"chat": server(memory="8g", restart_policy="always")})
    order = plan.request("j")["orders"]["chat"]
    assert order["action"] == "update"
    assert order["update"] == {
        "Memory": 8 << 30,
        "MemorySwap": 8 << 30,
        "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    }
    assert plan.starts == [] and plan.disrupts == [] and plan.changed


def test_a_limit_that_is_taken_away_needs_a_new_container(host):
    host.converge({"chat": server(memory="4g")})
    assert host.plan({"chat": server()}).servers[0].action == "replace"


def test_rotation_of_a_secret_is_noticed_and_hidden(host):
    host.converge({"chat": server(secrets={"api_key": "one"})})
    plan = host.plan({"chat": server(secrets={"api_key": "two"})})
    assert plan.disrupts == ["chat"]
    assert "secrets.VLLM_API_KEY: changed" in plan.diff()["after"]


def test_diff_reads_like_yaml(host):
    host.converge({"chat": server(engine_args={"max_model_len": 8192})})
    plan = host.plan({"chat": server(engine_args={"max_model_len": 4096, "dtype": "auto"})})
    assert plan.diff() == {
        "before": "chat:\n  engine_args.max_model_len: 8192\n",
        "after": "chat:  # replace\n  engine_args.dtype: auto\n  engine_args.max_model_len: 4096\n",
    }


# -- drift and renderer


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda body: body["Cmd"].append("--trust-remote-code"), "arguments.--trust-remote-code"),
        (lambda body: body["Env"].append("X=1"), "env.X"),
        (lambda body: body["HostConfig"].update(ShmSize=64 << 20), "shm_size"),
        (lambda body: body["Labels"].update(team="y"), "labels.team"),
        (lambda body: body["HostConfig"].update(Privileged=True), "privileged"),
    ],
)
def test_a_change_by_hand_is_drift_and_named(host, change, field):
    host.converge({"chat": server()})
    by_hand(host, change)
    plan = host.plan({"chat": server()})
    assert plan.servers[0].action == "replace"
    assert [item.field for item in plan.servers[0].differences] == [field]
    assert plan.servers[0].classes == ["drift"]
    assert field in plan.servers[0].reason
    assert field in plan.diff()["before"] + plan.diff()["after"]


def test_limits_changed_by_hand_are_put_back_in_place(host):
    host.converge({"chat": server()})
    container(host)["restart"] = "no"
    plan = host.plan({"chat": server()})
    assert plan.servers[0].action == "update"
    assert plan.servers[0].classes == ["drift", "in_place"]
    host.apply(plan)
    assert not host.plan({"chat": server()}).changed


def test_an_engine_that_reports_otherwise_does_not_replace_for_ever(host):
    host.converge({"chat": server()})
    # The same container (same id), reported in a way that nobody has seen yet.
    container(host)["body"] = {**container(host)["body"], "User": "root-in-another-spelling"}
    plan = host.plan({"chat": server()})
    assert not plan.changed
    assert [(item.field, item.kind) for item in plan.servers[0].differences] == [("user", "cosmetic")]


def test_what_a_newer_collection_writes_otherwise_waits_for_the_next_declared_change(host):
    host.converge({"chat": server()})
    # An older collection had made and recorded it without a health check.
    for body in (host.states["chat"]["committed"]["body"], container(host)["body"]):
        body.pop("Healthcheck", None)
    plan = host.plan({"chat": server()})
    assert not plan.changed
    assert plan.servers[0].classes == ["renderer"]
    assert plan.diff() == {"before": "", "after": ""}
    assert host.plan({"chat": server()}, update=True).servers[0].action == "replace"
    changed = {"chat": server(engine_args={"max_model_len": 100})}
    host.converge(changed)
    assert "Healthcheck" in container(host)["body"]
    assert host.plan(changed).servers[0].differences == []


def test_a_field_that_a_newer_collection_adds_restarts_nothing(host):
    host.converge({"chat": server()})
    record = host.states["chat"]["committed"]
    del record["declaration"]["offline"], record["declaration"]["stop_timeout"]
    record["declaration_hash"] = "of an older collection"
    assert not host.plan({"chat": server()}).changed
    # What that newer collection also writes otherwise is told all the same.
    for body in (record["body"], container(host)["body"]):
        body.pop("Healthcheck", None)
    plan = host.plan({"chat": server()})
    assert not plan.changed
    assert plan.servers[0].classes == ["renderer"]


# -- images


def test_an_image_is_pinned_until_an_update_is_asked(host):
    host.converge({"chat": server()})
    before = container(host)["image"]
    host.images = {IMAGE: image_entry("moved"), before["id"]: before}
    plan = host.plan({"chat": server()})
    assert not plan.changed
    assert codes(plan, "info") == ["image.moved"]
    updated = host.converge({"chat": server()}, update=True)
    assert updated.disrupts == ["chat"]
    assert [item.field for item in updated.servers[0].differences if item.cause == "resolved"] == ["image"]
    assert container(host)["image"]["id"] == host.images[IMAGE]["id"]
    assert codes(host.plan({"chat": server()})) == []


def test_missing_image_is_needed_or_refused(host):
    host.images = {}
    plan = host.plan({"chat": server()})
    assert plan.needs == {"images": [IMAGE]}
    assert plan.servers[0].action == "create" and plan.request("j")["orders"] == {}
    assert not plan.refused
    refused = host.plan({"chat": server(pull="never")})
    assert codes(refused, "error") == ["image.absent"]
    assert "docker load" in refused.refused[0].fix
    assert refused.needs == {"images": []}


def test_another_image_that_is_not_there_yet_is_planned_before_it_is_fetched(host):
    host.converge({"chat": server()})
    plan = host.plan({"chat": server(image="vllm/vllm-openai:v0.33.0")})
    assert plan.servers[0].action == "replace" and plan.changed
    assert plan.needs == {"images": ["vllm/vllm-openai:v0.33.0"]}
    assert plan.request("j")["orders"] == {}


# -- unchanged but unwell


def test_exited_is_started_with_its_own_record(host):
    host.converge({"chat": server()})
    container(host)["state"] = {"running": False, "ExitCode": 0}
    plan = host.plan({"chat": server()})
    assert plan.starts == ["chat"] and plan.disrupts == []
    order = plan.request("j")["orders"]["chat"]
    assert order["action"] == "start"
    assert "record" not in order and "body" not in order
    assert "exited with code 0" in plan.servers[0].reason


@pytest.mark.parametrize(
    ("health", "started", "state", "action", "code"),
    [
        ({"http": 200, "models": ["chat"]}, None, "ready", "none", None),
        ({"http": None, "error": "connection refused"}, None, "loading", "wait", None),
        ({"http": None, "error": "timed out"}, "2020-01-01T00:00:00Z", "failed", "none", "server.hung"),
        ({"http": 503, "models": None}, None, "failed", "none", "server.engine-dead"),
        ({"http": 500}, None, "failed", "none", "server.engine-dead"),
        ({"http": 200, "models": ["other"]}, None, "failed", "none", "server.other-model"),
    ],
)
def test_health_of_an_unchanged_server(host, health, started, state, action, code):
    host.converge({"chat": server()})
    host.health["chat"] = health
    if started:
        container(host)["state"] = {"StartedAt": started}
    plan = host.plan({"chat": server()})
    assert (plan.servers[0].state, plan.servers[0].action) == (state, action)
    assert codes(plan) == ([code] if code else [])
    assert not plan.refused and not plan.changed


def test_paused_and_restarting(host):
    host.converge({"chat": server()})
    container(host)["state"] = {"Paused": True, "Status": "paused"}
    plan = host.plan({"chat": server()})
    assert plan.servers[0].state == "failed" and codes(plan) == ["server.paused"]
    container(host)["state"] = {"Restarting": True, "ExitCode": 1}
    plan = host.plan({"chat": server()})
    assert (plan.servers[0].state, plan.servers[0].action) == ("loading", "wait")


def test_dead_is_replaced_and_gone_is_created_again(host):
    host.converge({"chat": server()})
    container(host)["state"] = {"Dead": True, "running": False}
    assert host.plan({"chat": server()}).servers[0].action == "replace"
    del host.containers["cortex-vllm-chat"]
    plan = host.plan({"chat": server()})
    assert plan.servers[0].action == "create" and "gone" in plan.servers[0].reason


def test_without_a_record_it_is_replaced(host):
    host.converge({"chat": server()})
    host.states.clear()
    assert host.plan({"chat": server()}).servers[0].action == "replace"


def test_unreadable_record_refuses_a_change(host):
    host.problems["chat"] = "Expecting value: line 1"
    plan = host.plan({"chat": server()})
    assert codes(plan, "error") == ["state.unreadable"]


# -- jobs, locks, transactions, holds


def test_a_live_job_is_followed(host):
    host.converge({"chat": server()})
    host.locked.add("chat")
    host.jobs["chat"] = {"job": "abc", "offset": 7, "done": False, "result": None}
    plan = host.plan({"chat": server(engine_args={"max_model_len": 5})})
    assert plan.servers[0].action == "follow" and not plan.changed
    assert plan.follows == [{"server": "chat", "job": "abc", "offset": 0}]
    assert plan.request("j")["orders"] == {}


def test_a_lock_without_a_job_is_said(host):
    host.locked.add("chat")
    plan = host.plan({"chat": server()})
    assert "server.locked" in codes(plan, "warning")
    assert plan.servers[0].action == "create"


def test_an_unfinished_transaction_is_recovered(host):
    host.converge({"chat": server()})
    host.states["chat"]["transaction"] = {"job": "dead", "action": "replace", "step": "starting"}
    plan = host.plan({"chat": server()})
    assert plan.disrupts == ["chat"]
    assert plan.request("j")["orders"]["chat"]["action"] == "recover"
    assert plan.servers[0].state == "interrupted"


def test_held_is_skipped_and_said_until_it_is_over(host):
    host.converge({"chat": server()})
    held = {"reason": "benchmark", "until": "2027-01-15"}
    declared = {"chat": server(engine_args={"max_model_len": 5}, held=held)}
    plan = host.plan(declared)
    assert plan.servers[0].action == "held" and not plan.changed
    assert "benchmark" in plan.servers[0].reason
    assert codes(plan) == ["server.held"]
    host.host["time"] = NOW + 3 * 86400
    plan = host.plan(declared)
    assert plan.servers[0].action == "replace"
    assert "server.hold-over" in codes(plan, "warning")


# -- states, prune, only, steps


@pytest.mark.parametrize(("state", "action"), [("stopped", "stop"), ("absent", "remove")])
def test_stopped_and_absent(host, state, action):
    host.converge({"chat": server()})
    declared = {"chat": server(state=state)}
    plan = host.converge(declared)
    assert plan.servers[0].action == action and plan.disrupts == ["chat"]
    assert not host.plan(declared).changed
    back = host.converge({"chat": server()})
    assert back.starts == ["chat"]
    assert not host.plan({"chat": server()}).changed


def test_state_override_and_removal_of_files(host):
    host.converge({"chat": server()})
    order = host.plan({"chat": server()}, state_override="absent").request("j")["orders"]["chat"]
    assert order["action"] == "remove" and order["remove_state"]


@pytest.mark.parametrize(
    ("prune", "action", "code"),
    [("ignore", None, None), ("report", "none", "server.undeclared"), ("remove", "remove", None)],
)
def test_prune(host, prune, action, code):
    host.converge({"chat": server(), "old": server(server_port=8001)})
    plan = host.plan({"chat": server()}, prune=prune)
    assert [item.action for item in plan.servers[1:]] == ([action] if action else [])
    assert codes(plan) == ([code] if code else [])
    assert plan.changed == (action == "remove")


def test_only_sees_siblings_and_touches_none_of_them(host):
    declared = {"chat": server(), "embed": server(server_port=8001)}
    plan = host.plan(declared, only=["chat"])
    assert [item.name for item in plan.servers] == ["chat"]
    host.converge(declared)
    plan = host.plan({"chat": server(), "old": server(server_port=8002)}, only=["chat"], prune="remove")
    assert not plan.changed
    unknown = host.plan(declared, only=["chatt"])
    assert codes(unknown, "info") == ["only.unknown"]
    assert "chat" in unknown.findings[0].fix and unknown.servers == []


def test_an_action_that_is_not_among_the_steps_is_deferred(host):
    host.converge({"chat": server()})
    declared = {"chat": server(engine_args={"max_model_len": 5}), "new": server(server_port=8001)}
    plan = host.plan(declared, steps=["prefetch", "start"])
    assert [(item.name, item.action, item.deferred) for item in plan.servers] == [
        ("chat", "deferred", "replace"),
        ("new", "create", None),
    ]
    assert list(plan.request("j")["orders"]) == ["new"]
    assert plan.disrupts == []


# -- findings


def test_an_error_refuses_a_change_and_only_warns_about_a_healthy_server(host):
    host.models["/models/qwen"] = {"status": "complete", "bytes": 1, "problems": []}
    host.converge({"chat": server()})
    problem = {
        "code": "model.shard-missing",
        "message": "shard 2 of 2 is missing",
        "path": "/models/qwen",
        "fix": "Fetch it.",
    }
    host.models["/models/qwen"] = {"status": "incomplete", "problems": [problem]}
    plan = host.plan({"chat": server()})
    assert not plan.refused and codes(plan, "warning") == ["model.shard-missing"]
    plan = host.plan({"chat": server(engine_args={"max_model_len": 5})})
    assert codes(plan.server("chat"), "error") == ["model.shard-missing"]
    assert plan.refused[0].server == "chat"
    accepted = host.plan({"chat": server(engine_args={"max_model_len": 5}, accept=["model.shard-missing"])})
    assert not accepted.refused and codes(accepted, "warning") == ["model.shard-missing"]


def test_a_full_disk_refuses_what_writes_and_nothing_else(host):
    host.converge({"chat": server()})
    host.host["disk"] = {"/var/lib/cortex-vllm": {"free": 1, "total": 10}}
    assert codes(host.plan({"chat": server()}), "warning") == ["disk.full"]
    assert not host.plan({"chat": server(state="stopped")}).refused
    assert codes(host.plan({"chat": server(), "new": server(server_port=8001)}), "error") == ["disk.full"]
    accept = ["disk.full"]
    both = {"chat": server(accept=accept), "new": server(server_port=8001, accept=accept)}
    assert not host.plan(both).refused
    host.states["chat"]["transaction"] = {"job": "dead", "action": "replace", "step": "stopped"}
    assert not host.plan({"chat": server()}).refused


def test_without_an_engine_there_is_one_error(host):
    host.engine = {"status": "denied"}
    plan = host.plan({"chat": server(), "embed": server(server_port=8001)})
    assert codes(plan) == ["engine.denied"]
    assert "group docker" in plan.refused[0].fix
    assert plan.request("j")["orders"] == {}


def test_a_foreign_container_with_our_name_is_never_touched(host):
    host.converge({"chat": server()})
    container(host)["body"] = {**container(host)["body"], "Labels": {}}
    plan = host.plan({"chat": server(engine_args={"max_model_len": 5})})
    assert codes(plan, "error") == ["container.foreign"]
    assert plan.request("j")["orders"] == {}
    assert codes(host.plan({"chat": server(state="absent")}), "warning") == ["container.foreign"]


def test_strays_with_our_label_are_told(host):
    host.converge({"chat": server()})
    host.containers["cortex-vllm-chat-old"] = {**container(host), "id": host.fresh_id()}
    assert codes(host.plan({"chat": server()})) == ["container.stray"]


# -- ports and GPUs


def test_port_taken_by_whom(host):
    host.ports[8000] = {"address": "0.0.0.0", "pid": 77, "process": "nginx", "container": None}
    plan = host.plan({"chat": server()})
    assert codes(plan, "error") == ["port.taken"]
    assert "nginx (pid 77)" in str(plan.refused[0])
    assert plan.refused[0].field == "vllm_servers[chat].server_port"


def test_a_port_that_the_engine_keeps_for_nobody_is_freed_by_the_job_unless_one_of_us_runs(host):
    host.ports[8000] = {"address": "0.0.0.0", "pid": 77, "process": "docker-proxy", "container": None}
    plan = host.plan({"chat": server()})
    assert codes(plan, "warning") == ["port.kept"] and not plan.refused
    assert plan.request("j")["orders"]["chat"]["action"] == "create"
    host.converge({"other": server(server_port=8001)})
    plan = host.plan({"other": server(server_port=8001), "chat": server()})
    assert codes(plan, "error") == ["port.kept"]
    assert "it runs cortex-vllm-other" in plan.refused[0].fix


def test_a_port_that_a_removed_server_gives_up_is_taken_over(host):
    host.converge({"old": server()})
    plan = host.plan({"chat": server()}, prune="remove")
    assert not plan.refused
    assert plan.request("j")["groups"] == [["old", "chat"]]
    assert codes(host.plan({"chat": server()}), "error") == ["port.taken"]


def test_two_servers_that_swap_ports_are_refused(host):
    host.converge({"a": server(), "b": server(server_port=8001)})
    plan = host.plan({"a": server(server_port=8001), "b": server()})
    assert codes(plan, "error") == ["port.ring", "port.ring"]


def test_counts_keep_their_gpus_and_named_ones_come_first(host):
    host.converge({"a": server(gpus=1)})
    assert host.states["a"]["committed"]["body"]["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == [GPUS[0]]
    both = {"a": server(gpus=1), "b": server(gpus=2, server_port=8001)}
    plan = host.converge(both)
    assert [(item.name, item.action) for item in plan.servers] == [("a", "none"), ("b", "create")]
    assert plan.server("b").facts["gpus"] == [GPUS[1], GPUS[2]]
    assert not host.plan(both).changed
    taken = host.plan({**both, "c": server(gpus=2, server_port=8002)})
    assert codes(taken, "error") == ["gpu.not-enough"]
    assert taken.refused[0].server == "c"


def test_one_gpu_for_two_servers_needs_consent_and_room(host):
    small = {"gpu_memory_utilization": 0.4}
    accept = ["gpu.shared"]
    declared = {
        "a": server(gpus=[0], engine_args=small, accept=accept),
        "b": server(gpus=[GPUS[0]], engine_args=small, server_port=8001),
    }
    assert codes(host.plan(declared), "error") == ["gpu.shared"]
    declared["b"]["accept"] = accept
    plan = host.plan(declared)
    assert not plan.refused
    assert plan.request("j")["groups"] == [["a", "b"]]
    declared["b"]["engine_args"] = {"gpu_memory_utilization": 0.7}
    assert codes(host.plan(declared), "error") == ["gpu.overcommitted"]


def test_servers_on_different_gpus_start_side_by_side(host):
    plan = host.plan({"a": server(gpus=[0]), "b": server(gpus=[1], server_port=8001), "c": server(server_port=8002)})
    assert plan.request("j")["groups"] == [["a"], ["b"], ["c"]]
    assert plan.request("j")["orders"]["a"]["gpu_locks"] == [GPUS[0]]


def test_a_gpu_that_moves_ties_both_servers_together(host):
    host.converge({"a": server(gpus=[0]), "b": server(gpus=[1], server_port=8001)})
    plan = host.plan({"a": server(gpus=[2]), "b": server(gpus=[0], server_port=8001)})
    assert plan.request("j")["groups"] == [["a", "b"]]


def test_a_gpu_that_vanished_warns_about_a_healthy_server_and_refuses_its_change(host):
    host.converge({"chat": server(gpus=[3])})
    host.devices = host.devices[:2]
    plan = host.plan({"chat": server(gpus=[3])})
    assert not plan.refused and not plan.changed and codes(plan, "warning") == ["gpu.absent"]
    plan = host.plan({"chat": server(gpus=[3], engine_args={"max_model_len": 5})})
    assert codes(plan, "error") == ["gpu.absent"] and plan.server("chat").action == "replace"
    assert plan.request("j")["orders"] == {}


def test_a_container_without_a_model(host):
    from ansible_collections.cortex.vllm.plugins.plugin_utils import observation, planning, spec

    host.images["busybox:1"] = image_entry("busybox", Entrypoint=None, Cmd=["sh"])
    box = spec.load_container({"name": "box", "image": "busybox:1", "command": ["sleep", "9"], "ports": [8080]})

    def plan():
        answer = host.observe(observation.query([box], "/var/lib/cortex-vllm"))
        return planning.plan([box], observation.Observation.parse(answer), planning.Options())

    host.health["box"] = None
    first = plan()
    assert first.starts == ["box"] and not first.refused
    host.apply(first)
    assert not plan().changed
    assert plan().servers[0].state == "ready"


def test_restart_when_hung_is_declared(host):
    declared = {"chat": server(restart_when_hung=True)}
    host.converge(declared)
    host.health["chat"] = {"http": 503, "models": None}
    plan = host.plan(declared)
    assert plan.disrupts == ["chat"] and plan.servers[0].action == "restart"
    assert plan.diff() == {
        "before": "chat:\n  state: failed\n",
        "after": "chat:  # restart\n  state: restarted, ready\n",
    }


# -- speed


def test_fifty_unchanged_servers_are_planned_fast(host):
    declared = {f"s{index}": server(server_port=9000 + index) for index in range(50)}
    host.converge(declared)
    from ansible_collections.cortex.vllm.plugins.plugin_utils import observation, planning, spec

    specs = spec.load(declared)
    answer = host.observe(observation.query(specs, "/var/lib/cortex-vllm"))
    begin = time.process_time()
    plan = planning.plan(specs, observation.Observation.parse(answer), planning.Options())
    seconds = time.process_time() - begin
    assert not plan.changed
    assert seconds < 50 * 0.02, f"{seconds:.2f} s"


# -- podman


@pytest.fixture
def podman(host):
    host.engine = {"status": "ok", "name": "podman", "version": "4.3.1", "runtimes": ["crun"]}
    return host


def test_podman_gives_a_container_its_policy_at_once(podman):
    """It cannot be changed later, and only `always` is started at boot (podman-restart.service)."""
    plan = podman.plan({"chat": server()})
    order = plan.servers[0].order
    assert order["body"]["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert order["verified_restart_policy"]["Name"] == "always"
    never = podman.plan({"chat": server(restart_policy="no")}).servers[0].order
    assert never["body"]["HostConfig"]["RestartPolicy"]["Name"] == "no"


def test_docker_gives_it_once_it_is_verified(host):
    order = host.plan({"chat": server()}).servers[0].order
    assert order["body"]["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert order["verified_restart_policy"]["Name"] == "unless-stopped"


@pytest.mark.parametrize(("engine", "action"), [("docker", "update"), ("podman", "replace")], ids=["docker", "podman"])
def test_limits_change_in_place_where_the_engine_can(host, engine, action):
    host.engine["name"] = engine
    host.converge({"chat": server(memory="8g")})
    assert host.plan({"chat": server(memory="9g")}).servers[0].action == action


# -- what killed jobs leave behind


def test_a_container_that_was_made_and_never_noted_is_cleaned_up(host):
    """Killed between the creation of the new container and its note: nothing else would ever remove it."""
    declared = {"chat": server()}
    host.converge(declared)
    left = {**copy.deepcopy(container(host)), "id": host.fresh_id(), "state": {"running": False, "Status": "created"}}
    host.containers["cortex-vllm-chat.new"] = left
    plan = host.plan(declared)
    assert (plan.servers[0].action, plan.servers[0].state) == ("recover", "ready")
    assert "cortex-vllm-chat.new" in plan.servers[0].reason
    assert host.plan({"chat": server(env={"A": "b"})}).servers[0].action == "replace", "which removes it too"
    host.locked.add("chat")
    assert host.plan(declared).servers[0].action == "none", "somebody may be making it just now"
    host.locked.clear()
    left["body"]["Labels"] = {}
    assert host.plan(declared).servers[0].action == "none", "a stranger's is not ours to remove"


def test_a_restart_is_done_once_however_often_the_host_is_looked_at(host):
    """One server of several had to be recovered first: the host is looked at again, and the others have restarted."""
    declared = {"chat": server(), "embed": server(server_port=8001)}
    host.converge(declared)
    plan = host.plan(declared, restart=True, restarted=["chat"])
    assert [item.action for item in plan.servers] == ["none", "restart"]
    assert plan.servers[0].reason == "it was restarted just now"
