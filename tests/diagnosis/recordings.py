# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the recorded logs are, and what each of them is."""

from __future__ import annotations

import json
import pathlib
from typing import Any

HERE = pathlib.Path(__file__).parent
STANDIN = HERE.parent / "standin" / "package" / "vllm" / "standin" / "data"
PLACES = (HERE / "recorded", STANDIN / "recordings", STANDIN)
EXPECTED: dict[str, dict[str, Any]] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))


def path(name: str) -> pathlib.Path:
    """The one copy of a recorded log."""
    (found,) = [place / f"{name}.log" for place in PLACES if (place / f"{name}.log").exists()]
    return found


def lines(name: str) -> list[str]:
    return path(name).read_text(encoding="utf-8", errors="replace").split("\n")
