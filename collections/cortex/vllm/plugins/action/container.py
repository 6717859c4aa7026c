# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, spec, task_options


class ActionModule(_action.ConvergingAction):
    """Converge one container with somebody's own image and arguments, by the same transaction as a server."""

    SPEC = {**task_options.CONNECTION, **task_options.CONVERGING}

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        return self.converge_one(spec.load_container(self.declaration()), options, remote, task_vars, "container")
