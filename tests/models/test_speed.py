# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot of 500 GB in a thousand files is proven in less than two seconds, by a process that has no network."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from . import caches

ROOT = pathlib.Path(__file__).parents[2]
FILES, SIZE = 1000, 500_000_000
#: Prints what was found and how long it took; any socket of the Internet, or a look for a name, ends it.
PROGRAM = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
def audit(event, args):
    if event.startswith("socket."):
        raise SystemExit("the network was asked for: " + event + repr(args))
sys.addaudithook(audit)
from ansible_collections.cortex.vllm.plugins.module_utils import model_files
begin = time.monotonic()
found = model_files.look("org/huge", None, sys.argv[2])
print(json.dumps({"seconds": time.monotonic() - begin, "status": found["status"], "problems": found["problems"],
                  "files": found["files"], "bytes": found["bytes"], "parameters": found["tensors"]["parameters"]}))
"""


@pytest.fixture
def huge(tmp_path: pathlib.Path) -> pathlib.Path:
    """Sparse blobs: as long as real ones, with real headers of twenty tensors each."""
    rows = SIZE // 20 // 2
    tensors = {f"model.layers.%d.experts.{number}.up_proj.weight": ("BF16", [rows]) for number in range(20)}
    weight_map, folder = {}, tmp_path / "models--org--huge"
    small = {"config.json": caches.text(caches.QWEN3), "tokenizer.json": caches.text(caches.TOKENIZER)}
    names = [f"model-{number:05d}-of-{FILES:05d}.safetensors" for number in range(1, FILES + 1)]
    for number, name in enumerate(names):
        mine = {key % number: value for key, value in tensors.items()}
        weight_map |= dict.fromkeys(mine, name)
        content = caches.safetensors(mine, data=False)
        blob = folder / "blobs" / f"{number:064x}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        with blob.open("wb") as stream:
            stream.write(content)
            stream.truncate(len(content) + rows * 2 * 20)
    small["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    caches.hub(tmp_path, "org/huge", small)
    for number, name in enumerate(names):
        (folder / "snapshots" / caches.NEW / name).symlink_to(f"../../blobs/{number:064x}")
    return tmp_path


def test_half_a_terabyte_in_two_seconds_without_a_network(huge: pathlib.Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "collections"), str(huge)]
    unshare = shutil.which("unshare")
    alone = [unshare, "-n"] if unshare else []
    if alone and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        alone = []  # not allowed here: the audit hook alone has to tell
    # The best of three: other work on the machine is no property of the look.
    best = None
    for _attempt in range(3):
        ran = subprocess.run([*alone, *command], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)
        assert (found["status"], found["problems"], found["files"]) == ("complete", [], FILES)
        assert found["bytes"] > 499_000_000_000 and found["parameters"] > 249_000_000_000
        best = min(best or found["seconds"], found["seconds"])
        if best < 2:
            break
    assert best < 2
