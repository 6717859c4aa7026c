# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Following long work on a host, slice by slice, with lines that say how far it is and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..following import BACK_OFF, SLICE, Lost, Remote, RemoteError
from ..observation import SCHEMA

#: Seconds without a new byte after which work is given up.
STALL = 1800.0
#: Seconds between lines of the same work.
PAUSE = 5.0


class WorkError(Exception):
    """Work on a host failed; ``str()`` says why and what to do."""


def size(count: float) -> str:
    """``3.2 GiB``."""
    for unit, limit in (("B", 2**10), ("KiB", 2**20), ("MiB", 2**30)):
        if count < limit:
            return f"{count / limit * 2**10:.0f} {unit}"
    return f"{count / 2**30:.1f} GiB"


class Line:
    """Progress of one thing as lines for people: bytes, rate, time left."""

    def __init__(self, say: Callable[[str], None], head: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._head, self._clock = say, head, clock
        self._begin = self._last = clock()
        self._from: int | None = None
        self._text = ""

    def tell(self, done: int, total: int, what: str = "", files: str = "") -> None:
        """Say it, unless the last line was said a moment ago."""
        now = self._clock()
        if self._from is None:
            self._from = done
        if now - self._last < PAUSE:
            return
        rate = (done - self._from) / max(now - self._begin, 0.001)
        parts = [f"{size(done)} of {size(total)}" if total else "", files, what]
        if rate > 0 and total > done:
            parts.append(f"{size(rate)}/s, {(total - done) / rate:.0f} s left")
        text = f"{self._head}: {', '.join(part for part in parts if part)}"
        if text != self._text:
            self._say(text)
            self._text = text
        self._last = now


def follow(
    remote: Remote,
    step: str,
    request: Mapping[str, Any],
    head: str,
    secrets: Mapping[str, Any] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Start work on the host, or follow it, until it ends. Losing the connection loses nothing.

    :param head: what the lines begin with
    :returns: the work's result
    :raises WorkError: when it failed, was killed, or stands still
    """
    asked = {**request, "schema": SCHEMA, "budget": SLICE}
    line = Line(remote.say, f"[{remote.host}] {head}", clock)
    moved, before, lost = clock(), None, 0
    while True:
        try:
            answer = remote(step, asked, secrets)
            lost = 0
        except (Lost, RemoteError) as problem:
            if (isinstance(problem, RemoteError) and not problem.garbled) or lost >= len(BACK_OFF):
                raise
            remote.say(f"[{remote.host}] {head}: no connection, trying again")
            sleep(BACK_OFF[lost])
            lost += 1
            remote.reset()
            continue
        if answer.get("done"):
            if not answer.get("own"):
                asked.pop("work", None)  # somebody else's is over: now ours
                continue
            if answer.get("result") is None:
                raise WorkError(str(answer.get("message") or "the work ended and left nothing"))
            return dict(answer["result"])
        if answer.get("job"):
            asked["work"] = answer["job"]
        progress = answer.get("progress") or {}
        of = int(progress.get("of") or 0)
        files = f"{progress.get('files') or 0} of {of} files" if of > 1 else ""
        line.tell(
            int(progress.get("bytes") or 0), int(progress.get("total") or 0), str(progress.get("what") or ""), files
        )
        if progress != before:
            before, moved = progress, clock()
        elif clock() - moved > STALL:
            raise WorkError(
                f"{head}: nothing moved for {STALL:.0f} s. Look at the disk and the engine of {remote.host}."
            )
