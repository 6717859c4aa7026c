# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Values that every parser takes, and vLLM's configuration refuses after it: numbers out of range, names of nothing.

The ranges are rows of ``translations.json``, each with its source.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ...catalog.parsing import human_int
from ..tables import rows
from .engine import generation
from .subject import Findings, Subject

#: vllm/config/parallel.py 0.10.2 on; before, the parser has them as choices. A class is named by its path.
EXECUTORS = ("ray", "mp", "uni", "external_launcher")
#: What may be said of a draft in two places (0.22 vllm/engine/arg_utils.py, create_speculative_config).
_SHORT = (("spec_method", "method"), ("spec_model", "model"), ("spec_tokens", "num_speculative_tokens"))


def check(subject: Subject) -> Findings:
    yield from _ranges(subject)
    yield from _executor(subject)
    yield from _twice(subject)
    yield from _ignored(subject)


def number(value: Any) -> float | None:
    """A declared number, also as text; None when it is none, or a word such as ``auto``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value) if isinstance(value, (int, float)) else float(human_int(value))
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.inf if isinstance(value, int) else None


def _ranges(subject: Subject) -> Findings:
    for row in rows()["ranges"]:
        name = row["argument"]
        if name not in subject.origins or subject.release.flag(name) is None:
            continue
        if ("from" in row and subject.older(row["from"])) or ("until" in row and not subject.older(row["until"])):
            continue
        value = number(subject.value(name))
        if value is None or value in row.get("also", ()):
            continue
        least, most = row.get("min", -math.inf), row.get("max", math.inf)
        above = value > least if row.get("above") else value >= least
        if not above or value > most or math.isinf(value):
            shown = json.dumps(subject.value(name), default=str)[:60]
            span = f"more than {least}" if row.get("above") else f"at least {least}"
            span = f"at most {most}" if value > most else span
            text = f"{shown} is out of range: {subject.version} takes {span}"
            yield subject.about("argument.invalid", "error", text, row["fix"], name)


def _executor(subject: Subject) -> Findings:
    name = "distributed_executor_backend"
    value, flag = subject.value(name), subject.release.flag(name)
    if not isinstance(value, str) or flag is None or flag.choices or "." in value or value in EXECUTORS:
        return
    text = f"{subject.version} has no executor {value[:60]!r}: it ends with Unknown distributed executor backend"
    yield subject.about(
        "argument.invalid", "error", text, f"Write one of {', '.join(EXECUTORS)}, or the path of a class", name
    )


def _twice(subject: Subject) -> Findings:
    inner = subject.inner("speculative_config")
    for option, key in _SHORT:
        if subject.value(option) is not None and key in inner:
            text = f"says the same as speculative_config.{key}: {subject.version} ends when both are given"
            yield subject.about("argument.twice", "error", text, "Write one of them", option)


def _ignored(subject: Subject) -> Findings:
    """0.8.0 to 0.17.1: V1 has no swapping, and checks the size all the same (vllm/config/cache.py)."""
    swap = number(subject.value("swap_space"))
    if swap and generation(subject) == "v1":
        text = f"the V1 engine of {subject.version} ignores it; too large a value still ends the start"
        yield subject.about("release.engine", "warning", text, "Delete it, or write swap_space: 0", "swap_space")
