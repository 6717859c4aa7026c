# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Looks at models and work on them through step ``model``: progress, what is told, what a change looks like."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .findings import Finding
from .following import SLICE, Remote, RemoteError
from .observation import SCHEMA

#: Seconds without a new byte after which a job is given up: a network file system that hangs.
STALL = 600.0


def question(options: Mapping[str, Any], role: str = "model") -> dict[str, Any]:
    """The entry of a request for the place that a task names."""
    return {
        "key": "it",
        "model": options["model"],
        "revision": options.get("revision"),
        "hub_cache": options.get("hub_cache"),
        "role": role,
        "needs_tokenizer": options.get("needs_tokenizer", True),
    }


def look(remote: Remote, entry: Mapping[str, Any]) -> dict[str, Any]:
    """MODEL of one place, by one call."""
    answer = remote("model", {"schema": SCHEMA, "do": "look", "models": [dict(entry)]})
    return dict(answer["models"][str(entry["key"])])


def work(
    remote: Remote,
    state_dir: str,
    do: str,
    what: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    **request: Any,
) -> dict[str, Any]:
    """Let the host work in a detached job, and follow it in slices.

    :param do: ``verify`` or ``make``
    :param what: for progress lines
    :raises RemoteError: when it failed or stands still
    """
    asked: dict[str, Any] = {"schema": SCHEMA, "state_dir": state_dir, "do": do, "budget": SLICE, **request}
    moved, before, said = clock(), -1, ""
    while True:
        answer = remote("model", asked)
        if answer.get("done"):
            if answer.get("message"):
                raise RemoteError(f"{what}: {answer['message']}")
            return dict(answer)
        asked["job"] = answer.get("job")
        progress = answer.get("progress") or {}
        line = f"[{remote.host}] {what}: {told(progress)}"
        if line != said:
            remote.say(line)
            said = line
        if int(progress.get("bytes") or 0) != before:
            before, moved = int(progress.get("bytes") or 0), clock()
        elif clock() - moved > STALL:
            raise RemoteError(f"{what}: nothing happened for {STALL:.0f} s. Check the host's disk and network storage.")


def told(progress: Mapping[str, Any]) -> str:
    """``37 % (18.5 of 50.0 GB)``."""
    done, total = int(progress.get("bytes") or 0), int(progress.get("total") or 0)
    if not total:
        return "begins"
    name = f", {progress['file']}" if progress.get("file") else ""
    return f"{100 * done // total} % ({done / 1e9:.1f} of {total / 1e9:.1f} GB{name})"


def findings(problems: Sequence[Mapping[str, Any]], field: str = "model") -> list[Finding]:
    """Problems of the host in the common language."""
    found = []
    for item in problems:
        path, text = str(item.get("path") or ""), str(item["message"])
        fix = str(item.get("fix") or "")
        found.append(
            Finding(
                str(item["code"]),
                "warning" if item.get("severity") == "warning" else "error",
                text if not path or path in text else f"{text} ({path})",
                field=field,
                fix=fix[:1].upper() + fix[1:] or None,
            )
        )
    return found


def public(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step as a task's result shows it."""
    return {key: step[key] for key in ("do", "path", "source", "to", "bytes", "content") if step.get(key) is not None}


def diff(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """``{"before", "after"}``: what lies at each path now and afterwards, by one line each."""
    before, after = [], []
    for step in steps:
        path = step["path"]
        if step["do"] == "remove":
            before.append(f"{path}: {step['bytes']} bytes" if step.get("bytes") else path)
            continue
        if step.get("replaces"):
            before.append(f"{path}: another content")
        if step["do"] == "write":
            after.append(f"{path}: {step['content'].strip()}")
        elif step["do"] == "link":
            after.append(f"{path} -> {step['to']}")
        else:
            after.append(f"{path}: {step['bytes']} bytes from {step['source']}")
    return {"before": "".join(f"{line}\n" for line in before), "after": "".join(f"{line}\n" for line in after)}
