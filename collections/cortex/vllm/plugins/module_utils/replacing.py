# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""One replacement: prepared while the old server answers, then as short a time without an answer as can be."""

from __future__ import annotations

import os
import time

from ansible_collections.cortex.vllm.plugins.module_utils import files, ours, state, transaction
from ansible_collections.cortex.vllm.plugins.module_utils import warm as warming
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError
from ansible_collections.cortex.vllm.plugins.module_utils.transaction import StepFailed


class Downtime:
    """From the moment at which the old server takes no new request to the first token of the new one, and what it was
    spent on. What passes until the old one has answered its last request is ``drain``.
    """

    def __init__(self):
        self._stop = None

    def stopped(self, stop):
        """``stop``: the `Stop` that ended the old one, or None when it did not run."""
        self._stop = stop

    def result(self, outcome):
        """``{downtime, spent}`` for the journal, at the time of the first token."""
        now, stop = time.monotonic(), self._stop
        if stop is None or stop.stopped is None:
            return {"downtime": None, "spent": None}
        last = stop.began
        spent = {"drain": stop.drained or 0.0}
        spent["stop"] = stop.stopped - last - spent["drain"]
        if stop.release is not None:
            spent["gpu memory"] = stop.release["seconds"]
        phases = dict(outcome.phases or {})
        asking = outcome.asking or 0.0
        if phases:
            # The last phase of the log goes on until the token; the token has a line of its own.
            name = list(phases)[-1]
            phases[name] = max(0.0, phases[name] - asking)
        spent["create"] = max(0.0, now - last - sum(spent.values()) - sum(phases.values()) - asking)
        spent.update(phases)
        spent["token"] = asking
        rounded = {name: round(seconds, 2) for name, seconds in spent.items() if seconds >= 0.005}
        return {"downtime": round(now - last, 3), "spent": rounded}


def warm(ctx):
    """Read the weights into the page cache, if the order says which, and only while there is something to wait for."""
    wanted = ctx.order.get("warm") or {}
    if not wanted.get("path"):
        return
    started = time.monotonic()

    def tell(done, total):
        rate = done / max(0.001, time.monotonic() - started)
        left = round((total - done) / rate, 1) if rate else None
        ctx.emit("warming", percent=done * 100 // total, bytes=done, total=total, left=left)

    warmer = warming.Warmer(wanted["path"], float(wanted.get("limit") or 1800.0), tell)
    warmer.start()
    warmer.join()
    ctx.emit("warmed", **warmer.result)


def replace(ctx, old):
    """Create, or replace ``old``; ``(result, message)``. Raises `StepFailed` and `EngineError` before the stop only."""
    order = ctx.order
    committed = ctx.state.get("committed") or {}
    old_id = old["Id"] if old else None
    ctx.write_files()
    try:
        new = ctx.create_new()
    except (StepFailed, EngineError):
        # Nothing has been touched, and nothing is left: the files of the new generation hold its secrets.
        _forget_generation(ctx, old)
        raise
    try:
        if old:
            ctx.clear_name(ctx.kept_name)
        state.reserve(ctx.state_dir, ctx.server)
        transaction.note(
            ctx,
            job=ctx.job, action=order["action"], step="created", started_at=round(time.time(), 3),
            old_container_id=old_id, old_name=order["container_name"], kept_name=ctx.kept_name,
            new_container_id=new, generation=order.get("generation"),
            old_running=ours.running(old), start_timeout=order.get("start_timeout"),
            old_restart_policy=((old or {}).get("HostConfig") or {}).get("RestartPolicy"),
            old_generation=os.path.basename(ours.generation_dir(old) or "") or None,
            old_probe=committed.get("probe"), remove_kept=order.get("remove_kept", True),
            committing=transaction.committed_entry(ctx, new),
        )  # fmt: skip
        if ours.running(old):
            warm(ctx)
    except (StepFailed, EngineError, OSError) as exc:
        # Nothing has been stopped: take the new one away again and everything is as it was.
        ctx.engine.remove(new)
        _forget_transaction(ctx)
        _forget_generation(ctx, old)
        if isinstance(exc, OSError):
            raise StepFailed("files", files.explain(exc, ctx.server_dir))
        raise StepFailed(getattr(exc, "reason", "create"), exc.message)
    down, outcome, reason, message = Downtime(), None, "start", ""
    try:
        if old:
            reason = "stop"
            _put_aside(ctx, old, down)
        reason = "start"
        outcome = _bring_up(ctx, new)
        if outcome.kind == "ready":
            reason = "files"
            return "ok", transaction.commit(ctx, outcome, down.result(outcome)) or ""
        reason, message = ctx.reason_of(outcome), outcome.message
    except (StepFailed, EngineError) as exc:
        reason, message = getattr(exc, "reason", reason), exc.message
    except Exception as exc:  # whatever it was (no thread or no memory left, a bug of ours): the old one comes back
        if (ctx.state.get("transaction") or {}).get("step", "committed") == "committed":
            raise  # the new one is the server already
        message = "unexpected {0}: {1}".format(type(exc).__name__, exc)
    evidence = transaction.save_evidence(ctx, new)
    ctx.failed(reason, message, outcome, evidence)
    good, text = transaction.roll_back(ctx)
    if old and good:
        return "rolled_back", message
    return "failed", "{0}; {1}".format(message, text) if text else message


def _forget_transaction(ctx):
    """Nothing of it is left to finish, on the disk neither: the next run would roll back what never was."""
    ctx.state["transaction"] = None
    try:
        transaction.save(ctx)
    except StepFailed:
        pass  # a full disk, perhaps the very cause: recovering from it finds everything as it should be


def _forget_generation(ctx, old):
    """Remove what was written for a container that will not be; what the old one mounts stays."""
    committed = (ctx.state.get("committed") or {}).get("generation")
    mounted = os.path.basename(ours.generation_dir(old) or "") or None
    files.prune_generations(ctx.server_dir, {committed, mounted})


def _put_aside(ctx, old, down):
    transaction.note(ctx, step="stopping")
    transaction.no_restarts(ctx, old["Id"])
    down.stopped(ctx.stop_container(old))
    transaction.note(ctx, step="stopped")
    transaction.rename(ctx, old["Id"], ctx.kept_name)


def _bring_up(ctx, new):
    transaction.note(ctx, step="starting")
    transaction.rename(ctx, new, ctx.order["container_name"])
    transaction.start(ctx, new)
    return transaction.wait_ready(ctx, new, ctx.order.get("probe"), ctx.order)
