# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Quantization and data types: weights, argument, release and GPU must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import catalog
from ..observation import wants_gpus
from .config import Config
from .context import Findings, Server
from .tables import facts, no_such_quantization, table

_SPELLINGS = {"compressed_tensors": "compressed-tensors", "auto_round": "auto-round", "intel/auto-round": "auto-round"}
_HALF = {"half": "float16", "float": "float32"}


def check(server: Server) -> Findings:
    """Source of each rule beside it; tables with their sources in ``checks/data/quantization.json``."""
    if server.spec.kind == "container":
        return
    config = Config.of(server)
    own, declared = weights_method(server, config), declared_method(server)
    if own and declared and not _fits(own, declared):
        # vllm/config/model.py _verify_quantization, 0.6 … 0.33.
        yield server.finding(
            "model.quantization",
            "error",
            f"the weights are {own}, and engine_args.quantization says {declared}",
            _field(server),
            "Delete engine_args.quantization: the model's own method is taken.",
            origin=declared,
        )
        return
    needs = table("quantization")["needs_own_weights"]["methods"]
    if declared in needs and config is not None and not own:
        yield server.finding(
            "model.quantization",
            "error",
            f"{declared} needs weights that were quantized so, and config.json has no quantization_config",
            _field(server),
            "Use a model with such weights, or quantization: fp8, which quantizes while loading.",
            origin=declared,
        )
        return
    method = declared or own
    if method:
        refused = list(_release(server, method, own))
        yield from refused
        if wants_gpus(server.spec) and not refused:
            yield from _hardware(server, method)
        elif not wants_gpus(server.spec) and not refused:
            yield from _processor(server, method, config)
    yield from _dtype(server, config)
    yield from _cache_dtype(server)


def weights_method(server: Server, config: Config | None) -> str | None:
    """The method that the weights themselves name; ``gguf`` for GGUF files; None when they are not quantized."""
    if (server.model or {}).get("format") == "gguf":
        return "gguf"
    method = str((config.quantization if config is not None else {}).get("quant_method") or "").lower()
    return _SPELLINGS.get(method, method) or None


def declared_method(server: Server) -> str | None:
    """``engine_args.quantization``; None when it is not declared (or declared as none)."""
    method = str(server.argument("quantization") or "").lower()
    return None if method in {"", "none", "null"} else _SPELLINGS.get(method, method)


def _field(server: Server) -> str:
    return f"engine_args.{server.arguments['quantization'][0]}" if "quantization" in server.arguments else "model"


def _family(method: str) -> Mapping[str, Any] | None:
    return next((row for row in table("quantization")["families"] if row["method"] == method), None)


def _fits(own: str, declared: str) -> bool:
    """Whether the argument is one that such weights accept; methods that no table has are not judged."""
    family = _family(own)
    known = {item for row in table("quantization")["families"] for item in (row["method"], *row["accepts"])}
    return family is None or own == declared or declared in family["accepts"] or declared not in known


def _release(server: Server, method: str, own: str | None) -> Findings:
    """quantization/__init__.py in vllm/model_executor/layers: what is not registered is unknown, but for plugins."""
    release = server.release
    if release is None or not release.quantization or (method == "gguf" and own == "gguf"):
        return  # which releases read GGUF, and whether the image has the plugin, is said by checks/gguf.py
    family = _family(method)
    names = {method, *(family["accepts"] if family is not None and method == own else ())}
    if not names & set(release.quantization):
        if method == declared_method(server):
            return  # said by rendering, which needs no host for it
        text, fix = no_such_quantization(release, method)
        severity = "error" if server.exact else "warning"
        yield server.finding("model.quantization", severity, text, _field(server), fix, origin=method)
    elif method in facts(release).get("deprecated_quantization", ()):
        # Of a declared method rendering says it, which needs no host for it.
        if method != declared_method(server) and not server.argument("allow_deprecated_quantization"):
            yield server.finding(
                "model.quantization",
                "error" if server.exact else "warning",
                f"{method} is deprecated in vLLM {release.version}, which refuses it",
                _field(server),
                "Write engine_args.allow_deprecated_quantization: true, and plan for other weights.",
                origin=method,
            )


def _hardware(server: Server, method: str) -> Findings:
    """vllm/config/vllm.py (_verify_quantization's capability), 0.6 … 0.33: minimum of each method."""
    capability, release = server.capability, server.release
    if capability is None or release is None:
        return
    have = capability[0] * 10 + capability[1]
    least = release.quantization.get(method)
    if least is not None and have < least:
        yield server.finding(
            "model.quantization",
            "error" if server.exact else "warning",
            f"{method} needs compute capability {_dotted(least)} in vLLM {release.version}, and {_name(server)} has"
            f" {_dotted(have)}",
            _field(server),
            "Use weights with another quantization (docs/hardware.md has the table), or another GPU.",
            origin=method,
        )
        return
    for row in table("quantization")["native"]:
        if method in row["methods"] and have < row["capability"]:
            yield server.finding(
                "model.quantization",
                "info",
                f"{_name(server)} (compute capability {_dotted(have)}) has no {row['what']}: {row['below']}",
                _field(server),
            )


def _processor(server: Server, method: str, config: Config | None) -> Findings:
    """vllm/model_executor/kernels/linear/__init__.py: kernels that a release has for the CPU (``cpu`` in the table)."""
    release = server.release
    if release is None:
        return
    rows, names = table("quantization")["cpu"], _packings(method, config)
    for row in rows["none"]:
        if names & set(row["methods"]):
            text = f"vLLM has no kernel for {row['what']} on the CPU"
            yield _processor_finding(server, "error" if server.exact else "warning", text, method)
            return
    have = catalog.version_key(release.version)
    for row in rows["since"]:
        if not names & set(row["methods"]):
            continue
        if have < catalog.version_key(row["release"]):
            text = f"{row['what']} on the CPU came with vLLM {row['release']}; in {release.version} {row['before']}"
            severity = row["severity"] if server.exact else "warning"
            yield _processor_finding(server, severity, text, method)
        elif row.get("needs"):
            text = f"{row['what']} on the CPU needs {row['needs']}, or vLLM finds no kernel"
            yield _processor_finding(server, "info", text, method)


def _packings(method: str, config: Config | None) -> set[str]:
    """The method, and how its weights are packed where the method does not tell (``block``, ``packed``, ``nvfp4``)."""
    own = config.quantization if config is not None else {}
    if method == "fp8" and own.get("weight_block_size"):
        return {"block"}
    if method == "modelopt" and "FP4" in str(own.get("quant_algo") or ""):
        return {"nvfp4"}
    if method != "compressed-tensors":
        return {method}
    groups = own.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    weights = weights if isinstance(weights, Mapping) else {}
    small, floats = weights.get("num_bits") == 4, weights.get("type") == "float"
    if floats and not small and weights.get("strategy") == "block":
        return {"block"}
    return {"nvfp4" if floats else "packed"} if small else {"fp8"} if floats else {"int8"}


def _processor_finding(server: Server, severity: Any, text: str, method: str) -> Any:
    fix = "Use weights in int8 (compressed-tensors), AWQ or GPTQ, or none; docs/hardware.md has the table."
    return server.finding("model.quantization", severity, text, _field(server), fix, origin=method)


def _dtype(server: Server, config: Config | None) -> Findings:
    """vllm/platforms/cuda.py check_if_supports_dtype; vllm/config/model.py _resolve_auto_dtype."""
    wanted = str(server.argument("dtype", "auto")).lower()
    wanted = _HALF.get(wanted, wanted)
    capability = server.capability if wants_gpus(server.spec) else None
    known = facts(server.release)
    if capability is not None and capability < (8, 0):
        text = f"bfloat16 needs compute capability 8.0, and {_name(server)} has {capability[0]}.{capability[1]}"
        if wanted == "bfloat16":
            yield _dtype_finding(server, "error", text, "Write engine_args.dtype: float16.")
        elif wanted == "auto" and config is not None and config.dtype == "bfloat16":
            if known.get("bfloat16_falls_back"):
                text += f"; vLLM {server.release.version} takes float16 instead"
                yield _dtype_finding(server, "info", text, None)
            elif known:
                severity = "error" if server.exact else "warning"
                yield _dtype_finding(server, severity, text, "Write engine_args.dtype: float16.")
    if wanted == "float16" and config is not None and config.model_type in known.get("float16_refused", ()):
        yield _dtype_finding(
            server,
            "error" if server.exact else "warning",
            f"vLLM {server.release.version} refuses float16 for {config.model_type}, which is unstable in it",
            "Write engine_args.dtype: bfloat16, or float32 on a GPU below compute capability 8.0.",
        )


def _dtype_finding(server: Server, severity: str, message: str, fix: str | None) -> Any:
    written = server.arguments.get("dtype", ("dtype", None))[0]
    return server.finding(
        "argument.dtype", severity, message, f"engine_args.{written}", fix, origin=server.argument("dtype")
    )


def _cache_dtype(server: Server) -> Findings:
    """FP8 in the KV cache below 8.9 depends on the attention backend (Triton: ``fp8e4nv not supported``)."""
    wanted = str(server.argument("kv_cache_dtype", "auto")).lower()
    capability = server.capability if wants_gpus(server.spec) else None
    if wanted.startswith("fp8") and capability is not None and capability < (8, 9):
        written = server.arguments["kv_cache_dtype"][0]
        yield server.finding(
            "argument.dtype",
            "warning",
            f"a KV cache in {wanted} on {_name(server)} (compute capability {capability[0]}.{capability[1]}) works with"
            " some attention backends only",
            f"engine_args.{written}",
            "Write kv_cache_dtype: auto, unless you know that it works there.",
        )


def _name(server: Server) -> str:
    names = sorted({str(item.get("name") or "the GPU") for item in server.devices})
    return " and ".join(names) or "the GPU"


def _dotted(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"
