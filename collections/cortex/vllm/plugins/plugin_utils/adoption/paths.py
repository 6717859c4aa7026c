# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Paths of a container as paths of its host."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any


class Mounts:
    """The mounts of a container. One that a field of the declaration stands for is used, and not declared again."""

    def __init__(self, inspect: Mapping[str, Any]) -> None:
        self._all: dict[str, Mapping[str, Any]] = {
            posixpath.normpath(str(item.get("Destination"))): item for item in inspect.get("Mounts") or ()
        }
        self._used: set[str] = set()

    def host(self, path: str) -> str | None:
        """The path on the host; None for what is not mounted from a directory there. The mount counts as used."""
        path = posixpath.normpath(path)
        for target in sorted(self._all, key=len, reverse=True):
            if path == target or path.startswith(target.rstrip("/") + "/"):
                item = self._all[target]
                if item.get("Type", "bind") != "bind":
                    return None
                self._used.add(target)
                return posixpath.normpath(f"{item.get('Source')}/{path[len(target) :]}")
        return None

    def use(self, path: str) -> None:
        """What is declared as a field of its own needs no mount."""
        self.host(path)

    def left(self, texts: Iterable[str]) -> list[str]:
        """The other mounts as a declaration writes them, and used ones too that an argument names a path of."""
        named = [posixpath.normpath(text) for text in texts if text.startswith("/")]
        found = []
        for target, item in sorted(self._all.items()):
            inside = any(text == target or text.startswith(target.rstrip("/") + "/") for text in named)
            if target in self._used and not inside:
                continue
            source = item.get("Name") if item.get("Type") == "volume" else item.get("Source")
            found.append(f"{source}:{target}" + (":rw" if item.get("RW") else ""))
        return found
