# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""The parsers that a vLLM tree builds for its servers."""

from __future__ import annotations

import argparse
import importlib
import typing
from pathlib import Path
from typing import Any

from . import flags


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
    _every_choice()
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


def _every_choice() -> None:
    """Make a release that takes the choices of any one of two ``Literal`` types, as its set happens to lie, take both.

    0.8.5 does so for ``--guided-decoding-backend`` (vllm/engine/arg_utils.py ``get_kwargs``): its own choices change
    from one start to the next.
    """
    utils: Any = importlib.import_module("vllm.engine.arg_utils")
    one = getattr(utils, "get_type", None)
    if one is None:
        return

    def get_type(hints: Any, kind: Any) -> Any:
        several = [hint for hint in hints if typing.get_origin(hint) is typing.Literal]
        if kind is not typing.Literal or len(several) < 2:
            return one(hints, kind)
        return typing.Literal[tuple(sorted({value for hint in several for value in typing.get_args(hint)}, key=str))]

    utils.get_type = get_type


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


def describe(base: argparse.ArgumentParser, serve: argparse.ArgumentParser | None) -> dict[str, dict[str, Any]]:
    """The options of both, in the form of the catalogue; what only ``vllm serve`` knows is marked so."""
    described = flags.describe(base)
    if serve is not None:
        for name, entry in flags.describe(serve).items():
            described.setdefault(name, {**entry, "only": "serve"})
    return described
