# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the stand-in as a plain process, and as a container where an engine answers."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import pytest

import standin_model
from engines import free_ports, made

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE / "package"


class Answer(t.NamedTuple):
    """One HTTP answer; ``headers`` in the order they came."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> t.Any:
        return json.loads(self.body)


@dataclasses.dataclass
class Process:
    """A stand-in as a child of the test."""

    popen: subprocess.Popen[bytes]
    port: int
    log_path: pathlib.Path

    @property
    def log(self) -> list[str]:
        return self.log_path.read_bytes().decode(errors="replace").splitlines()

    def ask(self, path: str, body: t.Any = None, key: str | None = None, method: str | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def wait_for(self, text: str, seconds: float = 15.0) -> None:
        """Until a log line holds ``text``."""
        until = time.monotonic() + seconds
        while not any(text in line for line in self.log):
            assert time.monotonic() < until, f"{text!r} never came; the log ends with {self.log[-5:]}"
            if self.popen.poll() is not None and not any(text in line for line in self.log):
                raise AssertionError(f"ended with {self.popen.returncode} before {text!r}: {self.log[-5:]}")
            time.sleep(0.02)

    def ready(self) -> Process:
        self.wait_for("Application startup complete.")
        return self

    def end(self, seconds: float = 15.0) -> int:
        """Exit code, once it has ended by itself."""
        return self.popen.wait(seconds)


@pytest.fixture
def model_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    """A complete model for the stand-in."""
    return standin_model.make(tmp_path / "model")


@pytest.fixture
def start(tmp_path: pathlib.Path) -> t.Iterator[t.Callable[..., Process]]:
    """Starts a stand-in: ``start(model, "--flag", "value", style="serve", speed=0.001, KNOB=…)``."""
    started: list[Process] = []

    def run(
        *arguments: t.Any,
        style: str = "serve",
        env: dict[str, str] | None = None,
        port: int | None = None,
        **knobs: t.Any,
    ) -> Process:
        port = port or free_ports(1)[0]
        program = [str(PACKAGE / "bin" / "vllm"), "serve"]
        if style == "api_server":
            program = ["-m", "vllm.entrypoints.openai.api_server"]
        argv = [sys.executable, *program, *map(str, arguments), "--host", "127.0.0.1", "--port", str(port)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("STANDIN_", "VLLM_"))}
        environment.update(PYTHONPATH=str(PACKAGE), PYTHONDONTWRITEBYTECODE="1", STANDIN_SPEED="0.001")
        environment.update({f"STANDIN_{name.upper()}": str(value) for name, value in knobs.items()}, **(env or {}))
        path = tmp_path / f"log-{len(started)}.txt"
        with path.open("wb") as log:
            popen = subprocess.Popen(argv, env=environment, stdout=log, stderr=subprocess.STDOUT)
        started.append(Process(popen, port, path))
        return started[-1]

    yield run
    for process in started:
        if process.popen.poll() is None:
            process.popen.send_signal(signal.SIGKILL)
        process.popen.wait(10)


@pytest.fixture(scope="session")
def image() -> str:
    """Tag of the stand-in's image; skips where no engine answers."""
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no container engine answers")
    return made("tests/standin/build")
