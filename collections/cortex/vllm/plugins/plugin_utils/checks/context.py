# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What a check may look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..findings import Finding
from ..observation import Observation


@dataclass(frozen=True)
class Host:
    """The host as a whole.

    :ivar specs: active declarations (nothing for absent and stopped ones)
    :ivar now: time on the controller, seconds since the epoch; None leaves the clock unchecked
    """

    observation: Observation
    specs: tuple[Any, ...]
    state_dir: str
    now: float | None = None


@dataclass(frozen=True)
class Server:
    """One active declaration on its host.

    :ivar image: entry of the image that would run; None when the host does not have it
    :ivar model: what the first look at the model's files said; None when it was not looked at
    :ivar gpus: UUIDs that were resolved
    :ivar assigned: UUIDs of every active declaration of the host, this one included
    """

    spec: Any
    observation: Observation
    siblings: tuple[Any, ...] = ()
    image: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    gpus: tuple[str, ...] = ()
    assigned: Mapping[str, tuple[str, ...]] | None = None

    def field(self, name: str) -> str:
        """Path of a field of this declaration, as the person wrote it (defaults have their own path)."""
        return str(self.spec.where(*(int(part) if part.isdigit() else part for part in name.split("."))))

    def finding(
        self,
        code: str,
        severity: Any,
        message: str,
        field: str | None = None,
        fix: str | None = None,
        origin: Any = None,
    ) -> Finding:
        """A finding about this server."""
        return Finding(
            code,
            severity,
            message,
            field=self.field(field) if field else None,
            fix=fix,
            server=self.spec.name,
            origin=origin,
        )


Findings = Iterator[Finding]


def gib(size: float) -> str:
    """Bytes as GiB, for a message."""
    return f"{size / (1 << 30):.1f} GiB"
