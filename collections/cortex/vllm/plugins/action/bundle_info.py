# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.observation import SCHEMA
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import manifest, work


class ActionModule(_action.BrainsAction):
    """Say what is in a bundle, and prove each byte of it."""

    SPEC = {
        **task_options.CONNECTION,
        "path": {"type": "path", "required": True},
        "verify": {"type": "bool", "default": True},
        "require": {"type": "bool", "default": True},
        "manifest_sha256": {"type": "str"},
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        top, where = str(options["path"]), f"{options['path']}/{manifest.NAME}"
        request = {"schema": SCHEMA, "state_dir": str(options["state_dir"]), "bundle": top}
        seen = remote("stock", {**request, "plain": True})["stock"]["bundle"] or {}
        if seen.get("manifest") is None:
            raise manifest.FindingsError([manifest.absent(f"{remote.host} has no readable {where}")])
        manifest.expected(options["manifest_sha256"], str(seen["sha256"]), where)
        content = manifest.parse(seen["manifest"], where)
        found = []
        if options["verify"] and not self._task.check_mode:
            files = {name: entry.model_dump() for name, entry in content.files.items()}
            answer = work.follow(remote, "prove", {**request, "files": files}, f"proving {top}")
            found = manifest.damaged(answer["damaged"], top)
        if found and options["require"]:
            raise manifest.FindingsError(found)
        return {
            "changed": False,
            "sound": not found,
            "manifest_sha256": seen["sha256"],
            "created": content.created,
            "collection_version": content.collection_version,
            "bytes": sum(entry.size for entry in content.files.values()),
            "files": len(content.files),
            "images": [
                {"ref": image.ref, "id": image.id, "names": image.names, "architecture": image.architecture}
                for image in content.images
            ],
            "models": [
                {"model": model.model or model.path, "revision": model.revision, "commit": model.commit}
                for model in content.models
            ],
            "others": sorted(name for name in content.files if name.split("/")[0] not in {"images", "blobs"}),
            "findings": [finding.as_dict() for finding in found],
        }
