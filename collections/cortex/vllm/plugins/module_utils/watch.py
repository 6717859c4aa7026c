# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Follows the journals of jobs for a while."""

from __future__ import annotations

import time

from ansible_collections.cortex.vllm.plugins.module_utils import journal, state

POLL = 0.1
# News of this kind ends the call at once; other events may gather for a moment, each answer costs a remote call.
URGENT = frozenset(("answering", "ready", "failed", "rolled_back", "committed", "done"))
GATHER = 0.7


def watch(request):
    """``{"servers": {name: {events, offset, alive}}, "waited": s}``; returns on news, on deaths or after ``budget``."""
    begin = time.monotonic()
    budget = float(request.get("budget", 10.0))
    followed = {}
    for name, job in (request.get("jobs") or {}).items():
        followed[name] = {"job": job["job"], "offset": int(job.get("offset") or 0), "events": [], "alive": False}
    first_news = None
    while True:
        news = urgent = False
        idle = True
        for name, entry in followed.items():
            folder = state.server_dir(request["state_dir"], name)
            path = journal.find(folder, entry["job"])
            # Liveness first: what a job writes before it dies is then surely read below.
            entry["alive"] = path is not None and journal.alive(path)
            if path is None:
                continue
            events, entry["offset"] = journal.read(path, entry["offset"])
            entry["events"].extend(events)
            news = news or bool(entry["events"])
            urgent = urgent or any(event.get("event") in URGENT for event in entry["events"])
            finished = any(event.get("event") == "done" for event in entry["events"])
            idle = idle and (finished or not entry["alive"])
        now = time.monotonic()
        if news and first_news is None:
            first_news = now
        if urgent or idle or now - begin >= budget or (first_news is not None and now - first_news >= GATHER):
            break
        time.sleep(POLL)
    return {
        "servers": {
            name: {key: entry[key] for key in ("events", "offset", "alive")} for name, entry in followed.items()
        },
        "waited": round(time.monotonic() - begin, 3),
    }
