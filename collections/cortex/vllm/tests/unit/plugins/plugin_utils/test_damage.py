# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a server that somebody changed on its host: mended without a restart where it can be, told where not."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import Host, server

DECLARED = {"chat": server(gpus=1, secrets={"api_key": "sk-very-secret"})}
HUNG = {"http": None, "error": "refused", "models": None, "seconds": 0.01}


@pytest.fixture
def host():
    found = Host()
    found.converge(DECLARED)
    return found


def harm(host, path="/launch.sh", problem="edited"):
    generation = host.states["chat"]["committed"]["generation"]
    host.damage["chat"] = [{"path": f"generations/{generation}{path}", "problem": problem}]


def another_collection(host):
    """The one that wrote the files rendered them otherwise: nobody can write them again as they were."""
    committed = host.states["chat"]["committed"]
    before, committed["generation"] = committed["generation"], "0ther9enerat"
    for body in (committed["body"], host.containers["cortex-vllm-chat"]["body"]):
        text = json.dumps(body).replace(before, "0ther9enerat")
        body.clear()
        body.update(json.loads(text))


def state(host, **fields):
    host.containers["cortex-vllm-chat"]["state"] = fields


def only(plan):
    (found,) = plan.servers
    return found


def test_an_edited_file_is_written_again_under_the_running_server(host):
    harm(host)
    plan = host.plan(DECLARED)
    chat = only(plan)
    assert (chat.action, chat.state) == ("update", "ready") and not plan.disrupts and not plan.findings
    assert [str(item) for item in chat.differences] == ["files.launch.sh: edited -> as written"]
    assert "files.launch.sh" in chat.reason
    order = plan.request("j")["orders"]["chat"]
    assert order["update"] == {} and order["gpu_locks"] == []
    assert order["generation"] == host.states["chat"]["committed"]["generation"]
    assert {item["path"] for item in order["files"]} >= {"launch.sh", "health.sh"}
    assert order["secret_names"] == ["VLLM_API_KEY"] and order["directories"]
    assert plan.secrets() == {"chat": {"VLLM_API_KEY": "sk-very-secret"}}
    assert "very-secret" not in json.dumps([plan.request("j"), plan.result(), plan.diff()])
    assert order["body"] == host.states["chat"]["committed"]["body"]


@pytest.mark.parametrize(
    ("path", "field"),
    [("", "files"), ("/secrets/VLLM_API_KEY", "files.secrets/VLLM_API_KEY"), ("/nccl.conf", "files.nccl.conf")],
)
def test_what_is_gone_is_named(host, path, field):
    harm(host, path, "missing")
    assert [item.field for item in only(host.plan(DECLARED)).differences] == [field]
    host.damage["chat"] = [{"path": "cache/abc", "problem": "missing"}]
    assert [item.field for item in only(host.plan(DECLARED)).differences] == ["directories.cache/abc"]


def test_a_stopped_server_gets_its_files_before_it_starts(host):
    """Docker would say that a bind source does not exist, and the diagnosis to create it by hand."""
    harm(host, "", "missing")
    state(host, running=False)
    plan = host.plan(DECLARED)
    assert only(plan).action == "start" and plan.request("j")["orders"]["chat"]["files"]
    assert plan.secrets()["chat"], "they are written again too"


def test_files_that_nobody_can_write_again_make_a_stopped_server_new(host):
    another_collection(host)
    state(host, running=False)
    assert only(host.plan(DECLARED)).action == "start", "it is as it was"
    harm(host, "", "missing")
    plan = host.plan(DECLARED)
    assert only(plan).action == "replace" and "files" in only(plan).reason
    assert not [item for item in plan.findings if item.code == "server.files"], "nothing is lost by it"


def test_a_healthy_server_is_not_replaced_for_it(host):
    another_collection(host)
    harm(host, "", "missing")
    plan = host.plan(DECLARED)
    assert only(plan).action == "none" and only(plan).state == "ready"
    (finding,) = [item for item in plan.findings if item.code == "server.files"]
    assert finding.severity == "warning" and "files (missing)" in finding.message and "update: true" in finding.fix
    assert only(host.plan(DECLARED, update=True)).action == "replace"


def test_a_restart_that_would_not_come_back_is_refused(host):
    harm(host, "", "missing")
    plan = host.plan(DECLARED, restart=True)
    assert only(plan).action == "restart" and plan.request("j")["orders"]["chat"]["files"] and not plan.refused
    another_collection(host)
    harm(host, "", "missing")
    assert [item.code for item in host.plan(DECLARED, restart=True).refused] == ["server.files"]


def test_a_change_says_that_there_may_be_no_way_back(host):
    harm(host, "", "missing")
    plan = host.plan({"chat": {**DECLARED["chat"], "env": {"A": "b"}}})
    assert only(plan).action == "replace" and not plan.refused
    (finding,) = [item for item in plan.findings if item.code == "server.files"]
    assert "may not start again" in finding.fix


def test_a_limit_is_changed_and_files_are_put_back_in_one(host):
    harm(host)
    plan = host.plan({"chat": {**DECLARED["chat"], "memory": "8g"}})
    order = plan.request("j")["orders"]["chat"]
    assert order["action"] == "update" and order["update"]["Memory"] == 8 << 30 and order["files"]


@pytest.mark.parametrize("repairable", [True, False])
def test_a_crash_loop_with_edited_files_is_ended(host, repairable):
    """What makes it crash may be the very edit, and nothing is taken from anybody."""
    if not repairable:
        another_collection(host)
    harm(host)
    host.failed_starts["chat"] = 5
    host.health["chat"] = HUNG
    plan = host.plan(DECLARED)
    assert only(plan).action == ("restart" if repairable else "replace")


def test_who_is_unwell_for_another_reason_is_left_alone(host):
    harm(host)
    host.health["chat"] = {**HUNG, "http": 503}
    plan = host.plan(DECLARED)
    assert only(plan).action == "none" and [item.code for item in plan.findings] == ["server.engine-dead"]
    assert only(plan).differences, "and what is wrong with its files is told beside it"
    assert host.plan(copy.deepcopy(DECLARED), only=["chat"]).secrets() == {}


def test_a_server_that_is_to_be_stopped_needs_no_files(host):
    harm(host)
    state(host, running=False)
    plan = host.plan({"chat": {**DECLARED["chat"], "state": "stopped"}})
    assert only(plan).action == "none" and not plan.findings
