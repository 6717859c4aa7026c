# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The replacement of a container as a transaction: commit, or bring the old one back and prove that it answers.

Every destructive step is noted in ``state.json`` before it is taken, so `recover` can finish whatever was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import time

from ansible_collections.cortex.vllm.plugins.module_utils import (
    files,
    follow,
    gpu_memory,
    ours,
    state,
    stuck_port,
    trimming,
)
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError

NEVER = {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}
EVIDENCE_LINES = 5000
EVIDENCE_KEPT = 10
# The engine may be restarting while we roll back: that is no reason to give up.
PATIENCE = 90.0

# A start after a failure takes longer than the last one: its files may have left the page cache meanwhile.
SLOWER = 3.0
# Seconds before one rank of several is started again, because its fellows are not back yet.
AGAIN = 3.0


class StepFailed(Exception):
    """A step failed; ``reason`` as in the journal's ``failed`` event, ``outcome`` what following said, if it ran."""

    def __init__(self, reason, message, outcome=None):
        super().__init__(message)
        self.reason, self.message, self.outcome = reason, message, outcome


def stamp(now=None):
    """UTC time as text that sorts and may be a file name."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def patiently(function, *args):
    """Call ``function`` again while the engine is away, for `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return function(*args)
        except EngineError as exc:
            if exc.kind not in ("connection", "not_running", "timeout") or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def wait_ready(ctx, ident, probe, order):
    """Follow a container until it is ready and journal what is seen; returns the `Outcome`.

    ``order``: its ``start_timeout``, and how far that may be put off (``start_limit``, ``stall_timeout``).
    """
    inspect = patiently(ctx.engine.inspect, ident)
    ctx.redactor.add(ours.secrets(inspect))
    timeout = float(order.get("start_timeout") or 600.0)
    outcome = follow.until_ready(
        ctx.engine, ident, probe, ours.api_key(inspect, probe), ctx.rules, ctx.redactor.text, ctx.emit, timeout,
        limit=float(order.get("start_limit") or timeout), stall=order.get("stall_timeout"),
    )  # fmt: skip
    if outcome.kind == "ready":
        ctx.emit("ready", seconds=round(outcome.seconds, 3), token=outcome.token, phases=outcome.phases)
    return outcome


def rename(ctx, ident, name):
    """Give a container a name. An engine that went away may have done it already, and refuses to do so again."""

    def once():
        if ((ctx.engine.inspect(ident) or {}).get("Name") or "").lstrip("/") != name:
            ctx.engine.rename(ident, name)

    patiently(once)


def start(ctx, ident):
    """Start a container on purpose. The launcher's count of failed starts begins anew: else it would back off first."""
    try:
        os.unlink(os.path.join(ctx.server_dir, "run", "failed-starts"))
    except OSError:
        pass  # there is none, as a rule
    try:
        patiently(ctx.engine.start, ident)
    except EngineError as exc:
        port = stuck_port.free(ctx.engine, exc.message, ctx.run_command, ctx.state_dir, ctx.server)
        if port is None:
            raise
        ctx.emit("engine_restarted", port=port)
        patiently(ctx.engine.start, ident)
    ctx.emit("started", container_id=ident)


def save_evidence(ctx, ident):
    """Keep log and inspect of a failed container under ``evidence/``; returns the directory, or None."""
    try:
        inspect = ctx.engine.inspect(ident)
        if inspect is None:
            return None
        raw = ctx.engine.logs(ident, 1, EVIDENCE_LINES, False)
        parent = os.path.join(ctx.server_dir, "evidence")
        files.directory(parent, 0o700)
        folder = os.path.join(parent, "{0}-{1}".format(stamp(), ctx.job[:8]))
        files.directory(folder, 0o700)
        log = ctx.redactor.text(raw.decode("utf-8", "replace"))
        facts = ctx.redactor.text(json.dumps(trimming.evidence(inspect), indent=1, sort_keys=True))
        files.write_atomic(os.path.join(folder, "log.txt"), log.encode("utf-8"))
        files.write_atomic(os.path.join(folder, "inspect.json"), facts.encode("utf-8"))
        _forget_evidence(parent)
        return folder
    except Exception:  # no space for evidence, or whatever else, is no reason not to roll back
        return None


def _forget_evidence(parent):
    for name in sorted(os.listdir(parent))[:-EVIDENCE_KEPT]:
        shutil.rmtree(os.path.join(parent, name), ignore_errors=True)


def note(ctx, **fields):
    """Write ``fields`` into the transaction of state.json, before the step they announce. Raises `StepFailed`."""
    transaction = dict(ctx.state.get("transaction") or {})
    transaction.update(fields)
    ctx.state["transaction"] = transaction
    save(ctx)


def save(ctx):
    try:
        state.save(ctx.state_dir, ctx.server, ctx.state)
    except OSError as exc:
        raise StepFailed("files", files.explain(exc, os.path.join(ctx.server_dir, "state.json")))


def committed_entry(ctx, new_id):
    """What state.json will hold once the new container is proven; noted beforehand, so that `recover` can commit."""
    order = ctx.order
    record = order.get("record") or {}
    entry = {
        key: record.get(key)
        for key in (
            "declaration", "declaration_hash", "image", "image_id", "salt", "secrets", "collection_version",
        )
    }  # fmt: skip
    entry.update(
        generation=order.get("generation"),
        files=ctx.written,
        container_id=new_id,
        image_id=record.get("image_id") or (order.get("body") or {}).get("Image"),
        body=order.get("body"),
        probe=order.get("probe"),
        verified_restart_policy=order.get("verified_restart_policy"),
        committed_at=None,
        ready_seconds=None,
        model=order.get("model"),
        bytes=order.get("bytes"),
        # How long it may take to come back, should a later change fail.
        start_timeout=order.get("start_timeout"),
        start_limit=order.get("start_limit"),
        stall_timeout=order.get("stall_timeout"),
    )
    return entry


def no_restarts(ctx, ident):
    """The engine must not start this container by itself. One that cannot change a policy (older Podman) is let be:
    what was stopped on purpose stays so until its next start.
    """
    try:
        ctx.engine.update(ident, NEVER)
    except EngineError as exc:
        if exc.kind not in ("refused", "not_found"):
            raise


def set_policy(ctx, ident, policy):
    """Give a proven container its restart policy. A refusal is only told: the next run sees the difference."""
    if not policy:
        return None
    try:
        patiently(ctx.engine.update, ident, {"RestartPolicy": policy})
        return None
    except EngineError as exc:
        if exc.kind in ("refused", "not_found") and _has_policy(ctx, ident, policy):
            return None  # Podman cannot change it, and gave it when the container was created
        return "the restart policy could not be set: {0}".format(exc.message)


def _has_policy(ctx, ident, policy):
    try:
        inspect = ctx.engine.inspect(ident) or {}
    except EngineError:
        return False
    return ((inspect.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") == policy.get("Name")


def commit(ctx, outcome, down):
    """Make the container of the transaction the server: state first, then its policy, then the kept one goes.

    ``down``: ``{downtime, spent}`` of a replacement.
    """
    transaction = ctx.state["transaction"]
    entry = dict(transaction["committing"])
    entry.update(committed_at=round(time.time(), 3), ready_seconds=round(outcome.seconds, 3))
    before = ctx.state.get("committed")
    ctx.state["committed"] = entry
    history = {key: entry[key] for key in ("generation", "image_id", "ready_seconds", "committed_at")}
    history.update(model=entry.get("model"), bytes=entry.get("bytes"), phases=outcome.phases, **down)
    ctx.state["history"] = ([history] + list(ctx.state.get("history") or []))[: state.HISTORY]
    try:
        # `transaction` stays until the rest is done: `recover` knows by its step that only tidying is left.
        note(ctx, step="committed")
    except StepFailed:
        ctx.state["committed"] = before
        ctx.state["history"] = ctx.state["history"][1:]
        raise
    message = finish_commit(ctx)
    fields = {"message": message} if message else {}
    ctx.emit("committed", generation=entry["generation"], **dict(down, **fields))
    return message


def finish_commit(ctx):
    """What follows the commit and may be done again: policy, kept container, old generations."""
    transaction, entry = ctx.state["transaction"], ctx.state["committed"]
    message = set_policy(ctx, entry["container_id"], entry.get("verified_restart_policy"))
    keep = {entry.get("generation")}
    old = transaction.get("old_container_id")
    if old and transaction.get("remove_kept", True):
        try:
            patiently(ctx.engine.remove, old)
        except EngineError as exc:
            message = message or "the old container could not be removed: {0}".format(exc.message)
            keep.add(transaction.get("old_generation"))
    elif old:
        keep.add(transaction.get("old_generation"))
    ctx.state["transaction"] = None
    try:
        save(ctx)
    except StepFailed as exc:
        message = message or exc.message
    files.prune_generations(ctx.server_dir, keep)
    return message


def roll_back(ctx):
    """Bring back what the transaction stopped and prove that it answers; returns ``(good, message)``.

    Works from what the engine says, not from how far we believe to have come: every step may be done already.
    """
    transaction = ctx.state["transaction"]
    begin = time.monotonic()
    new, old = transaction.get("new_container_id"), transaction.get("old_container_id")
    ctx.emit("rolling_back")
    good, serves, message = True, None, ""
    try:
        if new:
            release = None
            if old and transaction.get("old_running"):
                # The old one must not start before the memory that the new one holds is free again.
                uuids = ctx.order.get("gpu_locks") or []
                release = gpu_memory.held(ctx.engine, new, ctx.run_command, ctx.nvidia_smi, uuids)
            _out_of_the_way(ctx, new)
            freed = release.wait() if release else None
            if freed is not None:
                ctx.emit("gpu_memory", **freed)
        if old:
            good, serves, message = _restore(ctx, transaction, old)
    except EngineError as exc:
        good, message = False, "the engine refused the rollback: {0}".format(exc.message)
    if good:
        ctx.state["transaction"] = None
        try:
            save(ctx)
        except StepFailed as exc:
            message = "{0}; {1}".format(message, exc.message) if message else exc.message
        if new:
            keep = {(ctx.state.get("committed") or {}).get("generation"), transaction.get("old_generation")}
            files.prune_generations(ctx.server_dir, keep)
    if old:
        seconds = round(time.monotonic() - begin, 3)
        ctx.emit("rolled_back", verified=bool(serves), ran=serves is not None, seconds=seconds, message=message)
    return good, message


def _patience(transaction, own):
    """How long the old container may take: what it was given itself when it was new, not what the new one is given.

    ``own``: its record, or an empty one.
    """
    timeout = max(
        float(own.get("start_timeout") or transaction.get("start_timeout") or 0),
        SLOWER * float(own.get("ready_seconds") or 0),
        60.0,
    )
    return {"start_timeout": timeout, "start_limit": own.get("start_limit"), "stall_timeout": own.get("stall_timeout")}


def _come_back(ctx, old, probe, patience):
    """Wait for the old container. One rank of several goes back at another moment than its fellows: it may have to be
    started more than once until all of them are there."""
    until = time.monotonic() + patience["start_timeout"]
    while True:
        outcome = wait_ready(ctx, old, probe, dict(patience, start_timeout=max(until - time.monotonic(), 1.0)))
        again = outcome.kind in ("exit", "probe") and bool((probe or {}).get("peers"))
        if not again or time.monotonic() > until - AGAIN:
            return outcome
        time.sleep(AGAIN)
        if outcome.kind == "probe":
            patiently(ctx.engine.kill, old)
            patiently(ctx.engine.wait, old, 30)
        inspect = patiently(ctx.engine.inspect, old)
        if inspect is None:
            return outcome
        if not ours.running(inspect):
            start(ctx, old)


def _out_of_the_way(ctx, new):
    """Remove the new container. One that cannot be removed must not keep the old one away: it is ended and moved."""
    try:
        patiently(ctx.engine.remove, new)
        return
    except EngineError:
        if not ctx.state["transaction"].get("old_container_id"):
            raise
    for step in (lambda: ctx.engine.kill(new), lambda: ctx.engine.rename(new, ctx.order["container_name"] + ".failed")):
        try:
            step()
        except EngineError:
            pass  # it does not run, or is gone by now: what follows shows it


def _restore(ctx, transaction, old):
    """``(good, serves, message)``: the old container under its name, running if it ran, with its policy.

    ``serves``: whether it gave a token; None where there is nothing to serve, because it did not run, or is gone.
    """
    inspect = patiently(ctx.engine.inspect, old)
    if inspect is None:
        return True, None, "the old container is gone: somebody removed it"
    rename(ctx, old, transaction["old_name"])
    policy = transaction.get("old_restart_policy")
    if not transaction.get("old_running"):
        set_policy(ctx, old, policy)
        return True, None, "the old container did not run before; it is back under its name, stopped"
    if not ours.running(inspect):
        try:
            start(ctx, old)
        except EngineError as exc:
            return False, False, "the old container does not start: {0}".format(exc.message)
    committed = ctx.state.get("committed") or {}
    own = committed if committed.get("container_id") == old else {}
    probe = own.get("probe") or transaction.get("old_probe")
    outcome = _come_back(ctx, old, probe, _patience(transaction, own))
    if outcome.kind != "ready":
        return False, False, "the old server does not answer either: {0}".format(outcome.message)
    return True, True, set_policy(ctx, old, policy) or ""
