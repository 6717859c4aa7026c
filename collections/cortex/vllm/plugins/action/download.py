# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, spec, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.observation import SCHEMA
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import downloading, needs


class ActionModule(_action.BrainsAction):
    """Download a model from the Hub into a host's cache."""

    SPEC = {
        "model": {"type": "str"},
        "revision": {"type": "str"},
        "models": {"type": "list", "elements": "raw", "default": []},
        "hub_cache": {"type": "path"},
        "update": {"type": "bool", "default": False},
        "all_files": {"type": "bool", "default": False},
        **task_options.HUB,
        **task_options.STATE_DIR,
    }

    DECLARATIONS = ("servers", "defaults")

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, [*self.SPEC, *self.DECLARATIONS])
        models = self.wanted(options)
        settings, state_dir = task_options.hub_settings(options, options["all_files"]), str(options["state_dir"])
        rows = [self.one(remote, state_dir, model, settings, options["update"]) for model in models]
        result = {"changed": any(row["changed"] for row in rows), "models": rows, "findings": []}
        if options["model"]:
            result.update(commit=rows[0]["commit"], path=rows[0]["path"])
        return result

    def wanted(self, options: t.Mapping[str, t.Any]) -> list[needs.Model]:
        """The models of the Hub that are named, and those that declarations need.

        :raises FindingsError: for a path, which nobody can download
        """
        named = [{"model": options["model"], "revision": options["revision"]}] if options["model"] else []
        models = needs.written([*named, *options["models"]], options["hub_cache"])
        for model in models:
            if model.local:
                fix = "Write org/name; a directory of the host cannot be downloaded."
                raise FindingsError([Finding("spec.value", "error", f"{model.name} is a path", "model", fix)])
        declared = spec.load(self._task.args.get("servers") or {}, self._task.args.get("defaults") or {})
        models += [needs.moved(model, options["hub_cache"]) for model in needs.of_servers(declared)[1]]
        return list(dict.fromkeys(model for model in models if not model.local))

    def one(
        self,
        remote: _action.RemoteHost,
        state_dir: str,
        model: needs.Model,
        settings: downloading.Settings,
        update: bool,
    ) -> dict[str, t.Any]:
        """Have one model there; its row of the result."""
        before = self.look(remote, state_dir, model)
        there = bool(before["sound"])
        row = {"model": model.repository, "revision": model.revision, "hub_cache": model.hub_cache, "bytes": 0}
        row["role"] = model.role
        row.update(commit=before["commit"], path=before["path"], changed=not there)
        if (there and not update) or self._task.check_mode:
            return row
        answer = downloading.download(remote, state_dir, model, settings)
        after = self.look(remote, state_dir, model)
        if not after["sound"]:
            problems = [needs.problem(entry, model) for entry in after["problems"]]
            raise FindingsError([finding for finding in problems if finding.severity == "error"] or problems)
        changed = not there or before["commit"] != answer["commit"]
        row.update(changed=changed, commit=answer["commit"], path=after["path"], bytes=answer["bytes"])
        return row

    def look(self, remote: _action.RemoteHost, state_dir: str, model: needs.Model) -> dict[str, t.Any]:
        """What the host's cache has of the model; ``sound`` when all of it is there."""
        wanted = {
            "key": model.key,
            "model": model.repository,
            "revision": model.revision,
            "hub_cache": model.hub_cache,
            "judge": model.role,
        }
        request = {"schema": SCHEMA, "state_dir": state_dir, "models": [wanted]}
        return dict(remote("stock", request)["stock"]["models"][model.key])
