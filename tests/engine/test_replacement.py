# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a replacement costs, how soon its news are known, and when a start is given up."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import threading
import time

import pytest
from hands import kinds, one, result

#: ``nvidia-smi`` of one GPU whose driver takes a while to give memory back after a process has ended.
NVIDIA_SMI = """#!/usr/bin/python3
import pathlib, sys, time
folder = pathlib.Path({folder!r})
stopped = folder / "stopped"
late = not stopped.exists() or time.time() < float(stopped.read_text())
if "--query-gpu=uuid,memory.used" in sys.argv:
    print("GPU-1, " + ("40000" if late else "3"))
elif "--query-compute-apps=gpu_uuid,pid" in sys.argv and late:
    print("GPU-1, " + (folder / "pid").read_text())
"""


def said_at(host, word):
    """When a server says that it listens."""
    _status, raw = host.docker.call("GET", "/containers/{}/logs?stderr=1".format(host.container))
    return float(re.search(word + r" at (\d+\.\d+)", raw.decode(errors="replace")).group(1))


def complete(host):
    """Status and body of one completion."""
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
    try:
        connection.request("POST", "/v1/completions", json.dumps({"model": "chat", "prompt": "x"}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_replacement_says_what_it_cost_and_on_what(host):
    host.converge("create")
    committed = one(host.converge("replace", "--load", "1", generation="g2"), "committed")
    spent = committed["spent"]
    assert {"stop", "loading weights"} <= set(spent)
    assert abs(sum(spent.values()) - committed["downtime"]) < 0.2, committed
    assert 0.8 < spent["loading weights"] < committed["downtime"]
    entry = host.state()["history"][0]
    assert entry["downtime"] == committed["downtime"] and entry["phases"]["loading weights"] > 0.8


def test_requests_in_flight_are_answered_before_the_old_one_ends(host):
    host.converge("create", "--answer-seconds", "7", "--drains", probe=host.probe(request="none"))
    found = []
    client = threading.Thread(target=lambda: found.append(complete(host)))
    client.start()
    time.sleep(0.3)
    events = host.converge("replace", generation="g2", stop_timeout=10.0)
    client.join()
    assert result(events) == "ok"
    assert found[0][0] == 200 and found[0][1]["choices"]
    stopped = one(events, "stopped")
    assert stopped["seconds"] < 9.0 and stopped["killed"] is False


def test_a_server_that_has_answered_everything_is_not_waited_for(host):
    """vLLM 0.32 may stay until the end of its --shutdown-timeout although nothing is left to do."""
    host.converge("create", "--answer-seconds", "7", "--lingers", probe=host.probe(request="none"))
    found = []
    client = threading.Thread(target=lambda: found.append(complete(host)))
    client.start()
    time.sleep(0.3)
    events = host.converge("replace", generation="g2", stop_timeout=40.0)
    client.join()
    assert found[0][0] == 200 and one(events, "stopping")["requests"] == 1
    stopped = one(events, "stopped")
    assert stopped["ended_early"] is True and stopped["killed"] is False and stopped["seconds"] < 15
    assert 0 < stopped["drained"] < 7.5
    assert one(events, "committed")["spent"]["drain"] == pytest.approx(stopped["drained"], abs=0.01)


@pytest.mark.long
def test_a_stop_that_hangs_is_ended_and_said(host):
    host.converge("create", "--answer-seconds", "60", "--drains", probe=host.probe(request="none"))
    client = threading.Thread(target=lambda: pytest.raises((OSError, http.client.HTTPException), complete, host))
    client.start()
    time.sleep(0.3)
    events = host.converge("replace", generation="g2", stop_timeout=2.0)
    client.join()
    assert result(events) == "ok" and one(events, "stopped")["killed"] is True


def test_the_memory_of_gpus_is_waited_for(host, tmp_path, monkeypatch):
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text(NVIDIA_SMI.format(folder=str(tmp_path)))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", "{}:/usr/bin:/bin:/usr/sbin:/sbin".format(command.parent))
    host.converge("create")
    (tmp_path / "pid").write_text(str(host.docker.inspect(host.container)["State"]["Pid"]))
    job = host.apply(host.order("replace", generation="g2", gpu_locks=["GPU-1"]))
    host.watch(job, until="stopped")
    (tmp_path / "stopped").write_text(str(time.time() + 1.5))
    events = host.watch(job)
    waited = one(events, "gpu_memory")
    assert waited["free"] is True and 0.8 < waited["seconds"] < 4, waited
    assert waited["gpus"]["GPU-1"] == {"used": 3 << 20, "before": 40000 << 20}
    assert kinds(events).index("gpu_memory") < kinds(events).index("started")
    assert one(events, "committed")["spent"]["gpu memory"] == pytest.approx(waited["seconds"], abs=0.02)


def test_weights_are_read_while_the_old_one_answers(host, tmp_path):
    host.converge("create")
    for number in range(3):
        (tmp_path / "model-{}.safetensors".format(number)).write_bytes(b"x" * (8 << 20))
    (tmp_path / "optimizer.bin").write_bytes(b"x" * 1024)
    events = host.converge("replace", generation="g2", warm={"path": str(tmp_path), "limit": 60})
    warmed = one(events, "warmed")
    assert warmed["bytes"] == warmed["total"] == 24 << 20 and warmed["stopped"] is None
    assert [event["percent"] for event in events if event["event"] == "warming"][-1] == 100
    assert kinds(events).index("warmed") < kinds(events).index("stopping")


@pytest.mark.long
def test_weights_that_are_gone_stop_nothing(host, tmp_path):
    host.converge("create")
    events = host.converge("replace", generation="g2", warm={"path": str(tmp_path / "none"), "limit": 60})
    assert one(events, "warmed")["stopped"] == "unreadable" and result(events) == "ok"


def test_the_first_answer_is_noticed_within_a_quarter_of_a_second(host):
    """A server far from ready is asked rarely; once its log says that the routes come up it is asked often."""
    events = host.converge("create", "--load", "5", "--late", "1.3")
    listening = said_at(host, "listening")
    assert one(events, "answering")["t"] - listening < 0.25
    assert one(events, "ready")["t"] - listening < 0.5


@pytest.mark.long
def test_a_server_whose_log_nobody_can_read_is_noticed_as_well(host):
    body = host.body("--load", "2")
    body["HostConfig"]["LogConfig"] = {"Type": "none"}
    events = host.converge("create", body=body)
    assert result(events) == "ok" and one(events, "answering")["seconds"] < 3.5


@pytest.mark.parametrize("load", ["0.4", pytest.param("3", marks=pytest.mark.long)])
def test_a_death_is_known_at_once(host, load):
    events = host.converge("create", "--load", load, "--fail", "9")
    failed = one(events, "failed")
    inspect = json.loads((pathlib.Path(failed["evidence"]) / "inspect.json").read_text())
    ended = inspect["State"]["FinishedAt"]
    died = time.mktime(time.strptime(ended[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float("0" + ended[19:26])
    assert failed["exit"]["code"] == 9 and failed["t"] - died < 1.0, failed["t"] - died


@pytest.mark.long
def test_a_start_at_a_standstill_is_not_waited_for(host):
    begin = time.monotonic()
    failed = one(host.converge("create", "--stuck", start_timeout=600.0, stall_timeout=12.0), "failed")
    assert failed["reason"] == "timeout" and "nothing has moved" in failed["message"]
    assert "last phase: arguments" in failed["message"] and time.monotonic() - begin < 60


def test_a_start_that_goes_on_is_given_more_time(host):
    events = host.converge("create", "--load", "5", start_timeout=2.0, start_limit=30.0)
    assert result(events) == "ok" and one(events, "extended")["phase"] == "loading weights"


@pytest.mark.long
def test_but_not_for_ever(host):
    failed = one(host.converge("create", "--load", "60", start_timeout=1.0, start_limit=4.0), "failed")
    assert failed["reason"] == "timeout" and "not ready within 4 s" in failed["message"]


@pytest.mark.long
def test_an_engine_that_is_dead_behind_a_living_server_is_no_start(host):
    failed = one(host.converge("create", "--sick"), "failed")
    assert failed["reason"] == "probe" and "/health answers 503" in failed["message"]
