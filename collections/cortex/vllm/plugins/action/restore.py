# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, spec, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.spec.server import DEFAULT_HUB_CACHE
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import lending, needs, restoring


class ActionModule(_action.BrainsAction):
    """Bring the content of a bundle to a host."""

    SPEC = {
        **task_options.CONNECTION,
        "path": {"type": "path"},
        "store": {"type": "path"},
        "lent": {"type": "dict"},
        "token": {"type": "str", "no_log": True},
        "remote_src": {"type": "bool", "default": False},
        "images": {"type": "list", "elements": "str"},
        "models": {"type": "list", "elements": "raw"},
        "more": {"type": "list", "elements": "raw", "default": []},
        "hub_cache": {"type": "path"},
        "verify": {"type": "bool", "default": False},
        "part_size": {"type": "int", "default": 134217728},
        "manifest_sha256": {"type": "str"},
        **task_options.STATE_DIR,
    }
    DECLARATIONS = ("servers", "defaults")

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, [*self.SPEC, *self.DECLARATIONS])
        if sum(bool(options[name]) for name in ("path", "store", "lent")) != 1:
            fix = "Give the directory of a bundle, a store with models, or what another host lends."
            raise FindingsError([Finding("spec.shape", "error", "one of path, store and lent is needed", "path", fix)])
        lent = None
        if options["lent"]:
            models_lent, where = lending.taken(options["lent"])
            lent = tuple(models_lent)
            if lent and not self._task.check_mode and not (options["token"] and where["port"]):
                fix = "Give the token with which it is lent, and lend in the same mode."
                raise FindingsError([Finding("spec.shape", "error", "is lent to who has a token", "token", fix)])
        images, models, strict = self.chosen(options)
        settings = restoring.Settings(
            path=str(options["path"] or ""),
            store=options["store"],
            lent=lent,
            token=options["token"],
            state_dir=str(options["state_dir"]),
            # What this machine has, a host that is this machine reads by itself.
            on_host=options["remote_src"] or getattr(self._connection, "transport", "") == "local",
            images=None if images is None else tuple(images),
            models=None if models is None else tuple(models),
            hub_cache=str(options["hub_cache"] or DEFAULT_HUB_CACHE),
            strict=strict,
            verify=options["verify"],
            part=max(1, options["part_size"]),
            manifest_sha256=options["manifest_sha256"],
            check_mode=bool(self._task.check_mode),
        )
        result = restoring.restore(remote, settings)
        if not self._task.diff:
            result.pop("diff")
        return result

    def chosen(self, options: dict[str, t.Any]) -> tuple[list[str] | None, list[needs.Model] | None, bool]:
        """Images and models to restore, None for all of them, and whether they were named one by one."""
        more = needs.written(options["more"], options["hub_cache"])
        if options["images"] is not None or options["models"] is not None:
            return options["images"] or [], needs.written(options["models"] or [], options["hub_cache"]) + more, True
        servers = self._task.args.get("servers")
        if not servers:
            return (None, None, False) if not more else ([], more, False)
        images, models = needs.of_servers(spec.load(servers, self._task.args.get("defaults") or {}))
        return images, [needs.moved(model, options["hub_cache"]) for model in models] + more, False
