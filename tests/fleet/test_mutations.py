# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each single change of a running container by hand is found by the next converge, named, and put right."""

from __future__ import annotations

import dataclasses
import http.client
import json
import shutil
import socket
import typing as t

import pytest

from engines import docker, inspect, made

from .conftest import Fleet, Host, fleet_directory

pytestmark = [pytest.mark.engine, pytest.mark.slow]


class EngineConnection(http.client.HTTPConnection):
    """The engine's own API: only there can a container be made from the body of another one."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def create(name: str, body: dict[str, t.Any]) -> None:
    connection = EngineConnection("localhost")
    path = f"/v1.41/containers/create?name={name}"
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 201, text
    connection.close()


def recreate(name: str, change: t.Callable[[dict[str, t.Any]], None]) -> None:
    """The container made again by hand, as its inspect says, but for ``change``."""
    look = inspect(name)
    body = {key: value for key, value in look["Config"].items() if key not in ("Hostname", "Domainname")}
    body["Image"] = look["Image"]
    body["HostConfig"] = look["HostConfig"]
    change(body)
    docker("rm", "-f", name)
    create(name, body)
    docker("start", name)


def argument(body: dict[str, t.Any]) -> None:
    body["Cmd"][body["Cmd"].index("512")] = "1024"


def env_changed(body: dict[str, t.Any]) -> None:
    place = body["Env"].index("TEAM=a")
    body["Env"][place] = "TEAM=b"


def port(body: dict[str, t.Any]) -> None:
    (binding,) = body["HostConfig"]["PortBindings"].values()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        binding[0]["HostPort"] = str(probe.getsockname()[1])


def address(body: dict[str, t.Any]) -> None:
    (binding,) = body["HostConfig"]["PortBindings"].values()
    binding[0]["HostIp"] = "0.0.0.0"


def mount_added(body: dict[str, t.Any]) -> None:
    more = {"Type": "bind", "Source": "/etc", "Target": "/extra", "ReadOnly": True}
    body["HostConfig"]["Mounts"] = [*(body["HostConfig"].get("Mounts") or []), more]


def model_writable(body: dict[str, t.Any]) -> None:
    host, done = body["HostConfig"], 0
    for mount in host.get("Mounts") or []:
        if mount["Target"].startswith("/model") or mount["Source"].endswith("/model"):
            mount["ReadOnly"] = False
            done += 1
    for place, bind in enumerate(host.get("Binds") or []):
        if bind.split(":")[0].endswith("/model"):
            host["Binds"][place] = bind.replace(":ro", ":rw")
            done += 1
    assert done == 1


def gpu(body: dict[str, t.Any]) -> None:
    body["HostConfig"]["DeviceRequests"] = [{"Driver": "nvidia", "DeviceIDs": ["0"], "Capabilities": [["gpu"]]}]


def image(body: dict[str, t.Any]) -> None:
    body["Image"] = docker("image", "inspect", "-f", "{{.Id}}", made("tests/standin/build", "0.31.0"))


def setting(name: str, value: t.Any) -> t.Callable[[dict[str, t.Any]], None]:
    def change(body: dict[str, t.Any]) -> None:
        body["HostConfig"][name] = value

    return change


def health(body: dict[str, t.Any]) -> None:
    body["Healthcheck"] = {"Test": ["NONE"]}


#: What a hand changes, and how the difference is called.
RECREATED: dict[str, tuple[t.Callable[[dict[str, t.Any]], None], str]] = {
    "argument": (argument, "arguments.--max-model-len"),
    "argument added": (lambda body: body["Cmd"].append("--enforce-eager"), "arguments.--enforce-eager"),
    "env changed": (env_changed, "env.TEAM"),
    "env added": (lambda body: body["Env"].append("EXTRA=1"), "env.EXTRA"),
    "env removed": (lambda body: body["Env"].remove("TEAM=a"), "env.TEAM"),
    "port": (port, "ports.8000/tcp"),
    "address": (address, "ports.8000/tcp"),
    "mount added": (mount_added, "mounts./extra"),
    "mount made writable": (model_writable, "mounts."),
    "device request": (gpu, "gpus"),
    "label changed": (lambda body: body["Labels"].update(team="b"), "labels.team"),
    "label added": (lambda body: body["Labels"].update(more="1"), "labels.more"),
    "image": (image, "image"),
    "shm": (setting("ShmSize", 64 << 20), "shm_size"),
    "ulimits": (setting("Ulimits", [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]), "ulimits.nofile"),
    "init": (setting("Init", False), "init"),
    "capability": (setting("CapAdd", ["SYS_PTRACE"]), "cap_add"),
    "security options": (setting("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]), "security_opt"),
    "device": (
        setting("Devices", [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/extra", "CgroupPermissions": "rwm"}]),
        "devices",
    ),
    "log": (setting("LogConfig", {"Type": "json-file", "Config": {}}), "log_options"),
    "health check": (health, "healthcheck"),
    "user": (lambda body: body.update(User="1234"), "user"),
}
#: Changes that the engine makes to a running container: command, name of the difference.
UPDATED = {
    "restart policy": (["--restart", "no"], "restart_policy"),
    "memory": (["--memory", "1g"], "memory"),
    "cpus": (["--cpus", "1"], "cpus"),
}


@dataclasses.dataclass
class Story:
    """What became of one host whose container was changed by hand."""

    host: Host
    before: dict[str, t.Any]
    mutated: dict[str, t.Any]
    repaired: dict[str, t.Any]
    fields: list[str]
    action: str
    shown: list[str]
    served: bool


@pytest.fixture(scope="module")
def stories(image: str) -> t.Iterator[dict[str, t.Any]]:
    """A host for each change, all converged, changed, planned and converged together: four plays for all of them."""
    names = [*RECREATED, *UPDATED, "stopped", "removed"]
    directory = fleet_directory()
    fleet = Fleet(directory, image, len(names))
    try:
        hosts = dict(zip(names, fleet.hosts, strict=True))
        for host in fleet.hosts:
            # Something of everything, so that all of it can be changed.
            host.declaration.update(
                env={"TEAM": "a"}, labels={"team": "a"}, memory="2g", cpus=1.5, ulimits={"nofile": 4096}
            )
        fleet.converged()
        before = {name: host.inspect() for name, host in hosts.items()}
        for name, host in hosts.items():
            if name in RECREATED:
                recreate(host.container, RECREATED[name][0])
            elif name in UPDATED:
                docker("update", *UPDATED[name][0], host.container)
            else:
                docker(*{"stopped": ["stop"], "removed": ["rm", "-f"]}[name], host.container)
        mutated = {name: host.inspect() for name, host in hosts.items() if host.exists()}
        check = fleet.play("check")
        assert check.code == 0, check.text
        repair = fleet.play("site", "-e", "vllm_serial=100")
        again = fleet.play("site")
        result: dict[str, t.Any] = {"repair": repair, "again": again}
        for name, host in hosts.items():
            row = check.server(host.name, host.server_name)
            result[name] = Story(
                host=host,
                before=before[name],
                mutated=mutated.get(name, {}),
                repaired=host.inspect() if host.exists() else {},
                fields=[difference["field"] for difference in row["differences"]],
                action=row["action"],
                shown=[line for line in check.text.splitlines() if f"[{host.name}]" in line],
                served=host.serves(),
            )
        yield result
    finally:
        fleet.remove()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("mutation", [*RECREATED, *UPDATED])
def test_change_is_named_and_nothing_else(stories, mutation):
    story = stories[mutation]
    expected = {**RECREATED, **UPDATED}[mutation][1]
    found = [name for name in story.fields if name == expected or name.startswith(f"{expected.rstrip('.')}.")]
    assert found, story.fields
    assert {name.split(".")[0] for name in story.fields} == {expected.split(".")[0]}
    assert any(found[0] in line for line in story.shown), story.shown


@pytest.mark.parametrize("mutation", list(RECREATED))
def test_container_made_again_by_hand_is_replaced(stories, mutation):
    story = stories[mutation]
    assert story.action == "replace"
    assert story.repaired["Id"] not in (story.mutated["Id"], story.before["Id"])
    assert story.served


@pytest.mark.parametrize("mutation", list(UPDATED))
def test_running_container_is_put_right_without_a_stop(stories, mutation):
    story = stories[mutation]
    assert story.action == "update"
    assert story.repaired["Id"] == story.before["Id"]
    assert story.repaired["State"]["StartedAt"] == story.before["State"]["StartedAt"]
    for key in ("RestartPolicy", "Memory", "NanoCpus"):
        assert story.repaired["HostConfig"][key] == story.before["HostConfig"][key]


def test_stopped_by_hand_is_started(stories):
    story = stories["stopped"]
    assert (story.action, story.served) == ("start", True)
    assert story.repaired["Id"] == story.before["Id"]


def test_removed_by_hand_is_made_again(stories):
    story = stories["removed"]
    assert (story.action, story.served) == ("create", True)


def test_all_are_put_right_by_one_converge(stories):
    assert stories["repair"].code == 0, stories["repair"].text
    again = stories["again"]
    assert again.code == 0 and again.changed == set(), again.text
    assert {tuple(again.calls_of(host)) for host in again.results} == {("exec",)}
