# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""GGUF: which releases read it, in which form, and what they need beside it when nothing may be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .context import Findings, Server
from .tables import table

#: Releases in which GGUF is a part of vLLM: 0.24.0 moved it to a plugin (vllm-gguf-plugin).
LEFT = (0, 24)
#: repo_id:QUANT (vllm/transformers_utils/gguf_utils.py is_remote_gguf).
REFERENCE = (0, 12)
#: The loader looks for further shards (model_loader/gguf_loader.py _get_all_gguf_files).
SHARDS = (0, 20)
PLUGIN = "gguf"


def check(server: Server) -> Findings:
    """Source: vllm/model_executor/model_loader/gguf_loader.py and vllm/transformers_utils/config.py, 0.6 … 0.23."""
    model, release = server.model or {}, server.release
    if server.spec.kind == "container" or model.get("format") != "gguf":
        return
    if release is not None:
        yield from _release(server, model, _key(release.version))
        if _key(release.version) >= LEFT:
            yield from _beside(server, model)
            return
    yield from _configuration(server, model)
    yield from _tokenizer(server, model)


def has_plugin(image: Mapping[str, Any] | None) -> bool | None:
    """Whether the image has a plugin for GGUF; None when it was not asked."""
    plugins = ((image or {}).get("known") or {}).get("plugins")
    return None if plugins is None else any(PLUGIN in str(name).lower() for name in plugins)


def asks_for_plugins(model: Mapping[str, Any] | None, version: str | None, known: Mapping[str, Any]) -> bool:
    """Whether it must be known what is installed beside vLLM: for GGUF since 0.24."""
    if (model or {}).get("format") != "gguf" or version is None or _key(version) < LEFT:
        return False
    return "plugins" not in known and "plugins_problem" not in known


def _release(server: Server, model: Mapping[str, Any], key: tuple[int, ...]) -> Findings:
    version, severity = server.release.version, "error" if server.exact else "warning"
    if key >= LEFT:
        plugin = has_plugin(server.image)
        if not plugin:
            known = plugin is False
            yield server.finding(
                "model.config-invalid",
                severity if known else "warning",
                f"{model.get('path')} is a GGUF file, which vLLM {version} reads with its plugin only, and "
                + ("the image does not have it" if known else "the image was not asked whether it has it"),
                "model",
                "Use an image with vllm-gguf-plugin, an image of vLLM 0.23 or older, or safetensors weights.",
                server.spec.model,
            )
        return
    if ":" in str(server.spec.model) and key < REFERENCE:
        yield server.finding(
            "model.gguf-form",
            severity,
            f"vLLM {version} does not know {server.spec.model} as a model and a quantization; 0.12 was the first",
            "model",
            f"Write the path of the file on the host: {model.get('path')}.",
            server.spec.model,
        )
    if int(model.get("files") or 1) > 1 and key < SHARDS:
        yield server.finding(
            "model.gguf-form",
            severity,
            f"the model is split into {model['files']} GGUF files, and vLLM {version} reads the first one only",
            "model",
            "Merge them (llama-gguf-split --merge), or use vLLM 0.20 to 0.23.",
            server.spec.model,
        )


def _beside(server: Server, model: Mapping[str, Any]) -> Findings:
    """The plugin takes the metadata for neither configuration nor tokenizer.

    Source: vllm_gguf_plugin 0.0.5, plugin.py _get_gguf_config_source and config_parser.py: ``hf_config_path``, else the
    tokenizer, else the directory of the file; what is found there stands for the model.
    """
    if not has_plugin(server.image) or server.argument("hf_config_path") or server.spec.tokenizer:
        return
    severity = "error" if server.exact and server.spec.offline else "warning"
    if model.get("config") is None:
        yield server.finding(
            "model.gguf-config",
            severity,
            f"there is no config.json beside {model.get('path')}, from which the GGUF plugin takes the configuration",
            "model",
            "Have cortex.vllm.model copy it (config_from: the original model), or write engine_args.hf_config_path.",
            server.spec.model,
        )
    if model.get("tokenizer_kind") == "gguf":
        yield server.finding(
            "model.tokenizer-missing",
            severity,
            f"there are no tokenizer files beside {model.get('path')}, and the GGUF plugin does not take the one in it",
            "tokenizer",
            "Have cortex.vllm.model copy them (tokenizer_from: the original model), or write `tokenizer`.",
            server.spec.model,
        )


def _configuration(server: Server, model: Mapping[str, Any]) -> Findings:
    facts, path = model.get("gguf") or {}, server.argument("hf_config_path")
    if path:
        return
    if ":" in str(server.spec.model) and model.get("config") is None:
        yield server.finding(
            "model.gguf-config",
            "error" if server.spec.offline else "warning",
            f"{server.spec.model} has no config.json beside its GGUF files, from which vLLM takes the configuration",
            "model",
            "Have cortex.vllm.model copy it (config_from: the original model), or write engine_args.hf_config_path.",
            server.spec.model,
        )
        return
    architecture = facts.get("architecture")
    if architecture and ":" not in str(server.spec.model) and architecture.replace("-", "_") not in _known():
        yield server.finding(
            "model.gguf-config",
            "warning",
            f"Transformers does not turn GGUF metadata of the architecture {architecture} into a configuration",
            "engine_args.hf_config_path",
            "Write engine_args.hf_config_path: the directory (or cached id) with the original model's config.json.",
            server.spec.model,
        )


def _tokenizer(server: Server, model: Mapping[str, Any]) -> Findings:
    if server.spec.tokenizer or model.get("tokenizer_kind") != "gguf":
        return
    yield server.finding(
        "model.gguf-tokenizer",
        "info",
        "the tokenizer is converted from the GGUF file at each start, which takes minutes for large vocabularies and"
        " may differ from the original",
        "tokenizer",
        "Have cortex.vllm.model copy the original tokenizer beside it, and write its directory as `tokenizer`.",
    )


def _known() -> set[str]:
    # Names that Transformers maps before it looks (modeling_gguf_pytorch_utils.py load_gguf_checkpoint).
    return {*table("model_types")["gguf"], "qwen2moe", "qwen3moe", "gemma", "command_r", "phi2", "minimax_m2"}


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
