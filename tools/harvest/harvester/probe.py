# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the isolated environment, one process a release: imports the tree and prints what it found as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from . import flags as flags_module
from . import stubs


def module_of(tree: Path, below: str, name: str, having: str) -> str:
    """Dotted name of the module that holds a definition: files move between releases, names rarely do."""
    for path in sorted((tree / "vllm" / below).rglob(name)):
        if having in path.read_text(encoding="utf-8"):
            return ".".join(path.relative_to(tree).with_suffix("").parts)
    raise LookupError(f"no {name} with {having!r} below vllm/{below}")


def build_parsers(tree: Path) -> tuple[Any, Any, list[str]]:
    """The parser of the API server module, that of ``vllm serve`` (or ``None``), and notes."""
    notes: list[str] = []
    argument_utils: Any = None
    for module in ("vllm.utils.argparse_utils", "vllm.utils"):
        try:
            argument_utils = importlib.import_module(module)
            argument_utils.FlexibleArgumentParser  # noqa: B018
            break
        except (ImportError, AttributeError):
            continue
    parser_class = argument_utils.FlexibleArgumentParser
    cli_args = importlib.import_module(module_of(tree, "entrypoints", "cli_args.py", "def make_arg_parser("))
    base = cli_args.make_arg_parser(parser_class(prog="vllm serve"))
    serve = None
    try:
        if (tree / "vllm" / "entrypoints" / "cli" / "serve.py").exists():
            command: Any = importlib.import_module("vllm.entrypoints.cli.serve")
            top = parser_class(prog="vllm")
            made = command.ServeSubcommand().subparser_init(top.add_subparsers(required=False, dest="subparser"))
        else:
            made = _serve_of_scripts(parser_class)
        # A stub in its place would describe nothing.
        serve = made if isinstance(made, argparse.ArgumentParser) else None
    except Exception as error:
        notes.append(f"serve subcommand: {type(error).__name__}: {error}")
    return base, serve, notes


class _Built(Exception):
    """Carries a parser out of a function that would go on to parse with it."""


def _serve_of_scripts(parser_class: Any) -> Any:
    """The ``serve`` parser of releases before 0.7.1, which build it inside ``vllm.scripts.main``."""
    scripts: Any = importlib.import_module("vllm.scripts")

    def parse_args(self: Any, *_args: Any, **_kwargs: Any) -> Any:
        raise _Built(self)

    class Stopping(parser_class):
        pass

    Stopping.parse_args = parse_args
    scripts.FlexibleArgumentParser = Stopping
    try:
        scripts.main()
    except _Built as built:
        top = built.args[0]
        actions = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
        return actions[0].choices["serve"]
    return None


def main() -> int:
    """Entry point: ``probe TREE VERSION``; the JSON goes to the file named by ``HARVEST_ANSWER``."""
    tree, version = Path(sys.argv[1]), sys.argv[2]
    numbers = tuple(int(part) for part in version.split(".")[:3])
    # Help texts are kept only with --help in argv, but together with "serve" (0.9.0 and 0.9.1: alone) it hides --model.
    sys.argv = ["vllm"] if (0, 9, 0) <= numbers <= (0, 9, 1) else ["vllm", "--help"]
    for name in [name for name in os.environ if name.startswith(("VLLM_", "CUDA_"))]:
        del os.environ[name]
    os.environ["VLLM_PLUGINS"] = ""
    stubs.empty_package(tree, version)
    stubs.tame_libraries()
    tolerant = stubs.TolerantImport()
    tolerant.install()
    answer: dict[str, Any] = {"platform": stubs.force_cuda()}
    base, serve, notes = build_parsers(tree)
    described = flags_module.describe(base)
    if serve is not None:
        for name, entry in flags_module.describe(serve).items():
            described.setdefault(name, {**entry, "only": "serve"})
    answer["flags"] = described
    answer["positionals"] = [a.dest for a in base._actions if not a.option_strings and a.dest != argparse.SUPPRESS]
    from . import facts

    answer.update(facts.collect(tree, numbers, notes))
    answer["stubbed"] = sorted(set(tolerant.stubbed))
    answer["notes"] = notes
    Path(os.environ["HARVEST_ANSWER"]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of half-imported libraries must not hold the process
