# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything of a release that is not its parser: what the tree's own tables say once they are imported.

Each fact has one function; one that cannot be read is left out with a note, never guessed.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from . import environment_variables, image, routes, stubs


def first(*places: str) -> Any:
    """The first ``module:name`` that exists in this release and is not a stub, or ``None``."""
    for place in places:
        module, _, name = place.partition(":")
        try:
            value = getattr(importlib.import_module(module), name)
        except Exception:
            continue
        if not getattr(value, "_is_stub", False):
            return value
    return None


def _literals(annotation: Any) -> set[str]:
    """The strings of a ``Literal``, also of nested ones."""
    found: set[str] = set()
    for item in get_args(annotation):
        found |= {item} if isinstance(item, str) else _literals(item)
    return found


def speculative_methods(tree: Path) -> list[str] | None:
    """Values of ``speculative_config.method`` (``SpeculativeMethod``; before 0.8.5 what the class compares with)."""
    named = first("vllm.config.speculative:SpeculativeMethod", "vllm.config:SpeculativeMethod")
    if named is not None:
        return sorted(_literals(named))
    source = tree / "vllm" / "config.py"
    if not source.exists():
        return None
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name == "SpeculativeConfig":
            for compare in ast.walk(node):
                if isinstance(compare, ast.Compare) and ast.unparse(compare.left).endswith("method"):
                    found |= {
                        c.value for c in ast.walk(compare) if isinstance(c, ast.Constant) and isinstance(c.value, str)
                    }
    return sorted(found)


def attention_backends(_tree: Path) -> list[str] | None:
    """Names of the attention backends."""
    members = first(
        "vllm.v1.attention.backends.registry:AttentionBackendEnum",
        "vllm.attention.backends.registry:AttentionBackendEnum",
        "vllm.attention.backends.registry:_Backend",
        "vllm.platforms.interface:_Backend",
        "vllm.platforms:_Backend",
        "vllm.attention.selector:_Backend",
    )
    if not (isinstance(members, type) and issubclass(members, enum.Enum)):
        return None
    return sorted(members.__members__)


def quantization(_tree: Path) -> dict[str, int | None] | None:
    """Methods with the least compute capability times ten, as each method's own class states it."""
    methods = first("vllm.model_executor.layers.quantization:QUANTIZATION_METHODS")
    if not methods:
        return None
    lookup = first("vllm.model_executor.layers.quantization:get_quantization_config")
    result: dict[str, int | None] = {}
    for name in sorted(methods):
        try:
            least = lookup(name).get_min_capability()
        except Exception:
            least = None
        result[name] = least if type(least) is int else None
    return result


def architectures(tree: Path) -> list[str] | None:
    """Keys of the model registry."""
    table = first(
        "vllm.model_executor.models.registry:_VLLM_MODELS",
        "vllm.model_executor.models.registry:_MODELS",
        "vllm.model_executor.models:_MODELS",
    )
    if isinstance(table, dict) and table:
        return sorted(table)
    return None


def _registered(manager: Any, *tables: str) -> list[str] | None:
    if manager is None:
        return None
    if hasattr(manager, "list_registered"):
        return sorted(manager.list_registered())
    for table in tables:
        if isinstance(getattr(manager, table, None), dict):
            return sorted(getattr(manager, table))
    return None


def tool_parsers(_tree: Path) -> list[str] | None:
    """Values of ``--tool-call-parser``."""
    return _registered(
        first("vllm.tool_parsers:ToolParserManager", "vllm.entrypoints.openai.tool_parsers:ToolParserManager"),
        "tool_parsers",
    )


def reasoning_parsers(_tree: Path) -> list[str] | None:
    """Values of ``--reasoning-parser``."""
    return _registered(
        first(
            "vllm.reasoning:ReasoningParserManager",
            "vllm.entrypoints.openai.reasoning_parsers:ReasoningParserManager",
        ),
        "reasoning_parsers",
    )


# What the default sizes of a batch depend on: one GPU of each class that any release tells apart.
CARDS: tuple[dict[str, Any], ...] = (
    {"memory": 24, "name": "NVIDIA L4", "capability": (8, 9)},
    {"memory": 80, "name": "NVIDIA A100-SXM4-80GB", "capability": (8, 0)},
    {"memory": 80, "name": "NVIDIA H100 80GB HBM3", "capability": (9, 0)},
    {"memory": 180, "name": "NVIDIA B200", "capability": (10, 0)},
)


def batch_defaults(_tree: Path) -> list[dict[str, Any]] | None:
    """Default ``max_num_batched_tokens`` and ``max_num_seqs`` of the API server, asked for each class of GPU.

    For a model that generates text, with the V1 engine; releases before it (0.7.3 and older) have no such table.
    """
    arguments = first("vllm.engine.arg_utils:EngineArgs")
    context = first("vllm.usage.usage_lib:UsageContext")
    names = ("get_batch_defaults", "_set_default_args_v1", "_set_default_args")
    name = next((name for name in names if hasattr(arguments, name)), None)
    if arguments is None or context is None or name is None:
        return None
    result = []
    saved = dict(stubs.HARDWARE)
    try:
        for card in CARDS:
            stubs.HARDWARE.update(card, memory=card["memory"] * stubs.GIB)
            tokens, sequences = _batch(arguments, name, context.OPENAI_API_SERVER)
            result.append(
                {
                    "gpu": card["name"],
                    "memory_gib": card["memory"],
                    "max_num_batched_tokens": tokens,
                    "max_num_seqs": sequences,
                }
            )
    finally:
        stubs.HARDWARE.update(saved)
    return result


class _Unset:
    """Engine arguments of which none is set: every other name has the class's own default."""

    def __init__(self, arguments: Any) -> None:
        self._arguments = arguments
        self.max_num_batched_tokens = self.max_num_seqs = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._arguments, name, None)


def _batch(arguments: Any, name: str, server: Any) -> tuple[int, int]:
    if name == "get_batch_defaults":
        tokens, sequences = arguments.get_batch_defaults(1)
        return tokens[server], sequences[server]
    # 0.8.0 to 0.11.0: a method that fills in what is not set.
    unset = _Unset(arguments)
    function = getattr(arguments, name)
    model = types.SimpleNamespace(runner_type="generate", max_model_len=1 << 20)
    function(*[unset, server, model][: len(inspect.signature(function).parameters)])
    if unset.max_num_batched_tokens is None or unset.max_num_seqs is None:
        raise ValueError(f"{name} left the sizes unset")
    return unset.max_num_batched_tokens, unset.max_num_seqs


_METRIC = re.compile(r"vllm:[a-z][a-z0-9_]*[a-z0-9]")
_KINDS = ("counter", "gauge", "histogram", "summary")


def metrics(tree: Path) -> dict[str, str]:
    """Prometheus metrics that the source names, with their kind; counters lack the ``_total`` they are shown with.

    The kind is that of the call that the name is handed to; a name that is only kept in a constant is ``untyped``,
    one that ends in ``_info`` is a gauge, as Prometheus clients make it.
    """
    found: dict[str, str] = {}
    for path in sorted((tree / "vllm").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "vllm:" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            values: list[ast.AST]
            if isinstance(node, ast.Call):
                context, values = ast.unparse(node.func), [*(k.value for k in node.keywords), *node.args]
            elif isinstance(node, ast.Assign):
                context, values = ast.unparse(node.targets[0]), list(ast.walk(node.value))
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                context, values = ast.unparse(node.target), list(ast.walk(node.value))
            else:
                continue
            kind = next((kind for kind in _KINDS if kind in context.lower()), None)
            for value in values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and _METRIC.fullmatch(value.value):
                    name = value.value
                    if found.get(name, "untyped") == "untyped":
                        found[name] = kind or ("gauge" if name.endswith("_info") else "untyped")
    # A constant that other names begin with is a prefix, not a metric.
    return {
        name: kind
        for name, kind in found.items()
        if kind != "untyped" or not any(other.startswith(f"{name}_") for other in found)
    }


FACTS: dict[str, Callable[[Path], Any]] = {
    "speculative_methods": speculative_methods,
    "attention_backends": attention_backends,
    "quantization": quantization,
    "architectures": architectures,
    "tool_parsers": tool_parsers,
    "reasoning_parsers": reasoning_parsers,
    "batch_defaults": batch_defaults,
    "metrics": metrics,
    "endpoints": routes.endpoints,
}


def collect(tree: Path, numbers: tuple[int, ...], notes: list[str]) -> dict[str, Any]:
    """All further sections of the data file."""
    answer: dict[str, Any] = image.read(tree, numbers, notes)
    answer["environment"] = environment_variables.collect(tree, notes)
    for name, function in FACTS.items():
        try:
            value = function(tree)
        except Exception as error:
            notes.append(f"{name}: {type(error).__name__}: {error}")
            continue
        if value is None:
            notes.append(f"{name}: not found in this release")
        else:
            answer[name] = value
    return answer
