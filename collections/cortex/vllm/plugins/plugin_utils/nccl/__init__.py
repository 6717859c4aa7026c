# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""How GPUs talk to each other: from what is declared and what a host has to variables, a file and its explanation.

* ``names``: which variables NCCL, torch and gloo read, by release (names.json, written by tools/harvest/nccl);
* ``facts``: the part of an observation that counts; ``resolve``: what follows; ``text``: the file;
* ``measure``: a program that runs inside of an image; ``judging``: what it is told, and what follows from its answer.
"""

from __future__ import annotations

from .facts import Facts, facts_of, topology_key
from .judging import CONFIGURED, CONTROL, SIZES, arms, judge, script
from .names import OWNED, known, near, reader
from .resolve import Resolution, Setting, resolve
from .text import CONF, conf

__all__ = [
    "CONF",
    "CONFIGURED",
    "CONTROL",
    "OWNED",
    "SIZES",
    "Facts",
    "Resolution",
    "Setting",
    "arms",
    "conf",
    "facts_of",
    "judge",
    "known",
    "near",
    "reader",
    "resolve",
    "script",
    "topology_key",
]
