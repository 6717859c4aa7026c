# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What a plan would like to ask images: which vLLM they have, and whether their parser takes a command line."""

from __future__ import annotations

from collections.abc import Iterator

from .. import inspection, rendering
from ..findings import Finding, errors
from ..inspection import Look
from .prepare import Prepared


def wanted(ready: Prepared, changes: bool) -> Look | None:
    """What is to be asked for one declaration; None for most, always.

    :param changes: whether a container would be made from the command line
    """
    spec, image_id = ready.spec, ready.image_id
    if spec.kind != "server" or not ready.image or not image_id:
        return None
    image = rendering.image_facts(spec.image, ready.image, spec.vllm_version)
    if inspection.question(image) is not None:
        return Look(spec.image, image_id, spec.vllm_version)
    if spec.prove != "image" or not changes or ready.rendered is None or errors(ready.findings):
        return None
    argv, program = tuple(ready.rendered.argv), _program(ready)
    key = inspection.proof_key(argv, program)
    if key in (image.known.get("proved") or {}) or key in (image.known.get("unproven") or {}):
        return None
    return Look(spec.image, image_id, argv=argv, program=program)


def verdict(ready: Prepared) -> Iterator[Finding]:
    """What the image's own parser said to the command line, where the declaration wants to know."""
    spec = ready.spec
    if spec.kind != "server" or spec.prove != "image" or ready.rendered is None:
        return
    known, key = ready.rendered.image.known, inspection.proof_key(ready.rendered.argv, _program(ready))
    refusal = (known.get("proved") or {}).get(key)
    if refusal:
        text = f"the parser in {spec.image} refuses the rendered arguments: {refusal}"
        fix = "Correct the argument that it names."
        yield Finding("argument.refused", "error", text, field=spec.where("engine_args"), fix=fix, server=spec.name)
    problem = (known.get("unproven") or {}).get(key)
    if problem:
        text = f"the arguments could not be proven by {spec.image}: {problem}"
        fix = "Run again, or write prove: none."
        yield Finding("argument.unproven", "warning", text, field=spec.where("prove"), fix=fix, server=spec.name)


def _program(ready: Prepared) -> str:
    return "api_server" if rendering.takes_model_as_option(ready.rendered.entrypoint) else "serve"
