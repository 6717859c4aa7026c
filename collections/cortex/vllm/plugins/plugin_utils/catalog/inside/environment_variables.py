# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""The variables of ``vllm/envs.py``: names and annotations by syntax, defaults by calling vLLM's own functions."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from .flags import plain


def annotated(tree: ast.Module) -> dict[str, str]:
    """Types of the ``if TYPE_CHECKING:`` block, in today's spelling (``int | None`` for ``Optional[int]``)."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    found[item.target.id] = _spelling(item.annotation)
    return found


def _spelling(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if node.value.id == "Optional":
            return f"{_spelling(node.slice)} | None"
        if node.value.id == "Union" and isinstance(node.slice, ast.Tuple):
            return " | ".join(_spelling(item) for item in node.slice.elts)
        if node.value.id == "List":
            return f"list[{_spelling(node.slice)}]"
    return ast.unparse(node).replace("'", '"')


def registered(tree: ast.Module) -> dict[str, ast.expr]:
    """Keys of the ``environment_variables`` dictionary with the expressions that read them."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        named = isinstance(target, ast.Name) and target.id == "environment_variables"
        if named and isinstance(node.value, ast.Dict):
            for key, reader in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    found[key.value] = reader
    return found


def choices_of(node: ast.expr) -> list[str] | None:
    """The third argument of ``env_with_choices(name, default, choices)`` when it is a literal."""
    if not (isinstance(node, ast.Call) and "choices" in ast.unparse(node.func) and len(node.args) >= 3):
        return None
    try:
        value = ast.literal_eval(node.args[2])
    except ValueError:
        return None
    return sorted(str(item) for item in value) if isinstance(value, (list, tuple, set)) else None


def fresh(path: Path) -> Any:
    """The module once more, as another process would have it: what differs then was made up at import or at call."""
    spec = importlib.util.spec_from_file_location("vllm.envs_again", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # some of its functions look themselves up there
    spec.loader.exec_module(module)
    return module


def _read(envs: Any, name: str) -> Any:
    """A default, read with nothing set: some of vLLM's functions keep what they made up in the environment."""
    os.environ.clear()
    # The official image runs as root; everything below the home directory is read from there.
    os.environ["HOME"] = "/root"
    return plain(envs.environment_variables[name]())


def collect(tree: Path, notes: list[str]) -> dict[str, dict[str, Any]]:
    """All variables of the release, in the form of the data file."""
    source = ast.parse((tree / "vllm" / "envs.py").read_text(encoding="utf-8"))
    types, names = annotated(source), registered(source)
    envs, again = importlib.import_module("vllm.envs"), fresh(tree / "vllm" / "envs.py")
    kept = dict(os.environ)
    count = os.cpu_count
    result: dict[str, dict[str, Any]] = {}
    try:
        os.cpu_count = lambda: 1
        for name, node in names.items():
            entry: dict[str, Any] = {"type": types.get(name), "choices": choices_of(node)}
            try:
                entry["default"] = _read(envs, name)
                if _read(again, name) != entry["default"]:
                    entry["default"], entry["generated"] = None, True
            except ValueError as error:
                notes.append(f"default of {name} is a {error}")
            except Exception as error:
                notes.append(f"default of {name}: {type(error).__name__}: {error}")
            result[name] = {key: value for key, value in entry.items() if value is not None}
    finally:
        os.cpu_count = count
        os.environ.clear()
        os.environ.update(kept)
    return result
