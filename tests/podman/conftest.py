# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Podman behind its API socket, with storage of its own: nothing of the machine's Podman is seen or touched."""

from __future__ import annotations

import copy
import http.client
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLEET = ROOT / "tests" / "fleet"

_spec = importlib.util.spec_from_file_location("podman_fleet", FLEET / "conftest.py")
assert _spec is not None and _spec.loader is not None
fleet: t.Any = importlib.util.module_from_spec(_spec)
sys.modules["podman_fleet"] = fleet  # data classes look for their module there
_spec.loader.exec_module(fleet)

#: A machine without CAP_SYS_RESOURCE gives no container more than it has itself; crun cannot do without its cgroups.
SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
KEY = "sk-podman"


class Podman:
    """The service, the one host that uses it, and what is declared there. ``declaration`` may be changed freely."""

    def __init__(self, directory: pathlib.Path, image: str) -> None:
        self.directory = directory
        self.image = f"localhost/{image}"
        self.server = f"pod{uuid.uuid4().hex[:6]}"
        self.container = f"cortex-vllm-{self.server}"
        self.socket = directory / "podman.sock"
        self.runs = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (directory / "containers.conf").write_text(SETTINGS)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(directory / "containers.conf")}
        self.command = ["podman", "--root", str(directory / "root"), "--runroot", str(directory / "run")]
        self.declaration: dict[str, t.Any] = {}
        self.reset()

    def reset(self) -> None:
        self.declaration = {
            "image": self.image,
            "pull": "never",
            "model": str(self.directory / "model"),
            "served_model_name": ["chat"],
            "offline": True,
            "gpus": "none",
            "server_port": self.port,
            "start_timeout": 60,
            "engine_args": {"max_model_len": 512, "max_num_seqs": 5},
            "secrets": {"api_key": KEY},
        }

    def start(self) -> None:
        self.service = subprocess.Popen(
            [*self.command, "system", "service", "--time=0", f"unix://{self.socket}"],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=(self.directory / "service.log").open("w"),
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + 30
        while not self.socket.exists():
            assert time.monotonic() < until, (self.directory / "service.log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        self.run("rm", "--all", "--force", "--time", "1", check=False)
        self.service.send_signal(signal.SIGTERM)
        self.service.wait(20)
        self.run("rmi", "--all", "--force", check=False)
        subprocess.run(["umount", str(self.directory / "root" / "overlay")], capture_output=True, check=False)

    def run(self, *arguments: str, check: bool = True, stdin: t.Any = subprocess.DEVNULL) -> str:
        done = subprocess.run(
            [*self.command, *arguments], env=self.environment, stdin=stdin, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def load(self, image: str) -> None:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            self.run("load", stdin=save.stdout)
        assert save.returncode == 0

    def inspect(self) -> dict[str, t.Any]:
        return json.loads(self.run("inspect", self.container))[0]

    def names(self) -> list[str]:
        return self.run("ps", "-a", "--format", "{{.Names}}").split()

    def serves(self, max_model_len: int) -> bool:
        """Whether the declared server answers and has the declared length."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"})
            answer = connection.getresponse()
            return answer.status == 200 and json.loads(answer.read())["data"][0]["max_model_len"] == max_model_len
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def play(self, playbook: str = "site", *arguments: str) -> t.Any:
        """Run a playbook of the repository; an Outcome of the fleet tests."""
        self.runs += 1
        out = self.directory / f"run-{self.runs:03d}"
        out.mkdir()
        inventory = {
            "ansible_connection": "counted",
            "ansible_python_interpreter": "/usr/bin/python3",
            "vllm_docker_host": f"unix://{self.socket}",
            "vllm_state_dir": str(self.directory / "state"),
            "vllm_servers": {self.server: copy.deepcopy(self.declaration)},
        }
        (out / "hosts.yml").write_text(json.dumps({"vllm": {"hosts": {"pod": inventory}}}, indent=1))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        environment.update(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_CONNECTION_PLUGINS=str(FLEET / "plugins" / "connection"),
            ANSIBLE_CALLBACK_PLUGINS=str(FLEET / "plugins" / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="results",
            ANSIBLE_NOCOLOR="1",
            FLEET_CALLS=str(out / "calls.jsonl"),
            FLEET_RESULTS=str(out / "results.jsonl"),
        )
        begin = time.monotonic()
        done = subprocess.run(
            [str(fleet.BIN / "ansible-playbook"), "-i", str(out / "hosts.yml"),
             str(ROOT / "playbooks" / f"{playbook}.yml"), *arguments],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=300, check=False,
        )  # fmt: skip
        results: dict[str, list[dict[str, t.Any]]] = {}
        for line in fleet.read_lines(out / "results.jsonl"):
            results.setdefault(line["host"], []).append(line["result"])
        calls = fleet.read_lines(out / "calls.jsonl")
        return fleet.Outcome(done.returncode, done.stdout, time.monotonic() - begin, results, calls)

    def converged(self) -> t.Any:
        outcome = self.play()
        assert outcome.code == 0, outcome.text
        return outcome


@pytest.fixture(scope="session")
def podman() -> t.Iterator[Podman]:
    """The service with the stand-in's image and a model; everything is removed at the end."""
    assert shutil.which("podman"), "podman is not installed: apt-get install podman catatonit runc"
    build = subprocess.run([str(ROOT / "tests/standin/build")], capture_output=True, text=True, check=True)
    # Paths of sockets are short.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cortex-podman-", dir="/var/tmp"))
    one = Podman(directory, build.stdout.split()[-1])
    one.start()
    try:
        one.load(build.stdout.split()[-1])
        # One value of one argument cannot start: the worker finds too little shared memory.
        fleet.model.make(
            directory / "model", {"when": [{"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P6"}}]}
        )
        yield one
    finally:
        one.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def served(podman: Podman) -> Podman:
    """Converged to the first declaration, whatever the test before left."""
    podman.reset()
    podman.converged()
    assert podman.serves(512)
    return podman
