# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is promised of the memory model, on real starts."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "memory_accuracy"
LOADER = importlib.machinery.SourceFileLoader("memory_accuracy", str(PROGRAM))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("memory_accuracy", LOADER))
LOADER.exec_module(bench)


@pytest.fixture(scope="module")
def told() -> dict:
    starts = json.loads(bench.DATA.read_text(encoding="utf-8"))
    assert len(starts) == 106
    return bench.results(bench.measure(starts))


def test_weights(told: dict) -> None:
    assert told["weights"]["cases"] >= 80
    assert told["weights"]["within_2_percent"] >= 0.93


def test_tokens(told: dict) -> None:
    assert told["tokens"]["cases"] >= 65
    assert told["tokens"]["within_0.5_percent"] >= 0.95


def test_the_whole_prediction(told: dict) -> None:
    own = told["kv"]["cortex"]
    assert own["cases"] >= 60
    assert own["median"] < 0.03
    assert own["nine_of_ten"] < 0.12
    assert all(own["median"] < told["kv"][rule]["median"] for rule in bench.RULES[1:])


def test_verdicts(told: dict) -> None:
    assert told["verdict"]["cortex"]["right"] == told["verdict"]["cortex"]["cases"] >= 65


def test_it_runs() -> None:
    done = subprocess.run([sys.executable, PROGRAM, "--each"], capture_output=True, text=True, check=True)
    assert "cortex" in done.stdout and "78 of 78" in done.stdout
