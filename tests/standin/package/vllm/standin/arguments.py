# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a command line as vLLM's argparse parser does, and fails with the same words and exit code 2.

The flags, their choices and the number of their values come from the usage text that vLLM 0.32.0 printed
(``data/api_server-usage-0.32.0.txt``); what another release knows besides or no longer is in ``RELEASE_FLAGS``.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")

TOP_USAGE = """usage: vllm [-h] [-v]
            {chat,complete,serve,launch,bench,collect-env,download-kernels,preload,run-batch,snapshot}
            ...
"""
SERVE_USAGE = "usage: vllm serve [model_tag] [options]\n"

# Short spellings; the usage text names only the first spelling of a flag (vllm/engine/arg_utils.py, 0.32.0).
ALIASES = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
    "-dpl": "--data-parallel-size-local",
    "-dpa": "--data-parallel-address",
    "-dpp": "--data-parallel-rpc-port",
    "-dpr": "--data-parallel-start-rank",
    "-dpn": "--data-parallel-rank",
    "-asc": "--api-server-count",
    "-sc": "--speculative-config",
    "-cc": "--compilation-config",
    "-ac": "--attention-config",
    "-q": "--quantization",
    "-n": "--nnodes",
    "-r": "--node-rank",
    "-O": "--optimization-level",
}

# (flag, takes a value, first release that lacks it); read in the released sources.
RELEASE_FLAGS: t.Tuple[t.Tuple[str, bool, t.Tuple[int, int]], ...] = (
    ("--swap-space", True, (0, 18)),
    ("--disable-log-requests", False, (0, 17)),
    ("--guided-decoding-backend", True, (0, 12)),
    ("--task", True, (0, 13)),
    ("--disable-frontend-multiprocessing", False, (0, 19)),
)

_HUMAN = {"--max-model-len": "human_readable_int_or_auto", "--max-num-batched-tokens": "human_readable_int"}
_INTS = frozenset({"--port", "--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size"})
_INTS = _INTS | {"--max-num-seqs", "--seed", "--block-size", "--max-logprobs", "--nnodes", "--node-rank"}
# The usage text shows choices for these, but they are checked after parsing (plugins may add values).
_CHECKED_LATER = frozenset({"--tool-call-parser", "--reasoning-parser", "--quantization", "--attention-backend"})
_FLOATS = frozenset({"--gpu-memory-utilization"})
_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


class Refused(Exception):
    """The parser ended the program: ``text`` goes to stderr, the exit code is 2."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Flag(t.NamedTuple):
    """One option: ``values`` is 0 (none), 1 or -1 (one or more)."""

    name: str
    values: int
    choices: t.Tuple[str, ...]


def release(version: str) -> t.Tuple[int, int]:
    """``0.11.0`` as ``(0, 11)``."""
    numbers = re.findall(r"\d+", version)
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else (0, 32)


def _usage_items(text: str) -> t.Iterator[str]:
    """The bracketed parts of a usage text, ``[--host HOST]`` as ``--host HOST``."""
    depth, start = 0, 0
    for index, character in enumerate(text):
        if character == "[":
            depth += 1
            if depth == 1:
                start = index + 1
        elif character == "]":
            depth -= 1
            if depth == 0:
                yield " ".join(text[start:index].split())


def known_flags(version: str, more: str = "", fewer: str = "") -> t.Dict[str, Flag]:
    """Flags by spelling, negations too. ``more`` and ``fewer`` are comma lists of spellings."""
    with open(os.path.join(DATA, "api_server-usage-0.32.0.txt"), encoding="utf-8") as handle:
        text = handle.read()
    flags: t.Dict[str, Flag] = {}
    for item in _usage_items(text):
        if not item.startswith("--"):
            continue
        spellings = [part.strip() for part in item.split(" | ")] if " | --" in item else [item]
        name, _unused, rest = spellings[0].partition(" ")
        choices = None if name in _CHECKED_LATER else re.match(r"\{([^}]*)\}", rest)
        values = 0 if not rest else -1 if "..." in rest else 1
        flag = Flag(name, values, tuple(choices.group(1).split(",")) if choices else ())
        for spelling in spellings:
            flags[spelling.partition(" ")[0]] = flag
    for name, value, until in RELEASE_FLAGS:
        if release(version) < until:
            flags[name] = Flag(name, int(value), ())
    for name in filter(None, more.split(",")):
        flags[name] = Flag(name, 1, ())
    for name in filter(None, fewer.split(",")):
        flags.pop(name, None)
    return flags


def human_int(text: str) -> int:
    """``2k`` is 2000, ``2K`` 2048, ``auto`` is -1; ValueError otherwise (vllm/utils/argparse_utils.py)."""
    if text == "auto":
        return -1
    match = re.match(r"^(-?\d+(?:\.\d+)?)([kKmMgG]?)$", text)
    if not match:
        raise ValueError(text)
    return int(float(match.group(1)) * _SUFFIXES.get(match.group(2), 1))


def _flag_of(token: str, flags: t.Mapping[str, Flag]) -> t.Optional[Flag]:
    """The flag a spelling means: exact, ``_`` for ``-``, dotted (``--x.y``), short, or a unique prefix."""
    if not token.startswith("--"):
        return flags.get(ALIASES.get(token, ""))
    name = token.split("=", 1)[0]
    head, _dot, tail = name.partition(".")
    head = head.replace("_", "-")
    if head in flags:
        return Flag(f"{head}.{tail}", 1, ()) if tail else flags[head]
    candidates = {flags[known].name: flags[known] for known in flags if known.startswith(head)}
    return next(iter(candidates.values())) if len(candidates) == 1 else None


def _check(flag: Flag, value: str) -> None:
    """ValueError with argparse's text when ``value`` is not of the flag's type or among its choices."""
    if flag.choices and value not in flag.choices:
        raise ValueError(f"invalid choice: {value!r} (choose from {', '.join(map(repr, flag.choices))})")
    try:
        if flag.name in _HUMAN:
            human_int(value)
        elif flag.name in _INTS:
            int(value)
        elif flag.name in _FLOATS:
            float(value)
    except ValueError:
        kind = _HUMAN.get(flag.name) or ("float" if flag.name in _FLOATS else "int")
        raise ValueError(f"invalid {kind} value: {value!r}") from None
    if flag.name == "--speculative-config":
        try:
            json.loads(value)
        except ValueError:
            raise ValueError(f"Value {value} cannot be converted to <function loads at 0x7f3d5a1b2c40>.") from None


class Parsed(t.NamedTuple):
    """What was said: the positional model, the options by destination in order, each a str, bool or list."""

    model_tag: t.Optional[str]
    options: t.Dict[str, t.Any]


def parse(argv: t.Sequence[str], flags: t.Mapping[str, Flag], style: str) -> Parsed:
    """Parse ``argv`` (without the program). ``style`` is ``serve`` or ``api_server``. Refused on an error."""
    model_tag: t.Optional[str] = None
    options: t.Dict[str, t.Any] = {}
    extras: t.List[str] = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("-") or token == "-":
            if model_tag is None:
                model_tag = token
            else:
                extras.append(token)
            continue
        flag = _flag_of(token, flags)
        if flag is None:
            extras.append(token)
            continue
        dest = flag.name.lstrip("-").replace("-", "_")
        _name, equals, inline = token.partition("=")
        if flag.values == 0:
            if equals:
                raise _bad(style, flag, f"ignored explicit argument {inline!r}")
            options[dest] = not (token.startswith("--no-") and not flag.name.startswith("--no-"))
            continue
        taken = [inline] if equals else []
        while tokens and not equals and (flag.values < 0 or not taken) and not _is_option(tokens[0]):
            taken.append(tokens.pop(0))
        if not taken:
            raise _bad(style, flag, "expected at least one argument" if flag.values < 0 else "expected one argument")
        try:
            for value in taken:
                _check(flag, value)
        except ValueError as exc:
            raise _bad(style, flag, str(exc)) from None
        options[dest] = taken if flag.values < 0 else taken[0]
    if extras:
        said = " ".join(extras)
        if style == "serve":
            raise Refused(f"{TOP_USAGE}vllm: error: unrecognized arguments: {said}\n")
        raise Refused(f"{_api_server_usage()}api_server.py: error: unrecognized arguments: {said}\n")
    return Parsed(model_tag, options)


def _is_option(token: str) -> bool:
    return token.startswith("-") and not re.match(r"^-\d", token)


def _bad(style: str, flag: Flag, text: str) -> Refused:
    short = next((alias for alias, name in ALIASES.items() if name == flag.name), None)
    name = f"{flag.name}/{short}" if short else flag.name
    if style == "serve":
        return Refused(f"{SERVE_USAGE}vllm serve: error: argument {name}: {text}\n")
    return Refused(f"{_api_server_usage()}api_server.py: error: argument {name}: {text}\n")


def _api_server_usage() -> str:
    with open(os.path.join(DATA, "api_server-usage-0.32.0.txt"), encoding="utf-8") as handle:
        return handle.read()
