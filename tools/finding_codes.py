#!/usr/bin/env python3
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists every finding code in the collection's source, with the places that make it.

A code is ``concern.what``. It is looked for in every string of the Python files and in every JSON or YAML value named
``code``, so that a rule in a data file counts as well as a check.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)+$")
#: First words of dotted names that are no concern of ours: modules, labels, the engine's own names.
NOT_A_CONCERN = {
    "ai", "ansible", "cortex", "docker", "docs", "email", "general", "http", "importlib", "io", "jinja2", "labels",
    "org", "os", "pydantic", "python", "requests", "split", "tokenizer", "torch", "ulimits", "urllib", "urllib3",
    "vllm", "www",
}  # fmt: skip
#: Ends of file names.
FILES = {
    "bin", "bpe", "cfg", "conf", "gguf", "gz", "j2", "jinja", "json", "jsonl", "kept", "lock", "log", "model", "new",
    "part", "pem", "pkl", "pt", "py", "safetensors", "sh", "so", "sock", "spm", "sqlite", "tmp", "toml", "txt", "xml",
    "yaml", "yml",
}  # fmt: skip

#: Names of files, labels and fields that look like a code all the same.
NOT_CODES = {"index.docker.io", "ref.name", "registry-1.docker.io", "server.image"}


def is_code(text: str) -> bool:
    parts = text.split(".")
    return bool(CODE.match(text)) and text not in NOT_CODES and parts[0] not in NOT_A_CONCERN and parts[-1] not in FILES


def _in_data(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("code"), str):
            yield value["code"]
        for inner in value.values():
            yield from _in_data(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_data(inner)


def _problem(node: ast.AST) -> str | None:
    """``problem("absent", …)`` on the target is the finding ``model.absent``; so are notes.add and notes.json."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    said: ast.expr | None = None
    if isinstance(node.func, ast.Name) and node.func.id in ("problem", "Damaged"):
        said = node.args[0]
    elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value).split(".")[-1] == "notes":
        place = {"add": 0, "json": 1}.get(node.func.attr)
        said = node.args[place] if place is not None and len(node.args) > place else None
    if isinstance(said, ast.Constant) and isinstance(said.value, str):
        return f"model.{said.value}"
    return None


def codes(plugins: Path) -> dict[str, list[str]]:
    """Code → places (``file:line``, or the data file) below ``plugins``."""
    found: dict[str, set[str]] = {}
    for path in sorted(plugins.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            short = _problem(node)
            if short:
                found.setdefault(short, set()).add(f"{path.relative_to(plugins)}:{node.lineno}")
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_code(node.value):
                found.setdefault(node.value, set()).add(f"{path.relative_to(plugins)}:{node.lineno}")
    for path in sorted(plugins.rglob("*")):
        if path.suffix not in (".json", ".yml", ".yaml") or "catalog" in path.parts:
            continue
        data = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
        for code in _in_data(data):
            found.setdefault(code, set()).add(str(path.relative_to(plugins)))
    return {code: sorted(places) for code, places in sorted(found.items())}


if __name__ == "__main__":
    for code, places in codes(ROOT / "collections/cortex/vllm/plugins").items():
        print(f"{code:32} {' '.join(places)}")
    sys.exit(0)
