# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that share a GPU start one after the other, whoever starts them: a real engine boots with both."""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import time

import hands
import pytest

sys.path.insert(0, str(hands.REPOSITORY / "collections"))

from conftest import empty_image

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering.images import ImageFacts

GPU = "GPU-11111111-1111-1111-1111-111111111111"
OTHER = "GPU-22222222-2222-2222-2222-222222222222"
LOAD = 3.0


@pytest.fixture(scope="module")
def boot(own_engine, tmp_path_factory):
    before, hands.SOCKET = hands.SOCKET, own_engine.socket
    docker = hands.Docker()
    empty_image(docker)
    yield Boot(own_engine, docker, tmp_path_factory.mktemp("host"))
    hands.SOCKET = before


class Boot:
    """Containers made of what is rendered, with the fake server as their program."""

    def __init__(self, engine, docker, state_dir):
        self.engine, self.docker, self.state_dir = engine, docker, str(state_dir)
        os.chmod(state_dir, 0o711)

    def make(self, name, gpus, *flags, share=True, user="1000:1000"):
        fields = {"image": "x:1", "model": "/usr", "gpus": list(gpus), "share_gpus": share, "user": user}
        (declared,) = spec.load({name: {**fields, "engine_args": {"max_model_len": 8}}})
        image = ImageFacts("x:1", hands.IMAGE, "0.32.0", "declared", ("vllm", "serve"))
        made = rendering.render(
            declared, image, catalog.release("0.32.0"), list(gpus), self.state_dir, None, "salt", {}
        )
        folder = f"{self.state_dir}/{name}/generations/{made.generation}"
        for path in (folder, *(item["path"] for item in made.directories)):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o777)
        for item in made.files:
            with open(f"{folder}/{item['path']}", "w", encoding="utf-8") as stream:
                stream.write(item["content"])
            os.chmod(f"{folder}/{item['path']}", int(item["mode"], 8))
        body = made.body
        body["Image"], body["Cmd"] = hands.IMAGE, ["/usr/bin/python3", "-u", "/fake/fake_server.py", *flags]
        host = body["HostConfig"]
        host.pop("Ulimits")  # not everybody may raise the limit of locked memory
        host.update(NetworkMode="none", RestartPolicy={"Name": "unless-stopped"}, PortBindings={})
        for source, target in (("/usr", "/usr"), (str(hands.HERE), "/fake")):
            host["Mounts"] = [item for item in host["Mounts"] if item["Target"] != target]
            host["Mounts"].append({"Type": "bind", "Source": source, "Target": target, "ReadOnly": True})
        status, text = self.docker.call("POST", f"/containers/create?name=cortex-vllm-{name}", body)
        assert status == 201, text
        return made

    def start(self, *names):
        for name in names:
            status, text = self.docker.call("POST", f"/containers/cortex-vllm-{name}/start")
            assert status == 204, text

    def log(self, name):
        """``[(seconds since the epoch, line)]`` of the present start."""
        started = self.inspect(name)["State"]["StartedAt"]
        path = f"/containers/cortex-vllm-{name}/logs?stdout=1&stderr=1&timestamps=1&since={stamp(started):.6f}"
        text = self.docker.call("GET", path)[1].decode("utf-8", "replace")
        found = re.findall(r"(\d{4}-\d\d-\d\dT[\d:.]+Z) (.*)", text)
        return [(stamp(when), line) for when, line in found]

    def inspect(self, name):
        return self.docker.inspect(f"cortex-vllm-{name}")

    def when(self, name, words, limit=60.0):
        """When the present start said these words."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            found = [at for at, line in self.log(name) if words in line]
            if found:
                return found[0]
            time.sleep(0.3)
        raise AssertionError((name, words, self.log(name)))

    def span(self, name):
        """Begin of the program and the moment in which it served."""
        return self.when(name, "non-default args"), self.when(name, "Application startup complete")

    def clear(self):
        for name in self.docker.names():
            self.docker.remove(name)


def stamp(text):
    return datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()


@pytest.fixture(autouse=True)
def cleared(boot):
    yield
    boot.clear()


def test_a_host_that_boots_starts_them_one_after_the_other(boot):
    for name in ("chat", "embed"):
        boot.make(name, [GPU], "--load", str(LOAD))
    boot.make("alone", [OTHER], "--load", str(LOAD))
    boot.start("chat", "embed", "alone")
    for name in ("chat", "embed", "alone"):
        boot.span(name)
    boot.engine.stop()
    boot.engine.start()

    spans = {name: boot.span(name) for name in ("chat", "embed", "alone")}

    (first, second) = sorted((spans["chat"], spans["embed"]))
    assert second[0] >= first[1] - 0.3, spans
    # The one on the other GPU waited for nobody.
    assert spans["alone"][0] < first[1], spans
    waited = [name for name in ("chat", "embed") if any("waits for its turn" in line for _at, line in boot.log(name))]
    assert len(waited) == 1 and not any("turn" in line for _at, line in boot.log("alone"))


def test_who_dies_while_it_starts_keeps_nobody_waiting(boot):
    boot.make("chat", [GPU], "--load", "60")
    boot.make("embed", [GPU, OTHER], "--load", "0.2")
    boot.start("chat")
    boot.when("chat", "non-default args")
    boot.start("embed")
    boot.when("embed", "waits for its turn")
    killed = time.time()
    boot.docker.call("POST", "/containers/cortex-vllm-chat/kill")
    assert boot.when("embed", "non-default args") - killed < 10
    # What keeps the turn is gone once it answers, and is no process of the server's.
    boot.when("embed", "Application startup complete")
    deadline = time.monotonic() + 20
    while "turn.py" in (top := json.dumps(boot.docker.get("/containers/cortex-vllm-embed/top"))):
        assert time.monotonic() < deadline, top
        time.sleep(0.3)


def test_servers_that_do_not_share_are_made_as_before(boot):
    made = boot.make("chat", [GPU], share=False)
    assert [item["path"] for item in made.files] == ["launch.sh", "health.sh", "generation"]
    assert "turn" not in made.files[0]["content"] and "starting" not in json.dumps(made.body)
