# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Containers that somebody else started, as declarations that a converge takes over without a restart.

``command``: the command line of a container; ``declaring``: everything else; ``takeover``: what the host is told.
"""

from __future__ import annotations

from .declaring import Adoption, declare
from .takeover import order

__all__ = ["Adoption", "declare", "order"]
