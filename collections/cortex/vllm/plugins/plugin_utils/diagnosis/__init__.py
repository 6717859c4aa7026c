# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Diagnosis: a log and an exit state become findings and the lines that tell.

Only what is certain becomes a finding with a cause; anything else stays unknown, with the telling lines. The rules are
data (``rules/*.json``, described in :mod:`.knowledge`, listed in docs/diagnosis.md). Codes are those of the checks that
could have foreseen it. Several starts in one log: the last one is judged.

:mod:`.prefixes` takes off what carried the log, :mod:`.log` finds the exceptions, :mod:`.knowledge` knows them,
:mod:`.exits` knows exit codes, and :mod:`.verdict` puts it together for one start of a server.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from ..findings import Finding
from . import exits, sources
from . import log as reading
from .knowledge import CONSEQUENCE, Rule, rules
from .prefixes import bare
from .verdict import FAILED, HEALTHY, LOADING, STOPPED, TELLING, UNKNOWN, WIDEST, Diagnosis, Start

__all__ = ["STOPPED", "TELLING", "WIDEST", "Diagnosis", "Rule", "diagnose", "rules"]

#: More lines than these are first looked through for what matters of them.
MANY = 16_000
_COMPOSE_END = re.compile(r"(?P<service>\S+) exited with code \d+")


def diagnose(log: Sequence[str], exit: Any = None, server: str | None = None) -> Diagnosis:
    """Explain why a start failed, or say that nobody knows yet.

    :param log: last lines of the container's output (400 are enough: a worker's cause stands 120 before the end)
    :param exit: ``{code, oom, error, seconds}`` of the container, docker's State, or its code; None while it runs
    :param server: name of the declared server, for the paths of fields
    :raises ValueError: when ``exit`` is no exit state
    """
    how = exits.read(exit)
    if len(log) > MANY:
        log = sources.of_lines(log)
    services: dict[str, list[reading.Line]] = {}
    for service, text in bare(log):
        if not service and any(services) and (ended := _COMPOSE_END.match(text)):
            service = ended["service"]  # compose itself says how one of its services ended
            if service not in services:
                continue
        services.setdefault(service, []).append(reading.line_of(text))
    told = [(name, _of_one(lines, how)) for name, lines in services.items()] or [("", _of_one([], how))]
    if len(told) > 1:  # docker compose logs: the one with the trouble, then the one that is vLLM
        order = {FAILED: 0, LOADING: 1, STOPPED: 2, HEALTHY: 3, UNKNOWN: 4}
        name, verdict = min(
            told,
            key=lambda item: (not item[1].version and item[1].rule is None, order[item[1].state], _vague(item[1])),
        )
        verdict = dataclasses.replace(
            verdict, notes=(*verdict.notes, f"of {len(told)} services in this log this is {name or 'the unnamed one'}")
        )
    else:
        verdict = told[0][1]
    if server:
        verdict = dataclasses.replace(verdict, findings=[_of(server, finding) for finding in verdict.findings])
    return verdict


def _vague(verdict: Diagnosis) -> bool:
    """Whether it names no cause: of two ranks of one server the other one may."""
    return bool(verdict.findings) and (verdict.rule is None or verdict.rule.rank == CONSEQUENCE)


def _of(server: str, finding: Finding) -> Finding:
    field = f"vllm_servers[{server}].{finding.field}" if finding.field else None
    return dataclasses.replace(finding, field=field, server=server)


def _of_one(lines: list[reading.Line], how: exits.Exit | None) -> Diagnosis:
    """The verdict about one server's log; a note says what became of earlier starts."""
    begins = reading.starts(lines)
    start = Start(lines[begins[-1] :], how)
    verdict = dataclasses.replace(start.verdict(), starts=len(begins), version=reading.version(lines))
    if len(begins) == 1:
        return verdict
    notes = [f"{len(begins)} starts are in this log; the last one is judged"]
    before = Start(lines[begins[-2] : begins[-1]], None).verdict()
    if before.state == FAILED and before.findings:
        notes.append(f"the start before it failed: {before.findings[0].message}")
        if verdict.state == LOADING:  # a crash loop seen between two crashes
            finding = dataclasses.replace(before.findings[0], severity="warning")
            verdict = dataclasses.replace(
                verdict, findings=[finding], evidence=before.evidence, explanation=before.explanation, rule=before.rule,
                telling=before.telling,
            )  # fmt: skip
    return dataclasses.replace(verdict, notes=tuple(notes))
