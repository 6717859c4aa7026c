# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The driver's answers, good and bad."""

from __future__ import annotations

import os

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import gpus

DATA = os.path.join(os.path.dirname(__file__), "data")
ONE, TWO, PARTED = ("GPU-" + "-".join(d * n for n in (8, 4, 4, 4, 12)) for d in "123")
MIB = 2**20


def read(name):
    with open(os.path.join(DATA, name)) as stream:
        return stream.read()


class Module:
    """Stands for the module: its nvidia-smi answers by its arguments."""

    def __init__(self, answers, path="/usr/bin/nvidia-smi"):
        self.answers, self.path, self.asked = answers, path, []

    def get_bin_path(self, name):
        return self.path

    def run_command(self, command, errors=None):
        self.asked.append(command[1])
        return self.answers.get(command[1].split("=")[0], (1, "", "unknown option"))


def test_two_gpus_in_the_drivers_order():
    caps = "{0}, 9.0\n{1}, 9.0\n".format(ONE, TWO)
    found = gpus.look(Module({"-q": (0, read("nvidia-smi-two.xml"), ""), "--query-gpu": (0, caps, "")}))
    assert (found["status"], found["driver"], found["cuda"]) == ("ok", "570.86.15", "12.8")
    first, second = found["devices"]
    assert (first["index"], first["uuid"], first["pci_bus_id"]) == (0, ONE, "00000000:18:00.0")
    assert (first["memory_total"], first["memory_used"], first["memory_free"]) == (
        81559 * MIB, 70012 * MIB, 10935 * MIB,
    )  # fmt: skip
    assert first["processes"] == [
        {"pid": 4242, "gpu_instance": None, "name": "VLLM::Worker_TP0", "memory_used": 69998 * MIB}
    ]
    assert first["compute_capability"] == "9.0" and first["mig_mode"] == "disabled" and first["mig"] == []
    assert second["uuid"] == TWO and second["processes"] == []


def test_mig_devices_have_their_uuids():
    answers = {"-q": (0, read("nvidia-smi-mig.xml"), ""), "-L": (0, read("nvidia-smi-mig.txt"), "")}
    (device,) = gpus.look(Module(answers))["devices"]
    assert device["mig_mode"] == "enabled" and device["memory_used"] is None
    assert device["mig"] == [
        {"uuid": "MIG-aaaaaaaa-0000-0000-0000-000000000001", "profile": "3g.40gb", "index": 0},
        {"uuid": "MIG-aaaaaaaa-0000-0000-0000-000000000002", "profile": "1g.10gb+me", "index": 1},
    ]
    assert device["compute_capability"] is None  # a driver that does not know the question


def test_no_driver_is_absent():
    module = Module({}, path=None)
    assert gpus.look(module)["status"] == "absent" and module.asked == []


@pytest.mark.parametrize(
    "said, advice",
    [
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
         "NVIDIA driver is installed and running.", "modprobe nvidia"),
        ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.86", "reboot"),
        ("No devices were found", "dmesg"),
        ("something new", "something new"),
        ("", "said nothing"),
    ],
)  # fmt: skip
def test_a_broken_driver_is_an_error_with_advice(said, advice):
    found = gpus.look(Module({"-q": (9, said, "")}))
    assert found["status"] == "error" and found["devices"] == []
    assert advice in found["message"] and "\n" not in found["message"]


def test_an_answer_that_is_no_xml_is_an_error():
    assert gpus.look(Module({"-q": (0, "<nvidia_smi_log", "")}))["status"] == "error"


class Engine:
    def __init__(self, *inspects):
        self.inspects = {str(number): inspect for number, inspect in enumerate(inspects)}

    def containers(self):
        return [{"Id": ident, "State": "running"} for ident in self.inspects]

    def inspect(self, ident):
        return self.inspects[ident]


def container(name, host, env=()):
    return {"Name": "/" + name, "HostConfig": host, "Config": {"Env": list(env)}}


def test_containers_that_hold_gpus_are_named():
    devices = gpus.parse(read("nvidia-smi-two.xml"))["devices"]

    def asks(**request):
        return {"DeviceRequests": [dict({"Capabilities": [["gpu"]]}, **request)]}

    engine = Engine(
        container("by-uuid", asks(DeviceIDs=[TWO])),
        container("by-index", asks(DeviceIDs=["1"])),
        container("by-count", asks(Count=1)),
        container("all", asks(Count=-1)),
        container("by-cdi", {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=1"]}]}),
        container("by-runtime", {"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=0"]),
        container("none", {"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=void"]),
        container("plain", {}),
    )
    found = gpus.holders(engine, devices)
    assert sorted(found[ONE]) == ["all", "by-count", "by-runtime"]
    assert sorted(found[TWO]) == ["all", "by-cdi", "by-index", "by-uuid"]
