# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Room on the disks that a converge writes to."""

from __future__ import annotations

from ..findings import Finding
from .context import Findings, Host, gib

#: Less than this and not even state files and logs fit; the numbers are ours.
FULL = 200 << 20
#: Less than this and the first compile cache or a log rotation fills it (a torch.compile cache takes 0.1 … 2 GB).
LOW = 5 << 30


def check(host: Host) -> Findings:
    """Source: moby writes layers and logs below its root; vLLM its compile cache below state_dir (VLLM_CACHE_ROOT)."""
    for path, room in (host.observation.host.get("disk") or {}).items():
        free = (room or {}).get("free")
        if free is None:
            continue
        purpose = "state_dir" if path == host.state_dir else "the engine's data"
        fix = f"Free space on the file system of {path}: old images (docker image ls), evidence, logs."
        if free < FULL:
            yield Finding("disk.full", "error", f"{path} ({purpose}) has {free >> 20} MiB left", fix=fix)
        elif free < LOW:
            yield Finding("disk.low", "warning", f"{path} ({purpose}) has {gib(free)} left", fix=fix)
