# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, converge, spec, status, task_options


class ActionModule(_action.ConvergingAction):
    """Say which of a host's servers do not work, although they may look as if they did."""

    SPEC = {
        **task_options.CONNECTION,
        **task_options.STATE_DIR,
        "only": {"type": "list", "elements": "str", "default": []},
        "window": {"type": "float", "default": 10.0},
        "token": {"type": "str", "choices": ["suspect", "always", "never"], "default": "suspect"},
        "token_timeout": {"type": "float", "default": 30.0},
        "fail": {"type": "bool", "default": True},
    }
    DECLARATIONS = ("servers", "defaults")

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, [*self.SPEC, *self.DECLARATIONS])
        self.quiet = True
        specs = spec.load(self._task.args.get("servers") or {}, self._task.args.get("defaults") or {})
        settings = converge.Settings(
            state_dir=options["state_dir"],
            only=tuple(options["only"]),
            prune="ignore",
            steps=(),
            check_mode=bool(self._task.check_mode),
            pulse={key: options[key] for key in ("window", "token", "token_timeout")},
            address=_action.reachable_address(self._connection, task_vars),
        )
        found = converge.Converge(specs, settings, remote).run()
        rows = [row for row in found["status"] if not options["only"] or row["server"] in options["only"]]
        return status.watched(remote.host, rows, options["fail"])
