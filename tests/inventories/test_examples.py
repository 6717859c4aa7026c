# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example inventories: read by Ansible itself, rendered for each host, and compared with what is really read."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from functools import lru_cache
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    catalog,
    findings,
    memory,
    nccl,
    nodes,
    rendering,
    spec,
)
from tests.inventories.machines import CONFIGS, MACHINES

INVENTORIES = sorted(path.parent.name for path in (ROOT / "inventories").glob("*/hosts.yml"))
#: Variables of libraries in the image, beside those of vLLM, NCCL, torch and gloo. Each is read by the library named.
OTHERS = {
    "HF_HOME": "huggingface_hub",
    "HF_HUB_CACHE": "huggingface_hub",
    "HF_HUB_OFFLINE": "huggingface_hub",
    "TRANSFORMERS_OFFLINE": "transformers",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "CUDA",
    "CUDA_DEVICE_ORDER": "CUDA",
    "NVIDIA_VISIBLE_DEVICES": "NVIDIA Container Toolkit",
}


@lru_cache(maxsize=None)
def inventory(name: str) -> dict[str, dict[str, Any]]:
    """Variables of each host, as Ansible sees them."""
    program = pathlib.Path(sys.executable).with_name("ansible-inventory")
    done = subprocess.run(
        [str(program), "-i", str(ROOT / "inventories" / name), "--list"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    seen: dict[str, dict[str, Any]] = listed["_meta"]["hostvars"]
    assert set(listed["vllm"].get("hosts") or ()) or listed["vllm"].get("children")
    return seen


def declarations(name: str, host: str) -> list[Any]:
    """What the role makes of a host's variables."""
    hosts = inventory(name)
    own = hosts[host]
    defaults = own.get("vllm_server_defaults") or {}
    if "vllm_nccl" in own:
        defaults = {"nccl": own["vllm_nccl"], **defaults}

    def address(other: str) -> str | None:
        known = hosts.get(other) or {}
        return nodes.literal(known.get("vllm_address")) or nodes.literal(known.get("ansible_host"))

    return spec.load(nodes.expand(own.get("vllm_servers"), defaults, host, address), defaults)


HOSTS = [(name, host) for name in INVENTORIES if name != "demo" for host in sorted(inventory(name))]


def test_every_example_is_there() -> None:
    assert set(INVENTORIES) == {
        "demo", "hgx-h100", "laptop", "mixed-fleet", "pcie-pair", "single-t4", "two-node-405b",
    }  # fmt: skip
    page = (ROOT / "inventories" / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name}](" in page for name in INVENTORIES)
    assert {machine for machine, _gpu in MACHINES.items()} >= {name.split("-")[0] for _inventory, name in HOSTS} - {""}


def rendered(name: str, host: str) -> list[tuple[Any, Any, Any]]:
    """Declaration, rendering and machine of each server of a host, with the facts that such a machine has."""
    machine = MACHINES[host] if host in MACHINES else MACHINES[re.sub(r"-?\d+$", "", host)]
    address = nodes.literal(inventory(name)[host].get("vllm_address"))
    facts = machine.facts(address)
    made = []
    for one in declarations(name, host):
        version = one.image.rpartition(":v")[2]
        release = catalog.release(version)
        assert release is not None, f"{one.image}: no release of the catalogue"
        uuids = machine.chosen(one.gpus)
        image = rendering.ImageFacts.assumed(one.image, version)
        result = rendering.render(one, image, release, uuids, "/var/lib/cortex-vllm", None, "0" * 32, facts)
        made.append((one, result, machine))
    return made


@pytest.mark.parametrize("name, host", HOSTS)
def test_it_renders_without_an_error(name: str, host: str) -> None:
    for one, result, _machine in rendered(name, host):
        assert not findings.errors(result.findings), findings.text(result.findings)
        assert not [item for item in result.findings if item.severity == "warning"], findings.text(result.findings)
        release = catalog.release(one.image.rpartition(":v")[2])
        # What vLLM's parser would take, flag by flag.
        assert all(release.flag(word) for word in result.argv if word.startswith("--"))


@pytest.mark.parametrize("name, host", HOSTS)
def test_every_variable_is_read_by_something(name: str, host: str) -> None:
    for one, result, _machine in rendered(name, host):
        release = catalog.release(one.image.rpartition(":v")[2])
        for variable in result.env:
            known = variable in release.environment or variable in OTHERS or nccl.known(variable)
            assert known, f"{name} {host} {one.name}: nothing reads {variable}"
        for file in result.files:
            if file["path"] != "nccl.conf":
                continue
            lines = [line for line in file["content"].splitlines() if line and not line.startswith("#")]
            assert lines and all(nccl.reader(line.partition("=")[0]) == "NCCL" for line in lines), lines


@pytest.mark.parametrize("name, host", HOSTS)
def test_peer_to_peer_is_on_and_nothing_is_turned_off(name: str, host: str) -> None:
    for _one, result, _machine in rendered(name, host):
        text = "\n".join(file["content"] for file in result.files) + str(result.env)
        assert not re.search(r"^NCCL_(P2P|IB|SHM)_DISABLE=1", text, re.MULTILINE)


def test_the_two_nodes_are_one_model() -> None:
    found = {host: rendered("two-node-405b", host)[0][1] for host in ("hgx1", "hgx2")}
    for rank, host in enumerate(found):
        argv = found[host].argv
        assert argv[argv.index("--node-rank") + 1] == str(rank)
        assert argv[argv.index("--master-addr") + 1] == "10.20.0.11"
        (conf,) = [file["content"] for file in found[host].files if file["path"] == "nccl.conf"]
        assert "NCCL_SOCKET_IFNAME==bond0" in conf
        assert "NCCL_IB_HCA==" + ",".join(f"mlx5_{index}:1" for index in range(8)) in conf
        assert found[host].probe["address"] == "10.20.0.11"
    assert "--headless" in found["hgx2"].argv and "--headless" not in found["hgx1"].argv


def test_profiles() -> None:
    def profile(name: str, host: str, server: str) -> str:
        one = next(result for made, result, _machine in rendered(name, host) if made.name == server)
        (conf,) = [file["content"] for file in one.files if file["path"] == "nccl.conf"]
        return re.search(r"Profile: (\w+)", conf)[1]  # type: ignore[index]

    assert profile("hgx-h100", "hgx1", "large") == "nvlink"
    assert profile("pcie-pair", "box", "chat") == "pcie"
    assert profile("mixed-fleet", "a100-01", "chat-large") == "nvlink"
    assert profile("two-node-405b", "hgx1", "huge") == "infiniband"


@pytest.mark.parametrize("name, host", HOSTS)
def test_it_fits_the_memory_of_such_a_gpu(name: str, host: str) -> None:
    """With the models' published configurations and weights."""
    for one, _result, machine in rendered(name, host):
        config, weights = CONFIGS[one.model]
        arguments = dict(one.engine_args)
        gpu = memory.Gpu(machine.gpu, int(machine.gib * memory.GIB), int(machine.gib * machine.free * memory.GIB),
                         float(machine.capability))  # fmt: skip
        question = memory.Question(
            config, arguments, one.image.rpartition(":v")[2], gpu, weights, len(machine.chosen(one.gpus)), {}, None,
            None, cpu=False,
        )  # fmt: skip
        found = memory.estimate(question)
        told = memory.as_dict(found, memory.advise(found))
        assert told["fits"] is True, (one.name, told, [str(item) for item in found.findings])
