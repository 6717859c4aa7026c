# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a host is said before anything is touched: by whom a port is taken, what does not answer."""

from __future__ import annotations

import concurrent.futures
import json
import os
import socket
import sys
import time

import pytest

from engines import docker, made

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def refused(fleet, server) -> str:
    outcome = fleet.play()
    assert outcome.code != 0, outcome.text
    assert "Traceback" not in outcome.text
    assert not server.exists()
    return outcome.message("h00")


def test_port_taken_by_a_process(host):
    fleet, server = host
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", server.port))
        holder.listen()
        message = refused(fleet, server)
    assert str(server.port) in message and str(os.getpid()) in message, message
    assert os.path.basename(sys.executable)[:6] in message or "pytest" in message, message


def test_port_taken_by_a_container(host, image):
    fleet, server = host
    name = f"{fleet.prefix}-holder"
    docker("run", "-d", "--name", name, "-p", f"127.0.0.1:{server.port}:80", "--entrypoint", "sleep", image, "600")
    try:
        assert name in refused(fleet, server)
    finally:
        docker("rm", "-f", name)


def test_engine_that_is_not_there(host):
    fleet, server = host
    playbook = fleet.directory / "elsewhere.yml"
    playbook.write_text(
        "- hosts: vllm\n  gather_facts: false\n  module_defaults:\n    group/cortex.vllm.vllm:\n"
        "      docker_host: unix:///nonexistent/docker.sock\n  roles:\n    - role: cortex.vllm.server\n"
    )
    outcome = fleet.play(str(playbook))
    assert outcome.code != 0
    assert "/nonexistent/docker.sock" in outcome.message("h00")
    assert "Traceback" not in outcome.text and not server.exists()


def test_unreadable_names_in_the_log_do_no_harm(fleet):
    one = fleet(1, log_bytes=True)
    one.converged()
    assert one[0].serves()


def test_two_servers_with_one_port(host):
    fleet, server = host
    other = f"{server.server_name}b"
    server.variables["vllm_servers"][other] = dict(server.declaration)
    message = refused(fleet, server)
    assert server.server_name in message and other in message and str(server.port) in message


def test_loading_is_no_failure_and_is_followed(fleet):
    """A server that somebody restarted loads: status says so, a converge waits for it and changes nothing."""
    one = fleet(1)
    one.converged()
    host = one[0]
    # A container that is restarted reads its model's knobs again.
    (host.model / "standin.json").write_text('{"gate": "go"}')
    docker("restart", host.container)
    status = one.play("status")
    assert status.code == 0, status.text
    (line,) = [line for line in status.text.splitlines() if host.server_name in line][:1]
    assert "loading" in line and "failed" not in line, status.text
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(one.play)
        time.sleep(5)
        assert not running.done(), running.result().text
        (host.model / "go").touch()
        outcome = running.result()
    assert outcome.code == 0 and outcome.changed == set(), outcome.text
    assert host.serves()


def test_older_release_with_its_older_entrypoint(host):
    """0.11.0: the api_server module, no label: a one-off container tells the release; `--model` is what it takes."""
    fleet, server = host
    server.declaration["image"] = made("tests/standin/build", "0.11.0")
    outcome = fleet.converged()
    assert "only its tag says" not in outcome.text
    (known,) = json.loads((server.state_dir / "images.json").read_text(encoding="utf-8")).values()
    assert (known["vllm_version"], known["source"]) == ("0.11.0", "asked")
    command = server.inspect()["Config"]["Cmd"]
    assert command[:3] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    assert "--model" in command
    code, models = server.ask("/v1/models")
    assert code == 200 and models["data"][0]["id"] == server.server_name
    assert fleet.converged().changed == set()
