# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations: how they are written, merged, filled in and described."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError, located

BASE: dict[str, Any] = {"image": "vllm/vllm-openai:v0.32.0", "model": "Qwen/Qwen3-0.6B"}


def one(**fields: Any) -> spec.ServerSpec:
    (server,) = spec.load({"chat": {**BASE, **fields}})
    return server


def test_mapping_and_list_are_the_same() -> None:
    by_name = spec.load({"b": {**BASE, "server_port": 1}, "a": BASE})
    listed = spec.load([{**BASE, "name": "a"}, {**BASE, "name": "b", "server_port": 1}])
    assert [server.canonical() for server in by_name] == [server.canonical() for server in listed]
    assert [server.name for server in by_name] == ["a", "b"]


@pytest.mark.parametrize("nothing", [None, {}, []])
def test_no_servers(nothing: Any) -> None:
    assert spec.load(nothing) == []


def test_a_name_alone_takes_everything_from_the_defaults() -> None:
    (server,) = spec.load({"chat": None}, BASE)
    assert server.name == "chat" and server.model == BASE["model"]


def test_defaults_are_merged_deeply_and_null_removes() -> None:
    defaults = {
        **BASE,
        "engine_args": {"max-model-len": 1024, "speculative_config": {"method": "ngram", "n": 3}, "dtype": "auto"},
        "env": {"A": "1", "B": 2},
        "secrets": {"hf_token": "hunter2", "env": {"X_TOKEN": "x"}},
        "mounts": ["/srv/a"],
        "hub_cache": "/srv/hub",
        "shm_size": "1g",
    }
    own = {
        "engine_args": {"max_model_len": 2048, "speculative_config": {"n": 5}, "dtype": None},
        "env": {"B": None, "C": "3"},
        "secrets": {"api_key": "swordfish"},
        "mounts": ["/srv/b"],
        "shm_size": None,
    }
    (server,) = spec.load({"chat": own}, defaults)
    assert server.engine_args == {"max_model_len": 2048, "speculative_config": {"method": "ngram", "n": 5}}
    assert server.env == {"A": "1", "C": "3"}
    assert server.secret_values() == {"HF_TOKEN": "hunter2", "VLLM_API_KEY": "swordfish", "X_TOKEN": "x"}
    assert [mount.source for mount in server.mounts] == ["/srv/b"], "lists are replaced"
    assert server.shm_size is None and server.hub_cache == "/srv/hub"


def test_defaults_of_a_declaration() -> None:
    server = one()
    assert (server.state, server.bind, server.server_port, server.init) == ("started", "127.0.0.1", 8000, True)
    assert server.served_model_name == ["chat"]
    assert server.hub_cache == spec.DEFAULT_HUB_CACHE
    assert one(model="/srv/model").hub_cache is None
    assert not server.wants_gpus and server.effective_ulimits() == {}
    assert server.effective_shm_size() == 2 << 30
    assert one(gpus=1).effective_shm_size() == 16 << 30
    assert one(gpus=1, shm_size="3g").effective_shm_size() == 3 << 30
    assert set(one(gpus=1).effective_ulimits()) == {"memlock", "stack"}
    assert one(gpus=1, ulimits={"nofile": 5}).effective_ulimits()["nofile"].hard == 5
    assert server.container_name == "cortex-vllm-chat"
    assert one(log={"driver": "local"}).log.options == one().log.options == {"max-size": "50m", "max-file": "3"}
    assert one(log={"driver": "journald"}).log.options == {}, "which would refuse the sizes"
    assert one(env={"A": None, "B": "x"}, engine_args={"dtype": None}).env == {"B": "x"}, "null is: not set"


@pytest.mark.parametrize(
    "fields, name, value",
    [
        ({"env": {"A": 1, "B": 1.5, "C": "x"}}, "env", {"A": "1", "B": "1.5", "C": "x"}),
        ({"served_model_name": "m"}, "served_model_name", ["m"]),
        ({"server_port": "8001"}, "server_port", 8001),
        ({"vllm_version": "v0.32.0"}, "vllm_version", "0.32.0"),
        ({"user": 1000}, "user", "1000"),
        ({"user": "1000:0"}, "uid_gid", (1000, 0)),
        ({"user": "7"}, "uid_gid", (7, 0)),
        ({}, "uid_gid", None),
        ({"cap_add": ["cap_sys_nice", "IPC_LOCK", "IPC_LOCK"]}, "cap_add", ["IPC_LOCK", "SYS_NICE"]),
        ({"start_timeout": "10m"}, "start_timeout", 600.0),
        ({"model": "/srv/m/"}, "model", "/srv/m"),
        ({"model": "org/name:Q4_K_M"}, "model_kind", "hub"),
        ({"model": "/srv/m.gguf"}, "model_kind", "path"),
        ({"accept": "gpu.shared"}, "accept", ["gpu.shared"]),
        ({"engine_args": {"--max-model-len": 1, "rope-scaling.type": "x"}}, "engine_args",
         {"max_model_len": 1, "rope_scaling": {"type": "x"}}),
        ({"engine_args": {"a.b.c": 1, "a.b.d": 2}}, "engine_args", {"a": {"b": {"c": 1, "d": 2}}}),
        ({"engine_args": {"headless": True}}, "headless", True),
        ({"engine_args": {"ssl_certfile": "/x"}}, "scheme", "https"),
        ({"bind": "::1"}, "bind", "::1"),
    ],
)  # fmt: skip
def test_normalised(fields: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(one(**fields), name) == value


@pytest.mark.parametrize(
    "written, source, target, read_only",
    [
        ("/srv/a", "/srv/a", "/srv/a", True),
        ("/srv/a:/b", "/srv/a", "/b", True),
        ("/srv/a:/b:rw", "/srv/a", "/b", False),
        ("data:/b:ro", "data", "/b", True),
        ({"source": "/srv/a"}, "/srv/a", "/srv/a", True),
        ({"source": "/srv/a", "target": "/b", "read_only": False}, "/srv/a", "/b", False),
    ],
)
def test_mounts(written: Any, source: str, target: str, read_only: bool) -> None:
    (mount,) = one(mounts=[written]).mounts
    assert (mount.source, mount.target, mount.read_only) == (source, target, read_only)
    assert mount.is_volume is (source == "data")


@pytest.mark.parametrize(
    "written, address, port, inner, protocol",
    [
        (80, "127.0.0.1", 80, 80, "tcp"),
        ("80", "127.0.0.1", 80, 80, "tcp"),
        ("8080:80", "127.0.0.1", 8080, 80, "tcp"),
        ("0.0.0.0:8080:80/udp", "0.0.0.0", 8080, 80, "udp"),
        ("[::1]:8080:80", "::1", 8080, 80, "tcp"),
        ({"port": 80}, "127.0.0.1", 80, 80, "tcp"),
        ({"port": 80, "container_port": 81, "address": "::"}, "::", 80, 81, "tcp"),
    ],
)
def test_ports_of_a_container(written: Any, address: str, port: int, inner: int, protocol: str) -> None:
    container = spec.load_container({"name": "x", "image": "y", "ports": [written]})
    (found,) = container.ports
    assert (found.address, found.port, found.container_port, found.protocol) == (address, port, inner, protocol)
    assert container.published() == [(address, port)] and container.kind == "container"


@pytest.mark.parametrize(
    "fields, architectures, pools",
    [
        ({}, None, False),
        ({}, ["Qwen3ForCausalLM"], False),
        ({}, ["BertModel"], True),
        ({}, ["XLMRobertaForSequenceClassification"], True),
        ({}, ["WhisperForConditionalGeneration"], False),
        ({}, ["ChatGLMModel"], True),
        ({}, ["QWenLMHeadModel"], False),
        ({"runner": "generate"}, ["BertModel"], False),
        ({"runner": "pooling"}, None, True),
        ({"task": "embed"}, None, True),
        ({"convert": "classify"}, ["Qwen3ForCausalLM"], True),
    ],
)
def test_servers_that_only_pool(fields: dict[str, Any], architectures: list[str] | None, pools: bool) -> None:
    assert one(engine_args=fields).pools(architectures) is pools


def test_canonical_is_json_and_hides_secrets() -> None:
    server = one(secrets={"api_key": "hunter2\n", "env": {"OTHER": "hunter2"}}, gpus="0-1")
    assert server.secret_values()["VLLM_API_KEY"] == "hunter2", "the line break at the end is nobody's"
    for shown in (json.dumps(server.canonical()), repr(server), str(server), str(server.model_dump())):
        assert "hunter2" not in shown
    data = server.canonical({"VLLM_API_KEY": "d1"})
    assert data["secrets"] == {"OTHER": "********", "VLLM_API_KEY": "d1"}
    assert data["gpus"] == [0, 1]
    assert json.loads(json.dumps(data)) == data


def test_canonical_can_be_loaded_again() -> None:
    server = one(gpus=2, mounts=["/srv/a"], ulimits={"nofile": 3}, engine_args={"max-model-len": 1}, env={"A": 1})
    data = server.canonical()
    data.pop("secrets")
    (again,) = spec.load([data])
    assert again.canonical() == server.canonical()


@pytest.mark.parametrize(
    "until, now, over",
    [
        (None, 1e12, False),
        ("2026-12-31", 1798761599, False),  # 2026-12-31T23:59:59Z
        ("2026-12-31", 1798761600, True),
        ("2026-12-31T18:00:00+00:00", 1798740000, True),
        ("2026-12-31T18:00:00+02:00", 1798732800, True),
        ("2026-12-31T18:00:00", 1798739999, False),
    ],
)
def test_a_hold_ends(until: str | None, now: float, over: bool) -> None:
    server = one(state="held", held={"reason": "benchmark", **({"until": until} if until else {})})
    assert server.held is not None and server.held.over(now) is over


@pytest.mark.parametrize("model", [spec.ServerSpec, spec.ContainerSpec])
def test_fields_are_described(model: Any) -> None:
    described = spec.fields(model)
    json.dumps(described)
    assert set(described) == set(model.model_fields)
    assert all(field["description"].endswith(".") for field in described.values())
    assert described["name"] == {
        "type": "str", "required": True, "default": None, "choices": None,
        "description": "Name on this host. The container is called C(cortex-vllm-<name>).",
    }  # fmt: skip
    assert described["gpus"]["type"] == "raw" and described["gpus"]["default"] == "none"
    assert described["state"]["choices"] == ["started", "stopped", "absent", "held"]
    assert described["shm_size"]["type"] == "str" and described["cpus"]["type"] == "float"
    assert described["mounts"]["type"] == "list" and set(described["mounts"]["fields"]) >= {"source", "target"}
    assert described["held"]["type"] == "dict" and described["held"]["fields"]["reason"]["required"]
    assert described["env"]["type"] == "dict" and described["init"] | {"description": ""} == {
        "type": "bool", "required": False, "default": True, "choices": None, "description": "",
    }  # fmt: skip


def test_origin_and_place_of_values() -> None:
    class Tagged(str):
        pass

    dtype, key = Tagged("auto"), Tagged("hunter2")
    (server,) = spec.load(
        {"chat": {**BASE, "engine_args": {"--dtype": dtype}, "secrets": {"api_key": key}}}, {"env": {"A": "1"}}
    )
    assert server.origin("engine_args", "dtype") is dtype
    assert server.where("engine_args", "dtype") == "vllm_servers[chat].engine_args.dtype"
    assert server.where("env", "A") == "vllm_server_defaults.env.A"
    assert server.origin("secrets", "api_key") is None
    copy = server.model_copy(update={"accept": ["a.b"]})
    assert copy.origin("engine_args", "dtype") is dtype
    bare = spec.ServerSpec.model_validate({**BASE, "name": "x"})
    assert bare.where("env", "A") == "vllm_servers[x].env.A" and bare.origin("env") is None


def test_the_path_of_a_field_leads_back_to_what_was_written() -> None:
    mounts, gpus = ["/srv/a"], [0, 1]
    defaults = {"mounts": mounts, "engine_args": {"--max-model-len": "5"}}
    (one,) = spec.load({"chat": {"image": "a/b", "model": "/m", "gpus": gpus, "secrets": {"api_key": "k"}}}, defaults)
    assert one.pointed("vllm_servers[chat].gpus") is gpus
    assert one.pointed("vllm_server_defaults.mounts[0].source") is mounts[0]
    assert one.pointed("vllm_server_defaults.engine_args.max_model_len") == "5"
    assert one.pointed("vllm_servers[chat].secrets.api_key") is None
    assert one.pointed("plan") is None
    field = "vllm_servers[chat].gpus"
    found = [Finding("gpu.absent", "error", "x", field=field, server=name) for name in (None, "chat")]
    assert [item.origin for item in located(found, [one])] == [None, gpus]


def test_load_container_refuses() -> None:
    with pytest.raises(FindingsError) as caught:
        spec.load_container({"name": "x", "comand": ["a"]})
    assert [finding.field for finding in caught.value.findings] == ["image", "comand"]
    assert "Write command" in str(caught.value)
    with pytest.raises(FindingsError, match="is not a mapping"):
        spec.load_container(["x"])
