# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What the host notes about a container that becomes a server of ours."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from .. import catalog, rendering
from ..containers import container_name
from .declaring import Adoption


def order(adoption: Adoption, entry: Mapping[str, Any], collection_version: str) -> dict[str, Any]:
    """One entry of ``take`` of the step ``adopt``. Digests of secrets are made on the host.

    :param entry: the container as the step ``strangers`` told it
    """
    spec = adoption.spec
    facts = rendering.image_facts(spec.image, entry.get("image") or {}, spec.vllm_version)
    release = catalog.nearest(facts.version)[0] if facts.version else rendering.release_for(facts)
    inspect = entry["inspect"]
    return {
        "name": spec.name,
        "container_id": inspect["Id"],
        "container_name": container_name(spec.name),
        "secrets": dict(adoption.secrets),
        "probe": rendering.probe(spec, None, release),
        "record": {
            "declaration": spec.canonical({}),
            "image": spec.image,
            "salt": secrets.token_hex(16),
            "collection_version": collection_version,
        },
    }
