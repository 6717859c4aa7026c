# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the contract check asks of a host, read from files and programs as hosts have them."""

from __future__ import annotations

import os

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import gpu_details, host_facts


class Module:
    """Programs by name: (code, output)."""

    def __init__(self, **programs):
        self.programs = {name.replace("_", "-"): answer for name, answer in programs.items()}

    def get_bin_path(self, name):
        return "/usr/bin/" + name if name in self.programs else None

    def run_command(self, command, errors=None):
        code, out = self.programs[os.path.basename(command[0])]
        return code, out, ""


def write(folder, files):
    for name, text in files.items():
        path = os.path.join(str(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as stream:
            stream.write(text)
    return str(folder)


OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (root@host)  Tue Sep 23\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"


@pytest.mark.parametrize(
    ("text", "driver", "is_open"), [(OPEN, "580.95.05", True), (CLOSED, "535.183.01", False), ("", None, None)]
)
def test_the_loaded_module(tmp_path, text, driver, is_open):
    folder = write(tmp_path, {"sys/other/x": "", "version": text})
    found = host_facts.modules(os.path.join(folder, "sys"), os.path.join(folder, "version"))
    assert found == {"driver": driver, "open": is_open, "nouveau": False, "amdgpu": False}


def test_other_drivers(tmp_path):
    folder = write(tmp_path, {"nouveau/refcnt": "1", "amdgpu/refcnt": "1", "nvidia/version": "570.1.2\n"})
    found = host_facts.modules(folder, os.path.join(folder, "none"))
    assert found == {"driver": "570.1.2", "open": None, "nouveau": True, "amdgpu": True}


def test_libraries_of_two_versions(tmp_path):
    names = ["libcuda.so.1", "libcuda.so.580.95.05", "libnvidia-ml.so.580.95.05", "libnvidia-ml.so.535.183.01"]
    folder = write(tmp_path, dict.fromkeys(names, ""))
    assert host_facts.libraries([folder, folder + "/none"]) == ["535.183.01", "580.95.05"]


@pytest.mark.parametrize(("content", "expected"), [(b"\x06\0\0\0\x01", True), (b"\x06\0\0\0\0", False), (None, None)])
def test_secure_boot(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(content)
    assert host_facts.secure_boot(str(tmp_path)) is expected


def test_nvswitches_are_bridges_of_nvidia(tmp_path):
    folder = write(
        tmp_path,
        {
            "0000:05:00.0/class": "0x068000\n", "0000:05:00.0/vendor": "0x10de\n",
            "0000:06:00.0/class": "0x068000\n", "0000:06:00.0/vendor": "0x10de\n",
            "0000:00:1f.0/class": "0x068000\n", "0000:00:1f.0/vendor": "0x8086\n",
            "0000:18:00.0/class": "0x030200\n", "0000:18:00.0/vendor": "0x10de\n",
        },
    )  # fmt: skip
    assert host_facts.nvswitches(folder) == 2
    assert host_facts.nvswitches(folder + "/none") == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[    9.1] Loading of unsigned module is rejected", "Loading of unsigned module is rejected"),
        ("[    9.1] Loading of module with unavailable key is rejected", None),
        ("[   12.0] nvidia: module verification failed: signature and/or required key missing - tainting kernel", None),
        ("[    9.1] Lockdown: modprobe: unsigned module", "Lockdown: modprobe: unsigned module"),
        ("", None),
    ],
)  # fmt: skip
def test_what_the_kernel_refused(line, expected):
    assert host_facts.loading(line) == {"refused": expected}


def test_drivers_of_a_cdi_specification():
    text = "  - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05\n  - hostPath: /usr/lib/libcuda.so.1\n"
    assert host_facts.cdi_drivers(text) == ["580.95.05"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [((0, "loaded\nactive\n"), "active"), ((0, "loaded\nfailed\n"), "failed"), ((0, "not-found\ninactive\n"), None)],
)
def test_units(answer, expected):
    assert host_facts.unit(Module(systemctl=answer), "nvidia-persistenced") == expected


def test_no_systemd():
    assert host_facts.unit(Module(), "nvidia-persistenced") is None


DPKG = """Package: nvidia-open
Status: hold ok installed

Package: libcuda1
Status: install ok installed

Package: nvidia-persistenced
Status: deinstall ok config-files

Package: bash
Status: install ok installed
"""


def test_packages_that_may_be_upgraded(tmp_path):
    folder = write(tmp_path, {"status": DPKG})
    found = host_facts.packages(os.path.join(folder, "status"))
    assert (found["manager"], found["driver"], found["free"]) == ("apt", ["libcuda1", "nvidia-open"], ["libcuda1"])


def test_a_whole_look(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_details.hardware, "__defaults__", (str(tmp_path),))
    monkeypatch.setattr(gpu_details.toolkit, "__defaults__", ((str(tmp_path),),))
    text = "kind: nvidia.com/gpu\ndevices:\n- name: '0'\ncontainerEdits: libcuda.so.580.95.05\n"
    write(tmp_path, {"nvidia.yaml": text})
    kernel = "[ 1.0] NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus.\n[ 2.0] usb 1-1: new device\n"
    module = Module(
        dmesg=(0, kernel),
        nv_fabricmanager=(0, "Fabric Manager version is : 580.95.05\n"),
        systemctl=(0, "loaded\nactive\n"),
        nvidia_ctk=(0, "NVIDIA Container Toolkit CLI version 1.18.1\n"),
    )
    found = host_facts.look(module)
    assert [entry["xid"] for entry in found["xid"]] == [79]
    assert found["fabric_manager"] == {"state": "active", "version": "580.95.05"}
    assert found["toolkit"]["version"] == "1.18.1"
    assert found["toolkit"]["cdi"][0]["drivers"] == ["580.95.05"] and found["toolkit"]["cdi"][0]["devices"] == ["0"]
    assert found["rocm"] is None and found["hardware"] == []


def test_messages_that_may_not_be_read():
    assert host_facts.look(Module(dmesg=(1, "")))["xid"] is None
