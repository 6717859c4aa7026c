# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Whether the Transformers in the image is new enough for the model's type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .config import Config
from .context import Findings, Server
from .tables import facts, table

Version = tuple[int, ...]


def check(server: Server) -> Findings:
    """transformers models/auto/configuration_auto.py: AutoConfig refuses a model_type that it does not know."""
    found = _needed(server)
    if found is None:
        return
    kind, since = found
    version = _installed(server.image)
    if version is not None:
        if _key(version) >= _key(since):
            return
        text, severity = f"the image has Transformers {version}", "error"
    else:
        limit = _bound(server, "<")
        if limit is None or _key(since) < limit:
            return
        text = f"vLLM {server.release.version} takes Transformers below {'.'.join(map(str, limit))}"
        severity = "error" if server.exact else "warning"
    yield server.finding(
        "model.type",
        severity,
        f"{text}, and model_type {kind} is known from {since} on",
        "image",
        f"Use a newer image, with Transformers {since} or newer; do not install it over the one in the image.",
        origin=server.spec.image,
    )


def asks(server: Server) -> bool:
    """Whether the image has to be asked which Transformers it has: what its release requires may be too old."""
    known = (server.image or {}).get("known") or {}
    if "packages" in known or "packages_problem" in known:
        return False
    found, least = _needed(server), _bound(server, ">=")
    return found is not None and (least is None or least < _key(found[1]))


def _needed(server: Server) -> tuple[str, str] | None:
    """(model_type, the release of Transformers that first has it); None when Transformers need not have it."""
    model, config = server.model or {}, Config.of(server)
    if server.spec.kind == "container" or server.release is None or config is None or model.get("format") == "gguf":
        return None
    if server.argument("hf_config_path") or server.argument("config_format") == "mistral":
        return None  # another configuration is read
    if "AutoConfig" in (config.top.get("auto_map") or {}) and server.argument("trust_remote_code"):
        return None  # the model's own class is
    kind = str(config.top.get("model_type") or "")
    since = _since().get(kind)
    own = {*table("transformers")["vllm"], *table("model_types")["vllm"]}
    return None if since is None or kind in own else (kind, since)


@lru_cache(maxsize=None)
def _since() -> Mapping[str, str]:
    return {kind: release for release, kinds in table("transformers")["since"].items() for kind in kinds}


def _installed(image: Mapping[str, Any] | None) -> str | None:
    found = (((image or {}).get("known") or {}).get("packages") or {}).get("transformers")
    return str(found) if found else None


def _bound(server: Server, sign: str) -> Version | None:
    """What the release's requirements say of Transformers: ``>=`` the least, ``<`` what is too new."""
    match = re.search(rf"(?:^|,)\s*{sign}\s*(\d[\d.]*)", str(facts(server.release).get("transformers") or ""))
    return _key(match[1]) if match else None


def _key(version: str) -> Version:
    """Major and minor: a development version of a minor release may have all that it brings."""
    found = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return (*found, 0)[:2]
