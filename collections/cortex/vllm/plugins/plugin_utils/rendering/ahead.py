# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What a declaration will meet in the releases after its own, so that an upgrade is planned and not discovered.

Nothing is known here that the checks do not know: the declaration is read for each newer release of the catalogue,
and what those have to say that today's does not is told once, at the first release that says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .. import catalog
from ..findings import Finding
from ..spec import ServerSpec
from . import linting
from .arguments import arguments
from .tables import has

#: What a finding means for an upgrade, by its code.
_KINDS = {
    "argument.removed": "removed",
    "environment.removed": "removed",
    "argument.translated": "rewritten",
    "argument.deprecated": "deprecated",
    "environment.deprecated": "deprecated",
}
#: The same for all others, by severity. Other information is no news about a release.
_OTHERS = {"error": "refused", "warning": "warned"}
#: ``vllm_servers[chat].`` before a setting.
_SERVER = re.compile(r"^[^.\[]*(?:\[[^\]]*\])?\.")
#: Said where nothing is to be done by hand.
_BY_ITSELF = "Nothing: it is written so for you"


def ahead(spec: ServerSpec, release: catalog.Release) -> list[dict[str, Any]]:
    """One row for each thing that is different in a newer release, the nearest release first. JSON only.

    * ``kind``: ``deprecated`` (works, and will go), ``rewritten`` (the collection says it in the new words by itself),
      ``removed`` and ``refused`` (the upgrade is refused until it is changed), ``warned``;
    * ``release``: where it begins; ``until``: the last release that says so, None when the newest known one does;
    * ``field``, ``code``, ``message``, ``fix``: as the finding that release would give.

    :param release: that the declaration is for now
    """
    key = catalog.version_key(release.version)
    told = {_identity(finding, release) for finding in _said(spec, release)}
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for version in catalog.versions():
        newer = catalog.release(version) if catalog.version_key(version) > key else None
        if newer is None:
            continue
        for finding in _said(spec, newer):
            identity = _identity(finding, newer)
            if identity in rows:
                rows[identity]["until"] = version
            elif identity not in told:
                rows[identity] = _row(spec, finding, newer)
    newest = catalog.versions()[-1]
    found = [{**row, "until": None if row["until"] == newest else row["until"]} for row in rows.values()]
    for place, row in enumerate(found):
        later = _later(row, found[place + 1 :])
        row["fix"] = later or row["fix"] if row["kind"] == "deprecated" else row["fix"] or later
    return found


def _later(row: dict[str, Any], rest: list[dict[str, Any]]) -> str | None:
    """What to do about something deprecated: what will have to be done once it is gone."""
    return next((other["fix"] for other in rest if other["field"] == row["field"]), None)


def _said(spec: ServerSpec, release: catalog.Release) -> Iterator[Finding]:
    """What a release has to say about the declaration, but for mere information."""
    rendered = arguments(spec, release)
    yield from (finding for finding in rendered.findings if _kind(finding))
    subject = linting.Subject(spec, release, rendered.values, rendered.origins)
    yield from (finding for finding in linting.lint(subject) if _kind(finding))


def _kind(finding: Finding) -> str | None:
    return _KINDS.get(finding.code) or _OTHERS.get(finding.severity)


def _identity(finding: Finding, release: catalog.Release) -> tuple[str, ...]:
    """By what two releases say the same: a translation by its words, all else by what it is about."""
    words = _message(finding, release, "") if finding.code == "argument.translated" else ""
    return finding.code, finding.field or "", words


def _message(finding: Finding, release: catalog.Release, name: str) -> str:
    """The message without the release in the image, which is not the one that is told about."""
    text = finding.message.replace(f" {has(release.version)}", "")
    return text.replace(f"vLLM {release.version}", f"vLLM {name}".strip())


def _row(spec: ServerSpec, finding: Finding, release: catalog.Release) -> dict[str, Any]:
    kind, name = str(_kind(finding)), catalog.since(release.version)
    field = finding.field or ""
    return {
        "server": spec.name,
        "field": field,
        "setting": _SERVER.sub("", field),
        "kind": kind,
        "release": name,
        "until": release.version,
        "code": finding.code,
        "message": _message(finding, release, name),
        "fix": finding.fix or (_BY_ITSELF if kind == "rewritten" else None),
    }
