# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks for a fleet that runs: restart, a plan that is read before it is carried out, a host that is held."""

from __future__ import annotations

import json
import tarfile

import pytest

pytestmark = pytest.mark.engine


def test_restart_takes_over_nothing_new(fleet):
    one = fleet(1)
    host = one[0]
    one.converged()
    before = host.inspect()
    host.declaration["engine_args"]["max_num_seqs"] = 7
    outcome = one.play("restart")
    assert outcome.code == 0, outcome.text
    after = host.inspect()
    assert after["Id"] == before["Id"] and after["State"]["StartedAt"] != before["State"]["StartedAt"]
    assert host.serves()
    logs = one.play("logs", "-e", f"vllm_only={host.server_name}", "-e", "vllm_log_lines=3")
    assert logs.code == 0, logs.text
    shown = [line for line in logs.text.splitlines() if " | " in line]
    assert len(shown) == 3 and host.container in shown[0], logs.text


def test_a_plan_is_kept_read_and_carried_out(fleet, tmp_path):
    hosts = fleet(2)
    plan = tmp_path / "plan.json"
    check = hosts.play("check", "-e", f"vllm_plan_out={plan}")
    assert check.code == 0, check.text
    kept = json.loads(plan.read_text())
    assert {name: row["servers"][hosts.hosts[int(name[1:])].server_name]["action"] for name, row in
            kept["hosts"].items()} == {"h00": "create", "h01": "create"}  # fmt: skip
    # A hasty change after the plan was read: nothing is touched on any host.
    hosts[1].declaration["engine_args"]["max_num_seqs"] = 7
    refused = hosts.play("site", "-e", f"vllm_plan={plan}")
    assert refused.code != 0 and "saved plan" in refused.message("h01"), refused.text
    assert not hosts[0].exists() and not hosts[1].exists()
    del hosts[1].declaration["engine_args"]["max_num_seqs"]
    done = hosts.play("site", "-e", f"vllm_plan={plan}")
    assert done.code == 0, done.text
    assert hosts[0].serves() and hosts[1].serves()
    again = hosts.play("site", "-e", f"vllm_plan={plan}")
    assert again.code == 0 and again.changed == set(), again.text


def test_a_held_host_is_passed_by(fleet):
    hosts = fleet(2)
    hosts.converged()
    before = [host.inspect()["Id"] for host in hosts.hosts]
    hosts[0].variables["vllm_holds"] = [{"reason": "its disk is copied"}]
    for host in hosts.hosts:
        host.declaration["engine_args"]["max_num_seqs"] = 6
    outcome = hosts.play()
    assert outcome.code == 0, outcome.text
    assert hosts[0].inspect()["Id"] == before[0] and hosts[1].inspect()["Id"] != before[1]
    row = outcome.server("h00", hosts[0].server_name)
    assert row["action"] == "held" and "its disk is copied" in row["reason"]


def test_diagnose_prints_why_and_brings_the_evidence(fleet, tmp_path):
    hosts = fleet(1)
    hosts.converged()
    outcome = hosts.play("diagnose", "-e", f"vllm_evidence={tmp_path}")
    assert outcome.code == 0, outcome.text
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as bundle:
        names = {name.split("/", 1)[1] for name in bundle.getnames()}
    container = hosts[0].inspect()["Name"].lstrip("/")
    folder = f"servers/{container}"
    assert {f"{folder}/{name}" for name in ("log.txt", "inspect.json", "diagnosis.json", "journal.jsonl")} <= names
    assert {"summary.txt", "versions.json", "host/gpus.json", "host/engine.json", "attached/plan.json"} <= names
    assert "is healthy" in outcome.text
