# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, converge, nodes, plan_files, spec


class ActionModule(_action.ConvergingAction):
    """Converge all vLLM servers of one host."""

    SPEC = {
        **_action.CONNECTION,
        **_action.CONVERGING,
        "only": {"type": "list", "elements": "str", "default": []},
        "prune": {"type": "str", "choices": ["ignore", "report", "remove"], "default": "report"},
        "state": {"type": "str", "choices": ["started", "restarted", "stopped", "absent"]},
        "steps": {"type": "list", "elements": "str", "choices": list(converge.STEPS), "default": list(converge.STEPS)},
        "accept": {"type": "list", "elements": "str", "default": []},
        "pulse": {"type": "bool", "default": False},
        "contract": {"type": "bool", "default": False},
        "contract_image": {"type": "str"},
        "plan": {"type": "path"},
    }
    DECLARATIONS = ("servers", "defaults", "holds")

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        _action.refuse_unknown(self._task.args, [*self.SPEC, *self.DECLARATIONS])
        self.quiet = not options["steps"]
        defaults = self._task.args.get("defaults") or {}
        written = spec.accepting(self._task.args.get("servers") or {}, defaults, options["accept"])
        written = nodes.expand(written, defaults, remote.host, lambda host: _action.address_of(host, task_vars))
        specs = spec.load(written, defaults)
        holds = spec.load_holds(self._task.args.get("holds") or [])
        settings = self.settings(
            options,
            task_vars,
            only=tuple(options["only"]),
            prune=options["prune"],
            state=options["state"],
            steps=tuple(options["steps"]),
            batch=tuple(task_vars.get("ansible_play_batch") or ()) or None,
            pulse={} if options["pulse"] else None,
            contract=options["contract"],
            contract_image=options["contract_image"],
            holds=tuple(holds),
            saved=plan_files.saved_plan(options["plan"], remote.host) if options["plan"] else None,
        )
        return self.converge(specs, settings, options, remote)
