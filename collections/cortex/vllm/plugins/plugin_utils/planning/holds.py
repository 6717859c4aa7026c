# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What is held on a host: GPUs that nobody may take, and servers that are left alone because of where they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from .. import gpu_selection
from ..findings import Finding, FindingsError
from ..observation import Observation


@dataclasses.dataclass
class Holds:
    """The holds that are in force.

    :ivar host: the hold of the whole host, with the path of its field
    :ivar gpus: the hold of each held GPU by UUID, with the path of its field
    """

    host: tuple[Any, str] | None = None
    gpus: dict[str, tuple[Any, str]] = dataclasses.field(default_factory=dict)
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def on(self, uuids: Iterable[str]) -> tuple[Any, str, str] | None:
        """The hold that a server with these GPUs is under: ``(hold, its field, what is held)``."""
        if self.host is not None:
            return (*self.host, "the host is held")
        for uuid in sorted(uuids):
            if uuid in self.gpus:
                return (*self.gpus[uuid], f"GPU {uuid} is held")
        return None


def in_force(written: Iterable[Any], observation: Observation, *, root: str = "vllm_holds") -> Holds:
    """Sort out the holds of a host: those that are over are told, those of GPUs are resolved to UUIDs.

    A GPU that is not there (any more) needs no hold, and is only told.
    """
    result, now = Holds(), observation.host.get("time")
    for index, hold in enumerate(written):
        field = f"{root}[{index}]"
        if now is not None and hold.over(now):
            text = f"the hold ended at {hold.until}; what it held is converged again"
            result.findings.append(Finding("server.hold-over", "warning", text, field=field, fix="Delete it."))
        elif hold.gpus is None:
            result.host = result.host or (hold, field)
        else:
            try:
                uuids = gpu_selection.resolve(hold.gpus, observation.devices, field=f"{field}.gpus")
            except FindingsError as error:
                result.findings += [dataclasses.replace(item, severity="warning") for item in error.findings]
                continue
            for uuid in uuids:
                result.gpus.setdefault(uuid, (hold, field))
    return result
