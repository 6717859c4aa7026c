# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import loading


class ActionModule(_action.BrainsAction):
    """Have the images of a tar in a host's engine."""

    SPEC = {
        **_action.CONNECTION,
        "path": {"type": "path", "required": True},
        "remote_src": {"type": "bool", "default": False},
        "images": {"type": "list", "elements": "str"},
        "digests": {"type": "dict", "default": {}},
        "sha256": {"type": "str"},
        "part_size": {"type": "int", "default": 134217728},
        "state_dir": {"type": "path", "default": "/var/lib/cortex-vllm"},
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        _action.refuse_unknown(self._task.args, self.SPEC)
        settings = loading.Settings(
            path=str(options["path"]),
            state_dir=str(options["state_dir"]),
            # What this machine has, a host that is this machine reads by itself.
            on_host=options["remote_src"] or getattr(self._connection, "transport", "") == "local",
            images=None if options["images"] is None else tuple(options["images"]),
            digests=options["digests"],
            sha256=options["sha256"],
            part=max(1, options["part_size"]),
            check_mode=bool(self._task.check_mode),
        )
        result = loading.load(remote, settings)
        if not self._task.diff:
            result.pop("diff")
        return result
