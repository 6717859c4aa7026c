# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Odd places: strange names, files that are none, odd caches and clones. Each has a clear answer, and none a traceback.

The verdict is the one that counts: what vLLM would load is complete, what it would die of is an error.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import shutil
import socket
from collections.abc import Callable
from typing import Any

import pytest

from . import caches
from .odd import (
    BAD,
    CHAT,
    NOTHING,
    PLAIN,
    POINTER,
    SINGLE,
    WEIGHTS,
    Made,
    Make,
    Row,
    alone,
    ask,
    changed,
    each,
    files,
    judge,
    look,
    written,
)


def placed(name: str) -> Make:
    """A sound model at a path of this name."""

    def made(top: pathlib.Path) -> Made:
        return {"model": str(caches.directory(top / name, SINGLE))}

    return made


def special(name: str, make: Callable[[str], None]) -> Make:
    """A file of the model is none: a pipe, a socket, a directory."""

    def made(top: pathlib.Path) -> Made:
        found = changed()(top)
        path = os.path.join(found["model"], name)
        os.unlink(path)
        make(path)
        return found

    return made


def bound(path: str) -> None:
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.basename(path))
    finally:
        os.chdir(here)


def loop(path: str) -> None:
    os.symlink(os.path.basename(path), path)


def hub(change: Callable[[pathlib.Path], object] | None = None, **asked: Any) -> Make:
    """A cache with one revision, in which something is odd; ``asked``: what is asked for."""

    def made(top: pathlib.Path) -> Made:
        folder = caches.hub(top / "hub", "org/name", CHAT)
        if change is not None:
            change(folder)
        return {"model": "org/name", "cache": str(top / "hub"), **asked}

    return made


def ref(name: str, content: bytes) -> Callable[[pathlib.Path], object]:
    def made(folder: pathlib.Path) -> None:
        path = folder / "refs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return made


def moved(name: str) -> Callable[[pathlib.Path], object]:
    """A part of the repository lies elsewhere, and a link leads there."""

    def made(folder: pathlib.Path) -> None:
        other, here = folder.parent.parent / "elsewhere", folder if name == "." else folder / name
        here.rename(other)
        here.symlink_to(other)

    return made


def plain_files(folder: pathlib.Path) -> None:
    """As Windows has it, and `cp -L`: files where links should be."""
    for path in (folder / "snapshots" / caches.NEW).iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    shutil.rmtree(folder / "blobs")


ODD: list[Row] = [
    # names
    ("blanks in the path", placed("my models/a b"), NOTHING, ""),
    ("letters of the world", placed("modèle-日本-🤖"), NOTHING, ""),
    ("a newline in the path", placed("a\nb"), NOTHING, ""),
    ("quotes and a backslash", placed("it's \"a\\b\""), NOTHING, ""),
    ("bytes that are no UTF-8", placed(os.fsdecode(b"m\xff\xfe")), NOTHING, ""),
    ("a slash at the end", lambda top: {"model": placed("m")(top)["model"] + "/"}, NOTHING, ""),
    ("dots on the way", lambda top: {"model": placed("m")(top)["model"] + "/../m/./"}, NOTHING, ""),
    ("a lost file with no UTF-8 in its name", changed(**{"model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": os.fsdecode(b"x\xff.safetensors")}}).encode()}), ["model.shard-missing"], "is missing"),
    ("a relative path", lambda top: {"model": "./models/x"}, ["model.absent"], "absolute path"),
    ("a home", lambda top: {"model": "~/models/x"}, ["model.absent"], "absolute path"),
    ("nothing", lambda top: {"model": ""}, ["model.absent"], "absolute path"),
    ("a zero byte", lambda top: {"model": "/srv/a\0b"}, ["model.absent"], "no usable path"),
    ("an endless path", lambda top: {"model": "/" + "a" * 5000}, ["model.absent"], "aaa"),
    ("the root of the machine", lambda top: {"model": "/"}, ["model.absent"], "config.json"),
    ("a folder name of the cache", hub(model="models--org--name"), ["model.absent"], "hub id"),
    ("an address", hub(model="https://huggingface.co/org/name"), ["model.absent"], "hub id"),
    ("three parts", hub(model="org/name/more"), ["model.absent"], "hub id"),
    ("another case", hub(model="Org/Name"), ["model.absent"], "org/name"),
    ("a link to the model", lambda top: (placed("m")(top), os.symlink("m", top / "l"), {"model": str(top / "l")})[-1],
     NOTHING, ""),
    # files that are none
    ("a link to itself", alone(loop, "m"), ["model.absent"], "link"),
    ("a shard that is a link to itself", special("model.safetensors", loop), ["model.shard-missing"], "link"),
    ("config.json a link to itself", special("config.json", loop), ["model.absent"], "link"),
    ("config.json a directory", special("config.json", os.mkdir), ["model.config-invalid"], "director"),
    ("config.json a pipe", special("config.json", os.mkfifo), ["model.config-invalid"], "no regular file"),
    ("config.json a socket", special("config.json", bound), ["model.config-invalid"], "no regular file"),
    ("tokenizer.json a pipe", special("tokenizer.json", os.mkfifo), ["model.tokenizer-invalid"], "no regular file"),
    ("tokenizer.json a directory", special("tokenizer.json", os.mkdir), ["model.tokenizer-invalid"], "director"),
    ("tokenizer_config.json a pipe", special("tokenizer_config.json", os.mkfifo), ["model.tokenizer-invalid"], "file"),
    ("a shard that is a pipe", special("model.safetensors", os.mkfifo), BAD, "no regular file"),
    ("a shard that is a directory", special("model.safetensors", os.mkdir), BAD, "director"),
    ("a GGUF file that is a pipe", alone(os.mkfifo), BAD, "no regular file"),
    ("a GGUF file that is a socket", alone(bound), BAD, "no regular file"),
    ("a directory named like a GGUF file", alone(os.mkdir), ["model.absent"], "empty"),
    ("a model that is a device", lambda top: {"model": "/dev/null"}, ["model.absent"], "no .gguf"),
    ("a model that is a pipe", alone(os.mkfifo, "m"), ["model.absent"], "no .gguf"),
    ("the whole is text", written(b"hello", "m.txt"), ["model.absent"], "no .gguf"),
    # the Hub's cache
    ("a pull request", hub(ref("refs/pr/1", caches.NEW.encode()), revision="refs/pr/1"), NOTHING, ""),
    ("a short hash", hub(revision=caches.NEW[:8]), ["model.revision-absent"], "40"),
    ("a hash in capitals", hub(revision=caches.NEW.upper()), ["model.revision-absent"], "small letters"),
    ("a revision that leads out", hub(revision="../../../etc/passwd"), ["model.revision-absent"], "not in"),
    ("a ref of Windows", hub(ref("main", caches.NEW.encode() + b"\r\n")), ["model.ref-invalid"], "newline"),
    ("a ref with a mark", hub(ref("main", b"\xef\xbb\xbf" + caches.NEW.encode())), ["model.ref-invalid"], "commit"),
    ("a ref that is a directory", hub(lambda folder: ((folder / "refs/main").unlink(), (folder / "refs/main").mkdir())),
     ["model.revision-absent"], "main"),
    ("files instead of links", hub(plain_files), NOTHING, ""),
    ("blobs elsewhere", hub(moved("blobs")), NOTHING, ""),
    ("the whole repository elsewhere", hub(moved(".")), NOTHING, ""),
    ("a snapshot that is a file", hub(lambda folder: (shutil.rmtree(folder / "snapshots" / caches.NEW),
     (folder / "snapshots" / caches.NEW).write_text(""))), ["model.snapshot-missing"], "no such snapshot"),
    ("a cache that is a file", lambda top: ((top / "hub").write_text(""), {"model": "a/b", "cache": str(top / "hub")})[
        -1], ["model.absent"], "not in the hub cache"),
    ("a cache that is nowhere", lambda top: {"model": "a/b", "cache": str(top / "no")}, ["model.absent"], "hub cache"),
    # a clone without its large files
    ("a clone with pointers", changed(**{"model.safetensors": POINTER, "tokenizer.json": POINTER}),
     ["model.pointer-file"], "git lfs pull"),
    ("a pointer for config.json", changed(**{"config.json": POINTER}), ["model.pointer-file"], "git lfs pull"),
    ("a pointer for a tokenizer.model", files(**PLAIN, **{"model.safetensors": WEIGHTS, "tokenizer.model": POINTER}),
     ["model.pointer-file"], "git lfs pull"),
    ("a pointer for tiktoken", files(**PLAIN, **{"model.safetensors": WEIGHTS, "qwen.tiktoken": POINTER}),
     ["model.pointer-file"], "git lfs pull"),
    ("a pointer for GGUF", written(POINTER), ["model.pointer-file"], "git lfs pull"),
]  # fmt: skip


def look_as(user: int, asked: Made) -> dict[str, Any]:
    """The same by a user without rights, in a process of its own."""

    def child() -> None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        sending.send(ask(asked))

    receiving, sending = multiprocessing.Pipe(False)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert receiving.poll(60)
    process.join()
    found: dict[str, Any] = receiving.recv()
    return found


@each(ODD)
def test_odd_places_have_a_clear_answer(tmp_path: pathlib.Path, make: Make, expected: list[str], words: str) -> None:
    judge(look(make(tmp_path)), expected, words)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("name", [".", "config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json"])
def test_what_the_user_of_the_task_may_not_read(tmp_path: pathlib.Path, name: str) -> None:
    asked = changed()(tmp_path)
    for path in [tmp_path, *tmp_path.parents]:
        if path.stat().st_uid == os.getuid() and path != pathlib.Path("/"):
            path.chmod(path.stat().st_mode | 0o755)
    os.chmod(os.path.join(asked["model"], name), 0)
    found = look_as(65534, asked)
    assert found["status"] == "unreadable", found["problems"]
    assert {item["code"] for item in found["problems"]} == {"model.unreadable"}
    assert name == "." or name in found["problems"][0]["message"]
