# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Digests: of secrets, and of everything that makes two generations the same."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

#: What ``docker update`` changes in a running container (Docker API, POST /containers/{id}/update): such a change needs
#: no new generation, and must not make one.
UPDATED_IN_PLACE = frozenset(
    {
        "RestartPolicy",
        "Memory",
        "MemorySwap",
        "MemoryReservation",
        "NanoCpus",
        "CpuShares",
        "CpusetCpus",
        "CpusetMems",
        "PidsLimit",
        "BlkioWeight",
    }
)


def digests(secrets: Mapping[str, str], salt: str) -> dict[str, str]:
    """HMAC-SHA256 of each secret, in hexadecimal: tells that a value changed without telling the value.

    :param salt: random text, kept with the server's state
    """
    return {
        name: hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()
        for name, value in sorted(secrets.items())
    }


def generation_of(body: Mapping[str, Any], files: Iterable[Mapping[str, Any]], secrets: Mapping[str, str]) -> str:
    """Name of a generation: the first 12 hexadecimal digits of the SHA-256 over what needs a container of
    its own.

    :param body: create body that does not know the generation yet
    :param files: files of the generation
    :param secrets: digests of its secrets
    """
    host_config = {key: value for key, value in body.get("HostConfig", {}).items() if key not in UPDATED_IN_PLACE}
    canonical = json.dumps(
        {
            "body": {**body, "HostConfig": host_config},
            "files": sorted(files, key=lambda file: file["path"]),
            "secrets": secrets,
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
