# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All faults, by kind: each kind has a file of its own."""

from __future__ import annotations

from .declarations import DECLARATIONS, ENGINE, FILES
from .hosts import HOST
from .jobs import JOB
from .kinds import KEPT, REACHED, REFUSED, ROLLED_BACK, Fault
from .starts import DEATHS, STARTS

__all__ = ["FAULTS", "KEPT", "REACHED", "REFUSED", "ROLLED_BACK", "SAMPLE", "Fault"]

FAULTS = [*DECLARATIONS, *FILES, *ENGINE, *HOST, *STARTS, *DEATHS, *JOB]
#: One of each layer: what every run of the tests does.
SAMPLE = frozenset(
    {"unknown argument", "weights cut short", "disk full", "real: shm-too-small", "job killed at stopped"}
)
