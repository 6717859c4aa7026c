# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role host gives a real engine its proxy by systemd, with a password in it that nobody is shown, and takes it away."""

from __future__ import annotations

import json
import sys
import typing as t

import pytest

from engines import ROOT, docker

from .conftest import Machine

pytestmark = [pytest.mark.engine, pytest.mark.long]

#: What a shell, systemd's specifiers or its variables would make something else of.
PASSWORD, WRITTEN = 'a$b%h"c', "a$b%25h%22c"
PARTS = (
    "driver", "hold", "sdk", "toolkit", "settings", "persistence", "fabric", "kernel", "limits", "time", "directories",
    "boot_order", "cgroup_driver", "firewall",
)  # fmt: skip


class Site:
    """A registry whose name the proxy alone knows, and the proxy."""

    def __init__(self, folder: t.Any) -> None:
        sys.path.insert(0, str(ROOT / "tests" / "engine"))
        import authority
        import hands
        import sites
        import test_airgap

        hands.needed("docker-registry")
        private = authority.Authority(folder / "ca")
        self.ca = private.ca.read_text()
        tls = private.certificate("DNS:registry.invalid")
        self.registry = test_airgap.Registry(folder / "registry", locked=False, tls=tls)
        images = sites.Images(hands.Docker())
        source, _ident = images.make()
        pushed, _digest = self.registry.push(source)
        images.clean()
        port = int(self.registry.host.rpartition(":")[2])
        self.name = f"registry.invalid:{port}"
        self.image = pushed.replace(self.registry.host, self.name)
        gateway = docker("network", "inspect", "bridge", "-f", "{{range .IPAM.Config}}{{.Gateway}}{{end}}")
        addresses = {"registry.invalid": ("127.0.0.1", port)}
        self.proxy = authority.Proxy(addresses, f"me:{PASSWORD}", address=gateway)
        self.url = f"http://me:{WRITTEN}@{gateway}:{self.proxy.port}"

    def end(self) -> None:
        self.proxy.server.shutdown()
        self.registry.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("p"))
    yield found
    found.end()


def role(machine: Machine, **variables: t.Any) -> tuple[int, str]:
    """Play the engine's part of the role: how many tasks changed something, and all that was shown."""
    wanted = {"host_manage": dict.fromkeys(PARTS, False), "host_gpu": False, **variables}
    outcome = machine.play("hosts", "-e", json.dumps(wanted), "--diff", "-v")
    assert outcome.code == 0, outcome.text
    (line,) = [line for line in outcome.text.splitlines() if line.startswith("second ") and "changed=" in line]
    return int(line.split("changed=")[1].split()[0]), outcome.text


def test_the_engine_gets_its_proxy_and_loses_it(machine: Machine, site: Site) -> None:
    wanted = {
        "host_engine_environment": {"HTTPS_PROXY": site.url, "NO_PROXY": "10.0.0.0/8"},
        "host_registry_cas": {site.name: site.ca},
    }
    begun = machine.run("systemctl", "show", "-p", "MainPID", "--value", "docker")
    changed, shown = role(machine, **wanted)
    assert changed and begun != machine.run("systemctl", "show", "-p", "MainPID", "--value", "docker")
    told = machine.run("docker", "info", "-f", "{{.HTTPSProxy}} {{.NoProxy}}") + machine.run(
        "systemctl", "show", "docker"
    )
    assert "10.0.0.0/8" in told and "xxxxx:xxxxx@" in told
    for words in (shown, told, machine.run("journalctl", "--no-pager", "-q", "-u", "docker")):
        assert WRITTEN not in words and PASSWORD not in words
    machine.run("docker", "pull", "--quiet", site.image)
    assert set(site.proxy.asked) == {f"CONNECT {site.name}"} and site.proxy.refused == 0
    assert role(machine, **wanted)[0] == 0

    assert role(machine)[0] > 0
    assert machine.run("docker", "info", "-f", "{{.HTTPSProxy}}") == ""
    assert role(machine)[0] == 0
