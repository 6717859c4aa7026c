# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Declaration and release in, container out: arguments, environment, launcher, health check, create body."""

from __future__ import annotations

from .ahead import ahead
from .arguments import CONTAINER_PORT, Arguments, arguments, takes_model_as_option
from .body import LABEL_GENERATION, LABEL_KIND, LABEL_SERVER, Rendered, container_name
from .generation import digests, generation_of
from .images import ImageFacts, exact, image_facts, release_findings, release_for
from .mounts import cache_directory, model_source
from .render import expected_load, probe, render, render_container, start_timeout

__all__ = [
    "CONTAINER_PORT",
    "LABEL_GENERATION",
    "LABEL_KIND",
    "LABEL_SERVER",
    "Arguments",
    "ImageFacts",
    "Rendered",
    "ahead",
    "arguments",
    "cache_directory",
    "container_name",
    "digests",
    "exact",
    "expected_load",
    "generation_of",
    "image_facts",
    "model_source",
    "probe",
    "release_findings",
    "release_for",
    "render",
    "render_container",
    "start_timeout",
    "takes_model_as_option",
]
