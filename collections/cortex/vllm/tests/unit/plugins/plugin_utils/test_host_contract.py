# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract check on many hosts: facts as a host answered them (data/hosts), and what is to be said about each."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import checks, observation, planning, spec
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import Host, server

HOSTS = pathlib.Path(__file__).parent / "data" / "hosts"
ERROR, WARNING, INFO = "error", "warning", "info"

#: host -> what is said where a server wants its GPUs: code, severity, and words of the message or of what to do.
TOLD = {
    # Nothing to say.
    "h100x8": [],
    "t4": [],
    "pair-rtx-4090": [],
    "gb10": [],
    "cpu": [],
    # Nothing that drives the GPUs.
    "no-driver": [("gpu.driver", ERROR, "0000:01:00.0")],
    "nouveau": [("host.nouveau", ERROR, "Blacklist nouveau")],
    "secure-boot": [("host.secure-boot", ERROR, "Loading of unsigned module is rejected")],
    "kernel-upgraded": [("gpu.driver", ERROR, "reinstall it for this kernel")],
    "upgraded-under-load": [("host.driver-mismatch", ERROR, "580.95.05 is loaded, and the libraries are 580.105.08")],
    "t4-two-libraries": [("host.driver-mismatch", WARNING, "535.183.01")],
    "mi300x8": [("host.amd", ERROR, "8 AMD")],
    "cpu-amd-graphics": [("host.amd", ERROR, "no ROCm tools")],
    # The fabric of NVSwitches.
    "h100x8-no-fabric-manager": [("host.fabric-manager", ERROR, "Install nvidia-fabricmanager 570.124.06")],
    "h100x8-other-fabric-manager": [("host.fabric-manager", ERROR, "is 570.86.15, and the driver is 570.124.06")],
    "h100x8-fabric-manager-stopped": [("host.fabric-manager", ERROR, "is inactive")],
    "h100x8-one-not-joined": [("host.fabric-manager", ERROR, "GPU 7 has not joined")],
    # GPUs that are not well.
    "h100x8-fallen-off": [("gpu.xid", ERROR, "Xid 79 at 0000:db:00 2 times")],
    "h100x8-nvlink-error": [("gpu.xid", ERROR, "Xid 74")],
    "h100x8-remap-failed": [("gpu.memory-retired", ERROR, "GPU 3")],
    "h100x8-ecc-pending": [("gpu.ecc", WARNING, "will be disabled after the next reboot")],
    "t4-pages-pending": [
        ("gpu.xid", ERROR, "Xid 48"),
        ("gpu.memory-retired", WARNING, "waits for a reset"),
        ("gpu.ecc", WARNING, "3 uncorrected"),
    ],
    "a10g-serving": [("gpu.xid", INFO, "Xid 31")],
    # GPUs that are not as they were meant to be, or not free.
    "t4-persistence-off": [("gpu.persistence", WARNING, "it is inactive")],
    "t4-prohibited": [("gpu.compute-mode", ERROR, "nvidia-smi -c DEFAULT")],
    "t4-stray": [("gpu.held", WARNING, "python3 (pid 4711, 8.8 GiB)")],
    "t4-leaked": [("gpu.held", WARNING, "by no process that can be seen")],
    "a100-mig": [("gpu.mig", INFO, "3g.40gb, 2g.20gb, 1g.10gb")],
    "a100-mig-empty": [("gpu.mig", WARNING, "has no parts")],
    "mixed": [("gpu.mixed", INFO, "NVIDIA GeForce RTX 4090, Tesla T4")],
    "laptop": [
        ("host.laptop", INFO, "sleep"),
        ("gpu.xid", INFO, "become: true"),
        ("gpu.persistence", INFO, "not installed"),
    ],
    # Between driver and engine.
    "t4-packages-free": [("host.packages-free", WARNING, "apt-mark hold nvidia-open libcuda1")],
    "t4-no-toolkit": [("host.toolkit", ERROR, "nvidia-container-toolkit")],
    "t4-cdi-stale": [("host.cdi", WARNING, "535.183.01, and 470.256.02 is loaded")],
    "t4-podman-no-cdi": [("host.cdi", ERROR, "cdi generate")],
    "t4-systemd-cgroups": [("host.daemon-reload", WARNING, "native.cgroupdriver=cgroupfs")],
}


def answer(name):
    return json.loads((HOSTS / f"{name}.json").read_text())


def judged(facts, gpus="all", **fields):
    specs = spec.load({"chat": server(gpus=gpus, **fields)})
    host = checks.Host(observation.Observation.parse(facts), tuple(specs), "/var/lib/cortex-vllm")
    return [finding for check in checks.HOST for finding in check(host)]


@pytest.mark.parametrize("name", sorted(TOLD))
def test_hosts(name):
    found = judged(answer(name))
    assert [(item.code, item.severity) for item in found] == [(code, severity) for code, severity, _words in TOLD[name]]
    for item, (_code, _severity, words) in zip(found, TOLD[name], strict=True):
        assert words in str(item)


def test_every_fixture_is_judged():
    assert {path.stem for path in HOSTS.glob("*.json")} == set(TOLD)


@pytest.mark.parametrize("name", sorted(TOLD))
def test_what_only_gpu_servers_need_is_no_error_for_others(name):
    """A host whose servers run on the CPU is told about its GPUs, and never stopped by them (but by broken memory)."""
    found = [item for item in judged(answer(name), gpus="none") if item.severity == ERROR]
    assert {item.code for item in found} <= {"gpu.memory-retired", "gpu.compute-mode"}


@pytest.mark.parametrize("name", sorted(TOLD))
def test_nothing_is_said_without_the_facts_of_the_check(name):
    """A converge does not ask for them."""
    facts = answer(name)
    del facts["contract"]
    assert judged(facts) == []


def test_cdi_must_name_every_gpu_that_is_asked_for_by_uuid():
    facts = answer("t4")
    specification = facts["contract"]["toolkit"]["cdi"][0]
    specification["devices"] = ["0", "all"]
    assert judged(facts) == []  # the runtime names them by index
    (found,) = judged(facts, gpu_access="cdi")
    assert (found.code, found.severity) == ("host.cdi", ERROR)
    assert facts["gpus"]["devices"][0]["uuid"] in found.message


def test_links_of_the_devices_let_systemd_find_them():
    facts = answer("t4-systemd-cgroups")
    facts["contract"]["device_links"] = True
    assert judged(facts) == []


def test_a_gpu_given_to_a_container_is_not_leaked():
    """Its processes are in another namespace of the machine, and nvidia-smi does not see them."""
    facts = answer("t4-leaked")
    facts["containers"] = [
        {
            "Id": "a" * 64,
            "Name": "/somebody",
            "State": {"Running": True},
            "HostConfig": {"DeviceRequests": [{"DeviceIDs": [facts["gpus"]["devices"][0]["uuid"]]}]},
        }
    ]
    assert judged(facts) == []


def test_the_facts_are_asked_for_by_the_check_alone():
    specs = spec.load({"chat": server()})
    assert "contract" not in observation.query(specs, "/var/lib/cortex-vllm")
    assert observation.query(specs, "/var/lib/cortex-vllm", contract=True)["contract"] is True


@pytest.mark.parametrize(
    ("check", "accept", "action", "severity"),
    [
        # Somebody else brings the engine before this runs in earnest: every server is new.
        (True, ["engine.absent"], "create", "warning"),
        (True, [], "none", "error"),
        # In earnest nobody can start anything without an engine, whatever is accepted.
        (False, ["engine.absent"], "none", "error"),
    ],
)
def test_a_host_whose_engine_is_still_to_come(check, accept, action, severity):
    host = Host()
    host.engine = {"status": "absent"}
    old = server(state="absent", server_port=8001, accept=accept)
    plan = host.plan({"chat": server(accept=accept), "old": old}, check=check)
    assert {item.name: item.action for item in plan.servers} == {"chat": action, "old": "none"}
    assert [(item.code, item.severity) for item in plan.findings] == [("engine.absent", severity)]


def test_a_plan_holds_a_contract_that_is_broken():
    """An error about the host refuses a server that would be made."""
    facts = answer("no-driver")
    specs = spec.load({"chat": server(gpus="all")})
    facts.update(host={}, images={}, models={}, paths={}, ports={}, servers={})
    plan = planning.plan(specs, observation.Observation.parse(facts), planning.Options())
    assert "gpu.driver" in [item.code for item in plan.findings + plan.servers[0].findings if item.severity == ERROR]
