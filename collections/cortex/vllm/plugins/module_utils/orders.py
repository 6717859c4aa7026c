# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What a job does for one server: take the locks, look again, act, and end with exactly one ``done``."""

from __future__ import annotations

import os
import shutil
import time

from ansible_collections.cortex.vllm.plugins.module_utils import (
    files,
    intact,
    locks,
    ours,
    recovery,
    replacing,
    state,
    stopping,
    transaction,
)
from ansible_collections.cortex.vllm.plugins.module_utils.client import EngineError
from ansible_collections.cortex.vllm.plugins.module_utils.transaction import StepFailed, patiently

ACTIONS = ("create", "replace", "start", "restart", "wait", "update", "stop", "remove", "recover")


class ServerRun:
    """One server of a job. The attributes are what the functions of `transaction` work on."""

    def __init__(self, request, server, secrets, journal, redactor, run_command=None, nvidia_smi=None):
        self.request, self.server, self.secrets = request, server, secrets
        self.order = request["orders"][server]
        self.job = request["job"]
        self.state_dir = request["state_dir"]
        self.server_dir = state.server_dir(self.state_dir, server)
        self.rules = request.get("phase_rules") or []
        self.journal, self.redactor = journal, redactor
        self.run_command, self.nvidia_smi = run_command, nvidia_smi
        self.kept_name = self.order.get("kept_name") or self.order["container_name"] + ".kept"
        self.engine = None
        self.state = None
        self.waited = None  # the lock that another job had
        self.written = None  # marks of the files that this run has written (`intact.marks`)

    def emit(self, event, **fields):
        self.journal.write(event, **fields)

    def done(self, result, message=""):
        self.emit("done", result=result, message=message)

    def run(self, connect):
        """Do the order; ``connect()`` makes an `Engine`. Never raises, always ends with one ``done``."""
        held = []
        try:
            self.engine = patiently(connect)
            self._lock(held)
            result, message = self._act()
        except locks.LockTimeout as exc:
            # Somebody else's job works on this very server: the controller looks again, and follows that one.
            result, message = self.failed("lock", str(exc)) if held else ("stale", str(exc))
        except StepFailed as exc:
            result, message = self.failed(exc.reason, exc.message, exc.outcome)
        except EngineError as exc:
            result, message = self.failed("start", exc.message)
        except OSError as exc:
            result, message = self.failed("files", files.explain(exc, exc.filename or self.server_dir))
        except Exception as exc:  # a bug of ours must still end in the journal
            result, message = self.failed("start", "unexpected {0}: {1}".format(type(exc).__name__, exc))
        try:
            if held:
                state.release(self.state_dir, self.server)
            for lock in reversed(held):
                lock.release()
            if self.engine:
                self.engine.close()
        finally:
            self.done(result, message)

    def _lock(self, held):
        timeout = float(self.order.get("lock_timeout") or 30.0)
        # Who has a GPU may be a server that loads for long: it is in its right, and its start is waited for.
        patience = max(timeout, float(self.order.get("gpu_lock_timeout") or 0.0))
        wanted = [("server-" + self.server, "server lock", timeout)]
        # Sorted: two jobs that want the same GPUs must ask in the same order.
        wanted += [("gpu-" + uuid, "gpu " + uuid, patience) for uuid in sorted(self.order.get("gpu_locks") or [])]
        for name, text, seconds in wanted:
            lock = locks.Lock(self.state_dir, name)
            held.append(lock.acquire(seconds, lambda text=text: self._wait_for(text)))

    def _wait_for(self, text):
        self.waited = text
        self.emit("waiting", **{"for": text})

    def failed(self, reason, message, outcome=None, evidence=None):
        self.emit(
            "failed", reason=reason, message=message, exit=outcome.exit if outcome else None,
            log=outcome.log if outcome else [], evidence=evidence,
        )  # fmt: skip
        return "failed", message

    def _act(self):
        loaded, digest, problem = state.load(self.state_dir, self.server)
        if problem and self.order["action"] not in ("create", "replace", "remove"):
            raise StepFailed("files", problem)
        self.state = loaded or state.empty(self.server)
        current = patiently(self.engine.inspect, self.order["container_name"])
        expected = self.order.get("expected") or {}
        found = current["Id"] if current else None
        # No hash: a server that is not declared any more is removed whatever its state says.
        known = expected.get("state_hash")
        if (known is not None and digest != known) or found != expected.get("container_id"):
            return "stale", "the host changed since it was looked at"
        if self.waited:
            return "stale", "another job held the {0} since it was looked at".format(self.waited)
        if self.state.get("transaction") or self.order["action"] == "recover":
            return recovery.recover(self)
        action = self.order["action"]
        if action in ("create", "replace"):
            return replacing.replace(self, current)
        if action == "remove":
            return self._remove(current)
        if current is None:
            return "stale", "there is no container {0}".format(self.order["container_name"])
        if self.order.get("files") and self.order.get("generation") == self._generation():
            self._put_back()
        if action in ("start", "restart", "wait"):
            return self._start(current, action)
        return self._update(current) if action == "update" else self._stop(current)

    # create and replace

    def write_files(self, write=files.write_generation):
        """Write what the container mounts. ``write``: how a generation is written (`files.write_generation`)."""
        order = self.order
        user = order.get("user") or {}
        names = order.get("secret_names") or []
        missing = [name for name in names if name not in self.secrets]
        if missing:
            raise StepFailed("files", "no value was sent for the secrets {0}".format(", ".join(missing)))
        try:
            files.directory(self.server_dir, 0o711)
            for entry in order.get("directories") or []:
                path = files.below(self.state_dir, entry["path"])
                mode = int(str(entry.get("mode") or "0750"), 8)
                files.directory(path, mode, user.get("uid", 0), user.get("gid", 0))
            if order.get("generation"):
                values = {name: self.secrets[name] for name in names}
                write(self.server_dir, order["generation"], order.get("files") or [], values, user, self.job[:12])
                salt = (order.get("record") or self.state.get("committed") or {}).get("salt") or ""
                self.written = intact.marks(self.server_dir, order["generation"], salt)
        except OSError as exc:
            raise StepFailed("files", files.explain(exc, exc.filename or self.server_dir))
        except files.FilesError as exc:
            raise StepFailed("files", str(exc))

    def _generation(self):
        return (self.state.get("committed") or {}).get("generation")

    def _put_back(self):
        """Somebody changed files of the generation that runs or is about to: they become what they were again."""
        self.write_files(intact.put_back)
        self.state["committed"]["files"] = self.written
        transaction.save(self)

    def clear_name(self, name):
        """Remove a leftover of ours under a name that is needed; a stranger's container is never touched."""
        inspect = patiently(self.engine.inspect, name)
        if inspect is None:
            return
        if ours.label_of(inspect) is None:
            raise StepFailed("create", "a container named {0} exists and is not ours; rename or remove it".format(name))
        self.engine.remove(inspect["Id"])

    def _look_ahead(self, body):
        """What engines say only at the start, when the old one is stopped: networks and devices. In their words."""
        config = body.get("HostConfig") or {}
        wanted = [config.get("NetworkMode") or ""]
        wanted += [item["name"] if isinstance(item, dict) else item for item in self.order.get("networks") or []]
        for name in wanted:
            if name in ("", "default", "bridge", "host", "none") or ":" in name:
                continue
            if not patiently(self.engine.network, name):
                raise StepFailed(
                    "create", "the engine refused to create the container: network {0} not found".format(name)
                )
        for device in config.get("Devices") or []:
            path = device.get("PathOnHost") or ""
            if path and not os.path.exists(path):
                text = (
                    "the engine refused to create the container: error gathering device information while adding custom"
                )
                raise StepFailed("create", '{0} device "{1}": no such file or directory'.format(text, path))

    def create_new(self):
        order = self.order
        # Its restart policy is `no` until it is proven (vLLM's crash loops never end by themselves), but on an engine
        # that could not change it later.
        body = dict(order["body"])
        name = order["container_name"] + ".new"
        self.emit("creating")
        self._look_ahead(body)
        try:
            self.clear_name(name)
            ident = self.engine.create(name, body)
        except EngineError as exc:
            raise StepFailed("create", "the engine refused to create the container: {0}".format(exc.message))
        try:
            for network in order.get("networks") or []:
                if isinstance(network, dict):
                    self.engine.connect(network["name"], ident, network.get("config") or {})
                else:
                    self.engine.connect(network, ident, {})
        except EngineError as exc:
            self.engine.remove(ident)
            raise StepFailed("create", "a network could not be connected: {0}".format(exc.message))
        self.emit("created", container_id=ident)
        return ident

    @staticmethod
    def reason_of(outcome):
        return {"exit": "exit", "timeout": "timeout", "probe": "probe"}.get(outcome.kind, "start")

    def stop_container(self, inspect):
        """Stop it if it runs; returns the `Stop` that did, or None."""
        if not ((inspect.get("State") or {}).get("Running")):
            return None
        probe = None
        committed = self.state.get("committed") or {}
        if committed.get("container_id") == inspect["Id"]:
            probe = committed.get("probe")
        stop = stopping.Stop(
            self.engine, self.emit, self.run_command, self.nvidia_smi, self.order.get("gpu_locks") or []
        )
        state = stop.stop(inspect, float(self.order.get("stop_timeout") or 30.0), probe)
        if state.get("Running"):
            raise StepFailed("stop", "the container still runs after the stop")
        return stop

    # what works on the container that is there

    def _start(self, current, action):
        """start, restart, or wait for what somebody else (the engine, a job that died) has started."""
        order, ident, restart = self.order, current["Id"], action == "restart"
        if action == "wait" and not ours.running(current):
            return "stale", "the container does not run any more"
        committed = self.state.get("committed") or {}
        policy = (
            order.get("verified_restart_policy")
            or committed.get("verified_restart_policy")
            or (current.get("HostConfig") or {}).get("RestartPolicy")
        )
        evidence = None
        if not ours.running(current):
            evidence = transaction.save_evidence(self, ident)  # why it had ended; the next start writes over it
        transaction.note(
            self,
            job=self.job, action=order["action"], step="starting", started_at=round(time.time(), 3),
            old_container_id=ident, old_name=order["container_name"], kept_name=self.kept_name,
            new_container_id=None, generation=committed.get("generation"), old_running=True,
            start_timeout=order.get("start_timeout"), old_restart_policy=policy, old_probe=order.get("probe"),
        )  # fmt: skip
        down, outcome, reason = replacing.Downtime(), None, "start"
        try:
            transaction.no_restarts(self, ident)
            if restart:
                replacing.warm(self)
                reason = "stop"
                down.stopped(self.stop_container(current))
            reason = "start"
            if restart or not ours.running(current):
                transaction.start(self, ident)
            outcome = transaction.wait_ready(self, ident, order.get("probe") or committed.get("probe"), order)
            message = outcome.message
            reason = self.reason_of(outcome)
        except (StepFailed, EngineError) as exc:
            message, reason = exc.message, getattr(exc, "reason", reason)
        self.state["transaction"] = None
        if outcome is None or outcome.kind != "ready":
            transaction.save(self)
            return self.failed(reason, message, outcome, transaction.save_evidence(self, ident) or evidence)
        text = transaction.set_policy(self, ident, policy)
        self._note_record(ident, outcome.seconds)
        transaction.save(self)
        generation = (self.state.get("committed") or {}).get("generation")
        self.emit("committed", generation=generation, **down.result(outcome))
        return "ok", text or ""

    def _note_record(self, ident, seconds=None):
        """Take over what the order says is declared now: a state that was lost comes back, an update is recorded."""
        order, committed = self.order, self.state.get("committed")
        if not order.get("record"):
            return
        entry = transaction.committed_entry(self, ident)
        for key in ("generation", "files", "body", "probe", "verified_restart_policy"):
            if entry.get(key) is None:
                entry[key] = (committed or {}).get(key)
        if (committed or {}).get("adopted") and committed.get("container_id") == ident:
            entry["adopted"] = True
        entry["committed_at"] = round(time.time(), 3)
        entry["ready_seconds"] = (committed or {}).get("ready_seconds") if seconds is None else round(seconds, 3)
        self.state["committed"] = entry

    def _update(self, current):
        try:
            if self.order.get("update"):
                self.engine.update(current["Id"], self.order["update"])
        except EngineError as exc:
            raise StepFailed("start", "the engine refused the update: {0}".format(exc.message))
        self._note_record(current["Id"])
        transaction.save(self)
        self.emit("updated")
        return "ok", ""

    def _stop(self, current):
        ident, policy = current["Id"], (current.get("HostConfig") or {}).get("RestartPolicy")
        try:
            # One with the policy `always` would come back with the engine's next start. It is given back at the start.
            transaction.no_restarts(self, ident)
            self.stop_container(current)
        except (StepFailed, EngineError) as exc:
            transaction.set_policy(self, ident, policy)
            raise StepFailed("stop", exc.message)
        self._note_record(ident)
        transaction.save(self)
        return "ok", ""

    def _remove(self, current):
        kept = patiently(self.engine.inspect, self.kept_name)
        try:
            if current:
                transaction.no_restarts(self, current["Id"])
                self.stop_container(current)
                self.engine.remove(current["Id"])
            if kept and self.order.get("remove_kept", True) and ours.label_of(kept) is not None:
                self.engine.remove(kept["Id"])
        except EngineError as exc:
            raise StepFailed("stop", exc.message)
        self.emit("removed")
        if self.order.get("remove_state"):
            self._remove_state()
        else:
            self.state["committed"] = None
            transaction.save(self)
            files.prune_generations(self.server_dir, set())
        return "ok", ""

    def _remove_state(self):
        """Everything but the journals: somebody is still following this very job."""
        for name in os.listdir(self.server_dir):
            path = os.path.join(self.server_dir, name)
            if name.startswith("journal."):
                continue
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
