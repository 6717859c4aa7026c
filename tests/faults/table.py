# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the faults and prints their figures (tests/faults/report)."""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import subprocess
import sys

from .conftest import made
from .faults import FAULTS
from .running import run

LOST = "the server was lost"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="faults whose name or layer has this word")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only in fault.name or options.only == fault.layer]
    bench = made()
    outcomes = []
    print(f"{'FAULT':44} {'LAYER':12} {'ENDED':12} {'CODE':28} {'SECONDS':>8}  RIGHT")
    try:
        for fault in chosen:
            try:
                found = run(bench, fault)
            except Exception as problem:  # one broken fault must not hide the others
                print(f"{fault.name:44} {fault.layer:12} {fault.ending:12} {type(problem).__name__}: {problem}"[:200])
                outcomes.append({"fault": fault.name, "layer": fault.layer, "wrong": [str(problem)], "codes": []})
                continue
            code = next((code for code in found.codes if code in fault.codes), ", ".join(found.codes) or "-")
            right = "yes" if not found.wrong else "; ".join(found.wrong)
            print(
                f"{fault.name:44} {fault.layer:12} {fault.ending:12} {code[:28]:28} {found.seconds:8.1f}  {right}",
                flush=True,
            )
            outcomes.append(
                {"fault": fault.name, "layer": fault.layer, "ending": fault.ending, "codes": found.codes,
                 "seconds": round(found.seconds, 2), "wrong": found.wrong}
            )  # fmt: skip
    finally:
        bench.remove()
        subprocess.run(["rm", "-rf", str(bench.directory)], check=False)
    layers = collections.Counter(item["layer"] for item in outcomes)
    wrong = [item for item in outcomes if item["wrong"]]
    lost = [item for item in outcomes if LOST in item["wrong"]]
    counted = ", ".join(f"{count} {layer}" for layer, count in layers.items())
    good = len(outcomes) - len(wrong)
    print(f"\n{len(outcomes)} faults ({counted}): {good} ended right, {len(wrong)} did not;")
    print(f"healthy servers lost for a change that failed: {len(lost)}")
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
