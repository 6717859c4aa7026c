# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Podman behind its API socket, with storage of its own: nothing of the machine's Podman is seen or touched."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t
import uuid

import pytest

import plays
import standin_model
from engines import ask, free_ports, made

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


class Podman(plays.Target):
    """The service, the one host that uses it, and what is declared there. ``declaration`` may be changed freely."""

    def __init__(self, directory: pathlib.Path, image: str) -> None:
        self.directory = directory
        self.image = f"localhost/{image}"
        self.server = f"pod{uuid.uuid4().hex[:6]}"
        self.container = f"cortex-vllm-{self.server}"
        self.socket = directory / "podman.sock"
        (self.port,) = free_ports(1)
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
        clear_firewall()

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
        code, models = ask("127.0.0.1", self.port, "/v1/models", key=KEY)
        return code == 200 and models["data"][0]["max_model_len"] == max_model_len

    def inventory(self) -> dict[str, t.Any]:
        host = {
            "ansible_connection": "counted",
            "ansible_python_interpreter": "/usr/bin/python3",
            "vllm_docker_host": f"unix://{self.socket}",
            "vllm_state_dir": str(self.directory / "state"),
            "vllm_servers": {self.server: copy.deepcopy(self.declaration)},
        }
        return {"vllm": {"hosts": {"pod": host}}}


def clear_firewall() -> None:
    """Netavark leaves its chains when the last container goes. They go too, unless one of any Podman runs here."""
    until = time.monotonic() + 5  # the monitor of a removed container ends a moment later
    while subprocess.run(["pgrep", "-x", "conmon"], capture_output=True, check=False).returncode == 0:
        if time.monotonic() > until:
            return
        time.sleep(0.2)
    for table in ("filter", "nat") if shutil.which("iptables") else ():
        command = ["iptables", "--wait", "--table", table]
        done = subprocess.run([*command, "--list-rules"], capture_output=True, text=True, check=False)
        lines = [shlex.split(line) for line in done.stdout.splitlines() if "netavark" in line.lower()]
        # A chain can go when it is empty and no rule leads to it.
        for flag, *rule in sorted(lines, key=lambda line: line[0] == "-N"):
            subprocess.run([*command, {"-A": "-D", "-N": "-X"}[flag], *rule], capture_output=True, check=False)
    # Newer releases have a table of their own in nftables.
    if shutil.which("nft"):
        subprocess.run(["nft", "delete", "table", "inet", "netavark"], capture_output=True, check=False)


@pytest.fixture(scope="session")
def podman() -> t.Iterator[Podman]:
    """The service with the stand-in's image and a model; everything is removed at the end."""
    assert shutil.which("podman"), "podman is not installed: apt-get install podman catatonit runc"
    image = made("tests/standin/build")
    # Paths of sockets are short.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cortex-podman-", dir="/var/tmp"))
    one = Podman(directory, image)
    one.start()
    try:
        one.load(image)
        # One value of one argument cannot start: the worker finds too little shared memory.
        standin_model.make(
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
