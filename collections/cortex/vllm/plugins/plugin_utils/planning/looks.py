# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What a plan would like to ask images: which vLLM they have, and whether their parser takes a command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .. import inspection, rendering
from ..checks import gguf
from ..findings import Finding, errors
from ..inspection import Look
from ..rendering.arguments import tokenizer_of
from ..spec import MOUNT_CACHE, MOUNT_FILES, MOUNT_STARTING, MOUNT_STATE
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
    if gguf.asks_for_plugins(ready.model, image.version, image.known):
        return Look(spec.image, image_id, plugins=True)
    if changes and ready.asks_packages:
        return Look(spec.image, image_id, packages=True)
    if spec.prove == "none" or not changes or ready.rendered is None or errors(ready.findings):
        return None
    argv, program = tuple(ready.rendered.argv), _program(ready)
    key, unproven = inspection.proof_key(argv, program), image.known.get("unproven") or {}
    if key not in (image.known.get("proved") or {}) and key not in unproven:
        return Look(spec.image, image_id, argv=argv, program=program)
    asked = model_question(ready)
    if asked is None or inspection.model_key(asked) in {**(image.known.get("models") or {}), **unproven}:
        return None
    return Look(spec.image, image_id, model=asked)


def model_question(ready: Prepared) -> str | None:
    """What the image is asked about the model, as canonical JSON; None when nothing is.

    It sees what the server would see of the host, read-only, and is told to ask nobody. What identifies the files is in
    it, so that other files are asked about again.
    """
    spec, rendered, model = ready.spec, ready.rendered, ready.model or {}
    if spec.prove != "model" or rendered is None or model.get("status") != "complete":
        return None
    given = {str(key).lstrip("-").replace("-", "_"): value for key, value in spec.engine_args.items()}
    host = rendered.body.get("HostConfig") or {}
    own = (MOUNT_FILES, MOUNT_STATE, MOUNT_CACHE, MOUNT_STARTING)
    revision = model.get("commit") or spec.revision
    tokenizer = tokenizer_of(spec, model) if spec.tokenizer else spec.model
    env = {name: value for name, value in rendered.env.items() if name.startswith(("HF_HUB_", "TRANSFORMERS_"))}
    question = {
        "question": {
            "model": spec.model,
            "config": given.get("hf_config_path"),
            "revision": revision,
            "tokenizer": None if given.get("skip_tokenizer_init") is True else tokenizer,
            "tokenizer_revision": given.get("tokenizer_revision") or (None if spec.tokenizer else revision),
            "tokenizer_mode": given.get("tokenizer_mode"),
            "trust_remote_code": given.get("trust_remote_code") is True,
        },
        "wants": {
            "host_config": {
                "Mounts": [dict(mount) for mount in host.get("Mounts") or () if mount.get("Target") not in own],
                "Binds": [_read_only(bind) for bind in host.get("Binds") or () if bind.split(":")[1] not in own],
            },
            "env": {**env, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": "/tmp/huggingface"},
            "user": rendered.body.get("User") or None,
        },
        "files": [model.get("commit"), model.get("bytes"), model.get("files"), model.get("config")],
    }
    return json.dumps(question, sort_keys=True, separators=(",", ":"))


def _read_only(bind: str) -> str:
    source, target, *options = bind.split(":")
    given = [item for item in ",".join(options).split(",") if item not in ("", "rw", "ro")]
    return ":".join([source, target, ",".join(["ro", *given])])


def verdict(ready: Prepared) -> Iterator[Finding]:
    """What the image's own parser said to the command line, where the declaration wants to know."""
    spec = ready.spec
    if spec.kind != "server" or spec.prove == "none" or ready.rendered is None:
        return
    known, key = ready.rendered.image.known, inspection.proof_key(ready.rendered.argv, _program(ready))
    refusal = (known.get("proved") or {}).get(key)
    if refusal:
        text = f"the parser in {spec.image} refuses the rendered arguments: {refusal}"
        fix = "Correct the argument that it names."
        yield Finding("argument.refused", "error", text, field=spec.where("engine_args"), fix=fix, server=spec.name)
    asked = model_question(ready)
    proof = inspection.model_key(asked) if asked else ""
    said = (known.get("models") or {}).get(proof)
    if said:
        text = f"{spec.image} cannot load what belongs to {spec.model}: {said}"
        fix = "Fetch what is missing, or use another image (cortex.vllm.model_info tells what the files are)."
        yield Finding("model.refused", "error", text, field=spec.where("model"), fix=fix, server=spec.name)
    unproven = (known.get("unproven") or {}).get(proof)
    if unproven:
        text = f"{spec.image} could not be asked to load what belongs to {spec.model}: {unproven}"
        fix = "Run again, or write prove: none."
        yield Finding("model.unproven", "warning", text, field=spec.where("prove"), fix=fix, server=spec.name)
    problem = (known.get("unproven") or {}).get(key)
    if problem:
        text = f"the arguments could not be proven by {spec.image}: {problem}"
        fix = "Run again, or write prove: none."
        yield Finding("argument.unproven", "warning", text, field=spec.where("prove"), fix=fix, server=spec.name)


def _program(ready: Prepared) -> str:
    return "api_server" if rendering.takes_model_as_option(ready.rendered.entrypoint) else "serve"
