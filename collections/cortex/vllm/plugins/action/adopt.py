# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import yaml
from ansible.utils.display import Display

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, adoption, observation, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError, errors

display = Display()


class ActionModule(_action.BrainsAction):
    """Write declarations of vLLM containers that somebody else started, and take the containers over as they run."""

    SPEC = {
        **task_options.CONNECTION,
        "containers": {"type": "list", "elements": "str", "default": []},
        "take_over": {"type": "bool", "default": False},
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        request = {"schema": observation.SCHEMA, "state_dir": str(options["state_dir"])}
        answer = remote("strangers", {**request, "containers": options["containers"]})
        if answer.get("missing"):
            names = ", ".join(answer["missing"])
            fix = "Name running containers that this collection did not create (docker ps)."
            text = f"no such container runs: {names}"
            raise FindingsError([Finding("adopt.absent", "error", text, "containers", fix)])
        pairs = _declared(answer.get("containers") or [])
        take = [
            adoption.order(made, entry, _action.collection_version())
            for entry, made in pairs
            if made.spec is not None and entry.get("adopted") is None
        ]
        findings = [finding for _entry, made in pairs for finding in made.findings]
        done: dict[str, t.Any] = {}
        if options["take_over"] and take and not self._task.check_mode:
            done = remote("adopt", {**request, "take": take})
            findings += [
                Finding("adopt.refused", "error", text, f"vllm_servers[{name}]", server=name)
                for name, text in (done.get("refused") or {}).items()
            ]
        result = {
            "changed": bool(done.get("adopted") or (options["take_over"] and self._task.check_mode and take)),
            "servers": {made.name: made.written for _entry, made in pairs},
            "containers": {made.name: made.container for _entry, made in pairs},
            "yaml": _text([made for _entry, made in pairs]),
            "adopted": sorted(
                [*(done.get("adopted") or ()), *(made.name for entry, made in pairs if entry.get("adopted"))]
            ),
            "findings": [finding.as_dict() for finding in findings],
        }
        for finding in errors(findings):
            if options["take_over"]:
                raise FindingsError(findings)
            display.warning(f"[{remote.host}] {finding}")
        return result


def _declared(entries: t.Sequence[dict[str, t.Any]]) -> list[tuple[dict[str, t.Any], adoption.Adoption]]:
    """Each container with its declaration, in the order of the containers' names; those on record keep their names."""
    pairs: list[tuple[dict[str, t.Any], adoption.Adoption]] = []
    for entry in sorted(entries, key=lambda item: (item.get("adopted") is None, str(item["inspect"]["Name"]))):
        pairs.append((entry, adoption.declare(entry, frozenset(made.name for _entry, made in pairs))))
    return pairs


def _text(adoptions: t.Sequence[adoption.Adoption]) -> str:
    """The declarations as a file of variables, with what a person has to look at above each."""
    lines = ["---", "vllm_servers:" if adoptions else "vllm_servers: {}"]
    for made in adoptions:
        lines.append(f"  # Container {made.container}" + ("" if made.spec is not None else ": incomplete"))
        lines += [f"  # {finding.severity}: {line}" for finding in made.findings for line in str(finding).splitlines()]
        body = yaml.safe_dump({made.name: made.written}, sort_keys=False, default_flow_style=False, width=110)
        lines += [f"  {line}" for line in body.splitlines()]
    return "\n".join(lines) + "\n"
