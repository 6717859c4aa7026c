# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One declaration for several hosts: what each of them sees, is told, and may do."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    catalog,
    nodes,
    observation,
    rendering,
    results,
    spec,
)
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import ImageFacts

ADDRESSES = {"gpu1": "10.0.0.1", "gpu2": "10.0.0.2", "gpu3": "10.0.0.3", "gpu4": "10.0.0.4"}
BASE: dict[str, Any] = {"image": "x", "model": "/m", "secrets": {"api_key": "sk-long-enough"}}
KEYS = {"accept": ["security.public-without-key"]}


def seen(host: str, servers: Any, defaults: Any = None) -> list[spec.ServerSpec]:
    return spec.load(nodes.expand(servers, defaults, host, ADDRESSES.get), defaults)


def declared(host: str, hosts: Any = ("gpu1", "gpu2"), **fields: Any) -> spec.ServerSpec:
    options = hosts if isinstance(hosts, dict) else {"hosts": list(hosts)}
    (made,) = seen(host, {"big": {**BASE, **fields, "nodes": options}})
    return made


def rendered(made: spec.ServerSpec, version: str = "0.32.0") -> Any:
    release = catalog.release(version)
    assert release is not None
    return rendering.render(made, ImageFacts.assumed("x", version), release, [], "/s", None, "0" * 32, {})


def option(argv: list[str], name: str) -> str | None:
    return argv[argv.index(name) + 1] if name in argv else None


def test_each_host_sees_its_own_rank_and_everybodys_address() -> None:
    for place, host in enumerate(("gpu1", "gpu2")):
        made = declared(host, engine_args={"tensor_parallel_size": 2})
        assert made.nodes is not None
        assert (made.nodes.rank, made.nodes.own.host, made.nodes.own.address) == (place, host, ADDRESSES[host])
        assert made.nodes.head.address == "10.0.0.1"
        assert made.headless is bool(place)
    assert seen("gpu3", {"big": {**BASE, "nodes": ["gpu1", "gpu2"]}, "own": BASE})[0].name == "own"


def test_every_way_of_writing_it() -> None:
    for servers, defaults in (
        ({"big": {**BASE, "nodes": ["gpu1", "gpu2"]}}, None),
        ([{**BASE, "name": "big", "nodes": {"hosts": ["gpu1", {"host": "gpu2", "address": "10.0.0.2"}]}}], None),
        ({"big": None}, {**BASE, "nodes": ["gpu1", "gpu2"]}),
    ):
        (made,) = seen("gpu2", servers, defaults)
        assert made.nodes is not None and made.nodes.rank == 1
        assert [node.address for node in made.nodes.hosts] == ["10.0.0.1", "10.0.0.2"]
    assert seen("gpu3", {"big": None}, {**BASE, "nodes": ["gpu1", "gpu2"]}) == []


def test_native_across_two_hosts() -> None:
    one, two = (rendered(declared(host, engine_args={"tensor_parallel_size": 16})) for host in ("gpu1", "gpu2"))
    for rank, made in enumerate((one, two)):
        assert not [item for item in made.findings if item.severity == "error"], made.findings
        assert (option(made.argv, "--nnodes"), option(made.argv, "--node-rank")) == ("2", str(rank))
        assert option(made.argv, "--master-addr") == "10.0.0.1"
        assert option(made.argv, "--distributed-executor-backend") == "mp"
        assert made.body["HostConfig"]["NetworkMode"] == "host"
        assert made.env["VLLM_HOST_IP"] == f"10.0.0.{rank + 1}"
    assert option(one.argv, "--master-port") == option(two.argv, "--master-port")
    assert "--headless" in two.argv and "--headless" not in one.argv
    # The head listens where the others reach it; every rank is ready when the head has answered.
    assert option(one.argv, "--host") == "10.0.0.1" and "--host" not in two.argv
    for made in (one, two):
        assert (made.probe["address"], made.probe["port"], made.probe["request"]) == ("10.0.0.1", 8000, "completion")
        assert made.probe["api_key"] == "VLLM_API_KEY"
    at = int(option(one.argv, "--master-port") or 0)
    assert one.probe["peers"] == [{"address": "10.0.0.2", "local_port": at, "keep": True}]
    assert two.probe["peers"] == [{"address": "10.0.0.1", "port": at, "keep": True}]
    assert one.body.get("Healthcheck") and not two.body.get("Healthcheck")


@pytest.mark.parametrize(
    "balancing, hosts, data, expected, serving",
    [
        ("internal", 2, 4, [{"--data-parallel-size-local": "2"},
                            {"--data-parallel-size-local": "2", "--data-parallel-start-rank": "2"}], [True, False]),
        ("hybrid", 2, 4, [{"--data-parallel-size-local": "2", "--data-parallel-start-rank": "0"},
                          {"--data-parallel-size-local": "2", "--data-parallel-start-rank": "2"}], [True, True]),
        ("external", 2, 2, [{"--data-parallel-rank": "0"}, {"--data-parallel-rank": "1"}], [True, True]),
    ],
)  # fmt: skip
def test_data_parallel(balancing: str, hosts: int, data: int, expected: Any, serving: list[bool]) -> None:
    for place, words in enumerate(expected):
        host = f"gpu{place + 1}"
        made = declared(host, {"hosts": ["gpu1", "gpu2"], "balancing": balancing},
                        engine_args={"data_parallel_size": data, "enable_expert_parallel": True})  # fmt: skip
        result = rendered(made)
        assert not [item for item in result.findings if item.severity == "error"], result.findings
        for name, value in words.items():
            assert option(result.argv, name) == value, result.argv
        assert option(result.argv, "--data-parallel-address") == "10.0.0.1"
        assert option(result.argv, "--data-parallel-size") == str(data)
        assert ("--headless" not in result.argv) is serving[place] is bool(made.published())
        assert ("--data-parallel-hybrid-lb" in result.argv) is (balancing == "hybrid")
        assert result.probe["address"] == (ADDRESSES[host] if serving[place] else "10.0.0.1")


@pytest.mark.parametrize("version", ["0.6.6.post1", "0.10.2"])
def test_ray_where_the_release_has_no_way_of_its_own(version: str) -> None:
    made = (declared(host, gpus=2, engine_args={"tensor_parallel_size": 4}) for host in ("gpu1", "gpu2"))
    one, two = (rendered(item, version) for item in made)
    assert option(one.argv, "--distributed-executor-backend") == "ray" and "--nnodes" not in one.argv
    (script,) = [file["content"] for file in one.files if file["path"] == "launch.sh"]
    assert "\nray start --head --port 29" in script and "--node-ip-address 10.0.0.1" in script
    assert two.entrypoint[:3] == ["ray", "start", "--address"] and two.argv == []
    assert two.entrypoint[3].startswith("10.0.0.1:") and two.entrypoint[-1] == "--block"
    assert "ray start" not in next(file["content"] for file in two.files if file["path"] == "launch.sh")


@pytest.mark.parametrize(
    "fields, options, version, code, words",
    [
        ({"engine_args": {"tensor_parallel_size": 3}}, {}, "0.32.0", "node.division", "3 ranks"),
        ({"engine_args": {}}, {}, "0.32.0", "node.division", "1 ranks"),
        ({"engine_args": {"data_parallel_size": 3}}, {}, "0.32.0", "node.division", "3 data parallel ranks"),
        ({"engine_args": {"dp": 4}}, {"balancing": "external"}, "0.32.0", "node.division", "one data parallel rank"),
        ({"engine_args": {"tp": 2}}, {"backend": "native"}, "0.10.2", "node.unavailable", "came with 0.11.1"),
        ({"engine_args": {"dp": 2}}, {}, "0.8.5.post1", "node.unavailable", "came with 0.9.0"),
        (
            {"gpus": 1, "engine_args": {"dp": 2}}, {"backend": "ray", "balancing": "hybrid"}, "0.32.0",
            "node.unavailable", "inter",
        ),
        ({"engine_args": {"tp": 2}}, {"backend": "ray"}, "0.32.0", "node.unavailable", "does not support Ray"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_or_done_is_said(fields: Any, options: Any, version: str, code: str, words: str) -> None:
    made = rendered(declared("gpu1", {"hosts": ["gpu1", "gpu2"], **options}, **fields), version)
    found = [item for item in made.findings if item.code == code]
    assert found and found[0].severity == "error" and words in found[0].message, made.findings


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"nodes": ["gpu1"]}, "names one host"),
        ({"nodes": ["gpu1", "gpu2", "gpu1"]}, "gpu1 is named twice"),
        ({"nodes": {"hosts": ["gpu1", "gpu2"], "port": 80}}, "nodes.port"),
        ({"nodes": {"hosts": ["gpu1", "gpu2"], "balancing": "round"}}, "nodes.balancing"),
        ({"nodes": ["gpu1", "gpu2"], "network": "bridge"}, "Write network: host"),
        ({"nodes": ["gpu1", "gpu2"], "bind": "127.0.0.1"}, "wait for the first token together"),
        ({"nodes": ["gpu1", "gpu2"], "engine_args": {"nnodes": 2}}, "is decided by nodes for each host"),
        ({"nodes": ["gpu1", "gpu2"], "engine_args": {"headless": True}}, "is decided by nodes"),
        ({"nodes": ["gpu1", "gpu2"], "secrets": None}, "security"),
        ({"nodes": "gpu1"}, "nodes"),
    ],
)
def test_refused_with_the_field_and_what_to_write(fields: Any, words: str) -> None:
    with pytest.raises(FindingsError) as refused:
        seen("gpu1", {"big": {**BASE, **fields}})
    said = [f"{item.code} {item}" for item in refused.value.findings]
    assert any(words in line for line in said), said


def test_a_host_without_an_address_is_named() -> None:
    (made,) = seen("gpu1", {"big": {**BASE, "nodes": ["gpu1", "gpu9"], "engine_args": {"tp": 2}}})
    found = [item for item in rendered(made).findings if item.code == "node.address"]
    assert [str(item) for item in found] == [
        "vllm_servers[big].nodes: the inventory tells no address of gpu9. "
        "Write vllm_address for it, or nodes: [{host: …, address: …}]."
    ]


def test_ranks_meet_at_the_same_port_and_generations_at_different_ones() -> None:
    ports = set()
    for length in range(256, 296):
        made = [declared(host, engine_args={"tp": 2, "max_model_len": length}) for host in ("gpu1", "gpu2")]
        assert nodes.port(made[0]) == nodes.port(made[1])
        assert nodes.key(made[0]) == nodes.key(made[1])
        ports.add(nodes.port(made[0]))
    assert len(ports) > 30 and all(29500 <= port < 29900 for port in ports)
    # What differs from host to host by right, does not count.
    assert nodes.key(declared("gpu1", gpus=[1], nccl={"interface": "a"})) == nodes.key(declared("gpu2", gpus=2))
    assert nodes.key(declared("gpu1", env={"A": "1"})) != nodes.key(declared("gpu1"))
    # A declaration on record is known by the same key.
    assert nodes.key_of(declared("gpu2").canonical()) == nodes.key(declared("gpu1"))


def test_the_same_place_from_run_to_run() -> None:
    first, again = (rendered(declared("gpu2", engine_args={"tp": 2})) for _time in range(2))
    assert first.generation == again.generation


def test_addresses_that_say_something_about_interfaces() -> None:
    assert [nodes.literal(text) for text in ("10.0.0.1", "[fd00::1]", "gpu1", None, "")] == [
        "10.0.0.1", "fd00::1", None, None, None,
    ]  # fmt: skip


def test_together_or_not_at_all() -> None:
    """What one host may do of a model that spans two: planned against a host made of data."""
    from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import Host, server

    host = Host()
    options = {"hosts": [{"host": one, "address": ADDRESSES[one]} for one in ("gpu1", "gpu2")], "rank": 1}
    declared_ = {"big": server(nodes=options, engine_args={"tp": 2}, secrets={"api_key": "sk-long-enough"})}

    alone = host.plan(declared_, batch=["gpu2", "gpu7"])
    assert [item.code for item in alone.refused] == ["node.batch"]
    assert "gpu1 is not in this batch" in alone.refused[0].message
    assert not host.plan(declared_, batch=["gpu1", "gpu2"]).refused

    plan = host.converge(declared_, batch=["gpu1", "gpu2"])
    assert [item.action for item in plan.servers] == ["create"]
    assert plan.request("j")["orders"]["big"]["probe"]["address"] == "10.0.0.1"
    # Nothing to do is allowed to anybody.
    assert [item.action for item in host.plan(declared_, batch=["gpu2"]).servers] == ["none"]


def test_a_hold_on_one_host_is_told_to_the_others() -> None:
    """The play asks each host before it changes a model that spans them."""
    from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import Host, server

    host = Host()
    options = {"hosts": [{"host": one, "address": ADDRESSES[one]} for one in ("gpu1", "gpu2")], "rank": 1}
    written = {"big": server(nodes=options, engine_args={"tp": 2}), "alone": server(server_port=8001)}
    specs = spec.load(written)
    seen = observation.Observation.parse(host.observe(observation.query(specs, "/var/lib/cortex-vllm")))
    for holds, held in (([], False), ([{"reason": "its disk is copied"}], True)):
        plan = host.plan(written, holds=spec.load_holds(holds), batch=["gpu1", "gpu2"])
        rank = results.spans(specs, plan, seen, ())["big"]
        assert (rank["held"], rank["todo"]) == (held, not held)
    assert results.spans(specs, plan, seen, ("alone",)) == {}
