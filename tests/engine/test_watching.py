# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look that takes the pulse of running servers: one that works, one that is idle, one that hangs behind a 200."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pytest

PULSE = {"window": 2.0, "token": "suspect", "token_timeout": 1.5}


def health(host, **more):
    pulse = dict(PULSE, servers=[host.name], **more)
    return host.observe(pulse=pulse)["servers"][host.name]["health"]


def ask(host):
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=60)
    try:
        connection.request("POST", "/v1/completions", json.dumps({"model": "chat", "prompt": "x"}))
        connection.getresponse().read()
    except OSError:
        pass  # its server is removed at the end of the test


@pytest.mark.parametrize(
    "seconds, requests, expected",
    [
        ("0.3", 0, {"running": 0, "moved": None, "token": None}),
        ("0.6", 1, {"moved": True, "token": None}),
        ("60", 1, {"moved": False, "token": False}),
    ],
    ids=["idle", "at work", "hung"],
)
def test_the_pulse_of_a_server(host, seconds, requests, expected):
    host.converge("create", "--answer-seconds", seconds, probe=host.probe(request="none"))
    # Without a probe that asks for tokens nobody is asked for one: what is committed decides.
    state = host.state()
    state["committed"]["probe"]["request"] = "completion"
    (host.state_dir / host.name / "state.json").write_text(json.dumps(state))
    stop = threading.Event()

    def clients():
        while not stop.is_set():
            ask(host)

    client = threading.Thread(target=clients, daemon=True)
    if requests:
        client.start()
        time.sleep(0.5)
    found = health(host)
    stop.set()
    assert found["http"] == 200
    assert {key: found["pulse"][key] for key in expected} == expected, found
    assert found["pulse"]["seconds"] < 6


def test_nobody_is_watched_who_is_not_to_be(host):
    host.converge("create")
    assert "pulse" not in host.observe()["servers"][host.name]["health"]
    assert health(host, token="always")["pulse"]["token"] is True
