# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What a declaration may say: models, loading with precise errors, and a description of the fields."""

from __future__ import annotations

from .across import check
from .base import MOUNT_CACHE, MOUNT_FILES, MOUNT_HUB, MOUNT_STARTING, MOUNT_STATE, Declaration
from .collectives import Nccl
from .container import ContainerSpec
from .describe import fields
from .holds import Hold
from .loading import accepting, load, load_container, load_holds, load_nccl, merge
from .nodes import Node, Nodes
from .parts import Debug, Held, Mount, Port, Probe, Secrets, Ulimit
from .server import DEFAULT_HUB_CACHE, REQUEST_DEFAULTS, RESERVED_ARGUMENTS, ServerSpec, argument_name

__all__ = [
    "DEFAULT_HUB_CACHE",
    "MOUNT_CACHE",
    "MOUNT_FILES",
    "MOUNT_HUB",
    "MOUNT_STARTING",
    "MOUNT_STATE",
    "REQUEST_DEFAULTS",
    "RESERVED_ARGUMENTS",
    "ContainerSpec",
    "Debug",
    "Declaration",
    "Held",
    "Hold",
    "Mount",
    "Nccl",
    "Node",
    "Nodes",
    "Port",
    "Probe",
    "Secrets",
    "ServerSpec",
    "Ulimit",
    "accepting",
    "argument_name",
    "check",
    "fields",
    "load",
    "load_container",
    "load_holds",
    "load_nccl",
    "merge",
]
