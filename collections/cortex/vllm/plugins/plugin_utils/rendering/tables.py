# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The tables of ``translations.json``: what a name became, each row with the vLLM source that says so."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any


@lru_cache(maxsize=1)
def rows() -> dict[str, list[dict[str, Any]]]:
    """All tables, by name."""
    found: dict[str, list[dict[str, Any]]] = json.loads(
        Path(__file__).with_name("translations.json").read_text(encoding="utf-8")
    )
    return found


def has(version: str) -> str:
    """Which release a message is about, said the same way everywhere, so that ``ahead`` can leave it out."""
    return f"(the image has {version})"


@lru_cache(maxsize=None)
def table(name: str, key: str = "argument") -> dict[str, dict[str, Any]]:
    """One table, by one of its columns."""
    return {row[key]: row for row in rows()[name]}
