# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark of planning runs and tells every figure; a thousand declarations stay far from a quadratic cost."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_it_measures_and_grows_with_the_number_of_declarations(tmp_path: pathlib.Path) -> None:
    found = {}
    for count in (100, 400):
        file = tmp_path / f"{count}.json"
        command = [sys.executable, ROOT / "benchmarks" / "planning", "--servers", str(count), "--rounds", "1"]
        done = subprocess.run([*command, "--json", file], check=True, capture_output=True, text=True)
        found[count] = json.loads(file.read_text(encoding="utf-8"))
        assert f"{count} declarations" in done.stdout and "one declaration" in done.stdout

    assert set(found[100]["fleet"]) == {"load", "plan", "again", "ahead", "many"}
    assert found[100]["single"]["first"] < 0.1
    # Four times as many take four times as long, give or take what else the machine does; each with each would be 16.
    assert found[400]["fleet"]["plan"] < 10 * found[100]["fleet"]["plan"]
    assert found[400]["fleet"]["plan"] < 4.0
