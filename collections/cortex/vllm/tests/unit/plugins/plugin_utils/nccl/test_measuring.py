# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The measurement: its verdicts, and the program itself with a stand-in for torch that sums over files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import nccl

OK, HANG = {"state": "ok"}, {"state": "hang", "message": "it stood still at 4 bytes"}
WRONG = {"state": "wrong", "message": "3 of 4 sums are wrong"}


@pytest.mark.parametrize(
    "configured, control, verdict, words",
    [
        (OK, OK, "p2p-works", "all sums are right"),
        (HANG, OK, "p2p-broken", "it hangs with peer to peer: it stood still at 4 bytes"),
        (WRONG, OK, "p2p-broken", "it returns wrong sums"),
        ({"state": "error", "message": "x"}, OK, "p2p-broken", "it fails"),
        (HANG, HANG, "inconclusive", "without peer to peer it fails as well"),
        (OK, HANG, "inconclusive", "it stood still"),
        ({}, {}, "inconclusive", "did not run"),
    ],
)
def test_only_a_control_that_works_makes_peer_to_peer_guilty(
    configured: Any, control: Any, verdict: str, words: str
) -> None:
    judged = nccl.judge({"arms": {"configured": configured, "p2p_off": control}})
    assert judged["verdict"] == verdict and words in judged["message"]


def test_arms_differ_in_peer_to_peer_and_nothing_else() -> None:
    arms = nccl.arms({"NCCL_DEBUG": "WARN"})
    configured, control = arms["configured"], arms["p2p_off"]
    assert {**configured, "NCCL_P2P_DISABLE": "1"} == control
    assert "NCCL_P2P_DISABLE" not in configured and configured["NCCL_SOCKET_IFNAME"] == "lo"


#: A torch that knows what the program uses: tensors are lists, ranks meet in files.
TORCH = """
import glob, json, os, time
float32 = float
class Tensor(list):
    def __mod__(self, n): return Tensor(v % n for v in self)
    def __mul__(self, n): return Tensor(v * n for v in self)
    def __ne__(self, other): return Tensor(int(a != b) for a, b in zip(self, other))
    def to(self, kind): return self
    def sum(self): return Tensor([sum(self)])
    def item(self): return self[0]
def device(*a): return None
def arange(n, device=None): return Tensor(range(n))
class distributed:
    count = 0
    @classmethod
    def init_process_group(cls, backend, rank, world_size, timeout):
        cls.rank, cls.world, cls.at = rank, world_size, os.environ["MASTER_PORT"]
    @classmethod
    def all_reduce(cls, tensor):
        cls.count += 1
        path = "%s/sum-%s-%d-" % (os.environ["PYTHONPATH"], cls.at, cls.count)
        if os.environ.get("BREAK") == "hang" and cls.rank == 1: time.sleep(100)
        if os.environ.get("BREAK") == "die" and cls.rank == 1: os._exit(9)
        if os.environ.get("BREAK") == "error" and cls.rank == 1: raise RuntimeError("no way between them")
        open(path + "%d.tmp" % cls.rank, "w").write(json.dumps(tensor))
        os.rename(path + "%d.tmp" % cls.rank, path + str(cls.rank))
        end = time.time() + 100
        while len([p for p in glob.glob(path + "*") if not p.endswith("tmp")]) < cls.world and time.time() < end:
            time.sleep(0.002)
        rows = [json.load(open(path + str(r))) for r in range(cls.world)]
        tensor[:] = [sum(column) for column in zip(*rows)]
        if os.environ.get("BREAK") == "wrong": tensor[1:2] = [-1]
    @classmethod
    def destroy_process_group(cls): pass
"""


@pytest.mark.parametrize(
    "broken, state, words",
    [
        ({}, "ok", ""),
        ({"BREAK": "wrong"}, "wrong", "1 of 16 sums are wrong at 64 bytes"),
        ({"BREAK": "hang"}, "hang", "it stood still at 4 bytes"),
        ({"BREAK": "error"}, "error", "rank 1: RuntimeError: no way between them"),
        ({"BREAK": "die"}, "error", "died"),
    ],
)
def test_the_program_finds_what_is_wrong_and_leaves_nobody_behind(
    tmp_path: Path, broken: dict[str, str], state: str, words: str
) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text(TORCH)
    (package / "distributed.py").write_text("")
    # The class of the fake stands where the module would; importing the module must not replace it.
    (package / "__init__.py").write_text(TORCH + "\nimport sys\nsys.modules['torch.distributed'] = distributed\n")
    # One that stands still takes the whole limit; a loaded machine is slow to begin.
    limit = 6.0 if state == "hang" else 30.0
    options = {
        "backend": "gloo", "processes": 2, "sizes": [4, 64], "repeats": 2, "limit": limit,
        "arms": {"configured": {**broken}, "p2p_off": {}},
    }  # fmt: skip
    answer = tmp_path / "answer.json"
    done = subprocess.run(
        [sys.executable, "-c", nccl.script(options)],
        env={"PYTHONPATH": str(tmp_path), "CORTEX_ANSWER": str(answer), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    arms = json.loads(answer.read_text())["arms"]
    assert arms["configured"]["state"] == state and words in arms["configured"]["message"], arms
    assert arms["p2p_off"]["state"] == "ok", "one arm does not spoil the other"
    assert [check["bytes"] for check in arms["p2p_off"]["checks"]] == [4, 64]
    # Nobody waits for a rank that has failed.
    assert arms["configured"]["seconds"] < (15 if state == "hang" else limit)
