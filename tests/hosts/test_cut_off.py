# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of a host dies, or the host itself goes down, in the middle of a replacement."""

from __future__ import annotations

import json
import threading
import time
import typing as t

import pytest

from .conftest import CONTAINER, SERVER, WHEN

pytestmark = [pytest.mark.engine, pytest.mark.long]

#: Two values of one argument that take long to load, so that there is a middle.
SLOW = {"kill": 21, "reboot": 22}


def events(machine: t.Any) -> list[str]:
    text = machine.run("cat", f"/var/lib/cortex-vllm/{SERVER}/journal.jsonl", check=False)
    return [json.loads(line)["event"] for line in text.splitlines() if line.startswith("{")]


def wait_for(machine: t.Any, event: str, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while event not in events(machine):
        assert time.monotonic() < until, f"no {event}: {events(machine)}"
        time.sleep(0.2)


@pytest.mark.parametrize("moment", ["started", "stopping"])
@pytest.mark.parametrize("blow", ["kill", "reboot"])
def test_a_replacement_that_is_cut_off_is_finished_by_the_next_converge(served, blow, moment):
    value = SLOW[blow]
    served.put_model(
        when=[
            *WHEN,  # tests after this one want them
            *({"argument": "max_num_seqs", "value": str(slow), "set": {"load_seconds": 12}} for slow in SLOW.values()),
        ]
    )
    served.run("rm", "-f", f"/var/lib/cortex-vllm/{SERVER}/journal.jsonl")
    served.declaration["engine_args"]["max_num_seqs"] = value
    play = threading.Thread(target=served.play)
    play.start()
    wait_for(served, moment)
    if blow == "kill":
        served.run("systemctl", "kill", "--signal=KILL", "docker.service")
        served.wait_engine()
    else:
        served.reboot()
    play.join(200)
    # Whatever became of the change: there is one server, and it comes back without anybody.
    outcome = served.play()
    assert outcome.code == 0, outcome.text
    served.wait_serving()
    command = served.inspect()["Config"]["Cmd"]
    assert command[command.index("--max-num-seqs") + 1] == str(value)
    assert served.inspect()["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert len(served.run("docker", "ps", "-aq", "--filter", f"name={CONTAINER}").split()) == 1
    assert json.loads(served.run("cat", f"/var/lib/cortex-vllm/{SERVER}/state.json"))["transaction"] is None
    assert served.converged().changed == set()


def test_a_replacement_tells_its_downtime_here_as_well(served):
    served.declaration["engine_args"]["max_num_seqs"] = 10
    outcome = served.converged()
    row = outcome.server("second", SERVER)
    assert row["downtime"] > 0 and abs(sum(row["spent"].values()) - row["downtime"]) < 0.5
    assert row["phases"]


def kill_engine(machine: t.Any) -> None:
    machine.run("systemctl", "kill", "--signal=KILL", "docker.service")
    # Its unit gives up after a few ends in a row; people do not kill it so often.
    machine.run("systemctl", "reset-failed", "docker.service", "docker.socket", check=False)
    machine.run("systemctl", "start", "docker.service")
    machine.wait_engine()


def leaks(machine: t.Any) -> bool:
    """Kill the engine while it starts the server; whether it keeps the port although nothing runs any more."""
    for step in range(40):
        starting = threading.Thread(target=machine.run, args=("docker", "start", CONTAINER), kwargs={"check": False})
        starting.start()
        time.sleep(0.06 + 0.02 * (step % 14))
        kill_engine(machine)
        starting.join()
        machine.run("docker", "stop", "--time", "2", CONTAINER)
        if "docker-proxy" in machine.run("ss", "-Hltnp"):
            return True
    return False


def test_a_port_that_a_killed_engine_keeps_for_nobody_is_freed(served):
    """Else neither this server nor any other could have that port again until somebody restarts the engine."""
    served.run("docker", "update", "--restart", "no", CONTAINER)
    served.run("docker", "stop", "--time", "5", CONTAINER)
    if not leaks(served):
        pytest.skip("this engine never kept the port")
    assert "already allocated" in served.run("sh", "-c", f"docker start {CONTAINER} 2>&1", check=False)
    outcome = served.converged()
    assert "the engine keeps port 8000 for a container that is gone" in outcome.text
    served.wait_serving()
    assert served.converged().changed == set()
    # Who restarts the engine next within a minute is not to be refused for what this test did.
    served.run("systemctl", "reset-failed", "docker.service", check=False)
