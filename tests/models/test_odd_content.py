# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Odd content: hostile headers, damaged small files, formats that few have. Each has a clear answer, none a traceback.

The verdict is the one that counts: what vLLM would load is complete, what it would die of is an error.
"""

from __future__ import annotations

import json
import pathlib
import struct
from collections.abc import Callable
from typing import Any

from . import caches
from .odd import (
    BAD,
    NOTHING,
    ONE,
    PLAIN,
    POINTER,
    SINGLE,
    WEIGHTS,
    Made,
    Make,
    Row,
    changed,
    each,
    files,
    judge,
    look,
    written,
)

LORA = caches.safetensors({"base_model.model.x.lora_A.weight": ("BF16", [8, 4])})
MISTRAL = {
    "params.json": caches.text({"dim": 64, "n_layers": 2}),
    "consolidated.safetensors": WEIGHTS,
    "tekken.json": caches.text({"config": {}, "vocab": []}),
}
WITHOUT_TEKKEN = {name: content for name, content in MISTRAL.items() if name != "tekken.json"}


def header(said: Any, data: bytes = b"") -> bytes:
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def weights(content: bytes) -> Make:
    return changed(**{"model.safetensors": content})


def entry(**changes: Any) -> bytes:
    return header({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4], **changes}}, b"abcd")


def gguf(change: Callable[[bytes], bytes] | None = None, name: str = "tiny.gguf", **more: Any) -> Make:
    def made(top: pathlib.Path) -> Made:
        path = caches.gguf(top / "tiny.gguf", **more)
        if change is not None:
            path.write_bytes(change(path.read_bytes()))
        path.rename(top / name)
        return {"model": str(top / name)}

    return made


def raw_gguf(version: int = 3, order: str = "<", pairs: bytes = b"", count: int = 0) -> bytes:
    """A GGUF file by hand: an architecture, further pairs, and one tensor of 32 floats."""
    wide = order + ("I" if version == 1 else "Q")

    def text(value: str) -> bytes:
        return struct.pack(wide, len(value)) + value.encode()

    body = text("general.architecture") + struct.pack(order + "I", 8) + text("llama")
    body += text("tokenizer.ggml.model") + struct.pack(order + "I", 8) + text("gpt2")
    body += text("tokenizer.ggml.tokens") + struct.pack(order + "II", 9, 8) + struct.pack(wide, 1) + text("a")
    tensor = text("blk.0.x") + struct.pack(order + "I", 1) + struct.pack(wide, 32) + struct.pack(order + "IQ", 0, 0)
    head = b"GGUF" + struct.pack(order + "I", version) + struct.pack(wide, 1) + struct.pack(wide, 3 + count)
    content = head + body + pairs + tensor
    return content + b"\0" * (-len(content) % 32) + b"\0" * 128


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


ODD: list[Row] = [
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
    ("Mistral's own tokenizer with images", files(**{**WITHOUT_TEKKEN, "tokenizer.model.v7m1": b"spm"}), NOTHING, ""),
    ("Mistral's own tokenizer, cut off", files(**{**WITHOUT_TEKKEN, "tokenizer.model.v3": b""}),
     ["model.tokenizer-invalid"], "empty"),
    ("Mistral's own tokenizer, a pointer", files(**{**WITHOUT_TEKKEN, "tokenizer.model.v11": POINTER}),
     ["model.pointer-file"], "LFS"),
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
    ("an adapter of rank true", adapter(**{"adapter_config.json": b'{"r": true}', "adapter_model.safetensors": LORA}),
     ["model.adapter-invalid"], "rank"),
    ("a folder of adapters", files(**{"one__adapter_config.json": b"{}"}), ["model.absent"], "one"),
]  # fmt: skip


@each(ODD)
def test_odd_content_has_a_clear_answer(tmp_path: pathlib.Path, make: Make, expected: list[str], words: str) -> None:
    judge(look(make(tmp_path)), expected, words)
