# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What can be said about a declaration with nothing but the release at hand: no host, no model.

Each file has one concern and one ``check``; :func:`lint` asks them all. Their rules come from vLLM's sources, which
they name.
"""

from __future__ import annotations

from collections.abc import Callable

from ...findings import Finding
from . import abilities, engine, keys, speculation, values, variables
from .engine import environment
from .subject import Findings, Subject

CHECKS: tuple[Callable[[Subject], Findings], ...] = (
    engine.check,
    variables.check,
    speculation.check,
    abilities.check,
    keys.check,
    values.check,
)


def lint(subject: Subject) -> list[Finding]:
    """Everything there is to say, in the order of the concerns."""
    return [finding for check in CHECKS for finding in check(subject)]


__all__ = ["CHECKS", "Subject", "environment", "lint"]
