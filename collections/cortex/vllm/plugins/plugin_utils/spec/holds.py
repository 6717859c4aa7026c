# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Holds of a whole host, or of some of its GPUs: what must be left alone there, whichever server it belongs to."""

from __future__ import annotations

from .._pydantic import Field, field_validator
from .base import Gpus
from .parts import Held
from .values import Problem


class Hold(Held):
    """A host, or some of its GPUs, left alone; one entry of ``vllm_holds``."""

    gpus: Gpus | None = Field(
        default=None,
        description="Indexes or UUIDs of the GPUs that are held. Default: the whole host.",
        json_schema_extra={"ansible": "raw"},
    )

    @field_validator("gpus")
    @classmethod
    def _named(cls, value: Gpus | None) -> Gpus | None:
        if value is not None and value.kind in ("count", "none"):
            raise Problem("does not say which GPUs", "Write indexes or UUIDs, or leave gpus out to hold the host")
        return value
