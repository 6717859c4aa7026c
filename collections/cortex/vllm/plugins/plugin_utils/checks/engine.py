# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The container engine: is it there, does it run, may we use it, do SDK and engine understand each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..findings import Finding
from .context import Findings, Host

#: status -> (code, what to do). Statuses are those of step ``observe``.
_FIXES = {
    "absent": (
        "engine.absent",
        "no container engine was found",
        "Install one: the package docker.io of the distribution (role cortex.vllm.host does), or set docker_host.",
    ),
    "not_running": (
        "engine.not-running",
        "the container engine does not answer",
        "Start it: systemctl enable --now docker.",
    ),
    "denied": (
        "engine.denied",
        "this user may not use the engine's socket",
        "Run with become: true, or add the user to the group docker and log in again.",
    ),
    "sdk_missing": (
        "engine.sdk-missing",
        "the host's Python has no Docker SDK",
        "Install the distribution's package python3-docker on the host (nothing from PyPI is needed).",
    ),
    "incompatible": (
        "engine.incompatible",
        "the Docker SDK and the engine have no API version in common",
        "Upgrade the older of the two; a copy of the SDK under /usr/local hides the distribution's.",
    ),
}


def check(host: Host) -> Findings:
    """The host's own words name paths, users and versions, and say what to do; ours stand in where it has none.

    Source: requests answered by the Docker SDK; versions as ``GET /version`` and ``docker.__version__`` tell them.
    """
    engine = host.observation.engine
    status = engine.get("status") or "absent"
    if status != "ok":
        code, text, fix = _FIXES.get(status, ("engine.unknown", f"the engine is {status}", "Look at the host."))
        said = str(engine.get("message") or "")
        if status == "incompatible":
            said = f"{said or text}{_versions(engine, said)}"
        yield Finding(code, "error", said or text, fix=str(engine.get("fix") or fix))
        return
    for warning in engine.get("warnings") or ():
        yield Finding("engine.warning", "info", f"the engine says: {warning}")


def _versions(engine: Mapping[str, Any], said: str) -> str:
    """Both versions, as far as the message does not name them."""
    sides = {
        engine.get("name") or "engine": engine.get("version"),
        f"Docker SDK in {engine.get('sdk_path') or '?'}": engine.get("sdk_version"),
    }
    missing = [f"{name} {version}" for name, version in sides.items() if version and str(version) not in said]
    return f" ({', '.join(missing)})" if missing else ""
