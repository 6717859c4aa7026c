# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole host as a container: its own address, its own systemd, its own engine of another generation than ours."""

from __future__ import annotations

import copy
import json
import pathlib
import subprocess
import time
import typing as t
import uuid

import pytest

import plays
import standin_model
from engines import docker, made, says_a_token

#: A container that is a host. `--privileged` would want CAP_SYS_RESOURCE too, which the machine itself may lack.
OPTIONS = [
    *("--cap-add=ALL", "--cap-drop=SYS_RESOURCE"),
    *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"),
    *("--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--volume=/var/lib/docker", "--tmpfs=/run", "--tmpfs=/tmp"),
    # What systemd takes as the wish to end everything in order.
    "--stop-signal=SIGRTMIN+3",
]
SERVER = "chat"
CONTAINER = f"cortex-vllm-{SERVER}"
MODEL = "/srv/model"
PORT = 8000
KEY = "sk-second-engine"

#: One value of one argument cannot start: the worker finds too little shared memory. Another value makes it wait for a
#: file "go" beside the model.
WHEN = [
    {"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P6"}},
    {"argument": "max_num_seqs", "value": "9", "set": {"gate": "go"}},
]


class Machine(plays.Target):
    """One host, and the inventory that names it. ``declaration`` is what its one server shall be; change it freely."""

    def __init__(self, directory: pathlib.Path, image: str) -> None:
        self.directory = directory
        self.name = f"cortex-vllm-host-{uuid.uuid4().hex[:6]}"
        self.image = image
        self.declaration: dict[str, t.Any] = {}
        #: How ansible reaches the host; None is the counting connection through the outer engine.
        self.connection: dict[str, t.Any] | None = None
        self.reset()

    def reset(self) -> None:
        """Declare what every test begins with."""
        self.declaration = {
            "image": self.image,
            "pull": "never",
            "model": MODEL,
            "offline": True,
            "bind": "0.0.0.0",
            "server_port": PORT,
            "start_timeout": 120,
            "engine_args": {"max_model_len": 512},
            "secrets": {"api_key": KEY},
        }

    def start(self, host_image: str, *more: str) -> None:
        """``more``: options of `docker run`."""
        docker("run", "--detach", "--name", self.name, "--hostname", self.name, *OPTIONS, *more, host_image)
        self.wait_engine()

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name, check=False)

    def reboot(self) -> None:
        """Systemd ends everything in order and comes up again: /run and /tmp are empty, the address may be new."""
        docker("restart", "--time", "60", self.name)
        self.wait_engine()

    def run(self, *command: str, check: bool = True, stdin: t.Any = subprocess.DEVNULL) -> str:
        """Standard output of a command on the host."""
        done = subprocess.run(
            ["docker", "exec", "-i", self.name, *command],
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def wait_engine(self, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not self.run("docker", "version", "-f", "{{.Server.Version}}", check=False):
            if time.monotonic() > until:
                pytest.fail(
                    f"no engine on {self.name}:\n{self.run('journalctl', '-n', '40', '--no-pager', check=False)}\n"
                    + docker("logs", "--tail", "20", self.name, check=False)
                )
            time.sleep(0.5)

    def load(self, image: str) -> None:
        """`docker save | docker load`, as a host without a registry gets its images."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            self.run("docker", "load", stdin=save.stdout)
        assert save.returncode == 0

    def put_model(self, **knobs: t.Any) -> None:
        """An empty model with the stand-in's knobs, on the host's own disk."""
        folder = standin_model.make(self.directory / "model", knobs)
        self.run("mkdir", "-p", MODEL)
        docker("cp", f"{folder}/.", f"{self.name}:{MODEL}")

    @property
    def address(self) -> str:
        return docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", self.name)

    def inspect(self) -> dict[str, t.Any]:
        """The host's engine's view of the server's container."""
        return json.loads(self.run("docker", "inspect", CONTAINER))[0]

    def serves(self) -> bool:
        """Whether the server returns a token to another machine than its own."""
        return says_a_token(self.address, PORT, SERVER, KEY)

    def wait_serving(self, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not self.serves():
            assert time.monotonic() < until, self.run("docker", "ps", "-a")
            time.sleep(0.2)

    def inventory(self) -> dict[str, t.Any]:
        connection = self.connection or {"ansible_connection": "counted_docker", "ansible_host": self.name}
        host = {
            **connection,
            "ansible_python_interpreter": "/usr/bin/python3",
            "vllm_servers": {SERVER: copy.deepcopy(self.declaration)},
        }
        return {"vllm": {"hosts": {"second": host}}}


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Machine]:
    """A host with an engine of its own, the stand-in's image and a model. Removed with all it holds."""
    image = made("tests/standin/build")
    host_image = made("tools/base-image", "host")
    one = Machine(tmp_path_factory.mktemp("host"), image)
    try:
        one.start(host_image)
        one.load(image)
        one.put_model(when=WHEN)
        yield one
    finally:
        one.remove()


@pytest.fixture
def served(machine: Machine) -> Machine:
    """The host, converged to the first declaration, whatever the test before left."""
    machine.reset()
    machine.converged()
    machine.wait_serving()
    return machine
