# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check by a table: what was observed, which finding follows."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import checks, observation, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks import (
    clock,
    disk,
    engine,
    gpus,
    image,
    memory,
    model,
    paths,
    refused,
)
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks import ports as port_checks
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import GPUS, Host, image_entry, server

GIB = 1 << 30


def host(**answer):
    return checks.Host(observation.Observation.parse({"schema": 1, **answer}), (), "/var/lib/cortex-vllm", now=1000.0)


def subject(fields=None, answer=None, **more):
    one = spec.load({"chat": server(**(fields or {}))})[0]
    return checks.Server(one, observation.Observation.parse({"schema": 1, **(answer or {})}), (one,), **more)


def said(found):
    return [(item.code, item.severity) for item in found]


@pytest.mark.parametrize(
    ("status", "code", "fix"),
    [
        ("absent", "engine.absent", "docker.io"),
        ("not_running", "engine.not-running", "systemctl"),
        ("denied", "engine.denied", "group docker"),
        ("sdk_missing", "engine.sdk-missing", "python3-docker"),
        ("incompatible", "engine.incompatible", "Upgrade"),
        ("of a later release", "engine.unknown", "Look"),
    ],
)
def test_engine(status, code, fix):
    (found,) = engine.check(host(engine={"status": status}))
    assert (found.code, found.severity) == (code, "error") and fix in found.fix
    (told,) = engine.check(host(engine={"status": status, "message": "the cause", "fix": "What to do."}))
    assert told.message.startswith("the cause") and told.fix == "What to do."


def test_engine_incompatible_names_both_versions():
    facts = {
        "status": "incompatible",
        "name": "docker",
        "version": "29.0",
        "sdk_version": "5.0.3",
        "sdk_path": "/usr/lib",
    }
    (found,) = engine.check(host(engine=facts))
    assert "docker 29.0" in found.message and "SDK in /usr/lib 5.0.3" in found.message


def test_engine_warnings_are_kept():
    assert said(engine.check(host(engine={"status": "ok", "warnings": ["No swap limit"]}))) == [
        ("engine.warning", "info")
    ]


@pytest.mark.parametrize(
    ("free", "expected"),
    [(100 << 20, [("disk.full", "error")]), (2 * GIB, [("disk.low", "warning")]), (50 * GIB, []), (None, [])],
)
def test_disk(free, expected):
    found = list(disk.check(host(host={"disk": {"/var/lib/cortex-vllm": {"free": free}, "/none": None}})))
    assert said(found) == expected
    assert all("state_dir" in item.message for item in found)


@pytest.mark.parametrize(
    ("time", "word"), [(1000.0, None), (1119.0, None), (2000.0, "ahead of"), (0.0, "behind"), (None, None)]
)
def test_clock(time, word):
    found = list(clock.check(host(host={"time": time})))
    assert [word in item.message for item in found] == ([True] if word else [])


@pytest.mark.parametrize(
    ("fields", "entry", "architecture", "expected"),
    [
        ({}, image_entry(), "x86_64", []),
        ({}, image_entry(), "aarch64", [("image.architecture", "error")]),
        ({}, {**image_entry(), "os": "windows"}, None, [("image.architecture", "error")]),
        ({}, None, None, []),
        ({"pull": "never"}, None, None, [("image.absent", "error")]),
    ],
)
def test_image(fields, entry, architecture, expected):
    one = subject(fields, {"engine": {"architecture": architecture}}, image=entry)
    assert said(image.check(one)) == expected


PROBLEM = {"code": "model.shard-missing", "message": "a shard is missing", "path": "/m/2", "fix": "Fetch it."}


@pytest.mark.parametrize(
    ("fields", "entry", "expected"),
    [
        ({}, None, []),
        ({}, {"status": "complete"}, []),
        ({}, {"status": "absent"}, [("model.absent", "error")]),
        ({}, {"status": "unreadable"}, [("model.unreadable", "error")]),
        ({}, {"status": "incomplete", "problems": [PROBLEM, PROBLEM]}, [("model.shard-missing", "error")] * 2),
        ({"model": "org/name", "offline": True}, {"status": "absent"}, [("model.absent", "error")]),
        ({"model": "org/name", "offline": False}, {"status": "absent"}, [("model.absent", "warning")]),
        ({"model": "org/name", "offline": False}, {"status": "unreadable"}, [("model.unreadable", "error")]),
    ],
)
def test_model(fields, entry, expected):
    found = list(model.check(subject(fields, model=entry)))
    assert said(found) == expected
    assert all(item.field == "vllm_servers[chat].model" and item.fix for item in found)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"exists": True, "message": None}, []),
        ({"exists": False}, [("path.missing", "error")]),
        ({"exists": True, "message": "Permission denied"}, [("path.unreadable", "error")]),
        (None, []),
    ],
)
def test_paths(entry, expected):
    one = subject(
        {"mounts": ["volume:/data", "/etc/ca.pem:/etc/ssl/ca.pem"]}, {"paths": {"/etc/ca.pem": entry} if entry else {}}
    )
    found = list(paths.check(one))
    assert said(found) == expected
    assert all(item.field == "vllm_servers[chat].mounts[1].source" for item in found)


def test_devices_are_looked_for():
    one = subject({"devices": ["/dev/null", "/dev/nope"]}, {"paths": {"/dev/nope": {"exists": False}}})
    (found,) = paths.check(one)
    assert (found.code, found.field) == ("gpu.device", "vllm_servers[chat].devices[1]") and "driver" in found.fix


@pytest.mark.parametrize(
    ("fields", "answer", "expected"),
    [
        ({}, {"addresses": {"127.0.0.1": True}, "host": {"cpus": 1}}, []),
        ({"bind": "203.0.113.9", "secrets": {"api_key": "k"}}, {}, []),
        ({"bind": "203.0.113.9", "secrets": {"api_key": "k"}}, {"addresses": {"203.0.113.9": False}},
         [("port.address", "bind")]),
        ({"network": "lan"}, {"networks": {"lan": True}}, []),
        ({"network": "lan"}, {"networks": {"lan": False}}, [("engine.network", "network")]),
        ({"networks": ["a", "b"]}, {"networks": {"a": True, "b": False}}, [("engine.network", "networks[1]")]),
        ({"cpus": 2.5}, {"host": {"cpus": 2}}, [("engine.cpus", "cpus")]),
        ({"cpus": 2}, {"host": {"cpus": 2}}, []),
    ],
)  # fmt: skip
def test_what_the_engine_would_refuse(fields, answer, expected):
    found = list(refused.check(subject(fields, answer)))
    assert [(item.code, item.field) for item in found] == [
        (code, f"vllm_servers[chat].{field}") for code, field in expected
    ]
    assert all(item.severity == "error" and item.fix for item in found)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (None, None),
        ({"address": "127.0.0.1", "container": "cortex-vllm-chat"}, None),
        ({"address": "192.0.2.1", "container": "other"}, None),
        ({"address": "0.0.0.0", "container": "other"}, "container other"),
        ({"address": "127.0.0.1", "pid": 7, "process": "nginx"}, "nginx (pid 7)"),
        ({"address": "::", "pid": None}, "another program"),
    ],
)
def test_port_holders(entry, words):
    one = subject(answer={"ports": {"8000": entry}})
    found = [port_checks.taken(one, port, who) for port, who in port_checks.holders(one.spec, one.observation.ports)]
    assert [words in item.message for item in found] == ([True] if words else [])


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"gpus": {"status": "ok"}, "engine": {"name": "docker", "runtimes": ["runc", "nvidia"]}}, []),
        ({"gpus": {"status": "absent", "message": "no nvidia-smi"}}, [("gpu.driver", "error")]),
        ({"gpus": {"status": "ok"}, "engine": {"name": "docker", "runtimes": ["runc"]}}, [("gpu.runtime", "warning")]),
        ({"gpus": {"status": "ok"}, "engine": {"name": "podman", "runtimes": ["crun"]}}, []),
    ],
)
def test_gpu_driver_and_runtime(facts, expected):
    assert said(gpus.check(subject({"gpus": [0]}, facts))) == expected
    assert said(gpus.check(subject({}, facts))) == []


def test_a_gpu_of_a_foreign_container_is_told():
    strange = Host()
    strange.converge({"old": server(gpus=[0], server_port=8005)})
    strange.containers["theirs"] = strange.containers.pop("cortex-vllm-old")
    strange.containers["theirs"]["body"] = {**strange.containers["theirs"]["body"], "Labels": {}}
    plan = strange.plan({"chat": server(gpus=[0])})
    assert "gpu.foreign" in [item.code for item in plan.findings]
    assert [item.code for item in strange.plan({"chat": server(gpus=[1])}).findings] == []


@pytest.mark.parametrize(
    ("value", "expected"), [({}, 0.92), ({"gpu-memory-utilization": 0.5}, 0.5), ({"gpu_memory_utilization": "x"}, 0.92)]
)
def test_utilization(value, expected):
    assert gpus.utilization(spec.load({"chat": server(engine_args=value)})[0]) == expected


@pytest.mark.parametrize(
    ("fields", "total", "expected"),
    [
        ({}, 64 * GIB, []),
        ({"env": {"VLLM_CPU_KVCACHE_SPACE": "40"}}, 32 * GIB, [("memory.host", "warning")]),
        ({"memory": "1g"}, 64 * GIB, [("memory.limit", "warning")]),
        ({"env": {"VLLM_CPU_KVCACHE_SPACE": "many"}}, 64 * GIB, []),
        ({"gpus": [0]}, 1 * GIB, []),
        ({}, None, []),
    ],
)
def test_memory_of_cpu_servers(fields, total, expected):
    assert said(memory.check(subject(fields, {"host": {"memory_total": total}}, model={"bytes": GIB}))) == expected


def test_gpus_are_known_by_uuid():
    assert len(set(GPUS)) == 4
