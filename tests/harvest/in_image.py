# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a vLLM image: describes the parser of the installed vLLM, nothing replaced, and prints it as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, "/repository/tools/harvest")
sys.argv = ["vllm", "--help"]  # keeps the help texts

import vllm
from harvester import flags, parsers

tree = Path(vllm.__file__).parent.parent
base, serve, notes = parsers.build_parsers(tree)
print("\nANSWER" + json.dumps({"flags": flags.describe(base), "serve": flags.describe(serve), "notes": notes}))
