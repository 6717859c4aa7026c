# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Orders: what the host is told to do for one server (docs/contract.md, ORDER)."""

from __future__ import annotations

from typing import Any

from ..differences import Difference, update_body
from ..observation import LABEL_VERSION, container_name
from .model import Options, ServerPlan
from .prepare import Prepared

#: Seconds to wait for locks of another job.
LOCK_TIMEOUT = 30.0


def order(plan: ServerPlan, ready: Prepared, options: Options) -> dict[str, Any]:
    """The order for ``plan.action``.

    ``expected`` is what was observed: the host rechecks it under the lock and ends as ``stale`` if it changed.
    """
    server, rendered = ready.server, ready.rendered
    result: dict[str, Any] = {
        "action": plan.action,
        "expected": {"container_id": ready.container.id if ready.container else None, "state_hash": server.state_hash},
        "container_name": container_name(plan.name),
        "kept_name": f"{container_name(plan.name)}.kept",
        "remove_kept": True,
        "gpu_locks": sorted(plan.gpus),
        "lock_timeout": LOCK_TIMEOUT,
        "stop_timeout": float(getattr(ready.spec, "stop_timeout", None) or 30.0),
        "remove_state": plan.action == "remove",
    }
    if plan.action in {"stop", "remove"} or rendered is None:
        committed = server.committed or {}
        result.update(
            {
                "generation": committed.get("generation"),
                "probe": committed.get("probe"),
                "start_timeout": 600.0,
                "verified_restart_policy": {"Name": "unless-stopped"},
            }
        )
        return result
    result.update(
        {
            "generation": rendered.generation,
            "files": rendered.files,
            "secret_names": list(rendered.secret_names),
            "user": rendered.user,
            "directories": rendered.directories,
            "body": _labelled(rendered.body, options.collection_version),
            "networks": list(rendered.networks),
            "probe": rendered.probe,
            "verified_restart_policy": rendered.verified_restart_policy,
            "gpu_locks": sorted(plan.gpus | set(rendered.gpu_locks)),
            "start_timeout": float(rendered.start_timeout),
            "stop_timeout": float(rendered.stop_timeout),
            "record": record(ready, options),
        }
    )
    if plan.action == "update":
        result["update"] = update(plan.differences, ready)
    return result


def _labelled(body: dict[str, Any], version: str) -> dict[str, Any]:
    """The body with the collection's version, for whoever looks at the container. It is never compared."""
    return {**body, "Labels": {**(body.get("Labels") or {}), LABEL_VERSION: version}} if version else body


def record(ready: Prepared, options: Options) -> dict[str, Any]:
    """What the host keeps verbatim, so that the next plan knows what was asked. No secret is in it."""
    rendered, committed = ready.rendered, ready.server.committed or {}
    return {
        "declaration": ready.declaration,
        "declaration_hash": ready.declaration_hash,
        "image": ready.spec.image,
        "image_id": ready.image_id,
        "salt": str(committed.get("salt") or options.salt),
        "secrets": dict(rendered.digests),
        "collection_version": options.collection_version,
    }


def update(differences: list[Difference], ready: Prepared) -> dict[str, Any]:
    """The engine's update body for the differences that it can take in place."""
    wanted = [item for item in differences if item.kind == "in_place"]
    return update_body(wanted, ready.rendered.body, ready.rendered.verified_restart_policy)
