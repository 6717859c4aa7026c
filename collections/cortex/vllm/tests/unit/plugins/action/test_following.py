# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following jobs: deadlines, silence, lost hosts, and what a person is told."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import following
from ansible_collections.cortex.vllm.plugins.plugin_utils.following import Job, Lost, RemoteError
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import done, order, watched


class Host:
    """A host whose watching takes ten seconds of a clock that only it moves."""

    def __init__(self, *answers: t.Any) -> None:
        self.host, self.calls, self.now = "gpu1", 0, 0.0
        self.answers = list(answers)
        self.said: list[str] = []
        self.resets = 0
        self.slept: list[float] = []

    def __call__(self, step: str, request: t.Any, secrets: t.Any = None) -> dict[str, t.Any]:
        self.calls += 1
        self.now += following.SLICE
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, t.Any] = answer
        return found

    def say(self, line: str) -> None:
        self.said.append(line)

    def reset(self) -> None:
        self.resets += 1

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def follow(self, *jobs: Job) -> None:
        following.follow(self, list(jobs), "/state", clock=self.clock, sleep=self.sleep)


def test_overdue_is_said_and_left_to_the_host() -> None:
    job = Job("chat", "j", limit=100.0)

    Host(watched({"chat": []})).follow(job)

    assert job.result == "overdue"
    assert job.broken
    assert "goes on by itself" in following.failure_text(job)


def test_silence_is_broken_now_and_then() -> None:
    host = Host(*[watched({"chat": []})] * 8, watched({"chat": [done()]}))

    host.follow(Job("chat", "j", limit=1000.0, phase="compiling"))

    assert host.said == ["[gpu1] chat: compiling, 40 s so far", "[gpu1] chat: compiling, 1 min 20 s so far"]


def test_a_lost_host_is_tried_with_back_off_until_the_deadline() -> None:
    host = Host(Lost("ssh: connection refused"))

    with pytest.raises(Lost, match="The job goes on there by itself"):
        host.follow(Job("chat", "j", limit=200.0))

    assert host.slept[:6] == [1.0, 2.0, 4.0, 8.0, 15.0, 30.0]
    assert host.resets == len(host.slept)
    assert 200.0 < host.now < 300.0


def test_a_host_that_refuses_is_not_asked_again() -> None:
    host = Host(RemoteError("schema 2 is not understood"))

    with pytest.raises(RemoteError, match="schema 2"):
        host.follow(Job("chat", "j", limit=200.0))

    assert host.calls == 1


def test_answers_about_others_are_ignored() -> None:
    host = Host(watched({"other": [done()], "chat": [done()]}))
    job = Job("chat", "j", limit=50.0)

    host.follow(job)

    assert job.result == "ok"


def test_limits_of_a_group_add_up() -> None:
    orders = {"a": order("create"), "b": order("replace"), "c": order("create")}

    limits = following.limit_of(orders, [["a", "b"], ["c"]])

    single = 100 + 20 + 10 + 5
    assert limits == {"a": 60 + single, "b": 60 + single + single + 120, "c": 60 + single}


def test_pending_survives_the_way_to_the_next_task() -> None:
    job = Job("chat", "j1", 7, "replace", 90.0, 12.5)

    assert Job.from_pending(job.as_pending()) == job


def test_failure_tells_findings_and_log() -> None:
    job = Job("chat", "j", action="update")
    job.note({"event": "phase", "phase": "loading weights"})
    job.note(
        {
            "event": "failed",
            "message": "the container ended with code 1",
            "exit": {"code": 1, "oom": False},
            "log": [
                "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, "
                "64 MiB free. Increase /dev/shm (e.g. --shm-size or --ipc=host)."
            ],
        }
    )
    job.note(done("failed"))

    text = following.failure_text(job)

    assert text.startswith("chat: update in place failed: the container ended with code 1")
    assert "shm_size" in text
    assert [finding.server for finding in following.diagnose(job)[0]] == ["chat"]
    assert "    | RuntimeError: Insufficient space" in text


def test_after_a_roll_back_the_old_container_is_the_one() -> None:
    job = Job("chat", "j", action="replace")
    for event in (
        {"event": "created", "container_id": "new"},
        {"event": "started", "container_id": "new"},
        {"event": "failed", "message": "x"},
        {"event": "started", "container_id": "old"},
        {"event": "rolled_back", "verified": True, "seconds": 7.0},
        done("rolled_back"),
    ):
        job.note(event)

    assert job.outcome()["container_id"] == "old"
    assert job.outcome()["rolled_back"] is True


@pytest.mark.parametrize(
    ("reason", "message", "code"),
    [
        ("exit", "the container was removed by somebody else", "server.killed"),
        ("start", "Bind for 0.0.0.0:8000 failed: port is already allocated", "port.taken"),
        ("start", "the engine keeps port 8000 for a container that is gone, until it is restarted", "port.kept"),
        ("timeout", "not ready within 60 s", "start.timeout"),
        ("timeout", "nothing has moved for 300 s: no word in its log", "start.stalled"),
        ("probe", "HTTP 500", "probe.failed"),
        ("stop", "the container still runs after the stop", "server.stop-failed"),
        ("files", "state.json cannot be written", "host.files"),
        ("lock", "gpu-GPU-1 is locked by another job", "server.locked"),
    ],
)
def test_where_no_log_tells_why_the_host_does(reason: str, message: str, code: str) -> None:
    job = Job("chat", "j", action="replace")
    job.note({"event": "failed", "reason": reason, "message": message, "exit": None, "log": []})
    assert [finding.code for finding in following.diagnose(job)[0]] == [code]
    assert message in following.failure_text(job)


def test_failure_without_any_reason_still_says_something() -> None:
    job = Job("chat", "j", action="recover", result="failed")

    assert following.failure_text(job) == "chat: recovery failed: no reason was given"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (65, "1 min 05 s"), (7500, "2 h 05 min"), (100000, "1 d 3 h")],
)
def test_durations(seconds: float, said: str) -> None:
    assert following.duration(seconds) == said
