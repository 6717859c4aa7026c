# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shlex
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    _action,
    argument_files,
    findings,
    inspection,
    observation,
    rendering,
    spec,
    task_options,
)


class ActionModule(_action.BrainsAction):
    """Render the command line, environment and entrypoint of a server; write them where they are wanted."""

    SPEC = {
        **task_options.CONNECTION,
        **task_options.STATE_DIR,
        **task_options.FILE,
        "format": {"type": "str", "choices": list(argument_files.FORMATS), "default": "json"},
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        declaration = self.declaration()
        # Who only asks about arguments has no server to name.
        declaration.setdefault("name", "server")
        version = declaration.get("vllm_version")
        if version and not declaration.get("image"):
            declaration["image"] = argument_files.OFFICIAL.format(version=str(version).removeprefix("v"))
        declared = spec.load([declaration], root="server")[0]
        image = self._image(declared, options, remote)
        release = rendering.release_for(image)
        rendered = rendering.render(declared, image, release, [], options["state_dir"], None, "0" * 32, {})
        if findings.errors(rendered.findings):
            raise findings.FindingsError(rendered.findings)
        result: dict[str, t.Any] = {
            "changed": False,
            "entrypoint": list(rendered.entrypoint),
            "argv": list(rendered.argv),
            "command": shlex.join([*rendered.entrypoint, *rendered.argv]),
            "environment": dict(rendered.env),
            "secret_names": list(rendered.secret_names),
            "vllm_version": image.version or release.version,
            "exact": rendering.exact(image),
            "findings": [finding.as_dict() for finding in rendered.findings],
            "ahead": rendering.ahead(declared, release),
        }
        if options["dest"]:
            mode = "0755" if options["format"] == "script" else "0644"
            result.update(self.write(argument_files.FORMATS[options["format"]](result), options, mode, task_vars))
        return result

    def _image(
        self, declared: spec.ServerSpec, options: t.Mapping[str, t.Any], remote: _action.RemoteHost
    ) -> rendering.ImageFacts:
        """What is known of the image: assumed with a declared version, otherwise asked of the host, once."""
        if declared.vllm_version:
            return rendering.ImageFacts.assumed(declared.image, declared.vllm_version)
        request = observation.query([], options["state_dir"], health=False)
        answer = remote("observe", {**request, "images": [declared.image]})
        seen = observation.Observation.parse(answer.get("observation") or {})
        entry = seen.image(declared.image)
        if entry:
            if self._task.check_mode:
                return rendering.image_facts(declared.image, entry)
            return inspection.look(remote, options["state_dir"], declared.image, dict(entry))
        missing = f"image {declared.image} is not on {remote.host}"
        if seen.engine.get("status") != "ok":
            missing = f"the engine of {remote.host} cannot be asked: {seen.engine.get('message')}"
        raise findings.FindingsError(
            [
                findings.Finding(
                    "image.absent", "error", missing, "server.image", "Say `vllm_version`, or fetch the image."
                )
            ]
        )
