# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a Hugging Face cache with a small model in it. ``python3 make_cache.py DIRECTORY``"""

from __future__ import annotations

import importlib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "engine"), str(ROOT / "tests" / "lib")]

sites = importlib.import_module("sites")
sites.write_cache(sys.argv[1], "org/tiny", sites.model_files(size=3_000_000))
