# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

from __future__ import annotations


class ModuleDocFragment:
    # The option of every task that reads or keeps something of the collection on the target.
    DOCUMENTATION = r"""
options:
  state_dir:
    description: Directory on the target for what the collection keeps there. It belongs to root.
    type: path
    default: /var/lib/cortex-vllm
"""
