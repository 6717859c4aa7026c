# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The verdict about one start of a server: what its log and its exit state say together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from ..findings import Finding
from . import exits, faults, knowledge
from . import log as reading
from .knowledge import Rule

#: Most telling lines that are worth a person's time.
TELLING = 12
#: Longest telling line; vLLM prints whole configurations on one.
WIDEST = 400

HEALTHY, FAILED, LOADING, STOPPED, UNKNOWN = "healthy", "failed", "loading", "stopped", "unknown"

#: The engine, or all of it, is gone (v1/engine/{core,async_llm,core_client}.py, v1/executor; V0: async_llm_engine.py).
_DEAD = re.compile(
    r"EngineDeadError|encountered a fatal error|output_handler failed|died unexpectedly|Background loop has errored"
    r"|Engine background task failed|terminating server process|Engine process \(pid \d+\) died"
    r"|watchdog thread terminated with exception"
    r"|Engine loop is dead|Engine core proc\S* .*died|MQEngineDeadError|Engine iteration timed out"
    r"|Got fatal signal from worker|terminate called after throwing|Fatal Python error|core dumped"
)
_ENDED = re.compile(
    r"Finished server process|Application shutdown complete|^(?:INFO: +)?Shutting down\b"
    r"|API server: (?:engine client stopped|signalling HTTP server|shutting down FastAPI)|MPClient: complete"
    r"|exiting busy loop"
)
#: Somebody told it to end (entrypoints/launcher.py; uvicorn; shells).
_STOPPED = re.compile(
    r"API server: shutdown triggered|Shutting down FastAPI HTTP server|signal=SIG(?:TERM|INT)"
    r"|[Rr]eceived (?:signal|SIG)\s?(?:TERM|INT|2|15)"
    r"|Gracefully stopping|^KeyboardInterrupt|Shutdown initiated"
)
#: What a program writes that was interrupted.
_INTERRUPT = re.compile(r"KeyboardInterrupt|SystemExit|CancelledError|terminated$")
#: A rank beside the first one of a server on several hosts (entrypoints/cli/serve.py run_headless).
_HEADLESS = re.compile(r"headless (?:mode|multiproc executor),? with head node address (?P<head>[^\s,]+?)[.,]?(?:\s|$)")
#: A start is over although no exception was seen to leave the program.
_OVER = re.compile(
    r"EngineCore failed to start|WorkerProc failed to start|Application startup failed\. Exiting|Engine process failed"
)
#: Words that make a line of a log without any exception worth showing.
_TELLS = re.compile(
    r"\b(?:error|errno|fatal|failed|failure|cannot|can't|unable|denied|refused|killed|not found|no such|invalid"
    r"|unsupported|abort\w*|panic)\b",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What happened.

    :ivar findings: causes that are certain, most telling first; ``start.unknown`` when there is none
    :ivar telling: at most 12 log lines, without prefixes
    :ivar healthy: the log shows a server that became ready, and nothing says that it ended
    :ivar state: healthy, failed, loading (neither of both yet), stopped on purpose, or unknown
    :ivar evidence: the lines that the first finding rests on
    :ivar explanation: why that happens
    :ivar rule: the row that knew it, if one did
    :ivar starts: how many starts the log holds; the last one is judged
    :ivar notes: what else a person should know
    :ivar version: the release that the log names
    """

    findings: list[Finding]
    telling: list[str]
    healthy: bool
    state: str = UNKNOWN
    evidence: str = ""
    explanation: str = ""
    rule: Rule | None = None
    starts: int = 1
    notes: tuple[str, ...] = ()
    version: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, as the task returns it."""
        first = self.findings[0] if self.findings else None
        said = first.message if first else ""
        whole = " ".join(
            part if part.endswith((".", "!", "?")) else f"{part}." for part in (said, self.explanation) if part
        )
        return {
            "code": first.code if first else None,
            "state": self.state,
            "healthy": self.healthy,
            "evidence": self.evidence,
            "explanation": whole,
            "fix": (first.fix or "") if first else "",
            "field": first.field if first else None,
            "findings": [finding.as_dict() for finding in self.findings],
            "telling": list(self.telling),
            "releases": self.rule.releases if self.rule else None,
            "source": self.rule.source if self.rule else None,
            "version": self.version,
            "starts": self.starts,
            "notes": list(self.notes),
        }


class Start:
    """One start of a server: its lines, and how it ended."""

    def __init__(self, lines: list[reading.Line], how: exits.Exit | None) -> None:
        self.lines, self.how = lines, how or exits.told([line.text for line in lines[-exits.LAST :] if not line.level])
        ready = next((index for index, line in enumerate(lines) if reading.READY.search(line.text)), None)
        if ready is None:
            # Only the end of a long log: requests were answered.
            ready = next((index for index, line in enumerate(lines) if reading.SERVING.search(line.text)), None)
            if any(line.text.startswith("Traceback") and not line.level for line in lines[: min(3, ready or 0)]):
                ready = None
        self.ready = ready
        self.chains = faults.chains(lines)
        # An engine that died above the words of readiness: somebody put stderr below stdout, or joined torn pieces.
        joined = ready is not None and any(_DEAD.search(line.text) and line.level == "ERROR" for line in lines[:ready])
        self.since = 0 if ready is None or joined else ready
        after = lines[self.since :]
        died = next((at for at, line in enumerate(after) if _DEAD.search(line.text) and line.level != "INFO"), None)
        told = next((at for at, line in enumerate(after) if _STOPPED.search(line.text)), None)
        # An engine that was told to end is gone afterwards, and the server says so: that is no death.
        self.stopped = told is not None and (died is None or told < died)
        self.dead = died is not None and not self.stopped
        self.ended = any(_ENDED.search(line.text) for line in after)
        if died is None and _told_quietly([line.text for line in after]) and (self.how is None or not self.how.code):
            self.stopped = True

    def verdict(self) -> Diagnosis:
        """What this start came to."""
        if self.how and self.how.error and self.ready is None:
            refused = self._refused(self.how.error)
            if refused.rule or not self.chains:
                return refused
        if self.how and self.how.oom:
            found = exits.out_of_memory(self.how)
            other = self._cause()
            return self._failed(*found, further=other)
        if self.ready is not None and not self._broken():
            return self._well()
        if self.ready is None and not self._failing():
            return self._undecided()
        cause = self._cause()
        unknown = self._unknown_chain()
        if cause is None:
            unknown = unknown or self._logged()
        if cause is not None and not _weaker(cause, unknown):
            finding = Finding(cause.rule.code, "error", cause.message, field=cause.rule.field, fix=cause.fix)
            return self._failed(finding, cause.rule.why, cause)
        if self.how:
            known = exits.explain(self.how, self.ready is not None, self.stopped)
            if known and (self.how.code == 0 or not unknown):
                return self._failed(*known)
        elif self._interrupted() and (known := exits.explain(exits.Exit(143), False, True)):
            return self._failed(*known)
        if self.ready is not None and not unknown:
            died = exits.explain(exits.Exit(0), True, False)
            if died:
                return self._failed(*died)
        return self._failed(*self._unknown(unknown))

    def _well(self) -> Diagnosis:
        """It became ready, and nothing of its own ended it."""
        if self.how is None and not (self.ended and self.stopped):
            return Diagnosis([], [], True, HEALTHY)
        how = self.how or exits.Exit(0)
        known = exits.explain(how, True, self.stopped or (self.ended and how.signal in {2, 15}))
        finding, why = known or self._unknown([])
        state = STOPPED if finding.code == "server.stopped" else FAILED
        return dataclasses.replace(self._failed(finding, why), state=state)

    def _broken(self) -> bool:
        """After it was ready something broke it; a request that failed did not."""
        if self.dead or (self.ended and not self.stopped):
            return True
        if self.how is None or self.stopped:
            return False
        return self.how.signal not in {2, 9, 15} and self.how.code != 0

    def _failing(self) -> bool:
        """Before it was ready: is it over?"""
        if self.how is not None:
            return True
        if any(fault.final or (fault.wrapper and not fault.survived) for chain in self.chains for fault in chain):
            return True
        if self.dead or any(_OVER.search(line.text) for line in self.lines):
            return True
        last = max([chain[-1].index for chain in self.chains if not chain[-1].survived], default=-1)
        last = max([last, *(fault.index for fault in faults.logged(self.lines))])
        last = max(
            [last, *(found.index for found in knowledge.of_lines(self.lines) if found.rule.rank == knowledge.CAUSE)]
        )
        return last >= 0 and not any(
            line.level == "INFO" and not faults.GOING.search(line.text) for line in self.lines[last + 1 :]
        )

    def _undecided(self) -> Diagnosis:
        """No error, not ready, no exit state: it loads, it was told to end, or this is no such log."""
        if self.stopped and (known := exits.explain(exits.Exit(143), False, True)):
            return self._failed(*known)
        if any(line.level or line.process or "vllm" in line.text.lower() for line in self.lines):
            return Diagnosis(
                [], [], False, LOADING, explanation="It is still loading: there is no error, and it is not ready yet."
            )
        telling = [line.text for line in self.lines if _TELLS.search(line.text)]
        if telling:
            finding, why = self._unknown([])
            return Diagnosis([finding], _short(telling[-TELLING:]), False, FAILED, _short(telling)[0], why)
        text = "There is nothing of a vLLM server in it." if self.lines else "It is empty."
        return Diagnosis([], _short([line.text for line in self.lines[-8:]]), False, UNKNOWN, explanation=text)

    def _relevant(self) -> list[list[faults.Fault]]:
        """The chains that can be the cause: those after readiness, and none that was survived."""
        kept = [chain for chain in self.chains if chain[0].index >= self.since]
        ended = [chain for chain in kept if not all(fault.survived for fault in chain)]
        return ended or ([] if self.ready is not None else kept)

    def _cause(self) -> knowledge.Verdict | None:
        found = [knowledge.of_chain(chain, self._stage(chain), self.lines) for chain in self._relevant()]
        known = [item for item in found if item is not None] + knowledge.of_lines(self.lines, self.since)
        best = knowledge.best(known)
        if best is None or best.rule.rank == knowledge.CONSEQUENCE:
            return knowledge.of_words(self.lines, self.since) or best if not self._own() else best
        return best

    def _interrupted(self) -> bool:
        """Whether it was told to end before it was ready, and nothing but that is in its log."""
        seen = [fault for chain in self._relevant() for fault in chain]
        return (
            self.ready is None
            and self.stopped
            and (not seen or _INTERRUPT.search(seen[0].words) is not None)
            and all(fault.wrapper or _INTERRUPT.search(fault.words) for fault in seen)
            and not any(_OVER.search(line.text) for line in self.lines)
        )

    def _unknown_chain(self) -> list[faults.Fault]:
        """The first chain that says something of its own and that no rule knows."""
        relevant = self._relevant()
        framed = {(fault.kind, fault.text) for chain in relevant for fault in chain if fault.frames}
        for chain in relevant:
            # Some processes log an exception's words first, and its traceback after them.
            own = [fault for fault in chain if not fault.wrapper]
            true = [fault for fault in own if fault.frames or (fault.kind, fault.text) not in framed]
            if true and knowledge.of_chain(chain, self._stage(chain), self.lines) is None:
                return true
        return []

    def _logged(self) -> list[faults.Fault]:
        """What a process logged of its end when none of them told an exception of its own."""
        return [] if self._own() else faults.logged(self.lines, self.since)[:1]

    def _own(self) -> bool:
        """Whether any process told its own error as an exception."""
        return any(not fault.wrapper for chain in self._relevant() for fault in chain)

    def _stage(self, chain: Sequence[faults.Fault]) -> str:
        """In which part of its life a server was, by the traceback or else by what the log said before."""
        frames = " ".join(item for fault in chain for item in fault.frames)
        for name, pattern in _FRAMES:
            if pattern.search(frames):
                return name
        if self.ready is not None and chain[0].index >= self.since:
            return "serving"
        stage = ""
        for line in self.lines[: chain[0].index]:
            for name, pattern in _MARKS:
                if pattern.search(line.text):
                    stage = name
        return stage

    def _refused(self, error: str) -> Diagnosis:
        """The engine's own refusal stands in the container's state, not in its log."""
        known = knowledge.of_text(error)
        if known:
            finding = Finding(known.rule.code, "error", known.message, field=known.rule.field, fix=known.fix)
            return Diagnosis([finding], _short([error]), False, FAILED, _short([error])[0], known.rule.why, known.rule)
        finding, why = _by_the_engine(error)
        return Diagnosis([finding], _short([error]), False, FAILED, _short([error])[0], why)

    def _unknown(self, chain: Sequence[faults.Fault]) -> tuple[Finding, str]:
        code = self.how.code if self.how else None
        if not chain and (found := next((item for line in self.lines if (item := _HEADLESS.search(line.text))), None)):
            return exits.silent_rank(found["head"], code)
        if chain and chain[-1].kind == "engine":
            return _by_the_engine(chain[-1].text)
        what = f": {chain[-1].kind}: {chain[-1].text}"[:WIDEST] if chain else ""
        ended = f" (exit code {code})" if code is not None else ""
        begun = "the server ended" if self.ready is not None else "the start failed"
        finding = Finding(
            "start.unknown",
            "error",
            f"{begun}{ended}, and no rule knows why{what}",
            fix="The log lines below tell most.",
        )
        return finding, "No rule of the collection knows these words. The telling lines are the first error of the log."

    def _failed(
        self,
        finding: Finding,
        why: str,
        cause: knowledge.Verdict | None = None,
        further: knowledge.Verdict | None = None,
    ) -> Diagnosis:
        findings = [finding]
        if further is not None and further.rule.rank > knowledge.PLACE and further.rule.code != finding.code:
            findings.append(
                Finding(further.rule.code, "error", further.message, field=further.rule.field, fix=further.fix)
            )
        if self.ready is not None and cause is not None and finding.code != "server.engine-died":
            findings.append(
                Finding(
                    "server.engine-died",
                    "error",
                    "it had been ready, and ended by this",
                    fix="Start it again when the cause is gone.",
                )
            )
        unknown = self._unknown_chain() or self._logged() if cause is None else []
        evidence = list(cause.evidence) if cause else list(unknown[-1].lines[:4]) if unknown else []
        telling = self._telling(cause, unknown)
        if not evidence and telling:
            evidence = telling[-1:]
        state = STOPPED if finding.code == "server.stopped" else FAILED
        return Diagnosis(
            findings, telling, False, state, "\n".join(_short(evidence)), why, cause.rule if cause else None
        )

    def _telling(self, cause: knowledge.Verdict | None, unknown: Sequence[faults.Fault]) -> list[str]:
        """The lines of the first true error; without one, the last lines that say anything."""
        chain: Sequence[faults.Fault] = cause.chain if cause and cause.chain else unknown
        found = [line for fault in chain for line in fault.lines if not reading.NOISE.search(line)]
        if cause:
            found = [*(line for line in cause.evidence if line not in found), *found]
        if not found:
            chains = self._relevant()
            found = [
                line
                for fault in (chains[0] if chains else [])
                for line in fault.lines
                if not reading.NOISE.search(line)
            ]
        if not found:
            said = [line.text.strip() for line in self.lines if not reading.NOISE.search(line.text)]
            found = [text for text in said if _TELLS.search(text)][-4:] + said[-8:]
        return _short(found)[:TELLING]


#: Where in vLLM a traceback was; the first that matches counts (capturing and profiling both run the model).
_FRAMES = tuple(
    (name, re.compile(rf"\bin (?:{functions})\b"))
    for name, functions in (
        ("graphs", r"capture_model|_capture_cudagraphs|capture_graph\w*|capture_begin|_warmup_and_capture|capture"),
        ("profiling", r"profile_run|determine_(?:available_memory|num_available_blocks)|_dummy_\w*run|_?profile_\w+"),
        ("kv-cache", r"_?(?:initialize|allocate)_kv_cache\w*|initialize_(?:from_config|cache)|_init_cache_engine"),
        ("weights", r"load_(?:model\w*|weights)|_?initialize_model|create_weights|process_weights_\w+|make_layers"),
    )
)  # fmt: skip
_MARKS = (
    ("weights", re.compile(r"Starting to load model|checkpoint shards")),
    ("profiling", re.compile(r"Model loading took|Loading (?:model )?weights took")),
    ("kv-cache", re.compile(r"Available KV cache memory|Memory profiling takes|KV cache size|# (?:GPU|cuda) blocks")),
    ("graphs", re.compile(r"Capturing (?:CUDA|cudagraphs|the model)|Capturing")),
    ("serving", re.compile(r"Application startup complete")),
)  # fmt: skip


def _by_the_engine(said: str) -> tuple[Finding, str]:
    """A refusal of the container engine that no rule knows."""
    text = f"the engine could not start the container: {said}"
    return Finding("engine.refused", "error", text, fix="Correct what it names."), "The engine's own words say why."


def _told_quietly(texts: Sequence[str]) -> bool:
    """Whether vLLM's handler of SIGTERM ended it: uvicorn's last word, which an engine's death leads to, is missing."""
    begun = any(re.match(r"(?:INFO: +)?Shutting down$", text) for text in texts)
    return begun and not any("Finished server process" in text for text in texts)


def _weaker(cause: knowledge.Verdict, unknown: Sequence[faults.Fault]) -> bool:
    """Whether an error that nobody knows is nearer to the truth than what a rule knows of another one."""
    if not unknown or cause.rule.rank > knowledge.PLACE:
        return False
    return cause.rule.rank == knowledge.CONSEQUENCE or unknown[0].index < cause.index


def _short(lines: Sequence[str]) -> list[str]:
    return [line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…" for line in dict.fromkeys(lines)]
