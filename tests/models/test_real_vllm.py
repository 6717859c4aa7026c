# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real vLLM agrees: what passed loads and starts without any network, and what a proof refuses would not have."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import inside as hands
from ansible_collections.cortex.vllm.plugins.module_utils import model_files
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import inside
from ansible_collections.cortex.vllm.plugins.plugin_utils.spec import MOUNT_HUB

from . import caches

pytestmark = pytest.mark.e2e
ROOT = pathlib.Path(__file__).parents[2]
TINY = "tiny/qwen3"


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    return output(str(ROOT / "tools" / "vllm-image"))


@pytest.fixture(scope="module")
def files(image: str) -> dict[str, bytes]:
    """The tiny model with random weights, as real Transformers saved it."""
    folder = pathlib.Path(output(str(ROOT / "tools" / "tiny-model"), image))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Below /var/tmp, where an engine in another mount namespace would see it too."""
    root = pathlib.Path("/var/tmp") / f"cortex-vllm-proof-{os.getpid()}-{tmp_path.name}"
    root.mkdir()
    yield root
    shutil.rmtree(root)


def prove(
    image: str, mount: pathlib.Path, target: str, env: dict[str, str] | None = None, **asked: Any
) -> dict[str, Any]:
    """As the job does it: the body that it would create, run by the engine's own command."""
    body = hands.body(image, inside.script("model", **asked), "model", {
        "host_config": {"Mounts": [{"Type": "bind", "Source": str(mount), "Target": target}]},
        "env": {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": "/tmp/huggingface", **(env or {})},
    })  # fmt: skip
    host = body["HostConfig"]
    assert host["NetworkMode"] == "none" and all(entry["ReadOnly"] for entry in host["Mounts"])
    command = [
        "docker",
        "run",
        "--rm",
        "--network",
        host["NetworkMode"],
        "--cap-drop",
        "ALL",
        "--entrypoint",
        "python3",
    ]
    for entry in body["Env"]:
        command += ["-e", entry]
    command += ["-e", "CORTEX_ANSWER=/dev/stderr", "-v", f"{mount}:{target}:ro", image, *body["Cmd"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_a_sound_cache_passes_both(image: str, files: dict[str, bytes], place: pathlib.Path) -> None:
    caches.hub(place, TINY, files)
    found = model_files.look(TINY, None, str(place))
    assert (found["status"], found["problems"]) == ("complete", [])
    said = prove(image, place, MOUNT_HUB, {"HF_HUB_CACHE": MOUNT_HUB}, model=TINY, revision=caches.NEW, tokenizer=TINY)
    assert (said["error"], said["model_type"]) == (None, "qwen3") and said["tokens"] > 3


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "step", "words"),
    [
        ({"tokenizer.json": None, "tokenizer_config.json": None}, "tokenizer", ""),
        ({"tokenizer.json": b'{"model": {}}'}, "tokenizer", ""),
        ({"config.json": b'{"model_type": "nobody-knows", "architectures": ["X"]}'}, "configuration", "nobody-knows"),
    ],
)
def test_what_files_alone_do_not_tell_is_refused_by_the_image(
    image: str, files: dict[str, bytes], place: pathlib.Path, change: dict[str, bytes | None], step: str, words: str
) -> None:
    kept = {name: content for name, content in {**files, **change}.items() if content is not None}
    said = prove(image, caches.directory(place / "m", kept), "/m", model="/m", tokenizer="/m")
    assert said["error"] and said["step"] == step and words in said["error"]


def test_a_tokenizer_that_would_have_to_be_fetched_is_refused(
    image: str, files: dict[str, bytes], place: pathlib.Path
) -> None:
    caches.hub(place, TINY, files)
    env = {"HF_HUB_CACHE": MOUNT_HUB}
    said = prove(image, place, MOUNT_HUB, env, model=TINY, revision=caches.NEW, tokenizer="TinyLlama/TinyLlama-1.1B")
    assert said["error"] and said["step"] == "tokenizer"


def test_the_cpu_image_has_no_plugins(image: str) -> None:
    command = [
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "python3",
        "-e",
        "CORTEX_ANSWER=/dev/stderr",
    ]
    done = subprocess.run([*command, image, "-c", inside.script("plugins")], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == {"plugins": []}


@pytest.mark.long
def test_a_server_without_a_network_starts_from_a_cache_that_passed(
    image: str, files: dict[str, bytes], place: pathlib.Path
) -> None:
    caches.hub(place, TINY, files)
    assert model_files.look(TINY, None, str(place))["status"] == "complete"
    name = f"cortex-vllm-model-proof-{os.getpid()}"
    command = [
        "docker", "run", "-d", "--name", name, "--network", "none", "--init", "--cap-drop", "ALL", "--shm-size", "256m",
        "-v", f"{place}:{MOUNT_HUB}:ro", "-e", f"HF_HUB_CACHE={MOUNT_HUB}", "-e", "HF_HUB_OFFLINE=1",
        "-e", "TRANSFORMERS_OFFLINE=1", "-e", "VLLM_NO_USAGE_STATS=1", "-e", "VLLM_CPU_KVCACHE_SPACE=1",
        "-e", "HF_HOME=/tmp/huggingface", image, TINY, "--revision", caches.NEW, "--max-model-len", "512",
        "--enforce-eager", "--served-model-name", "tiny",
    ]  # fmt: skip
    ask = (
        "import json, urllib.request as u; q = u.Request('http://127.0.0.1:8000/v1/completions', "
        "json.dumps({'model': 'tiny', 'prompt': 'hello', 'max_tokens': 3}).encode(), "
        "{'Content-Type': 'application/json'}); "
        "print(json.load(u.urlopen(q))['usage']['completion_tokens'])"
    )
    subprocess.run(command, capture_output=True, check=True)
    try:
        deadline, answer = time.monotonic() + 400, ""
        while time.monotonic() < deadline and not answer:
            asked = subprocess.run(
                ["docker", "exec", name, "python3", "-c", ask], capture_output=True, text=True, check=False
            )
            answer = asked.stdout.strip()
            assert output("docker", "inspect", "-f", "{{.State.Running}}", name) == "true", output(
                "docker", "logs", name
            )
            time.sleep(2)
        assert answer == "3"
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
