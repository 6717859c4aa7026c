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
from collections.abc import Iterable, Iterator, Mapping

from .carriers import learned, rejoined, unfolded

#: Longest line that is kept; vLLM prints whole configurations on one.
LONGEST = 4000

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles of a terminal
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]"  # colours and cursor
    r"|\ufeff|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
    r"|\A(?:\^C)+(?=[(A-Z])"  # what a terminal shows of Ctrl-C
)
_BREAKS = re.compile(r"[\r\n]+")
#: cat -v, less and editors write control characters so: ``^[[1;36m`` and ``^M``.
_CARET = re.compile(r"\^\[\[[0-?]*[ -/]*[@-~]")
_CARET_BREAK = re.compile(r"\^M(?=\s*\Z|\^\[\[)")

#: docker logs --timestamps, kubectl logs --timestamps, the CRI's own files (``stderr F``).
_TIMESTAMP = re.compile(
    r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"(?P<cri>\s+(?:stdout|stderr)\s+[FP])?(?:\s|$)"
)
#: Seconds since the start, as recorders of logs write them: ``  33.70 text``; the text may be indented.
_SECONDS = re.compile(r"^ {0,6}\d{1,6}\.\d\d (?= *\S)")
#: docker compose logs: ``vllm-1  | text``.
_COMPOSE = re.compile(r"^(?P<service>[A-Za-z0-9][\w.@-]{0,120}?)\s*\|(?:\s|$)")
#: Names of a stream, not of a service.
_STREAMS = frozenset({"stdout", "stderr", "out", "err", "error", "info", "warning"})
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


#: Longest line that is looked at as a whole: a log may come as one.
_WHOLE = 1 << 22
#: Lines of one service that a prefix is learned from.
_SAMPLE = 4000


def bare(raw: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line as its process wrote it, with the name of the service that it came through (mostly none).

    A carriage return begins a line of its own: progress bars write many states on one.
    """
    found: list[tuple[str, str]] = []
    given = rejoined(list(raw))
    for item in given:
        if "^[[" in item or item.endswith("^M"):
            item = _CARET.sub("", _CARET_BREAK.sub("\n", item))
        for part in _BREAKS.split(item):
            service, text = _without(part[:_WHOLE])
            for line in _BREAKS.split(text):  # a JSON driver may have held several
                found += _lines(service, line, len(given) == 1)
    services: dict[str, list[str]] = {}
    for service, text in found:
        sample = services.setdefault(service, [])
        if len(sample) < _SAMPLE:
            sample.append(text)
    prefix = {service: learned(sample) for service, sample in services.items()}
    for service, text in found:
        pattern = prefix[service]
        if pattern is not None and (match := pattern.match(text)):
            text = _without(text[match.end() :])[1]
        if text:
            yield service, text


def _lines(service: str, text: str, alone: bool) -> Iterator[tuple[str, str]]:
    first = True
    for line in unfolded(text, alone):
        if not first:
            line = _without(line)[1]  # each line of what came as one may have its own prefix
        first = False
        line = _ESCAPES.sub("", line).rstrip()
        if line:
            yield service, line[:LONGEST]


def _without(text: str) -> tuple[str, str]:
    text = _ESCAPES.sub("", text)
    service = ""
    # At most five layers are seen in practice (journald around compose around timestamps around JSON).
    for _layer in range(5):
        if text[:1] + text[-1:] in {"{}", "[]"}:
            inner = _from_json(text)
            if inner is not None:
                text = inner
                continue
        found = _JOURNAL.match(text) or _TIMESTAMP.match(text) or _POD.match(text) or _SECONDS.match(text)
        found = found or _QUOTED.match(text)
        if found is None and not _OWN.match(text):
            found = _COMPOSE.match(text)
        if found is None:
            break
        name = found.groupdict().get("service") or service
        service = "" if name.lower() in _STREAMS else name
        text = text[found.end() :]
    return service, text


#: Where JSON logs keep the line: docker, journald, Python's formatters, loguru, the routers of clouds.
_MESSAGE = ("log", "MESSAGE", "message", "msg", "line", "textPayload", "text", "@message", "body", "event")
_INNER = ("jsonPayload", "fields", "record", "_source", "data")
_TRACE = ("exc_info", "exc_text", "exception", "traceback", "stack_trace", "error.stack_trace", "stack_info")
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL", "NOTICE": "INFO"}


def _from_json(text: str) -> str | None:
    """What was logged, out of one of docker's json-file driver, of ``journalctl -o json``, or of a JSON formatter."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    if isinstance(entry, list) and entry and all(isinstance(item, str) for item in entry):
        return "\n".join(entry)
    if not isinstance(entry, dict):
        return None
    said = _message(entry)
    if said is None:
        inner = next((entry[key] for key in _INNER if isinstance(entry.get(key), dict)), None)
        said = None if inner is None else _message(inner)
        entry = inner or entry
    if said is None:
        return None
    trace = next((entry[key] for key in _TRACE if isinstance(entry.get(key), str)), "")
    lines = [*said.rstrip("\r\n").split("\n"), *trace.rstrip("\r\n").split("\n")] if trace else [said.rstrip("\r\n")]
    logged = _logged(entry)
    if not logged or said.startswith(logged.split(" ", 1)[0]):
        return "\n".join(lines)
    return "\n".join(f"{logged}{line}" for line in "\n".join(lines).split("\n"))


def _message(entry: Mapping[str, object]) -> str | None:
    for key in _MESSAGE:
        value = entry.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
            return bytes(value).decode("utf-8", "replace")  # journald, of a line with colours
    return None


def _logged(entry: Mapping[str, object]) -> str:
    """Level and place as vLLM writes them, when the formatter keeps them apart: ``ERROR [core.py:12] ``."""
    level = str(entry.get("levelname") or entry.get("level") or "").upper()
    file, line = entry.get("filename") or entry.get("fileinfo") or entry.get("pathname"), entry.get("lineno")
    level = _LEVELS.get(level, level)
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"} or not isinstance(file, str):
        return ""
    return f"{level} [{file.rsplit('/', 1)[-1]}:{line if isinstance(line, int) else 0}] "
