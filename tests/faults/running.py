# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes one fault happen and says what became of the server and whether that is right."""

from __future__ import annotations

import dataclasses
import time

from .bench import Bench
from .faults import REACHED, REFUSED, ROLLED_BACK, Fault


@dataclasses.dataclass
class Outcome:
    """``wrong``: what is not as it should be; empty when all is well."""

    fault: Fault
    codes: list[str]
    seconds: float
    unserved: float
    wrong: list[str]


def run(bench: Bench, fault: Fault) -> Outcome:
    """Inject, look, and mend. ``unserved``: seconds after the converge until the server answers."""
    bench.mend()
    before = bench.inspect() or {}
    begin = time.monotonic()
    result = fault.inject(bench)
    seconds = time.monotonic() - begin
    wrong = []
    if not set(fault.codes) & set(result.codes):
        wrong.append(f"ended in {', '.join(result.codes) or 'no code'}, not in {' or '.join(fault.codes)}")
    if "Traceback" in result.text:
        wrong.append("a traceback")
    asked = time.monotonic()
    while not bench.serves() and time.monotonic() - asked < 10:
        time.sleep(0.1)
    unserved = time.monotonic() - asked
    if unserved > 1.0:
        wrong.append("the server was lost" if unserved >= 10 else f"no answer for {unserved:.1f} s afterwards")
    after = bench.inspect() or {}
    if fault.ending != REACHED and after.get("Id") != before.get("Id"):
        wrong.append("another container serves")
    started = [(item.get("State") or {}).get("StartedAt") for item in (before, after)]
    if fault.ending == REFUSED and started[0] != started[1]:
        wrong.append("the good server was stopped for it")
    if fault.ending == ROLLED_BACK and started[0] == started[1]:
        wrong.append("it was refused before the stop, which is better than expected")
    left = bench.leftovers()
    if left:
        wrong.append(f"left behind: {', '.join(left)}")
    policy = ((after.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name")
    if policy != "unless-stopped":
        wrong.append(f"restart policy {policy}")
    return Outcome(fault, result.codes, seconds, unserved, wrong)
