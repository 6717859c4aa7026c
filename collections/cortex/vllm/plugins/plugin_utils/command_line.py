# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Command lines as people compare them: option by option."""

from __future__ import annotations

from typing import Any


def options(argv: list[str]) -> dict[str, Any]:
    """Command line -> option: value(s). Which options take values is not known: words after one are taken for its."""
    found: dict[str, Any] = {}
    name, position = "", 0
    values: list[str] = []

    def keep() -> None:
        if name:
            value = values[0] if len(values) == 1 else (list(values) or True)
            found[name] = [*_as_list(found[name]), *_as_list(value)] if name in found else value

    for word in argv:
        if word.startswith("-") and len(word) > 1 and not word[1].isdigit() and word[1] != ".":
            keep()
            name, equals, value = word.partition("=")
            values = [value] if equals else []
        elif name:
            values.append(word)
        else:
            found[f"[{position}]"] = word
            position += 1
    keep()
    return found


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
