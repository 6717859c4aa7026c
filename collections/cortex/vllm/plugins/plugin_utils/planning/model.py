# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The plan of one host: plain data, nothing decided here."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from ..differences import Difference
from ..findings import Finding

#: What a task may be allowed to do (``steps``), and the actions that belong to each step.
STEPS: dict[str, frozenset[str]] = {
    "prefetch": frozenset(),
    "start": frozenset({"create", "start", "wait", "update"}),
    "replace": frozenset({"replace", "restart", "recover"}),
    "stop": frozenset({"stop"}),
    "remove": frozenset({"remove"}),
}
#: Actions that take a running server away from its clients, for however short a time.
DISRUPTIVE = frozenset({"replace", "restart", "recover", "stop", "remove"})
#: Actions that change nothing on the host.
PASSIVE = frozenset({"none", "follow", "wait", "held", "deferred"})


@dataclasses.dataclass(frozen=True)
class Options:
    """How a plan is made.

    :ivar only: names of servers to look at; siblings are still seen for conflicts. Empty: all
    :ivar prune: ``ignore``, ``report`` or ``remove`` our containers that nobody declares
    :ivar update: whether moved tags, moved branches and what a newer collection writes otherwise are taken over
    :ivar steps: what may be done; anything else is reported as ``deferred``
    :ivar state_override: state for the named servers instead of the declared one
    :ivar batch: hosts that are converged side by side; None when nobody said
    :ivar restart: whether servers are restarted as they are, and nothing else is done
    :ivar restarted: names of servers that this task has restarted already
    :ivar holds: what is held on the host (``spec.Hold``)
    :ivar saved: servers of a saved plan, which alone may be carried out; None: there is none
    :ivar salt: for digests of secrets of servers without a record, hexadecimal
    :ivar collection_version: kept in the record
    :ivar ahead: say what newer releases will say to each declaration
    :ivar now: the controller's time, seconds since the epoch; None leaves the clock unchecked
    :ivar check: nothing will be done: a missing engine that somebody accepts is one that comes before this in earnest
    """

    state_dir: str = "/var/lib/cortex-vllm"
    only: Sequence[str] = ()
    prune: str = "report"
    update: bool = False
    steps: Sequence[str] = tuple(STEPS)
    state_override: str | None = None
    batch: Sequence[str] | None = None
    restart: bool = False
    restarted: Sequence[str] = ()
    holds: Sequence[Any] = ()
    saved: Mapping[str, Any] | None = None
    salt: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))
    collection_version: str = ""
    ahead: bool = False
    now: float | None = None
    job_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    check: bool = False

    def allows(self, action: str) -> bool:
        """Whether the steps of this task include an action."""
        return action in PASSIVE - {"wait"} or any(action in STEPS.get(step, ()) for step in self.steps)


@dataclasses.dataclass
class ServerPlan:
    """What is to be done with one server, and why.

    :ivar action: ``none``, ``create``, ``replace``, ``start``, ``restart``, ``update``, ``stop``, ``remove``,
        ``recover``, ``wait`` (it loads and nobody waits for it), ``follow`` (a job works on it), ``held``,
        ``deferred`` (``deferred`` says what)
    :ivar state: what it is now: ``ready``, ``loading``, ``failed``, ``stopped``, ``absent``, ``interrupted``,
        ``unknown``
    :ivar order: the order for the host; None when there is nothing to do
    :ivar classes: classes of the differences: ``declared``, ``drift``, ``renderer``, ``resolved``, ``in_place``,
        ``cosmetic``
    :ivar gpus: UUIDs that it has or will have, for the order of starts
    :ivar mends: whether files that somebody changed are put back on the way
    :ivar fingerprint: by which a saved plan is known to be still the same; None when there is nothing to do
    """

    name: str
    action: str = "none"
    state: str = "unknown"
    differences: list[Difference] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    order: dict[str, Any] | None = None
    reason: str = ""
    classes: list[str] = dataclasses.field(default_factory=list)
    deferred: str | None = None
    gpus: frozenset[str] = frozenset()
    secrets: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    after: list[str] = dataclasses.field(default_factory=list)
    mends: bool = False
    fingerprint: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, without secrets."""
        return {
            "action": self.action,
            "state": self.state,
            "reason": self.reason,
            "classes": list(self.classes),
            "deferred": self.deferred,
            "fingerprint": self.fingerprint,
            "differences": [item.as_dict() for item in self.differences],
            "findings": [item.as_dict() for item in self.findings],
            **self.facts,
        }
