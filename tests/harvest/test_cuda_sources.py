# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that asks an image for its parser, beside the sources of a CUDA build and without a GPU.

The published source is what a CUDA image is built from. It is laid out as pip would install it, and the very program
that runs in an image (``inside.script``) is run there: it must find no platform by itself, take CUDA, and tell of every
option what the catalogue has. The CPU image hides this, because its build names a platform.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import inside

pytestmark = [pytest.mark.long, pytest.mark.slow]
VERSION = "0.32.0"
BUILD = f"{VERSION}+cu130"


@pytest.fixture(scope="module")
def installed(harvester, tmp_path_factory) -> Path:
    """The source as pip installs it: the package, what the build writes into it, and its metadata."""
    cli, environment = harvester.cli, harvester.cli.environment
    sources = environment.cache() / "sources"
    sources.mkdir(exist_ok=True)
    environment.python()
    source = harvester.fetch.cached(VERSION, sources)
    if source is None:
        fetched = cli.run("fetch", VERSION, str(sources))
        if fetched.returncode:
            pytest.skip(f"the source of {VERSION} cannot be had here: {fetched.stderr.strip()[-200:]}")
        source = json.loads(fetched.stdout)
    tree = harvester.fetch.unpack(Path(source["path"]), tmp_path_factory.mktemp("cuda"))
    (tree / "vllm" / "_version.py").write_text(f'__version__ = version = "{BUILD}"\n', encoding="utf-8")
    metadata = tree / f"vllm-{BUILD}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {BUILD}\n", encoding="utf-8")
    (metadata / "RECORD").write_text("vllm/__init__.py,,\n", encoding="utf-8")
    return tree


def ask(harvester, tree: Path, question: str, **asked):
    """What the program answers, as in a container of the image."""
    answer = tree.parent / f"{question}.json"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VLLM_", "CUDA_"))}
    env |= {"PYTHONPATH": str(tree), "CORTEX_ANSWER": str(answer), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    # The variables of a CUDA image: with them vLLM of a CPU build would still not take CUDA.
    env |= {"NVIDIA_VISIBLE_DEVICES": "void", "VLLM_TARGET_DEVICE": "cuda"}
    python = harvester.cli.environment.python()
    subprocess.run(
        [python, "-c", inside.script(question, **asked)], env=env, cwd=tree.parent, check=True, capture_output=True
    )
    return json.loads(answer.read_text(encoding="utf-8"))


def test_the_version_is_that_of_the_build(harvester, installed):
    assert ask(harvester, installed, "version")["version"] == BUILD


@pytest.mark.parametrize("platform", [None, "cuda"])
def test_it_answers_with_the_options_of_cuda(harvester, installed, platform):
    release = catalog.release(VERSION)

    answer = ask(harvester, installed, "parser", platform=platform)

    assert answer.get("problem") is None
    assert answer["platform"] == "cuda" and answer["version"] == BUILD
    known, told = release.data["flags"], answer["flags"]
    assert {name for name in {*known, *told} if known.get(name) != told.get(name)} == set()
    # On a CPU build this is one of the choices that differ.
    assert "cuda" in told["--mm-processor-device"]["choices"]
    assert answer["keys"] == release.data["keys"]
    assert answer["environment"].keys() == release.environment.keys()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["o/m", "--mm-processor-device", "cuda", "--tensor-parallel-size", "2"], None),
        (["o/m", "--kv-transfer-config", '{"kv_connector": "X", "kv_role": "kv_both"}'], None),
        (["o/m", "--swap-space", "4"], "--swap-space"),
        (["o/m", "--compilation-config", '{"no_such_key": 1}'], "no_such_key"),
    ],
)
def test_it_proves_command_lines_without_a_gpu(harvester, installed, words, told):
    answer = ask(harvester, installed, "argv", argv=words, program="serve")

    assert "problem" not in answer, answer
    assert (answer["error"] is None) if told is None else (told in answer["error"])
