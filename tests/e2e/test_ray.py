# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Ray cluster of two containers, each with its own address, begun with the very command lines that are rendered.

Real Ray in the image of real vLLM for the CPU. The model itself cannot follow: vLLM's CPU backend does not support Ray,
which is tested too, against vLLM's own source in the image.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import ROOT, docker

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, nodes, spec

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

#: Ray, and what of its needs the image does not have.
WHEELS = ["ray==2.60.0", "msgpack==1.2.4"]
ALIVE = """
import ray
ray.init(address="auto", log_to_driver=False, logging_level="error")
print(sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]))
"""
SUM = """
import ray
ray.init(address="auto", log_to_driver=False, logging_level="error")
@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def where():
    import time
    time.sleep(1)
    return ray.util.get_node_ip_address()
print(sorted(set(ray.get([where.remote() for _ in range(8)]))))
"""


class Cluster:
    """Two containers on a network of their own."""

    def __init__(self, image: str, libraries: pathlib.Path) -> None:
        self.image, self.libraries = image, libraries
        self.key = f"cortex-vllm-ray-{uuid.uuid4().hex[:6]}"
        docker("network", "create", self.key)
        self.names = [f"{self.key}-{place}" for place in range(2)]
        for name in self.names:
            docker(
                "run", "--detach", "--init", "--name", name, "--network", self.key, "--shm-size", "512m",
                "--volume", f"{libraries}:/ray:ro", "--env", "PYTHONPATH=/ray",
                "--env", "PATH=/ray/programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "--entrypoint", "sleep", image, "infinity",
            )  # fmt: skip
        addresses = [docker("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{self.key}").IPAddress}}}}', name)
                     for name in self.names]  # fmt: skip
        self.addresses = dict(zip(("gpu1", "gpu2"), addresses, strict=True))

    def share(self, host: str) -> Any:
        """What the host is told."""
        declared = {
            "image": "x", "model": "/m", "gpus": 1, "secrets": {"api_key": "sk-long-enough"},
            "engine_args": {"tensor_parallel_size": 2}, "nodes": {"hosts": ["gpu1", "gpu2"], "backend": "ray"},
        }  # fmt: skip
        (made,) = spec.load(nodes.expand({"big": declared}, None, host, self.addresses.get), None)
        release = catalog.release("0.32.0")
        assert release is not None
        return nodes.share(made, release)

    def run(self, place: int, *command: str, detach: bool = False) -> str:
        return docker("exec", *(["--detach"] if detach else []), self.names[place], *command)

    def alive(self, count: int, seconds: float = 90) -> list[str]:
        until = time.monotonic() + seconds
        while True:
            found = eval(self.run(0, "python3", "-c", ALIVE).splitlines()[-1])
            if len(found) == count or time.monotonic() > until:
                return found
            time.sleep(2)

    def end(self) -> None:
        for name in self.names:
            docker("rm", "--force", "--volumes", name)
        docker("network", "rm", self.key)


@pytest.fixture(scope="module")
def image() -> str:
    done = subprocess.run([str(ROOT / "tools" / "vllm-image")], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


@pytest.fixture(scope="module")
def cluster(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Ray's own wheel beside the image's packages, which has all else that it needs."""
    libraries = tmp_path_factory.mktemp("ray")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version",
         "3.11", "--implementation", "cp", "--target", str(libraries), *WHEELS],
        check=True, timeout=600,
    )  # fmt: skip
    program = libraries / "programs" / "ray"
    program.parent.mkdir()
    program.write_text("#!/usr/bin/python3\nimport sys\nfrom ray.scripts.scripts import main\nsys.exit(main())\n")
    program.chmod(0o755)
    found = Cluster(image, libraries)
    yield found
    found.end()


def test_the_rendered_commands_make_one_cluster_that_survives_a_death(cluster: Cluster) -> None:
    head, other = cluster.share("gpu1"), cluster.share("gpu2")
    assert head.problem is None and other.program[-1] == "--block"
    cluster.run(0, *head.before)
    assert cluster.alive(1) == [cluster.addresses["gpu1"]]
    cluster.run(1, *other.program, detach=True)
    both = sorted(cluster.addresses.values())
    assert cluster.alive(2) == both
    assert eval(cluster.run(0, "python3", "-c", SUM).splitlines()[-1]) == both, "work reaches both"

    docker("kill", cluster.names[1])
    assert cluster.alive(1) == [cluster.addresses["gpu1"]]
    docker("start", cluster.names[1])
    cluster.run(1, *other.program, detach=True)
    assert cluster.alive(2) == both


def test_vllm_itself_says_that_its_cpu_backend_has_no_ray(image: str) -> None:
    """What the plan refuses (node.unavailable) is what vLLM would."""
    script = "from vllm.platforms import current_platform as it; print(it.device_name, repr(it.ray_device_key))"
    said = docker("run", "--rm", "--entrypoint", "python3", image, "-c", script)
    assert said.splitlines()[-1] == "cpu ''"
