# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interfaces and adapters, read from files in the form that the kernel gives them, and from this machine."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import network


def put(folder, path, text):
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text + "\n")


def test_interfaces(tmp_path):
    for name, kind, state in (("lo", "772", "unknown"), ("eth0", "1", "up"), ("ib0", "32", "down")):
        put(tmp_path, "net/{0}/type".format(name), kind)
        put(tmp_path, "net/{0}/operstate".format(name), state)
        put(tmp_path, "net/{0}/mtu".format(name), "9000")
    put(tmp_path, "net/eth0/speed", "100000")
    put(tmp_path, "net/eth0/device/vendor", "0x15b3")
    put(tmp_path, "net/ib0/speed", "-1")
    put(
        tmp_path,
        "route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "ib0\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0",
    )
    found = network.interfaces({"eth0": ["10.0.0.2"]}, str(tmp_path / "net"), str(tmp_path / "route"))
    assert found == [
        {"name": "eth0", "up": True, "kind": "ethernet", "mtu": 9000, "speed": 100000, "addresses": ["10.0.0.2"],
         "default": True},
        {"name": "ib0", "up": False, "kind": "infiniband", "mtu": 9000, "speed": None, "addresses": [],
         "default": False},
        {"name": "lo", "up": True, "kind": "loopback", "mtu": 9000, "speed": None, "addresses": [], "default": False},
    ]  # fmt: skip


def test_adapters(tmp_path):
    port = "ib/mlx5_0/ports/1/"
    put(tmp_path, port + "state", "4: ACTIVE")
    put(tmp_path, port + "rate", "400 Gb/sec (4X NDR)")
    put(tmp_path, port + "link_layer", "Ethernet")
    put(tmp_path, port + "gids/0", "fe80:0000:0000:0000:0000:0000:0000:0001")
    put(tmp_path, port + "gids/3", "0000:0000:0000:0000:0000:ffff:0a00:0002")
    put(tmp_path, port + "gids/10", "0000:0000:0000:0000:0000:0000:0000:0000")
    put(tmp_path, port + "gid_attrs/types/3", "RoCE v2")
    put(tmp_path, port + "gid_attrs/ndevs/3", "ens2")
    (adapter,) = network.hcas(str(tmp_path / "ib"))
    assert adapter["name"] == "mlx5_0"
    (one,) = adapter["ports"]
    assert (one["port"], one["state"], one["rate"], one["link_layer"]) == (1, "ACTIVE", 400.0, "Ethernet")
    assert one["gids"] == [
        {"index": 0, "gid": "fe80:0000:0000:0000:0000:0000:0000:0001", "type": None, "interface": None},
        {"index": 3, "gid": "0000:0000:0000:0000:0000:ffff:0a00:0002", "type": "RoCE v2", "interface": "ens2"},
    ]


def test_nothing_there_is_no_error(tmp_path):
    assert network.hcas(str(tmp_path / "none")) == []
    assert network.interfaces({}, str(tmp_path / "none"), str(tmp_path / "none")) == []
    assert network.measured(str(tmp_path)) is None
    (tmp_path / "collectives.json").write_text("{broken")
    assert network.measured(str(tmp_path)) is None


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            json.dumps(
                [
                    {
                        "ifname": "eth0",
                        "addr_info": [
                            {"local": "10.0.0.2", "scope": "global"},
                            {"local": "fe80::1", "scope": "link"},
                        ],
                    }
                ]
            ),
            {"eth0": ["10.0.0.2"]},
        ),
        ("not json", {}),
        ("{}", {}),
        ("[3]", {}),
    ],
)  # fmt: skip
def test_ip_as_it_is_answered(text, expected):
    assert network.parse_ip(text) == expected


@pytest.mark.skipif(not os.path.isdir("/sys/class/net/lo"), reason="no loopback interface here")
def test_this_machine_without_ip():
    """What the kernel itself says, when the program `ip` is missing."""

    class Module:
        def get_bin_path(self, name):
            return None

    seen = network.look(Module())
    loopback = next(item for item in seen["interfaces"] if item["name"] == "lo")
    assert "127.0.0.1" in loopback["addresses"] and loopback["kind"] == "loopback"
