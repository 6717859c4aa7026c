# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is promised of planning: under 20 ms of CPU for a server, with every check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "planning_checks"


def test_planning_with_all_checks() -> None:
    command = [sys.executable, str(PROGRAM), "--servers", "1", "4", "--rounds", "5", "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert {row["kind"] for row in rows} == {"fits", "too large", "unchanged", "nothing"}
    for row in rows:
        assert row["best_ms"] < 20, row
