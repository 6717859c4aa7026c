# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image: entrypoints, labels, and what only PID 1 in a container shows."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time
import typing as t
import uuid

import pytest

pytestmark = pytest.mark.engine
HERE = pathlib.Path(__file__).parent


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def container(model_dir) -> t.Iterator[t.Callable[..., str]]:
    made: list[str] = []

    def run(image: str, *command: str, options: t.Sequence[str] = (), **knobs: t.Any) -> str:
        name = f"standin-test-{uuid.uuid4().hex[:8]}"
        made.append(name)
        env = [f"--env=STANDIN_{key.upper()}={value}" for key, value in knobs.items()]
        docker("run", "-d", "--name", name, "-v", f"{model_dir}:/model:ro", *env, *options, image, *command)
        return name

    yield run
    for name in made:
        docker("rm", "-f", "-v", name, check=False)


def wait_for(name: str, text: str, seconds: float = 15) -> str:
    until = time.monotonic() + seconds
    while True:
        done = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=False)
        if text in done.stdout + done.stderr:
            return done.stdout + done.stderr
        assert time.monotonic() < until, done.stdout + done.stderr
        time.sleep(0.1)


def exit_code(name: str) -> int:
    return int(docker("wait", name))


def config(image: str) -> dict[str, t.Any]:
    return json.loads(docker("image", "inspect", "-f", "{{json .Config}}", image))


def test_looks_like_the_official_image(image):
    look = config(image)
    assert look["Entrypoint"] == ["vllm", "serve"]
    assert not look.get("Cmd")
    assert look["Labels"]["org.opencontainers.image.version"] == "0.32.0"
    assert image.endswith(":0.32.0")


def test_is_built_once(image):
    before = docker("image", "inspect", "-f", "{{.Id}}", image)
    subprocess.run([str(HERE / "build")], check=True, capture_output=True)
    assert docker("image", "inspect", "-f", "{{.Id}}", image) == before


def test_answers_through_a_published_port(image, container):
    name = container(image, "/model", "--served-model-name", "tiny", options=["-p", "127.0.0.1:0:8000"])
    wait_for(name, "Application startup complete.")
    address = docker("port", name, "8000")
    answer = subprocess.run(["curl", "-fsS", f"http://{address}/v1/models"], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["data"][0]["root"] == "/model"
    top = docker("top", name, "-eo", "pid,args")
    assert "/usr/bin/python3 /usr/local/bin/vllm serve /model --served-model-name tiny" in top
    titles = [line.split(None, 1)[1] for line in top.splitlines()]
    assert "VLLM::EngineCore" in titles and "VLLM::Worker" in titles
    assert "Started server process [1]" in wait_for(name, "Started")
    docker("stop", name)
    assert exit_code(name) == 0


def test_unknown_flag_is_exit_code_two(image, container):
    assert exit_code(container(image, "/model", "--nope", "1")) == 2


def test_sigterm_before_readiness_is_lost_as_pid_1(image, container):
    name = container(image, "/model", hang_phase="P6")
    wait_for(name, "Resolved architecture")
    docker("stop", "-t", "1", name)
    assert exit_code(name) == 137


def test_sigterm_before_readiness_with_init(image, container):
    name = container(image, "/model", options=["--init"], hang_phase="P6")
    wait_for(name, "Resolved architecture")
    docker("stop", "-t", "10", name)
    assert exit_code(name) == 143


def test_any_user_may_run_it(image, container):
    name = container(image, "/model", options=["--user", "12345:12345", "--read-only", "--cap-drop", "ALL"])
    wait_for(name, "Application startup complete.")


def test_version_is_installed(image, container):
    code = "import importlib.metadata as m, vllm; print(m.version('vllm'), vllm.__version__)"
    assert docker("run", "--rm", "--entrypoint", "python3", image, "-c", code) == "0.32.0 0.32.0"
    assert docker("run", "--rm", "--entrypoint", "vllm", image, "--version") == "0.32.0"


def test_older_image(container):
    older = subprocess.run([str(HERE / "build"), "0.11.0"], capture_output=True, text=True, check=True).stdout.strip()
    look = config(older)
    assert look["Entrypoint"] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    assert "org.opencontainers.image.version" not in look["Labels"]
    name = container(older, "--model", "/model", "--served-model-name", "tiny")
    assert "version 0.11.0" in wait_for(name, "Application startup complete.")
