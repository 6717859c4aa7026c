# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The step evidence against a real engine: a log with its exit state, and no secret in anything."""

from __future__ import annotations

import json

import pytest
from hands import IMAGE

SECRETS = ("very-secret-value", "sk-command-line", "hf_environment")


def evidence(host, name, **more):
    return host.step("evidence", {"container_name": name, **more})["evidence"]


@pytest.fixture
def stranger(host, docker):
    """A container that somebody else started with secrets where they do not belong, and that failed."""
    name = f"{host.name}-stranger"
    script = (
        "import sys; print('using hf_environment'); print('args', sys.argv); "
        "print("
        "'RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB free');"
        "sys.exit(1)"
    )
    body = {
        "Image": IMAGE, "Entrypoint": ["/usr/bin/python3", "-c", script],
        "Cmd": ["--model", "/m", "--api-key", "sk-command-line", "--port", "8000"],
        "Env": ["HF_TOKEN=hf_environment", "PLAIN=visible"],
        "HostConfig": {"Binds": ["/usr:/usr:ro"]},
    }  # fmt: skip
    docker.call("POST", f"/containers/create?name={name}", body)
    docker.call("POST", f"/containers/{name}/start")
    docker.call("POST", f"/containers/{name}/wait")
    yield name
    docker.remove(name)


def test_a_stranger_that_failed_without_its_secrets(host, stranger):
    seen = evidence(host, stranger)
    assert seen["found"] and seen["server"] is None and seen["written"] is None
    assert (seen["state"]["ExitCode"], seen["exit"]["code"], seen["restarts"]) == (1, 1, 0)
    assert any("160 MiB required" in line for line in seen["log"])
    assert not any(line.startswith("20") for line in seen["log"])
    text = json.dumps(seen)
    assert "********" in text and "visible" not in json.dumps(seen["inspect"])
    for secret in SECRETS:
        assert secret not in text


def test_a_server_of_ours_with_its_journals(host):
    host.converge("create", secrets={"VLLM_API_KEY": "very-secret-value"}, secret_names=["VLLM_API_KEY"])
    seen = evidence(host, host.container, journals=True, tail=50)
    assert seen["server"] == host.name and seen["exit"] is None and seen["state"]["Running"]
    assert '"event":"committed"' in seen["written"]["journals"]["journal.jsonl"]
    assert seen["written"]["state"]["committed"]["container_id"] == seen["container_id"]
    text = json.dumps(seen)
    assert "very-secret-value" not in text and '"salt"' not in text


def test_a_container_that_is_not_there(host):
    seen = evidence(host, "no-such-container")
    assert not seen["found"] and "no-such-container" in seen["message"]
