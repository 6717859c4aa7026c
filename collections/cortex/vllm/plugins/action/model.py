# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, model_steps, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError, errors

#: Options that say what is to be made; the rest is about the task.
MAKE = (
    "model", "revision", "hub_cache", "source", "method", "tokenizer_from", "tokenizer_revision", "tokenizer_id",
    "config_from", "config_revision", "repair", "remove_unused", "keep", "role", "needs_tokenizer",
)  # fmt: skip


class ActionModule(_action.BrainsAction):
    """Make a model complete on its host."""

    SPEC = {
        "model": {"type": "str", "required": True},
        "revision": {"type": "str"},
        "hub_cache": {"type": "path"},
        "source": {"type": "path"},
        "method": {"type": "str", "default": "copy", "choices": ["copy", "hardlink"]},
        "tokenizer_from": {"type": "str"},
        "tokenizer_revision": {"type": "str"},
        "tokenizer_id": {"type": "str"},
        "config_from": {"type": "str"},
        "config_revision": {"type": "str"},
        "repair": {"type": "bool", "default": True},
        "remove_unused": {"type": "bool", "default": False},
        "keep": {"type": "list", "elements": "str", "default": []},
        "role": {"type": "str", "default": "model", "choices": ["model", "draft", "tokenizer", "adapter"]},
        "needs_tokenizer": {"type": "bool", "default": True},
        "verify": {"type": "bool", "default": False},
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        if options["tokenizer_id"] and not options["tokenizer_from"]:
            text, fix = "names the tokenizer that is copied, and none is", "Write tokenizer_from too."
            raise FindingsError([Finding("option.conflict", "error", text, "tokenizer_id", fix)])
        make = {name: options[name] for name in MAKE}
        state_dir = options["state_dir"]
        request = {"schema": model_steps.SCHEMA, "state_dir": state_dir, "do": "plan", "make": make}
        answer = remote("model", request)
        refused = errors(model_steps.findings(answer["problems"]))
        if refused:
            raise FindingsError(refused)
        steps, found = list(answer["steps"]), dict(answer["model"])
        result: dict[str, t.Any] = {
            "changed": bool(steps),
            "steps": [model_steps.public(step) for step in steps],
            "verification": None,
        }
        if self._task.diff and steps:
            result["diff"] = model_steps.diff(steps)
        if self._task.check_mode:
            return {**found, **result}
        if steps:
            answer = model_steps.work(remote, state_dir, "make", f"making {options['model']} complete", make=make)
            refused = errors(model_steps.findings(answer["problems"]))
            if refused:
                raise FindingsError(refused)
            found = dict(answer["model"])
        if options["verify"]:
            entry = model_steps.question(options, options["role"])
            done = model_steps.work(remote, state_dir, "verify", f"verifying {options['model']}", models=[entry])
            result["verification"] = done.get("verification")
            found["problems"] = [*found["problems"], *((done.get("verification") or {}).get("problems") or ())]
        wrong = errors(model_steps.findings(found["problems"]))
        if wrong:
            raise FindingsError(wrong)
        return {**found, **result}
