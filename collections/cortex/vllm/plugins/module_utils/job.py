# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The job of ``apply``: accepted in the module, carried out in a detached process, one thread per group of servers."""

from __future__ import annotations

import os
import threading

from ansible_collections.cortex.vllm.plugins.module_utils import detach, files, logs, orders, state
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine, load_sdk
from ansible_collections.cortex.vllm.plugins.module_utils.journal import Journal
from ansible_collections.cortex.vllm.plugins.module_utils.redact import Redactor

REQUIRED = ("expected", "container_name")


def check(request, secrets):
    """Refuse a request before anything is touched. Raises `RequestRefused`."""
    if not files.safe_name(request.get("job")):
        raise files.RequestRefused("request.job: not a plain name: {0!r}".format(request.get("job")))
    given = request.get("orders") or {}
    listed = [name for group in request.get("groups") or [] for name in group]
    if sorted(listed) != sorted(given):
        raise files.RequestRefused("request.groups names {0}, request.orders {1}: each server once in both".format(
            sorted(listed), sorted(given)))  # fmt: skip
    if not os.path.isabs(request.get("state_dir") or ""):
        raise files.RequestRefused("request.state_dir: not an absolute path: {0!r}".format(request.get("state_dir")))
    try:
        logs.Phases(request.get("phase_rules"))
    except ValueError as exc:
        raise files.RequestRefused("request.phase_rules: {0}".format(exc))
    for name, order in given.items():
        where = "request.orders[{0}]".format(name)
        if not files.safe_name(name) or name == "locks":
            raise files.RequestRefused("{0}: not a name for a server".format(where))
        if order.get("action") not in orders.ACTIONS:
            raise files.RequestRefused(
                "{0}.action: {1!r} is none of {2}".format(where, order.get("action"), ", ".join(orders.ACTIONS))
            )
        for key in REQUIRED + (("body", "generation") if order["action"] in ("create", "replace") else ()):
            if not order.get(key):
                raise files.RequestRefused("{0}.{1}: missing".format(where, key))
        if order.get("generation") and not files.safe_name(order["generation"]):
            raise files.RequestRefused("{0}.generation: not a plain name".format(where))
        missing = sorted(set(order.get("secret_names") or []) - set(secrets.get(name) or {}))
        if missing and (order["action"] in ("create", "replace") or order.get("files")):
            raise files.RequestRefused("secrets[{0}]: no value for {1}".format(name, ", ".join(missing)))
        try:
            for entry in order.get("directories") or []:
                files.below(request["state_dir"], entry["path"])
            for entry in order.get("files") or []:
                files.relative(entry["path"])
        except files.FilesError as exc:
            raise files.RequestRefused("{0}: {1}".format(where, exc))


def apply(request, secrets, params, module=None):
    """Accept a request, leave its job behind and return ``{job, jobs}``.

    Raises `RequestRefused`, `EngineError`, `OSError`.

    ``secrets``: ``{server: {NAME: value}}``; ``params``: the connection parameters; ``module``: for nvidia-smi. What
    can fail is tried here, before the fork: the SDK, the engine, the journals (a full disk).
    """
    secrets = secrets or {}
    check(request, secrets)
    load_sdk()
    Engine(params).close()
    files.directory(request["state_dir"], 0o711)
    if request.get("images"):
        state.note_images(request["state_dir"], request["images"])
    # Found before the fork; run in the job, when a server that held GPUs has been stopped.
    nvidia_smi = module.get_bin_path("nvidia-smi") if module else None
    run_command = module.run_command if module else None
    redactor = Redactor(str(value) for values in secrets.values() for value in (values or {}).values())
    journals = {}
    try:
        for name, order in request["orders"].items():
            folder = state.server_dir(request["state_dir"], name)
            journals[name] = Journal(folder, name, request["job"], redactor)
            fields = {"action": order["action"]}
            if request.get("job_labels"):
                fields["labels"] = request["job_labels"]
            if not journals[name].write("accepted", **fields):
                raise OSError(28, os.strerror(28), folder)
        detach.detach(
            lambda: run(request, secrets, params, journals, redactor, run_command, nvidia_smi),
            keep=[journal.fd for journal in journals.values()],
            unit="cortex-vllm-job-" + request["job"],
        )
    finally:
        # The locks on the journals belong to the job now; where there is none, they end here.
        for journal in journals.values():
            journal.close()
    return {"job": request["job"], "jobs": {name: {"job": request["job"], "offset": 0} for name in journals}}


def run(request, secrets, params, journals, redactor, run_command=None, nvidia_smi=None):
    """The job itself: groups side by side, the servers of a group one after the other."""

    def group(names):
        for name in names:
            orders.ServerRun(
                request, name, secrets.get(name) or {}, journals[name], redactor, run_command, nvidia_smi
            ).run(lambda: Engine(params))

    threads = [threading.Thread(target=group, args=(names,), daemon=True) for names in request.get("groups") or []]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
