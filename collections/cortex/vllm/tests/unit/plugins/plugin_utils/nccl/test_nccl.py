# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From ``nccl`` and a host to the file, the variables and the arguments: by kind of host, by release."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, nccl, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.nccl.facts import topology_key
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import ImageFacts

UUIDS = ["GPU-a", "GPU-b"]
ETH = {"name": "eth0", "up": True, "kind": "ethernet", "addresses": ["10.0.0.1", "fd00::1"], "default": True}
FABRIC = {"name": "ens2", "up": True, "kind": "ethernet", "addresses": ["192.168.7.1"], "default": False}
DOWN = {"name": "eth9", "up": False, "kind": "ethernet", "addresses": [], "default": False}


def adapter(name: str, layer: str = "InfiniBand", rate: float = 400.0, state: str = "ACTIVE", gid: int = 3) -> Any:
    gids = [
        {"index": 0, "gid": "fe80:0000:0000:0000:0000:0000:0000:0001", "type": "IB/RoCE v1"},
        {"index": gid, "gid": "0000:0000:0000:0000:0000:ffff:c0a8:0701", "type": "RoCE v2"},
    ]
    port = {"port": 1, "state": state, "link_layer": layer, "rate": rate, "gids": gids if layer == "Ethernet" else []}
    return {"name": name, "ports": [port]}


def host(link: str = "", *hcas: Any, capability: str = "9.0", **more: Any) -> dict[str, Any]:
    devices = [{"index": i, "uuid": uuid, "compute_capability": capability} for i, uuid in enumerate(UUIDS)]
    links = {"0": {"1": link}, "1": {"0": link}} if link else {}
    return {
        "network": {"interfaces": [ETH, FABRIC, DOWN], "hcas": list(hcas)},
        "gpus": {"driver": "580.95.05", "devices": devices, "topology": {"links": links}},
        **more,
    }


def resolved(written: Any, seen: Any, version: str = "0.32.0", **facts: Any) -> nccl.Resolution:
    made = spec.Nccl.model_validate(written)
    return nccl.resolve(made, nccl.facts_of(seen, UUIDS, **facts), catalog.release(version))


def values(resolution: nccl.Resolution) -> dict[str, str]:
    return {item.name: item.value for item in resolution.settings}


def codes(resolution: nccl.Resolution) -> list[str]:
    return [f"{note[0]} {note[1]}" for note in resolution.notes]


NODES: dict[str, Any] = {"address": "10.0.0.1", "nodes": 2, "shares_network": True}


@pytest.mark.parametrize(
    "seen, facts, profile",
    [
        (host("NV18"), {}, "nvlink"),
        (host("SYS"), {}, "pcie"),
        (host("PHB"), {}, "pcie"),
        (host("NV18"), NODES, "ethernet"),
        (host("NV18", adapter("mlx5_0")), NODES, "infiniband"),
        (host("NV18", adapter("mlx5_0", state="DOWN")), NODES, "ethernet"),
        (host("NV18", adapter("mlx5_0", "Ethernet")), NODES, "infiniband"),
        ({}, {}, "pcie"),
    ],
)
def test_profile_is_what_connects_the_gpus(seen: Any, facts: Any, profile: str) -> None:
    assert resolved({}, seen, **facts).profile == profile


def test_one_gpu_needs_nothing_but_a_voice() -> None:
    made = nccl.resolve(spec.Nccl(), nccl.facts_of(host("NV18"), UUIDS[:1]), catalog.release("0.32.0"))
    assert (made.profile, values(made)) == ("none", {"NCCL_DEBUG": "WARN"})


@pytest.mark.parametrize("seen", [host("NV18"), host("PHB"), host("SYS"), host(""), {}])
@pytest.mark.parametrize("profile", ["auto", "none", "pcie", "nvlink", "ethernet", "infiniband"])
def test_peer_to_peer_is_never_off_by_itself(seen: Any, profile: str) -> None:
    made = resolved({"profile": profile}, seen)
    assert "NCCL_P2P_DISABLE" not in values(made)
    assert "disable_custom_all_reduce" not in made.arguments
    assert any(name == "NCCL_P2P_DISABLE" for name, _why in made.left), "the file says why it is not there"


def test_peer_to_peer_is_off_where_it_was_measured_to_be_broken() -> None:
    seen = host("PHB")
    key = topology_key(seen["gpus"])
    seen["collectives"] = {
        "key": key,
        "arms": {"configured": {"state": "wrong", "message": "9 of 10 sums at 16 MiB"}, "p2p_off": {"state": "ok"}},
    }
    made = resolved({}, seen)
    assert values(made)["NCCL_P2P_DISABLE"] == "1"
    assert made.arguments == {"disable_custom_all_reduce": True}
    assert "measured" in nccl.conf(made) and "9 of 10 sums at 16 MiB" in nccl.conf(made)
    # Another driver: the measurement holds no more.
    seen["gpus"]["driver"] = "590.1"
    assert "NCCL_P2P_DISABLE" not in values(resolved({}, seen))
    # What a person says is a person's to say.
    seen["gpus"]["driver"] = "580.95.05"
    assert codes(resolved({"p2p": "sys"}, seen)) == ["warning nccl.p2p-broken"]


def test_interfaces_come_from_the_address_in_the_inventory() -> None:
    made = resolved({}, host("NV18"), address="192.168.7.1", nodes=2, shares_network=True)
    assert values(made) == {
        "NCCL_DEBUG": "WARN",
        "NCCL_SOCKET_IFNAME": "=ens2",
        "GLOO_SOCKET_IFNAME": "ens2",
        "TP_SOCKET_IFNAME": "ens2",
        "VLLM_HOST_IP": "192.168.7.1",
    }
    # Only NCCL reads its file.
    assert set(made.environment) == {"GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "VLLM_HOST_IP"}


@pytest.mark.parametrize(
    "written, seen, facts, code, words",
    [
        ({}, host(""), {**NODES, "address": "10.9.9.9"}, "error nccl.interface", "has the address 10.9.9.9"),
        ({"interface": "eth7"}, host(""), NODES, "error nccl.interface", "no interface eth7"),
        ({"interface": "eth9"}, host(""), NODES, "error nccl.interface", "eth9 is down"),
        ({"profile": "infiniband"}, host(""), NODES, "error nccl.adapter", "no adapter of this host is active"),
        ({"profile": "infiniband", "hcas": "mlx5_9"}, host("", adapter("mlx5_0")), NODES,
         "error nccl.adapter", "mlx5_9"),
        ({"profile": "infiniband", "hcas": "mlx5_0"}, host("", adapter("mlx5_0", state="DOWN")), NODES,
         "error nccl.adapter", "no port of mlx5_0 is active"),
        ({"hcas": "mlx5_0"}, host("PHB"), {}, "warning nccl.unused", "mean nothing to profile pcie"),
        ({"p2p": "off"}, host("NV18"), {}, "warning nccl.p2p-off", "joined by NVLink"),
        ({"p2p": "off", "shm": "off"}, host("PHB"), {}, "warning nccl.slow", "network sockets"),
        ({"nvls": "on"}, host("PHB"), {}, "error nccl.unavailable", "NVSwitch"),
        ({"nvls": "on"}, host("NV12", capability="8.0"), {}, "error nccl.unavailable", "9.0"),
        ({"env": {"NCCL_P2P_DIABLE": "1"}}, host("PHB"), {}, "warning environment.unknown", "neither NCCL"),
        ({"env": {"NCCL_LL_THRESHOLD": "1"}}, host("PHB"), {}, "warning environment.deprecated", "2.4.8 was the last"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said(written: Any, seen: Any, facts: Any, code: str, words: str) -> None:
    made = resolved(written, seen, **facts)
    assert codes(made) == [code], made.notes
    assert words in made.notes[0][2]


def test_adapters_are_the_fastest_that_are_up() -> None:
    hcas = [adapter("mlx5_1"), adapter("mlx5_0"), adapter("mlx5_2", rate=100.0), adapter("mlx5_3", state="DOWN"),
            adapter("mlx5_9", "Ethernet", rate=400.0)]  # fmt: skip
    made = resolved({}, host("NV18", *hcas), **NODES)
    assert values(made)["NCCL_IB_HCA"] == "=mlx5_0:1,mlx5_1:1"
    assert made.devices == ["/dev/infiniband"]
    assert "NCCL_IB_GID_INDEX" not in values(made)


def test_roce_gets_the_index_of_its_routable_address() -> None:
    made = resolved({}, host("NV18", adapter("mlx5_0", "Ethernet"), adapter("mlx5_1", "Ethernet")), **NODES)
    assert values(made)["NCCL_IB_GID_INDEX"] == "3"
    made = resolved({}, host("NV18", adapter("mlx5_0", "Ethernet"), adapter("mlx5_1", "Ethernet", gid=5)), **NODES)
    assert "NCCL_IB_GID_INDEX" not in values(made)
    assert any(name == "NCCL_IB_GID_INDEX" for name, _why in made.left)


def test_ethernet_although_there_are_adapters() -> None:
    made = resolved({"profile": "ethernet"}, host("NV18", adapter("mlx5_0")), **NODES)
    assert values(made)["NCCL_IB_DISABLE"] == "1" and "NCCL_IB_HCA" not in values(made)
    made = resolved({"NCCL_IB_DISABLE": "1"}, host("NV18", adapter("mlx5_0")), **NODES)
    assert (made.profile, values(made)["NCCL_IB_DISABLE"]) == ("ethernet", "1")


@pytest.mark.parametrize(
    "version, arguments, variables, said",
    [
        ("0.32.0", {"distributed_timeout_seconds": 1800, "cpu_distributed_timeout_seconds": 1800},
         {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "120", "VLLM_ENGINE_READY_TIMEOUT_S": "900"}, []),
        ("0.20.2", {"distributed_timeout_seconds": 1800},
         {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "120", "VLLM_ENGINE_READY_TIMEOUT_S": "900"}, ["info nccl.timeout"]),
        ("0.10.2", {}, {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "120"}, ["warning nccl.timeout"] * 2),
        ("0.9.1", {}, {}, ["warning nccl.timeout"] * 3),
    ],
)  # fmt: skip
def test_time_outs_are_what_the_release_has(version: str, arguments: Any, variables: Any, said: list[str]) -> None:
    made = resolved({"timeout": "30m", "step_timeout": 120, "ready_timeout": 900}, host("PHB"), version)
    assert made.arguments == arguments
    assert {k: v for k, v in values(made).items() if k.startswith("VLLM_")} == variables
    assert codes(made) == said


def test_names_that_are_copied_around_are_understood() -> None:
    made = spec.Nccl.model_validate(
        {
            "NCCL_TIMEOUT": 1800,
            "nccl_blocking_wait": 1,
            "NCCL_ASYNC_ERROR_HANDLING": "1",
            "NCCL_DEBUG": "INFO",
            "NCCL_DEBUG_SUBSYS": "INIT,NET",
            "NCCL_LAUNCH_MODE": "GROUP",
            "NCCL_P2P_DISABLE": 0,
            "NCCL_SHM_DISABLE": 1,
            "NCCL_SOCKET_IFNAME": "=eth0",
            "GLOO_SOCKET_IFNAME": "eth0",
            "NCCL_IB_HCA": "=mlx5_0,mlx5_1",
            "NCCL_CROSS_NIC": 1,
        }
    )
    assert (made.timeout, made.blocking_wait, made.async_error_handling) == (1800, True, 1)
    assert (made.debug, made.debug_subsystems, made.launch_mode) == ("info", ["INIT", "NET"], "group")
    assert (made.p2p, made.shm, made.interface, made.hcas) == ("auto", "off", ["eth0"], ["mlx5_0", "mlx5_1"])
    assert made.env == {"NCCL_CROSS_NIC": "1"}
    found = nccl.resolve(made, nccl.Facts(), catalog.release("0.32.0"))
    assert "NCCL_TIMEOUT" not in values(found)
    assert found.arguments["distributed_timeout_seconds"] == 1800
    assert values(found)["TORCH_NCCL_ASYNC_ERROR_HANDLING"] == "1"


@pytest.mark.parametrize(
    "written, words",
    [
        ({"NCCL_TIMEOUT": 5}, "vllm_servers[chat].nccl.timeout"),
        ({"timeout": 60, "NCCL_TIMEOUT": 60}, "is the same as timeout"),
        ({"p2p": True}, 'Write "auto"'),
        ({"interface": "eth/0"}, "is not the name of an interface"),
        ({"hcas": ["0mlx"]}, "Write mlx5_0 or mlx5_0:1"),
        ({"debug_subsystems": ["INIT"]}, "says nothing below debug: info"),
        ({"debug": "info", "debug_subsystems": ["WHAT"]}, "is not a part of NCCL"),
        ({"env": {"NCCL_DEBUG": "INFO"}}, "Write nccl.debug"),
        ({"env": {"PATH": "/x"}}, "is no variable of a collective"),
        ({"profil": "pcie"}, "profile"),
        ({"async_error_handling": 9}, "nccl.async_error_handling"),
        ({"gid_index": -1}, "nccl.gid_index"),
        ("pcie", "nccl"),
    ],
)
def test_refused_with_the_field_and_what_to_write(written: Any, words: str) -> None:
    with pytest.raises(FindingsError) as refused:
        spec.load({"chat": {"image": "x", "model": "o/m", "nccl": written}})
    assert words in str(refused.value)


def test_the_file_is_what_nccl_reads() -> None:
    """By NCCL's own rules: one variable a line, no comment behind a value, # only at the beginning of a line."""
    made = resolved(
        {"debug": "info", "debug_file": True, "p2p": "phb", "timeout": 60, "env": {"NCCL_CROSS_NIC": "1"}},
        host("NV18", adapter("mlx5_0")), **NODES,
    )  # fmt: skip
    read = {}
    for line in nccl.conf(made).splitlines():
        assert len(line) <= 4095
        if line.startswith("#") or "=" not in line:
            continue
        name, _equals, value = line.partition("=")
        read[name] = value
    assert read == {item.name: item.value for item in made.file}
    assert read["NCCL_SOCKET_IFNAME"] == "=eth0" and read["NCCL_IB_HCA"] == "=mlx5_0:1"
    assert all(nccl.reader(name) == "NCCL" for name in read)
    for item in made.settings:
        assert f"{item.name}={item.value}" in nccl.conf(made), "each is explained"


def rendered(version: str = "0.32.0", seen: Any = None, **fields: Any) -> Any:
    (made,) = spec.load([{"name": "chat", "image": "x", "model": "/m", **fields}])
    release = catalog.release(version)
    return rendering.render(made, ImageFacts.assumed("x", version), release, UUIDS, "/s", None, "0" * 32, seen or {})


def test_a_server_mounts_the_file_of_its_generation() -> None:
    made = rendered(seen=host("NV18", adapter("mlx5_0")), gpus=2, network="host",
                    nccl={"profile": "infiniband", "timeout": 90, "blocking_wait": True})  # fmt: skip
    mounts = {mount["Target"]: mount for mount in made.body["HostConfig"]["Mounts"]}
    assert mounts["/etc/nccl.conf"]["Source"] == f"/s/chat/generations/{made.generation}/nccl.conf"
    assert mounts["/etc/nccl.conf"]["ReadOnly"]
    (file,) = [file for file in made.files if file["path"] == "nccl.conf"]
    assert "NCCL_IB_HCA==mlx5_0:1" in file["content"] and file["mode"] == "0444"
    assert made.env["TORCH_NCCL_BLOCKING_WAIT"] == "1" and "NCCL_DEBUG" not in made.env
    assert "--distributed-timeout-seconds" in made.argv
    assert {"PathOnHost": "/dev/infiniband", "PathInContainer": "/dev/infiniband", "CgroupPermissions": "rwm"} in (
        made.body["HostConfig"]["Devices"]
    )


def test_a_server_that_says_nothing_is_left_alone() -> None:
    made = rendered(seen=host("NV18", adapter("mlx5_0")), gpus=2)
    assert all(file["path"] != "nccl.conf" for file in made.files)
    assert all("nccl" not in mount["Target"] for mount in made.body["HostConfig"]["Mounts"])


def test_a_changed_host_makes_another_generation_and_another_file() -> None:
    one = rendered(seen=host("NV18", adapter("mlx5_0")), gpus=2, network="host", nccl={"profile": "infiniband"})
    two = rendered(seen=host("NV18", adapter("mlx5_1")), gpus=2, network="host", nccl={"profile": "infiniband"})
    assert one.generation != two.generation


def test_engine_args_and_environment_win_and_are_told() -> None:
    made = rendered(engine_args={"distributed-timeout-seconds": 30}, nccl={"timeout": 90}, env={"NCCL_DEBUG": "INFO"})
    at = made.argv.index("--distributed-timeout-seconds")
    assert made.argv[at + 1] == "30" and made.argv.count("--distributed-timeout-seconds") == 1
    assert made.env["NCCL_DEBUG"] == "INFO"
    assert "environment.conflict" in {item.code for item in made.findings}


def test_defaults_and_a_server_are_merged() -> None:
    (made,) = spec.load(
        {"chat": {"image": "x", "model": "/m", "nccl": {"debug": "info"}}}, {"nccl": {"timeout": 60, "debug": "warn"}}
    )
    assert made.nccl is not None and (made.nccl.timeout, made.nccl.debug) == (60, "info")


def test_a_misspelt_variable_in_env_is_found() -> None:
    said = [str(item) for item in rendered(env={"NCCL_P2P_DISABL": "1"}).findings]
    assert any("neither NCCL nor torch nor gloo reads it. Write NCCL_P2P_DISABLE" in line for line in said), said
    assert not rendered(env={"NCCL_CROSS_NIC": "1", "TORCH_NCCL_NAN_CHECK": "1"}).findings
