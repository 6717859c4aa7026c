# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Waiting for one server on its host: looks in slices, phases in between, a diagnosis when it died."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from . import diagnosis, progress
from .containers import container_name
from .converge import ConvergeError
from .findings import Finding, FindingsError
from .following import HEARTBEAT, SLICE, Remote, duration
from .observation import SCHEMA, Observation, query
from .rendering.asking import ask
from .rendering.images import image_facts, release_for


def question(remote: Remote, options: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The committed probe of a server with another question, put as the release in its image wants it.

    :param kind: as ``probe.request`` of a declaration
    :raises FindingsError: nothing was committed for the server
    """
    name, state_dir = str(options["name"]), str(options["state_dir"])
    look = {**query([], state_dir, health=False), "servers": [{"name": name, "container_name": container_name(name)}]}
    seen = Observation.parse(remote("observe", look).get("observation") or {})
    committed = seen.server(name).committed or {}
    probe = committed.get("probe")
    if not probe:
        text = f"nothing is known of a server {name} on {remote.host}"
        fix = "Converge it first, or leave `request` out."
        raise FindingsError([Finding("ready.what", "error", text, field="request", fix=fix)])
    entry = seen.image(str(committed.get("image_id") or "")) or {}
    declared = (committed.get("declaration") or {}).get("vllm_version")
    release = release_for(image_facts(str(committed.get("image") or ""), entry, declared))
    plain = {key: value for key, value in probe.items() if key != "ask"}
    asked = ask(kind, str(probe["served_name"]), release)
    return {**plain, "request": kind, **({"ask": asked} if asked is not None else {})}


def request(options: Mapping[str, Any], budget: float) -> dict[str, Any]:
    """The request of step ``probe``, see docs/contract.md.

    Without a port the probe that was committed for the server is used, its key included.
    """
    probe = options.get("probe")
    if probe is None and options.get("server_port"):
        probe = {
            "scheme": "http",
            "address": options.get("address") or "127.0.0.1",
            "port": options["server_port"],
            "served_name": options.get("served_model_name"),
            "request": "completion" if options.get("token", True) else "none",
            "api_key": None,
            "token_timeout": options.get("token_timeout") or 120.0,
        }
    return {
        "schema": SCHEMA,
        "state_dir": options["state_dir"],
        "container_name": options.get("container_name") or container_name(str(options["name"])),
        "probe": probe,
        "phase_rules": progress.PHASE_RULES,
        "budget": budget,
    }


def wait(
    remote: Remote,
    options: Mapping[str, Any],
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Look until the server is ready, dead, or the time is over.

    :param seconds: how long; 0 looks once and judges nothing
    :returns: the task's result
    :raises ConvergeError: it died, is not there, or did not become ready in time
    """
    what = str(options.get("name") or options.get("container_name"))
    begun = spoken = clock()
    said, patience = "", SLICE
    while True:
        left = seconds - (clock() - begun)
        answer = remote("probe", request(options, max(0.0, min(patience, left))))
        if answer.get("http") == 200:
            # It answers, and what it is asked for takes longer than a look: the next one lasts as long as that may.
            patience = max(SLICE, float(options.get("token_timeout") or 120.0))
        state = str(answer.get("state"))
        result = {
            key: answer.get(key)
            for key in ("state", "phase", "percent", "http", "token", "exit", "container_id", "started_at")
        }
        result.update(
            changed=False, ready=state == "ready", seconds=round(clock() - begun, 2), error=answer.get("text") or None
        )
        if state == "ready" or seconds <= 0:
            return result
        if state in {"failed", "absent", "stopped", "paused"}:
            name = str(request(options, 0.0)["container_name"])
            raise ConvergeError(_dead(what, name, state, answer, result), result)
        now = clock()
        if now - begun >= seconds:
            text = (
                f"{what}: not ready after {duration(seconds)}, {answer.get('phase') or 'loading'}. "
                "Give it more `wait_timeout`, or look at its log."
            )
            raise ConvergeError(text, result)
        line = f"{what}: {answer.get('phase') or 'loading'}{_percent(answer)}"
        if line != said or now - spoken > HEARTBEAT:
            remote.say(f"[{remote.host}] {line}, {duration(now - begun)} so far")
            said, spoken = line, now


def verdict(answer: Mapping[str, Any], seconds: float, what: str) -> dict[str, Any]:
    """The result of asking a URL.

    :raises ConvergeError: it did not become ready; asking once (``seconds`` is 0) judges nothing
    """
    result = dict(answer, changed=False)
    if answer["ready"] or seconds <= 0:
        return result
    raise ConvergeError(
        f"{what}: not ready after {duration(answer['seconds'])}: {answer['error'] or answer['state']}.", result
    )


def _dead(what: str, name: str, state: str, answer: Mapping[str, Any], result: dict[str, Any]) -> str:
    """Why it will not become ready; the diagnosis goes into the result as well."""
    if state == "absent":
        return f"{what}: there is no such container. Start it first."
    if state == "paused":
        return f"{what}: it is paused. Continue it with docker unpause {name}."
    lines = [f"{what}: it is stopped. Start it first." if state == "stopped" else f"{what}: {_exit(answer)}"]
    verdict_of_log = diagnosis.diagnose(list(answer.get("log") or ()), answer.get("exit"))
    lines += [f"  {finding}" for finding in verdict_of_log.findings]
    if verdict_of_log.telling:
        lines += ["  The log says:", *(f"    | {line}" for line in verdict_of_log.telling)]
    result["diagnosis"] = {
        "findings": [finding.as_dict() for finding in verdict_of_log.findings],
        "telling": list(verdict_of_log.telling),
    }
    return "\n".join(lines)


def _exit(answer: Mapping[str, Any]) -> str:
    """How the container ended; one that runs does not answer as it should, and the look says what is wrong."""
    how = answer.get("exit") or {}
    if how.get("oom"):
        return "it was killed because its memory limit was reached"
    if how.get("code") is not None:
        return f"it ended with exit code {how['code']}"
    return "it failed" + (f": {answer['message']}" if answer.get("message") else "")


def _percent(answer: Mapping[str, Any]) -> str:
    percent = answer.get("percent")
    return f" {percent:.0f} %" if isinstance(percent, int | float) else ""
