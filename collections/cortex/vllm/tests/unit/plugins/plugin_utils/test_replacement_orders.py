# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a replacement short: drain, weights read ahead, time-outs and time left from what the host remembers."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, observation, progress, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.following import Job, limit_of
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering.render import drain
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import Host, server

GIB = 1 << 30


def declared(**more):
    return spec.load({"chat": server(**more)})[0]


@pytest.mark.parametrize(
    ("more", "version", "argument", "stop"),
    [
        ({}, "0.32.0", 20, 30.0),
        ({}, "0.17.1", None, 30.0),
        ({"drain_timeout": "2m"}, "0.32.0", 120, 130.0),
        ({"drain_timeout": "2m", "stop_timeout": 300}, "0.18.1", 120, 300.0),
        ({"drain_timeout": 0}, "0.32.0", None, 30.0),
        ({"drain_timeout": 0.5}, "0.32.0", 1, 30.0),
        ({"engine_args": {"shutdown_timeout": 60}}, "0.32.0", 20, 70.0),
    ],
)
def test_a_server_is_killed_later_than_its_requests_are_given_up(more, version, argument, stop):
    one = declared(**more)
    assert drain(one, catalog.release(version)).get("shutdown_timeout") == argument
    assert one.effective_stop_timeout == stop


def test_what_engine_args_say_of_the_drain_wins():
    host = Host()
    plan = host.plan({"chat": server(engine_args={"shutdown_timeout": 60})})
    body = plan.request("j")["orders"]["chat"]["body"]
    words = body["Cmd"]
    assert words[words.index("--shutdown-timeout") + 1] == "60" and words.count("--shutdown-timeout") == 1
    assert body["StopTimeout"] == 70


def test_a_replacement_reads_weights_ahead_and_waits_for_the_drain_that_runs():
    host = Host()
    host.models["/models/qwen"] = {"status": "complete", "format": "safetensors", "path": "/models/qwen", "bytes": GIB}
    host.converge({"chat": server(drain_timeout=90)})
    order = host.plan({"chat": server(drain_timeout=5, engine_args={"max_num_seqs": 3})}).request("j")["orders"]["chat"]
    assert order["action"] == "replace"
    assert order["stop_timeout"] == 100.0, "what runs was told that its requests have 90 s"
    assert order["warm"]["path"] == "/models/qwen" and order["warm"]["limit"] > 0
    assert order["model"] == "/models/qwen"
    assert order["start_limit"] == 3 * order["start_timeout"] and order["stall_timeout"] == 300.0


@pytest.mark.parametrize(
    ("more", "key", "expected"),
    [
        ({"warm_cache": False}, "warm", None),
        ({"start_timeout": 50}, "start_limit", None),
        ({"engine_args": {"distributed_executor_backend": "ray"}}, "stall_timeout", None),
        ({"engine_args": {"nnodes": 2}}, "stall_timeout", None),
    ],
)
def test_what_is_not_wanted_is_not_ordered(more, key, expected):
    host = Host()
    host.converge({"chat": server()})
    args = {**more.get("engine_args", {}), "max_num_seqs": 3}
    order = host.plan({"chat": server(**{**more, "engine_args": args})}).request("j")
    assert order is None or order["orders"]["chat"].get(key) == expected


def test_turning_reading_ahead_off_changes_no_container():
    host = Host()
    host.converge({"chat": server()})
    assert host.plan({"chat": server(warm_cache=False)}).servers[0].action == "none"


def seen(**servers):
    history = {name: {"state": {"history": entries}, "state_hash": "x"} for name, entries in servers.items()}
    return observation.Observation.parse({"schema": 1, "servers": history})


def start(image="sha256:a", model="m@1", seconds=100.0, loading=40.0, size=40 * GIB):
    phases = {"starting": 2.0, "loading weights": loading, "serving": 3.0}
    return {"image_id": image, "model": model, "ready_seconds": seconds, "phases": phases, "bytes": size}


def test_a_start_is_foretold_by_one_of_the_same_image_and_model_on_this_host():
    found = seen(chat=[start(model="other", seconds=1), start(seconds=7)], twin=[start(image="sha256:b", seconds=9)])
    assert found.start_like("chat", "sha256:a", "m@1")["seconds"] == 7
    assert found.start_like("new", "sha256:b", "m@1")["seconds"] == 9, "of another server"
    assert found.start_like("chat", "sha256:c", "m@1") is None


def test_the_time_out_goes_by_the_storage_that_was_seen():
    slow = seen(chat=[start(loading=4000.0)])
    assert slow.storage_rate == pytest.approx(40 * GIB / 4000)
    one = declared()
    assert rendering.start_timeout(one, 40 * GIB, slow.storage_rate) == pytest.approx(600 + 8000)
    assert rendering.start_timeout(one, 40 * GIB, 5e9) == pytest.approx(617, abs=1)
    assert rendering.start_timeout(declared(start_timeout=5), 40 * GIB, 1e6) == 5
    assert seen(chat=[start(size=1000)]).storage_rate is None, "a small model says nothing about the storage"


PHASES = {"starting": 10.0, "importing": 20.0, "loading weights": 60.0, "compiling": 100.0, "serving": 10.0}


@pytest.mark.parametrize(
    ("phase", "percent", "elapsed", "left"),
    [
        ("importing", None, 12, 190.0),
        ("loading weights", 50, 60, 140.0),
        ("loading weights", 50, 600, 140.0),  # slower than the last time: what comes still takes what it takes
        ("serving", None, 190, 10.0),
        ("capturing graphs", None, 150, 50.0),  # new: by the total
        ("capturing graphs", None, 500, 0.0),
    ],
)
def test_the_time_left_is_what_is_left_of_the_phases(phase, percent, elapsed, left):
    assert progress.time_left({"seconds": 200.0, "phases": PHASES}, elapsed, phase, percent) == left
    assert progress.time_left(None, elapsed, phase, percent) is None


def test_the_lines_of_a_replacement():
    follower = progress.Follower({"chat": {"seconds": 200.0, "phases": PHASES}})
    lines = [
        follower.line("gpu1", "chat", event)
        for event in (
            {"event": "warming", "percent": 40, "bytes": 4, "total": 10, "left": 90.0},
            {"event": "warmed", "bytes": 5 * GIB, "total": 10 * GIB, "seconds": 20.0, "stopped": "memory"},
            {"event": "warmed", "bytes": 10, "total": 10, "seconds": 0.1, "stopped": None},
            {"event": "stopped", "seconds": 30.2, "killed": True},
            {"event": "gpu_memory", "seconds": 0.3, "free": True, "held": []},
            {"event": "gpu_memory", "seconds": 4.3, "free": True, "held": []},
            {"event": "gpu_memory", "seconds": 30.1, "free": False, "held": ["GPU-1"]},
            {"event": "started", "t": 100.0},
            {"event": "phase", "t": 160.0, "phase": "loading weights", "percent": 50},
            {"event": "extended", "seconds": 600.0, "limit": 1800.0, "phase": "compiling"},
            {"event": "committed", "downtime": 42.4, "spent": {"stop": 1.2, "create": 0.1, "loading weights": 41.0}},
        )
    ]
    assert lines == [
        "[gpu1] chat: reading weights into memory 40 %, about 90 s left; the old server answers",
        "[gpu1] chat: 5.0 of 10.0 GiB of weights in memory after 20 s: there is no memory for more",
        None,
        "[gpu1] chat: container killed: it did not end by itself within 30 s",
        None,
        "[gpu1] chat: GPU memory free after 4.3 s",
        "[gpu1] chat: GPU memory of GPU-1 was not given back within 30 s; starting all the same",
        "[gpu1] chat: container started",
        "[gpu1] chat: loading weights 50 % (60 s, about 2 min 20 s left)",
        "[gpu1] chat: not ready after 10 min 00 s, but it goes on: waiting up to 30 min 00 s",
        "[gpu1] chat: committed, 42 s without an answer (stop 1.2 s, loading weights 41 s)",
    ]


def test_the_result_tells_the_downtime_and_what_it_was_spent_on():
    job = Job("chat", "j", action="replace")
    for event in (
        {"event": "stopped", "seconds": 1.0, "exit_code": 0, "killed": False},
        {"event": "gpu_memory", "seconds": 1.5, "free": True, "held": [], "gpus": {"GPU-1": {"used": 3, "before": 9}}},
        {"event": "ready", "seconds": 8.0, "token": "x", "phases": {"starting": 8.0}},
        {"event": "committed", "generation": "g", "downtime": 9.5, "spent": {"stop": 1.0}},
        {"event": "done", "result": "ok"},
    ):
        job.note(event)
    outcome = job.outcome()
    assert (outcome["downtime"], outcome["spent"], outcome["drained"]) == (9.5, {"stop": 1.0}, True)
    assert outcome["phases"] == {"starting": 8.0} and outcome["gpu_memory"]["free"] is True


def test_a_job_is_given_the_time_that_it_may_take():
    order = {"action": "replace", "start_timeout": 100.0, "stop_timeout": 10.0, "lock_timeout": 5.0, "probe": {}}
    plain = limit_of({"chat": order}, [["chat"]])["chat"]
    longer = limit_of({"chat": {**order, "start_limit": 300.0, "warm": {"limit": 50.0}}}, [["chat"]])["chat"]
    assert longer - plain == 2 * 200.0 + 50.0


def test_a_line_that_cannot_be_rendered_is_refused_although_no_container_would_differ():
    host = Host()
    host.converge({"chat": server()})
    plan = host.plan({"chat": server(engine_args={"max_modellen": 128})})
    assert [(item.code, item.severity) for item in plan.findings] == [("argument.unknown", "error")]
    # What was wrong before and is not touched only warns.
    host.devices = []
    again = host.plan({"chat": server(env={})})
    assert not [item for item in again.findings if item.severity == "error"]


def test_the_old_server_has_the_time_to_come_back_that_it_had_to_start():
    """A large server is changed to a small model which fails: who follows the job must wait for the large one."""
    host = Host()
    host.converge({"chat": server(start_timeout=2000)})
    host.states["chat"]["committed"].update(start_timeout=2000.0, start_limit=6000.0, ready_seconds=300.0)
    orders = host.plan({"chat": server(start_timeout=60)}, restart=True).request("j")["orders"]
    assert orders["chat"]["rollback_limit"] == 6000.0
    plain = {"chat": {**orders["chat"], "rollback_limit": 0.0}}
    assert limit_of(orders, [["chat"]])["chat"] == limit_of(plain, [["chat"]])["chat"] + 6000.0 - 60.0
    host.states["chat"]["committed"].update(start_timeout=None, start_limit=None)
    orders = host.plan({"chat": server()}, restart=True).request("j")["orders"]
    assert orders["chat"]["rollback_limit"] == 900.0, "a record of before: three times what its last start took"
