# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host made of data, for tests of the planner: it takes orders, keeps records and answers ``observe``.

What it reports about a container is what Docker 20.10 reported for the recorded body (data/inspect-docker-20.10.json),
overlaid with the order's own body.
"""

from __future__ import annotations

import copy
import hashlib
import json
import pathlib

from ansible_collections.cortex.vllm.plugins.plugin_utils import observation, planning, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.observation import hashed

RECORDED = json.loads((pathlib.Path(__file__).parent / "data" / "inspect-docker-20.10.json").read_text())
IMAGE = "vllm/vllm-openai:v0.32.0"
GPUS = [f"GPU-{index}1111111-1111-1111-1111-111111111111" for index in range(4)]
NOW = 1_800_000_000.0
STARTED = "2027-01-15T07:59:00.123456789Z"  # a minute before NOW


def image_entry(name="0", version="0.32.0", **config):
    return {
        "id": "sha256:" + hashlib.sha256(name.encode()).hexdigest(),
        "architecture": "amd64",
        "os": "linux",
        "repo_tags": [IMAGE],
        "config": {
            "Entrypoint": ["vllm", "serve"],
            "Cmd": None,
            "Env": {"PATH": "/usr/bin:/bin", "VLLM_USAGE_SOURCE": "production-docker-image"},
            "Labels": {"org.opencontainers.image.version": f"v{version}", "ai.vllm.build.commit": "abc"},
            "User": "",
            "WorkingDir": "/vllm-workspace",
            **config,
        },
        "known": {"vllm_version": version, "source": "label"},
    }


def inspect_of(body, image, ident, name, salt, *, restart="unless-stopped", networks=(), running=True, **state):
    """What Docker 20.10 says of a container made from ``body``."""
    minimal = copy.deepcopy(RECORDED["minimal"]["inspect"])
    host = {**minimal["HostConfig"], **copy.deepcopy(body.get("HostConfig") or {})}
    host["RestartPolicy"] = {"Name": restart, "MaximumRetryCount": 0}
    if host.get("Memory") and not host.get("MemorySwap"):
        host["MemorySwap"] = 2 * host["Memory"]
    env = {**(image["config"]["Env"]), **dict(item.split("=", 1) for item in body.get("Env") or [])}
    own = {key: value for key, value in body.items() if key not in {"HostConfig", "NetworkingConfig", "Env"}}
    of_image = {key: image["config"].get(key) for key in ("Entrypoint", "Cmd", "Healthcheck", "User", "WorkingDir")}
    config = {**minimal["Config"], **of_image, **copy.deepcopy(own)}
    config["Labels"] = {**image["config"]["Labels"], **(body.get("Labels") or {})}
    config["Env"] = {key: hashed(salt, value) for key, value in env.items()}
    config["Hostname"] = ident[:12]
    mounts = [
        {
            "Type": item["Type"],
            "Source": item["Source"],
            "Destination": item["Target"],
            "RW": not item.get("ReadOnly"),
            "Mode": "",
            "Propagation": "rprivate",
        }
        for item in host.get("Mounts") or []
    ]
    for bind in host.get("Binds") or []:
        source, target, *mode = bind.split(":")
        mounts.append(
            {
                "Type": "bind",
                "Source": source,
                "Destination": target,
                "RW": "ro" not in ",".join(mode).split(","),
                "Mode": "",
                "Propagation": "rprivate",
            }
        )
    mode = host.get("NetworkMode") or "bridge"
    names = ["bridge" if mode == "default" else mode, *networks]
    return {
        "Id": ident,
        "Name": f"/{name}",
        "Image": image["id"],
        "RestartCount": 0,
        "Config": config,
        "HostConfig": host,
        "Mounts": mounts,
        "NetworkSettings": {"Ports": {}, "Networks": {item: {"Aliases": None} for item in names}},
        "State": {
            "Status": "running" if running else "exited",
            "Running": running,
            "Paused": False,
            "Restarting": False,
            "OOMKilled": False,
            "Dead": False,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": STARTED,
            **state,
        },
    }


class Host:
    """A host with an engine, four GPUs and one image."""

    def __init__(self, gpus=4):
        self.salt = "observation-salt"
        self.images = {IMAGE: image_entry()}
        self.containers = {}  # name -> inspect without salt-dependent parts: (body, image, id, state, restart)
        self.states = {}
        self.jobs = {}
        self.locked = set()
        self.health = {}
        self.ports = {}
        self.models = {}
        self.paths = {}
        self.engine = {"status": "ok", "name": "docker", "version": "20.10.24", "runtimes": ["runc", "nvidia"]}
        self.host = {"time": NOW, "disk": {}, "memory_total": 64 << 30, "selinux": "disabled"}
        self.problems = {}
        self.damage = {}
        self.failed_starts = {}
        self.devices = [
            {"index": index, "uuid": uuid, "memory_total": 80 << 30, "mig": [], "mig_mode": "disabled", "processes": []}
            for index, uuid in enumerate(GPUS[:gpus])
        ]
        self._ids = 0

    def fresh_id(self):
        self._ids += 1
        return hashlib.sha256(f"container {self._ids}".encode()).hexdigest()

    def observe(self, request):
        images = dict.fromkeys(request["images"])
        images.update({ref: entry for ref, entry in self.images.items() if ref in images})
        by_id = {entry["id"]: entry for entry in self.images.values()}
        containers = []
        for name, item in self.containers.items():
            image = item["image"]
            images.setdefault(image["id"], by_id.get(image["id"], image))
            containers.append(
                inspect_of(
                    item["body"],
                    image,
                    item["id"],
                    name,
                    self.salt,
                    restart=item["restart"],
                    networks=item["networks"],
                    **item["state"],
                )
            )
        return {
            "schema": 1,
            "salt": self.salt,
            "host": self.host,
            "engine": self.engine,
            "containers": containers,
            "images": images,
            "models": {
                entry["key"]: self.models[entry["model"]]
                for entry in request["models"]
                if entry["model"] in self.models
            },
            "paths": {path: self.paths.get(path, {"exists": True}) for path in request["paths"]},
            "ports": {str(entry["port"]): self._holder(entry["port"]) for entry in request["ports"]},
            "gpus": {"status": "ok", "devices": self.devices} if request["gpus"] else None,
            "servers": {entry["name"]: self._server(entry["name"]) for entry in request["servers"]},
        }

    def _holder(self, port):
        if port in self.ports:
            return self.ports[port]
        for name, item in self.containers.items():
            if item["state"].get("running", True):
                for bindings in (item["body"].get("HostConfig", {}).get("PortBindings") or {}).values():
                    for binding in bindings:
                        if binding["HostPort"] == str(port):
                            return {
                                "address": binding["HostIp"],
                                "pid": 1,
                                "process": "docker-proxy",
                                "container": name,
                            }
        return None

    def _server(self, name):
        state = self.states.get(name)
        running = self.containers.get(f"cortex-vllm-{name}", {}).get("state", {}).get("running", True)
        health = {"http": 200, "error": None, "models": [name], "seconds": 0.01}
        return {
            "state": state,
            "state_hash": hashlib.sha256(json.dumps(state).encode()).hexdigest() if state else "",
            "problem": self.problems.get(name),
            "damage": self.damage.get(name) or [],
            "failed_starts": self.failed_starts.get(name, 0),
            "lock": {"held": name in self.locked, "pid": 4242 if name in self.locked else None},
            "job": self.jobs.get(name),
            "health": self.health.get(name, health) if state and running else None,
        }

    def apply(self, plan):
        """Carry the plan's orders out, as the hands would."""
        for name, order in plan.request("job-1")["orders"].items():
            action, container = order["action"], order["container_name"]
            if action in {"create", "replace"}:
                image = next(entry for entry in self.images.values() if entry["id"] == order["body"]["Image"])
                ident = self.fresh_id()
                self.containers[container] = {
                    "body": order["body"],
                    "image": image,
                    "id": ident,
                    "state": {},
                    "networks": order["networks"],
                    "restart": order["verified_restart_policy"]["Name"],
                }
                self.commit(name, order, ident)
            elif action == "start":
                self.containers[container]["state"] = {}
            elif action == "stop":
                self.containers[container]["state"] = {"running": False}
            elif action == "remove":
                del self.containers[container]
                self.states.pop(name, None)
            elif action == "update":
                item = self.containers[container]
                policy = order["update"].get("RestartPolicy", {}).get("Name")
                item["restart"] = policy or item["restart"]
                limits = {key: value for key, value in order["update"].items() if key != "RestartPolicy"}
                item["body"] = {**item["body"], "HostConfig": {**item["body"]["HostConfig"], **limits}}
                self.commit(name, order, item["id"])

    def commit(self, name, order, ident):
        committed = {
            **{key: order[key] for key in ("generation", "body", "probe", "verified_restart_policy")},
            **order["record"],
            "container_id": ident,
            "committed_at": NOW,
            "ready_seconds": 30.0,
        }
        self.states[name] = json.loads(
            json.dumps({"schema": 1, "server": name, "committed": committed, "transaction": None, "history": []})
        )

    def plan(self, declarations, **options):
        """Declarations as a person writes them -> the plan for this host as it is."""
        specs = spec.load(declarations)
        request = observation.query(specs, "/var/lib/cortex-vllm")
        answer = json.loads(json.dumps(self.observe(request)))
        options.setdefault("salt", "5a17")
        return planning.plan(specs, observation.Observation.parse(answer), planning.Options(**options))

    def converge(self, declarations, **options):
        plan = self.plan(declarations, **options)
        assert not plan.refused, plan.refused
        self.apply(plan)
        return plan


def server(**fields):
    """A declaration with the least that it needs."""
    return {"image": IMAGE, "model": "/models/qwen", **fields}
