# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Over SSH, as a plain user with sudo, on a host that ends everything of a session at log-out."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from .conftest import MODEL, SERVER

pytestmark = [pytest.mark.engine, pytest.mark.long]

USER = "deploy"
JOURNAL = f"/var/lib/cortex-vllm/{SERVER}/journal.jsonl"


@pytest.fixture
def over_ssh(served):
    """The served machine, reached by SSH without connection sharing: each remote call is a session that ends."""
    key = served.directory / "id_ed25519"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        public = key.with_suffix(".pub").read_text().strip()
        script = f"""
            useradd --create-home --shell /bin/bash {USER}
            echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}
            install -d -o {USER} -m 0700 /home/{USER}/.ssh
            echo '{public}' >/home/{USER}/.ssh/authorized_keys
            chown {USER} /home/{USER}/.ssh/authorized_keys
            mkdir -p /etc/systemd/logind.conf.d
            printf '[Login]\\nKillUserProcesses=yes\\n' >/etc/systemd/logind.conf.d/kill.conf
            systemctl restart systemd-logind ssh
        """
        served.run("bash", "-euc", script)
    served.connection = {
        "ansible_connection": "ssh",
        "ansible_host": served.address,
        "ansible_user": USER,
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_args": "-o ControlMaster=no -o ControlPath=none",
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    }
    yield served
    served.connection = None


def events(machine):
    text = machine.run("cat", JOURNAL, check=False)
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def scopes(machine):
    """Names of the running scopes: one for each login session, and those of jobs."""
    rows = machine.run("systemctl", "list-units", "--type=scope", "--state=running", "--no-legend", "--plain")
    return [row.split()[0] for row in rows.splitlines()]


def wait_for(machine, event, after, seconds=60):
    """Wait until a later job than ``after`` has written the event."""
    until = time.monotonic() + seconds
    while not any(entry["event"] == event and entry["job"] != after for entry in events(machine)):
        assert time.monotonic() < until, events(machine)
        time.sleep(0.3)


def test_this_host_ends_what_a_session_leaves_behind(over_ssh):
    """Otherwise the tests below would prove nothing."""
    options = over_ssh.connection
    ssh = ["ssh", "-i", options["ansible_ssh_private_key_file"], *options["ansible_ssh_common_args"].split()]
    leave = "sudo setsid sleep 4321 >/dev/null 2>&1 </dev/null & sleep 0.5"
    subprocess.run([*ssh, f"{USER}@{options['ansible_host']}", leave], check=True, capture_output=True, timeout=60)
    until = time.monotonic() + 20
    while over_ssh.run("pgrep", "-f", "sleep 4321", check=False):
        assert time.monotonic() < until, "the left process lives on"
        time.sleep(0.3)


def test_a_converge_without_change_is_one_remote_call(over_ssh):
    again = over_ssh.converged()
    assert again.changed == set(), again.text
    assert [row["remote_calls"] for row in again.results["second"] if "remote_calls" in row][-1] == 1


def test_a_change_is_made(over_ssh):
    before = over_ssh.inspect()["Id"]
    over_ssh.declaration["engine_args"]["max_num_seqs"] = 6
    outcome = over_ssh.converged()
    assert outcome.changed == {"second"}
    assert over_ssh.inspect()["Id"] != before
    over_ssh.wait_serving()


def test_the_job_outlives_controller_and_session(over_ssh):
    """The controller dies while the new server loads: its sessions end, the job brings the server up."""
    over_ssh.run("rm", "-f", f"{MODEL}/go")
    over_ssh.declaration["engine_args"]["max_num_seqs"] = 9
    before = events(over_ssh)[-1]["job"]
    controller = over_ssh.begin()
    try:
        wait_for(over_ssh, "stopped", before)
        wait_for(over_ssh, "started", before)
    finally:
        controller.kill()
    until = time.monotonic() + 60
    while any(unit.startswith("session-") for unit in scopes(over_ssh)):
        assert time.monotonic() < until, scopes(over_ssh)
        time.sleep(0.5)
    found = scopes(over_ssh)
    assert any(unit.startswith("cortex-vllm-job-") for unit in found), (found, events(over_ssh)[-5:])
    over_ssh.run("touch", f"{MODEL}/go")
    wait_for(over_ssh, "done", before)
    assert events(over_ssh)[-1]["result"] == "ok"
    over_ssh.wait_serving()
    assert over_ssh.converged().changed == set()
