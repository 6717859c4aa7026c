# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A replacement that cannot work, and a controller that dies in the middle: the old server serves again."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]

RULE = {"argument": "max_num_seqs", "value": "7"}


def wait_for_event(host, name: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not any(event["event"] == name for event in host.journal()):
        assert time.monotonic() < until, f"no event {name}: {[event['event'] for event in host.journal()]}"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ({"fail_phase": "P6"}, ["Insufficient space in /dev/shm"]),
        ({"replay": "weights-truncated"}, ["SafetensorError"]),
        ({"unknown_flags": ""} | {"exit": 3, "fail_phase": "P4"}, ["ended with code 3"]),
        ({"hang_requests": True}, ["token"]),
    ],
    ids=["worker", "weights", "configuration", "no token"],
)
def test_failed_replacement_leaves_the_old_server(fleet, failure, words):
    one = fleet(1, when=[{**RULE, "set": failure}])
    host = one[0]
    host.declaration["probe"] = {"token_timeout": 4}
    one.converged()
    before = host.inspect()
    host.declaration["engine_args"]["max_num_seqs"] = 7
    outcome = one.play()
    assert outcome.code != 0
    message = outcome.message("h00")
    for word in words:
        assert word in message, message
    assert "answers again" in message
    after = host.inspect()
    assert after["Id"] == before["Id"] and after["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.serves()
    # Evidence is kept on the host, nothing else is.
    evidence = list((host.state_dir / host.server_name / "evidence").iterdir())
    assert len(evidence) == 1 and (evidence[0] / "log.txt").stat().st_size > 0
    # The declaration that serves is what is recorded: going back to it is no change.
    del host.declaration["engine_args"]["max_num_seqs"]
    assert one.converged().changed == set()


def test_first_start_that_fails_says_why_and_leaves_nothing_running(fleet):
    one = fleet(1, fail_phase="P8")
    outcome = one.play()
    assert outcome.code != 0
    assert "kv cache" in outcome.message("h00").lower()
    assert not one[0].exists() or not one[0].inspect()["State"]["Running"]
    # Mended, the next converge starts it.
    (one[0].model / "standin.json").unlink()
    one.converged()
    assert one[0].serves()


def test_death_is_reported_within_a_second(fleet):
    one = fleet(1, fail_phase="P4")
    one.play()
    journal = one[0].journal()
    (failed,) = [event for event in journal if event["event"] == "failed"]
    assert failed["reason"] == "exit" and failed["exit"]["code"] == 1
    finished = one[0].inspect()["State"]["FinishedAt"] if one[0].exists() else None
    if finished:
        import datetime

        died = datetime.datetime.fromisoformat(finished[:26].rstrip("Z") + "+00:00").timestamp()
        assert failed["t"] - died < 1.0
    assert failed["exit"]["seconds"] < 10


def test_controller_killed_in_the_wait_of_a_replacement_that_fails(fleet):
    """SIGKILL to the whole controller: no further run, the old server answers again."""
    one = fleet(1, when=[{**RULE, "set": {"load_seconds": 8, "fail_phase": "P8"}}])
    host = one[0]
    one.converged()
    before = host.inspect()["Id"]
    host.declaration["engine_args"]["max_num_seqs"] = 7
    command, environment, _out = one.command("site")
    controller = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not any(event["event"] == "stopped" for event in host.journal()):
            assert time.monotonic() < until and controller.poll() is None
            time.sleep(0.1)
        wait_for_event(host, "started")
        assert not host.serves()
    finally:
        os.killpg(controller.pid, signal.SIGKILL)
        controller.wait()
    wait_for_event(host, "done")
    assert host.journal()[-1]["result"] == "rolled_back"
    assert host.inspect()["Id"] == before
    host.wait_serving()


def test_controller_killed_in_the_wait_of_a_replacement_that_works(fleet):
    one = fleet(1, when=[{**RULE, "set": {"load_seconds": 6}}])
    host = one[0]
    one.converged()
    before = host.inspect()["Id"]
    host.declaration["engine_args"]["max_num_seqs"] = 7
    command, environment, _out = one.command("site")
    controller = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not any(event["event"] == "stopped" for event in host.journal()):
            assert time.monotonic() < until and controller.poll() is None
            time.sleep(0.1)
    finally:
        os.killpg(controller.pid, signal.SIGKILL)
        controller.wait()
    wait_for_event(host, "committed")
    host.wait_serving()
    assert host.inspect()["Id"] != before
    # The next run has nothing to do, and knows it.
    assert one.converged().changed == set()


def test_engine_death_after_readiness_is_started_again(fleet):
    """vLLM exits 0 then; the restart policy of a verified server brings it back, and the converge agrees."""
    one = fleet(1)
    host = one[0]
    one.converged()
    top = subprocess.run(["docker", "top", host.container, "-eo", "pid,args"], capture_output=True, text=True, check=True)
    (pid,) = [line.split()[0] for line in top.stdout.splitlines() if line.endswith("VLLM::EngineCore")]
    before = host.inspect()["State"]["StartedAt"]
    subprocess.run(["kill", "-9", pid], check=True)
    until = time.monotonic() + 30
    while host.inspect()["State"]["StartedAt"] == before:
        assert time.monotonic() < until
        time.sleep(0.2)
    host.wait_serving()
    assert one.converged().failed == set()
