# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""A model that spans hosts, as somebody declares it (``nodes``), and what each host is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .._pydantic import Field, field_validator, model_validator
from .parts import Part
from .values import Address, Integer, Problem, Text

#: Arguments that ``nodes`` decides for each host.
DECIDED = (
    "nnodes", "node_rank", "master_addr", "master_port", "headless", "data_parallel_address", "data_parallel_rpc_port",
    "data_parallel_start_rank", "data_parallel_size_local", "data_parallel_rank", "data_parallel_hybrid_lb",
    "data_parallel_external_lb", "n", "r", "dpl", "dpa", "dpp", "dpr", "dpn", "dph", "dpe",
)  # fmt: skip
#: Ports that are taken from ``port`` on: each declaration has one of them, so that ranks of two never meet.
PORTS = 400


class Node(Part):
    """One host of a model that spans hosts."""

    host: Text = Field(description="Name of the host in the inventory.")
    address: Address | None = Field(
        default=None,
        description="Where the other hosts reach it. Default: its C(vllm_address), else its C(ansible_host).",
    )


class Nodes(Part):
    """Hosts that one model spans, in the order of their ranks."""

    hosts: list[Node] = Field(description="Hosts of the inventory; the first one is the head, which clients ask.")
    rank: Integer | None = Field(
        default=None, ge=0, description="Place of this host among them. Decided by the play from the host's name."
    )
    balancing: Literal["internal", "hybrid", "external"] = Field(
        default="internal",
        description="Who spreads requests over data parallel ranks: V(internal) the head, V(hybrid) somebody else over "
        "the hosts and each host over its own, V(external) somebody else over all.",
    )
    backend: Literal["auto", "native", "ray"] = Field(
        default="auto",
        description="How the hosts work together: vLLM's own way (0.11.1 and newer), or a Ray cluster that is started "
        "from the same image. V(auto) takes vLLM's own where the release has it.",
    )
    port: Integer = Field(
        default=29500,
        ge=1024,
        le=65535 - PORTS,
        description=f"First of {PORTS} ports, of which each declaration has one.",
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"hosts": value} if isinstance(value, (list, tuple)) else value

    @field_validator("hosts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return [item if isinstance(item, Mapping) else {"host": item} for item in value]

    @model_validator(mode="after")
    def _fits_together(self) -> Nodes:
        names = [node.host for node in self.hosts]
        if len(names) < 2:
            raise Problem("names one host", "Name two and more, or delete nodes", at=("hosts",))
        for index, name in enumerate(names):
            if name in names[:index]:
                raise Problem(f"{name} is named twice", "Name each host once", at=("hosts", index))
        if self.rank is not None and self.rank >= len(names):
            raise Problem(f"is no place among {len(names)} hosts", "Delete it: the play knows it", at=("rank",))
        return self

    @property
    def place(self) -> int:
        """The rank, 0 where nobody said it (rendering without a host)."""
        return self.rank or 0

    @property
    def own(self) -> Node:
        return self.hosts[self.place]

    @property
    def head(self) -> Node:
        return self.hosts[0]

    @property
    def names(self) -> list[str]:
        """Hosts in the order of their ranks."""
        return [node.host for node in self.hosts]
