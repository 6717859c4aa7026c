# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who reaches the servers: the role's rules on a host with an engine of its own, beside ufw and beside firewalld.

Two other machines try: one that may reach the ports, and one that may not. The server is published by Docker; beside it
a program listens on the host's own network, as a server with `network: host` does.
"""

from __future__ import annotations

import json
import time
import typing as t
import uuid

import pytest

from engines import docker, made

from .conftest import PORT, Machine

pytestmark = [pytest.mark.engine, pytest.mark.long]

OWN = 8001
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"
PARTS = (
    "driver", "hold", "engine", "sdk", "toolkit", "settings", "persistence", "fabric", "kernel", "limits", "time",
    "directories", "boot_order", "cgroup_driver",
)  # fmt: skip


class Peer:
    """Another machine: an address, and the means to try a port."""

    def __init__(self, image: str) -> None:
        self.name = f"cortex-vllm-peer-{uuid.uuid4().hex[:6]}"
        docker("run", "--detach", "--init", "--name", self.name, image, "sleep", "infinity")
        self.address = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", self.name)

    def reaches(self, machine: Machine, port: int) -> bool:
        done = docker(
            "exec", self.name, "sh", "-c", f"python3 -c '{CONNECT}' {machine.address} {port} 2>/dev/null && echo yes",
            check=False,
        )  # fmt: skip
        return done.endswith("yes")


class Walled:
    """The host, and the two that try."""

    def __init__(self, machine: Machine, friend: Peer, stranger: Peer) -> None:
        self.machine, self.friend, self.stranger = machine, friend, stranger

    def listen(self) -> None:
        self.machine.run(
            "systemd-run", "--unit", "own", "--collect", "python3", "-m", "http.server", str(OWN), "--bind", "0.0.0.0"
        )

    def role(self, *sources: str, check: bool = False) -> int:
        """Play the firewall part of the role; the number of changed tasks."""
        wanted = {
            "host_manage": dict.fromkeys(PARTS, False), "host_gpu": False, "host_firewall_ports": [PORT, OWN],
            "host_firewall_sources": list(sources),
        }  # fmt: skip
        arguments = ["-e", json.dumps(wanted), *(["--check"] if check else [])]
        outcome = self.machine.play("hosts", *arguments)
        assert outcome.code == 0, outcome.text
        (line,) = [line for line in outcome.text.splitlines() if line.startswith("second ") and "changed=" in line]
        return int(line.split("changed=")[1].split()[0])

    def reached(self) -> dict[str, list[int]]:
        """Ports that each of the two reaches."""
        peers = {"friend": self.friend, "stranger": self.stranger}
        return {who: [port for port in (PORT, OWN) if peer.reaches(self.machine, port)] for who, peer in peers.items()}

    def settle(self, wanted: dict[str, list[int]], seconds: float = 60) -> None:
        """Wait for what listens after a restart, then it is as wanted."""
        until = time.monotonic() + seconds
        while (found := self.reached()) != wanted and time.monotonic() < until:
            time.sleep(0.5)
        assert found == wanted, self.machine.run("iptables", "-S")

    def serves_itself(self) -> bool:
        script = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{PORT}/health').status)"
        return self.machine.run("python3", "-c", script, check=False) == "200"

    def install(self, package: str) -> None:
        script = (
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive"
            f" apt-get install -y -qq --no-install-recommends {package}"
        )
        self.machine.run("sh", "-c", script)


BOTH, NONE = [PORT, OWN], []
ONLY_FRIEND: dict[str, t.Any] = {"friend": BOTH, "stranger": NONE}


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Walled]:
    image = made("tests/standin/build")
    machine = Machine(tmp_path_factory.mktemp("walled"), image)
    peers: list[Peer] = []
    try:
        machine.start(made("tools/base-image", "host"))
        machine.load(image)
        machine.put_model()
        machine.converged()
        machine.wait_serving()
        peers += [Peer(made("tools/base-image")) for _one in range(2)]
        found = Walled(machine, *peers)
        found.listen()
        yield found
    finally:
        machine.remove()
        for peer in peers:
            docker("rm", "--force", peer.name, check=False)


def test_rules_hang_where_published_ports_pass(walled: Walled) -> None:
    walled.settle({"friend": BOTH, "stranger": BOTH})
    assert walled.role(walled.friend.address, check=True) > 0
    walled.settle({"friend": BOTH, "stranger": BOTH})
    assert walled.role(walled.friend.address) > 0
    walled.settle(ONLY_FRIEND)
    assert "-A DOCKER-USER -j CORTEX-VLLM" in walled.machine.run("iptables", "-S", "DOCKER-USER").splitlines()
    assert walled.serves_itself()
    # What is right is left alone.
    assert walled.role(walled.friend.address) == 0
    assert walled.role(walled.friend.address, check=True) == 0


def test_rules_come_back_with_the_engine_and_after_a_flush(walled: Walled) -> None:
    walled.machine.run("systemctl", "restart", "docker")
    walled.machine.wait_engine()
    walled.machine.wait_engine()
    walled.settle({"friend": BOTH, "stranger": NONE})
    walled.machine.run("iptables", "-F", "DOCKER-USER")
    walled.settle({"friend": BOTH, "stranger": [PORT]})
    assert walled.role(walled.friend.address) > 0, "rules that somebody flushed are not missed"
    walled.settle(ONLY_FRIEND)


def test_others_are_let_in_and_at_last_everybody(walled: Walled) -> None:
    assert walled.role(walled.friend.address, walled.stranger.address) > 0
    walled.settle({"friend": BOTH, "stranger": BOTH})
    assert walled.role(walled.stranger.address) > 0, "one address in place of another makes as many rules"
    walled.settle({"friend": NONE, "stranger": BOTH})
    assert walled.role() > 0
    walled.settle({"friend": BOTH, "stranger": BOTH})
    assert "CORTEX" not in walled.machine.run("iptables", "-S")
    assert walled.role() == 0


def test_beside_ufw(walled: Walled) -> None:
    """Ufw denies what comes in, and published ports pass it: both are put right, and hold over reload and reboot."""
    walled.role()  # whatever the tests before left
    walled.install("ufw")
    walled.machine.run("ufw", "--force", "enable")
    walled.settle({"friend": [PORT], "stranger": [PORT]})
    assert walled.role(walled.friend.address) > 0
    walled.settle(ONLY_FRIEND)
    assert walled.role(walled.friend.address) == 0
    walled.machine.run("ufw", "reload")
    walled.settle(ONLY_FRIEND)
    walled.machine.reboot()
    walled.listen()
    walled.machine.wait_engine()
    walled.settle(ONLY_FRIEND)
    assert walled.serves_itself() and walled.role(walled.friend.address) == 0
    walled.role()
    walled.machine.run("ufw", "--force", "disable")


def test_beside_firewalld(walled: Walled) -> None:
    walled.role()
    walled.machine.run("sh", "-c", "! command -v ufw || ufw --force disable")
    walled.install("firewalld")
    walled.machine.run("systemctl", "start", "firewalld")
    walled.machine.run("firewall-cmd", "--state")
    walled.settle({"friend": [PORT], "stranger": [PORT]})
    assert walled.role(walled.friend.address) > 0
    walled.settle(ONLY_FRIEND)
    assert walled.role(walled.friend.address) == 0
    walled.machine.run("firewall-cmd", "--reload")
    walled.settle(ONLY_FRIEND)
    walled.machine.run("firewall-cmd", "--complete-reload")
    walled.settle(ONLY_FRIEND)
