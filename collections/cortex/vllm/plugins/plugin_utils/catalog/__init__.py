# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""What each vLLM release accepts: one data file a release, made from the released source.

The files in ``data/`` are written by ``tools/harvest/harvest`` from vLLM's own argument parser; nothing in them is
typed by hand. A release is read only when it is asked for (about 1 ms) and then kept for the life of the process.

    >>> release("0.32.0").flag("max_model_len").name
    '--max-model-len'
    >>> nearest("0.14.0")[0].version
    '0.14.1'
"""

from __future__ import annotations

from .history import Lifetime, canonical, ever, flag_lifetime, key_lifetime, negated, since, variable_lifetime
from .release import Endpoint, Flag, Keys, Release, Variable, normalise
from .store import asked, harvested, help_text, nearest, release, version_key, versions

__all__ = [
    "Endpoint",
    "Flag",
    "Keys",
    "Lifetime",
    "Release",
    "Variable",
    "asked",
    "canonical",
    "ever",
    "flag_lifetime",
    "harvested",
    "help_text",
    "key_lifetime",
    "nearest",
    "negated",
    "normalise",
    "release",
    "since",
    "variable_lifetime",
    "version_key",
    "versions",
]
