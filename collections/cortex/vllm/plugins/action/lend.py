# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, spec, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import lending, needs


class ActionModule(_action.BrainsAction):
    """Lend models of a host's cache to other hosts."""

    SPEC = {
        "store": {"type": "path"},
        "token": {"type": "str", "required": True, "no_log": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "address": {"type": "str"},
        "bind": {"type": "str"},
        "port": {"type": "int", "default": 0},
        "idle": {"type": "int", "default": 900},
        "models": {"type": "list", "elements": "raw", "default": []},
        "hub_cache": {"type": "path"},
        **task_options.STATE_DIR,
    }
    DECLARATIONS = ("servers", "defaults")

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, [*self.SPEC, *self.DECLARATIONS])
        if options["state"] == "absent":
            if not self._task.check_mode:
                lending.end(remote, str(options["state_dir"]), options["token"])
            return {"changed": False, "findings": []}
        declared = spec.load(self._task.args.get("servers") or {}, self._task.args.get("defaults") or {})
        models = [needs.moved(model, options["hub_cache"]) for model in needs.of_servers(declared)[1]]
        settings = lending.Settings(
            store=str(options["store"] or ""),
            address=str(options["address"] or ""),
            state_dir=str(options["state_dir"]),
            token=options["token"],
            models=tuple(models + needs.written(options["models"], options["hub_cache"])),
            bind=options["bind"],
            port=options["port"],
            idle=options["idle"],
            check_mode=bool(self._task.check_mode),
        )
        return lending.lend(remote, settings)
