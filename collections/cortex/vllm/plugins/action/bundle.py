# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, spec, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import archive, bundling, needs, pulling


class ActionModule(_action.BrainsAction):
    """Write a bundle for a site without a network."""

    SPEC = {
        **task_options.CONNECTION,
        "path": {"type": "path", "required": True},
        "declarations": {"type": "list", "elements": "raw", "default": []},
        "images": {"type": "list", "elements": "str", "default": []},
        "models": {"type": "list", "elements": "raw", "default": []},
        "hub_cache": {"type": "path"},
        "pull": {"type": "bool", "default": True},
        "download": {"type": "bool", "default": True},
        "all_files": {"type": "bool", "default": False},
        "collection": {"type": "bool", "default": False},
        "registries": {"type": "dict", "default": {}},
        **task_options.HUB,
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        images, models = list(options["images"]), needs.written(options["models"], options["hub_cache"])
        for servers, defaults in needs.pairs(options["declarations"]):
            more = needs.of_servers(spec.load(servers, defaults))
            images += more[0]
            models += [needs.moved(model, options["hub_cache"]) for model in more[1]]
        download = task_options.hub_settings(options, options["all_files"]) if options["download"] else None
        settings = bundling.Settings(
            path=str(options["path"]),
            state_dir=str(options["state_dir"]),
            images=tuple(dict.fromkeys(images)),
            models=tuple(dict.fromkeys(models)),
            pull=options["pull"],
            download=download,
            everything=options["all_files"],
            check_mode=bool(self._task.check_mode),
            collection_version=_action.collection_version(),
            registries=pulling.checked(options["registries"]),
        )
        with tempfile.TemporaryDirectory(prefix="cortex-vllm-") as scratch:
            if options["collection"]:
                brought = archive.gather(_action.COLLECTION, pathlib.Path(scratch))
                settings = dataclasses.replace(settings, brought=tuple(brought))
            result = bundling.write(remote, settings)
        if not self._task.diff:
            result.pop("diff")
        return result
