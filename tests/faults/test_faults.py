# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each fault ends in the right code, and no healthy server is lost for a change that failed."""

from __future__ import annotations

import pytest

from .bench import Bench
from .faults import FAULTS, SAMPLE, Fault
from .running import run

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_there_are_enough_of_them():
    assert len(FAULTS) >= 60 and len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {fault.name for fault in FAULTS} >= SAMPLE


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.name, marks=() if fault.name in SAMPLE else pytest.mark.long) for fault in FAULTS],
)
def test_a_fault(bench: Bench, fault: Fault):
    outcome = run(bench, fault)
    assert not outcome.wrong, (outcome.wrong, outcome.codes)
