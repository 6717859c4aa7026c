# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Findings: the one language in which every check, and every diagnosis, speaks.

A check is a pure function that yields :class:`Finding`. An error finding refuses a change before anything is stopped;
a warning is told; an information is kept in the result. A person who knows better overrules an error by naming its
code in ``accept`` of the declaration.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]

#: Most severe first: the order in which findings are told.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

#: A code is ``<concern>.<what>``, in words joined by hyphens: ``gpu.shared``, ``argument.unknown``.
CODE = re.compile(r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)+$")


def first_of(names: Sequence[str], most: int = 3) -> str:
    """Names for a sentence: ``a, b, c and 4 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that a check has to say.

    :ivar code: stable name, ``<concern>.<what>``; what ``accept`` names
    :ivar severity: ``error`` refuses a change, ``warning`` is told, ``info`` is only kept in the result
    :ivar message: what is wrong, without the field's name and without any secret
    :ivar field: path of the field to change, such as ``vllm_servers[chat].engine_args.max_model_len``
    :ivar fix: what to write instead, as an imperative
    :ivar server: name of the declared server, when the finding belongs to one
    :ivar origin: the offending value itself, kept so that the caller can say file and line. It never takes part in
        comparisons, is never shown and never serialised; for secrets it is left out.
    """

    code: str
    severity: Severity
    message: str
    field: str | None = None
    fix: str | None = None
    server: str | None = None
    origin: Any = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not CODE.match(self.code):
            raise ValueError(f"{self.code!r} is not a finding code: write it as 'concern.what'")
        if self.severity not in SEVERITIES:
            raise ValueError(f"{self.severity!r} is not a severity: write one of {', '.join(SEVERITIES)}")

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON data; ``origin`` stays behind."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "field": self.field,
            "fix": self.fix,
            "server": self.server,
        }

    def __str__(self) -> str:
        """One line: ``<field>: <message>. <fix>``."""
        line = f"{self.field}: {self.message}" if self.field else self.message
        if self.fix:
            line = f"{_sentence(line)} {self.fix}"
        return _sentence(line)


class FindingsError(Exception):
    """Something cannot go on because of these findings (at least one).

    ``str()`` is one line for each finding, errors first.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings: list[Finding] = list(findings)
        super().__init__(text(self.findings))


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that refuse a change, in their order."""
    return [finding for finding in findings if finding.severity == "error"]


def text(findings: Iterable[Finding]) -> str:
    """One line for each finding, the most severe first; the order inside one severity is kept."""
    return "\n".join(str(finding) for finding in ordered(findings))


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The findings with errors first, then warnings, then information; stable inside each."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def located(findings: Iterable[Finding], specs: Iterable[Any]) -> list[Finding]:
    """The findings, each with what the person wrote at its field, so that the caller can say file and line."""
    known = {getattr(spec, "name", None): spec for spec in specs}

    def one(finding: Finding) -> Finding:
        spec = known.get(finding.server)
        if finding.origin is not None or spec is None or not hasattr(spec, "pointed"):
            return finding
        return dataclasses.replace(finding, origin=spec.pointed(finding.field))

    return [one(finding) for finding in findings]


def accepted(findings: Iterable[Finding], codes: Iterable[str]) -> list[Finding]:
    """The findings after a person's ``accept``: errors with one of ``codes`` become warnings.

    They stay in the list, so that what somebody decided to live with is still told at every run.
    """
    known = frozenset(codes)
    return [
        dataclasses.replace(finding, severity="warning")
        if finding.severity == "error" and finding.code in known
        else finding
        for finding in findings
    ]


def _sentence(line: str) -> str:
    """``line`` with a full stop at its end, unless it ends as a sentence already."""
    return line if line.endswith((".", "!", "?", ":")) else f"{line}."
