# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Models that span hosts: one declaration, of which each host is one rank.

* ``expand``: the declarations of a group of hosts as one host has to see them (its rank, everybody's address);
* ``divide``: which part of the parallel sizes is a host's, and what vLLM or Ray has to be told.
"""

from __future__ import annotations

from .divide import Division, Share, backend, divide, key, key_of, peers, port, serves, share
from .expand import expand, literal

__all__ = [
    "Division",
    "Share",
    "backend",
    "divide",
    "expand",
    "key",
    "key_of",
    "literal",
    "peers",
    "port",
    "serves",
    "share",
]
