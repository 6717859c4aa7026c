# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What people read: rows about servers, and a plain-text table of rows."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .following import duration

#: Columns of the status table: key of the row, and heading.
COLUMNS = (
    ("server", "SERVER"),
    ("host", "HOST"),
    ("state", "STATE"),
    ("phase", "PHASE"),
    ("health", "HEALTH"),
    ("answers", "ANSWERS"),
    ("release", "VLLM"),
    ("uptime", "UP"),
    ("restarts", "RESTARTS"),
    ("model", "MODEL"),
    ("url", "URL"),
    ("running", "REQUESTS"),
    ("waiting", "WAITING"),
    ("gpu_memory", "GPU MEMORY"),
    ("downtime", "LAST DOWN"),
    ("drift", "DRIFT"),
    ("trouble", "TROUBLE"),
)
#: Columns of what newer releases will say to the declarations.
AHEAD = (
    ("server", "SERVER"),
    ("setting", "SETTING"),
    ("from", "FROM"),
    ("until", "UNTIL"),
    ("kind", "WHAT"),
    ("message", "WHY"),
    ("fix", "DO"),
)
#: A cell longer than this is cut in the middle, so that a line stays a line.
WIDEST = 44


def rows(host: str, address: str, specs: Iterable[Any], plan: Any, seen: Any) -> list[dict[str, Any]]:
    """One row for each declared server of a host, and for each of ours that nobody declares. JSON only.

    :param address: how the host is reached from outside, for the URL of a server that listens there
    """
    plans = {server.name: server for server in plan.servers}
    found = []
    declared = {spec.name: spec for spec in specs}
    for name, spec in {**declared, **{name: None for name in plans if name not in declared}}.items():
        container = seen.container(name)
        planned = plans.get(name)
        health = seen.server(name).health or {}
        differences = list(planned.differences) if planned is not None and container is not None else []
        url, outside = _url(spec, address)
        found.append(
            {
                "server": name,
                "host": host,
                "state": _state(container),
                "phase": _phase(planned, seen.server(name)),
                "verdict": verdict(container, planned, spec),
                "trouble": _trouble(planned),
                "gpu_memory": _gpu_memory(container, seen),
                "downtime": _downtime(seen.server(name)),
                "health": str(health.get("http") or health.get("error") or ""),
                "release": _release(container, seen, spec),
                "uptime": _uptime(container, seen),
                "restarts": int(container.raw.get("RestartCount") or 0) if container is not None else 0,
                "model": str(getattr(spec, "model", None) or ""),
                "url": url,
                "outside": outside,
                "drift": ", ".join(_names(differences)) if spec is not None else "not declared",
            }
        )
    return found


def verdict(container: Any, planned: Any, spec: Any) -> str:
    """How a server is, in one word: ``ready``, ``loading``, ``restarting``, ``hung``, ``engine-dead``, ``crash-loop``,
    ``other-model``, ``paused``, ``dead``, ``absent``; ``stopped`` and ``held`` where that is what was declared.
    """
    facts = getattr(planned, "facts", None) or {}
    if facts.get("trouble"):
        return str(facts["trouble"]["code"]).removeprefix("server.")
    if getattr(planned, "action", "") == "held":
        return "held"
    state = str(getattr(planned, "state", "") or "unknown")
    wanted = getattr(spec, "state", "started")
    if container is None:
        return "stopped" if wanted in {"stopped", "absent"} else "absent"
    if container.restarting:
        return "restarting"
    if state == "stopped":
        return "stopped" if wanted in {"stopped", "absent"} or spec is None else "dead"
    return state


#: Verdicts that nobody needs to look after.
WELL = frozenset({"ready", "loading", "stopped", "held"})


def watched(host: str, items: Sequence[Mapping[str, Any]], fail: bool) -> dict[str, Any]:
    """The result of the watchdog: rows, and the names of those that need somebody.

    :raises converge.ConvergeError: some do, and ``fail``
    """
    unwell = [row for row in items if row["verdict"] not in WELL]
    result = {"changed": False, "servers": list(items), "unwell": [str(row["server"]) for row in unwell]}
    if unwell and fail:
        from .converge import ConvergeError  # it shows tables itself

        lines = (f"{row['server']}: {row['verdict']}{': ' if row['trouble'] else ''}{row['trouble']}" for row in unwell)
        raise ConvergeError(f"{host}: " + "\n".join(lines), result)
    return result


def _phase(planned: Any, server: Any) -> str:
    """What it is doing, with the phase that a job at work has told."""
    state = str(getattr(planned, "state", "") or "")
    told = (server.live_job or {}).get("phase") or {}
    if state != "loading" or not told.get("phase"):
        return state
    percent = f" {told['percent']} %" if told.get("percent") is not None else ""
    return f"{told['phase']}{percent}"


def _trouble(planned: Any) -> str:
    return str(((getattr(planned, "facts", None) or {}).get("trouble") or {}).get("why") or "")


def _gpu_memory(container: Any, seen: Any) -> str:
    """Memory in use of the GPUs that a server holds."""
    held = container.gpus if container is not None and container.running else frozenset()
    devices = [item for item in seen.devices if item.get("uuid") in held or "all" in held]
    total = sum(int(item.get("memory_total") or 0) for item in devices)
    used = sum(int(item.get("memory_used") or 0) for item in devices)
    return f"{used / 2**30:.1f}/{total / 2**30:.1f} GiB" if total else ""


def _downtime(server: Any) -> str:
    last = server.history[0].get("downtime") if server.history else None
    return duration(last) if last is not None else ""


def table(
    items: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]] = COLUMNS, widest: int = WIDEST
) -> list[str]:
    """Lines of a table; columns in which no row says anything are left out.

    :param widest: longer cells are cut in the middle

    >>> table([{"a": 1, "b": ""}], (("a", "A"), ("b", "B")))
    ['A', '1']
    """
    used = [(key, title) for key, title in columns if any(_cell(item.get(key), widest) for item in items)]
    if not used:
        return []
    cells = [[title for _key, title in used]] + [
        [_cell(item.get(key), widest) or "-" for key, _title in used] for item in items
    ]
    widths = [max(len(line[index]) for line in cells) for index in range(len(used))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def ahead_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What newer releases will say to the declarations: the nearest release of a server first, nothing cut short."""
    shown = [{**row, "from": row["release"], "fix": row["fix"] and str(row["fix"]).rstrip(".")} for row in rows]
    return table(shown, AHEAD, widest=400)


def difference_texts(differences: Iterable[Any]) -> list[str]:
    """``field: before → after`` for each difference that is acted on."""
    return [str(item) for item in differences if item.kind != "cosmetic"]


def _names(differences: Iterable[Any]) -> list[str]:
    """Fields that differ; those that wait for the next change or an update say why they differ."""
    told = (
        str(item.field) if item.cause in {"declared", "drift"} else f"{item.field} ({item.cause})"
        for item in differences
        if item.kind != "cosmetic"
    )
    return list(dict.fromkeys(told))


def _cell(value: Any, widest: int) -> str:
    if value is None or value is False:
        return ""
    text = "yes" if value is True else str(value)
    return text if len(text) <= widest else f"{text[: widest // 2 - 1]}…{text[-(widest // 2) :]}"


def _state(container: Any) -> str:
    if container is None:
        return "absent"
    state = container.state
    if container.restarting:
        return "restarting"
    if container.running:
        return "paused" if state.get("Paused") else "running"
    status = str(state.get("Status") or "exited")
    return f"exited ({state.get('ExitCode')})" if status == "exited" else status


def _release(container: Any, seen: Any, spec: Any) -> str:
    """vLLM in the image: of the running container if there is one, else of the declared image."""
    for reference in (container.image_id if container is not None else None, getattr(spec, "image", None)):
        entry = seen.image(reference) if reference else None
        if not entry:
            continue
        known = entry.get("known") or {}
        if known.get("vllm_version"):
            return str(known["vllm_version"])
    return ""


def _uptime(container: Any, seen: Any) -> str:
    if container is None or not container.running:
        return ""
    started, now = str(container.state.get("StartedAt") or ""), seen.host.get("time")
    if len(started) < 19 or started.startswith("0001") or not isinstance(now, int | float):
        return ""
    # The engine writes nanoseconds, which fromisoformat does not read.
    moment = datetime.datetime.fromisoformat(f"{started[:19]}+00:00").timestamp()
    return duration(max(0.0, now - moment))


def _url(spec: Any, address: str) -> tuple[str, bool]:
    """Base URL of a server, and whether it can be asked from outside the host."""
    published = spec.published() if spec is not None and spec.kind == "server" else ()
    if not published:
        return "", False
    bind, port = published[0]
    try:
        ip = ipaddress.ip_address(bind)
    except ValueError:
        return f"{spec.scheme}://{bind}:{port}", True
    if ip.is_unspecified:
        return f"{spec.scheme}://{_bracketed(address or bind)}:{port}", bool(address)
    # The loopback address of the host is this machine's only when the host is this machine.
    return f"{spec.scheme}://{_bracketed(bind)}:{port}", not ip.is_loopback or address == "127.0.0.1"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address
