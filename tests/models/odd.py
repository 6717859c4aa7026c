# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builders and the judge of the tests of odd models: what ``look`` says about a model that is made for it."""

from __future__ import annotations

import json
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files

from . import caches

Made = dict[str, Any]
Make = Callable[[pathlib.Path], Made]
#: What it is, how it is made, the codes of the errors, and words that must be in one of the messages.
Row = tuple[str, Make, list[str], str]

CHAT = caches.chat_model()
ONE = {name: content for name, content in CHAT.items() if "safetensors" not in name}
WEIGHTS = caches.safetensors({"model.norm.weight": ("BF16", [8])})
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
SINGLE = {**ONE, "model.safetensors": WEIGHTS}
PLAIN = {name: content for name, content in ONE.items() if not name.startswith(("tokenizer", "vocab", "merges"))}
NOTHING: list[str] = []
BAD = ["model.weights-corrupt"]


def changed(**files: bytes | None) -> Make:
    """A directory with one weight file, in which files are other ones or not there."""

    def made(top: pathlib.Path) -> Made:
        merged = {**SINGLE, **{name.replace("__", "/"): content for name, content in files.items()}}
        kept = {name: content for name, content in merged.items() if content is not None}
        return {"model": str(caches.directory(top / "m", kept))}

    return made


def files(**content: bytes) -> Make:
    return lambda top: {
        "model": str(caches.directory(top / "m", {k.replace("__", "/"): v for k, v in content.items()}))
    }


def alone(make: Callable[[str], None], name: str = "x.gguf") -> Make:
    def made(top: pathlib.Path) -> Made:
        make(str(top / name))
        return {"model": str(top / name)}

    return made


def written(content: bytes, name: str = "x.gguf") -> Make:
    return alone(lambda path: pathlib.Path(path).write_bytes(content) and None, name)


def ask(asked: Made) -> dict[str, Any]:
    found = model_files.look(asked["model"], asked.get("revision"), asked.get("cache"), asked.get("role") or "model")
    # As the module prints it, and as the controller reads it.
    told: dict[str, Any] = json.loads(json.dumps(found))
    return told


def _late(*arguments: Any) -> None:
    raise TimeoutError("it waits for something")


def look(asked: Made) -> dict[str, Any]:
    """A look that waits for ever, for a pipe say, is ended."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(30)
    try:
        return ask(asked)
    finally:
        signal.alarm(0)


def each(rows: list[Row]) -> pytest.MarkDecorator:
    """A test for each row, with ``make``, ``expected`` and ``words``."""
    cases = [pytest.param(*row, id=name) for name, *row in rows]
    return pytest.mark.parametrize(("make", "expected", "words"), cases)


def judge(found: Made, expected: list[str], words: str) -> None:
    """The verdict is the one that counts, and each error has a message that helps."""
    errors = [item for item in found["problems"] if item["severity"] == "error"]
    assert sorted({item["code"] for item in errors}) == expected, found["problems"]
    assert (found["status"] == "complete") == (not expected)
    assert any(words in item["message"] + item["fix"] for item in errors) or not words, errors
    for item in errors:
        assert "Traceback" not in item["message"] and len(item["message"]) < 6000 and item["fix"]
