# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about servers, and tables of rows."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import spec, status
from ansible_collections.cortex.vllm.plugins.plugin_utils.observation import Observation
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import FakePlan, ServerPlan, observed


@dataclasses.dataclass
class Difference:
    field: str
    kind: str = "replace"
    cause: str = "drift"

    def __str__(self) -> str:
        return f"{self.field}: 1 -> 2"


def container(name: str = "chat", **state: t.Any) -> dict[str, t.Any]:
    running = {"Running": True, "Status": "running", "StartedAt": "1970-01-01T00:10:00.123456789Z"}
    return {
        "Id": "c1",
        "Name": f"/cortex-vllm-{name}",
        "Image": "sha256:1",
        "RestartCount": 3,
        "State": {**running, **state},
        "Config": {"Labels": {"cortex.vllm.server": name}},
    }


def row(
    declaration: dict[str, t.Any] | None = None,
    address: str = "10.0.0.1",
    differences: t.Sequence[t.Any] = (),
    **seen: t.Any,
) -> t.Any:
    specs = spec.load(
        {"chat": {"image": "x:1", "model": "/m", "secrets": {"api_key": "sk-12345678"}, **(declaration or {})}}
    )
    plan = FakePlan([ServerPlan("chat", differences=list(differences))])
    return status.rows("gpu1", address, specs, plan, Observation.parse(observed(**seen)["observation"]))[0]


def test_a_running_server() -> None:
    found = row(
        containers=[container()],
        images={"sha256:1": {"known": {"vllm_version": "0.32.0"}}, "x:1": {"known": {"vllm_version": "0.9.0"}}},
        servers={"chat": {"health": {"http": 200, "error": None}}},
        differences=[
            Difference("env.A"),
            Difference("log_driver", "cosmetic"),
            Difference("image", cause="resolved"),
        ],
    )

    assert found == {
        "server": "chat",
        "host": "gpu1",
        "state": "running",
        "phase": "ready",
        "health": "200",
        "release": "0.32.0",
        "uptime": "6 min 40 s",
        "restarts": 3,
        "model": "/m",
        "url": "http://127.0.0.1:8000",
        "outside": False,
        "drift": "env.A, image (resolved)",
        "verdict": "ready",
        "trouble": "",
        "gpu_memory": "",
        "downtime": "",
    }


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"Running": False, "Status": "exited", "ExitCode": 3}, "exited (3)"),
        ({"Running": False, "Status": "created"}, "created"),
        ({"Restarting": True}, "restarting"),
        ({"Paused": True}, "paused"),
    ],
)
def test_states_of_a_container(state: dict[str, t.Any], said: str) -> None:
    assert row(containers=[container(**state)])["state"] == said


def test_no_container_is_absent_and_has_no_drift() -> None:
    found = row(differences=[Difference("env.A")])

    assert (found["state"], found["uptime"], found["drift"], found["restarts"]) == ("absent", "", "", 0)


@pytest.mark.parametrize("started", ["", "0001-01-01T00:00:00Z"])
def test_a_start_that_nobody_knows(started: str) -> None:
    assert row(containers=[container(StartedAt=started)])["uptime"] == ""


@pytest.mark.parametrize(
    ("declaration", "address", "url", "outside"),
    [
        ({}, "10.0.0.1", "http://127.0.0.1:8000", False),
        ({}, "127.0.0.1", "http://127.0.0.1:8000", True),
        ({"bind": "0.0.0.0"}, "10.0.0.1", "http://10.0.0.1:8000", True),
        ({"bind": "0.0.0.0"}, "fe80::1", "http://[fe80::1]:8000", True),
        ({"bind": "0.0.0.0"}, "", "http://0.0.0.0:8000", False),
        ({"bind": "10.9.9.9", "server_port": 8001}, "gpu1", "http://10.9.9.9:8001", True),
    ],
)
def test_urls(declaration: dict[str, t.Any], address: str, url: str, outside: bool) -> None:
    found = row(declaration, address)

    assert (found["url"], found["outside"]) == (url, outside)


def test_what_nobody_declares_has_a_row() -> None:
    plan = FakePlan([ServerPlan("old")])
    seen = Observation.parse(observed(containers=[container("old")])["observation"])

    found = status.rows("gpu1", "", [], plan, seen)[0]

    assert (found["server"], found["state"], found["drift"], found["url"]) == ("old", "running", "not declared", "")


def test_a_table_leaves_out_what_nobody_says() -> None:
    lines = status.table([{"server": "chat", "restarts": 0}, {"server": "embedding", "model": "m"}])

    assert lines == [
        "SERVER     RESTARTS  MODEL",
        "chat       0         -",
        "embedding  -         m",
    ]


def test_a_long_cell_is_cut_in_the_middle() -> None:
    line = status.table([{"model": "/data/" + "x" * 100 + "/end"}])[1]

    assert len(line) == status.WIDEST
    assert line.startswith("/data/")
    assert line.endswith("/end")


def test_nothing_is_no_table() -> None:
    assert status.table([]) == []


def test_cosmetic_differences_are_not_told() -> None:
    assert status.difference_texts([Difference("a"), Difference("b", "cosmetic")]) == ["a: 1 -> 2"]
