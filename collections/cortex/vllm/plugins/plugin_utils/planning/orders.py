# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Orders: what the host is told to do for one server (docs/contract.md, ORDER)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..containers import LABEL_VERSION, container_name
from ..differences import IN_PLACE, update_body
from ..spec.server import DRAIN_MARGIN
from .model import Options, ServerPlan
from .prepare import Prepared

#: Keys of HostConfig that an update can change. The restart policy is never in a body: it is set once verified.
UPDATABLE = tuple(sorted({key for keys in IN_PLACE.values() for key in keys} - {"RestartPolicy"}))
#: Seconds to wait for another job on the same server. One on the same GPU may take as long as a start does.
LOCK_TIMEOUT = 30.0
#: A start that nobody gave a limit may take so many times what is expected, as long as it can be seen to go on.
PATIENCE = 3.0
LONGEST_LIMIT = 4 * 3600.0
#: Seconds in which a start that lives says a word, computes or reads. Compilers and imports are silent, but they work.
STALL = 300.0
#: Seconds that reading weights ahead may take; the old server answers all the while.
WARM_LIMIT = 1800.0


def order(plan: ServerPlan, ready: Prepared, options: Options) -> dict[str, Any]:
    """The order for ``plan.action``.

    ``expected`` is what was observed: the host rechecks it under the lock and ends as ``stale`` if it changed. What
    works on the container that is there (start, restart, wait, stop, recover) goes by the record, which stays as it
    is; only create, replace and update bring a new one.
    """
    server, rendered = ready.server, ready.rendered
    committed = server.committed or {}
    result: dict[str, Any] = {
        "action": plan.action,
        "expected": {"container_id": ready.container.id if ready.container else None, "state_hash": server.state_hash},
        "container_name": container_name(plan.name),
        "kept_name": f"{container_name(plan.name)}.kept",
        "remove_kept": True,
        "remove_state": plan.action == "remove",
        "generation": committed.get("generation"),
        "probe": committed.get("probe") or (rendered.probe if rendered else None),
        "verified_restart_policy": expected_policy(ready) or {"Name": "unless-stopped"},
        "gpu_locks": sorted(plan.gpus),
        "lock_timeout": LOCK_TIMEOUT,
        "start_timeout": float(rendered.start_timeout if rendered else ready.spec.start_timeout or 600.0),
        "stop_timeout": _stop_timeout(ready, committed),
        **_patience(ready),
    }
    result["gpu_lock_timeout"] = max(LOCK_TIMEOUT, result["start_timeout"], result.get("start_limit") or 0.0)
    if plan.action in {"replace", "restart"}:
        result["warm"] = _warm(ready)
    if plan.action in {"replace", "restart", "recover"}:
        result["rollback_limit"] = _comes_back_within(committed)
    if plan.action in {"create", "replace"}:
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
                "record": record(ready, options),
            }
        )
    if plan.action == "update":
        wanted = [item for item in plan.differences if item.kind == "in_place"]
        update = update_body(wanted, rendered.body, rendered.verified_restart_policy)
        body = committed.get("body") or {}
        result.update(
            {
                "update": update,
                # The container stays the one that was created: its body, with the limits that it has from now on.
                "body": updated_body(body, rendered.body) if update else body,
                "gpu_locks": [],  # who shares a GPU with it may load for long, and is not in the way
                "probe": rendered.probe,
                "verified_restart_policy": rendered.verified_restart_policy,
                "record": record(ready, options),
            }
        )
    if plan.mends:
        result.update(
            {
                "files": rendered.files,
                "secret_names": list(rendered.secret_names),
                "user": rendered.user,
                "directories": rendered.directories,
            }
        )
    return result


def _patience(ready: Prepared) -> dict[str, Any]:
    """How far a start may be put off while it can be seen to go on, and what it is known by for the next one."""
    spec, model = ready.spec, ready.model or {}
    found: dict[str, Any] = {"model": model_name(spec, model), "bytes": model.get("bytes")}
    if getattr(spec, "model", None) is None:
        return found
    if spec.start_timeout is None and ready.rendered is not None:
        found["start_limit"] = min(LONGEST_LIMIT, PATIENCE * float(ready.rendered.start_timeout))
    # A node of several waits for the others, without a word and without work.
    several = spec.headless or any(name in spec.engine_args for name in ("nnodes", "data_parallel_address"))
    if not several and spec.engine_args.get("distributed_executor_backend") != "ray":
        found["stall_timeout"] = STALL
    return found


def _comes_back_within(committed: Mapping[str, Any]) -> float:
    """Seconds that the server on record may take to come back: the host waits by the same figures (transaction.py)."""
    given = max(float(committed.get(name) or 0.0) for name in ("start_timeout", "start_limit"))
    return max(given, PATIENCE * float(committed.get("ready_seconds") or 0.0), 60.0)


def model_name(spec: Any, model: Mapping[str, Any] | None) -> str | None:
    """What a start is remembered by: the model and its commit; None for what has no model."""
    name = getattr(spec, "model", None)
    commit = (model or {}).get("commit") or getattr(spec, "revision", None)
    return f"{name}@{commit}" if name and commit else name


def _stop_timeout(ready: Prepared, committed: Mapping[str, Any]) -> float:
    """Seconds to the kill of what runs now: it was told how long its requests have, and keeps to that."""
    recorded = (committed.get("declaration") or {}).get("drain_timeout") or 0
    return max(float(ready.spec.effective_stop_timeout), float(recorded) + DRAIN_MARGIN if recorded else 0.0)


def _warm(ready: Prepared) -> dict[str, Any] | None:
    """Whose weights are read into the page cache before the stop; None when there is nothing to read."""
    model = ready.model or {}
    if not getattr(ready.spec, "warm_cache", False) or not model.get("path") or model.get("status") != "complete":
        return None
    return {"path": model["path"], "bytes": model.get("bytes"), "limit": WARM_LIMIT}


def expected_policy(ready: Prepared) -> dict[str, Any] | None:
    """The restart policy that the verified container was given."""
    recorded = (ready.server.committed or {}).get("verified_restart_policy")
    return recorded or (ready.rendered.verified_restart_policy if ready.rendered is not None else None)


def updated_body(recorded: dict[str, Any], rendered: dict[str, Any]) -> dict[str, Any]:
    """The recorded create body with the keys that an update can change taken from the rendered one."""
    host = {key: value for key, value in (recorded.get("HostConfig") or {}).items() if key not in UPDATABLE}
    new = rendered.get("HostConfig") or {}
    return {**recorded, "HostConfig": {**host, **{key: new[key] for key in UPDATABLE if key in new}}}


def _labelled(body: dict[str, Any], version: str) -> dict[str, Any]:
    """The body with the collection's version, for whoever looks at the container. It is never compared."""
    return {**body, "Labels": {**(body.get("Labels") or {}), LABEL_VERSION: version}} if version else body


def record(ready: Prepared, options: Options) -> dict[str, Any]:
    """What the host keeps verbatim, so that the next plan knows what was asked. No secret is in it."""
    committed = ready.server.committed or {}
    return {
        "declaration": ready.declaration,
        "declaration_hash": ready.declaration_hash,
        "image": ready.spec.image,
        "image_id": ready.image_id,
        "salt": str(committed.get("salt") or options.salt),
        "secrets": dict(ready.digests),
        "collection_version": options.collection_version,
    }
