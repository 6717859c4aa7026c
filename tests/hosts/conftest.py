# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole host as a container: its own address, its own systemd, its own engine of another generation than ours."""

from __future__ import annotations

import copy
import http.client
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent


def _load(name: str, path: pathlib.Path) -> t.Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # data classes look for their module there
    spec.loader.exec_module(module)
    return module


fleet = _load("hosts_fleet", ROOT / "tests" / "fleet" / "conftest.py")
docker = fleet.docker

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


class Machine:
    """One host, and the inventory that names it. ``declaration`` is what its one server shall be; change it freely."""

    def __init__(self, directory: pathlib.Path, image: str) -> None:
        self.directory = directory
        self.name = f"cortex-vllm-host-{uuid.uuid4().hex[:6]}"
        self.image = image
        self.runs = 0
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
        folder = fleet.model.make(self.directory / "model", knobs)
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
        connection = http.client.HTTPConnection(self.address, PORT, timeout=5)
        body = json.dumps({"model": SERVER, "prompt": "x", "max_tokens": 1})
        try:
            connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {KEY}"})
            answer = connection.getresponse()
            return answer.status == 200 and bool(json.loads(answer.read())["choices"][0]["text"])
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_serving(self, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not self.serves():
            assert time.monotonic() < until, self.run("docker", "ps", "-a")
            time.sleep(0.2)

    def begin(self, out: pathlib.Path, playbook: str = "site", *arguments: str) -> subprocess.Popen[str]:
        """Start a playbook of the repository, or one by its path, against the host, in a process group of its own."""
        connection = self.connection or {"ansible_connection": "counted_docker", "ansible_host": self.name}
        inventory = {
            **connection,
            "ansible_python_interpreter": "/usr/bin/python3",
            "vllm_servers": {SERVER: copy.deepcopy(self.declaration)},
        }
        (out / "hosts.yml").write_text(json.dumps({"vllm": {"hosts": {"second": inventory}}}, indent=1))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        environment.update(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_CONNECTION_PLUGINS=str(HERE / "plugins" / "connection"),
            ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tests" / "fleet" / "plugins" / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="results",
            ANSIBLE_NOCOLOR="1",
            FLEET_CALLS=str(out / "calls.jsonl"),
            FLEET_RESULTS=str(out / "results.jsonl"),
            PYTHONDONTWRITEBYTECODE="1",
        )
        return subprocess.Popen(
            [str(fleet.BIN / "ansible-playbook"), "-i", str(out / "hosts.yml"),
             playbook if "/" in playbook else str(ROOT / "playbooks" / f"{playbook}.yml"), *arguments],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip

    def folder(self) -> pathlib.Path:
        """A new folder for what one run leaves."""
        self.runs += 1
        out = self.directory / f"run-{self.runs:03d}"
        out.mkdir()
        return out

    def play(self, playbook: str = "site", *arguments: str) -> t.Any:
        """Run a playbook of the repository against the host; an Outcome of the fleet tests."""
        out = self.folder()
        begin = time.monotonic()
        with self.begin(out, playbook, *arguments) as process:
            try:
                text, _none = process.communicate(timeout=300)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        results: dict[str, list[dict[str, t.Any]]] = {}
        for line in fleet.read_lines(out / "results.jsonl"):
            results.setdefault(line["host"], []).append(line["result"])
        calls = fleet.read_lines(out / "calls.jsonl")
        return fleet.Outcome(process.returncode, text, time.monotonic() - begin, results, calls)

    def converged(self) -> t.Any:
        """Run the site playbook, which must succeed."""
        outcome = self.play()
        assert outcome.code == 0, outcome.text
        return outcome


def _tag(*command: str) -> str:
    """Last line that a script which makes an image prints: the tag."""
    done = subprocess.run([str(ROOT / command[0]), *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Machine]:
    """A host with an engine of its own, the stand-in's image and a model. Removed with all it holds."""
    image = _tag("tests/standin/build")
    host_image = _tag("tools/base-image", "host")
    one = Machine(tmp_path_factory.mktemp("host"), image)
    try:
        one.start(host_image)
        one.load(image)
        # One value of one argument cannot start: the worker finds too little shared memory.
        # Another value makes it wait for a file "go" beside the model.
        one.put_model(
            when=[
                {"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P6"}},
                {"argument": "max_num_seqs", "value": "9", "set": {"gate": "go"}},
            ]
        )
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
