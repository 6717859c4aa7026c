# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What to do about one server: every state it can be in, in the order in which they matter."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..checks import Server as Subject
from ..checks import ports
from ..containers import container_name
from ..findings import Finding, first_of
from ..observation import Observation
from . import intact, wellbeing
from .compared import Compared, compare_all
from .holds import Holds
from .model import Options, ServerPlan
from .prepare import Prepared


def decide(ready: Prepared, observation: Observation, options: Options, holds: Holds) -> ServerPlan:
    """The plan of one declared server, its order not yet written."""
    plan = ServerPlan(ready.spec.name, findings=list(ready.findings))
    container, server = ready.container, ready.server
    if container is not None and container.server != plan.name:
        return _foreign(plan, container, ready)
    plan.gpus = frozenset(ready.gpus) | (container.gpus - {"all"} if container else frozenset())
    plan.facts = _facts(ready)
    compared = compare_all(ready, observation) if ready.active else Compared()
    plan.differences, plan.classes = compared.all, compared.classes
    code, why = "", ""
    if container is None:
        plan.state = wellbeing.ABSENT
    else:
        probe = (server.committed or {}).get("probe") or (ready.rendered.probe if ready.rendered is not None else None)
        timeout = float(ready.rendered.start_timeout) if ready.rendered is not None else 600.0
        plan.state, code, why = wellbeing.judge(container, server, probe, timeout, observation.host.get("time"))
    if code:
        plan.facts["trouble"] = {"code": code, "why": why}
    if _busy(plan, ready) or _held(plan, ready, observation, holds):
        return plan
    if server.transaction:
        plan.action, plan.state = "recover", "interrupted"
        plan.reason = _cut_off(server.transaction)
        return plan
    if options.restart:
        _restarted(plan, ready, options)
        _mend(plan, compared)
    elif ready.state == "absent":
        if container is not None or server.committed:
            plan.action, plan.reason = "remove", "it is declared absent"
    elif ready.state == "stopped":
        if container is not None and (container.running or container.restarting):
            plan.action, plan.reason = "stop", "it is declared stopped"
    else:
        _started(plan, ready, compared, options, code, why)
        _mend(plan, compared)
        _stray(plan, observation)
    if plan.action == "none":
        _leftover(plan, ready, observation)
    return plan


def _leftover(plan: ServerPlan, ready: Prepared, observation: Observation) -> None:
    """A container that a killed job had made and not yet noted. A change removes it; without one it would stay."""
    found = observation.by_name.get(f"{container_name(plan.name)}.new")
    if found is not None and found.server == plan.name and not ready.server.locked:
        plan.action, plan.reason = "recover", f"an earlier change was cut off and left container {found.name} behind"


def _restarted(plan: ServerPlan, ready: Prepared, options: Options) -> None:
    """Asked for by a person: what is there is started anew as it is. Differences wait for the next converge."""
    if plan.name in options.restarted:
        plan.reason = "it was restarted just now"
    elif ready.state != "started":
        plan.reason = f"it is declared {ready.state}"
    elif ready.container is None or not ready.server.committed:
        plan.reason = "there is nothing to restart"
    elif plan.state == wellbeing.STOPPED:
        plan.action, plan.reason = "start", "a restart is asked for, and it does not run"
    else:
        plan.action, plan.reason = "restart", "a restart is asked for"


def _cut_off(transaction: Mapping[str, Any]) -> str:
    what, step = transaction.get("action") or "change", transaction.get("step") or "?"
    return f"an earlier {what} was cut off at step {step}"


def _started(plan: ServerPlan, ready: Prepared, compared: Compared, options: Options, code: str, why: str) -> None:
    """A server that is to run and that nobody works on."""
    container, committed = ready.container, ready.server.committed
    changes = _changes(compared, options)
    if container is None:
        plan.action, plan.reason = "create", "its container is gone" if committed else "it is new"
    elif not committed:
        plan.action, plan.reason = "replace", "there is a container of this name, and no record of it"
    elif container.state.get("Dead"):
        plan.action, plan.reason = "replace", "its container is dead: the engine could not remove it"
    elif changes and ready.rendered is None:
        # Its image has to be fetched first, or findings say why it cannot be rendered: planned, not ordered.
        plan.action, plan.reason = "replace", _because(changes)
    elif changes:
        in_place = all(item.kind == "in_place" for item in changes) and container.running
        plan.action = "update" if in_place else "replace"
        plan.reason = _because(changes)
    elif compared.files and not compared.mendable and _down(plan, code):
        plan.action, plan.reason = "replace", _because(compared.files)
    elif plan.state == wellbeing.STOPPED:
        plan.action, plan.reason = "start", why
    elif plan.state == wellbeing.LOADING:
        plan.action, plan.reason = "wait", why
    elif compared.files and _down(plan, code):
        plan.action, plan.reason = "restart", _because(compared.files)
    elif plan.state == wellbeing.FAILED:
        _unwell(plan, ready, code, why)
    elif compared.mendable:
        plan.action, plan.reason = "update", _because(compared.files)


def _down(plan: ServerPlan, code: str) -> bool:
    """Whether nobody loses anything by a new start."""
    return plan.state == wellbeing.STOPPED or code == "server.crash-loop"


def _mend(plan: ServerPlan, compared: Compared) -> None:
    """Whether changed files are put back with what is done, and what a person must know where they cannot be."""
    if not compared.files:
        return
    plan.mends = compared.mendable and plan.action in {"start", "restart", "update"}
    runs = plan.state not in {wellbeing.STOPPED, wellbeing.FAILED}
    if (plan.action == "replace" and runs) or (not compared.mendable and plan.action != "replace"):
        plan.findings.append(intact.finding(plan.name, compared.files, plan.action))


def _changes(compared: Compared, options: Options) -> list[Any]:
    """The differences that are a reason to act."""
    found = [item for item in (*compared.declared, *compared.drift) if item.kind != "cosmetic"]
    if options.update:
        found += [item for item in compared.rendered if item.kind != "cosmetic"]
        if not compared.rendered:
            found += [item for item in compared.body if item.field == "image"]
    return found


def _because(changes: list[Any]) -> str:
    """``declared: engine_args.max_model_len`` …, the causes in the order of their weight."""
    words = {
        "declared": "declared",
        "drift": "changed by hand",
        "resolved": "moved",
        "renderer": "written otherwise now",
    }
    parts = []
    for cause, word in words.items():
        names = [item.field for item in changes if item.cause == cause]
        if names:
            parts.append(f"{word}: {first_of(names)}")
    return "; ".join(parts)


def _unwell(plan: ServerPlan, ready: Prepared, code: str, why: str) -> None:
    plan.reason = why
    if getattr(ready.spec, "restart_when_hung", False) and code in {"server.hung", "server.engine-dead"}:
        plan.action = "restart"
        return
    name = container_name(plan.name)
    fix = (
        # Whoever paused it meant it: nothing but a person takes that back. No log tells anything about it.
        f"docker unpause {name} continues it; the playbook cortex.vllm.restart starts it anew. A converge leaves it"
        " paused until its declaration changes, and replaces it then."
        if code == "server.paused"
        else f"Look at its log (docker logs --tail 400 {name}). Restart it by hand, or declare restart_when_hung: true."
    )
    plan.findings.append(Finding(code or "server.failed", "warning", why, fix=fix, server=plan.name))


def _busy(plan: ServerPlan, ready: Prepared) -> bool:
    """A job that holds the lock is followed, never disturbed."""
    live = ready.server.live_job
    if live:
        plan.action, plan.reason = "follow", "a job works on it"
        plan.state = wellbeing.LOADING
        plan.facts["job"] = {"server": plan.name, "job": live.get("job"), "offset": 0}
        return True
    if ready.server.locked:
        pid = (ready.server.raw.get("lock") or {}).get("pid")
        plan.findings.append(
            Finding(
                "server.locked",
                "warning",
                f"another program holds its lock{f' (pid {pid})' if pid else ''}",
                server=plan.name,
            )
        )
    return False


def _held(plan: ServerPlan, ready: Prepared, observation: Observation, holds: Holds) -> bool:
    """Held by its own declaration, with its host or with one of its GPUs: skipped, and said."""
    found = _own_hold(plan, ready, observation) or holds.on(plan.gpus)
    if found is None:
        return False
    hold, field, what = found
    until = f" until {hold.until}" if hold is not None and hold.until else ""
    plan.action, plan.reason = "held", f"{what}{until}: {hold.reason if hold is not None else 'no reason given'}"
    finding = Finding("server.held", "info", plan.reason, field=field, server=plan.name)
    if ready.server.transaction:
        # Nobody finishes it while it is held, and the server may be down: that is more than a remark.
        plan.state = "interrupted"
        plan.reason += f"; {_cut_off(ready.server.transaction)}, and stays so"
        fix = "End the hold and converge: what was cut off is finished, or undone."
        finding = dataclasses.replace(finding, severity="warning", message=plan.reason, fix=fix)
    plan.findings.append(finding)
    return True


def _own_hold(plan: ServerPlan, ready: Prepared, observation: Observation) -> tuple[Any, str, str] | None:
    """What its declaration says, as :meth:`Holds.on` does: ``(hold or None, its field, what is held)``. One that is
    over is over, and told."""
    held = getattr(ready.spec, "held", None)
    if held is None and ready.state != "held":
        return None
    field, now = ready.spec.where("held"), observation.host.get("time")
    if held is not None and now is not None and held.over(now):
        text = f"the hold ended at {held.until}; the server is converged again"
        plan.findings.append(
            Finding("server.hold-over", "warning", text, field=field, fix="Delete held.", server=plan.name)
        )
        return None
    return held, field, "held"


def _foreign(plan: ServerPlan, container: Any, ready: Prepared) -> ServerPlan:
    """Somebody else's container has our name: never touched."""
    whose = f"it is {container.server}'s" if container.server else "this collection did not create it"
    plan.state, plan.reason = "unknown", f"container {container.name} is not its own"
    status = container.state.get("Status") or "unknown"
    if ready.state in {"absent", "stopped"} and not container.server:
        severity = "warning"
    else:
        severity = "error"
    plan.findings.append(
        Finding(
            "container.foreign",
            severity,  # type: ignore[arg-type]
            f"there is a container {container.name} already ({status}), and {whose}",
            fix=f"Remove it (docker rm -f {container.name}), rename it, or name the server otherwise.",
            server=plan.name,
        )
    )
    return plan


def _stray(plan: ServerPlan, observation: Observation) -> None:
    """Copies that carry our label under another name: told, because they hold ports, GPUs and memory."""
    base = container_name(plan.name)
    usual = {base, f"{base}.new"} | ({f"{base}.kept"} if plan.action != "none" else set())
    for container in observation.labelled.get(plan.name, ()):
        if container.name not in usual:
            status = container.state.get("Status") or "unknown"
            fix = f"Remove it when nobody needs it: docker rm -f {container.name}."
            plan.findings.append(
                Finding(
                    "container.stray",
                    "warning",
                    f"container {container.name} ({status}) carries this server's label",
                    fix=fix,
                    server=plan.name,
                )
            )


def port_findings(
    plan: ServerPlan, ready: Prepared, observation: Observation, leaving: dict[str, frozenset[tuple[str, int]]]
) -> None:
    """Who holds the port of a server that is about to start. One of us that gives it up in this plan goes first.

    :param leaving: ports that our containers give up in this plan, by server
    """
    if plan.action not in {"create", "replace", "start", "recover"}:
        return
    for port, entry in ports.holders(ready.spec, observation.ports):
        earlier = [
            name
            for name, given_up in leaving.items()
            if name != plan.name
            and entry.get("container") == container_name(name)
            and any(port == other for _address, other in given_up)
        ]
        if earlier:
            plan.after += earlier
        else:
            subject = Subject(ready.spec, observation)
            running = sorted(container.name for container in observation.containers if container.running)
            plan.findings.append(ports.kept(subject, port, entry, running) or ports.taken(subject, port, entry))


def _last_change(server: Any) -> dict[str, Any]:
    """What the last replacement cost its clients, if it was one."""
    last = server.history[0] if server.history else {}
    return {"last_downtime": last["downtime"], "last_spent": last.get("spent")} if last.get("downtime") else {}


def _facts(ready: Prepared) -> dict[str, Any]:
    """What a person wants to know about a server, beside the action."""
    committed, spec = ready.server.committed or {}, ready.spec
    health = ready.server.health
    published = spec.published()
    facts: dict[str, Any] = {
        "phase": None,
        "container_id": ready.container.id if ready.container else None,
        "generation": committed.get("generation"),
        "image": spec.image,
        "image_id": committed.get("image_id") or ready.image_id,
        "url": f"http://{published[0][0]}:{published[0][1]}" if published else None,
        "gpus": sorted(ready.gpus),
        "health": dict(health) if health else None,
        "ready_seconds": ready.server.ready_seconds,
    }
    facts.update(_last_change(ready.server))
    if ready.memory is not None:
        facts["memory"] = ready.memory
    if ready.ahead is not None:
        facts["ahead"] = ready.ahead
    if ready.rendered is not None and ready.rendered.probe:
        probe = ready.rendered.probe
        facts["url"] = (
            f"{probe.get('scheme', 'http')}://{probe.get('address')}:{probe.get('port')}" if probe.get("port") else None
        )
    return facts
