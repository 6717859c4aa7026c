# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Keys inside of JSON options in the words of the release that runs, as :mod:`translation` does it for the options.

Only where the catalogue knows the keys of both: the old one is not in this release and the new one is. What is left is
the lint's to tell (``linting/keys.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import catalog
from . import reshaping
from .reshaping import Item, Work
from .tables import rows


def settle(work: Work) -> None:
    """Bring the keys of every JSON option to the release, once all options are there."""
    for name, item in list(work.done.arguments.items()):
        flag = work.release.flag(name)
        known = work.release.keys.get(flag.dest) if flag is not None else None
        values = reshaping.mapping(item.value) if known is not None else None
        if flag is None or known is None or not values:
            continue
        fresh: dict[str, Any] = json.loads(json.dumps(values, default=str))
        if flag.dest == "speculative_config":  # 0.27 on takes hyphens too (vllm/engine/arg_utils.py)
            fresh = {key.replace("-", "_"): value for key, value in fresh.items()}
        for row in rows()["inner"]:
            if row["argument"] == flag.dest:
                for old, new, becomes in ((row["old"], row["new"], row.get("becomes")), *_back(row)):
                    _rename(work, item, known, fresh, old, new, becomes, row.get("same", ()))
        if fresh != values:
            work.done.arguments[name] = Item(fresh, item.declared)


def _back(row: Mapping[str, Any]) -> tuple[tuple[str, str, None], ...]:
    """The other direction, for a plain renaming."""
    return () if "becomes" in row else ((row["new"], row["old"], None),)


def _rename(
    work: Work, item: Item, known: catalog.Keys, values: dict[str, Any], old: str, new: str, becomes: Any, same: Any
) -> None:
    place, key = _at(values, old)
    if place is None or key not in place or old in known.names or new not in known.names:
        return
    value = place[key]
    if value in same:
        del place[key]
        work.dropped(item.declared, f"{old}: {reshaping.shown(value)} is what it does anyway")
        return
    if becomes is not None:
        if json.dumps(value) not in becomes:
            return
        value = becomes[json.dumps(value)]
    target, name = _at(values, new, make=True)
    if target is None or name in target:
        return
    del place[key]
    target[name] = value
    work.told(item.declared, f"{new}: {reshaping.shown(value)} (not {old})")


def _at(values: dict[str, Any], path: str, *, make: bool = False) -> tuple[dict[str, Any] | None, str]:
    """The mapping that holds a dotted key, and the key in it."""
    *outer, key = path.split(".")
    place: Any = values
    for part in outer:
        if not isinstance(place, dict):
            return None, key
        place = place.setdefault(part, {}) if make else place.get(part)
    return (place if isinstance(place, dict) else None), key
