# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller and job are killed at each step of the transaction: the host ends with a server that answers."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from hands import REPOSITORY, RULES, SOCKET, kinds, one, result, run_module

SECRET = "s3cr3t-value-0123456789"


def wait_for(condition, limit=20.0):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen within {} s".format(limit))


def kill_job(host, when):
    """SIGKILL the job as soon as ``when(journal)`` holds."""
    wait_for(lambda: when(kinds(host.journal())))
    pid = host.lock_pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not pathlib.Path("/proc/{}".format(pid)).exists() or zombie(pid))
    return pid


def zombie(pid):
    try:
        return " Z " in pathlib.Path("/proc/{}/stat".format(pid)).read_text()
    except OSError:
        return True


def test_the_controller_is_killed_and_the_rollback_happens_all_the_same(host, tmp_path):
    """Real Ansible: its controller is killed with SIGKILL while the job waits; nobody runs anything afterwards."""
    host.converge("create")
    old = host.docker.inspect(host.container)["Id"]
    order = host.order("replace", "--load", "4", "--fail", "3", generation="g2")
    request = {
        "schema": 1, "state_dir": str(host.state_dir), "job": "killed", "groups": [[host.name]], "phase_rules": RULES,
        "orders": {host.name: order},
    }  # fmt: skip
    play = [
        {
            "hosts": "localhost", "gather_facts": False, "connection": "local",
            "tasks": [
                {
                    "cortex.vllm._engine": {
                        "step": "apply", "request": request, "secrets": {}, "docker_host": "unix://" + SOCKET,
                    }
                },
                {"ansible.builtin.wait_for": {"timeout": 60}},
            ],
        }
    ]  # fmt: skip
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps(play))
    environment = dict(
        os.environ, ANSIBLE_COLLECTIONS_PATH=str(REPOSITORY / "collections"),
        ANSIBLE_PYTHON_INTERPRETER="/usr/bin/python3",
        ANSIBLE_LOCALHOST_WARNING="false", ANSIBLE_LOCAL_TEMP=str(tmp_path / "ansible"),
    )  # fmt: skip
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(playbook)]
    controller = subprocess.Popen(
        command, env=environment, cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_for(lambda: "started" in kinds(host.journal()) and host.journal()[0]["job"] == "killed", 60)
    finally:
        os.killpg(controller.pid, signal.SIGKILL)
    out = controller.communicate(timeout=20)[0].decode()  # would hang if the job held the pipe
    assert "TASK" in out
    wait_for(lambda: "done" in kinds(host.journal()), 30)
    assert result(host.journal()) == "rolled_back"
    assert one(host.journal(), "rolled_back")["verified"] is True
    assert host.docker.inspect(host.container)["Id"] == old and host.answers() == "chat"


@pytest.mark.parametrize("moment", ["created", "stopping", "stopped", "started", "phase"])
def test_a_killed_job_is_recovered(host, moment):
    host.converge("create")
    old = host.docker.inspect(host.container)["Id"]
    job = host.apply(host.order("replace", "--load", "30", generation="g2"))
    kill_job(host, lambda seen: moment in seen)
    events = host.watch(job)
    assert "done" not in kinds(events)
    answer = host.step("watch", {"jobs": {host.name: job}, "budget": 1.0})["servers"][host.name]
    assert answer["alive"] is False
    assert host.state()["transaction"]["job"] == job["job"] or moment == "created"
    events = host.converge("recover")
    assert result(events) == "stale"
    inspect = host.docker.inspect(host.container)
    assert inspect["Id"] == old and host.answers() == "chat"
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.state()["transaction"] is None and host.state()["committed"]["container_id"] == old
    assert [name for name in host.docker.names() if name.startswith(host.name)] == [host.container]
    assert [p.name for p in (host.state_dir / host.name / "generations").iterdir()] == ["g1"]


def test_a_killed_job_whose_new_server_answers_meanwhile_is_committed(host):
    host.converge("create")
    job = host.apply(host.order("replace", "--load", "2", generation="g2"))
    kill_job(host, lambda seen: "phase" in seen)
    new = host.docker.inspect(host.container)["Id"]
    wait_for(host.answers)
    events = host.converge("recover")
    assert result(events) == "stale" and "committed" in kinds(events)
    assert host.docker.inspect(host.container)["Id"] == new == host.state()["committed"]["container_id"]
    assert host.state()["committed"]["declaration_hash"] == "g2"
    assert host.docker.inspect(host.container)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.docker.inspect(host.container + ".kept") is None
    assert job


def test_any_order_after_a_killed_job_recovers_first(host):
    host.converge("create")
    host.apply(host.order("replace", "--load", "30", generation="g2"))
    kill_job(host, lambda seen: "started" in seen)
    events = host.converge("replace", generation="g3")
    assert result(events) == "stale" and "rolled_back" in kinds(events) and host.answers() == "chat"


def test_a_killed_start_is_recovered(host):
    host.converge("create", "--load", "1.5")
    host.apply(host.order("restart"))
    kill_job(host, lambda seen: "stopped" in seen)
    assert result(host.converge("recover")) == "stale"
    inspect = host.docker.inspect(host.container)
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped" and host.answers() == "chat"


def test_two_jobs_on_one_server_wait_for_each_other(host):
    order = host.order("create", "--load", "8")
    first = host.apply(order)
    wait_for(lambda: "started" in kinds(host.journal()))
    second = host.apply(order)
    events = host.watch(second)
    assert one(events, "waiting")["for"] == "server lock"
    assert result(events) == "stale"  # the first one changed what the second one expected
    events = host.watch(first)  # its journal has another name now, and is still found
    assert result(events) == "ok"


def test_the_lock_is_not_waited_for_endlessly(host):
    order = host.order("create", "--load", "8")
    first = host.apply(order)
    wait_for(host.lock_pid)
    events = host.watch(host.apply(dict(order, lock_timeout=0.5)))
    # The controller looks again then, finds the job that works on the server, and follows that one.
    assert result(events) == "stale" and "pid" in one(events, "done")["message"] and "failed" not in kinds(events)
    at_work = host.observe()["servers"][host.name]["job"]
    assert at_work["job"] == first["job"] and not at_work["done"]
    assert result(host.watch(first)) == "ok"


def test_the_job_is_a_stranger_to_who_started_it(host):
    host.apply(host.order("create", "--load", "3"))
    pid = wait_for(host.lock_pid)
    assert os.getsid(pid) != os.getsid(0)
    opened = {os.path.realpath("/proc/{}/fd/{}".format(pid, name)) for name in os.listdir("/proc/{}/fd".format(pid))}
    mine = str(host.state_dir)
    assert all(path == "/dev/null" or path.startswith(mine) or "socket:" in path for path in opened), opened
    assert os.readlink("/proc/{}/cwd".format(pid)) == "/"
    wait_for(lambda: "done" in kinds(host.journal()))


def test_secrets_are_in_their_file_and_nowhere_else(host):
    def give(generation, *flags):
        flags += ("--key-file", "/run/cortex-vllm/secrets/VLLM_API_KEY")
        return host.converge(
            "create" if generation == "g1" else "replace", *flags, generation=generation,
            secrets={"VLLM_API_KEY": SECRET}, secret_names=["VLLM_API_KEY"], probe=host.probe(api_key="VLLM_API_KEY"),
            user={"uid": 12345, "gid": 12345},
        )  # fmt: skip

    assert result(give("g1")) == "ok"
    path = host.state_dir / host.name / "generations" / "g1" / "secrets" / "VLLM_API_KEY"
    assert path.read_text() == SECRET
    assert path.stat().st_mode & 0o7777 == 0o400 and path.stat().st_uid == 12345
    assert path.parent.stat().st_mode & 0o7777 == 0o500
    assert host.observe()["servers"][host.name]["health"]["models"] == ["chat"]  # asked with the key
    events = give("g2", "--fail", "1", "--say", "x")
    assert result(events) == "rolled_back" and one(events, "rolled_back")["verified"]
    assert any("********" in line for line in one(events, "failed")["log"])
    assert (pathlib.Path(one(events, "failed")["evidence"]) / "log.txt").exists()
    look = host.observe()
    places = [json.dumps(look), json.dumps(host.docker.inspect(host.container)), json.dumps(events)]
    for file in host.state_dir.rglob("*"):
        if file.is_file() and file != path:
            places.append(file.read_text(errors="replace"))
    assert len(places) > 6
    assert not [place for place in places if SECRET in place]


def test_a_full_disk_stops_nothing(host, tmp_path):
    """A tmpfs too small for the generation's files."""
    host.converge("create")
    started = host.docker.inspect(host.container)["State"]["StartedAt"]
    small = host.state_dir / host.name / "generations"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    assert done.returncode == 0, done.stderr
    try:
        files = [{"path": "big", "mode": "0444", "content": "x" * 200000}]
        events = host.converge("replace", generation="g2", files=files)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    failed = one(events, "failed")
    assert (
        failed["reason"] == "files" and "No space left" in failed["message"] and "Free some space" in failed["message"]
    )
    assert "stopping" not in kinds(events) and host.answers() == "chat"
    assert host.docker.inspect(host.container)["State"]["StartedAt"] == started


def test_a_refused_request_touches_nothing(host):
    order = host.order("create")
    base = {"schema": 1, "state_dir": str(host.state_dir), "job": "j", "groups": [[host.name]], "phase_rules": []}
    cases = [
        (dict(base, orders={host.name: dict(order, action="explode")}), "action"),
        (dict(base, orders={}), "groups"),
        (dict(base, orders={host.name: dict(order, directories=[{"path": "/etc/x"}])}), "/etc/x"),
        (dict(base, orders={host.name: dict(order, files=[{"path": "../x", "content": ""}])}), "../x"),
        (dict(base, orders={host.name: order}, phase_rules=[{"phase": "x", "pattern": "("}]), "phase_rules"),
        (dict(base, orders={host.name: dict(order, secret_names=["KEY"])}), "KEY"),
        (dict(base, orders={host.name: order}, schema=7), "schema 7"),
    ]
    for request, word in cases:
        answer = run_module({"step": "apply", "request": request})
        assert answer.get("failed") and word in answer["msg"], (word, answer)
        assert "Traceback" not in answer["msg"]
    assert not host.state_dir.exists()


def test_a_disk_that_fills_up_after_the_stop_costs_no_server(host):
    """The reserve lets the commit and the journal be written although nothing else can be."""
    folder = host.state_dir / host.name
    folder.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    assert done.returncode == 0, done.stderr
    try:
        host.converge("create")
        job = host.apply(host.order("replace", "--load", "6", generation="g2"))
        wait_for(lambda: "started" in kinds(host.journal()))
        with open(folder / "full", "wb", buffering=0) as stream:
            try:
                while stream.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        events = host.watch(job)
        state = host.state()
        assert state["transaction"] is None and state["committed"]["generation"] == "g2" and host.answers() == "chat"
        assert result(events) == "ok" and not (folder / "reserve").exists()
    finally:
        host.docker.remove(host.container)
        subprocess.run(["umount", "-l", str(folder)], check=True)
