# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a server on its host."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible.errors import AnsibleActionFail

from ansible_collections.cortex.vllm.plugins.action import ready
from ansible_collections.cortex.vllm.plugins.plugin_utils import probing
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import returned

READY = {"state": "ready", "phase": "serving", "percent": None, "http": 200, "token": " 4", "container_id": "c1"}


def loading(phase: str = "loading weights", percent: int | None = 40) -> dict[str, t.Any]:
    return {"state": "loading", "phase": phase, "percent": percent, "http": None, "text": "connection refused"}


def test_ready_at_once_is_one_call(play: t.Any) -> None:
    played = play(ready, [READY], name="chat")

    result = played.run()

    assert (result["ready"], result["remote_calls"], result["changed"]) == (True, 1, False)
    assert played.request(0)["container_name"] == "cortex-vllm-chat"
    assert played.request(0)["probe"] is None


def test_phases_are_told_on_change(play: t.Any) -> None:
    played = play(ready, [loading(), loading(), loading("warming up", None), READY], name="chat")

    played.run()

    told = [line.split(",")[0] for line in played.shown]
    assert told == ["  [gpu1] chat: loading weights 40 %", "  [gpu1] chat: warming up"]


def test_a_port_makes_a_probe(play: t.Any) -> None:
    played = play(ready, [READY], container_name="mine", server_port=9000, served_model_name="m", token=False)

    played.run()

    probe = played.request(0)["probe"]
    assert (probe["port"], probe["served_name"], probe["request"]) == (9000, "m", "none")
    assert played.request(0)["container_name"] == "mine"


def committed(version: str) -> dict[str, t.Any]:
    """What a host answers that runs ``chat`` from an image of this release."""
    probe = {"scheme": "http", "address": "127.0.0.1", "port": 8001, "served_name": "c", "request": "completion",
             "api_key": "VLLM_API_KEY", "token_timeout": 9.0, "ask": {"path": "/old"}}  # fmt: skip
    record = {"probe": probe, "image": "vllm:x", "image_id": "sha256:1", "declaration": {}}
    images = {"sha256:1": {"id": "sha256:1", "config": {}, "known": {"vllm_version": version, "source": "metadata"}}}
    state = {"schema": 1, "server": "chat", "committed": record, "transaction": None, "history": []}
    entry = {"state": state, "state_hash": "1", "problem": None, "lock": {"held": False, "pid": None}, "job": None}
    nothing = {"containers": [], "models": {}, "paths": {}, "ports": {}, "gpus": None}
    known = {"host": {"time": 0.0}, "engine": {"status": "ok"}, "images": images, "servers": {"chat": entry}}
    return {"observation": {"schema": 1, "salt": "s", **nothing, **known}}


@pytest.mark.parametrize(
    "version, request_, said",
    [("0.32.0", "regex", "structured_outputs"), ("0.10.2", "regex", "guided_regex"), ("0.32.0", "tool_call", "tools")],
)
def test_an_ability_is_asked_as_the_release_wants_it(play: t.Any, version: str, request_: str, said: str) -> None:
    played = play(ready, [committed(version), READY], name="chat", request=request_)

    assert played.run()["remote_calls"] == 2

    probe = played.request(1)["probe"]
    assert said in probe["ask"]["body"] and probe["ask"]["body"]["model"] == "c"
    # All else is what was committed: the port, and the name of the key, which stays on the host.
    assert (probe["port"], probe["api_key"], probe["request"]) == (8001, "VLLM_API_KEY", request_)


def test_a_plain_completion_is_asked_instead_of_the_declared_ability(play: t.Any) -> None:
    played = play(ready, [committed("0.32.0"), READY], name="chat", request="completion")

    played.run()

    assert "ask" not in played.request(1)["probe"]


@pytest.mark.parametrize(
    "args", [{"url": "http://h"}, {"container_name": "mine"}, {"name": "chat", "server_port": 1}, {"name": "other"}]
)
def test_an_ability_needs_a_server_that_is_known(play: t.Any, args: dict[str, t.Any]) -> None:
    played = play(ready, [committed("0.32.0")], request="regex", **args)

    with pytest.raises(AnsibleActionFail, match="goes with `name` only|nothing is known of a server other"):
        played.run()


def test_a_slow_answer_gets_the_time_that_it_may_take(play: t.Any) -> None:
    serving = {**loading("serving", None), "http": 200}
    played = play(ready, [loading(), serving, READY], name="chat", token_timeout=90)

    played.run()

    assert [round(played.request(index)["budget"]) for index in range(3)] == [10, 10, 90]


def test_death_ends_at_once_with_the_log(play: t.Any) -> None:
    dead = {"state": "failed", "exit": {"code": 1, "oom": False, "error": ""}, "log": ["ValueError: it is broken"]}
    played = play(ready, [loading(), dead], name="chat")

    with pytest.raises(AnsibleActionFail, match="chat: it ended with exit code 1") as caught:
        played.run()

    assert "diagnosis" in returned(caught)
    assert len(played.steps) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"state": "absent"}, "there is no such container"),
        ({"state": "stopped", "exit": {"code": 0}}, "it is stopped. Start it first."),
        ({"state": "failed", "exit": {"code": 137, "oom": True}}, "its memory limit was reached"),
        ({"state": "failed", "exit": None}, "it failed"),
    ],
)
def test_what_cannot_become_ready(play: t.Any, answer: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said):
        play(ready, [answer], name="chat").run()


def test_time_is_over(play: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 10000, 20))
    monkeypatch.setattr(probing.time, "monotonic", lambda: float(next(moments)))
    monkeypatch.setattr(probing.wait, "__kwdefaults__", {"clock": lambda: float(next(moments))})

    with pytest.raises(AnsibleActionFail, match="chat: not ready after 30 s, loading weights. Give it more"):
        play(ready, [loading()] * 9, name="chat", wait_timeout=30).run()


def test_a_look_never_fails(play: t.Any) -> None:
    result = play(ready, [{"state": "absent"}], check_mode=True, name="chat").run()

    assert (result["ready"], result["state"]) == (False, "absent")


@pytest.mark.parametrize("args", [{}, {"name": "a", "url": "http://x"}, {"name": "a", "container_name": "b"}])
def test_exactly_one_thing_is_waited_for(play: t.Any, args: dict[str, str]) -> None:
    with pytest.raises(AnsibleActionFail, match="exactly one of"):
        play(ready, [], **args).run()


def test_a_key_goes_with_a_url(play: t.Any) -> None:
    with pytest.raises(AnsibleActionFail, match="api_key: goes with .url. only") as caught:
        play(ready, [], name="chat", api_key="sk-1234567").run()

    assert "sk-1234567" not in str(caught.value)


def test_a_paused_server_is_named_as_paused(play: t.Any) -> None:
    """Nothing ends that by itself: it is said at once, with the command."""
    paused = {"state": "paused", "http": None, "container_id": "c1", "message": "the container is paused"}
    played = play(ready, [paused], name="chat")

    with pytest.raises(AnsibleActionFail, match="chat: it is paused. Continue it with docker unpause cortex-vllm-chat"):
        played.run()
