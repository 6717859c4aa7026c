# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

from __future__ import annotations


class ModuleDocFragment:
    # Options of a task that can write what it found out to a file on the target. The task says what mode is by default.
    DOCUMENTATION = r"""
options:
  dest:
    description: File on the target to write. Without it nothing is written.
    type: path
  owner:
    description: Owner of O(dest).
    type: str
  group:
    description: Group of O(dest).
    type: str
"""
