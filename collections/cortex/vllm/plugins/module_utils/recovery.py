# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Finishes what a killed job began, from what the transaction in ``state.json`` says and the engine shows."""

from __future__ import annotations

import os
import time

from ansible_collections.cortex.vllm.plugins.module_utils import files, follow, ours, probing, transaction
from ansible_collections.cortex.vllm.plugins.module_utils.transaction import patiently


def recover(ctx):
    """``(result, message)``; ends as ``stale``: the controller looks again and plans anew.

    If the new container answers already it is committed, else the old one comes back. Raises `EngineError`,
    `StepFailed`.
    """
    pending = ctx.state.get("transaction")
    leftover = patiently(ctx.engine.inspect, ctx.order["container_name"] + ".new")
    if leftover is not None and ours.label_of(leftover) is None:
        leftover = None  # a stranger with that name is not ours to remove
    if not pending:
        # Killed between the creation of a container and the first note of it.
        if leftover:
            ctx.engine.remove(leftover["Id"])
        # Nor is anything left of what was written for it: its files hold secrets.
        current = patiently(ctx.engine.inspect, ctx.order["container_name"])
        mounted = os.path.basename(ours.generation_dir(current) or "")
        files.prune_generations(ctx.server_dir, {(ctx.state.get("committed") or {}).get("generation"), mounted})
        return "stale", "a container that was never started is removed" if leftover else "nothing was left unfinished"
    if pending.get("step") == "committed":
        text = transaction.finish_commit(ctx)
        generation = (ctx.state.get("committed") or {}).get("generation")
        ctx.emit("committed", generation=generation, downtime=None)
        return "stale", text or "the commit was finished"
    new = pending.get("new_container_id")
    inspect = patiently(ctx.engine.inspect, new) if new else None
    if inspect is not None and ours.running(inspect) and _answers(ctx, inspect, pending):
        seconds = max(0.0, time.time() - (pending.get("started_at") or time.time()))
        found = follow.Outcome("ready", seconds=seconds)
        transaction.commit(ctx, found, {"downtime": None, "spent": None})
        return "stale", "the new server already answered; it is committed"
    if inspect is not None:
        evidence = transaction.save_evidence(ctx, new)
        ended = None
        if not ours.running(inspect) and pending.get("step") == "starting":
            ended = follow.Outcome("exit", "", follow.exit_facts(inspect))
        text = "its job was killed before the server was ready"
        ctx.failed("exit" if ended else "timeout", text, ended, evidence)
    if leftover and leftover["Id"] != new:
        ctx.engine.remove(leftover["Id"])
    good, text = transaction.roll_back(ctx)
    if not good:
        return ctx.failed("start", text)
    return "stale", "rolled back" if pending.get("old_container_id") else "what was begun is removed"


def _answers(ctx, inspect, pending):
    """Whether the new container answers right now, as its own probe asks."""
    probe = (pending.get("committing") or {}).get("probe")
    if not probe or not probe.get("port"):
        return False
    key = ours.api_key(inspect, probe)
    ctx.redactor.add(ours.secrets(inspect))
    look = probing.health(probe, key)
    if look["http"] != 200 or (probe.get("served_name") and probe["served_name"] not in (look["models"] or [])):
        return False
    return probe.get("request", "completion") == "none" or probing.token(probe, key)[0] is not None
