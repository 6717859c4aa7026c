# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""gpu_info on many machines: answers in the format of nvidia-smi and its friends, from a laptop to eight H100."""

from __future__ import annotations

import os

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import connection, gpu_details, gpus
from ansible_collections.cortex.vllm.plugins.modules import gpu_info

DATA = os.path.join(os.path.dirname(__file__), "data", "gpus")
MIB = 2**20


def read(name):
    with open(os.path.join(DATA, name)) as stream:
        return stream.read()


class Machine:
    """Stands for the module on one machine: each program answers by its first argument."""

    def __init__(self, name=None, capability=None, **programs):
        self.programs = dict(programs)
        self.asked = []
        smi = {}
        if name:
            smi["-q"] = (0, read(name + ".xml"), "")
            for option, end in (("topo", ".topo"), ("nvlink", ".nvlink"), ("-L", ".txt")):
                if os.path.exists(os.path.join(DATA, name + end)):
                    smi[option] = (0, read(name + end), "")
        if capability:
            uuids = [device["uuid"] for device in gpus.parse(read(name + ".xml"))["devices"]]
            smi["--query-gpu"] = (0, "".join("{0}, {1}\n".format(uuid, capability) for uuid in uuids), "")
        if smi:
            self.programs.setdefault("nvidia-smi", smi)

    def get_bin_path(self, name):
        return "/usr/bin/" + name if name in self.programs else None

    def run_command(self, command, errors=None):
        self.asked.append(command)
        answers = self.programs[os.path.basename(command[0])]
        return answers.get(command[1].split("=")[0] if len(command) > 1 else "", (1, "", "no"))


@pytest.fixture(autouse=True)
def no_hardware(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_details, "PCI_DEVICES", str(tmp_path))
    monkeypatch.setattr(gpu_details.hardware, "__defaults__", (str(tmp_path),))
    monkeypatch.setattr(gpu_details.toolkit, "__defaults__", ((str(tmp_path / "cdi"),),))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "capability", "expected"),
    [
        ("laptop-rtx-3060", "8.6", {
            "name": "NVIDIA GeForce RTX 3060 Laptop GPU", "memory_total": 6144 * MIB, "memory_free": 5523 * MIB,
            "compute_capability": "8.6", "brand": "GeForce", "architecture": "Ampere", "mig_mode": None,
            "ecc_mode": None, "ecc_uncorrected": None, "power_draw": 14.21, "power_limit": 80.0, "pcie_width": "8x",
            "persistence_mode": "disabled", "compute_mode": "default", "unified_memory": False, "fabric_state": None}),
        ("t4", None, {
            "name": "Tesla T4", "memory_total": 15360 * MIB, "compute_capability": None, "ecc_mode": "enabled",
            "ecc_uncorrected": 0, "power_draw": 9.41, "power_limit": 70.0, "pcie_generation": 3}),
        ("a10g", "8.6", {
            "name": "NVIDIA A10G", "memory_used": 20511 * MIB, "persistence_mode": "enabled", "ecc_uncorrected": 2}),
        # Recorded on a real machine, driver 580.159.04; only its UUID and serial numbers are invented.
        ("h200", "9.0", {
            "name": "NVIDIA H200", "memory_total": 143771 * MIB, "memory_reserved": 616 * MIB, "memory_used": 0,
            "memory_free": 143156 * MIB, "architecture": "Hopper", "mig_mode": "disabled", "ecc_mode": "enabled",
            "ecc_uncorrected": 0, "power_draw": 85.0, "power_limit": 700.0, "pcie_generation": 5,
            "persistence_mode": "enabled", "fabric_state": None, "unified_memory": False}),
        ("gb10", "12.1", {
            "name": "NVIDIA GB10", "memory_total": None, "memory_used": None, "memory_free": None,
            "unified_memory": True, "power_limit": None, "pci_bus_id": "0000000F:01:00.0"}),
    ],
)  # fmt: skip
def test_machines_with_one_gpu(name, capability, expected):
    machine = Machine(name, capability)
    answer = gpu_info.look(machine)
    (device,) = answer["devices"]
    assert {key: device[key] for key in expected} == expected
    assert (answer["status"], answer["vendor"], answer["topology"]) == ("ok", "nvidia", None)
    assert not [command for command in machine.asked if command[1:2] == ["topo"]]  # nobody to be linked with


def test_a_real_machine_while_a_process_holds_memory():
    """What torch saw at the same moment: 150109880320 bytes in all, 3 GiB of them and a context taken."""
    device = gpu_info.look(Machine("h200-busy", "9.0"))["devices"][0]
    assert [(item["name"], item["memory_used"]) for item in device["processes"]] == [("python3", 3682 * MIB)]
    assert device["memory_used"] >= 3682 * MIB
    assert abs(device["memory_total"] - device["memory_reserved"] - 150109880320) <= 2 * MIB


def test_processes_are_counted_on_a_gpu_that_tells_no_memory():
    (device,) = gpu_info.look(Machine("gb10", "12.1"))["devices"]
    assert device["processes"] == [
        {"pid": 3021, "gpu_instance": None, "name": "VLLM::EngineCore", "memory_used": 90112 * MIB}
    ]


def test_a100_in_parts():
    (device,) = gpu_info.look(Machine("a100-mig", "8.0"))["devices"]
    assert [part["profile"] for part in device["mig"]] == ["3g.40gb", "2g.20gb", "1g.10gb"]
    assert [part["gpu_instance"] for part in device["mig_instances"]] == [2, 5, 13]
    assert [part["memory_total"] // MIB for part in device["mig_instances"]] == [40192, 19968, 9856]
    assert device["mig_mode"] == "enabled" and device["unified_memory"] is False


def test_eight_h100_behind_switches():
    machine = Machine("h100x8-nvswitch", "9.0", systemctl={"is-active": (3, "failed\n", "")})
    answer = gpu_info.look(machine)
    assert len(answer["devices"]) == 8 and answer["fabric_manager"] == "failed"
    links = answer["topology"]["links"]
    assert {value for row in links.values() for value in row.values()} == {"NV18"}
    assert sorted(links["3"]) == ["0", "1", "2", "4", "5", "6", "7"]
    assert answer["topology"]["nics"]["4"] == {"mlx5_0": "SYS", "mlx5_1": "PIX"}
    assert answer["topology"]["numa"] == {str(index): "0" if index < 4 else "1" for index in range(8)}
    assert answer["topology"]["cpus"]["7"] == "48-95,144-191"
    assert answer["devices"][0]["nvlink"] == {"active": 18, "inactive": 0, "gb_per_second": 478.116}
    assert answer["devices"][7]["nvlink"]["inactive"] == 2
    (problem,) = answer["problems"]
    assert problem.startswith("GPU 7 has not joined the NVLink fabric (state in progress, fabric manager failed)")


def test_a_pair_across_sockets():
    answer = gpu_info.look(Machine("pair-rtx-4090", "8.9"))
    assert answer["topology"]["links"] == {"0": {"1": "SYS"}, "1": {"0": "SYS"}}
    assert answer["topology"]["numa"] == {"0": "0", "1": "1"}
    assert [device["nvlink"] for device in answer["devices"]] == [None, None]


def test_topology_of_an_older_driver():
    found = gpus.parse_topology(read("pair-no-numa.topo"))
    assert found["links"] == {"0": {"1": "PHB"}, "1": {"0": "PHB"}}
    assert found["cpus"] == {"0": "0-11", "1": "0-11"} and found["numa"] == {}
    assert gpus.parse_topology("nothing of the kind")["links"] == {}


BROKEN = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA"
    " driver is installed and running.\n"
)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.90\n"


@pytest.mark.parametrize(
    ("code", "text", "word"),
    [(9, BROKEN, "modprobe nvidia"), (18, MISMATCH, "reboot"), (6, "No devices were found\n", "Xid")],
)
def test_drivers_that_do_not_answer(code, text, word):
    answer = gpu_info.look(Machine(**{"nvidia-smi": {"-q": (code, text, "")}}))
    assert (answer["status"], answer["vendor"], answer["devices"]) == ("error", "nvidia", [])
    assert word in answer["message"] and answer["problems"] == []


def card(folder, address, vendor, kind):
    (folder / address).mkdir()
    (folder / address / "vendor").write_text(vendor + "\n")
    (folder / address / "class").write_text(kind + "\n")


def test_a_host_without_a_driver(no_hardware):
    answer = gpu_info.look(Machine())
    assert (answer["status"], answer["vendor"], answer["hardware"]) == ("absent", None, [])
    assert answer["toolkit"] == {"version": None, "runtime": None, "cdi": []} and answer["xid"] is None
    card(no_hardware, "0000:01:00.0", "0x10de", "0x030000")
    card(no_hardware, "0000:02:00.0", "0x10de", "0x040300")  # its sound
    card(no_hardware, "0000:03:00.0", "0x9999", "0x030000")
    (no_hardware / "0000:04:00.0").mkdir()
    answer = gpu_info.look(Machine())
    assert answer["hardware"] == [{"pci_bus_id": "0000:01:00.0", "vendor": "NVIDIA"}]
    assert answer["message"].endswith("install its driver")
    assert gpu_details.hardware("/nonexistent") == []


def test_a_host_with_amd_gpus():
    answer = gpu_info.look(Machine(**{"rocm-smi": {"--showproductname": (0, read("rocm-smi.json"), "")}}))
    first, second = answer["devices"]
    assert (answer["status"], answer["vendor"], answer["driver"]) == ("ok", "amd", "6.10.5")
    assert (first["pci_bus_id"], first["memory_free"]) == ("0000:05:00.0", None)
    assert second["name"] == "AMD Instinct MI300X" and second["architecture"] == "gfx942"
    assert second["memory_total"] - second["memory_used"] == second["memory_free"]


def amd_smi(**more):
    """Answers of amd-smi as its page has them (rocm.docs.amd.com, AMD SMI CLI tool usage): a list until ROCm 6.4, under
    ``gpu_data`` since 7."""
    answers = {name: (0, read("amd-smi-{0}.json".format(name)), "") for name in ("static", "metric", "list")}
    answers.update(more)
    return {"amd-smi": answers}


def test_amd_smi_is_asked_first():
    machine = Machine(**dict(amd_smi(), **{"rocm-smi": {}}))
    answer = gpu_info.look(machine)
    first, second = answer["devices"]
    assert (answer["status"], answer["vendor"], answer["driver"]) == ("ok", "amd", "6.10.5")
    assert (first["name"], first["architecture"]) == ("AMD Instinct MI300X", "gfx942")
    assert (first["uuid"], first["pci_bus_id"]) == ("00ff74a1-0000-1000-8000-5b1f2c3d4e5f", "0000:05:00.0")
    assert (first["memory_total"], first["memory_used"]) == (196592 * MIB, 284 * MIB)
    assert (second["memory_used"], second["memory_free"]) == (0, 196592 * MIB)
    assert not [command for command in machine.asked if "rocm-smi" in command[0]]


@pytest.mark.parametrize(
    "broken", [{"metric": (1, "", "no")}, {"metric": (0, "[", "")}, {"list": (0, "7", "")}, {"list": (0, "[[]]", "")}]
)
def test_amd_smi_that_says_less_still_names_the_cards(broken):
    answer = gpu_info.look(Machine(**amd_smi(**broken)))
    assert [device["name"] for device in answer["devices"]] == ["AMD Instinct MI300X"] * 2
    assert answer["devices"][0]["memory_total"] == 196592 * MIB
    assert answer["devices"][0]["uuid"] in ("0x5B1F2C3D4E5F6A7B", "00ff74a1-0000-1000-8000-5b1f2c3d4e5f")


@pytest.mark.parametrize(
    "static", [(1, "", "no"), (0, "", ""), (0, "[]", ""), (0, "{}", ""), (0, '[{"gpu": "0"}]', "")]
)
def test_rocm_smi_is_asked_where_amd_smi_says_nothing(static):
    programs = amd_smi(static=static)
    assert gpu_info.look(Machine(**programs))["status"] == "absent"
    programs["rocm-smi"] = {"--showproductname": (0, read("rocm-smi.json"), "")}
    assert gpu_info.look(Machine(**programs))["driver"] == "6.10.5"


@pytest.mark.parametrize("answer", [(1, "", "no"), (0, "no JSON", ""), (0, "{}", ""), (0, '{"card0": 1}', "")])
def test_rocm_that_says_nothing(answer):
    found = gpu_info.look(Machine(**{"rocm-smi": {"--showproductname": answer}}))
    assert (found["status"], found["vendor"]) == ("absent", None)


def test_xid_errors():
    machine = Machine("h100x8-nvswitch", dmesg={"": (0, read("dmesg.txt"), "")})
    answer = gpu_info.look(machine)
    assert [(entry["pci_bus_id"], entry["xid"]) for entry in answer["xid"]] == [
        ("0000:1b:00", 13), ("0000:df:00", 79), ("0000:df:00", 999),
    ]  # fmt: skip
    assert answer["xid"][0]["message"].startswith("pid=4711") and "fallen off" in answer["xid"][1]["meaning"]
    assert "Xid 999 at 0000:df:00: of a later driver" in answer["problems"]


def test_xid_errors_of_the_journal_and_of_nobody():
    journal = {"-k": (0, "kernel: NVRM: Xid (PCI:0000:01:00): 31, pid=1\n", "")}
    assert gpu_details.xid(Machine(dmesg={"": (1, "", "denied")}, journalctl=journal))[0]["xid"] == 31
    assert gpu_details.xid(Machine(dmesg={"": (1, "", "denied")})) is None


def test_container_toolkit_and_cdi(tmp_path):
    (tmp_path / "nvidia.yaml").write_text(read("nvidia-ctk.txt"))
    (tmp_path / "other.json").write_text('{"kind": "vendor.com/device", "devices": [{"name": "one"}]}')
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    version = {"--version": (0, "NVIDIA Container Toolkit CLI version 1.17.4\ncommit: 9b69590c\n", "")}
    found = gpu_details.toolkit(Machine(**{"nvidia-ctk": version, "nvidia-container-runtime": {}}), (str(tmp_path),))
    assert (found["version"], found["runtime"]) == ("1.17.4", "/usr/bin/nvidia-container-runtime")
    gone, nvidia, other = found["cdi"]
    assert (nvidia["kind"], nvidia["devices"]) == (
        "nvidia.com/gpu", ["0", "GPU-00000000-aaaa-bbbb-cccc-dddddddddddd", "all"],
    )  # fmt: skip
    assert (other["kind"], other["devices"]) == ("vendor.com/device", ["one"])
    assert (gone["kind"], gone["devices"]) == (None, [])


def test_cdi_with_names_first():
    text = 'kind: "a.com/gpu"\ndevices:\n  - name: "0"\n    containerEdits:\n      mounts:\n        - name: inner\n'
    assert gpu_details.parse_cdi(text) == ("a.com/gpu", ["0"])
    assert gpu_details.parse_cdi("[]") == (None, [])


@pytest.mark.parametrize(("out", "expected"), [("active\n", "active"), ("inactive\n", "inactive"), ("", None)])
def test_fabric_manager(out, expected):
    assert gpu_details.fabric_manager(Machine(systemctl={"is-active": (0, out, "")})) == expected
    assert gpu_details.fabric_manager(Machine()) is None


def test_what_is_wrong_is_said_with_what_to_do():
    devices = [{"index": 0, "ecc_uncorrected": 2}, {"index": 1, "compute_mode": "prohibited"}, {"index": 2}]
    first, second = gpu_details.problems({"devices": devices})
    assert "2 uncorrected memory errors" in first and "nvidia-smi -c DEFAULT" in second


def test_processes_are_named_by_their_container(monkeypatch):
    class Engine:
        def containers(self):
            return [{"Id": "a" * 64, "Names": ["/cortex-vllm-chat"]}]

    monkeypatch.setattr(gpu_details, "_container_of", {7: "a" * 64}.get)
    devices = [{"processes": [{"pid": 7}, {"pid": 8}]}]
    gpu_details.container_names(Engine(), devices)
    assert [entry["container"] for entry in devices[0]["processes"]] == ["cortex-vllm-chat", None]


def test_a_process_that_has_gone_is_in_no_container():
    assert gpu_details._container_of(2**30) is None
    assert connection.CONNECTION  # gpu_info takes the options of the engine
