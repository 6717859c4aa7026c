# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A replacement that cannot work, and a controller that dies in the middle: the old server serves again."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import subprocess
import time

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]

RULE = {"argument": "max_num_seqs", "value": "7"}


def wait_for_event(host, name: str, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while not any(event["event"] == name for event in host.journal()):
        assert time.monotonic() < until, f"no event {name}: {[event['event'] for event in host.journal()]}"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ({"fail_phase": "P6"}, ["Insufficient space in /dev/shm"]),
        ({"replay": "weights-truncated"}, ["SafetensorError"]),
        ({"exit": 3, "fail_phase": "P4"}, ["ended with code 3"]),
        ({"hang_requests": True}, ["/v1/completions: no answer in time"]),
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
    (failed,) = [event for event in one[0].journal() if event["event"] == "failed"]
    assert failed["reason"] == "exit" and failed["exit"]["code"] == 1
    look = json.loads((pathlib.Path(failed["evidence"]) / "inspect.json").read_text())
    died = datetime.datetime.fromisoformat(look["State"]["FinishedAt"][:26].rstrip("Z") + "+00:00").timestamp()
    # A second of a machine that has one to give.
    assert failed["t"] - died < max(1.0, os.getloadavg()[0])


@pytest.mark.parametrize("ending", ["fails", "works"])
def test_controller_killed_in_the_wait_of_a_replacement(fleet, ending):
    """The job decides alone: no further run, and the host serves again, the old server or the new one."""
    spoilt = {"fail_phase": "P8"} if ending == "fails" else {}
    one = fleet(1, when=[{**RULE, "set": {"gate": "go", **spoilt}}])
    host = one[0]
    one.converged()
    before = host.inspect()["Id"]
    host.declaration["engine_args"]["max_num_seqs"] = 7
    controller = one.begin()
    try:
        wait_for_event(host, "stopped")
        wait_for_event(host, "started")
        assert not host.serves()
        assert controller.process.poll() is None
    finally:
        controller.kill()
    (host.model / "go").touch()
    wait_for_event(host, "done")
    host.wait_serving()
    assert host.journal()[-1]["result"] == ("rolled_back" if ending == "fails" else "ok")
    assert (host.inspect()["Id"] == before) == (ending == "fails")
    if ending == "works":
        # The next run has nothing to do, and knows it.
        assert one.converged().changed == set()


def test_engine_death_after_readiness_is_started_again(fleet):
    """vLLM exits 0 then; the restart policy of a verified server brings it back, and the converge agrees."""
    one = fleet(1)
    host = one[0]
    one.converged()
    top = subprocess.run(
        ["docker", "top", host.container, "-eo", "pid,args"], capture_output=True, text=True, check=True
    )
    (pid,) = [line.split()[0] for line in top.stdout.splitlines() if line.endswith("VLLM::EngineCore")]
    before = host.inspect()["State"]["StartedAt"]
    subprocess.run(["kill", "-9", pid], check=True)
    until = time.monotonic() + 30
    while host.inspect()["State"]["StartedAt"] == before:
        assert time.monotonic() < until
        time.sleep(0.2)
    host.wait_serving()
    assert one.converged().failed == set()
