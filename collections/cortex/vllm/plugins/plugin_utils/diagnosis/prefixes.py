# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What carries a log puts something around each line: engine, compose, Kubernetes, journald. Here it comes off.

Nothing here knows vLLM. :func:`bare` yields what the process itself wrote, and who carried it when several services
share one log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

#: Longest line that is kept; vLLM prints whole configurations on one.
LONGEST = 4000

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles of a terminal
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]"  # colours and cursor
    r"|\ufeff|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_BREAKS = re.compile(r"[\r\n]+")

#: docker logs --timestamps, kubectl logs --timestamps, the CRI's own files (``stderr F``).
_TIMESTAMP = re.compile(
    r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"(?P<cri>\s+(?:stdout|stderr)\s+[FP])?(?:\s|$)"
)
#: Seconds since the start, as recorders of logs write them: ``  33.70 text``.
_SECONDS = re.compile(r"^ {0,6}\d{1,6}\.\d\d (?=\S)")
#: docker compose logs: ``vllm-1  | text``.
_COMPOSE = re.compile(r"^(?P<service>[A-Za-z0-9][\w.@-]{0,120}?)\s*\|(?:\s|$)")
#: kubectl logs --prefix: ``[pod/vllm-0/server] text``.
_POD = re.compile(r"^\[pod/(?P<service>[\w./-]+)\]\s")
#: A log quoted in mail or Markdown.
_QUOTED = re.compile(r"^(?:> ){1,3}")
#: journalctl, in its short and ISO forms, and syslog: ``Nov 26 23:51:08 host docker[812]: text``.
_JOURNAL = re.compile(
    r"^(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))\s+"
    r"\S+\s+[\w./@:+-]+\[\d+\]:\s?"
)
#: A line that vLLM or Python began is nobody's prefix, whatever bars it holds (tables, exception groups).
_OWN = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL|Traceback|Loading|Capturing|Downloading|\s|\()")


def bare(raw: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line as its process wrote it, with the name of the service that it came through (mostly none).

    A carriage return begins a line of its own: progress bars write many states on one.
    """
    for item in raw:
        for part in _BREAKS.split(item):
            service, text = _without(part[: LONGEST * 2])
            for line in _BREAKS.split(text):  # a JSON driver may have held several
                line = _ESCAPES.sub("", line).rstrip()
                if line:
                    yield service, line[:LONGEST]


def _without(text: str) -> tuple[str, str]:
    text = _ESCAPES.sub("", text)
    service = ""
    # At most five layers are seen in practice (journald around compose around timestamps around JSON).
    for _layer in range(5):
        if text.startswith("{") and text.endswith("}"):
            inner = _from_json(text)
            if inner is None:
                break
            text = inner
            continue
        found = _JOURNAL.match(text) or _TIMESTAMP.match(text) or _POD.match(text) or _SECONDS.match(text)
        found = found or _QUOTED.match(text)
        if found is None and not _OWN.match(text):
            found = _COMPOSE.match(text)
        if found is None:
            break
        service = found.groupdict().get("service") or service
        text = text[found.end() :]
    return service, text


def _from_json(text: str) -> str | None:
    """The line inside one of docker's json-file driver, of ``journalctl -o json`` or of a JSON log formatter."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    for key in ("log", "MESSAGE", "message", "msg", "line"):
        if isinstance(entry.get(key), str):
            return str(entry[key]).rstrip("\r\n")
    return None
