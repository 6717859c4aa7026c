# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cache that real vLLM logs on the CPU, for several spaces and arguments: what was foretold, to the token."""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
import subprocess
import time
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import memory
from ansible_collections.cortex.vllm.plugins.plugin_utils.memory import arguments, kv_cache, shape

from .conftest import ROOT, docker, output

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]
NAME = "memory-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
LOGGED = re.compile(r"KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x")
ARCHITECTURES = ROOT / "collections/cortex/vllm/tests/unit/plugins/plugin_utils/memory/data/architectures.json"
#: The arguments of the collection's own declarations for the tiny model; eager, since nothing is asked of it.
USUAL: dict[str, Any] = {"max_model_len": 512, "enforce_eager": True}


@pytest.fixture(scope="module")
def image() -> str:
    return output(ROOT / "tools" / "vllm-image")


@pytest.fixture(scope="module")
def model() -> pathlib.Path:
    return pathlib.Path(output(ROOT / "tools" / "tiny-model").splitlines()[-1])


def logged(image: str, model: pathlib.Path, space: str, arguments: dict[str, Any]) -> tuple[int, int, float]:
    """Tokens, length and concurrency of a start, which is ended as soon as it has said them."""
    words = []
    for key, value in arguments.items():
        option = f"--{key.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)]
    subprocess.run(["docker", "rm", "-f", NAME], capture_output=True, check=False)
    try:
        docker(
            "run", "-d", "--name", NAME, "--network", "none", "-e", f"VLLM_CPU_KVCACHE_SPACE={space}",
            "-e", "HF_HUB_OFFLINE=1", "-v", f"{model}:/model:ro", "--shm-size", "1g", "--entrypoint", "vllm", image,
            "serve", "/model", *words,
        )  # fmt: skip
        begin = time.monotonic()
        while time.monotonic() - begin < 600:
            both = subprocess.run(["docker", "logs", NAME], capture_output=True, text=True, check=True)
            found = LOGGED.search(both.stdout + both.stderr)
            if found:
                tokens, length = (int(group.replace(",", "")) for group in found.groups()[:2])
                return tokens, length, float(found[3])
            if docker("inspect", "-f", "{{.State.Running}}", NAME) != "true":
                break
            time.sleep(1)
        raise AssertionError(both.stdout[-3000:] + both.stderr[-3000:])
    finally:
        subprocess.run(["docker", "rm", "-f", NAME], capture_output=True, check=False)


@pytest.mark.parametrize(
    ("space", "changed"),
    [
        ("1", {}),
        ("2", {"max_model_len": 2048}),
        ("1", {"block_size": 64}),
        ("1", {"dtype": "float32", "max_model_len": 1000}),
    ],
)  # fmt: skip
def test_tokens_are_those_that_vllm_logs(image: str, model: pathlib.Path, space: str, changed: dict[str, Any]) -> None:
    arguments = {**USUAL, **changed}
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    tokens, length, concurrency = logged(image, model, space, arguments)

    version = image.rpartition(":")[2]
    found = memory.estimate(
        memory.Question(config, arguments, version, environment={"VLLM_CPU_KVCACHE_SPACE": space}, cpu=True)
    )

    assert found.cache is not None and found.settings is not None
    assert (found.cache.tokens, found.settings.max_len) == (tokens, length)
    assert round(found.cache.concurrency, 2) == concurrency


def test_layers_share_the_cache_as_vllm_shares_it(image: str, model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Uniform, sliding, chunked, latent, gated delta net and Mamba layers: concurrency is vLLM's, to the digit."""
    version, rows, wanted = image.rpartition(":")[2], [], []
    starts = json.loads(ARCHITECTURES.with_name("starts.json").read_text(encoding="utf-8"))
    uneven = [{"name": one["model"], "config": one["config"]} for one in starts if "gemma-4" in one["id"]]
    for item in json.loads(ARCHITECTURES.read_text(encoding="utf-8")) + uneven[:1]:
        try:
            one = shape.read(item["config"])
        except shape.UnknownArchitecture:
            continue
        if set(one.kinds) == {"shared"}:
            continue
        for tensor, length, available in ((1, 8192, 20 << 30), (2, 65536, 33 << 30), (1, 2000, 7 << 30)):
            given = {"tensor_parallel_size": tensor, "max_model_len": length, "max_num_batched_tokens": 8192}
            settings = arguments.settle(one, given, version, memory.Gpu("NVIDIA H100", 80 << 30, None, 9.0))
            wanted.append(kv_cache.cache(one, settings, available).concurrency)
            state = kv_cache.state_bytes(one, settings) if "linear" in one.kinds else 0
            rows.append({
                "name": f"{item['name']} {tensor} {length}", "length": length, "batched": 8192, "available": available,
                "kinds": one.kinds, "kv_heads": max(1, one.kv_heads // tensor), "head_dim": one.head_dim,
                "window": one.window, "latent": one.latent, "state": state,
                "mode": "align" if {"full", "linear"} <= set(one.kinds) else "none",  # what 0.32 takes by itself
                "wide": [max(1, one.wide_heads // tensor) if one.wide_heads else 0, one.wide_dim],
            })  # fmt: skip
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")

    said = docker(
        "run", "--rm", "--name", f"{NAME}-kv", "--network", "none", "-e", "HF_HUB_OFFLINE=1",
        "-v", f"{model}:/model:ro", "-v", f"{tmp_path}:/rows:ro",
        "-v", f"{pathlib.Path(__file__).parent}:/tests:ro", "--entrypoint", "python3", image,
        "/tests/kv_cache_oracle.py", "/rows/rows.json",
    )  # fmt: skip

    told = [json.loads(line[4:]) for line in said.splitlines() if line.startswith("ROW ")]
    assert [row["name"] for row in told] == [row["name"] for row in rows]
    wrong = [
        (row["name"], row["concurrency"], own)
        for row, own in zip(told, wanted, strict=True)
        if own != pytest.approx(row["concurrency"], rel=0.0005)
    ]
    assert not wrong
