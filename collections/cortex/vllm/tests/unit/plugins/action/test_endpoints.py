# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking servers over HTTP: against a transport that answers like vLLM, and against sockets that do not."""

from __future__ import annotations

import json
import typing as t

import pytest

pytest.importorskip("pydantic")
httpx = pytest.importorskip("httpx")

from ansible.errors import AnsibleActionFail

from ansible_collections.cortex.vllm.plugins.action import endpoints as action
from ansible_collections.cortex.vllm.plugins.action import ready
from ansible_collections.cortex.vllm.plugins.plugin_utils import endpoints
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import returned

METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="chat"} 2.0
vllm:num_requests_running{engine="1",model_name="chat"} 1.0
vllm:num_requests_waiting{engine="0",model_name="chat"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="chat"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="chat"} 0.75
vllm:num_requests_waiting{engine="1",model_name="chat"} NaNs
"""


class Server:
    """A vLLM server as a transport; knobs are attributes."""

    def __init__(self, **knobs: t.Any) -> None:
        self.health, self.key, self.models, self.completion = 200, None, ["chat"], 200
        self.healths: list[int] = []
        self.body: t.Any = {"choices": [{"text": " 4"}]}
        self.asked: list[t.Any] = []
        self.__dict__.update(knobs)

    def __call__(self, request: t.Any) -> t.Any:
        self.asked.append(request)
        path = request.url.path
        if path == "/health":
            return httpx.Response(self.healths.pop(0) if self.healths else self.health)
        if path.startswith("/v1") and self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return httpx.Response(401, json={"error": "Unauthorized"})
        if path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": name} for name in self.models]})
        if path == "/version":
            return httpx.Response(200, json={"version": "0.32.0"})
        if path == "/metrics":
            return httpx.Response(200, text=METRICS)
        if path == "/v1/completions":
            return httpx.Response(self.completion, json=self.body)
        return httpx.Response(404)

    @property
    def transport(self) -> t.Any:
        return httpx.MockTransport(self)


def ask(server: Server, **endpoint: t.Any) -> dict[str, t.Any]:
    found = endpoints.ask_all([{"url": "http://gpu1:8000", **endpoint}], transport=server.transport)
    return found[0]


def test_a_ready_server_tells_everything() -> None:
    answer = ask(Server(), name="chat")

    assert answer["state"] == "ready"
    assert answer["http"] == 200
    assert answer["models"] == ["chat"]
    assert answer["version"] == "0.32.0"
    assert answer["metrics"] == {"running": 3.0, "waiting": 4.0, "kv_cache": 0.75}
    assert answer["error"] is None


def test_a_dead_engine_is_unhealthy_and_not_asked_more() -> None:
    server = Server(health=503)

    answer = ask(server)

    assert (answer["state"], answer["http"], answer["error"]) == ("unhealthy", 503, "/health answers 503")
    assert len(server.asked) == 1


def test_a_wrong_key_is_told_and_never_shown() -> None:
    answer = ask(Server(key="right"), api_key="sk-wrong-one")

    assert answer["state"] == "unauthorized"
    assert "missing or wrong" in answer["error"]
    assert "sk-wrong-one" not in json.dumps(answer)


def test_the_right_key_goes_to_its_endpoint_only() -> None:
    servers = {"a": Server(key="sk-a"), "b": Server()}
    transport = httpx.MockTransport(lambda request: servers[request.url.host](request))

    answers = endpoints.ask_all([{"url": "http://a", "api_key": "sk-a"}, {"url": "http://b"}], transport=transport)

    assert [answer["state"] for answer in answers] == ["ready", "ready"]
    assert all("authorization" not in request.headers for request in servers["b"].asked)


def test_redirects_are_not_followed() -> None:
    def elsewhere(request: t.Any) -> t.Any:
        assert request.url.host == "gpu1"
        return httpx.Response(307, headers={"location": "http://evil/health"})

    answer = endpoints.ask_all([{"url": "http://gpu1", "api_key": "k"}], transport=httpx.MockTransport(elsewhere))[0]

    assert (answer["state"], answer["http"]) == ("unhealthy", 307)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (httpx.ConnectError(""), "no connection"),
        (httpx.ConnectError("refused"), "no connection: refused"),
        (httpx.ReadTimeout(""), "no answer in time"),
        (httpx.RemoteProtocolError("reset"), "reset"),
        (httpx.ReadError(""), "ReadError"),
    ],
)
def test_unreachable_is_an_answer(problem: Exception, said: str) -> None:
    def fail(request: t.Any) -> t.Any:
        raise problem

    answer = endpoints.ask_all([{"url": "http://gpu1"}], transport=httpx.MockTransport(fail))[0]

    assert (answer["state"], answer["error"]) == ("unreachable", said)


def test_something_else_on_the_port() -> None:
    answer = endpoints.ask_all(
        [{"url": "http://gpu1"}], transport=httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))
    )[0]

    assert answer["state"] == "unhealthy"
    assert "not JSON" in answer["error"]


def test_health_works_and_then_everything_breaks() -> None:
    def half(request: t.Any) -> t.Any:
        if request.url.path == "/health":
            return httpx.Response(200)
        raise httpx.ConnectError("gone")

    answer = endpoints.ask_all([{"url": "http://gpu1"}], transport=httpx.MockTransport(half))[0]

    assert (answer["state"], answer["metrics"], answer["version"]) == ("unhealthy", None, None)


def test_a_closed_port_for_real() -> None:
    answer = endpoints.ask_all([{"url": "http://127.0.0.1:9"}], timeout=2.0, proxy=False)[0]

    assert answer["state"] == "unreachable"
    assert answer["error"].startswith("no connection")


def test_never_more_at_once_than_the_limit() -> None:
    import asyncio

    now, most = 0, 0

    async def slow(request: t.Any) -> t.Any:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.01)
        now -= 1
        return httpx.Response(503)

    many = [{"url": f"http://gpu{number}"} for number in range(40)]
    answers = endpoints.ask_all(many, limit=8, transport=httpx.MockTransport(slow))

    assert [answer["url"] for answer in answers] == [entry["url"] for entry in many]
    assert most == 8


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://gpu1:8000/", "http://gpu1:8000"),
        ("https://m.example.com/v1", "https://m.example.com"),
        ("http://[::1]:80/x/", "http://[::1]:80/x"),
    ],
)
def test_urls_are_bases(url: str, expected: str) -> None:
    assert endpoints.checked_url(url, "url").replace(":80/", "/") == expected.replace(":80/", "/")


@pytest.mark.parametrize("url", ["gpu1:8000", "ftp://gpu1", "", None, 8000, "http://", "http://[bad"])
def test_bad_urls_are_refused(url: t.Any) -> None:
    with pytest.raises(FindingsError, match="url: this is no URL of a server"):
        endpoints.checked_url(url, "url")


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(FindingsError) as caught:
        endpoints.checked_url("http://me:hunter22@gpu1", "url")

    assert "hunter22" not in str(caught.value)
    assert "api_key" in str(caught.value)


# -- waiting


def wait(server: Server, monkeypatch: pytest.MonkeyPatch, **more: t.Any) -> dict[str, t.Any]:
    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr(endpoints.asyncio, "sleep", at_once)
    more.setdefault("wait", 30.0)
    return endpoints.wait_ready({"url": "http://gpu1", "api_key": server.key}, transport=server.transport, **more)


def test_ready_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(healths=[503, 503], key="sk-1")

    result = wait(server, monkeypatch)

    assert (result["ready"], result["token"], result["model"], result["attempts"]) == (True, " 4", "chat", 3)
    assert json.loads(server.asked[-1].content)["max_tokens"] == 1


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"completion": 500}, "no token: /v1/completions answers 500"),
        ({"body": {"choices": []}}, "no token: the answer is not a completion"),
        ({"body": ["x"]}, "no token: the answer is not a completion"),
        ({"models": []}, "it lists no model"),
    ],
)
def test_health_alone_is_not_ready(monkeypatch: pytest.MonkeyPatch, knobs: dict[str, t.Any], said: str) -> None:
    result = wait(Server(**knobs), monkeypatch, wait=0.0)

    assert (result["ready"], result["error"]) == (False, said)


def test_health_alone_is_ready_when_no_token_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(Server(completion=500), monkeypatch, token=False)["ready"] is True


def test_the_declared_name_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    result = wait(Server(models=["other"]), monkeypatch, model="chat", wait=0.0)

    assert result["error"] == "it serves other, not chat"


def test_a_hanging_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()

    def hang(request: t.Any) -> t.Any:
        if request.url.path == "/v1/completions":
            raise httpx.ReadTimeout("")
        return Server.__call__(server, request)

    result = endpoints.wait_ready({"url": "http://gpu1"}, wait=0.0, transport=httpx.MockTransport(hang))

    assert result["error"] == "no token: no answer in time"


# -- the actions


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server behind every URL."""
    made = Server()
    original = endpoints._client
    monkeypatch.setattr(endpoints, "_client", lambda *args: original(*args[:-1], made.transport))
    return made


def test_the_task_shows_a_table_without_keys(play: t.Any, server: Server) -> None:
    server.key = "sk-very-secret"
    rows = [
        {"name": "chat", "url": "http://gpu1:8000/v1", "api_key": "sk-very-secret"},
        {"name": "far", "url": "http://127.0.0.1:1", "outside": False, "state": "running"},
    ]
    played = play(action, [], endpoints=rows, table=True)

    result = played.run()

    assert result["endpoints"][0]["answers"] == "ready"
    assert result["endpoints"][0]["release"] == "0.32.0"
    assert "answers" not in result["endpoints"][1]
    assert "sk-very-secret" not in json.dumps(result) + "".join(played.shown)
    assert played.shown[0].split()[:3] == ["NAME", "STATE", "HEALTH"] or "NAME" in played.shown[0]
    assert any("http://gpu1:8000" in line for line in played.shown[1:])


def test_hosts_without_a_row_are_not_passed_over(play: t.Any, server: Server) -> None:
    rows = [{"server": "chat", "host": "gpu1", "url": "http://gpu1:8000"}]
    played = play(action, [], endpoints=rows, hosts=["gpu1", "gpu2"], table=True)

    played.run()

    assert any("gpu2" in line and "nothing known" in line for line in played.shown)
    assert sum("gpu1" in line for line in played.shown) == 1


def test_the_task_can_fail_for_them(play: t.Any, server: Server) -> None:
    server.health = 503

    with pytest.raises(AnsibleActionFail, match=r"chat: /health answers 503"):
        play(action, [], endpoints=[{"name": "chat", "url": "http://gpu1"}], fail_on_unhealthy=True).run()


def test_an_endpoint_without_url(play: t.Any) -> None:
    with pytest.raises(AnsibleActionFail, match=r"endpoints\[0\]: has no .url."):
        play(action, [], endpoints=[{"name": "chat"}]).run()


def test_ready_of_a_url_touches_no_host(play: t.Any, server: Server) -> None:
    played = play(ready, [], url="http://gpu1:8000", wait_timeout=5)

    result = played.run()

    assert (result["ready"], result["remote_calls"], result["token"]) == (True, 0, " 4")


def test_ready_of_a_url_with_a_wrong_key_does_not_wait(play: t.Any, server: Server) -> None:
    server.key = "right"
    played = play(ready, [], url="http://gpu1:8000", api_key="sk-wrong-key", wait_timeout=600)

    with pytest.raises(AnsibleActionFail, match="missing or wrong") as caught:
        played.run()

    assert returned(caught)["attempts"] == 1
    assert "sk-wrong-key" not in json.dumps(returned(caught), default=str)


def test_ready_in_check_mode_never_fails(play: t.Any, server: Server) -> None:
    server.health = 503

    assert play(ready, [], check_mode=True, url="http://gpu1").run()["ready"] is False
