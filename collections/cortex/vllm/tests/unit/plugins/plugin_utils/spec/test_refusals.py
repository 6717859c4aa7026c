# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every refusal names the field, the fault and what to write; none shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError

BASE: dict[str, Any] = {"image": "vllm/vllm-openai:v0.32.0", "model": "Qwen/Qwen3-0.6B"}
HUNTER = "hunter2"


def refused(servers: Any, defaults: Any = None) -> list[Finding]:
    with pytest.raises(FindingsError) as caught:
        spec.load(servers, defaults)
    return caught.value.findings


@pytest.mark.parametrize(
    "fields, field, message, fix",
    [
        # unknown names
        ({"modle": "x"}, "modle", "is not a field", "Write model"),
        ({"served-model-nam": "x"}, "served-model-nam", "is not a field", "Write served_model_name"),
        ({"tensor_parallel_size": 2}, "tensor_parallel_size", "is not a field",
         "Write it below engine_args: engine_args.tensor_parallel_size"),
        ({"--max-model-len": 2}, "--max-model-len", "is not a field",
         "Write it below engine_args: engine_args.max_model_len"),
        ({"port": 1}, "port", "is not a field", "Write server_port"),
        ({"volumes": []}, "volumes", "is not a field", "Write mounts"),
        ({"api_key": HUNTER}, "api_key", "is not a field", "Write secrets.api_key"),
        ({"zzzzqqq": 1}, "zzzzqqq", "is not a field", "Write one of name, image"),
        ({"secrets": {"api_kye": HUNTER}}, "secrets.api_kye", "is not a field", "Write api_key"),
        ({"probe": {"requst": "none"}}, "probe.requst", "is not a field", "Write request"),
        ({"mounts": [{"source": "/a", "targt": "/b"}]}, "mounts[0].targt", "is not a field", "Write target"),
        ({"ulimits": {"nofile": {"sft": 1, "hard": 1}}}, "ulimits.nofile.sft", "is not a field", "Write soft"),
        ({"API-Key": HUNTER}, "API-Key", "is not a field", "Write secrets.api_key"),
        # what the engine would refuse after the old server was stopped
        ({"entrypoint": []}, "entrypoint", "is empty", "Write a value, or leave the field out"),
        ({"ulimits": {"nofiles": 5}}, "ulimits.nofiles", "is not a limit of the kernel", "Write nofile"),
        ({"ulimits": {"nofile": "9:5"}}, "ulimits.nofile.soft", "is above hard (5)", "Write soft: as hard, or less"),
        ({"user": "4294967296"}, "user", "has a number that no engine takes", "Write numbers up to 2147483647"),
        ({"network": "host", "networks": ["a"]}, "networks", "cannot be joined by a container on network host",
         "Delete networks, or write network: bridge"),
        ({"network": "container:web"}, "network", "borrows the network of something that may be gone",
         "Write bridge, host or a network's name"),
        ({"mounts": ["/srv/../etc:/x"]}, "mounts[0].source", "has .. in it", "Write the path that is meant"),
        ({"model": "https://huggingface.co/Qwen/Qwen3-0.6B"}, "model",
         "'https://huggingface.co/Qwen/Qwen3-0.6B' is an address, not an id", "Write Qwen/Qwen3-0.6B"),
        # secrets where everybody can read them
        ({"env": {"HTTPS_PROXY": f"http://me:{HUNTER}@proxy:3128"}}, "env.HTTPS_PROXY",
         "would stand in the container's environment for everybody to read",
         "Write it as secrets.env.HTTPS_PROXY"),
        ({"env": {"WHO": "hf_" + HUNTER * 5}}, "env.WHO",
         "would stand in the container's environment for everybody to read", "Write it as secrets.env.WHO"),
        ({"labels": {"org.example.api-key": HUNTER}}, "labels.org.example.api-key",
         "would stand in the container's labels for everybody to read",
         "Leave it out, or write it below secrets.env"),
        *(({"secrets": {"api_key": key}}, "secrets.api_key",
           "cannot be sent in the header of a request: it has a line break, a space at an end, or a character beyond "
           "ASCII in it", "Write printable ASCII in one line") for key in (HUNTER + "\nx", " " + HUNTER, "  ", "kéy")),
        # missing, wrong types, ranges
        ({"model": None}, "model", "is required", "Write model, such as Qwen/Qwen3-0.6B"),
        ({"server_port": "abc"}, "server_port", "is not a whole number", "Write a whole number"),
        ({"server_port": 0}, "server_port", "is too small", "Write 1 or more"),
        ({"server_port": 65536}, "server_port", "is too large", "Write 65535 or less"),
        ({"server_port": True}, "server_port", "is true, not a number", "Write a number"),
        ({"server_port": 1.5}, "server_port", "is not a whole number", "Write a whole number"),
        ({"init": "perhaps"}, "init", "is neither true nor false", "Write true or false"),
        ({"state": "running"}, "state", "is not one of the choices",
         "Write 'started', 'stopped', 'absent' or 'held'"),
        ({"cpus": 0}, "cpus", "is too small", "Write a number above 0"),
        ({"cpus": "x"}, "cpus", "is not a number", "Write a number"),
        ({"engine_args": ["a"]}, "engine_args", "is not a mapping", "Write a mapping"),
        ({"mounts": "x"}, "mounts", "is not a list", "Write a list"),
        ({"secrets": "x"}, "secrets", "is not a mapping", None),
        ({"model": ["x"]}, "model", "is not text", "Write text"),
        ({"revision": 1234567}, "revision", "is a number, not text", 'Quote it: "1234567"'),
        ({"shm_size": "12x"}, "shm_size", "'12x' is not a size", "Write bytes"),
        ({"bind": "eth0"}, "bind", "'eth0' is not an IP address", "Write an address"),
        ({"gpus": [0, 0]}, "gpus", "GPU 0 is named twice", "Name each GPU once"),
        ({"model": "a b"}, "model", "neither an id on the Hub nor a path", "Write organisation/name"),
        ({"model": "../x"}, "model", "is a relative path", "Write the path from /"),
        ({"model": "/x", "revision": "main"}, "revision", "has no meaning for a path", "Delete it"),
        ({"vllm_version": "latest"}, "vllm_version", "'latest' is not a version", "quoted"),
        ({"served_model_name": ["a", "a"]}, "served_model_name[1]", "'a' is named twice", "Name it once"),
        ({"accept": ["Shared"]}, "accept[0]", "is not a finding code", "gpu.shared"),
        ({"user": "vllm"}, "user", "is not numeric", 'Write "uid"'),
        ({"user": True}, "user", "is not numeric", 'Write "uid"'),
        ({"network": "none"}, "network", "without any network", "Write bridge or host"),
        ({"state": "held"}, "held", "is missing while state is held", "reason"),
        ({"held": {"reason": "x", "until": "soon"}}, "held.until", "'soon' is not a date", "2026-12-31"),
        ({"image": "https://x/y"}, "image", "is an address", "Write x/y"),
        # environment and secrets
        ({"env": {"A": True}}, "env.A", "is a boolean", 'Quote it: "1", "true" or "True"'),
        ({"env": {"A": [1]}}, "env.A", "is a list, not text", "Write text"),
        ({"env": {"A": "a\nb"}}, "env.A", "line break", "one line"),
        ({"env": {"1A": "x"}}, "env.1A", "not the name of an environment variable", "Use letters"),
        ({"env": "x"}, "env", "is not a mapping", "Write a mapping"),
        ({"env": {"VLLM_API_KEY": HUNTER}}, "env.VLLM_API_KEY", "for everybody to read", "Write it as secrets.api_key"),
        ({"env": {"HUGGING_FACE_HUB_TOKEN": HUNTER}}, "env.HUGGING_FACE_HUB_TOKEN", "for everybody to read",
         "Write it as secrets.hf_token"),
        ({"env": {"S3_SECRET_KEY": HUNTER}}, "env.S3_SECRET_KEY", "for everybody to read",
         "Write it as secrets.env.S3_SECRET_KEY"),
        ({"env": {"CUDA_VISIBLE_DEVICES": "0"}}, "env.CUDA_VISIBLE_DEVICES", "gpus decides", "Delete it"),
        ({"secrets": {"api_key": ""}}, "secrets.api_key", "is empty", "leave it out"),
        ({"secrets": {"api_key": 12345}}, "secrets.api_key", "is not text", "Quote it"),
        ({"secrets": {"api_key": HUNTER + "\0"}}, "secrets.api_key", "NUL", "Write text"),
        ({"secrets": {"env": {"HF_TOKEN": HUNTER}}}, "secrets.env.HF_TOKEN", "a field of its own",
         "Write secrets.hf_token"),
        ({"secrets": {"env": {"PATH": HUNTER}}}, "secrets.env.PATH", "decides how the server runs", "Leave it out"),
        ({"secrets": {"env": {"A-B": HUNTER}}}, "secrets.env.A-B", "not the name", "Use letters"),
        ({"secrets": {"env": {"AB": [HUNTER]}}}, "secrets.env.AB", "is not text", "Quote it"),
        # arguments
        ({"engine_args": {"port": 1}}, "engine_args.port", "has a field of its own", "Write server_port instead"),
        ({"engine_args": {"--api-key": HUNTER}}, "engine_args.api_key", "has a field of its own",
         "Write secrets.api_key instead"),
        ({"engine_args": {"config": "x.yaml"}}, "engine_args.config", "would hide arguments", "Write its content"),
        ({"engine_args": {"a-b": 1, "a_b": 2}}, "engine_args.a_b", "is set twice, also as a_b", "Write it once"),
        ({"engine_args": {"a": {"b": 1}, "a.b": 2}}, "engine_args.a.b", "is set twice", "Write one mapping a"),
        ({"engine_args": {"1x": 1}}, "engine_args.1x", "is not the name of an argument", "max_model_len"),
        ({"request_defaults": {"max_tokens": 1}}, "request_defaults.max_tokens", "is called max_new_tokens",
         "Write max_new_tokens"),
        ({"request_defaults": {"best_of": 2}}, "request_defaults.best_of", "would be ignored", "Delete it"),
        ({"request_defaults": {"top_p": "high"}}, "request_defaults.top_p", "is not a number", "Write a number"),
        ({"request_defaults": {"top_p": 1}, "engine_args": {"override_generation_config": {}}}, "request_defaults",
         "is set in engine_args.override_generation_config too", "Write one"),
        # mounts, labels, devices
        ({"mounts": ["x/y"]}, "mounts[0].source", "is not an absolute path", "Write the path from /"),
        ({"mounts": ["/a:/b:rx"]}, "mounts[0]", "'rx' is not a mode", "source:target:ro"),
        ({"mounts": ["/a", "/b:/a"]}, "mounts[1]", "/a is already mounted by mounts[0]", "Choose another target"),
        ({"mounts": ["/a:/run/cortex-vllm"]}, "mounts[0]", "already mounted by the collection", "another target"),
        ({"mounts": ["/a:/etc"]}, "mounts[0]", "would hide the image's own files", "below it"),
        ({"labels": {"cortex.vllm.x": "1"}}, "labels.cortex.vllm.x", "collection's own label", "another prefix"),
        ({"labels": {"a": 1}}, "labels.a", "is not text", "Quote it"),
        ({"devices": ["dev"]}, "devices[0]", "is not an absolute path", "from /"),
        ({"ulimits": {"nofile": True}}, "ulimits.nofile", "is true, not a number", "Write a number"),
        ({"ulimits": {"nofile": -2}}, "ulimits.nofile.soft", "is too small", "Write -1 or more"),
        ({"engine_args": {"x": object()}}, "engine_args.x", "holds a object", "Write text"),
    ],
)  # fmt: skip
def test_refusals(fields: dict[str, Any], field: str, message: str, fix: str | None) -> None:
    findings = [item for item in refused({"chat": {**BASE, **fields}}) if item.field == f"vllm_servers[chat].{field}"]
    assert findings, "nothing was said about the field"
    finding = findings[0]
    assert finding.severity == "error" and finding.server == "chat"
    assert message in finding.message
    assert fix is None or (finding.fix is not None and fix in finding.fix)
    assert HUNTER not in str(finding) + str(finding.as_dict())
    assert HUNTER not in str(finding.origin), "not even as the place in the file"


def test_everything_is_said_at_once() -> None:
    findings = refused({"a": {"modle": "x"}, "b": {**BASE, "server_port": 0, "gpus": "x"}})
    assert {finding.field for finding in findings} == {
        "vllm_servers[a].modle",
        "vllm_servers[a].model",
        "vllm_servers[a].image",
        "vllm_servers[b].server_port",
        "vllm_servers[b].gpus",
    }


@pytest.mark.parametrize(
    "servers, defaults, field, message",
    [
        ("x", None, "vllm_servers", "is neither a mapping nor a list"),
        ({"a": ["x"]}, None, "vllm_servers[a]", "is not a mapping"),
        (["x"], None, "vllm_servers[0]", "is not a mapping"),
        ([dict(BASE)], None, "vllm_servers[0].name", "is required"),
        ([{**BASE, "name": 7}], None, "vllm_servers[0].name", "is a number, not text"),
        ({"a": {**BASE, "name": "b"}}, None, "vllm_servers[a].name", "differs from its key a"),
        ({"a b": BASE}, None, "vllm_servers[a b].name", "cannot be a name"),
        ([{**BASE, "name": "a"}, {**BASE, "name": "a"}], None, "vllm_servers[1].name", "is the name of entry 0 too"),
        ({"a": BASE}, ["x"], "vllm_server_defaults", "is not a mapping"),
        ({"a": BASE}, {"name": "x"}, "vllm_server_defaults.name", "cannot be a default"),
        ({"a": BASE}, {"shm_size": "x"}, "vllm_server_defaults.shm_size", "is not a size"),
        ({"a": BASE}, {"engine_args": {"port": 1}}, "vllm_server_defaults.engine_args.port", "a field of its own"),
        ({"a": BASE}, {"modle": "x"}, "vllm_server_defaults.modle", "is not a field"),
    ],
)
def test_shapes_and_defaults(servers: Any, defaults: Any, field: str, message: str) -> None:
    findings = refused(servers, defaults)
    assert [item.field for item in findings] == [field]
    assert message in findings[0].message and findings[0].fix


def test_a_fault_of_the_defaults_is_told_once() -> None:
    findings = refused({"a": {**BASE, "server_port": 1}, "b": {**BASE, "server_port": 2}}, {"stop_timeout": 0})
    assert [(item.field, item.server) for item in findings] == [("vllm_server_defaults.stop_timeout", None)]


def test_origin_is_what_the_person_wrote() -> None:
    class Tagged(str):
        pass

    value, key = Tagged("eth0"), Tagged("modle")
    findings = refused({"chat": {**BASE, "bind": value, key: "x"}})
    assert findings[0].origin is value
    assert next(item for item in findings if item.code == "spec.unknown-field").origin is key
    switch = Tagged("init")
    assert refused({"chat": {**BASE, "env": {switch: True}}})[0].origin is switch, "a boolean cannot carry its line"
    first = Tagged("image")
    missing = refused({"chat": {first: "x", "secrets": {"api_key": HUNTER}}})[0]
    assert missing.origin is first, "the first key stands in for what is missing"


# --- across servers -------------------------------------------------------------------------------------------------


def pair(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {"a": {**BASE, "server_port": 8001, **first}, "b": {**BASE, "server_port": 8002, **second}}


@pytest.mark.parametrize(
    "first, second, code",
    [
        ({"server_port": 8002}, {}, "port.shared"),
        ({"server_port": 8002, "bind": "127.0.0.2"}, {}, None),
        ({"server_port": 8002, "bind": "0.0.0.0", "secrets": {"api_key": "x"}}, {}, "port.shared"),
        ({"server_port": 8002, "bind": "::", "secrets": {"api_key": "x"}}, {}, "port.shared"),
        ({"server_port": 8002, "bind": "0.0.0.0", "secrets": {"api_key": "x"}}, {"bind": "::1"}, None),
        ({"server_port": 8002, "state": "stopped"}, {}, None),
        ({"server_port": 8002, "state": "held", "held": {"reason": "x"}}, {}, "port.shared"),
        ({"server_port": 8002, "engine_args": {"headless": True}}, {}, None),
        ({"gpus": [0, 1]}, {"gpus": "1-2"}, "gpu.shared"),
        ({"gpus": [0]}, {"gpus": [1]}, None),
        ({"gpus": "all"}, {"gpus": 1}, "gpu.shared"),
        ({"gpus": "all"}, {}, None),
        ({"gpus": 1}, {"gpus": 1}, None),
        ({"gpus": [0], "accept": ["gpu.shared"]}, {"gpus": [0]}, "gpu.shared"),
        ({"gpus": [0], "accept": ["gpu.shared"]}, {"gpus": [0], "accept": ["gpu.shared"]}, None),
        ({"gpus": [0], "share_gpus": True}, {"gpus": [0]}, "gpu.shared"),
        ({"gpus": [0], "share_gpus": True}, {"gpus": [0], "share_gpus": True, "accept": ["disk.low"]}, None),
        ({"gpus": [0], "state": "absent"}, {"gpus": [0]}, None),
    ],
)
def test_what_two_servers_do_to_each_other(first: dict[str, Any], second: dict[str, Any], code: str | None) -> None:
    servers = pair(first, second)
    if code is None:
        specs = spec.load(servers)
        assert all(finding.severity == "warning" for finding in spec.check(specs))
    else:
        (finding,) = refused(servers)
        assert finding.code == code and finding.server == "b" and "a too" in finding.message


@pytest.mark.parametrize(
    "fields, severity",
    [
        ({}, None),
        ({"bind": "::1"}, None),
        ({"bind": "10.0.0.1"}, "error"),
        ({"bind": "0.0.0.0"}, "error"),
        ({"bind": "0.0.0.0", "secrets": {"api_key": "x"}}, None),
        ({"bind": "0.0.0.0", "accept": ["security.public-without-key"]}, "warning"),
        ({"bind": "0.0.0.0", "state": "absent"}, None),
        ({"bind": "0.0.0.0", "engine_args": {"headless": True}}, None),
    ],
)
def test_public_binds_need_a_key(fields: dict[str, Any], severity: str | None) -> None:
    servers = {"chat": {**BASE, **fields}}
    if severity == "error":
        (finding,) = refused(servers)
        assert finding.code == "security.public-without-key" and finding.field == "vllm_servers[chat].bind"
    else:
        assert [finding.severity for finding in spec.check(spec.load(servers))] == ([severity] if severity else [])
