# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the hands share: the engine seen past the code under test, and one host with its module."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sysconfig
import time
import uuid

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parent.parent
PYTHON = os.environ.get("CORTEX_TEST_TARGET_PYTHON", "/usr/bin/python3")
SOCKET = os.environ.get("CORTEX_TEST_SOCKET", "/var/run/docker.sock")
IMAGE = "local/hands-empty:2"
PREFIX = "hands-"
RULES = [
    {"phase": "arguments", "pattern": r"non-default args", "percent": None},
    {"phase": "loading weights", "pattern": r"checkpoint shards:\s+(?P<percent>\d+)%", "percent": "percent"},
    {"phase": "serving", "pattern": r"Application startup complete", "percent": None},
]


class Docker:
    """The engine's API in twenty lines: the tests look at it past the code under test."""

    def call(self, method, path, body=None, raw=None):
        class Connection(http.client.HTTPConnection):
            def connect(self):
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(60)
                self.sock.connect(SOCKET)

        connection = Connection("localhost")
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        kind = "application/x-tar" if raw is not None else "application/json"
        connection.request(method, path, body=data, headers={"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def get(self, path):
        status, text = self.call("GET", path)
        return json.loads(text) if status == 200 else None

    def inspect(self, name):
        return self.get("/containers/{}/json".format(name))

    def remove(self, name):
        self.call("DELETE", "/containers/{}?force=1&v=1".format(name))

    def names(self):
        return {name.lstrip("/"): entry for entry in self.get("/containers/json?all=1") for name in entry["Names"]}


def module_command(module="_engine"):
    return [PYTHON, str(HERE / "run_module.py"), str(REPOSITORY), sysconfig.get_paths()["purelib"], module]


def run_module(args, module="_engine", check=False):
    """Run a module in a process of its own; returns its result."""
    given = dict(args, _ansible_check_mode=check, _ansible_remote_tmp="/tmp", _ansible_keep_remote_files=False)
    given.setdefault("docker_host", "unix://" + SOCKET)
    done = subprocess.run(
        module_command(module),
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode(),
        capture_output=True,
        timeout=120,
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise AssertionError("no result: {!r} {}".format(done.stdout, done.stderr.decode())) from None


def needed(program):
    """Install the package of the same name when a program is not there, as on a new machine."""
    if not shutil.which(program):
        script = f". {REPOSITORY}/tools/lib/common.sh && tools_apt {program}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Host:
    """One host under test: a state directory and names of its own, and short words for the module's steps."""

    def __init__(self, docker, image, state_dir):
        self.docker, self.image, self.state_dir = docker, image, state_dir
        self.name = PREFIX + uuid.uuid4().hex[:8]
        self.port = free_port()
        self.container = self.name + "-c"

    def step(self, step, request, **more):
        given = dict({"schema": 1, "state_dir": str(self.state_dir)}, **request)
        return run_module(dict({"step": step, "request": given}, **more))

    def observe(self, **more):
        request = {"servers": [{"name": self.name, "container_name": self.container}], "health": True}
        return self.step("observe", dict(request, **more))["observation"]

    def probe(self, **more):
        probe = {
            "scheme": "http", "address": "127.0.0.1", "port": self.port, "served_name": "chat",
            "request": "completion", "api_key": None, "token_timeout": 10.0,
        }  # fmt: skip
        return dict(probe, **more)

    def body(self, *flags, generation="g1", port=None, env=()):
        return {
            "Image": self.image,
            "Entrypoint": ["/usr/bin/python3", "-u", "/fake/fake_server.py"],
            "Cmd": list(flags),
            "Env": list(env),
            "Labels": {"cortex.vllm.server": self.name},
            "ExposedPorts": {"8000/tcp": {}},
            "HostConfig": {
                "Binds": [
                    "/usr:/usr:ro",
                    "{}:/fake:ro".format(HERE),
                    "{}/{}/generations/{}:/run/cortex-vllm:ro".format(self.state_dir, self.name, generation),
                ],
                "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port or self.port)}]},
                "Init": True,
            },
        }

    def order(self, action, *flags, generation="g1", look=None, **more):
        look = look or self.observe(health=False)
        current = [c for c in look["containers"] if c["Name"].lstrip("/") == self.container]
        order = {
            "action": action,
            "expected": {
                "container_id": current[0]["Id"] if current else None,
                "state_hash": look["servers"][self.name]["state_hash"],
            },
            "container_name": self.container, "kept_name": self.container + ".kept", "remove_kept": True,
            "generation": generation, "files": [{"path": "launch.sh", "mode": "0555", "content": "#!/bin/sh\n"}],
            "secret_names": [], "user": {"uid": 0, "gid": 0},
            "directories": [{"path": "{}/{}/cache".format(self.state_dir, self.name), "mode": "0750"}],
            "body": self.body(*flags, generation=generation), "networks": [], "probe": self.probe(),
            "verified_restart_policy": {"Name": "unless-stopped"}, "gpu_locks": [], "start_timeout": 20.0,
            "stop_timeout": 3.0, "lock_timeout": 30.0, "remove_state": False,
            "record": {
                "declaration": {"flags": list(flags)}, "declaration_hash": generation, "image": IMAGE,
                "image_id": self.image, "salt": "s", "secrets": {}, "collection_version": "0.1.0",
            },
        }  # fmt: skip
        order.update(more)
        return order

    def apply(self, order, secrets=None, check=False):
        request = {
            "schema": 1, "state_dir": str(self.state_dir), "job": uuid.uuid4().hex, "job_labels": {},
            "groups": [[self.name]], "phase_rules": RULES, "orders": {self.name: order},
        }  # fmt: skip
        answer = run_module({"step": "apply", "request": request, "secrets": {self.name: secrets or {}}}, check=check)
        assert not answer.get("failed"), answer
        return answer["jobs"].get(self.name)

    def watch(self, job, until="done", limit=40.0):
        """All events up to the first of kind ``until``; each watch call is a run of the module."""
        events, deadline = [], time.monotonic() + limit
        while time.monotonic() < deadline:
            answer = self.step("watch", {"jobs": {self.name: job}, "budget": 5.0})["servers"][self.name]
            events += answer["events"]
            job = dict(job, offset=answer["offset"])
            if any(event["event"] in (until, "done") for event in events) or not answer["alive"]:
                return events
        raise AssertionError("no {} within {} s: {}".format(until, limit, events))

    def converge(self, action, *flags, secrets=None, **more):
        return self.watch(self.apply(self.order(action, *flags, **more), secrets))

    def journal(self):
        path = pathlib.Path(self.state_dir) / self.name / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def state(self):
        return json.loads((pathlib.Path(self.state_dir) / self.name / "state.json").read_text())

    def lock_pid(self):
        return self.observe(health=False)["servers"][self.name]["lock"]["pid"]

    def answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/v1/models")
            return json.loads(connection.getresponse().read())["data"][0]["id"]
        except OSError:
            return None
        finally:
            connection.close()


def kinds(events):
    return [event["event"] for event in events]


def one(events, kind):
    found = [event for event in events if event["event"] == kind]
    assert len(found) == 1, (kind, kinds(events))
    return found[0]


def result(events):
    """The result of ``done``; what failed is printed, for who reads a failing test."""
    for event in events:
        if event["event"] in ("failed", "rolled_back"):
            print(json.dumps(event, indent=1))
    return one(events, "done")["result"]
