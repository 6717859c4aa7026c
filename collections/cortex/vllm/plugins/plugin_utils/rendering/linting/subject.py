# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What a lint looks at: one declaration, the release that would run, its arguments in that release's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ... import catalog
from ...findings import Finding, Severity
from ...spec import ServerSpec

Findings = Iterator[Finding]


@dataclass(frozen=True)
class Subject:
    """One declaration for one release.

    :ivar values: its arguments by the release's names, as :class:`rendering.Arguments` has them
    :ivar origins: by the same names, how they were declared
    """

    spec: ServerSpec
    release: catalog.Release
    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """``vLLM 0.32.0``, for messages."""
        return f"vLLM {self.release.version}"

    def older(self, version: str) -> bool:
        """Whether the release is older than ``version``."""
        return catalog.version_key(self.release.version) < catalog.version_key(version)

    def value(self, name: str) -> Any:
        """Value of an argument by any of its spellings; None when it is not declared."""
        if name in self.values:
            return self.values[name]
        flag = self.release.flag(name)
        return self._by_flag.get(flag.name) if flag is not None else None

    @cached_property
    def _by_flag(self) -> dict[str, Any]:
        """Values by the long names of their flags: aliases and negative names are resolved once."""
        flags = ((self.release.flag(name), value) for name, value in self.values.items())
        return {flag.name: value for flag, value in flags if flag is not None}

    def inner(self, name: str) -> dict[str, Any]:
        """A JSON argument as a mapping; empty when it is not declared, or is something else."""
        value = self.value(name)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return {}
        return dict(value) if isinstance(value, Mapping) else {}

    def finding(
        self, code: str, severity: Severity, message: str, fix: str | None, *location: Any, shown: bool = True
    ) -> Finding:
        """A finding about a place in the declaration; ``shown`` is false where the value there may be a secret."""
        origin = self.spec.origin(*location) if shown else None
        return Finding(
            code, severity, message, field=self.spec.where(*location), fix=fix, server=self.spec.name, origin=origin
        )

    def about(self, code: str, severity: Severity, message: str, fix: str | None, name: str) -> Finding:
        """A finding about an argument of the release, at the name under which it was declared."""
        return self.finding(code, severity, message, fix, "engine_args", self.declared(name))

    def declared(self, name: str) -> str:
        """The name under which an argument of the release was declared."""
        if name in self.origins or (flag := self.release.flag(name)) is None:
            return self.origins.get(name, name)
        same = (other for other in self.origins if (found := self.release.flag(other)) and found.name == flag.name)
        return self.origins.get(next(same, name), name)
