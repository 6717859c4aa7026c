# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The rules: what a log or an engine says, what it means, and what to change. Data in ``rules/*.json``.

A row has

``code``      the finding, one of the checks' where a check could have foreseen it
``pattern``   a regular expression; its groups are the numbers and names for the texts
``message``   what is wrong, with ``{group}``; what stands in ``[[…]]`` is left out when a group in it found nothing
``why``       the explanation: what leads to it
``fix``       what to change in the declaration, in the same notation
``field``     the field of the declaration to change, if there is one
``releases``  vLLM releases whose source has the text, or ``any`` when it is not vLLM's
``source``    file in vLLM's source, or the project that says it
``where``     ``error`` (default): exceptions and refusals; ``log``: any line that is no information
``rank``      ``cause`` (default), ``general`` (right, but a more telling line wins), ``place`` (known by where it was
              raised alone), ``consequence`` (only when nothing else is known)
``stage``     only when it happened there: weights, profiling, kv-cache, graphs, serving
``frames``    a regular expression that a line of the traceback has to match
``innermost`` a regular expression for the file of the traceback's last frame, where it was raised
``given``     a regular expression that another line of the log has to match, too; its groups count as well
``within``    an area: a regular expression for any frame. Counts only when no other row knows the exception, and the
              frame nearest to where it was raised decides
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from .faults import WRAPPERS, Fault
from .log import NOISE, Line

FOLDER = pathlib.Path(__file__).parent / "rules"
RANKS = ("consequence", "place", "general", "cause")
CONSEQUENCE, PLACE, GENERAL, CAUSE = range(4)
#: Files in the order in which rules of one rank are tried.
FILES = ("engine", "arguments", "memory", "gpu", "network", "model", "hub", "image", "host", "server", "areas")

_OPTIONAL = re.compile(r"\[\[(.*?)\]\]")
_GROUP = re.compile(r"\{(\w+)\}")


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row."""

    code: str
    pattern: re.Pattern[str]
    message: str
    why: str
    fix: str
    field: str | None
    releases: str
    source: str
    where: str
    rank: int
    stage: str | None
    frames: re.Pattern[str] | None
    innermost: re.Pattern[str] | None
    within: re.Pattern[str] | None
    given: re.Pattern[str] | None
    concern: str

    def fits(self, text: str, fault: Fault | None, stage: str) -> re.Match[str] | None:
        """The match, if text, traceback and stage are the rule's."""
        match = self.pattern.search(text)
        if match is None:
            return None
        if self.stage is not None and self.stage != stage:
            return None
        if self.innermost is not None and (
            fault is None or fault.wrapper or not self.innermost.search(fault.raised_in)
        ):
            return None
        if self.frames is not None and not (fault and any(self.frames.search(item) for item in fault.frames)):
            return None
        return match


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A rule that knows what a log says, where it says so, and the texts with their numbers."""

    rule: Rule
    message: str
    fix: str
    evidence: tuple[str, ...]
    index: int
    chain: tuple[Fault, ...] = ()
    warned: bool = False

    @property
    def weight(self) -> int:
        """The rank of its rule; what a process only warned of, and went on, tells less than what ended one."""
        return min(self.rule.rank, GENERAL) if self.warned else self.rule.rank


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """All rules, in the order in which they are tried."""
    found = []
    for name in FILES:
        for row in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["rules"]:
            found.append(
                Rule(
                    row["code"],
                    re.compile(row["pattern"], re.MULTILINE),
                    row["message"],
                    row["why"],
                    row["fix"],
                    row.get("field"),
                    row["releases"],
                    row["source"],
                    row.get("where", "error"),
                    RANKS.index(row.get("rank", "cause")),
                    row.get("stage"),
                    re.compile(row["frames"]) if row.get("frames") else None,
                    re.compile(row["innermost"]) if row.get("innermost") else None,
                    re.compile(row["within"]) if row.get("within") else None,
                    re.compile(row["given"]) if row.get("given") else None,
                    name,
                )
            )
    return tuple(found)


def of_chain(chain: Sequence[Fault], stage: str, lines: Sequence[Line] = ()) -> Verdict | None:
    """The most telling rule that knows a fault of the chain; its last word is tried first.

    :param lines: all of the log, for rules that want another line beside
    """
    if lines and (beside := _with_another(chain, stage, lines)):
        return beside
    best: tuple[Rule, re.Match[str], Fault] | None = None
    for fault in reversed(chain):
        known = _known(fault.words, fault.frames, fault.wrapper, stage)
        if known is not None and (best is None or known[0].rank > best[0].rank):
            best = (*known, fault)
    best = best or _in_one_line(chain, stage) or _nearest(chain)
    if best is None:
        return None
    rule, match, fault = best
    evidence = fault.lines if len(fault.lines) < 4 else fault.lines[:4]
    return _verdict(rule, match, evidence, fault.index, tuple(chain))


def _with_another(chain: Sequence[Fault], stage: str, lines: Sequence[Line]) -> Verdict | None:
    """What a rule knows of an exception together with another line of the log."""
    for rule in rules():
        for fault in reversed(chain) if rule.given else ():
            match = rule.fits(fault.words, fault, stage)
            if match is None or rule.given is None:
                continue
            for line in lines:
                if (other := rule.given.search(line.text)) and not NOISE.search(line.text):
                    evidence = (line.text.strip(), *fault.lines[:3])
                    return _verdict(rule, match, evidence, fault.index, tuple(chain), other.groupdict())
    return None


#: Lines of an exception that may be one sentence.
_SENTENCE = 6


def _in_one_line(chain: Sequence[Fault], stage: str) -> tuple[Rule, re.Match[str], Fault] | None:
    """What a telling rule knows of an exception whose sentence somebody broke into lines."""
    for fault in reversed(chain):
        if not fault.wrapper and len(fault.lines) > 1:
            words = " ".join([f"{fault.kind}: {fault.text}", *fault.lines[1:_SENTENCE]])
            known = _known(words, fault.frames, False, stage)
            if known is not None and known[0].rank == CAUSE:
                return (*known, fault)
    return None


def _nearest(chain: Sequence[Fault]) -> tuple[Rule, re.Match[str], Fault] | None:
    """The area of the code that an exception nobody knows came from: of its traceback, the frame that is nearest."""
    areas = [rule for rule in rules() if rule.within is not None]
    for fault in reversed(chain):
        if fault.wrapper:
            continue
        for frame in reversed(fault.frames):
            if not frame.startswith("File "):
                continue
            for rule in areas:
                if rule.within and rule.within.search(frame) and (match := rule.pattern.search(fault.words)):
                    return rule, match, fault
    return None


@lru_cache(maxsize=256)
def _known(words: str, frames: tuple[str, ...], wrapper: bool, stage: str) -> tuple[Rule, re.Match[str]] | None:
    """The most telling rule that fits. The ranks of a server, and the wrappers around them, repeat their words."""
    fault = Fault("", "", (), wrapper, frames=frames)
    best: tuple[Rule, re.Match[str]] | None = None
    for rule in rules():
        if rule.where != "error" or rule.within or rule.given or (best is not None and rule.rank <= best[0].rank):
            continue
        match = rule.fits(words, fault, stage)
        if match:
            best = (rule, match)
            if rule.rank == CAUSE:
                break
    return best


def of_lines(lines: Sequence[Line], begin: int = 0) -> list[Verdict]:
    """What rules know of lines that are no exception; the first line for each rule."""
    wanted = [rule for rule in rules() if rule.where == "log"]
    found: list[Verdict] = []
    for index, line in enumerate(lines[begin:], begin):
        if line.level in {"INFO", "DEBUG"} or NOISE.search(line.text):
            continue
        for rule in wanted:
            match = rule.fits(line.text, None, "")
            if match:
                known = _verdict(rule, match, (line.text.strip(),), index)
                found.append(dataclasses.replace(known, warned=line.level == "WARNING"))
                wanted.remove(rule)
                break
    return found


def of_text(text: str) -> Verdict | None:
    """What the rules say about one text alone, as a container engine's refusal."""
    return of_chain([Fault("engine", text, (text,))], "")


#: Libraries warn with words of their own.
_WARNS = re.compile(r"(?:\S+: )?[Ww](?:arning|ARNING)\b")


def of_words(lines: Sequence[Line], begin: int = 0) -> Verdict | None:
    """The first line that says, without being an exception, what a telling rule knows of exceptions.

    One that a general rule knows counts when there is no such line.
    """
    general: Verdict | None = None
    for index, line in enumerate(lines[begin:], begin):
        text = line.text.strip()
        if line.level not in {"INFO", "DEBUG", "WARNING"} and not _WARNS.match(text) and not NOISE.search(text):
            known = _known(f"Error: {text}", (), bool(WRAPPERS.search(text)), "")
            if known and known[0].rank == CAUSE:
                return _verdict(*known, (text,), index)
            if known and known[0].rank == GENERAL and known[0].concern != "engine" and general is None:
                general = _verdict(*known, (text,), index)
    return general


def best(found: Sequence[Verdict]) -> Verdict | None:
    """The most certain, and of those the first in the log."""
    return max(found, key=lambda verdict: (verdict.weight, not verdict.warned, -verdict.index), default=None)


def _verdict(
    rule: Rule,
    match: re.Match[str],
    evidence: Sequence[str],
    index: int,
    chain: tuple[Fault, ...] = (),
    other: Mapping[str, str | None] | None = None,
) -> Verdict:
    values = {key: value or "" for key, value in {**match.groupdict(), **(other or {})}.items()}
    values.update({key: made for key, made in _derived(values).items() if made})
    return Verdict(rule, fill(rule.message, values), fill(rule.fix, values), tuple(evidence), index, chain)


def fill(template: str, values: Mapping[str, str]) -> str:
    """The text with its groups; ``[[…]]`` only when every group in it found something."""

    def optional(match: re.Match[str]) -> str:
        inner = match[1]
        return inner if all(values.get(name) for name in _GROUP.findall(inner)) else ""

    text = _GROUP.sub(lambda match: values.get(match[1], "").strip(), _OPTIONAL.sub(optional, template))
    return re.sub(r" {2,}", " ", text).strip()


def _derived(values: Mapping[str, str]) -> dict[str, str]:
    """What can be worked out of the numbers found: the share that is free, sizes that divide."""
    made = {}
    for name, (needs, work) in _WORK.items():
        if name in values or not all(values.get(need) for need in needs):
            continue
        try:
            made[name] = work(*(values[need] for need in needs))
        except (ValueError, ZeroDivisionError):
            continue
    return made


def _share(free: str, total: str) -> str:
    """The largest gpu_memory_utilization that fits into what is free, two digits, a little below."""
    share = math.floor((float(free) / float(total) - 0.01) * 100) / 100
    return f"{share:.2f}" if 0.05 < share < 1 else ""


def _divisors(number: str) -> str:
    whole = int(number)
    return ", ".join(str(item) for item in range(1, min(whole, 64) + 1) if whole % item == 0)


_WORK: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "share_that_fits": (("free", "total"), _share),
    "divisors": (("heads",), _divisors),
}
