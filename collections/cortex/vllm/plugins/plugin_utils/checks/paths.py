# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Paths of the host that go into the container."""

from __future__ import annotations

from .context import Findings, Server


def check(server: Server) -> Findings:
    """A bind mount whose source is missing becomes an empty directory with ``-v`` (moby volume/mounts); vLLM then says
    ``Invalid repository ID or local directory``. So it must exist before."""
    wanted = [(f"mounts.{index}.source", mount.source) for index, mount in enumerate(server.spec.mounts)]
    wanted += [(f"devices.{index}", device) for index, device in enumerate(server.spec.devices)]
    for field, source in wanted:
        entry = server.observation.paths.get(source)
        if entry is None:
            continue
        if not entry.get("exists"):
            code, fix = "path.missing", "Create it, or correct the path (nothing is created for a typo)."
            if field.startswith("devices"):
                # The engine's own refusal ends in this code too.
                code, fix = "gpu.device", "Load the driver that makes it, or correct the path."
            yield server.finding(code, "error", f"{source} is not there", field, fix)
        elif entry.get("message"):
            yield server.finding(
                "path.unreadable",
                "error",
                f"{source} cannot be read: {entry['message']}",
                field,
                "Run with become, or correct its permissions.",
            )
