# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role host on families that no test host has: its variables and files, rendered as Ansible renders them.

Names of packages, repositories, locks and units are what differs between distributions; all of it is data of the role.
"""

from __future__ import annotations

import configparser
import json
import pathlib
import re
import subprocess
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = pathlib.Path(__file__).resolve().parents[2] / "collections" / "cortex" / "vllm" / "roles" / "host"

GPU = {"index": 0, "uuid": "GPU-11111111", "name": "NVIDIA H100 80GB HBM3", "fabric_state": None, "containers": []}
SYSTEMS = {
    "debian-12": ("Debian", "Debian", "12", "12.8", "bookworm"),
    "debian-13": ("Debian", "Debian", "13", "13.1", "trixie"),
    "ubuntu-24.04": ("Debian", "Ubuntu", "24", "24.04", "noble"),
    "rhel-9": ("RedHat", "RedHat", "9", "9.6", "Plow"),
    "alma-9": ("RedHat", "AlmaLinux", "9", "9.6", "Sage Margay"),
    "rhel-10": ("RedHat", "RedHat", "10", "10.0", "Coughlan"),
}


class Host:
    """One host as the role sees it after its looks."""

    def __init__(self, system: str, installed: dict[str, str] | None = None, **variables: t.Any) -> None:
        family, distribution, major, version, release = SYSTEMS[system]
        loader = DataLoader()
        self.variables: dict[str, t.Any] = {}
        for name in ("defaults/main.yml", "vars/main.yml", f"vars/{family}.yml"):
            self.variables.update(loader.load_from_file(str(ROLE / name), trusted_as_template=True))
        self.variables.update(
            ansible_facts={
                "os_family": family, "distribution": distribution, "distribution_major_version": major,
                "distribution_version": version, "distribution_release": release, "architecture": "x86_64",
                "kernel": "5.14.0-570.el9.x86_64",
            },
            ansible_check_mode=False,
            ansible_managed="Ansible managed",
            ansible_search_path=[str(ROLE)],
            role_path=str(ROLE),
            host__look={"vendor": "nvidia", "status": "ok", "hardware": [], "gpus": [GPU], "engine": "ok"},
            host__gpus=[GPU, {**GPU, "index": 1, "uuid": "GPU-22222222"}],
            host__installed=installed or {},
            host__shown={"stdout": ""},
            host__daemon_json="{}",
            host__active=[],
            host__effects=[],
        )  # fmt: skip
        self.variables.update(variables)
        self.templar = Templar(loader=loader, variables=self.variables)

    def __getitem__(self, name: str) -> t.Any:
        return self.templar.template(self.variables[name])

    def text(self, template: str, **more: t.Any) -> str:
        """A template of the role, as the role renders it."""
        self.templar.available_variables = {**self.variables, **more}
        # The role's own way, with the template's own rules for line breaks.
        found = self.templar.template(self._trusted(f"{{{{ lookup('template', '{template}') }}}}"))
        self.templar.available_variables = self.variables
        return str(found)

    @staticmethod
    def _trusted(text: str) -> str:
        from ansible.template import trust_as_template

        return trust_as_template(text)


@pytest.mark.parametrize(
    ("system", "variables", "packages"),
    [
        ("debian-13", {}, "nvidia-open-kernel-dkms nvidia-smi libcuda1 linux-headers-amd64 nvidia-persistenced"
         " nvidia-container-toolkit docker.io iptables docker-cli python3-docker systemd-timesyncd"),
        ("debian-12", {"host_gpu": False}, "docker.io iptables python3-docker systemd-timesyncd"),
        ("ubuntu-24.04", {"host_driver_branch": "580"}, "nvidia-headless-580-server-open nvidia-utils-580-server"
         " linux-headers-generic nvidia-container-toolkit docker.io iptables python3-docker systemd-timesyncd"),
        ("ubuntu-24.04", {"host_driver_source": "vendor", "host_driver_branch": "570", "host_nvswitch": True},
         "nvidia-open-570 linux-headers-generic nvidia-persistenced nvidia-fabricmanager-570 nvidia-container-toolkit"
         " docker.io iptables python3-docker systemd-timesyncd"),
        ("rhel-9", {"host_driver_source": "vendor", "host_engine_source": "vendor", "host_nvswitch": True},
         "nvidia-driver-cuda kmod-nvidia-open-dkms kernel-devel kernel-headers dkms"
         " nvidia-persistenced nvidia-fabricmanager nvidia-container-toolkit docker-ce docker-ce-cli containerd.io"
         " python3-docker chrony python3-dnf-plugin-versionlock"),
        ("rhel-9", {"host_gpu": False, "host_engine": "podman"}, "podman nftables python3-docker chrony"
         " python3-dnf-plugin-versionlock"),
        ("rhel-9", {"host_manage": dict.fromkeys(["driver", "toolkit", "persistence", "time"], False),
                    "host_engine": "podman", "host_hold": False}, "podman nftables python3-docker"),
    ],
)  # fmt: skip
def test_packages(system, variables, packages):
    assert list(Host(system, **variables)["host__wanted"]) == packages.split()


@pytest.mark.parametrize(
    ("system", "variables", "stream"),
    [
        ("rhel-9", {"host_driver_source": "vendor"}, "nvidia-driver:open-dkms"),
        ("rhel-9", {"host_driver_source": "vendor", "host_driver_branch": "580"}, "nvidia-driver:580-open"),
        ("rhel-9", {"host_driver_source": "vendor", "host_driver_module": "proprietary"}, "nvidia-driver:latest-dkms"),
        ("rhel-9", {"host_driver_source": "given"}, ""),
        ("rhel-10", {"host_driver_source": "vendor"}, ""),
    ],
)
def test_streams_of_the_red_hat_family(system, variables, stream):
    assert (Host(system, **variables)["host__driver_stream"] or "") == stream


def test_an_exact_version_is_asked_for_in_each_familys_way():
    wish = {"host_driver_source": "vendor", "host_driver_version": "580.95.05", "host_manage": {"time": False}}
    red = Host("rhel-9", host_engine="podman", **wish)["host__specified"]
    assert red[:2] == ["nvidia-driver-cuda-580.95.05", "kmod-nvidia-open-dkms-580.95.05"] and "podman" in red
    # Kernel headers have versions of their own.
    assert "kernel-headers" in red
    deb = Host("debian-13", **wish)["host__specified"]
    assert deb[0] == "nvidia-open=580.95.05*" and "linux-headers-amd64" in deb


@pytest.mark.parametrize(
    ("have", "missing"),
    [
        ({"nvidia-open": "580.95.05-1"}, False),
        ({"nvidia-open": "1:580.95.05-1ubuntu2"}, False),
        ({"nvidia-open": "580.95.05"}, False),
        ({"nvidia-open": "580.95.051-1"}, True),
        ({"nvidia-open": "570.1.2-1"}, True),
        ({}, True),
    ],
)
def test_what_is_there_in_the_right_version_is_not_missing(have, missing):
    host = Host("debian-13", have, host_driver_source="vendor", host_driver_version="580.95.05")
    assert ("nvidia-open" in host["host__missing"]) is missing


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        ("ii kernel-devel 5.14.0-570.el9", False),
        ("ii kernel-devel 5.14.0-570.el9\nii kernel-devel 5.14.0-611.el9", False),
        ("ii kernel-devel 5.14.0-611.el9\nii kernel-devel 5.14.0-570.el9", False),
        ("ii kernel-devel 5.14.0-570.12.1.el9", True),
        ("ii kernel-devel 5.14.0-611.el9", True),
        ("", True),
    ],
)
def test_headers_of_red_hat_are_those_of_the_kernel_that_runs(listed, missing):
    host = Host("rhel-9", host_driver_source="vendor", host__listed={"stdout": listed})
    host.variables["host__installed"] = host["host__read_packages"]
    assert ("kernel-devel" in host["host__missing"]) is missing
    assert ("kernel-devel-5.14.0-570.el9" in host["host__specified"]) is missing


def test_repositories():
    host = Host(
        "ubuntu-24.04", host_driver_source="vendor", host_engine_source="vendor",
        host_repositories=[{"name": "own", "uri": "https://mirror/x", "suites": ["./"]}],
    )  # fmt: skip
    found = {item["name"]: item for item in host["host__repositories"]}
    assert list(found) == ["docker", "driver", "toolkit", "own"]
    assert found["docker"]["uri"] == "https://download.docker.com/linux/ubuntu"
    assert found["docker"]["suites"] == ["noble"]
    assert found["driver"]["uri"].endswith("/cuda/repos/ubuntu2404/x86_64/")
    text = host.text("repository.sources.j2", item=found["docker"])
    assert "Suites: noble\nComponents: stable\n" in text
    assert "Signed-By: /etc/apt/keyrings/cortex-vllm-docker.asc" in text

    red = {item["name"]: item for item in Host("alma-9", host_driver_source="vendor", host_engine_source="vendor")[
        "host__repositories"]}  # fmt: skip
    assert red["docker"]["baseurl"] == "https://download.docker.com/linux/centos/9/x86_64/stable"
    assert red["driver"]["baseurl"].endswith("/cuda/repos/rhel9/x86_64")
    assert all(item["key"].startswith("https://") for item in red.values())


def test_locks_of_the_red_hat_family():
    installed = {"nvidia-driver-cuda": "580.95.05-1.el9", "podman": "5.4.0-9.el9", "bash": "5.1.8-9.el9"}
    lines = Host("rhel-9", installed)["host__locks"].splitlines()
    assert lines == ["nvidia-driver-cuda-*:580.95.05-1.el9.*", "podman-*:5.4.0-9.el9.*"]


def test_holds_of_debian():
    installed = {"libnvidia-ml1": "1", "nvidia-open": "1", "libcuda1": "1", "docker.io": "1", "linux-image-amd64": "1"}
    assert Host("debian-13", installed)["host__holdable"] == ["docker.io", "libcuda1", "libnvidia-ml1", "nvidia-open"]
    more = Host("debian-13", installed, host_hold_more=["linux-image-*"])
    assert "linux-image-amd64" in more["host__holdable"]
    (pattern,) = re.findall(r'"(\^linux-image.*)";', more.text("unattended-upgrades.j2"))
    assert re.match(pattern, "linux-image-amd64") and not re.match(pattern, "linux-images")


@pytest.mark.parametrize("system", sorted(SYSTEMS))
@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_files_are_what_they_should_be(system, engine):
    host = Host(system, host_engine=engine, host_driver_version="580.95.05", host_model_paths=["/srv/models"])
    files = {item["path"]: item["content"] for item in host["host__early_files"]}
    unit = "docker.service" if engine == "docker" else "podman.service"
    assert ("/etc/docker/daemon.json" in files) is (engine == "docker")
    assert ("/etc/apt/preferences.d/cortex-vllm-driver" in files) is (SYSTEMS[system][0] == "Debian")
    dropin = files[f"/etc/systemd/system/{unit}.d/cortex-vllm.conf"]
    assert "RequiresMountsFor=/srv/models" in dropin and "LimitMEMLOCK=infinity" in dropin
    for path, text in files.items():
        if path.endswith((".service", ".conf")) and "/systemd/" in path:
            parser = configparser.RawConfigParser(strict=False)
            parser.optionxform = str  # type: ignore[assignment,method-assign]
            parser.read_string(text)
            assert set(parser.sections()) <= {"Unit", "Service", "Install"}
        if text.startswith("#!/bin/sh"):
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_dockers_settings_keep_what_was_there():
    host = Host("debian-13", host__daemon_json='{"data-root": "/data", "runtimes": {"own": {"path": "x"}}}')
    wanted = host["host__daemon_wanted"]
    assert wanted["data-root"] == "/data" and set(wanted["runtimes"]) == {"own", "nvidia"}
    assert wanted["exec-opts"] == ["native.cgroupdriver=cgroupfs"]
    files = {item["path"]: item for item in host["host__early_files"]}
    assert json.loads(files["/etc/docker/daemon.json"]["content"]) == wanted
    assert files["/etc/docker/daemon.json"]["effect"] == "engine"
    # What a running Docker takes over takes no restart.
    again = Host("debian-13", host__daemon_json=json.dumps({**wanted, "runtimes": {}}))
    files = {item["path"]: item for item in again["host__early_files"]}
    assert (again["host__daemon_changes"], files["/etc/docker/daemon.json"]["effect"]) == (["runtimes"], "reload")
    cpu = Host("debian-13", host_gpu=False)["host__daemon_wanted"]
    assert "exec-opts" not in cpu and "runtimes" not in cpu


def test_later_settings_of_a_gpu_win():
    host = Host(
        "debian-13",
        host_gpu_settings=[
            {"gpus": "all", "power_limit": 600}, {"gpus": [1], "power_limit": 450, "mig": ["3g.40gb", "1g.10gb"]},
            {"name": "*A100*", "power_limit": 1}, {"gpus": ["GPU-11111111"], "ecc": False},
        ],
    )  # fmt: skip
    assert {uuid: one["power_limit"] for uuid, one in host["host__settings_of"].items()} == {
        "GPU-11111111": 600, "GPU-22222222": 450,
    }  # fmt: skip
    script = host.text("gpu-settings.sh.j2")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert "ecc GPU-11111111 disabled" in script and "setting GPU-22222222 mig '1g.10gb,3g.40gb'" in script


@pytest.mark.parametrize(
    ("servers", "defaults", "ports"),
    [
        ({}, {}, []),
        ({"a": {"server_port": 8001}}, {}, []),
        ({"a": {"server_port": 8001}, "b": {"server_port": 8000}, "c": None}, {"bind": "0.0.0.0"}, [8000, 8001]),
        ([{"name": "a", "bind": "10.0.0.1", "server_port": "8002"}, {"name": "b", "bind": "127.0.0.1"}], {}, [8002]),
        ({"a": {"bind": "::", "state": "absent"}}, {}, []),
    ],
)
def test_ports_that_other_machines_reach(servers, defaults, ports):
    host = Host("debian-13", vllm_servers=servers, vllm_server_defaults=defaults, host_firewall_sources=["10.0.0.0/8"])
    assert host["host__firewall_ports"] == ports
    subprocess.run(["sh", "-n"], input=host.text("firewall.sh.j2"), text=True, check=True)


def test_every_package_that_may_be_missing_has_advice():
    for system in SYSTEMS:
        host = Host(system)
        assert set(host["host__packages"]) <= set(host["host__where"])


@pytest.mark.parametrize(
    ("given", "wanted", "pending"),
    [
        ("EnableMSI: 1\nPreserveVideoMemoryAllocations: 0\n", {"NVreg_PreserveVideoMemoryAllocations": 1}, 1),
        ("EnableMSI: 1\nPreserveVideoMemoryAllocations: 1\n", {"NVreg_PreserveVideoMemoryAllocations": 1}, 0),
        ('RegistryDwords: "a=1"\n', {"NVreg_RegistryDwords": "a=1"}, 0),
    ],
)
def test_module_parameters_that_wait_for_a_reboot(given, wanted, pending):
    import base64

    params = {"content": base64.b64encode(given.encode()).decode()}
    host = Host("debian-13", host_module_parameters=wanted, host__params=params)
    assert len(host["host__parameters_pending"]) == pending


@pytest.mark.parametrize(("engine", "place"), [("docker", "/etc/docker"), ("podman", "/etc/containers")])
def test_registries_of_a_private_ca_and_a_proxy(engine, place):
    """The CA where the engine looks for it, at once; the proxy for its service, which root alone reads."""
    proxy = 'http://user:p%40ss"wo$rd\\@proxy:3128'
    host = Host(
        "debian-12", host_engine=engine, host_registry_cas={"registry.local:5000": "-----BEGIN\nx\n\n"},
        host_engine_environment={"HTTPS_PROXY": proxy, "NO_PROXY": "registry.local,10.0.0.0/8"},
    )  # fmt: skip
    files = {entry["path"]: entry for entry in host["host__early_files"]}
    authority = files[f"{place}/certs.d/registry.local:5000/ca.crt"]
    assert (authority["content"], authority["effect"]) == ("-----BEGIN\nx\n", "none")
    folder = f"/etc/systemd/system/{engine}.service.d"
    values = files[f"{folder}/cortex-vllm-environment.env"]
    assert (values["mode"], values["effect"], values["secret"]) == ("0600", "engine", True)
    # As systemd.exec(5) reads a file of variables: no specifiers, and four characters with a backslash before them.
    assert 'HTTPS_PROXY="http://user:p%40ss\\"wo\\$rd\\\\@proxy:3128"\n' in values["content"]
    unit = files[f"{folder}/cortex-vllm-environment.conf"]
    # `systemctl show` tells everybody what stands in a unit.
    assert "word" not in unit["content"]
    assert unit["content"].endswith(f"\n[Service]\nEnvironmentFile={folder}/cortex-vllm-environment.env\n")
    none = [entry["path"] for entry in Host("debian-12")["host__early_files"]]
    assert not [path for path in none if "certs.d" in path or "environment" in path]


@pytest.mark.parametrize(("login", "mode"), [("", "0644"), ("me:hush@", "0600")])
def test_a_password_in_dockers_own_settings_is_shown_to_nobody(login, mode):
    """Docker 23 and newer take proxies from daemon.json."""
    proxies = {"https-proxy": f"http://{login}proxy:3128", "no-proxy": "registry.local"}
    host = Host("debian-13", host_engine_settings={"proxies": proxies})
    files = {entry["path"]: entry for entry in host["host__early_files"]}
    settings = files["/etc/docker/daemon.json"]
    assert (settings["mode"], settings["secret"]) == (mode, bool(login))
    assert json.loads(settings["content"])["proxies"] == proxies
