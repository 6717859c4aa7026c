# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The tables of ``checks/data``, read on first use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


@lru_cache(maxsize=None)
def table(name: str) -> Mapping[str, Any]:
    """One file: ``quantization``, ``releases`` or ``architectures``. Each row or column names its source in vLLM."""
    found: Mapping[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return found


def no_such_quantization(release: Any, method: str) -> tuple[str, str]:
    """Message and fix for a quantization method that a release does not register."""
    left = next((row for row in table("quantization")["left"] if row["method"] == method), None)
    gone = f": it left vLLM in {left['release']}" if left else ""
    fix = f"Use {left['instead']}." if left else f"vLLM {release.version} has {', '.join(release.quantization)}."
    return (
        f"vLLM {release.version} has no quantization method {method}{gone}",
        f"{fix} If a plugin in the image adds it, write accept: [model.quantization].",
    )


def facts(release: Any) -> Mapping[str, Any]:
    """What the source of a release says beside its command line; empty when it is not known."""
    found: Mapping[str, Any] = table("releases")["releases"].get(release.version, {}) if release is not None else {}
    return found
