# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Odd places: strange names, files that are none, hostile headers. Each has a clear answer, and none a traceback.

The verdict is the one that counts: what vLLM would load is complete, what it would die of is an error.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files

from . import caches

Made = dict[str, Any]
Make = Callable[[pathlib.Path], Made]
CHAT = caches.chat_model()
ONE = {name: content for name, content in CHAT.items() if "safetensors" not in name}
WEIGHTS = caches.safetensors({"model.norm.weight": ("BF16", [8])})
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
SINGLE = {**ONE, "model.safetensors": WEIGHTS}


def placed(name: str) -> Make:
    """A sound model at a path of this name."""

    def made(top: pathlib.Path) -> Made:
        return {"model": str(caches.directory(top / name, SINGLE))}

    return made


def changed(**files: bytes | None) -> Make:
    """A directory with one weight file, in which files are other ones or not there."""

    def made(top: pathlib.Path) -> Made:
        merged = {**SINGLE, **{name.replace("__", "/"): content for name, content in files.items()}}
        kept = {name: content for name, content in merged.items() if content is not None}
        return {"model": str(caches.directory(top / "m", kept))}

    return made


def header(said: Any, data: bytes = b"") -> bytes:
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def weights(content: bytes) -> Make:
    return changed(**{"model.safetensors": content})


def entry(**changes: Any) -> bytes:
    return header({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4], **changes}}, b"abcd")


def special(name: str, make: Callable[[str], None]) -> Make:
    """A file of the model is none: a pipe, a socket, a directory."""

    def made(top: pathlib.Path) -> Made:
        found = changed()(top)
        path = os.path.join(found["model"], name)
        os.unlink(path)
        make(path)
        return found

    return made


def alone(make: Callable[[str], None], name: str = "x.gguf") -> Make:
    def made(top: pathlib.Path) -> Made:
        make(str(top / name))
        return {"model": str(top / name)}

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


def gguf(change: Callable[[bytes], bytes] | None = None, name: str = "tiny.gguf", **more: Any) -> Make:
    def made(top: pathlib.Path) -> Made:
        path = caches.gguf(top / "tiny.gguf", **more)
        if change is not None:
            path.write_bytes(change(path.read_bytes()))
        path.rename(top / name)
        return {"model": str(top / name)}

    return made


def raw_gguf(version: int = 3, order: str = "<", pairs: bytes = b"", count: int = 0, tensors: bytes = b"") -> bytes:
    """A GGUF file by hand: an architecture, further pairs, and one tensor of 32 floats."""
    wide = order + ("I" if version == 1 else "Q")

    def text(value: str) -> bytes:
        return struct.pack(wide, len(value)) + value.encode()

    body = text("general.architecture") + struct.pack(order + "I", 8) + text("llama")
    body += text("tokenizer.ggml.model") + struct.pack(order + "I", 8) + text("gpt2")
    body += text("tokenizer.ggml.tokens") + struct.pack(order + "II", 9, 8) + struct.pack(wide, 1) + text("a")
    tensor = text("blk.0.x") + struct.pack(order + "I", 1) + struct.pack(wide, 32) + struct.pack(order + "IQ", 0, 0)
    head = b"GGUF" + struct.pack(order + "I", version) + struct.pack(wide, 1) + struct.pack(wide, 3 + count)
    content = head + body + pairs.replace(b"{wide}", b"") + (tensors or tensor)
    return content + b"\0" * (-len(content) % 32) + b"\0" * 128


def written(content: bytes, name: str = "x.gguf") -> Make:
    return alone(lambda path: pathlib.Path(path).write_bytes(content) and None, name)


def pair(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


def middle_lost(top: pathlib.Path) -> Made:
    paths = caches.gguf_shards(top)
    paths[1].unlink()
    return {"model": str(paths[0])}


def adapter(**files: bytes) -> Make:
    def made(top: pathlib.Path) -> Made:
        plain = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
        said = {"adapter_config.json": caches.text(plain), **files}
        path = caches.directory(top / "a", {name.replace("__", "/"): content for name, content in said.items()})
        return {"model": str(path), "role": "adapter"}

    return made


LORA = caches.safetensors({"base_model.model.x.lora_A.weight": ("BF16", [8, 4])})
MISTRAL = {
    "params.json": caches.text({"dim": 64, "n_layers": 2}),
    "consolidated.safetensors": WEIGHTS,
    "tekken.json": caches.text({"config": {}, "vocab": []}),
}
WITHOUT_TEKKEN = {name: content for name, content in MISTRAL.items() if name != "tekken.json"}
PLAIN = {name: content for name, content in ONE.items() if not name.startswith(("tokenizer", "vocab", "merges"))}


def files(**content: bytes) -> Make:
    return lambda top: {
        "model": str(caches.directory(top / "m", {k.replace("__", "/"): v for k, v in content.items()}))
    }


NOTHING: list[str] = []
BAD = ["model.weights-corrupt"]
#: What it is, how it is made, the codes of the errors, and words that must be in one of the messages.
ODD: list[tuple[str, Make, list[str], str]] = [
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
    # headers of safetensors
    ("a header of 2^63 bytes", weights(struct.pack("<Q", 2**63) + b"{}"), BAD, "not a safetensors file"),
    ("a header of 100 MB and one", weights(struct.pack("<Q", 100_000_001) + b"{}"), BAD, "not a safetensors file"),
    ("a header longer than the file", weights(struct.pack("<Q", 5000) + b"{}"), BAD, "inside its header"),
    ("a header of brackets", weights(header(b"[" * 100_000)), BAD, "damaged header"),
    ("a header that is a list", weights(header([1])), BAD, "damaged header"),
    ("a header of bytes", weights(header(b"\xff\xfe\xfd")), BAD, "damaged header"),
    ("no tensors at all", weights(header({})), BAD, "hold no tensor"),
    ("a name twice", weights(header(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
                                    b'"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}', b"abcdefgh")), BAD, "a"),
    ("offsets below zero", weights(entry(data_offsets=[-4, 0])), BAD, "damaged header"),
    ("offsets with a point", weights(entry(data_offsets=[0.0, 4.5])), BAD, "damaged header"),
    ("offsets of words", weights(entry(data_offsets=["0", "4"])), BAD, "damaged header"),
    ("three offsets", weights(entry(data_offsets=[0, 4, 8])), BAD, "damaged header"),
    ("a shape below zero", weights(entry(shape=[-2, -2])), BAD, "damaged header"),
    ("a shape of words", weights(entry(shape=["4"])), BAD, "damaged header"),
    ("a shape that is true", weights(entry(shape=[True, 4])), BAD, "damaged header"),
    ("a shape beyond all", weights(entry(shape=[2**62, 2**62])), BAD, "damaged header"),
    ("no shape", weights(entry(shape=None)), BAD, "damaged header"),
    ("a type that a later release may know", weights(entry(dtype="U9")), NOTHING, ""),
    ("a type that is a list", weights(entry(dtype=["U8"])), BAD, "damaged header"),
    # small files
    ("config.json of brackets", changed(**{"config.json": b"[" * 100_000}), ["model.config-invalid"], "damaged"),
    ("config.json with a mark", changed(**{"config.json": b"\xef\xbb\xbf" + ONE["config.json"]}),
     ["model.config-invalid"], "BOM"),
    ("config.json in UTF-16", changed(**{"config.json": "{}".encode("utf-16")}), ["model.config-invalid"], "damaged"),
    ("strange values", changed(**{"config.json": caches.text({**caches.QWEN3, "auto_map": [1, None], "architectures":
     "Q", "vision_config": None, "quantization_config": 7})}), NOTHING, ""),
    ("a strange auto_map", changed(**{"tokenizer_config.json": caches.text({"auto_map": {"AutoTokenizer": [None, 7]},
     "chat_template": [{}]})}), NOTHING, ""),
    ("an index of nothing", changed(**{"model.safetensors.index.json": b'{"weight_map": {}}'}),
     ["model.index-invalid"], "names no file"),
    ("an index of numbers", changed(**{"model.safetensors.index.json": b'{"weight_map": {"a": 1}}'}),
     ["model.index-invalid"], "no usable file name"),
    ("an index in another case", changed(**{"model.safetensors.index.json": b'{"weight_map": {"a": "MODEL.safetensors"}'
     b"}"}), ["model.shard-missing"], "MODEL.safetensors"),
    ("strange modules", changed(**{"modules.json": b'[1, {"path": 7, "type": null}, {"type": "x.Pooling"}]'}),
     NOTHING, ""),
    ("empty words", changed(**{"vocab.json": b"", "merges.txt": b""}), ["model.tokenizer-invalid"], "empty"),
    # families
    ("Mistral's own format", files(**MISTRAL), NOTHING, ""),
    ("Mistral's own beside the other", files(**MISTRAL, **{k: v for k, v in SINGLE.items() if k != "tokenizer.json"}),
     NOTHING, ""),
    ("nothing but tokenizer.model.v3", files(**{**MISTRAL, "tekken.json": b"{}"} | {"tokenizer.model.v3": b"\x0a\x0b"}),
     NOTHING, ""),
    ("tokenizer.model.v3 alone", files(**PLAIN, **{"model.safetensors": WEIGHTS, "tokenizer.model.v3": b"\x0a\x0b"}),
     NOTHING, ""),
    ("tiktoken", files(**PLAIN, **{"model.safetensors": WEIGHTS, "tiktoken.model": b"YQ== 0\n"}), NOTHING, ""),
    ("the original beside", changed(**{"original__consolidated.00.pth": b"cut off", "original__params.json": b"{"}),
     NOTHING, ""),
    # GGUF
    ("GGUF version 1", written(raw_gguf(1)), NOTHING, ""),
    ("GGUF version 2", written(raw_gguf(2)), NOTHING, ""),
    ("GGUF of a big-endian machine", written(raw_gguf(3, ">")), ["model.gguf-invalid"], "big-endian"),
    ("GGUF version 4", written(raw_gguf(4)), ["model.gguf-invalid"], "version 4"),
    ("GGUF without its suffix", gguf(name="blob"), NOTHING, ""),
    ("GGUF in capitals", gguf(name="TINY.GGUF"), NOTHING, ""),
    ("GGUF with an alignment of zero", written(raw_gguf(pairs=pair("general.alignment", 4, b"\0" * 4), count=1)),
     ["model.gguf-invalid"], "alignment"),
    ("GGUF with a negative alignment", written(raw_gguf(pairs=pair("general.alignment", 5, b"\xff" * 4), count=1)),
     ["model.gguf-invalid"], "alignment"),
    ("GGUF with an endless text", written(raw_gguf(pairs=pair("a", 8, b"\xff" * 8), count=1)), BAD, "inside"),
    ("GGUF with an endless array", written(raw_gguf(pairs=pair("a", 9, struct.pack("<IQ", 4, 2**62)), count=1)), BAD,
     "inside"),
    ("GGUF with endless words", written(raw_gguf(pairs=pair("a", 9, struct.pack("<IQ", 8, 2**62)), count=1)), BAD,
     "inside"),
    ("GGUF with arrays in arrays", written(raw_gguf(pairs=pair("a", 9, struct.pack("<IQ", 9, 2) * 30), count=1)),
     ["model.gguf-invalid"], "unknown type"),
    ("GGUF with an unknown value", written(raw_gguf(pairs=pair("a", 77, b""), count=1)), ["model.gguf-invalid"], "77"),
    ("GGUF with no tensors", written(raw_gguf()[:8] + struct.pack("<Q", 0) + raw_gguf()[16:]), BAD, "no tensor"),
    ("GGUF split, the middle lost", middle_lost, ["model.shard-missing"], "-00002-of-"),
    # adapters
    ("an adapter", adapter(**{"adapter_model.safetensors": LORA}), NOTHING, ""),
    ("an adapter a folder deeper", adapter(**{"x__adapter_model.safetensors": LORA}), ["model.weights-missing"], "x"),
    ("an adapter in shards", adapter(**{"adapter_model-00001-of-00002.safetensors": LORA}), ["model.weights-missing"],
     "adapter_model-00001"),
    ("an adapter of a converter's own making", adapter(**{"adapter_config.json": b'{"r": 8}',
     "adapter_model.safetensors": LORA}), ["model.adapter-invalid"], "lora_alpha and no target_modules"),
    ("Mistral's own tokenizer with images", files(**{**WITHOUT_TEKKEN, "tokenizer.model.v7m1": b"spm"}), NOTHING, ""),
    ("Mistral's own tokenizer, cut off", files(**{**WITHOUT_TEKKEN, "tokenizer.model.v3": b""}),
     ["model.tokenizer-invalid"], "empty"),
    ("Mistral's own tokenizer, a pointer", files(**{**WITHOUT_TEKKEN, "tokenizer.model.v11": POINTER}),
     ["model.pointer-file"], "LFS"),
    ("an adapter of rank true", adapter(**{"adapter_config.json": b'{"r": true}', "adapter_model.safetensors": LORA}),
     ["model.adapter-invalid"], "rank"),
    ("a folder of adapters", files(**{"one__adapter_config.json": b"{}"}), ["model.absent"], "one"),
]  # fmt: skip


def _ask(asked: Made) -> dict[str, Any]:
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
        return _ask(asked)
    finally:
        signal.alarm(0)


def look_as(user: int, asked: Made) -> dict[str, Any]:
    """The same by a user without rights, in a process of its own."""

    def child() -> None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        sending.send(_ask(asked))

    receiving, sending = multiprocessing.Pipe(False)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert receiving.poll(60)
    process.join()
    found: dict[str, Any] = receiving.recv()
    return found


@pytest.mark.parametrize(("make", "expected", "words"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_odd_places_have_a_clear_answer(tmp_path: pathlib.Path, make: Make, expected: list[str], words: str) -> None:
    found = look(make(tmp_path))
    errors = [item for item in found["problems"] if item["severity"] == "error"]
    assert sorted({item["code"] for item in errors}) == expected, found["problems"]
    assert (found["status"] == "complete") == (not expected)
    assert any(words in item["message"] + item["fix"] for item in errors) or not words, errors
    for item in errors:
        assert "Traceback" not in item["message"] and len(item["message"]) < 6000 and item["fix"]


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
