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

from .conftest import CONTAINER, SERVER

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
            {"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P6"}},
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
    served.declaration["engine_args"]["max_num_seqs"] = 9
    outcome = served.converged()
    row = outcome.server("second", SERVER)
    assert row["downtime"] > 0 and abs(sum(row["spent"].values()) - row["downtime"]) < 0.5
    assert row["phases"]
