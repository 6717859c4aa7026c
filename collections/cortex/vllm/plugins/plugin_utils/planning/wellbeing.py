# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""How a server is that nothing is to be changed about: ready, loading, hung, dead."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ..containers import Container
from ..observation import Server

#: So many starts in a row that have failed are a loop, not bad luck; the launcher's count includes the present one.
LOOP = 3
READY, LOADING, FAILED, STOPPED, ABSENT = "ready", "loading", "failed", "stopped", "absent"


def judge(
    container: Container, server: Server, probe: Mapping[str, Any] | None, start_timeout: float, now: float | None
) -> tuple[str, str, str]:
    """State, code of a finding (empty when all is well) and why.

    Sources: vLLM serves /health only after start-up: 200 when the engine lives, 503 (500 before 0.11) when it died;
    before readiness the port is bound and not served, so connections are refused, reset or end empty
    (vllm/entrypoints/openai/api_server.py, .../serve/instrumentator/health.py).

    :param probe: the committed probe; without a port there is nothing to ask
    :param start_timeout: seconds that a start may take
    :param now: the host's time
    """
    state = container.state
    if state.get("Paused"):
        return FAILED, "server.paused", f"it is paused; docker unpause {container.name} continues it"
    looping = server.failed_starts > LOOP and (server.health or {}).get("http") != 200
    if looping and (container.restarting or container.running):
        return FAILED, "server.crash-loop", _looping(container, server)
    if container.restarting:
        return LOADING, "", f"it died (exit code {state.get('ExitCode')}) and the engine starts it again"
    if not container.running:
        return STOPPED, "", _died(container)
    if not (probe or {}).get("port"):
        return READY, "", ""
    health = server.health
    if health is None:
        return READY, "", "its health was not asked"
    age = _age(container, now)
    status = health.get("http")
    if status == 200:
        served = (probe or {}).get("served_name")
        names = health.get("models")
        if served and names is not None and served not in names:
            return FAILED, "server.other-model", f"it answers for {', '.join(names) or 'no model'}, not for {served}"
        hung = _hung(health.get("pulse") or {})
        if hung:
            return FAILED, "server.hung", hung
        return READY, "", ""
    if status is not None:
        return FAILED, "server.engine-dead", f"/health answers {status}: its engine died"
    why = str(health.get("error") or "no answer")
    if age is None or age < start_timeout:
        return LOADING, "", f"it does not answer yet ({why})"
    return FAILED, "server.hung", f"it runs for {age:.0f} s and does not answer: {why}"


def _looping(container: Container, server: Server) -> str:
    code = container.state.get("ExitCode")
    ended = f", the last time with exit code {code}" if container.restarting else ""
    return f"{server.failed_starts - 1} starts in a row have failed{ended}"


def _hung(pulse: Mapping[str, Any]) -> str:
    """What is wrong with a server that answers 200, by its pulse; empty when nothing is."""
    if pulse.get("token"):
        return ""
    if pulse.get("moved") is False:
        what = f"{pulse.get('running') or 0} requests run, {pulse.get('waiting') or 0} wait, and no token comes"
        asked = f"; asked for one: {pulse['error']}" if pulse.get("error") else ""
        return f"/health answers 200, but {what} for {float(pulse.get('seconds') or 0):.0f} s{asked}"
    if pulse.get("token") is False and pulse.get("moved") is None:
        return f"/health answers 200, but no token comes: {pulse.get('error')}"
    return ""


def _died(container: Container) -> str:
    exit_state = container.exit
    if container.state.get("Status") == "created":
        return f"it was never started{': ' + exit_state['error'] if exit_state['error'] else ''}"
    words = " (out of memory)" if exit_state["oom"] else ""
    return f"it exited with code {exit_state['code']}{words}"


def _age(container: Container, now: float | None) -> float | None:
    """Seconds since the container started, by the host's own clock."""
    started = str(container.state.get("StartedAt") or "")
    if now is None or not started or started.startswith("0001"):
        return None
    try:
        # Engines write nanoseconds; fromisoformat reads microseconds.
        head, _dot, tail = started.removesuffix("Z").partition(".")
        zone = tail[tail.index("+") :] if "+" in tail else "+00:00"
        return now - datetime.datetime.fromisoformat(head + (zone if "+" not in head else "")).timestamp()
    except ValueError:
        return None
