# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Phases from real log lines, and the lines that people read while a server loads."""

from __future__ import annotations

import pathlib
import re

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import progress

LOG = pathlib.Path(__file__).parent / "data" / "logs" / "ok-start-0.32.0.log"


def test_a_whole_start_goes_through_its_phases_in_order():
    seen = [found[0] for found in map(progress.phase_of, LOG.read_text().splitlines()) if found]
    # The worker repeats the import line of the server; whoever follows never goes back.
    order = list(dict.fromkeys(seen))
    assert order == [
        "importing",
        "configuring",
        "starting engine",
        "loading weights",
        "sizing KV cache",
        "warming up",
        "serving",
    ]
    assert order == [phase for phase in progress.PHASES if phase in order]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Loading safetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:02]", ("loading weights", 40)),
        ("Loading pt checkpoint shards: 100% Completed | 5/5", ("loading weights", 100)),
        ("INFO Available KV cache memory: 41.9 GiB", ("sizing KV cache", None)),
        ("# GPU blocks: 2000, # CPU blocks: 100", ("sizing KV cache", None)),
        ("GPU + host KV cache size: 10 tokens, Maximum concurrency", ("sizing KV cache", None)),
        ("Capturing CUDA graph shapes:  57%|#####7    | 20/35", ("capturing graphs", 57)),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):   3%|", ("capturing graphs", 3)),
        ("Dynamo bytecode transform time: 5.2 s", ("compiling", None)),
        ("Initializing a V1 LLM engine (v0.10.0) with config", ("starting engine", None)),
        ("Initializing an LLM engine (v0.6.3) with config", ("starting engine", None)),
        ('INFO:     172.17.0.1:1 - "GET /health HTTP/1.1" 200 OK', None),
    ],
)
def test_phase_of_a_line(line, expected):
    assert progress.phase_of(line) == expected


def test_rules_are_plain_data_that_any_python_compiles():
    for rule in progress.PHASE_RULES:
        assert set(rule) == {"phase", "pattern", "percent"}
        pattern = re.compile(rule["pattern"])
        assert rule["percent"] is None or rule["percent"] in pattern.groupindex


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def phase(name, t, percent=None):
    return {"event": "phase", "phase": name, "percent": percent, "t": t, "text": ""}


def test_lines_of_a_start_with_time_left():
    clock = Clock()
    follower = progress.Follower({"chat": {"seconds": 60.0}}, clock)
    said = []
    for event in (
        {"event": "started", "t": 100.0, "container_id": "x"},
        phase("importing", 101.0),
        phase("loading weights", 112.0, 40),
        phase("importing", 113.0),
        phase("loading weights", 114.0, 50),
        {"event": "answering", "t": 130.0, "seconds": 30.0},
        {"event": "ready", "t": 131.0, "seconds": 31.2, "token": "Hi"},
    ):
        said.append(follower.line("gpu1", "chat", event))
    assert said == [
        "[gpu1] chat: container started",
        "[gpu1] chat: importing (1 s, about 59 s left)",
        "[gpu1] chat: loading weights 40 % (12 s, about 48 s left)",
        None,
        None,
        "[gpu1] chat: answering after 30 s, asking for a token",
        "[gpu1] chat: ready after 31 s, first token 'Hi'",
    ]
    clock.now = progress.HEARTBEAT + 1
    assert follower.line("gpu1", "chat", phase("loading weights", 170.0, 90)) == (
        "[gpu1] chat: loading weights 90 % (70 s, any moment)"
    )


def test_a_second_start_begins_again_without_history():
    follower = progress.Follower(clock=Clock())
    follower.line("h", "chat", {"event": "started", "t": 0.0})
    follower.line("h", "chat", phase("serving", 10.0))
    assert follower.line("h", "chat", phase("importing", 11.0)) is None
    follower.line("h", "chat", {"event": "started", "t": 20.0})
    assert follower.line("h", "chat", phase("importing", 150.0)) == "[h] chat: importing (2 min 10 s)"
    assert follower.line("h", "other", phase("importing", 150.0)) == "[h] other: importing"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "accepted", "action": "replace"}, None),
        ({"event": "waiting", "for": "gpu GPU-1"}, "waiting for the gpu GPU-1"),
        ({"event": "stopping", "timeout": 30}, "stopping the container (up to 30 s)"),
        ({"event": "stopped", "seconds": 0.4}, "container stopped after 0.4 s"),
        ({"event": "failed", "reason": "exit", "message": "it died"}, "failed (exit): it died"),
        ({"event": "rolling_back"}, "going back to the old container"),
        ({"event": "rolled_back", "verified": True, "seconds": 9}, "the old container answers again (9 s)"),
        (
            {"event": "rolled_back", "verified": False, "seconds": 9},
            "the old container was started again and does not answer (9 s)",
        ),
        ({"event": "committed", "downtime": 42.0}, "committed, 42 s without an answer"),
        ({"event": "updated"}, "updated"),
        ({"event": "removed"}, "removed"),
        ({"event": "committed", "downtime": None}, None),
        ({"event": "done", "result": "ok"}, None),
        ({"event": "of a later release"}, None),
    ],
)
def test_other_events(event, text):
    line = progress.Follower().line("h", "chat", {"t": 1.0, **event})
    assert line == (f"[h] chat: {text}" if text else None)
