# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, model_steps, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError, errors


class ActionModule(_action.BrainsAction):
    """Say whether a model is complete on its host, and what it is."""

    SPEC = {
        "model": {"type": "str", "required": True},
        "revision": {"type": "str"},
        "hub_cache": {"type": "path"},
        "role": {
            "type": "str",
            "default": "model",
            "choices": ["model", "draft", "tokenizer", "config", "generation", "adapter", "file"],
        },
        "needs_tokenizer": {"type": "bool", "default": True},
        "verify": {"type": "bool", "default": False},
        "require": {"type": "bool", "default": False},
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        entry = model_steps.question(options, options["role"])
        verification = None
        if options["verify"]:
            what = f"verifying {options['model']}"
            answer = model_steps.work(remote, options["state_dir"], "verify", what, models=[entry])
            found, verification = dict(answer["model"]), answer.get("verification")
            wrong = (verification or {}).get("problems") or []
            found["problems"] = [*found["problems"], *wrong]
            if wrong and found["status"] == "complete":
                found["status"] = "incomplete"
        else:
            found = model_steps.look(remote, entry)
        told = model_steps.findings(found["problems"])
        if options["require"] and found["status"] != "complete":
            raise FindingsError(errors(told) or told)
        return {"changed": False, **found, "verification": verification}
