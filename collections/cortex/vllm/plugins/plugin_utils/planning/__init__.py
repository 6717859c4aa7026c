# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Planning: declarations and an observation become a plan. Pure: no I/O, no clock, no engine.

``plan()`` sees all servers of a host together, because GPUs, ports and names are shared. Where things are:

* ``prepare``: GPUs, image (pinned), checks and rendering of each declaration;
* ``compared``: differences, classed; ``wellbeing``: how an unchanged server is;
* ``decide``: the action of each server; ``orders``: what the host is told; ``groups``: what waits for what;
* ``holds``: what must be left alone; ``saved``: a plan that somebody read before;
* ``plan``, ``model``, ``text``: the result.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

from .. import spec
from ..checks import Host, host_findings
from ..containers import container_name
from ..findings import Finding, accepted, errors, ordered
from ..observation import INACTIVE_STATES, Observation
from .decide import decide, port_findings
from .groups import groups, ring
from .holds import Holds, in_force
from .looks import verdict, wanted
from .model import PASSIVE, STEPS, Options, ServerPlan
from .orders import order
from .plan import Plan
from .prepare import Prepared, assign_gpus, declaration_hash, prepare
from .saved import deviations, fingerprint

#: Actions that one host of a model cannot do by itself.
_TOGETHER = frozenset({"create", "replace", "start", "restart"})


def plan(specs: Sequence[Any], observation: Observation, options: Options | None = None) -> Plan:
    """Plan one host.

    Never raises for what is wrong on the host: that becomes findings, and an error among ``Plan.findings`` refuses
    the whole plan before anything is stopped.

    :param specs: all declarations of the host, siblings of ``only`` included
    :param observation: the answer to ``observation.query(specs, …)``
    """
    options = options or Options()
    result = Plan(options)
    chosen, unknown = _chosen(specs, options)
    result.findings += unknown
    # Errors among them were refused when the declarations were loaded; what somebody accepted is still told.
    across = spec.check([item for item in specs if item.kind == "server"])
    result.findings += [item for item in across if item.server in chosen and item.severity != "error"]
    states = {
        item.name: (options.state_override or item.state) if item.name in chosen else item.state for item in specs
    }
    active = tuple(item for item in specs if states[item.name] not in INACTIVE_STATES)
    host = host_findings(Host(observation, active, str(options.state_dir), options.now))
    if errors(host) and observation.engine.get("status") != "ok":
        # Without an engine nothing is known about any container; one clear error is better than fifty.
        reason, awaited = "the engine cannot be asked", False
        if options.check:
            # Something that runs before this in earnest brings the engine (role host): then every server is new.
            host = accepted(host, _accepted_by_all(specs, chosen))
            awaited = not errors(host)
            reason = "the engine is not there yet" if awaited else reason
        awaiting = {item.name for item in active}
        result.servers = [
            ServerPlan(item.name, action="create" if awaited and item.name in awaiting else "none", reason=reason)
            for item in specs
            if item.name in chosen
        ]
        result.findings += host
        return result
    holds = in_force(options.holds, observation)
    result.findings += holds.findings
    assigned, gpu_problems = assign_gpus(specs, observation, states, frozenset(holds.gpus))
    prepared: list[tuple[ServerPlan, Prepared]] = []
    for item in specs:
        if item.name not in chosen:
            continue
        ready = prepare(
            item, states[item.name], observation, options, active, assigned, gpu_problems.get(item.name, ())
        )
        ready.findings += verdict(ready)
        prepared.append((decide(ready, observation, options, holds), ready))
    pruned = _undeclared(specs, observation, options, holds)
    _ports(prepared, pruned, observation, options)
    for server, ready in prepared:
        _settle(server, ready, options, result)
    for server in pruned:
        if server.action == "remove":
            _ordered(server, _removal(server, observation), options, salted=True)
    result.servers = [server for server, _ready in prepared] + pruned
    host = accepted(host, _accepted_by_all(specs, chosen))
    writes = any(server.action in {"create", "replace", "start", "update"} for server in result.servers)
    result.findings += host if writes else _softened(host)
    for server in result.servers:
        result.findings += server.findings
    if options.saved is not None:
        result.findings += deviations(result.servers, options.saved)
    result.findings = ordered(dict.fromkeys(result.findings))
    return result


def _chosen(specs: Sequence[Any], options: Options) -> tuple[set[str], list[Finding]]:
    names = [spec.name for spec in specs]
    if not options.only:
        return set(names), []
    findings = []
    for name in options.only:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            fix = f"Did you mean {near[0]}?" if near else f"This host declares {', '.join(names) or 'no server'}."
            # No error: a play over several hosts names a server that only one of them has.
            findings.append(
                Finding("only.unknown", "info", f"no server {name} is declared on this host", field="only", fix=fix)
            )
    return set(options.only) & set(names), findings


def _accepted_by_all(specs: Sequence[Any], chosen: set[str]) -> set[str]:
    """Codes that every declaration lives with: only those count for what concerns the host as a whole."""
    lists = [set(item.accept) for item in specs if item.name in chosen]
    return set.intersection(*lists) if lists else set()


def _settle(server: ServerPlan, ready: Prepared, options: Options, result: Plan) -> None:
    """Findings by ``accept`` and by whether there is a change to refuse; the order; what the steps leave out."""
    server.findings = accepted(server.findings, getattr(ready.spec, "accept", None) or ())
    # What brings a server back (recover) is never refused.
    starts = server.action in {"create", "replace", "start", "restart", "update"}
    if ready.image_needed and ready.active and server.action in {"create", "replace", "none"}:
        missing = (
            server.action != "none" or options.update or (ready.server.committed or {}).get("image") != ready.spec.image
        )
        if missing and ready.spec.image not in result.needs["images"]:
            result.needs["images"].append(ready.spec.image)
    if not starts and not any(finding.code == "container.foreign" for finding in server.findings):
        server.findings = _softened(server.findings, _declared_now(server))
    look = wanted(ready, server.action in {"create", "replace"})
    if look is not None and look not in result.looks:
        result.looks.append(look)
    if server.action in PASSIVE - {"wait"}:
        return
    server.findings += _alone(server, ready, options)
    if server.action in {"create", "replace", "update"} and ready.rendered is None:
        # Refused by findings, or its image has to be fetched first: nothing can be ordered yet.
        _ordered(server, None, options, salted=False)
        return
    _ordered(server, order(server, ready, options), options, salted=bool((ready.server.committed or {}).get("salt")))
    if server.action in {"create", "replace"} or server.mends:
        server.secrets = ready.spec.secret_values()


def _alone(server: ServerPlan, ready: Prepared, options: Options) -> list[Finding]:
    """A model that spans hosts changes on all of them side by side, or not at all."""
    nodes = getattr(ready.spec, "nodes", None)
    if nodes is None or options.batch is None or server.action not in _TOGETHER:
        return []
    missing = [name for name in nodes.names if name not in options.batch]
    if not missing:
        return []
    text = f"{server.action} needs all of its hosts side by side, and {', '.join(missing)} is not in this batch"
    fix = "Run cortex.vllm.site without --limit, or with all of them; it does models that span hosts by themselves."
    return [Finding("node.batch", "error", text, field=ready.spec.where("nodes"), fix=fix, server=server.name)]


def _ordered(server: ServerPlan, written: dict[str, Any] | None, options: Options, *, salted: bool) -> None:
    """Give a server its order, unless the steps of this task leave it out."""
    if server.action not in PASSIVE:
        server.fingerprint = fingerprint(server, written, salted)
    _allow(server, options)
    if server.action != "deferred":
        server.order = written


def _softened(findings: Sequence[Finding], changed: Sequence[str] = ()) -> list[Finding]:
    """Errors about something that is not going to change only warn.

    :param changed: fields that somebody has just declared otherwise; what is wrong about these stays an error, although
        nothing comes of it: a line that could not be rendered is no difference
    """

    def stays(item: Finding) -> bool:
        return any(item.field is not None and item.field.endswith(f"].{name}") for name in changed)

    return [
        dataclasses.replace(item, severity="warning") if item.severity == "error" and not stays(item) else item
        for item in findings
    ]


def _declared_now(server: ServerPlan) -> list[str]:
    """Fields of the declaration that are not what they were."""
    if server.action not in {"none", ""}:
        return []
    return [item.field for item in server.differences if item.cause == "declared"]


def _allow(server: ServerPlan, options: Options) -> None:
    if not options.allows(server.action):
        server.deferred, server.action = server.action, "deferred"
        server.reason = (
            f"{server.deferred} is not among the steps of this task{f' ({server.reason})' if server.reason else ''}"
        )


def _ports(
    prepared: list[tuple[ServerPlan, Prepared]], pruned: list[ServerPlan], observation: Observation, options: Options
) -> None:
    """Ports that change hands inside this plan, and strangers that hold one."""
    leaving = {}
    for server, ready in [*prepared, *((server, None) for server in pruned)]:
        container = observation.container(server.name)
        if container is None or not options.allows(server.action):
            continue
        if server.action in {"remove", "stop"}:
            leaving[server.name] = container.published
        elif server.action == "replace" and ready is not None:
            leaving[server.name] = container.published - frozenset(ready.spec.published())
    for server, ready in prepared:
        port_findings(server, ready, observation, leaving)
    for name in ring([server for server, _ready in prepared]):
        server = next(item for item, _ready in prepared if item.name == name)
        fix = "Move one of them to a third port first, then both to where they belong."
        text = f"it waits for the port of {', '.join(server.after)}, which waits for another's in turn"
        server.findings.append(
            Finding("port.ring", "error", text, field=f"vllm_servers[{name}].server_port", fix=fix, server=name)
        )


def _undeclared(specs: Sequence[Any], observation: Observation, options: Options, holds: Holds) -> list[ServerPlan]:
    """Our containers of servers that nobody declares any more."""
    declared = {spec.name for spec in specs}
    found: dict[str, ServerPlan] = {}
    for container in observation.containers:
        name = container.server
        if name is None or name in declared or name in found or options.prune == "ignore":
            continue
        status = container.state.get("Status") or "unknown"
        found[name] = ServerPlan(name, state="ready" if container.running else "stopped", gpus=container.gpus - {"all"})
        found[name].facts = {"container_id": container.id, "undeclared": True}
        held = holds.on(found[name].gpus)
        if held and options.prune == "remove":
            found[name].action, found[name].reason = "held", f"{held[2]}: {held[0].reason}"
        elif options.prune == "remove" and not _part_only(options) and observation.container(name) is not None:
            found[name].action, found[name].reason = "remove", "nobody declares it"
        else:
            fix = f"Declare it, or write prune: remove; by hand: docker rm -f {container.name}."
            text = f"container {container.name} ({status}) belongs to server {name}, which nobody declares"
            found[name].findings.append(Finding("server.undeclared", "warning", text, fix=fix, server=name))
    return list(found.values())


def _part_only(options: Options) -> bool:
    """Whether the task is about some servers, or restarts what is there: neither takes anything away from others."""
    return bool(options.only) or options.restart


def _removal(server: ServerPlan, observation: Observation) -> dict[str, Any]:
    """The order that removes a server without a declaration."""
    known = observation.servers.get(server.name)
    container = observation.container(server.name)
    return {
        "action": "remove",
        "expected": {
            "container_id": container.id if container else None,
            "state_hash": known.state_hash if known else None,
        },
        "container_name": container_name(server.name),
        "kept_name": f"{container_name(server.name)}.kept",
        "remove_kept": True,
        "gpu_locks": sorted(server.gpus),
        "lock_timeout": 30.0,
        "stop_timeout": 30.0,
        "start_timeout": 600.0,
        "remove_state": True,
    }


__all__ = ["PASSIVE", "STEPS", "Options", "Plan", "ServerPlan", "declaration_hash", "groups", "plan"]
