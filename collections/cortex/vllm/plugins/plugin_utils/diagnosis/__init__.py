# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Diagnosis: a log and an exit state become findings and the lines that tell.

Only what is certain becomes a finding with a cause; anything else stays unknown, with the telling lines. The rules are
data (``rules.json``): pattern, code, message, fix, field and where the rule comes from. Codes are those of the checks
that could have foreseen it.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..findings import Finding
from . import log as reading

#: Most telling lines that are worth a person's time.
TELLING = 12
#: Longest telling line; vLLM prints whole configurations on one.
WIDEST = 400


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What happened.

    :ivar findings: causes that are certain, most telling first; ``start.unknown`` when there is none
    :ivar telling: at most 12 log lines, without prefixes
    :ivar healthy: the log shows a server that became ready, and nothing says that it ended
    """

    findings: list[Finding]
    telling: list[str]
    healthy: bool


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row of ``rules.json``."""

    code: str
    pattern: re.Pattern[str]
    message: str
    fix: str
    field: str | None
    source: str
    where: str


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """The rules, in the order in which they are tried."""
    rows = json.loads((pathlib.Path(__file__).parent / "rules.json").read_text(encoding="utf-8"))["rules"]
    return tuple(
        Rule(
            row["code"],
            re.compile(row["pattern"]),
            row["message"],
            row["fix"],
            row.get("field"),
            row["source"],
            row.get("where", "error"),
        )
        for row in rows
    )


def diagnose(log: Sequence[str], exit: Mapping[str, Any] | None = None, server: str | None = None) -> Diagnosis:
    """Explain why a start failed, or say that nobody knows yet.

    :param log: last lines of the container's output (400 are enough: a worker's cause stands 120 before the end)
    :param exit: ``{code, oom, error, seconds}`` of the container; None while it runs
    :param server: name of the declared server, for the paths of fields
    """
    lines = reading.parse(log)
    chain = reading.first_chain(lines)
    ready = any("Application startup complete" in line.text for line in lines)
    code = exit.get("code") if exit else None
    findings = _by_engine(exit) + _by_rules(chain, lines)
    if exit and exit.get("oom"):
        findings.insert(0, _out_of_memory(exit))
    if not findings:
        findings = _by_exit(code, exit, chain, ready)
    if not findings and (exit or chain):
        findings = [_unknown(chain, code)]
    healthy = ready and exit is None and not any(fault.wrapper is False for fault in chain)
    if healthy:
        findings = []
    if server:
        findings = [_of(server, finding) for finding in findings]
    return Diagnosis(findings, _telling(chain, lines, findings), healthy)


def _of(server: str, finding: Finding) -> Finding:
    field = f"vllm_servers[{server}].{finding.field}" if finding.field else None
    return dataclasses.replace(finding, field=field, server=server)


def _by_rules(chain: Sequence[reading.Fault], lines: Sequence[reading.Line]) -> list[Finding]:
    """The first rule that knows a fault of the chain; the chain's last word is tried first."""
    texts = {"error": [f"{fault.kind}: {fault.text}" for fault in reversed(chain)]}
    texts["log"] = [line.text for line in lines if not reading.NOISE.search(line.text)]
    for rule in rules():
        for text in texts[rule.where]:
            match = rule.pattern.search(text)
            if match:
                values = {key: value or "" for key, value in match.groupdict().items()}
                message, fix = rule.message.format(**values), rule.fix.format(**values)
                return [Finding(rule.code, "error", message, field=rule.field, fix=fix)]
    return []


def _by_engine(exit: Mapping[str, Any] | None) -> list[Finding]:
    """The engine's own refusal stands in the container's state, not in its log."""
    error = str((exit or {}).get("error") or "")
    if not error:
        return []
    known = _by_rules([reading.Fault("engine", error, (error,))], [])
    return known or [
        Finding(
            "engine.refused",
            "error",
            f"the engine could not start the container: {error}",
            fix="Correct what it names.",
        )
    ]


def _out_of_memory(exit: Mapping[str, Any]) -> Finding:
    return Finding(
        "memory.oom-killed",
        "error",
        f"the kernel killed it for memory (exit code {exit.get('code')})",
        field="memory",
        fix="Raise the memory limit, or take a smaller model or KV cache (VLLM_CPU_KVCACHE_SPACE on CPUs).",
    )


def _by_exit(code: Any, exit: Mapping[str, Any] | None, chain: Sequence[reading.Fault], ready: bool) -> list[Finding]:
    """Exit codes that mean one thing (measured with 0.32; docs/contract.md names the fields)."""
    if code == 2 and chain:
        return [
            Finding(
                "argument.invalid",
                "error",
                f"vLLM refused its command line: {chain[0].text}",
                field="engine_args",
                fix="Correct the argument it names.",
            )
        ]
    if code == 0 and ready:
        text = "its engine died after it was ready: vLLM then ends with exit code 0"
        return [
            Finding(
                "server.engine-died",
                "error",
                text,
                fix="Look above the shutdown lines of its log for the engine's or a worker's error.",
            )
        ]
    if code == 137 and not chain:
        text = (
            "it was killed (exit code 137) without a word: by docker kill, at the end of a stop timeout, or by the"
            " kernel for memory"
        )
        return [Finding("server.killed", "error", text, fix="Look at dmesg for the OOM killer, and at who stopped it.")]
    if code == 143 and not chain:
        return [
            Finding("server.stopped", "error", "it was stopped (SIGTERM) before it was ready", fix="Start it again.")
        ]
    return []


def _unknown(chain: Sequence[reading.Fault], code: Any) -> Finding:
    what = f": {chain[-1].kind}: {chain[-1].text}"[:WIDEST] if chain else ""
    ended = f" (exit code {code})" if code is not None else ""
    return Finding(
        "start.unknown",
        "error",
        f"the start failed{ended}, and no rule knows why{what}",
        fix="The log lines below tell most.",
    )


def _telling(chain: Sequence[reading.Fault], lines: Sequence[reading.Line], findings: Sequence[Finding]) -> list[str]:
    """The lines of the first true error; without one, the last lines that say anything."""
    found = [line for fault in chain for line in fault.lines if not reading.NOISE.search(line)]
    if not found and findings:
        found = [line.text.strip() for line in lines if not reading.NOISE.search(line.text)][-8:]
    return [line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…" for line in dict.fromkeys(found)][:TELLING]
