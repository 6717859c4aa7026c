# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    _action,
    catalog,
    inspection,
    observation,
    rendering,
    task_options,
)
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError


class ActionModule(_action.BrainsAction):
    """Say which vLLM an image has, and what its parser accepts."""

    SPEC = {
        **task_options.CONNECTION,
        "image": {"type": "str", "required": True},
        "vllm_version": {"type": "str"},
        "parser": {"type": "bool", "default": False},
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        ref, declared = options["image"], (options["vllm_version"] or "").removeprefix("v") or None
        entry = _entry(remote, options)
        if self._task.check_mode:
            image = rendering.image_facts(ref, entry, declared)
        else:
            image = inspection.look(remote, options["state_dir"], ref, entry, declared, parser=options["parser"])
            if not {"packages", "packages_problem"} & set(image.known):
                inspection.ask_installed(remote, options["state_dir"], ref, entry, "packages")
                image = rendering.image_facts(ref, entry, declared)
        release = rendering.release_for(image)
        return {
            "changed": False,
            "image_id": image.id,
            "vllm_version": image.version,
            "version_source": image.known.get("source") if image.version_source == "known" else image.version_source,
            "packages": dict(image.known.get("packages") or {}),
            "catalogued": bool(image.version and catalog.harvested(image.version)),
            "exact": rendering.exact(image),
            "rendered_for": release.version,
            "entrypoint": list(image.entrypoint),
            "user": image.user,
            "labels": dict(image.labels),
            "cuda": cuda(image.env),
            "size": entry.get("size"),
            "architecture": entry.get("architecture"),
            "arguments": _arguments(image) if options["parser"] else None,
            "problems": [
                str(image.known[name])
                for name in ("version_problem", "parser_problem", "packages_problem")
                if name in image.known
            ],
            "findings": [],
        }


def _entry(remote: _action.RemoteHost, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The image as its host sees it.

    :raises FindingsError: when it is not there, or the engine cannot be asked
    """
    request = observation.query([], options["state_dir"], health=False)
    answer = remote("observe", {**request, "images": [options["image"]], "gpus": False})
    seen = observation.Observation.parse(answer.get("observation") or {})
    entry = seen.image(options["image"])
    if entry:
        return dict(entry)
    missing, fix = f"image {options['image']} is not on {remote.host}", "Fetch it first."
    if seen.engine.get("status") != "ok":
        missing = f"the engine of {remote.host} cannot be asked: {seen.engine.get('message')}"
        fix = str(seen.engine.get("fix") or "Start it.")
    raise FindingsError([Finding("image.absent", "error", missing, "image", fix)])


def _arguments(image: rendering.ImageFacts) -> dict[str, dict[str, t.Any]]:
    """The options that the image's own parser has, or those of its release in the catalogue, by name."""
    if image.parser is not None:
        return {name: dict(values) for name, values in image.parser["flags"].items()}
    found = catalog.release(image.version or "")
    return {name: dict(values) for name, values in found.data["flags"].items()} if found else {}


def cuda(environment: t.Mapping[str, str]) -> dict[str, str | None]:
    """The CUDA that an image brings and the least that it asks of the driver, as NVIDIA's base images declare both.

    ``NVIDIA_REQUIRE_CUDA`` lists alternatives for older drivers after the one that counts: ``cuda>=12.9 brand=…``.
    """
    match = re.match(r"\s*cuda>=(\d+\.\d+)", environment.get("NVIDIA_REQUIRE_CUDA") or "")
    return {"version": environment.get("CUDA_VERSION") or None, "required": match[1] if match else None}
