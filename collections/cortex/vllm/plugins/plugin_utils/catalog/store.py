# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""Finding and reading the files of the catalogue. Each release is read once, on first use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from .release import Release, normalise

DATA = Path(__file__).parent / "data"
SCHEMA = 1

_VERSION = re.compile(
    r"v?(?P<release>\d{1,6}(?:\.\d{1,6}){0,5})(?:\.?(?P<phase>a|b|rc|dev|post)(?P<number>\d{1,6}))?(?:[-_].*|\.[a-z].*)?",
    re.ASCII | re.DOTALL,
)
# PEP 440 order within one release number: development, alpha, beta, candidate, final, post.
_PHASES = {"dev": -4, "a": -3, "b": -2, "rc": -1, None: 0, "post": 1}


def version_key(version: str) -> tuple[tuple[int, ...], int, int]:
    """A key that sorts vLLM's versions as PEP 440 does; local parts (``+cu129``, ``+cpu``) do not count.

    Args:
        version: ``0.6.3.post1``, ``v0.32.0``, ``0.11.0rc2``, ``0.32.0+cpu`` …

    Returns:
        ``((0, 6, 3), 1, 1)`` for ``0.6.3.post1``; trailing zeros are dropped, so that 0.9 equals 0.9.0.

    Raises:
        ValueError: when it does not begin with a number.
    """
    match = _VERSION.fullmatch(version.strip().partition("+")[0])
    if not match:
        raise ValueError(f"{version[:60]!r} is not a vLLM version: write it as 0.32.0")
    numbers = [int(part) for part in match["release"].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), _PHASES[match["phase"]], int(match["number"] or 0)


@lru_cache(maxsize=1)
def _index() -> dict[str, Any]:
    index: dict[str, Any] = json.loads((DATA / "index.json").read_text(encoding="utf-8"))
    return index


def versions() -> tuple[str, ...]:
    """Every catalogued release, oldest first. Reads only the small index."""
    return tuple(_index()["versions"])


@lru_cache(maxsize=1)
def _by_key() -> dict[tuple[tuple[int, ...], int, int], str]:
    return {version_key(version): version for version in versions()}


@lru_cache(maxsize=None)
def _load(version: str) -> Release:
    data = json.loads((DATA / f"{version}.json").read_text(encoding="utf-8"))
    if data["schema"] != SCHEMA:
        raise ValueError(f"catalogue file {version}.json has schema {data['schema']}, this collection reads {SCHEMA}")
    return Release(version=data["version"], entrypoint=list(data["entrypoint"]), data=data)


def release(version: str) -> Release | None:
    """The catalogued release of exactly this version.

    Args:
        version: ``0.32.0``; a leading ``v`` and a local part (``+cu129``) are ignored.

    Returns:
        The release, or ``None`` when it is not in the catalogue or the text is no version.
    """
    try:
        name = _by_key().get(version_key(version))
    except ValueError:
        return None
    return _load(name) if name else None


def nearest(version: str) -> tuple[Release, bool]:
    """The catalogued release that is most like this version.

    Within the same minor series (0.14.x) the closest patch release, the older one of two equally close; outside of
    it the newest release that is older, because flags mostly are added; before the first one, the first.

    Args:
        version: Any version text; one that is not a version (``nightly``, ``0.1.dev1+g…`` of an untagged build)
            means the newest release.

    Returns:
        The release, and whether it stands for this very version. From 0.14 on patch releases did not change the
        command line; before, they did: callers say so when the answer is not exact.
    """
    exact = release(version)
    if exact is not None:
        return exact, True
    keys = sorted(_by_key())
    try:
        wanted = version_key(version)
    except ValueError:
        return _load(_by_key()[keys[-1]]), False
    if wanted[0][:2] == (0, 1):  # setuptools-scm without a tag: says nothing about the source
        return _load(_by_key()[keys[-1]]), False
    minor = _minor(wanted)
    same = [key for key in keys if _minor(key) == minor]
    if same:
        best = min(same, key=lambda key: (abs(_patch(key) - _patch(wanted)), key))
    else:
        best = max((key for key in keys if key < wanted), default=keys[0])
    return _load(_by_key()[best]), False


def asked(version: str, answer: Mapping[str, Any]) -> Release:
    """A release that the catalogue does not have, as its own parser described it.

    Args:
        version: What the image says; ``0.1.dev1+g…`` of an untagged build counts as the newest release.
        answer: ``flags`` and ``environment`` in the form of a data file.

    Returns:
        The release; what a parser does not tell (entrypoint, backends, architectures) is that of the nearest one.
    """
    like = nearest(version)[0]
    untagged = version_key(version)[0][:2] == (0, 1)
    name = like.version if untagged else version.partition("+")[0]
    data = {**like.data, "version": name, "flags": answer["flags"]}
    if answer.get("environment"):
        data["environment"] = answer["environment"]
    data["keys"] = answer.get("keys") or {}
    return Release(version=name, entrypoint=list(like.entrypoint), data=data)


def _minor(key: tuple[tuple[int, ...], int, int]) -> tuple[int, int]:
    numbers = (*key[0], 0, 0)
    return numbers[0], numbers[1]


def _patch(key: tuple[tuple[int, ...], int, int]) -> int:
    return (*key[0], 0, 0, 0)[2]


def harvested(version: str) -> bool:
    """True when exactly this version is in the catalogue (without reading its file)."""
    try:
        return version_key(version) in _by_key()
    except ValueError:
        return False


@lru_cache(maxsize=1)
def _help() -> dict[str, list[list[Any]]]:
    path = DATA / "help.json"
    texts: dict[str, list[list[Any]]] = json.loads(path.read_text(encoding="utf-8"))["flags"] if path.exists() else {}
    return texts


def help_text(flag: str, version: str) -> str | None:
    """vLLM's own description of an option, as ``--help`` of that release shows it.

    Texts that did not change between releases are kept once, in ``help.json``; it is read on the first call.

    Args:
        flag: Long name in any spelling.
        version: A catalogued version.

    Returns:
        The text on one line, or ``None`` when there is none.
    """
    wanted = version_key(version)
    text: str | None = None
    for since, words in _help().get(normalise(flag), []):
        if version_key(since) > wanted:
            break
        text = words
    return text or None
