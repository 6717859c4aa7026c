# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet on one machine: hosts with a local connection, each with a state directory, ports and servers of its own.

All share the engine of this machine, so servers carry the name of their host, and strangers are not reported.
"""

from __future__ import annotations

import dataclasses
import http.client
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import typing as t
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent
BIN = ROOT / ".venv" / "bin"


def _load(name: str, path: pathlib.Path) -> t.Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


model = _load("fleet_model", ROOT / "tests" / "standin" / "model.py")


def docker(*arguments: str, check: bool = True) -> str:
    """Standard output of the docker command."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspect(name: str) -> dict[str, t.Any]:
    """The engine's view of a container."""
    return json.loads(docker("inspect", name))[0]


@dataclasses.dataclass
class Outcome:
    """One run of a playbook. ``results`` are what its tasks returned, by host and then in order."""

    code: int
    text: str
    seconds: float
    results: dict[str, list[dict[str, t.Any]]]
    calls: list[dict[str, t.Any]]

    @property
    def changed(self) -> set[str]:
        return {host for host, rows in self.results.items() if any(row.get("changed") for row in rows)}

    @property
    def failed(self) -> set[str]:
        return {host for host, rows in self.results.items() if any(row.get("failed") for row in rows)}

    def calls_of(self, host: str) -> list[str]:
        """Kinds of what crossed the connection of a host."""
        return [call["kind"] for call in self.calls if call["host"] == host]

    def server(self, host: str, name: str) -> dict[str, t.Any]:
        """The last word of a host about one of its servers."""
        rows = [row["servers"][name] for row in self.results[host] if name in (row.get("servers") or {})]
        assert rows, f"{host} said nothing about {name}:\n{self.text}"
        return rows[-1]

    def message(self, host: str) -> str:
        """What a host failed with."""
        return "\n".join(str(row.get("msg")) for row in self.results.get(host, []) if row.get("failed"))


@dataclasses.dataclass
class Host:
    """One inventory host, with its variables as they will be written."""

    name: str
    directory: pathlib.Path
    port: int
    prefix: str
    variables: dict[str, t.Any]

    @property
    def server_name(self) -> str:
        return f"{self.prefix}-{self.name}"

    @property
    def container(self) -> str:
        return f"cortex-vllm-{self.server_name}"

    @property
    def state_dir(self) -> pathlib.Path:
        return self.directory / "state"

    @property
    def model(self) -> pathlib.Path:
        return self.directory / "model"

    @property
    def declaration(self) -> dict[str, t.Any]:
        """What is declared for the host's one server; change it freely."""
        return self.variables["vllm_servers"][self.server_name]

    def inspect(self) -> dict[str, t.Any]:
        return inspect(self.container)

    def exists(self) -> bool:
        return bool(docker("ps", "-aq", "--filter", f"name=^{self.container}$"))

    def journal(self) -> list[dict[str, t.Any]]:
        path = self.state_dir / self.server_name / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def ask(self, path: str, body: t.Any = None, key: str | None = None, timeout: float = 5) -> tuple[int, t.Any]:
        """Code and decoded body of the server's answer. OSError when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
            response = connection.getresponse()
            data = response.read()
            return response.status, json.loads(data) if data[:1] in b"{[" and data else data
        finally:
            connection.close()

    def serves(self, key: str | None = None) -> bool:
        """Whether the declared name returns a token."""
        try:
            name = (self.declaration.get("served_model_name") or [self.server_name])[0]
            code, answer = self.ask("/v1/completions", {"model": name, "prompt": "x", "max_tokens": 1}, key)
        except (OSError, http.client.HTTPException):
            return False
        return code == 200 and bool(answer["choices"][0]["text"])

    def wait_serving(self, seconds: float = 30, key: str | None = None) -> None:
        until = time.monotonic() + seconds
        while not self.serves(key):
            assert time.monotonic() < until, f"{self.container} does not serve"
            time.sleep(0.1)


class Fleet:
    """Hosts, an inventory, and playbooks run against it."""

    def __init__(self, directory: pathlib.Path, image: str, count: int, **knobs: t.Any) -> None:
        self.directory = directory
        self.prefix = f"fl{uuid.uuid4().hex[:6]}"
        self.runs = 0
        self.hosts: list[Host] = []
        ports = free_ports(count)
        for number in range(count):
            name = f"h{number:02d}"
            host = Host(name, directory / name, ports[number], self.prefix, {})
            model.make(host.model, knobs)
            host.variables = {
                "vllm_state_dir": str(host.state_dir),
                "vllm_prune": "ignore",
                "vllm_servers": {
                    host.server_name: {
                        "image": image,
                        "pull": "never",
                        "model": str(host.model),
                        "offline": True,
                        "server_port": host.port,
                        "start_timeout": 300,
                        "engine_args": {"max_model_len": 512},
                    }
                },
            }
            self.hosts.append(host)

    def __getitem__(self, index: int) -> Host:
        return self.hosts[index]

    def write(self) -> pathlib.Path:
        """The inventory as it stands now; JSON is YAML."""
        folder = self.directory / "inventory"
        folder.mkdir(exist_ok=True)
        common = {
            "ansible_connection": "counted",
            "ansible_host": "127.0.0.1",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        hosts = {host.name: {} for host in self.hosts}
        (folder / "hosts.yml").write_text(json.dumps({"vllm": {"hosts": hosts, "vars": common}}, indent=1))
        (folder / "host_vars").mkdir(exist_ok=True)
        for host in self.hosts:
            (folder / "host_vars" / f"{host.name}.yml").write_text(json.dumps(host.variables, indent=1))
        return folder

    def command(self, playbook: str, *arguments: str) -> tuple[list[str], dict[str, str], pathlib.Path]:
        """What to execute: argument list, environment, and the folder that gets results and calls."""
        self.runs += 1
        out = self.directory / f"run-{self.runs:03d}"
        out.mkdir()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        environment.update(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_CONNECTION_PLUGINS=str(HERE / "plugins" / "connection"),
            ANSIBLE_CALLBACK_PLUGINS=str(HERE / "plugins" / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="results",
            ANSIBLE_FORKS="4",
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_LOCALHOST_WARNING="False",
            FLEET_CALLS=str(out / "calls.jsonl"),
            FLEET_RESULTS=str(out / "results.jsonl"),
            PYTHONDONTWRITEBYTECODE="1",
        )
        path = playbook if "/" in playbook else str(ROOT / "playbooks" / f"{playbook}.yml")
        return [str(BIN / "ansible-playbook"), "-i", str(self.write()), path, *arguments], environment, out

    def play(self, playbook: str = "site", *arguments: str, timeout: float = 300) -> Outcome:
        """Run a playbook of the repository to its end."""
        command, environment, out = self.command(playbook, *arguments)
        begin = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        results: dict[str, list[dict[str, t.Any]]] = {}
        for line in read_lines(out / "results.jsonl"):
            results.setdefault(line["host"], []).append(line["result"])
        return Outcome(done.returncode, done.stdout, time.monotonic() - begin, results, read_lines(out / "calls.jsonl"))

    def converged(self) -> Outcome:
        """Run the site playbook, which must succeed; afterwards every host serves."""
        outcome = self.play()
        assert outcome.code == 0, outcome.text
        return outcome

    def remove(self) -> None:
        """End what was started and remove every container, whatever the tests left."""
        found = docker("ps", "-aq", "--filter", f"name=cortex-vllm-{self.prefix}", check=False).split()
        if found:
            docker("rm", "-f", "-v", *found, check=False)


def read_lines(path: pathlib.Path) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fleet_directory() -> pathlib.Path:
    """A new directory for a fleet, which the engine and the users in containers can pass through."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cortex-vllm-fleet-", dir="/var/tmp"))
    directory.chmod(0o755)
    return directory


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; all are found before the first is given back."""
    sockets = [socket.socket() for _number in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="session")
def image() -> str:
    """Tag of the stand-in's image."""
    done = subprocess.run([str(ROOT / "tests/standin/build")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def fleet(image: str) -> t.Iterator[t.Callable[..., Fleet]]:
    """Makes fleets: ``fleet(12, load_seconds=8)``. Everything is removed afterwards."""
    made: list[Fleet] = []

    def make(count: int = 1, **knobs: t.Any) -> Fleet:
        made.append(Fleet(fleet_directory(), image, count, **knobs))
        return made[-1]

    yield make
    for one in made:
        one.remove()
        shutil.rmtree(one.directory, ignore_errors=True)


@pytest.fixture
def host(fleet: t.Callable[..., Fleet]) -> t.Iterator[tuple[Fleet, Host]]:
    """A fleet of one, not converged yet."""
    one = fleet(1)
    yield one, one[0]
