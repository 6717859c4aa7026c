# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The container toolkit proven by a container, on a real engine of its own: its hook is the one of ``gpu_hook``."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time

import hands
import pytest

sys.path.insert(0, str(hands.REPOSITORY / "collections"))

from ansible_collections.cortex.vllm.plugins.plugin_utils import observation, toolkit_proof

GPU = "GPU-11111111-1111-1111-1111-111111111111"
OTHER = "GPU-22222222-2222-2222-2222-222222222222"
IMAGE = "local/hands-shell:1"


@pytest.fixture(scope="module")
def engine(own_engine):
    before, hands.SOCKET = hands.SOCKET, own_engine.socket
    try:
        load(hands.Docker())
    finally:
        hands.SOCKET = before
    return own_engine


def load(docker):
    """An image that holds a shell and nothing else."""
    shell = os.path.realpath("/bin/sh")
    linked = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for path in ["/bin/sh", *re.findall(r"(/\S+) \(0x", linked)]:
            archive.add(path, arcname=path.lstrip("/"))
        for name in ("tmp", "proc", "sys", "dev", "etc"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(entry)
    name, tag = IMAGE.split(":")
    status, text = docker.call("POST", f"/images/create?fromSrc=-&repo={name}&tag={tag}", raw=buffer.getvalue())
    assert status == 200, text


@pytest.fixture
def host(engine, tmp_path, monkeypatch):
    """What the brains see: a host with one GPU, asked through the real module; ``says`` makes the hook fail."""
    monkeypatch.setattr(hands, "SOCKET", engine.socket)
    engine.says.unlink(missing_ok=True)
    return Proving(tmp_path / "state", engine.says)


class Proving:
    host = "gpu1"

    def __init__(self, state_dir, says):
        self.state_dir, self.says, self.steps, self.uuids, self.timeout = state_dir, says, [], [GPU], 60.0

    def __call__(self, step, request, secrets=None):
        self.steps.append(step)
        # The check is a task in check mode: that it works there is part of what is tested.
        more = {"docker_host": f"unix://{hands.SOCKET}", "timeout": self.timeout}
        answer = hands.run_module({"step": step, "request": request, **more}, check=True)
        assert not answer.get("failed"), answer
        return answer

    def say(self, line):
        self.steps.append(line)

    def reset(self):
        raise AssertionError

    def look(self):
        request = observation.query([], str(self.state_dir), contract=True, contract_image=IMAGE)
        facts = self("observe", request)["observation"]
        devices = [{"index": index, "uuid": uuid, "mig": []} for index, uuid in enumerate(self.uuids)]
        facts["gpus"] = {"status": "ok", "driver": "580.95.05", "devices": devices}
        facts["contract"]["toolkit"] = {"version": "1.17.4", "runtime": "/usr/bin/nvidia-container-runtime", "cdi": []}
        return observation.Observation.parse(facts)

    def proven(self):
        """``(verdict, findings, steps)`` of a check."""
        self.steps = []
        seen = toolkit_proof.proven(self, str(self.state_dir), self.look(), [], IMAGE)
        left = hands.Docker().get("/containers/json?all=1")
        assert left == [], left
        found = toolkit_proof.judged(seen.contract["proof"], "error")
        return toolkit_proof.told(seen.contract)["proven"], found, self.steps


def test_a_container_that_gets_the_gpus_proves_it_once(host):
    verdict, found, steps = host.proven()
    assert (verdict, found) == (True, []) and "image" in steps
    assert json.loads((host.state_dir / "images.json").read_text())
    assert host.proven()[2] == ["observe"], "the second check asks the container again"
    host.uuids = [GPU, OTHER]
    verdict, found, steps = host.proven()
    assert verdict is True and "image" in steps, "another set of GPUs is another question"


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "gpu.driver", "no working"),
        (
            "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared"
            " object file: no such file or directory",
            "gpu.driver",
            "no working NVIDIA driver",
        ),
        (f"nvidia-container-cli: device error: {GPU}: unknown device", "gpu.absent", GPU),
        # A hook that ends well and gives too little.
        ("without gpus", "gpu.device", "NVML: Unknown Error"),
        ("without library", "gpu.runtime", "libcuda is not there"),
    ],
)
def test_a_hook_that_fails_is_explained(host, said, code, words):
    host.says.write_text(said)
    verdict, (found,), _steps = host.proven()
    assert verdict is False and found.code == code and words in found.message, str(found)


def test_what_was_mended_is_seen_at_once(host):
    host.says.write_text("without gpus")  # the container ran, so that its answer was kept
    assert host.proven()[0] is False
    host.says.unlink()
    assert host.proven()[0] is True


@pytest.mark.long
def test_a_hook_that_hangs_ends_with_the_engines_time(host):
    """The engine answers nothing while the hook runs: the proof ends with the time of a call, and says so."""
    host.says.write_text("sleep")
    host.timeout = 5.0
    begin = time.monotonic()
    seen = toolkit_proof.proven(host, str(host.state_dir), host.look(), [], IMAGE)
    (found,) = toolkit_proof.judged(seen.contract["proof"], "error")
    assert found.code == "gpu.runtime" and time.monotonic() - begin < 60, str(found)
    host.says.unlink()
    deadline = time.monotonic() + 30
    while names := hands.Docker().names():
        assert time.monotonic() < deadline, names
        for name in names:
            hands.Docker().remove(name)
        time.sleep(0.5)


def test_an_image_that_is_not_there_is_never_pulled(host):
    seen = toolkit_proof.proven(host, str(host.state_dir), host.look(), [], "local/nowhere:1")
    assert toolkit_proof.told(seen.contract)["proven"] is None and "image" not in host.steps


def test_an_engine_without_the_hook_says_so(docker, tmp_path, monkeypatch, image):
    """The machine's own engine, asked for a driver of devices that it does not have."""
    host = Proving(tmp_path / "state", None)
    request = {"DeviceRequests": [{"Driver": "cdi", "Count": 0, "DeviceIDs": ["nvidia.com/gpu=0"]}]}
    key = "toolkit-" + "0" * 64
    answer = host(
        "image",
        {
            "schema": 1, "state_dir": str(tmp_path / "state"), "image": image, "key": key, "script": "",
            "budget": 30.0, "wants": {"host_config": request},
        },
    )  # fmt: skip
    assert answer["done"] and answer["answer"] is None
    (found,) = toolkit_proof.judged({"image": image, "error": answer["message"]}, "error")
    assert found.code == "gpu.runtime", str(found)
    assert [name for name in docker.names() if name.startswith("cortex-vllm-look-")] == []
