# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""When an option or a variable came to vLLM, and when it went: computed from the releases' own files.

``data/history.json`` is written by ``tools/harvest/harvest`` beside the releases, so that one small file answers what
would otherwise need all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .release import normalise
from .store import DATA, release, version_key, versions

#: From here on patch releases never changed the options, so that a change is known to its minor release.
_BY_MINOR = "0.14"


@dataclass(frozen=True)
class Lifetime:
    """Where something existed, over the catalogued releases.

    Attributes:
        first: Oldest catalogued release that has it.
        last: Newest catalogued release that has it.
        gone: First catalogued release without it after ``last``; ``None`` when the newest one has it.
        before: Newest catalogued release before ``first``; ``None`` when the oldest one has it.
    """

    first: str
    last: str
    gone: str | None
    before: str | None

    @property
    def appeared(self) -> str:
        """In which release it came, as exactly as the catalogue knows: ``0.18`` or ``0.8.3 (not yet in 0.8.0)``."""
        return _change(self.before, self.first, "not yet in")

    @property
    def removed(self) -> str:
        """In which release it went: ``0.18`` or ``0.8.3 (last seen in 0.8.0)``; empty while it is there."""
        return _change(self.last, self.gone, "last seen in") if self.gone else ""


def since(version: str) -> str:
    """A release as the point where something changed: ``0.18``, or ``0.8.3`` where patch releases changed things."""
    known = versions()
    place = known.index(version)
    return _change(known[place - 1], version, "").partition(" (")[0] if place else version


def _change(before: str | None, after: str, words: str) -> str:
    if before is None:
        return after
    short = ".".join(after.split(".")[:2])
    if version_key(after) >= version_key(_BY_MINOR) or version_key(after) == version_key(short):
        return short
    return f"{after} ({words} {before})"


def compute() -> dict[str, Any]:
    """The content of ``history.json``: runs of releases by name, and which options ever had another spelling."""
    runs: dict[str, dict[str, list[list[str]]]] = {"flags": {}, "environment": {}, "keys": {}}
    aliases: dict[str, str] = {}
    negations: dict[str, str] = {}
    previous: str | None = None
    for version in versions():
        one = release(version)
        if one is None:
            raise AssertionError(f"{version} is listed and has no data")
        keys = [f"{option}.{key}" for option, known in one.keys.items() for key in known.names]
        for kind, names in (("flags", one.flags), ("environment", one.environment), ("keys", keys)):
            for name in names:
                found = runs[kind].setdefault(name, [])
                if found and found[-1][1] == previous:
                    found[-1][1] = version
                else:
                    found.append([version, version])
        for flag in one.flags.values():
            for alias in flag.aliases:
                aliases[alias] = flag.name
            for spelling in (flag.negation, *flag.negations):
                if spelling is not None:
                    negations[spelling] = flag.name
        previous = version
    # 0.33 says --disable-log-requests for what is an option of its own before.
    turned = {spelling: name for spelling, name in negations.items() if spelling not in runs["flags"]}
    return {"schema": 1, "aliases": aliases, "negations": turned, **runs}


@lru_cache(maxsize=1)
def _history() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "history.json").read_text(encoding="utf-8"))
    return found


def _lifetime(runs: list[list[str]] | None) -> Lifetime | None:
    if not runs:
        return None
    known = versions()
    first, last = runs[0][0], runs[-1][1]
    after, before = known.index(last) + 1, known.index(first) - 1
    return Lifetime(first, last, known[after] if after < len(known) else None, known[before] if before >= 0 else None)


def flag_lifetime(spelling: str) -> Lifetime | None:
    """Where an option existed, or ``None`` when no catalogued release has it.

    Args:
        spelling: Its long name in any spelling, or an alias that some release had.
    """
    flags = _history()["flags"]
    return _lifetime(flags.get(normalise(spelling)) or flags.get(canonical(spelling) or ""))


def variable_lifetime(name: str) -> Lifetime | None:
    """Where ``vllm/envs.py`` registered a variable, or ``None`` when it never did."""
    return _lifetime(_history()["environment"].get(name))


def key_lifetime(option: str, key: str) -> Lifetime | None:
    """Where the JSON of an option had a key, or ``None`` when it never did.

    Args:
        option: Its name in Python's spelling, ``compilation_config``.
        key: Within another mapping dotted, ``pass_config.fuse_norm_quant``.
    """
    return _lifetime(_history().get("keys", {}).get(f"{option}.{key}"))


def canonical(spelling: str) -> str | None:
    """The option that some release calls so by an alias, by its long name; ``None`` when none does."""
    aliases = _history()["aliases"]
    found: str | None = aliases.get(normalise(spelling)) or aliases.get("-" + spelling.lstrip("-"))
    return found


def negated(spelling: str) -> str | None:
    """The option that some release turns off by this spelling, by its long name; ``None`` when none does."""
    found: str | None = _history()["negations"].get(normalise(spelling))
    return found


def ever() -> tuple[str, ...]:
    """Long names of all options that any catalogued release has."""
    return tuple(_history()["flags"])
