# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""A plan in lines for a person, as a converge shows it before it acts."""

from __future__ import annotations

from . import catalog, planning, status

#: Actions that change nothing: following somebody else's job, and waiting for a server that is loading anyway.
IDLE = frozenset({"none", "follow", "wait", "held", "deferred", ""})


def plan_lines(host: str, server: planning.ServerPlan, everything: bool = False) -> list[str]:
    """What will be done with one server, and why: one line, and one for each difference that matters.

    :param everything: also say that nothing is to be done
    """
    if server.action in IDLE:
        if not everything:
            return []
        what = "nothing to do" if server.action in {"none", ""} else server.action
        return [f"[{host}] {server.name}: {', '.join(filter(None, (what, server.state, server.reason)))}"]
    lines = [f"[{host}] {server.name}: {server.action}{f' ({server.reason})' if server.reason else ''}"]
    if server.action != "create":
        lines += [f"[{host}]   {text}" for text in status.difference_texts(server.differences)]
    memory = getattr(server, "facts", {}).get("memory") or {}
    return lines + [f"[{host}]   {text}" for text in memory.get("table", ())]


def image_lines(host: str, plan: planning.Plan) -> list[str]:
    """What a look that may not fetch anything cannot say: whether the release in an image takes the declaration."""
    return [
        f"[{host}] image {reference} is not here: it is fetched first, and what it takes is checked then"
        for reference in plan.needs.get("images") or ()
    ]


def ahead_lines(host: str, plan: planning.Plan) -> list[str]:
    """What newer releases of vLLM will say to the declarations, as a table; nothing where no release was found out."""
    found = (getattr(server, "facts", {}).get("ahead") for server in plan.servers)
    known = [rows for rows in found if rows is not None]
    rows = [row for rows in known for row in rows]
    if not known:
        return []
    newest = catalog.versions()[-1]
    if not rows:
        return [f"[{host}] releases up to vLLM {newest}: nothing else to say to these declarations"]
    title = f"[{host}] what releases up to vLLM {newest} will say to these declarations:"
    return [title, *(f"[{host}]   {line}" for line in status.ahead_table(rows))]
