# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What makes a container ours, and what it tells about itself."""

from __future__ import annotations

from ansible_collections.cortex.vllm.plugins.module_utils import files

# Set by the controller's renderer; its value is the name of the server.
LABEL = "cortex.vllm.server"
# Where a container sees the directory of its generation.
MOUNT = "/run/cortex-vllm"


def label_of(inspect):
    """The server a container belongs to, or None when it is not ours."""
    return ((inspect.get("Config") or {}).get("Labels") or {}).get(LABEL)


def running(inspect):
    """Whether a container runs; one between two restarts does not."""
    state = (inspect or {}).get("State") or {}
    return bool(state.get("Running")) and not state.get("Restarting")


def generation_dir(inspect):
    """The directory on the host that a container sees as /run/cortex-vllm, or None."""
    for mount in (inspect or {}).get("Mounts") or []:
        if mount.get("Destination") == MOUNT:
            return mount.get("Source")
    return None


def api_key(inspect, probe):
    """The API key of a container, from the secret file of its own generation."""
    name = (probe or {}).get("api_key")
    return files.secret(generation_dir(inspect), name) if name else None
