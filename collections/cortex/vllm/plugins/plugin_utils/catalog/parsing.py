# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""What a release's parser makes of a command line, without that release.

The options come from the catalogue, the rules from argparse itself (unique prefixes, ``--x=v``, numbers of values) and
from vLLM's ``FlexibleArgumentParser`` (``_`` for ``-``, dotted keys of JSON values, ``-O3``). Not modelled: the
fields inside of a JSON configuration (their classes check them), what a ``--config`` file holds, and what vLLM checks
after parsing.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .release import Flag, Release, normalise
from .store import version_key

_MULTIPLES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Parsed:
    """A command line as the release would understand it.

    Attributes:
        values: What was given, by ``dest``; defaults are not filled in.
        error: argparse's words when the release would refuse it, else ``None``.
    """

    values: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


class _Refused(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message)


class _Switch(argparse.Action):
    """A switch with spellings for both of its values."""

    def __init__(self, option_strings: Sequence[str], dest: str, negative: frozenset[str], **rest: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **rest)
        self.negative = negative

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, option_string not in self.negative)


def human_int(text: str) -> int:
    """``8k`` is 8000, ``8K`` 8192, ``1.5k`` 1500 (vllm/utils/argparse_utils.py, ``human_readable_int``).

    Raises:
        ValueError: as vLLM: no number, or a fraction of a binary unit.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text.strip())
    if not match:
        return int(text)
    number, unit = match.groups()
    return int(number) * _MULTIPLES[unit] if unit.isupper() else int(float(number) * _MULTIPLES[unit])


def _json(text: str) -> Any:
    return json.loads(text)


def _json_or_text(text: str) -> Any:
    return json.loads(text) if re.match(r"(?s)^\s*{.*}\s*$", text) else text


def _pairs(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in text.split(",") if text else ():  # nothing is none (0.6.0 vllm/engine/arg_utils.py, nullable_kvs)
        key, equals, value = (part.strip() for part in item.lower().partition("="))
        if not equals or key in found:
            raise ValueError(item)
        found[key] = int(value)
    return found


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _separated(text: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in map(str.strip, text.split(","))]


def _named(text: str) -> Any:
    if not text:
        return None  # skipped, as LoRAParserAction does
    if "=" in text and "," not in text:
        name, path = text.split("=", 1)
        return {"name": name, "path": path}
    value = json.loads(text)
    if not isinstance(value, dict) or not {"name", "path"} <= set(value):
        raise ValueError(text)
    return value


_TYPES: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _boolean,
    "human_int": human_int,
    "json": _json,
    "json|str": _json_or_text,
    "kvs": _pairs,
    "csv": _separated,
    "name=path": _named,
}


def reader(flag: Flag) -> Callable[[str], Any]:
    """How the release reads one text for an option; the function raises ValueError as vLLM's own does."""
    # type=bool without a value of its own: Python's own truth of a text.
    convert = bool if flag.kind == "bool_value" and flag.nargs is None else _TYPES[flag.type]

    def call(text: str) -> Any:
        if flag.nullable and text in ("", "None"):
            return None
        if text in flag.words:
            return -1 if flag.type == "human_int" else text
        return convert(text)

    call.__name__ = flag.type  # argparse names it in "invalid … value"
    return call


def _add(parser: argparse.ArgumentParser, flag: Flag, spellings: list[str]) -> None:
    rest: dict[str, Any] = {"dest": flag.dest, "default": argparse.SUPPRESS}
    if flag.kind in ("store_true", "store_false"):
        parser.add_argument(*spellings, action=flag.kind, **rest)
    elif flag.kind == "bool_optional":
        parser.add_argument(
            *spellings, action=_Switch, negative=frozenset((flag.negation or "", *flag.negations)), **rest
        )
    else:
        rest |= {"type": reader(flag), "choices": flag.choices}
        if flag.repeat:
            parser.add_argument(*spellings, action="append", **rest)
        elif flag.nargs == "?":
            const = flag.const == "True" if flag.kind == "bool_value" else flag.const
            parser.add_argument(*spellings, nargs="?", const=const, **rest)
        else:
            parser.add_argument(*spellings, nargs=flag.nargs, **rest)


def build(release: Release, *, serve: bool | None = None) -> argparse.ArgumentParser:
    """An argparse parser with the release's options.

    Args:
        release: From the catalogue.
        serve: Whether ``vllm serve`` parses (a positional model, further options) or the API server's module; by
            default, whichever the official image's entrypoint is.
    """
    serve = release.model_positional if serve is None else serve
    parser = _Parser(add_help=False, allow_abbrev=True)
    taken: set[str] = set()
    flags = [flag for flag in release.flags.values() if serve or flag.only != "serve"]
    # A spelling belongs to the flag of that name first: 0.33 gives --enable-x a negation --disable-x, and the other
    # way round, which may both be flags.
    own = {flag.name for flag in flags}
    for flag in flags:
        candidates = [flag.name, *flag.aliases, *filter(None, [flag.negation]), *flag.negations]
        spellings = [s for s in candidates if s == flag.name or s not in own and s not in taken]
        taken.update(spellings)
        _add(parser, flag, spellings)
    if serve or "model_tag" in release.data.get("positionals", ()):
        parser.add_argument("model_tag", nargs="?", default=argparse.SUPPRESS)
    return parser


def prepared(release: Release, argv: Sequence[str]) -> list[str]:
    """The command line after vLLM's own preparation: dashes, ``-O3``, dotted keys made one JSON value.

    Raises:
        ValueError: a dotted key without a value.
    """
    level = "--optimization-level" if "--optimization-level" in release.flags else "-O"
    words: list[str] = []
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            words.append(normalise(name) + equals + value)
        elif word.startswith("-O") and word != "-O" and not word.startswith("-O."):
            words += [level, word[2:].removeprefix("=")]
        else:
            words.append(word)
    if version_key(release.version) < version_key("0.9.0"):
        return words
    return _dotted(words)


def _dotted(words: list[str]) -> list[str]:
    kept: list[str] = []
    values: dict[str, dict[str, Any]] = {}
    rest = iter(words)
    for word in rest:
        name, equals, text = word.partition("=")
        if not (word.startswith("-") and "." in name) or re.fullmatch(r"-\d*\.\d+", word):
            kept.append(word)
            continue
        if not equals:
            following = next(rest, None)
            if following is None:
                raise ValueError(f"argument {name}: expected one argument")
            text = following
        appended = name.endswith("+")
        key, *path = name.removesuffix("+").split(".")
        _merge(values.setdefault(key, {}), path, text.split(",") if appended else _loose(text))
    for key, value in values.items():
        kept += [key, json.dumps(value)]
    return kept


def _loose(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return human_int(text)
    except ValueError:
        return text


def _merge(into: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        below = into.get(key)
        into[key] = into = below if isinstance(below, dict) else {}
    last = into.get(path[-1])
    into[path[-1]] = last + value if isinstance(last, list) and isinstance(value, list) else value


class CommandLine:
    """The parser of one release, for many command lines.

    Args:
        release: From the catalogue.
        serve: As for :func:`build`.
    """

    def __init__(self, release: Release, *, serve: bool | None = None) -> None:
        self._release = release
        self._parser = build(release, serve=serve)
        self._named = {flag.dest for flag in release.flags.values() if flag.type == "name=path"}

    def parse(self, argv: Sequence[str]) -> Parsed:
        """What the release would make of the words after its entrypoint.

        Returns:
            The values that were given, or the error that argparse would end with.
        """
        try:
            values = vars(self._parser.parse_args(prepared(self._release, argv)))
            for dest in self._named & set(values):
                values[dest] = [item for item in values[dest] if item is not None]
            # vLLM looks for the word --config: --config=FILE is accepted and read by nobody.
            if "--config" in argv and not str(values.get("config")).endswith((".yaml", ".yml")):
                raise ValueError(f"Config file must be of a yaml/yml type. {values['config']} supplied")
            return Parsed(values=values)
        except (_Refused, ValueError) as error:
            return Parsed(error=str(error))


def parse(release: Release, argv: Sequence[str], *, serve: bool | None = None) -> Parsed:
    """:meth:`CommandLine.parse` for a single command line."""
    return CommandLine(release, serve=serve).parse(argv)
