# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site playbook against a whole host, Debian 13 with systemd and its own Docker 26.1, and that host's reboot."""

from __future__ import annotations

import pytest

from engines import docker

from .conftest import CONTAINER, KEY

pytestmark = [pytest.mark.engine, pytest.mark.long]


def test_the_engine_is_the_hosts_own(served):
    version = served.run("docker", "version", "-f", "{{.Server.Version}}")
    assert int(version.split(".")[0]) >= 26
    # The server runs there and nowhere else.
    assert served.inspect()["State"]["Running"]
    everywhere = docker("ps", "-a", "--no-trunc", "-q").split()
    assert served.inspect()["Id"] not in everywhere


def test_second_converge_is_one_remote_call_and_no_change(served):
    again = served.converged()
    assert again.changed == set(), again.text
    assert again.calls_of("second") == ["exec"]


def test_changed_argument_replaces(served):
    before = served.inspect()["Id"]
    served.declaration["engine_args"]["max_num_seqs"] = 5
    outcome = served.converged()
    assert outcome.changed == {"second"}
    after = served.inspect()
    assert after["Id"] != before
    assert "--max-num-seqs" in str(after["Config"]["Cmd"])
    served.wait_serving()
    # Nothing of the old one is left behind.
    assert len(served.run("docker", "ps", "-aq", "--filter", f"name={CONTAINER}").split()) == 1
    assert served.converged().changed == set()


def test_failing_start_rolls_back_and_the_old_server_answers(served):
    before = served.inspect()
    served.declaration["engine_args"]["max_num_seqs"] = 7
    outcome = served.play()
    assert outcome.code != 0
    message = outcome.message("second")
    assert "Insufficient space in /dev/shm" in message and "answers again" in message, message
    after = served.inspect()
    assert after["Id"] == before["Id"] and after["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert served.serves()
    del served.declaration["engine_args"]["max_num_seqs"]
    assert served.converged().changed == set()


def test_restart_policy_changed_by_hand_is_found_and_put_right(served):
    before = served.inspect()
    served.run("docker", "update", "--restart", "no", CONTAINER)
    outcome = served.converged()
    assert outcome.changed == {"second"}
    # The play's first task has the plan: what was found, and that it costs no stop.
    row = next(row["servers"]["chat"] for row in outcome.results["second"] if "chat" in (row.get("servers") or {}))
    assert row["action"] == "update", row
    assert [difference["field"] for difference in row["differences"]] == ["restart_policy"]
    after = served.inspect()
    assert after["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])


def test_the_server_comes_back_after_a_reboot_and_nothing_differs(served):
    before = served.inspect()
    booted = served.run("stat", "-c", "%Y", "/proc/1")
    served.reboot()
    assert served.run("stat", "-c", "%Y", "/proc/1") != booted
    served.wait_serving()
    after = served.inspect()
    assert after["Id"] == before["Id"] and after["State"]["StartedAt"] != before["State"]["StartedAt"]
    outcome = served.converged()
    assert outcome.changed == set(), outcome.text
    assert outcome.calls_of("second") == ["exec"]


def test_the_key_is_in_no_journal_and_no_environment(served):
    """What the host's systemd and its engine can tell of the server does not hold its key."""
    journal = served.run("journalctl", "--no-pager", "-q")
    assert "docker" in journal and KEY not in journal
    assert KEY not in served.run("docker", "inspect", CONTAINER)
