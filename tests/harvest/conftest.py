# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "harvest"
MODULES = ("cli", "compare", "environment_variables", "fetch", "flags", "image", "page", "routes", "stubs", "write")


@pytest.fixture(scope="session")
def harvester():
    """The tool's modules; it is a program, not a package that is installed."""
    sys.path.insert(0, str(TOOL))
    try:
        return SimpleNamespace(**{name: importlib.import_module(f"harvester.{name}") for name in MODULES})
    finally:
        sys.path.remove(str(TOOL))
