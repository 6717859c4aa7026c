# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison, on inspects that real engines gave for known bodies (data/inspect-*.json)."""

from __future__ import annotations

import copy
import json
import pathlib

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import differences
from ansible_collections.cortex.vllm.plugins.plugin_utils.observation import hashed

DATA = pathlib.Path(__file__).parent / "data"
RECORDED = {
    path.stem.removeprefix("inspect-"): json.loads(path.read_text()) for path in sorted(DATA.glob("inspect-*.json"))
}
MUTATIONS = [(engine, name) for engine, doc in RECORDED.items() for name in doc["mutations"]]

#: What podman 4.3 reports otherwise for a mutation: it never shows some fields, and changes others along.
PODMAN = {
    "device permission": [],
    "gpu all": [],
    "gpu capabilities": [],
    "gpu changed": [],
    "gpu removed": [],
    "log driver": ["log_driver"],
    "log options": [],
    "masked paths": [],
    "network none": ["network", "networks", "ports.8000/tcp"],
    "privileged": ["cap_add", "cap_drop", "devices", "privileged"],
    "read only": ["mounts./run", "mounts./tmp", "mounts./var/tmp", "read_only"],
    "sysctl": [],
    "ulimit added": [],
}


def engine_name(doc):
    return doc["engine"].split()[0]


def patched(doc, name):
    inspect = copy.deepcopy(doc["inspect"])
    for key, value in doc["mutations"][name]["patch"].items():
        if isinstance(value, dict):
            for gone in value.pop("-", ()):
                del inspect[key][gone]
            inspect[key].update(value)
        else:
            inspect[key] = value
    return inspect


def compare(doc, inspect, body=None, **more):
    more.setdefault("engine", engine_name(doc))
    return differences.compare(body or doc["body"], inspect, doc["image"], doc["salt"], **more)


@pytest.mark.parametrize("engine", RECORDED)
def test_what_was_made_from_a_body_equals_it(engine):
    doc = RECORDED[engine]
    assert compare(doc, doc["inspect"]) == []
    assert compare(doc, doc["minimal"]["inspect"], doc["minimal"]["body"]) == []


@pytest.mark.parametrize(("engine", "name"), MUTATIONS, ids=lambda value: value)
def test_each_single_mutation_is_found_and_named(engine, name):
    doc = RECORDED[engine]
    found = compare(doc, patched(copy.deepcopy(doc), name))
    expected = doc["mutations"][name]["fields"]
    if engine.startswith("podman"):
        expected = PODMAN.get(name, expected)
    assert [item.field for item in found] == expected


# -- what cannot be seen from a whole recorded inspect


@pytest.fixture
def doc():
    return copy.deepcopy(RECORDED["docker-20.10"])


def only(found):
    (item,) = found
    return item


def test_before_and_after_are_named_and_environment_stays_hidden(doc):
    found = {item.field: item for item in compare(doc, patched(doc, "env changed"))}
    item = found["env.HF_HUB_OFFLINE"]
    assert (item.before, item.after) == (differences.HIDDEN, "1")
    assert str(item) == "env.HF_HUB_OFFLINE: (hidden) -> 1"
    known = only(compare(doc, patched(doc, "env changed"), recorded={"Env": ["HF_HUB_OFFLINE=0"]}))
    assert known.before == "0"
    ports = only(compare(doc, patched(doc, "port number")))
    assert (ports.before, ports.after) == (["127.0.0.1:18124"], ["127.0.0.1:18123"])
    assert ports.as_dict() == {
        "field": "ports.8000/tcp",
        "before": ["127.0.0.1:18124"],
        "after": ["127.0.0.1:18123"],
        "kind": "replace",
        "cause": "drift",
    }
    assert "nothing" in str(differences.Difference("x", None, "y" * 200)) and "…" in str(
        differences.Difference("x", None, "y" * 200)
    )


def test_kinds_say_what_a_difference_takes(doc):
    kinds = {name: {item.kind for item in compare(doc, patched(doc, name))} for name in doc["mutations"]}
    assert {name for name, kind in kinds.items() if kind == {"in_place"}} == {
        "restart policy",
        "memory",
        "memory removed",
        "cpus",
        "cpus removed",
    }
    assert {name for name, kind in kinds.items() if kind == {"cosmetic"}} == {"ulimit added"}


def test_the_verified_restart_policy_counts_not_the_one_of_the_creation(doc):
    verified = {"Name": "unless-stopped", "MaximumRetryCount": 0}
    assert only(compare(doc, doc["inspect"], restart_policy=verified)).field == "restart_policy"
    doc["inspect"]["HostConfig"]["RestartPolicy"] = verified
    assert compare(doc, doc["inspect"], restart_policy=verified) == []


def test_another_image_with_the_same_content_otherwise(doc):
    doc["inspect"]["Image"] = "sha256:other"
    item = only(compare(doc, doc["inspect"]))
    assert item.field == "image" and item.before == "sha256:other"


def test_without_the_image_only_what_was_planned_is_compared(doc):
    assert differences.compare(doc["body"], doc["inspect"], None, doc["salt"]) == []
    minimal = doc["minimal"]
    assert differences.compare(minimal["body"], minimal["inspect"], None, doc["salt"]) == []
    changed = patched(doc, "user")
    assert [item.field for item in differences.compare(doc["body"], changed, None, doc["salt"])] == ["user"]


def test_networks_beside_the_first_and_their_aliases(doc):
    networks = doc["inspect"]["NetworkSettings"]["Networks"]
    networks["backend"] = {"Aliases": ["chat", doc["inspect"]["Id"][:12]]}
    assert only(compare(doc, doc["inspect"])).field == "networks"
    assert compare(doc, doc["inspect"], networks=["backend"]) == []
    body = {**doc["body"], "NetworkingConfig": {"EndpointsConfig": {"backend": {"Aliases": ["chat"]}}}}
    assert compare(doc, doc["inspect"], body) == []
    networks["backend"]["Aliases"] = ["other"]
    item = only(compare(doc, doc["inspect"], body))
    assert (item.field, item.before, item.after) == ("networks.backend.aliases", ["other"], ["chat"])
    doc["inspect"]["NetworkSettings"]["Networks"] = None
    assert compare(doc, doc["inspect"]) == []
    body["HostConfig"] = {**body["HostConfig"], "NetworkMode": "container:abc"}
    assert [item.field for item in compare(doc, doc["inspect"], body)] == ["network"]


@pytest.mark.parametrize(
    ("before", "after", "fields", "kind"),
    [
        (["m", "--a", "1"], ["m", "--a", "1"], [], None),
        (["m", "--a", "1", "--b"], ["m", "--b", "--a", "1"], ["arguments"], "cosmetic"),
        (["m", "--a=1"], ["m", "--a", "1"], ["arguments"], "cosmetic"),
        (["m", "--seed", "-1"], ["m", "--seed", "-2"], ["arguments.--seed"], "replace"),
        (["m", "--l", "a", "--l", "b"], ["m", "--l", "a"], ["arguments.--l"], "replace"),
        (["m"], ["n", "--x"], ["arguments.--x", "arguments.[0]"], "replace"),
        ([], ["m"], ["arguments.[0]"], "replace"),
    ],
)
def test_command_lines(before, after, fields, kind):
    found = differences.arguments(before, after)
    assert [item.field for item in found] == fields
    assert {item.kind for item in found} == ({kind} if kind else set())


def test_bodies_against_each_other(doc):
    assert differences.compare_bodies(doc["body"], doc["body"], doc["image"], doc["image"]) == []
    after = copy.deepcopy(doc["body"])
    after["Env"][0] = "HF_HUB_OFFLINE=0"
    after["HostConfig"]["Mounts"].pop()
    after["HostConfig"]["LogConfig"]["Config"]["max-size"] = "9m"
    after["Hostname"] = "me"
    found = differences.compare_bodies(doc["body"], after, doc["image"], doc["image"])
    assert [item.field for item in found] == [
        "env.HF_HUB_OFFLINE",
        "hostname",
        "log_options",
        "mounts./root/.cache/vllm",
    ]
    assert {item.cause for item in found} == {"renderer"}


def test_declarations_against_each_other():
    before = {"model": "a", "engine_args": {"x": 1, "y": None}, "gpus": [0], "secrets": {"KEY": "d1", "OLD": "d"}}
    after = {"model": "a", "engine_args": {"x": 2}, "gpus": [0, 1], "secrets": {"KEY": "d2"}, "env": {}}
    found = differences.compare_declarations(before, after)
    assert [(item.field, item.before, item.after) for item in found] == [
        ("engine_args.x", 1, 2),
        ("gpus", [0], [0, 1]),
        ("secrets.KEY", differences.HIDDEN, differences.HIDDEN),
        ("secrets.OLD", differences.HIDDEN, None),
    ]


def test_update_body_is_what_the_engine_takes(doc):
    body = {"HostConfig": {"Memory": 4096, "NanoCpus": 5, "CpuShares": 7}}
    fields = ["memory", "cpus", "restart_policy", "shm_size"]
    found = [differences.Difference(name, 1, 2, "in_place") for name in fields]
    assert differences.update_body(found, body, {"Name": "always"}) == {
        "Memory": 4096,
        "MemorySwap": 8192,
        "NanoCpus": 5,
        "RestartPolicy": {"Name": "always"},
    }


@pytest.mark.parametrize(
    ("key", "value", "reported"),
    [
        ("StopSignal", "SIGINT", "2"),
        ("StopSignal", "INT", "SIGINT"),
        ("StopSignal", "SIGRTMIN+3", "SIGRTMIN+3"),
        ("User", "root", "0:0"),
        ("WorkingDir", "/srv/", "/srv"),
        ("Entrypoint", "/bin/sh -c", ["/bin/sh", "-c"]),
    ],
)
def test_spellings_of_one_thing(doc, key, value, reported):
    body = {**doc["body"], key: value}
    doc["inspect"]["Config"][key] = reported
    assert compare(doc, doc["inspect"], body) == []


@pytest.mark.parametrize(
    ("key", "value", "reported"),
    [
        ("ShmSize", None, 64 << 20),
        ("IpcMode", None, "shareable"),
        ("LogConfig", None, {"Type": "journald", "Config": {}}),
        ("MemorySwappiness", 10, None),
        ("NetworkMode", "bridge", "default"),
        ("SecurityOpt", ["no-new-privileges:true", "label=type:x"], ["label:type:x", "no-new-privileges"]),
        ("Ulimits", [{"Name": "nofile", "Hard": 5, "Soft": 5}], [{"Name": "RLIMIT_NOFILE", "Hard": 5, "Soft": 5}]),
        ("PidsLimit", None, -1),
        ("OomKillDisable", None, False),
        ("PidMode", None, "private"),
        ("NanoCpus", 1_500_000_000, 1_500_000_000),
        ("Tmpfs", {"/scratch": "size=1m"}, {"/scratch": "rw,nosuid,nodev,size=1m"}),
    ],
)
def test_engines_say_one_thing_in_many_ways(doc, key, value, reported):
    body = {**doc["body"], "HostConfig": {**doc["body"]["HostConfig"], key: value}}
    doc["inspect"]["HostConfig"][key] = reported
    assert compare(doc, doc["inspect"], body) == []


def test_an_administrators_default_is_told_and_not_acted_on(doc):
    body = {**doc["body"], "HostConfig": {**doc["body"]["HostConfig"], "ShmSize": None, "LogConfig": None}}
    doc["inspect"]["HostConfig"].update(ShmSize=1 << 30, LogConfig={"Type": "splunk", "Config": {}})
    assert {(item.field, item.kind) for item in compare(doc, doc["inspect"], body)} == {
        ("shm_size", "cosmetic"),
        ("log_driver", "cosmetic"),
    }


def test_podman_turns_cpus_into_a_quota(doc):
    doc["inspect"]["HostConfig"].update(NanoCpus=0, CpuPeriod=100_000, CpuQuota=150_000)
    assert compare(doc, doc["inspect"]) == []


@pytest.mark.parametrize(
    ("declared", "reported", "fields"),
    [(None, 2048, []), (None, 0, []), (None, 100, ["pids_limit"]), (100, 100, []), (100, 2048, ["pids_limit"])],
)
def test_podman_limits_processes_by_itself(declared, reported, fields):
    doc = copy.deepcopy(RECORDED["podman-4.3"])
    body = {**doc["body"], "HostConfig": {**doc["body"]["HostConfig"], "PidsLimit": declared}}
    doc["inspect"]["HostConfig"]["PidsLimit"] = reported
    assert [item.field for item in compare(doc, doc["inspect"], body)] == fields


def test_tmpfs_as_a_mount(doc):
    mount = {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700}}
    host = doc["body"]["HostConfig"]
    body = {**doc["body"], "HostConfig": {**host, "Mounts": [*host["Mounts"], mount]}}
    doc["inspect"]["HostConfig"]["Mounts"] = body["HostConfig"]["Mounts"]
    doc["inspect"]["Mounts"].append({"Type": "tmpfs", "Destination": "/t", "RW": True})
    assert compare(doc, doc["inspect"], body) == []
    assert only(compare(doc, doc["inspect"])).field == "mounts./t"


def test_a_shared_namespace_switches_labels_off_by_itself(doc):
    body = {**doc["body"], "HostConfig": {**doc["body"]["HostConfig"], "Privileged": True}}
    doc["inspect"]["HostConfig"].update(Privileged=True, SecurityOpt=["no-new-privileges", "label=disable"])
    assert compare(doc, doc["inspect"], body) == []


def test_digests_depend_on_the_salt(doc):
    doc["inspect"]["Config"]["Env"]["URL"] = hashed("another salt", "a=b")
    assert only(compare(doc, doc["inspect"])).field == "env.URL"


def test_a_secret_that_a_person_put_into_the_open_stays_hidden(doc):
    secret = "sk-in-the-open"
    doc["inspect"]["Config"]["Cmd"] += ["--api-key", secret]
    doc["inspect"]["Config"]["Labels"]["my.token"] = secret
    doc["inspect"]["HostConfig"]["LogConfig"] = {"Type": "splunk", "Config": {"splunk-token": secret}}
    found = compare(doc, doc["inspect"])
    assert {"arguments.--api-key", "labels.my.token", "log_options"} <= {item.field for item in found}
    assert secret not in repr(found)
    body = {**doc["body"], "Cmd": ["m", "--x", "1", "--api-key=sk"]}
    doc["inspect"]["Config"]["Cmd"] = ["m", "--api-key=sk", "--x", "1"]
    assert "sk" not in [word for item in compare(doc, doc["inspect"], body) for word in str(item.before).split("=")]
