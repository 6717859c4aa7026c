# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Which variables NCCL, torch and gloo really read."""

from __future__ import annotations

import difflib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Beginnings of names that nobody but these three reads.
OWNED = ("NCCL_", "TORCH_NCCL_", "TORCH_GLOO_", "GLOO_")


@lru_cache(maxsize=1)
def data() -> dict[str, Any]:
    """The harvested names."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))
    return found


def reader(name: str) -> str | None:
    """``NCCL``, ``torch`` or ``gloo``; None when none of them reads it."""
    if name in data()["nccl"]:
        return "NCCL"
    return next((kind for kind in ("torch", "gloo") if name in data()[kind]["names"]), None)


def known(name: str) -> bool:
    """Whether anything reads a variable whose name says that it belongs to one of them."""
    return reader(name) is not None


def near(name: str) -> str | None:
    """The name that was probably meant."""
    names = [*data()["nccl"], *data()["torch"]["names"], *data()["gloo"]["names"]]
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.8)), None)


def life(name: str) -> tuple[str, str | None]:
    """First and, if it is gone, last release of NCCL that reads a variable.

    :raises KeyError: for what is not NCCL's
    """
    first, *last = data()["nccl"][name]
    return first, (last[0] if last else None)
