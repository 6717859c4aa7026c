# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""One look for the task ``ready``: is this container ready, still loading, or dead?"""

from __future__ import annotations

import time

from ansible_collections.cortex.vllm.plugins.module_utils import files, follow, logs, ours, state
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine
from ansible_collections.cortex.vllm.plugins.module_utils.redact import Redactor

# A server that has run for days has a long log: its start is not of interest any more.
TAIL = 5000


def _committed_probe(state_dir, inspect):
    name = ours.label_of(inspect) or ours.named(inspect)
    if not name or not files.safe_name(name):
        return None
    loaded = state.load(state_dir, name)[0]
    return ((loaded or {}).get("committed") or {}).get("probe")


def look(request, params):
    """The answer of the step ``probe``; waits at most ``budget`` seconds. Raises `EngineError`, `ValueError`."""
    begin = time.monotonic()
    answer = {
        "state": "absent", "phase": None, "percent": None, "text": None, "http": None, "token": None, "exit": None,
        "log": [], "seconds": 0.0, "container_id": None, "started_at": None, "message": "",
    }  # fmt: skip
    logs.Phases(request.get("phase_rules"))
    with Engine(params) as engine:
        return _look(engine, request, answer, begin)


def _look(engine, request, answer, begin):
    inspect = engine.inspect(request["container_name"])
    if inspect is None:
        answer["message"] = "there is no container {0}".format(request["container_name"])
        return answer
    facts = inspect.get("State") or {}
    answer.update(container_id=inspect["Id"], started_at=facts.get("StartedAt"))
    if facts.get("Status") == "created":
        answer.update(state="stopped", message="the container was never started")
        return answer
    if ours.paused(inspect):
        answer.update(state="paused", message="the container is paused")
        return answer
    probe = request.get("probe") or _committed_probe(request.get("state_dir") or "", inspect)
    redactor = Redactor(ours.secrets(inspect))
    if not ours.running(inspect):
        return _ended(engine, inspect, answer, redactor, request, begin)
    budget = float(request.get("budget", 10.0))
    outcome = follow.until_ready(
        engine, inspect["Id"], probe, ours.api_key(inspect, probe), request.get("phase_rules"), redactor.text,
        lambda event, **fields: None, float("inf"), budget, TAIL,
    )  # fmt: skip
    answer.update(
        phase=outcome.phase, percent=outcome.percent, text=outcome.text, http=outcome.http, token=outcome.token,
        message=outcome.message, state={"ready": "ready", "loading": "loading"}.get(outcome.kind, "failed"),
        seconds=round(time.monotonic() - begin, 3), exit=outcome.exit,
    )  # fmt: skip
    if answer["state"] == "failed":
        answer["log"] = outcome.log
    return answer


def _ended(engine, inspect, answer, redactor, request, begin):
    """A container that is not running: failed, or stopped on purpose (143 and 0 after a stop look like both)."""
    import threading

    reader = logs.LogReader(
        engine.clone(), inspect["Id"], follow.started_at(inspect), request.get("phase_rules"), redactor.text, None,
        threading.Event(), follow=False, tail=TAIL,
    )  # fmt: skip
    reader.run()
    reader.close()
    facts = follow.exit_facts(inspect)
    # vLLM ends with 0 when its engine dies, so only a signal from outside counts as a stop.
    stopped = facts["code"] in (143, 130) and not facts["oom"]
    answer.update(
        state="stopped" if stopped else "failed", exit=facts, phase=reader.phases.phase, percent=reader.phases.percent,
        text=reader.phases.text, log=[] if stopped else list(reader.lines), seconds=round(time.monotonic() - begin, 3),
        message="the container ended with code {0}".format(facts["code"]),
    )  # fmt: skip
    return answer
