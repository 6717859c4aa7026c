# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Following the jobs that work on a host: their journals in, progress lines and outcomes out.

A job runs on the target by itself; here it is only watched. Losing the connection therefore loses nothing: it is
tried again, with back-off, until the job's own deadline and a margin are over.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from . import diagnosis, progress
from .findings import Finding
from .observation import SCHEMA

#: Seconds one watching call may take. Journals are read several times a second on the target, so this only sets how
#: often an idle call is repeated, not how soon something is noticed.
SLICE = 10.0
#: Seconds of silence after which a line says that it is still at work.
HEARTBEAT = 30.0
#: Seconds added to a job's own deadlines: fork, file writes, engine calls.
MARGIN = 60.0
#: Pauses between attempts to reach the host again, in seconds; the last one is repeated.
BACK_OFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

OK, FAILED, ROLLED_BACK, STALE, DIED, OVERDUE = "ok", "failed", "rolled_back", "stale", "died", "overdue"


class Lost(Exception):
    """The connection to the host broke. What runs there goes on.

    :ivar original: what the transport raised
    """

    def __init__(self, message: str, original: BaseException | None = None) -> None:
        super().__init__(message)
        self.original = original


class RemoteError(Exception):
    """The private module answered that it failed.

    :ivar garbled: nothing readable came back, as when a connection broke in the middle
    """

    def __init__(self, message: str, garbled: bool = False) -> None:
        super().__init__(message)
        self.garbled = garbled


class Remote(Protocol):
    """How the brains reach their host: one call is one execution of the private module."""

    host: str
    calls: int

    def __call__(
        self, step: str, request: Mapping[str, Any], secrets: Mapping[str, Any] | None = None
    ) -> dict[str, Any]: ...

    def say(self, line: str) -> None: ...

    def reset(self) -> None: ...


@dataclasses.dataclass
class Job:
    """One server of one job, and what its journal said so far.

    :ivar limit: seconds after which it must be over, its margins included
    :ivar expected: how a start of the same image and model went here (``seconds``, ``phases``), for the time left
    """

    server: str
    job: str
    offset: int = 0
    action: str = "start"
    limit: float = 0.0
    expected: dict[str, Any] | None = None
    result: str | None = None
    message: str = ""
    phase: str | None = None
    events: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @classmethod
    def from_pending(cls, entry: Mapping[str, Any]) -> Job:
        """The job that an earlier task returned in ``pending``."""
        return cls(
            server=str(entry["server"]),
            job=str(entry["job"]),
            offset=int(entry.get("offset") or 0),
            action=str(entry.get("action") or "start"),
            limit=float(entry.get("limit") or 3600.0),
            expected=entry.get("expected"),
        )

    def as_pending(self) -> dict[str, Any]:
        """What a later task needs to follow it (``follow``)."""
        return {
            "server": self.server,
            "job": self.job,
            "offset": self.offset,
            "action": self.action,
            "limit": self.limit,
            "expected": self.expected,
        }

    def note(self, event: Mapping[str, Any]) -> None:
        """Take one journal event into account."""
        self.events.append(dict(event))
        if event.get("event") == "phase":
            self.phase = event.get("phase")
        elif event.get("event") == "done":
            self.result = str(event.get("result"))
            self.message = str(event.get("message") or "")

    def last(self, name: str) -> dict[str, Any]:
        """The last event of this name; empty when there was none."""
        return next((event for event in reversed(self.events) if event.get("event") == name), {})

    @property
    def good(self) -> bool:
        return self.result == OK

    @property
    def broken(self) -> bool:
        return self.result in {FAILED, ROLLED_BACK, OVERDUE}

    @property
    def unsettled(self) -> bool:
        """It ended without converging and without a verdict: the host has to be looked at again."""
        return self.result in {STALE, DIED}

    def outcome(self) -> dict[str, Any]:
        """The keys of the task's result that the journal knows better than the plan did."""
        ready, committed, failed, back = (self.last(name) for name in ("ready", "committed", "failed", "rolled_back"))
        # After a roll-back the one that was started last serves, not the one that was created.
        serving = ("started", "created") if back else ("created", "started")
        known = {
            "result": self.result,
            "container_id": next(filter(None, (self.last(name).get("container_id") for name in serving)), None),
            "generation": committed.get("generation"),
            "seconds": ready.get("seconds"),
            "token": ready.get("token"),
            "downtime": committed.get("downtime"),
            "spent": committed.get("spent"),
            "phases": ready.get("phases"),
            "drained": None if not (stopped := self.last("stopped")) else not stopped.get("killed"),
            "gpu_memory": self.last("gpu_memory").get("gpus") and _gpu_memory(self.last("gpu_memory")),
            "evidence": failed.get("evidence"),
            "rolled_back": back.get("verified"),
        }
        return {key: value for key, value in known.items() if value is not None}


def _gpu_memory(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says about the wait for GPU memory."""
    return {key: event.get(key) for key in ("seconds", "free", "held", "gpus")}


def limit_of(orders: Mapping[str, Mapping[str, Any]], groups: list[list[str]]) -> dict[str, float]:
    """Seconds after which each order must be over: its own start, a roll-back's start, stop, waits, and those before.

    Servers of one group run one after the other, so the limits of a group add up.
    """
    limits: dict[str, float] = {}
    for group in groups:
        total = MARGIN
        for name in group:
            order = orders[name]
            start = max(float(order.get("start_timeout") or 600.0), float(order.get("start_limit") or 0.0))
            token = float((order.get("probe") or {}).get("token_timeout") or 0.0)
            total += start + token + float(order.get("stop_timeout") or 30.0)
            if order.get("action") in {"replace", "restart", "recover"}:
                total += max(start, float(order.get("rollback_limit") or 0.0)) + token
            total += float(order.get("lock_timeout") or 30.0)
            total += float(order.get("gpu_lock_timeout") or 0.0) if order.get("gpu_locks") else 0.0
            total += float((order.get("warm") or {}).get("limit") or 0.0)
            limits[name] = total
    return limits


def follow(
    remote: Remote,
    jobs: list[Job],
    state_dir: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Watch the jobs until each has an outcome (``Job.result``). Before the deadline a lost connection is no error.

    :raises Lost: when the host could not be reached again before the deadline
    :raises RemoteError: when the host answers, but cannot watch
    """
    lines = progress.Follower({job.server: job.expected for job in jobs if job.expected})
    begun = spoken = clock()
    open_jobs = {job.server: job for job in jobs if job.result is None}
    losses = 0
    while open_jobs:
        request = {
            "schema": SCHEMA,
            "state_dir": state_dir,
            "jobs": {name: {"job": job.job, "offset": job.offset} for name, job in open_jobs.items()},
            "budget": SLICE,
        }
        try:
            answer = remote("watch", request)
        except (Lost, RemoteError) as problem:
            if isinstance(problem, RemoteError) and not problem.garbled:
                raise
            if clock() - begun > max(job.limit for job in open_jobs.values()):
                raise Lost(
                    f"{remote.host} could not be reached again: {problem}. "
                    "The job goes on there by itself; run again to see how it ended.",
                    getattr(problem, "original", None),
                ) from None
            pause = BACK_OFF[min(losses, len(BACK_OFF) - 1)]
            losses += 1
            remote.say(f"[{remote.host}] connection lost, the job goes on there; trying again in {pause:.0f} s")
            sleep(pause)
            remote.reset()
            continue
        if losses:
            remote.say(f"[{remote.host}] connected again")
            losses = 0
        for name, item in (answer.get("servers") or {}).items():
            job = open_jobs.get(name)
            if job is None:
                continue
            job.offset = int(item.get("offset") or job.offset)
            events = item.get("events") or []
            for event in events:
                job.note(event)
                line = lines.line(remote.host, name, event)
                if line:
                    remote.say(line)
                    spoken = clock()
            if job.result is None and not events and not item.get("alive"):
                job.result, job.message = DIED, "the job ended without saying how"
        now = clock()
        for job in open_jobs.values():
            if job.result is None and now - begun > job.limit:
                job.result = OVERDUE
                job.message = f"no end after {now - begun:.0f} s; it goes on by itself on the host"
        open_jobs = {name: job for name, job in open_jobs.items() if job.result is None}
        if open_jobs and now - spoken > HEARTBEAT:
            for name, job in open_jobs.items():
                remote.say(f"[{remote.host}] {name}: {job.phase or 'waiting'}, {duration(now - begun)} so far")
            spoken = now


def diagnose(job: Job) -> tuple[list[Finding], list[str]]:
    """Findings and telling log lines of a failed job, from the log that the target saved."""
    failed = job.last("failed")
    if not failed:
        return [], []
    found: list[Finding] = []
    telling: list[str] = []
    if failed.get("log") or failed.get("exit"):
        verdict = diagnosis.diagnose(list(failed.get("log") or ()), failed.get("exit"))
        found, telling = list(verdict.findings), list(verdict.telling)
    if not any(finding.severity == "error" and finding.code not in UNSURE for finding in found):
        # No word of the log: then what the host saw is the cause.
        found = by_reason(str(failed.get("reason") or ""), str(failed.get("message") or "")) or found
    return [dataclasses.replace(finding, server=job.server) for finding in found], telling


#: Codes that say that the log does not tell the cause.
UNSURE = frozenset({"start.unknown", "server.killed", "server.stopped"})


def by_reason(reason: str, message: str) -> list[Finding]:
    """Findings from why the hands gave up (``failed`` of the journal), where no log tells; may be empty."""
    if reason in {"create", "start", "files"}:
        # The engine's and the system's own words are known to the diagnosis as they are to a start that they refused.
        verdict = diagnosis.diagnose([], {"code": 128, "oom": False, "error": message, "seconds": None})
        known = [finding for finding in verdict.findings if finding.code not in UNSURE]
        if reason == "files" and all(finding.code == "engine.refused" for finding in known):
            return [Finding("host.files", "error", message, fix="Mend what the message names, and converge again.")]
        return known
    if reason == "timeout":
        moved = "nothing has moved" in message
        fix = "Read the last lines of its log: it waits for something that does not come."
        return [Finding("start.stalled" if moved else "start.timeout", "error", message, fix=fix if moved else LONGER)]
    if reason == "probe":
        fix = "See what it answers: the declared name, key and kind of request (`probe`) must be its own."
        return [Finding("probe.failed", "error", message, fix=fix)]
    if reason == "stop":
        return [Finding("server.stop-failed", "error", message, fix="See what the engine says; restart the engine.")]
    if reason == "exit" and "removed by" in message:
        # Too quickly for anybody to see how it ended (module_utils/follow.py): there is neither exit code nor log.
        fix = "Find out who removes containers of this host, a clean-up job perhaps, and converge again."
        return [Finding("server.killed", "error", message, fix=fix)]
    if reason == "lock":
        return [Finding("server.locked", "error", message, fix="Wait until the other job is over, and converge again.")]
    return []


LONGER = "Give it more start_timeout if its phases go on, or see at which phase it stands."


def failure_text(job: Job) -> str:
    """Why a server failed, and what serves now, for a person: several lines, the cause first."""
    failed = job.last("failed")
    cause = failed.get("message") or job.message or "no reason was given"
    lines = [f"{job.server}: {_verb(job.action)} failed: {cause}"]
    findings, telling = diagnose(job)
    lines += [f"  {finding}" for finding in findings]
    if telling:
        lines.append("  The log says:")
        lines += [f"    | {line}" for line in telling]
    back = job.last("rolled_back")
    if back:
        if not back.get("ran", True):
            lines.append(f"  {_sentence(back.get('message'))}")
        elif back.get("verified"):
            lines.append(f"  The old server answers again (verified after {duration(back.get('seconds') or 0)}).")
        else:
            why = back.get("message") or "no token came back"
            lines.append(f"  The old server was started again but does NOT answer: {why}.")
    if failed.get("evidence"):
        lines.append(f"  Evidence on the host: {failed['evidence']}")
    return "\n".join(lines)


def _sentence(words: Any) -> str:
    text = str(words or "there was no old server to go back to")
    return f"{text[0].upper()}{text[1:]}."


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 05 s``, ``3 h 10 min``, ``4 d 2 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _verb(action: str) -> str:
    return {"create": "start", "recover": "recovery", "update": "update in place"}.get(action, action)
