# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The spine: observe → plan → apply → watch, for all servers of one host.

Nothing of Ansible is in here: the host is reached through :class:`following.Remote`. A converge that finds nothing to
do is exactly one remote call.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import inspection, planning, results, status, toolkit_proof
from . import observation as observing
from .findings import Finding, FindingsError, errors, located, ordered
from .following import Job, Lost, Remote, RemoteError, diagnose, failure_text, follow, limit_of
from .telling import IDLE, ahead_lines, image_lines, plan_lines
from .transport import pulling

#: What a converge may do, in the order in which it is done.
STEPS = ("prefetch", "start", "replace", "stop", "remove")
#: Actions that take nothing away from anybody, and jobs that are on their way already.
BEGINNING = frozenset({"create", "start", "update", "wait", "follow"})
#: How often a host that changed under our hands is looked at again.
ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one task wants its host converged. Fields are the task's options of the same names."""

    state_dir: str = "/var/lib/cortex-vllm"
    only: tuple[str, ...] = ()
    prune: str = "report"
    update: bool = False
    state: str | None = None
    steps: tuple[str, ...] = STEPS
    wait: bool = True
    check_mode: bool = False
    diff: bool = False
    address: str = ""
    pulse: Mapping[str, Any] | None = None
    collection_version: str = ""
    batch: tuple[str, ...] | None = None
    registries: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    contract: bool = False
    contract_image: str | None = None
    holds: tuple[Any, ...] = ()
    saved: Mapping[str, Any] | None = None

    @property
    def plan_only(self) -> bool:
        """Nothing may be started, stopped or replaced; images may still be fetched when the steps say so."""
        return self.check_mode or not set(self.steps) - {"prefetch"}

    @property
    def look_only(self) -> bool:
        """No step at all: errors of declarations are part of the answer, and no reason to fail."""
        return not self.steps


class ConvergeError(Exception):
    """A server could not be converged. ``str()`` is for the person; ``result`` goes into the task's result."""

    def __init__(self, message: str, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.result = dict(result or {})


class Converge:
    """One converge of one host."""

    def __init__(
        self,
        specs: Sequence[Any],
        settings: Settings,
        remote: Remote,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.specs = list(specs)
        self.remote = remote
        self.fetched: list[str] = []
        self.jobs: dict[str, Job] = {}
        self._clock = clock
        self._sleep = sleep
        self._first: planning.Plan | None = None
        self._asked = False

    # -- the whole

    def run(self) -> dict[str, Any]:
        """Converge the host.

        :returns: the task's result, JSON only
        :raises FindingsError: when something would not work; nothing was touched
        :raises ConvergeError: when a server failed, or the host never held still
        """
        for attempt in range(ATTEMPTS + 1):
            seen, plan = self._look()
            self._first = self._first or plan
            if self.settings.plan_only:
                if not self.settings.look_only:
                    self._tell(plan, everything=self.settings.check_mode)
                return self._result(seen, plan)
            if "prefetch" in self.settings.steps:  # otherwise the task that prefetched has told it
                self._tell(plan)
            round_jobs = self._apply(plan, seen) + [
                Job.from_pending({**job, "action": "follow"}) for job in plan.follows
            ]
            self.jobs.update({job.server: job for job in round_jobs})
            if not round_jobs:
                return self._finish(seen, plan)
            if not self.settings.wait:
                return self._result(seen, plan, pending=[job.as_pending() for job in round_jobs])
            follow(self.remote, round_jobs, self.settings.state_dir, clock=self._clock, sleep=self._sleep)
            if not any(job.unsettled or job.action == "follow" for job in round_jobs) or any(
                job.broken for job in round_jobs
            ):
                return self._finish(seen, plan)
            if attempt < ATTEMPTS:
                self.remote.say(f"[{self.remote.host}] the host changed meanwhile; looking again")
        raise ConvergeError(
            f"{self.remote.host} changed under this task {ATTEMPTS} times, something else works on the same servers. "
            "Run again when it is over.",
            self._result(seen, plan),
        )

    def resume(self, pending: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Follow jobs that an earlier task began (``wait: false``), and nothing else.

        When one of them died or found the host changed, and there are declarations, the host is converged again.

        :raises ConvergeError: when one of them failed
        """
        jobs = [Job.from_pending(entry) for entry in pending]
        self.jobs = {job.server: job for job in jobs}
        follow(self.remote, jobs, self.settings.state_dir, clock=self._clock, sleep=self._sleep)
        # Somebody else's job may have done something else than what is declared here.
        again = any(job.unsettled or job.action == "follow" for job in jobs)
        if again and not any(job.broken for job in jobs) and self.specs:
            return self.run()
        result: dict[str, Any] = {
            "changed": False,
            "servers": {name: {"action": job.action, **job.outcome()} for name, job in self.jobs.items()},
            "findings": [],
            "pending": [],
        }
        self._raise_broken(result, [job for job in jobs if job.broken or job.unsettled])
        return result

    # -- its parts

    def _look(self) -> tuple[observing.Observation, planning.Plan]:
        """Observe and plan; fetch missing images and do so again.

        :raises FindingsError: when the plan has errors
        """
        seen, plan = self._plan()
        missing = [str(reference) for reference in plan.needs.get("images") or ()]
        may_fetch = "prefetch" in self.settings.steps and not self.settings.check_mode
        if may_fetch and not errors(results.all_findings(plan)):
            wanted = dict.fromkeys(missing, False) | dict.fromkeys(self._tags(seen), True)
            if [reference for reference, force in wanted.items() if self._fetch(reference, force, seen)]:
                seen, plan = self._plan()
                missing = [str(reference) for reference in plan.needs.get("images") or ()]
        if not self.settings.check_mode and not self.settings.look_only:
            seen, plan = self._inspect(seen, plan)
        findings = results.all_findings(plan)
        # A task that would have fetched them, but for other findings, has nothing to say about them.
        told = missing and not (may_fetch and errors(findings))
        if told and not self.settings.check_mode and not self.settings.look_only:
            findings += [self._absent(reference) for reference in missing]
        if errors(findings) and not self.settings.look_only:
            raise FindingsError(ordered(located(findings, self.specs)))
        return seen, plan

    def _absent(self, reference: str) -> Finding:
        """An image that this task may not fetch."""
        spec = next((spec for spec in self.specs if spec.image == reference), None)
        return Finding(
            "image.absent",
            "error",
            f"image {reference} is not on {self.remote.host}",
            field=spec.where("image") if spec is not None else None,
            fix="Fetch it first (step `prefetch`), or load it there by hand.",
            server=spec.name if spec is not None else None,
        )

    def _inspect(self, seen: observing.Observation, plan: planning.Plan) -> tuple[observing.Observation, planning.Plan]:
        """Ask images what the plan needs to know, and plan again with the answers; no remote call when it is known."""
        asked: set[inspection.Look] = set()
        while todo := [look for look in plan.looks if look not in asked]:
            asked.update(todo)
            seen = inspection.answered(self.remote, self.settings.state_dir, seen, todo, clock=self._clock)
            plan = planning.plan(self.specs, seen, self._options())
        return seen, plan

    def _plan(self) -> tuple[observing.Observation, planning.Plan]:
        settings = self.settings
        image = settings.contract_image if settings.contract_image != toolkit_proof.NONE else None
        request = observing.query(
            self.specs, settings.state_dir, pulse=settings.pulse, contract=settings.contract, contract_image=image
        )
        answer = self.remote("observe", request)
        seen = observing.Observation.parse(answer.get("observation") or {})
        if settings.contract:
            active = [spec for spec in self.specs if spec.state not in observing.INACTIVE_STATES]
            seen = toolkit_proof.proven(self.remote, settings.state_dir, seen, active, settings.contract_image)
        return seen, planning.plan(self.specs, seen, self._options())

    def _options(self) -> planning.Options:
        settings = self.settings
        return planning.Options(
            state_dir=settings.state_dir,
            only=list(settings.only),
            prune=settings.prune,
            update=settings.update,
            steps=list(settings.steps if not settings.plan_only else STEPS),
            state_override=None if settings.state == "restarted" else settings.state,
            restart=settings.state == "restarted",
            restarted=[name for name, job in self.jobs.items() if job.action in {"restart", "start"} and job.good],
            holds=settings.holds,
            saved=settings.saved,
            collection_version=settings.collection_version,
            ahead=settings.check_mode,
            now=time.time(),
            batch=settings.batch,
            check=settings.check_mode,
        )

    def _tags(self, seen: observing.Observation) -> list[str]:
        """Images that an update asks the registry for again: tags, which may have moved. Once for a task."""
        if not self.settings.update or self._asked:
            return []
        self._asked = True
        looked_at = [spec for spec in self.specs if not self.settings.only or spec.name in self.settings.only]
        return [
            spec.image
            for spec in looked_at
            if spec.state == "started" and spec.pull != "never" and "@" not in spec.image and seen.image(spec.image)
        ]

    def _fetch(self, reference: str, force: bool, seen: observing.Observation) -> bool:
        """Pull one image in slices, with its progress.

        :param force: ask the registry although the host has an image of this name
        :returns: whether the host has another image of this name now
        :raises ConvergeError: when the engine could not pull it, or stands still
        """
        try:
            fetched = pulling.pull(
                self.remote,
                self.settings.state_dir,
                reference,
                force,
                (seen.image(reference) or {}).get("id"),
                self.settings.registries,
                clock=self._clock,
            )
        except pulling.PullError as problem:
            raise ConvergeError(str(problem), {"findings": problem.findings}) from None
        if fetched:
            self.fetched.append(reference)
        return fetched

    def _apply(self, plan: planning.Plan, seen: observing.Observation) -> list[Job]:
        """Begin the orders of the plan; no remote call when there are none."""
        job_id = uuid.uuid4().hex
        request = plan.request(job_id)
        orders = (request or {}).get("orders") or {}
        if not orders:
            return []
        groups = [list(group) for group in request.get("groups") or [[name] for name in orders]]
        limits = limit_of(orders, groups)
        jobs = [
            Job(name, job_id, 0, str(order["action"]), limits.get(name, 3600.0), results.expected(seen, name, order))
            for name, order in orders.items()
        ]
        try:
            answer = self.remote("apply", request, plan.secrets())
        except (Lost, RemoteError) as problem:
            if isinstance(problem, RemoteError) and not problem.garbled:
                raise
            # Whether it began is not known. Its journal will say; one that never began reads as dead.
            return jobs
        for job in jobs:
            begun = (answer.get("jobs") or {}).get(job.server) or {}
            job.job = str(begun.get("job") or job.job)
            job.offset = int(begun.get("offset") or 0)
        return jobs

    # -- what is told

    def _tell(self, plan: planning.Plan, everything: bool = False) -> None:
        declared = {spec.name for spec in self.specs}
        for server in plan.servers:
            # What nobody declares is told by a finding; here it only counts when something is done about it.
            for line in plan_lines(self.remote.host, server, everything and server.name in declared):
                self.remote.say(line)
        if self.settings.check_mode:
            for line in image_lines(self.remote.host, plan) + ahead_lines(self.remote.host, plan):
                self.remote.say(line)

    def _result(self, seen: observing.Observation, plan: planning.Plan, pending: Sequence[Any] = ()) -> dict[str, Any]:
        result = dict(plan.result())
        servers = {name: dict(row) for name, row in (result.get("servers") or {}).items()}
        for name, job in self.jobs.items():
            servers[name] = {**servers.get(name, {}), **job.outcome()}
            if job.action != "follow":
                servers[name]["action"] = job.action
        acted = any(job.action not in IDLE for job in self.jobs.values())
        result.update(
            changed=bool(self.fetched or acted or (self.settings.check_mode and plan.changed)),
            servers=servers,
            pending=list(pending),
            starts=[server.name for server in plan.servers if server.action in BEGINNING],
            disrupts=list(plan.disrupts),
            unwell=results.unwell(plan),
            named=[spec.name for spec in self.specs if not self.settings.only or spec.name in self.settings.only],
            fetched=list(self.fetched),
            spans=results.spans(self.specs, plan, seen, self.settings.only),
            status=status.rows(self.remote.host, self.settings.address, self.specs, plan, seen),
        )
        if self.settings.contract:
            result["toolkit"] = toolkit_proof.told(seen.contract)
        result["todo"] = [word for word in ("starts", "disrupts", "unwell") if result[word]]
        if self.settings.diff:
            result["diff"] = (self._first or plan).diff()
        return result

    def _finish(self, seen: observing.Observation, plan: planning.Plan) -> dict[str, Any]:
        """The result at the end; raises when a server failed."""
        result = self._result(seen, plan)
        unwell = [name for name in results.unwell(plan) if name not in self.jobs or self.jobs[name].unsettled]
        reasons = {server.name: server.reason or "it runs but is not well" for server in plan.servers}
        broken = [job for job in self.jobs.values() if job.broken]
        self._raise_broken(result, broken, [f"{name}: {reasons[name]}" for name in unwell])
        return result

    def _raise_broken(self, result: dict[str, Any], broken: Sequence[Job], unwell: Sequence[str] = ()) -> None:
        if not broken and not unwell:
            return
        for job in broken:
            findings, telling = diagnose(job)
            row = result["servers"].setdefault(job.server, {})
            row.update(host=self.remote.host, failure=failure_text(job), failed_at=job.last("failed").get("t"))
            row["diagnosis"] = {"findings": [finding.as_dict() for finding in findings], "telling": telling}
            result.setdefault("findings", []).extend(finding.as_dict() for finding in findings)
        texts = [failure_text(job) for job in broken] + list(unwell)
        raise ConvergeError("\n".join(texts), result)
