# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Arguments written for any release, in the words of the one that runs.

The rows stand in ``translations.json``, each with the vLLM source that it comes from; when an option came and went is
the catalogue's to say. Where nothing does the same, the finding names the release and what to use instead: an argument
is never dropped for looking unimportant, only where leaving it out means the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .. import catalog
from ..findings import Severity
from . import inner, reshaping
from .reshaping import Item, before
from .tables import has, rows, table

#: ``-O3``, and ``O: 3``.
_LEVEL = re.compile(r"O([0-3])?")


@dataclass(frozen=True)
class Note:
    """Something to tell about one declared argument.

    :ivar declared: the argument as it was declared
    """

    declared: str
    severity: Severity
    code: str
    message: str
    fix: str | None = None


@dataclass
class Translated:
    """A declaration's arguments in the words of a release.

    :ivar arguments: name to value, with the name that was declared
    :ivar environment: variables that say it where the release has no option for it
    """

    arguments: dict[str, Item] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def translate(arguments: Mapping[str, Any], release: catalog.Release) -> Translated:
    """Bring arguments to ``release``.

    What the release knows stays as it is; the rest is renamed, reshaped, moved to a variable or left out, or is noted
    as an error. Arguments with an error are not among the result.

    :param arguments: by vLLM's names, with underscores
    """
    work = _Translation(release)
    pending: list[tuple[str, Any]] = []
    for name, value in arguments.items():
        if release.flag(name) is not None and not _dead(release, name) and not _LEVEL.fullmatch(name):
            if not reshaping.reshaped(work, name, value):
                work.keep(name, value)
        else:
            pending.append((name, value))
    for name, value in sorted(pending):
        work.move(name, value)
    reshaping.settle(work, arguments)
    inner.settle(work)
    return work.done


def _dead(release: catalog.Release, name: str) -> bool:
    """Whether the release takes the name and does nothing with it."""
    flag = release.flag(name)
    row = table("renames", "old").get(flag.dest) if flag is not None else None
    if flag is None or row is None or "dead" not in row or before(release, row["dead"]):
        return False
    return name == flag.dest or catalog.negated(name) == flag.name


class _Translation:
    """One translation under way."""

    def __init__(self, release: catalog.Release) -> None:
        self.release = release
        self.done = Translated()

    def keep(self, name: str, value: Any) -> None:
        self.done.arguments[name] = Item(value, name)

    def note(self, declared: str, severity: Severity, code: str, message: str, fix: str | None = None) -> None:
        self.done.notes.append(Note(declared, severity, code, message, fix))

    def put(self, name: str, value: Any, declared: str, *, silent: bool = False) -> None:
        """Set an argument instead of the declared one."""
        other = self.done.arguments.get(name)
        if other is not None:
            if other.value != value:
                self.twice(declared, other.declared)
            return
        self.done.arguments[name] = Item(value, declared)
        if not silent:
            self.told(declared, f"{name}: {reshaping.shown(value)}")

    def merge(self, name: str, keys: Mapping[str, Any], declared: str) -> None:
        """Set keys of a JSON argument instead of the declared one."""
        item = self.done.arguments.get(name)
        place = reshaping.mapping(item.value) if item is not None else {}
        if place is None or any(key in place and place[key] != value for key, value in keys.items()):
            self.twice(declared, item.declared if item is not None else name)
            return
        self.done.arguments[name] = Item({**place, **keys}, item.declared if item is not None else declared)
        self.told(declared, f"{name}: {reshaping.shown(dict(keys))}")

    def told(self, declared: str, rendered: str) -> None:
        self.note(declared, "info", "argument.translated", f"vLLM {self.release.version} calls it {rendered}")

    def dropped(self, declared: str, why: str) -> None:
        self.note(declared, "info", "argument.translated", f"left out for vLLM {self.release.version}: {why}")

    def twice(self, declared: str, other: str) -> None:
        message = f"says the same as {other} in vLLM {self.release.version}, with another value"
        self.note(declared, "error", "argument.twice", message, "Write one of them")

    def move(self, name: str, value: Any) -> None:
        """Find the words for an argument that the release does not have, by the first table that knows it."""
        attempts = (
            self._negated, self._level, self._renamed, self._valued, self._variable, self._keyed, self._aliased,
        )  # fmt: skip
        for attempt in attempts:
            if attempt(name, value):
                return
        if reshaping.reshape(self, name, value) or self._same(name, value):
            return
        self.refuse(name)

    def refuse(self, name: str) -> None:
        """Note why there are no words for it."""
        for code, message, fix in _reasons(self.release, name):
            self.note(name, "error", code, message, fix)
            return
        # Somebody who knows the release says the rest: names that look alike.
        self.note(name, "error", "argument.unknown", "", None)

    def _negated(self, name: str, value: Any) -> bool:
        """A spelling by which other releases turn an option off."""
        long = catalog.negated(name)
        if long is None:
            return False
        option, turned = long.removeprefix("--").replace("-", "_"), reshaping.boolean(value)
        if turned is None:
            text = f"is a switch (vLLM {self.release.version})"
            self.note(name, "error", "argument.value", text, "Write true or false")
        elif self.release.flag(option) is not None and not _dead(self.release, option):
            self.put(option, not turned, name)
        else:
            known, place = set(self.done.arguments), len(self.done.notes)
            self.move(option, not turned)
            self.done.notes[place:] = [replace(note, declared=name) for note in self.done.notes[place:]]
            for new in set(self.done.arguments) - known:
                self.done.arguments[new] = Item(self.done.arguments[new].value, name)
        return True

    def _level(self, name: str, value: Any) -> bool:
        """``-O3`` is a level of its own from 0.12 on, and was one of compilation before (FlexibleArgumentParser)."""
        match = _LEVEL.fullmatch(name)
        if match is None or (match[1] and value is not True):
            return False
        if reshaping.mapping(value) is not None:  # -O '{…}' of 0.6.6 to 0.11
            self.put("compilation_config", value, name)
            return True
        new = next((new for new in ("optimization_level", "compilation_config") if self.release.flag(new)), None)
        if new is None:
            return False
        level = match[1] or value
        self.put(new, int(level) if str(level).isdigit() else level, name)
        return True

    def _renamed(self, name: str, value: Any) -> bool:
        for row in rows()["renames"]:
            pairs = [(row["old"], row["new"]), (row["new"], row["old"])]
            for old, new in pairs:
                if name == old and self.release.flag(new) is not None and not _dead(self.release, new):
                    turned = reshaping.boolean(value) if row.get("negated") else None
                    self.put(new, value if turned is None else not turned, name)
                    return True
        return False

    def _valued(self, name: str, value: Any) -> bool:
        """A switch that became one value of another option, or the other way round."""
        for row in rows()["values"]:
            if name == row["old"] and reshaping.boolean(value) is row["when"] and self.release.flag(row["new"]):
                self.put(row["new"], row["becomes"], name)
                return True
            if name == row["new"] and value == row["becomes"] and self.release.flag(row["old"]):
                self.put(row["old"], row["when"], name)
                return True
        return False

    def _variable(self, name: str, value: Any) -> bool:
        row = table("variables").get(name)
        if row is None or row["variable"] not in self.release.environment:
            return False
        if str(value).lower() == row.get("unset"):
            self.dropped(name, "it decides by itself unless told")
        else:
            value = reshaping.backend_of(self.release, value) if name == "attention_backend" else value
            text = str(value).upper() if row.get("upper") else str(value)
            self.done.environment[row["variable"]] = text
            self.told(name, f"the environment variable {row['variable']}={text}")
        return True

    def _keyed(self, name: str, value: Any) -> bool:
        """An option that became a key of a JSON option."""
        row = table("keys").get(name)
        if row is None or self.release.flag(row["into"]) is None:
            return False
        if "until" in row and not before(self.release, row["until"]):
            return False
        keys = reshaping.special_key(name, value) or {row["key"]: value}
        keys = reshaping.without_fallback(self.release, keys, self.release.keys.get(row["into"]))
        self.merge(row["into"], keys, name)
        return True

    def _aliased(self, name: str, value: Any) -> bool:
        """An alias that only other releases have."""
        long = catalog.canonical(name)
        if long is None or self.release.flag(long) is None:
            return False
        self.put(long.removeprefix("--").replace("-", "_"), value, name)
        return True

    def _same(self, name: str, value: Any) -> bool:
        """Whether leaving it out means the same."""
        row = table("gone").get(name)
        if row is not None and any(reshaping.equal(value, same) for same in row.get("same", ())):
            self.dropped(name, f"{reshaping.shown(value)} is what it does anyway")
            return True
        life = catalog.flag_lifetime(name)
        if life is None or reshaping.boolean(value) is not False:
            return False
        there = catalog.release(life.last if life.gone else life.first)
        flag = there.flag(name) if there is not None else None
        if flag is None or not flag.is_boolean or flag.default is not False or there is None or there.is_negative(name):
            return False
        self.dropped(name, "it has no such switch, and false turned it off")
        return True


def _reasons(release: catalog.Release, name: str) -> Iterator[tuple[str, str, str]]:
    """Code, message and fix for an argument that the release does not have; the first one counts."""
    if name in table("never"):
        yield "argument.removed", "no release of vLLM has this argument", table("never")[name]["fix"]
    renamed = {row["old"]: row["new"] for row in rows()["renames"]}.get(name)
    level = "compilation_config" if _LEVEL.fullmatch(name) else None
    life = catalog.flag_lifetime(name) or catalog.flag_lifetime(renamed or level or name)
    if life is not None and life.gone and not before(release, life.gone):
        fix = table("gone").get(name, {}).get("fix") or _into(release, name) or "Delete it"
        yield "argument.removed", f"removed in vLLM {life.removed} {has(release.version)}", fix
    request = table("requests", "field").get(name)
    if request is not None:
        where = request.get("default")
        fix = f"Write request_defaults: {{{where}: …}}" if where else request.get("fix", "Send it with each request")
        yield "argument.request", "belongs to requests, not to the server", fix
    if life is not None and before(release, life.first):
        fix = table("newer").get(renamed or name, {}).get("fix") or "Delete it, or use a newer image"
        yield "argument.newer", f"appeared in vLLM {life.appeared} {has(release.version)}", fix
    if life is not None:
        text = f"vLLM {release.version} does not have it: releases {life.first} to {life.last} do, with gaps"
        yield "argument.removed", text, table("gone").get(name, {}).get("fix") or "Delete it"


def _into(release: catalog.Release, name: str) -> str | None:
    row = table("keys").get(name)
    if row is None or release.flag(row["into"]) is None:
        return None
    if "until" in row and not before(release, row["until"]):
        return f"Delete it: {row['into']} lost {row['key']} too, in {row['until']}"
    return f"Write {row['into']}: {{{row['key']}: …}}"


def instead(release: catalog.Release, name: str) -> str | None:
    """What to write for an argument that the release still has and warns about; None when nothing is known."""
    new = {row["old"]: row["new"] for row in rows()["renames"]}.get(name)
    if new is not None and release.flag(new) is not None:
        return f"Write {new}"
    for row in rows()["values"]:
        if row["old"] == name and release.flag(row["new"]) is not None:
            return f"Write {row['new']}: {reshaping.shown(row['becomes'])}"
    found: str | None = _into(release, name) or table("gone").get(name, {}).get("fix")
    return found
