# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes of the API server, read from the decorators of its source.

Only syntax is read: whether a route is attached can depend on the model's task and on options. What is said for
certain is that without ``VLLM_SERVER_DEV_MODE=1`` the routes marked ``dev`` are not there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_METHODS = ("get", "post", "put", "delete", "patch", "head", "options")
_DEV = "VLLM_SERVER_DEV_MODE"
# Other servers that live in the same folder.
_OTHERS = ("entrypoints/api_server.py", "grpc", "dp_supervisor", "run_batch", "/cli/")


def _routes(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Path and method of what one node declares."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
                path = _path(decorator)
                if path and decorator.func.attr in _METHODS:
                    yield path, decorator.func.attr.upper()
                elif path and decorator.func.attr in ("api_route", "route"):
                    yield from ((path, method) for method in _listed(decorator))
                elif path and decorator.func.attr == "websocket":
                    yield path, "WEBSOCKET"
    elif isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        path = _path(node)
        if path and name.endswith(("add_api_route", "add_route")):
            yield from ((path, method) for method in _listed(node))
        elif path and (name == "Mount" or name.endswith(".mount")):
            yield path, "GET"


def _path(call: ast.Call) -> str | None:
    values = [*call.args[:1], *(k.value for k in call.keywords if k.arg == "path")]
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.startswith("/"):
            return value.value
    return None


def _listed(call: ast.Call) -> list[str]:
    for keyword in call.keywords:
        if keyword.arg == "methods":
            try:
                return [str(method).upper() for method in ast.literal_eval(keyword.value)]
            except ValueError:
                break
    return ["GET"]


def _dev_spans(tree: ast.Module) -> list[range]:
    """Lines that only a server in development mode runs."""
    spans = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and _DEV in ast.unparse(node.test) and "not " not in ast.unparse(node.test):
            spans.append(range(node.body[0].lineno, (node.body[-1].end_lineno or node.lineno) + 1))
    return spans


def _imports(path: Path, tree: ast.Module, trees: dict[Path, ast.Module], root: Path) -> Iterator[tuple[Path, bool]]:
    """Modules of the server that a file imports, and whether only in development mode."""
    spans = _dev_spans(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else root
            base = folder / (node.module or "").replace(".", "/")
            names = [base / alias.name for alias in node.names]
            for place in (base, *names):
                for candidate in (place.with_suffix(".py"), place / "__init__.py"):
                    if candidate in trees:
                        yield candidate, any(node.lineno in span for span in spans)


def _dev_modules(trees: dict[Path, ast.Module], root: Path) -> set[Path]:
    """Files whose routers are attached only in development mode.

    Those in a folder ``dev``, those whose ``attach_router`` returns at once without it, and those that the module with
    ``build_app`` reaches only through an import under that condition.
    """
    found = set()
    edges: dict[Path, list[tuple[Path, bool]]] = {}
    for path, tree in trees.items():
        edges[path] = list(_imports(path, tree, trees, root))
        if "/dev/" in path.relative_to(root).as_posix():
            found.add(path)
        if any(isinstance(n, ast.If) and f"not envs.{_DEV}" in ast.unparse(n.test) for n in ast.walk(tree)):
            found.add(path)
    start = {
        path
        for path, tree in trees.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "build_app" for node in tree.body)
    }
    everywhere, always = _reach(start, edges, dev=True), _reach(start, edges, dev=False)
    return found | (everywhere - always)


def _reach(start: set[Path], edges: dict[Path, list[tuple[Path, bool]]], *, dev: bool) -> set[Path]:
    seen, todo = set(start), list(start)
    while todo:
        for other, only_dev in edges[todo.pop()]:
            if other not in seen and (dev or not only_dev):
                seen.add(other)
                todo.append(other)
    return seen


def endpoints(root: Path) -> dict[str, Any]:
    """Per path ``{"methods": […], "dev": true}`` (``dev`` only where it is so)."""
    trees = {}
    for path in sorted((root / "vllm" / "entrypoints").rglob("*.py")):
        if not any(other in path.relative_to(root).as_posix() for other in _OTHERS):
            trees[path] = ast.parse(path.read_text(encoding="utf-8"))
    dev_modules = _dev_modules(trees, root)
    found: dict[str, set[str]] = {}
    always: set[str] = set()
    for path, tree in trees.items():
        spans = _dev_spans(tree)
        for node in ast.walk(tree):
            for route, method in _routes(node):
                found.setdefault(route, set()).add(method)
                line = getattr(node, "lineno", 0)
                if path not in dev_modules and not any(line in span for span in spans):
                    always.add(route)
    return {
        route: {"methods": sorted(found[route])} | ({} if route in always else {"dev": True}) for route in sorted(found)
    }
