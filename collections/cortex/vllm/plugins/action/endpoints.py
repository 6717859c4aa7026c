# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, endpoints, status, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError

#: Numbers of /metrics that have a column.
NUMBERS = frozenset({"running", "waiting"})


class ActionModule(_action.BrainsAction):
    """Ask many servers at once from the controller, and show them as a table."""

    _requires_connection = False

    SPEC = {
        "endpoints": {"type": "list", "elements": "dict", "required": True},
        "request_timeout": {"type": "float", "default": 5.0},
        "limit": {"type": "int", "default": endpoints.LIMIT},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "use_proxy": {"type": "bool", "default": True},
        "hosts": {"type": "list", "elements": "str", "default": []},
        "table": {"type": "bool", "default": False},
        "fail_on_unhealthy": {"type": "bool", "default": False},
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        rows = [_row(entry, index) for index, entry in enumerate(options["endpoints"])]
        asked = [row for row in rows if row.get("outside", True) and row.get("url")]
        answers = endpoints.ask_all(
            asked,
            timeout=options["request_timeout"],
            limit=max(1, options["limit"]),
            verify=(options["ca_path"] or True) if options["validate_certs"] else False,
            proxy=options["use_proxy"],
        )
        # Keys stay behind: a row is shown and registered.
        for row in rows:
            row.pop("api_key", None)
        for row, answer in zip(asked, answers, strict=True):
            # `state` of a row may be the container's; what the endpoint says about itself is `answers`.
            row.update({key: value for key, value in answer.items() if key not in {"name", "state"}})
            row.update(answers=answer["state"], release=answer["version"] or row.get("release", ""))
            row.update({key: int(value) for key, value in (answer["metrics"] or {}).items() if key in NUMBERS})
        told = {row.get("host") for row in rows}
        rows += [{"host": host, "state": "nothing known", "url": ""} for host in options["hosts"] if host not in told]
        if options["table"]:
            for line in status.table(rows, _columns(rows)):
                remote.say(line)
        unwell = [row for row in rows if row.get("answers", "ready") != "ready"]
        if unwell and options["fail_on_unhealthy"]:
            raise FindingsError(
                [
                    Finding(
                        "endpoint.unhealthy",
                        "error",
                        row["error"] or row["answers"],
                        field=row.get("name") or row["url"],
                    )
                    for row in unwell
                ]
            )
        return {"changed": False, "endpoints": rows}


def _row(entry: t.Mapping[str, t.Any], index: int) -> dict[str, t.Any]:
    """One endpoint as a row of the table; what the task adds to it is kept."""
    field = f"endpoints[{index}]"
    row = dict(entry)
    if "url" not in row:
        raise FindingsError(
            [Finding("endpoint.url", "error", "has no `url`", field=field, fix="Write it like `http://gpu1:8000`.")]
        )
    if row["url"] and row.get("outside", True):
        row["url"] = endpoints.checked_url(row["url"], f"{field}.url")
    return row


def _columns(rows: t.Sequence[t.Mapping[str, t.Any]]) -> list[tuple[str, str]]:
    """Columns of the table: those of ``status``, and names and numbers where only endpoints were given."""
    own = [("name", "NAME")] if any(row.get("name") for row in rows) else []
    return [*own, *status.COLUMNS]
