# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""A plan as a file on the controller: what ``check`` writes and ``site`` is told to carry out."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from .findings import Finding, FindingsError

#: The form of the file that ``check`` writes (``{"schema": 1, "hosts": {host: {"servers": …}}}``).
FORM = 1


def saved_plan(path: str, host: str) -> Mapping[str, Any]:
    """The servers of one host in a plan file on the controller; empty for a host of which the plan says nothing.

    :raises FindingsError: code ``plan.unreadable``, when there is no such file, or it is not a plan
    """
    why = ""
    try:
        read = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        hosts = read["hosts"] if read["schema"] == FORM else None
        if isinstance(hosts, Mapping):
            servers = (hosts.get(host) or {}).get("servers") or {}
            return servers if isinstance(servers, Mapping) else {}
        why = f"it has the form {read['schema']!r}, and {FORM} is known"
    except OSError as problem:
        why = str(problem.strerror)
    except (ValueError, KeyError, TypeError, AttributeError):
        why = "it is not what `check` writes"
    fix = "Write the path of a plan on the controller; `check` makes one (-e vllm_plan_out=FILE)."
    raise FindingsError([Finding("plan.unreadable", "error", f"{path}: {why}", field="plan", fix=fix)])
