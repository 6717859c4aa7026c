# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Checks: pure functions from what is declared and what was observed to findings, one file for each concern.

``HOST`` run once for a host, ``SERVER`` once for each active declaration. A new check is a new function in its
concern's file and a line here. Nothing is done here: whether a finding refuses a change is the planner's business.
"""

from __future__ import annotations

from collections.abc import Callable

from ..findings import Finding
from . import (
    clock,
    cuda,
    disk,
    engine,
    gguf,
    gpus,
    host_driver,
    host_gpus,
    host_toolkit,
    image,
    memory,
    model,
    packages,
    parallel,
    paths,
    ports,
    quantization,
    refused,
    support,
)
from .context import Findings, Host, Server

HOST: tuple[Callable[[Host], Findings], ...] = (
    engine.check,
    disk.check,
    clock.check,
    host_driver.check,
    host_gpus.check,
    host_toolkit.check,
)
SERVER: tuple[Callable[[Server], Findings], ...] = (
    image.check,
    model.check,
    gguf.check,
    paths.check,
    refused.check,
    gpus.check,
    cuda.check,
    parallel.check,
    quantization.check,
    support.check,
    packages.check,
    memory.check,
)


def host_findings(host: Host) -> list[Finding]:
    """Everything there is to say about the host itself."""
    return [finding for check in HOST for finding in check(host)]


def server_findings(server: Server) -> list[Finding]:
    """Everything there is to say about one declaration on its host."""
    return [finding for check in SERVER for finding in check(server)]


__all__ = ["HOST", "SERVER", "Host", "Server", "host_findings", "ports", "server_findings"]
