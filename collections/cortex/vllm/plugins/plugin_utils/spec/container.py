# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""A container with somebody's own image and arguments: no model, no catalogue, no request to prove it."""

from __future__ import annotations

from .._pydantic import Field
from .base import Declaration, Texts
from .parts import Port


class ContainerSpec(Declaration):
    """What the task ``cortex.vllm.container`` may say."""

    command: Texts | None = Field(default=None, description="Arguments. Default: the image's.")
    entrypoint: Texts | None = Field(default=None, description="Program to run. Default: the image's.")
    ports: list[Port] = Field(
        default=[],
        description="Ports to publish, as a number, C([address:][port:]container_port[/udp]) or a mapping. The "
        "address is 127.0.0.1 unless another is written.",
    )

    @property
    def kind(self) -> str:
        """Value of the label that tells containers from servers."""
        return "container"

    def published(self) -> list[tuple[str, int]]:
        """Address and port of everything that the host publishes."""
        return [(port.address, port.port) for port in self.ports]
