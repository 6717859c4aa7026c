# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet on one machine: hosts with a local connection, each with a state directory, ports and servers of its own.

All share the engine of this machine, so servers carry the name of their host, and strangers are not reported.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import tempfile
import time
import typing as t
import uuid

import pytest

import plays
import standin_model
from engines import ask, docker, free_ports, inspect, made, says_a_token


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

    def ask(self, path: str, body: t.Any = None, key: str | None = None) -> tuple[int, t.Any]:
        return ask("127.0.0.1", self.port, path, body, key)

    def serves(self, key: str | None = None) -> bool:
        """Whether the declared name returns a token."""
        name = (self.declaration.get("served_model_name") or [self.server_name])[0]
        return says_a_token("127.0.0.1", self.port, name, key)

    def wait_serving(self, seconds: float = 30, key: str | None = None) -> None:
        until = time.monotonic() + seconds
        while not self.serves(key):
            assert time.monotonic() < until, f"{self.container} does not serve"
            time.sleep(0.1)


class Fleet(plays.Target):
    """Hosts, an inventory, and playbooks run against it."""

    settings = {"ANSIBLE_FORKS": "4"}

    def __init__(self, directory: pathlib.Path, image: str, count: int, **knobs: t.Any) -> None:
        self.directory = directory
        self.prefix = f"fl{uuid.uuid4().hex[:6]}"
        self.hosts: list[Host] = []
        ports = free_ports(count)
        for number in range(count):
            name = f"h{number:02d}"
            host = Host(name, directory / name, ports[number], self.prefix, {})
            standin_model.make(host.model, knobs)
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

    def inventory(self) -> pathlib.Path:
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

    def remove(self) -> None:
        """End what was started and remove every container, whatever the tests left."""
        found = docker("ps", "-aq", "--filter", f"name=cortex-vllm-{self.prefix}", check=False).split()
        if found:
            docker("rm", "-f", "-v", *found, check=False)


def fleet_directory() -> pathlib.Path:
    """A new directory for a fleet, which the engine and the users in containers can pass through."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cortex-vllm-fleet-", dir="/var/tmp"))
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="session")
def image() -> str:
    """Tag of the stand-in's image."""
    return made("tests/standin/build")


@pytest.fixture
def fleet(image: str) -> t.Iterator[t.Callable[..., Fleet]]:
    """Makes fleets: ``fleet(12, load_seconds=8)``. Everything is removed afterwards."""
    fleets: list[Fleet] = []

    def make(count: int = 1, **knobs: t.Any) -> Fleet:
        fleets.append(Fleet(fleet_directory(), image, count, **knobs))
        return fleets[-1]

    yield make
    for one in fleets:
        one.remove()
        shutil.rmtree(one.directory, ignore_errors=True)


@pytest.fixture
def host(fleet: t.Callable[..., Fleet]) -> t.Iterator[tuple[Fleet, Host]]:
    """A fleet of one, not converged yet."""
    one = fleet(1)
    yield one, one[0]
