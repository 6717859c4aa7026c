# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What a check may look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .. import rendering
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
    :ivar release: catalogued release of vLLM in the image, or the nearest one; None when nothing says which it is
    :ivar exact: ``release`` is the image's own, so that what it lacks is certain
    """

    spec: Any
    observation: Observation
    siblings: tuple[Any, ...] = ()
    image: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    gpus: tuple[str, ...] = ()
    assigned: Mapping[str, tuple[str, ...]] | None = None
    release: Any = None
    exact: bool = False

    @cached_property
    def arguments(self) -> dict[str, tuple[str, Any]]:
        """``engine_args`` by vLLM's own name: (name as written, value)."""
        found: dict[str, tuple[str, Any]] = {}
        for written, value in (getattr(self.spec, "engine_args", None) or {}).items():
            flag = self.release.flag(written) if self.release is not None else None
            name = str(written).lstrip("-").replace("-", "_")
            found[flag.dest if flag is not None else SHORT.get(name, name)] = (written, value)
        return found

    def argument(self, name: str, default: Any = None) -> Any:
        """The declared value of an engine argument, in whatever spelling it was written."""
        value = self.arguments.get(name, (name, None))[1]
        return default if value is None else value

    def number(self, name: str, default: int) -> int:
        """A whole number among the engine arguments; ``default`` for what is none (rendering tells that)."""
        try:
            return int(self.argument(name, default))
        except (TypeError, ValueError):
            return default

    @property
    def devices(self) -> list[Mapping[str, Any]]:
        """The GPUs that were resolved, as the driver describes them (a MIG device by the GPU that it is part of)."""
        found = []
        for uuid in self.gpus:
            for device in self.observation.devices:
                parts = [part.get("uuid") for part in device.get("mig") or ()]
                if device.get("uuid") == uuid or uuid in parts:
                    found.append(device)
        return found

    @property
    def capability(self) -> tuple[int, int] | None:
        """Compute capability of the oldest of its GPUs; None when one of them does not tell."""
        told = [_capability(device.get("compute_capability")) for device in self.devices]
        return None if not told or None in told else min(item for item in told if item)

    @property
    def user(self) -> tuple[int, int] | None:
        """Number and group of the container's user; None when the image names one that nobody outside can resolve."""
        declared = self.spec.uid_gid
        if declared is not None or self.image is None:
            return declared
        return rendering.image_facts(str(self.spec.image), self.image).uid_gid()

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

#: Short spellings, for when no release says what they mean.
SHORT = {
    "tp": "tensor_parallel_size",
    "pp": "pipeline_parallel_size",
    "dp": "data_parallel_size",
    "dpl": "data_parallel_size_local",
    "q": "quantization",
}


def _capability(text: Any) -> tuple[int, int] | None:
    """``"8.9"`` as (8, 9)."""
    major, dummy, minor = str(text or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def gib(size: float) -> str:
    """Bytes as GiB, for a message."""
    return f"{size / (1 << 30):.1f} GiB"
