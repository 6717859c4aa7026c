# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark of the diagnosis runs, and counts what it says it counts."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "diagnosis"
LOADER = importlib.machinery.SourceFileLoader("benchmark_diagnosis", str(PROGRAM))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("benchmark_diagnosis", LOADER))
LOADER.exec_module(bench)


def test_recordings_are_all_right() -> None:
    failed = bench.judge(bench.recorded({"failed"}))
    assert failed["logs"] >= 70 and failed["right"] == failed["logs"]
    quiet = bench.judge(bench.recorded({"healthy", "loading"}))
    assert (quiet["right"], quiet["alarms"]) == (quiet["logs"], 0)


def test_a_wrong_answer_is_counted() -> None:
    case = ("x", ["ValueError: No available memory for the cache blocks"], 1, "failed", ["memory.shm"])
    assert bench.judge([case])["wrong"] == ["x"]
    alarm = ("y", ["ValueError: No available memory for the cache blocks"], 1, "healthy", [None])
    assert bench.judge([alarm])["alarms"] == 1


def test_a_large_log_is_judged_by_its_end() -> None:
    assert bench.huge(2)[1] == "gpu.fault"
