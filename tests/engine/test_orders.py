# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job does on a real engine: create, replace, roll back, recover, and the smaller orders."""

from __future__ import annotations

import datetime
import pathlib
import re

from hands import kinds, one, result


def test_create_becomes_ready_and_is_committed(host):
    events = host.converge("create")
    assert kinds(events)[0] == "accepted"
    assert result(events) == "ok"
    order = [
        kind for kind in kinds(events) if kind in ("creating", "created", "started", "answering", "ready", "committed")
    ]
    assert order == ["creating", "created", "started", "answering", "ready", "committed"]
    assert one(events, "ready")["token"] == " there"
    phases = [event for event in events if event["event"] == "phase"]
    assert phases[0]["phase"] == "arguments"
    assert [event["percent"] for event in phases if event["phase"] == "loading weights"] == list(range(10, 101, 10))
    state = host.state()
    assert state["transaction"] is None and state["committed"]["generation"] == "g1"
    inspect = host.docker.inspect(host.container)
    assert inspect["Id"] == state["committed"]["container_id"]
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    look = host.observe()
    assert look["servers"][host.name]["health"]["models"] == ["chat"]
    assert look["servers"][host.name]["job"]["result"] == "ok"
    assert look["servers"][host.name]["lock"] == {"held": False, "pid": None}


def test_replace_keeps_the_old_one_until_the_new_one_answers(host):
    host.converge("create")
    old = host.docker.inspect(host.container)["Id"]
    events = host.converge("replace", "--load", "0.5", generation="g2")
    assert result(events) == "ok"
    assert kinds(events).index("created") < kinds(events).index("stopping")
    assert one(events, "committed")["downtime"] > 0.4
    new = host.docker.inspect(host.container)
    assert new["Id"] != old and host.docker.inspect(old) is None
    assert new["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert [entry["generation"] for entry in host.state()["history"]] == ["g2", "g1"]
    generations = sorted(path.name for path in (host.state_dir / host.name / "generations").iterdir())
    assert generations == ["g2"]


def test_a_replacement_that_dies_is_rolled_back_and_verified(host):
    host.converge("create")
    old = host.docker.inspect(host.container)["Id"]
    events = host.converge("replace", "--fail", "3", generation="g2")
    failed = one(events, "failed")
    assert failed["reason"] == "exit" and failed["exit"]["code"] == 3
    assert any("the telling line" in line for line in failed["log"])
    assert one(events, "rolled_back")["verified"] is True
    assert result(events) == "rolled_back"
    inspect = host.docker.inspect(host.container)
    assert inspect["Id"] == old and inspect["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.answers() == "chat"
    assert host.state()["transaction"] is None and host.state()["committed"]["container_id"] == old
    assert host.docker.inspect(host.container + ".new") is None
    assert host.docker.inspect(host.container + ".kept") is None
    assert "the telling line" in (pathlib.Path(failed["evidence"]) / "log.txt").read_text()


def test_death_is_reported_within_a_second(host):
    events = host.converge("create", "--load", "0.5", "--fail", "7")
    failed = one(events, "failed")
    said = [event for event in events if event["event"] == "phase"][-1]
    # The last phase line is written at the very end of the load, the exit follows it at once.
    assert failed["t"] - said["t"] < 1.0
    assert result(events) == "failed"
    assert host.docker.inspect(host.container) is None


def test_readiness_is_noticed_at_once(host):
    events = host.converge("create")
    status, raw = host.docker.call("GET", "/containers/{}/logs?stderr=1&timestamps=1".format(host.container))
    line = next(line for line in raw.decode(errors="replace").splitlines() if "startup complete" in line)
    # The engine's own time of the line that the server writes just before it listens.
    stamp = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", line).group(0)
    said = datetime.datetime.fromisoformat(stamp + "+00:00").timestamp()
    assert one(events, "answering")["t"] - said < 0.5
    assert one(events, "ready")["t"] - one(events, "answering")["t"] < 0.5


def test_a_server_that_never_gives_a_token_is_not_ready(host):
    host.converge("create")
    events = host.converge("replace", "--no-token", generation="g2")
    failed = one(events, "failed")
    assert failed["reason"] == "probe" and "500" in failed["message"]
    assert result(events) == "rolled_back"


def test_an_engine_that_dies_of_the_first_request_is_an_exit(host):
    events = host.converge("create", "--dies-on-token")
    failed = one(events, "failed")
    assert failed["reason"] == "exit" and failed["exit"]["code"] == 0
    assert any("EngineDeadError" in line for line in failed["log"])


def test_a_wrong_name_is_named(host):
    failed = one(host.converge("create", "--name", "other"), "failed")
    assert failed["reason"] == "probe" and "'other'" in failed["message"] and "'chat'" in failed["message"]


def test_too_slow_is_a_timeout(host):
    failed = one(host.converge("create", "--load", "30", start_timeout=1.0), "failed")
    assert failed["reason"] == "timeout" and "1 s" in failed["message"]


def test_a_port_that_is_taken_costs_a_rollback_not_a_server(host, docker):
    import socket

    host.converge("create")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        body = host.body(generation="g2", port=other.getsockname()[1])
        events = host.converge("replace", generation="g2", body=body)
    failed = one(events, "failed")
    assert failed["reason"] == "start" and "address already in use" in failed["message"]
    assert result(events) == "rolled_back" and host.answers() == "chat"


def test_a_body_the_engine_refuses_stops_nothing(host):
    host.converge("create")
    started = host.docker.inspect(host.container)["State"]["StartedAt"]
    body = host.body(generation="g2")
    body["HostConfig"]["Mounts"] = [{"Type": "bind", "Source": "/does/not/exist", "Target": "/x"}]
    events = host.converge("replace", generation="g2", body=body)
    assert one(events, "failed")["reason"] == "create" and "/does/not/exist" in one(events, "failed")["message"]
    assert "stopping" not in kinds(events)
    assert host.docker.inspect(host.container)["State"]["StartedAt"] == started


def test_a_host_that_changed_meanwhile_is_stale(host):
    order = host.order("create")
    host.converge("create")
    before = host.docker.inspect(host.container)["Id"]
    events = host.watch(host.apply(order))
    assert result(events) == "stale"
    assert host.docker.inspect(host.container)["Id"] == before


def test_stop_start_restart_update_remove(host):
    host.converge("create")
    events = host.converge("stop")
    assert result(events) == "ok" and one(events, "stopped")["exit_code"] in (0, 143)
    assert host.docker.inspect(host.container)["State"]["Running"] is False
    events = host.converge("start")
    assert result(events) == "ok" and one(events, "ready")["token"] == " there"
    inspect = host.docker.inspect(host.container)
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    events = host.converge("restart")
    assert result(events) == "ok"
    assert host.docker.inspect(host.container)["State"]["StartedAt"] != inspect["State"]["StartedAt"]
    events = host.converge("update", update={"RestartPolicy": {"Name": "always"}})
    assert kinds(events)[-2:] == ["updated", "done"]
    assert host.docker.inspect(host.container)["HostConfig"]["RestartPolicy"]["Name"] == "always"
    events = host.converge("remove", remove_state=True)
    assert result(events) == "ok" and one(events, "removed")
    assert host.docker.inspect(host.container) is None
    left = sorted(path.name.split(".")[0] for path in (host.state_dir / host.name).iterdir())
    assert set(left) == {"journal"}


def test_a_failing_start_leaves_the_container_and_its_evidence(host, tmp_path):
    flag = host.state_dir / host.name / "generations" / "g1" / "broken"
    host.converge("create", "--fail", "4", "--fail-if", "/run/cortex-vllm/broken")
    host.converge("stop")
    flag.write_text("")
    events = host.converge("start")
    assert one(events, "failed")["exit"]["code"] == 4 and result(events) == "failed"
    inspect = host.docker.inspect(host.container)
    assert inspect["State"]["ExitCode"] == 4 and inspect["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert host.state()["transaction"] is None


def test_logs_that_are_no_utf8_are_survived(host):
    events = host.converge("create", "--garbage", "--fail", "1")
    assert any("broken bytes" in line for line in one(events, "failed")["log"])


def test_a_stranger_with_the_wanted_name_is_not_touched(host):
    body = dict(host.body(), Labels={})
    host.docker.call("POST", "/containers/create?name={}.new".format(host.container), body)
    events = host.converge("create")
    assert one(events, "failed")["reason"] == "create" and "not ours" in one(events, "failed")["message"]
    assert host.docker.inspect(host.container + ".new") is not None


def test_check_mode_does_nothing_and_says_so(host):
    assert host.apply(host.order("create"), check=True) is None
    assert host.docker.inspect(host.container) is None and not host.state_dir.exists()


def test_wait_follows_what_already_runs(host):
    host.converge("create", "--load", "2")
    host.docker.call("POST", "/containers/{}/restart?t=1".format(host.container))
    started = host.docker.inspect(host.container)["State"]["StartedAt"]
    events = host.converge("wait", record=None, body=None)
    assert result(events) == "ok" and one(events, "ready")["token"] == " there"
    assert not {"started", "stopping"} & set(kinds(events))
    inspect = host.docker.inspect(host.container)
    assert inspect["State"]["StartedAt"] == started
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.state()["committed"]["generation"] == "g1"


def test_an_undeclared_server_is_removed_whatever_its_state_says(host):
    host.converge("create")
    order = host.order("remove")
    order["expected"]["state_hash"] = None
    (host.state_dir / host.name / "state.json").write_text("{")
    assert result(host.watch(host.apply(order))) == "ok"
    assert host.docker.inspect(host.container) is None


def test_the_launchers_count_of_failed_starts_begins_anew(host):
    host.converge("create")
    count = host.state_dir / host.name / "run" / "failed-starts"
    count.parent.mkdir()
    count.write_text("g1 5")
    assert result(host.converge("restart")) == "ok"
    assert not count.exists()
