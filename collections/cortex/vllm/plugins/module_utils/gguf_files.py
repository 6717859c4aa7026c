# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""GGUF files: metadata, tensors, shards, and whether the file is as long as its tensors need.

The layout is llama.cpp's ggml/include/gguf.h: magic, version, counts, key-value pairs, tensor infos, padding, data.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import sys

from ansible_collections.cortex.vllm.plugins.module_utils import weights
from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import opened
from ansible_collections.cortex.vllm.plugins.module_utils.weights import Damaged

# vLLM takes any width of the numbers (model_loader/gguf_loader.py _get_all_gguf_files, 0.20 … 0.23).
SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<total>\d+)\.gguf\Z")
# ggml type: (name, elements of a block, bytes of a block), ggml/src/ggml.c type_traits.
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# More of either means that the counts are garbage.
MOST = 1_000_000
# What planning reads of the architecture's own keys (``llama.block_count``).
_SIZES = (
    "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size", "expert_count",
    "expert_used_count", "attention.head_count", "attention.head_count_kv", "attention.key_length",
)  # fmt: skip


class _Reader:
    """Numbers and strings from one place on."""

    def __init__(self, data, order="<"):
        self.data, self.at, self.order = data, 0, order

    def number(self, form):
        found = struct.unpack_from(self.order + form, self.data, self.at)[0]
        self.at += struct.calcsize(self.order + form)
        return found

    def skip(self, length):
        if length < 0 or self.at + length > len(self.data):
            raise struct.error("ends inside its metadata")
        self.at += length

    def text(self, wide="Q"):
        length = self.number(wide)
        begin = self.at
        self.skip(length)
        return self.data[begin : begin + length].decode("utf-8", "replace")

    def value(self, kind, wide, deep=0):
        """A value; of an array its length alone, which is what vocabularies are asked for."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text(wide)
        if kind != _ARRAY or deep > 4:
            raise ValueError("has a value of the unknown type {0}".format(kind))
        inner, length = self.number("I"), self.number(wide)
        if inner in _SCALARS:
            size = struct.calcsize("=" + _SCALARS[inner])
            # One number a layer, of hybrid models: the largest says what planning wants to know.
            if length <= 1024 and inner in (4, 5, 10, 11):
                numbers = [self.number(_SCALARS[inner]) for _unused in range(length)]
                return _Array(length, max(numbers) if numbers else None)
            self.skip(size * length)
        elif inner == _STRING:
            self._strings(length, wide)
        else:
            for _unused in range(length):
                self.value(inner, wide, deep + 1)
        return _Array(length)

    def _strings(self, length, wide):
        data, at = self.data, self.at
        unpack, size = struct.Struct(self.order + wide).unpack_from, struct.calcsize(wide)
        for _unused in range(length):
            at += size + unpack(data, at)[0]
        if at > len(data):
            raise struct.error("ends inside its vocabulary")
        self.at = at


class _Array:
    def __init__(self, length, largest=None):
        self.length, self.largest = length, largest


def read(stream, size):
    """``{"values", "tensors", "end"}`` of one file. Raises `Damaged`."""
    magic, version = struct.unpack("<4sI", stream.read(8).ljust(8, b"\0"))
    if magic != b"GGUF":
        raise Damaged("gguf-invalid", "is not a GGUF file")
    order = "<"
    if version & 0xFFFF == 0:  # written on a big-endian machine
        order, version = ">", struct.unpack(">I", struct.pack("<I", version))[0]
    if not 1 <= version <= 3:
        fix = "convert the model again with a current llama.cpp"
        raise Damaged("gguf-invalid", "has GGUF version {0}; 1 to 3 are known".format(version), fix)
    if (order == "<") != (sys.byteorder == "little"):
        text = "is of a {0}-endian machine, which the loader does not turn".format("big" if order == ">" else "little")
        raise Damaged("gguf-invalid", text, "turn it (gguf_convert_endian.py of llama.cpp), or fetch the usual file")
    if size < 24:
        raise Damaged("weights-corrupt", "ends inside its head: {0} bytes".format(size))
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data, order)
        reader.at = 8
        try:
            return _content(reader, "I" if version == 1 else "Q")
        except (struct.error, IndexError, OverflowError):
            raise Damaged("weights-corrupt", "ends inside its metadata ({0} bytes); it was cut off".format(size))
        except ValueError as exc:
            raise Damaged("gguf-invalid", str(exc))


def _content(reader, wide):
    tensors, pairs = reader.number(wide), reader.number(wide)
    if tensors > MOST or pairs > MOST:
        raise ValueError("tells of {0} tensors and {1} values, which is garbage".format(tensors, pairs))
    values = {}
    for _unused in range(pairs):
        key = reader.text(wide)
        values[key] = reader.value(reader.number("I"), wide)
    found, end = {}, 0
    for _unused in range(tensors):
        name = reader.text(wide)
        elements = 1
        extents = reader.number("I")
        if extents > 8:
            raise ValueError("has a tensor of {0} dimensions, which is garbage".format(extents))
        for _each in range(extents):
            elements *= reader.number(wide)
        kind, offset = reader.number("I"), reader.number("Q")
        label, block, length = TYPES.get(kind, ("type {0}".format(kind), 0, 0))
        total = -(-elements // block) * length if block else 0
        found[name] = (label, total, elements)
        end = max(end, offset + total)
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or isinstance(alignment, bool) or alignment < 1 or alignment & (alignment - 1):
        raise ValueError("has an alignment of {0}, which is no power of two".format(alignment))
    start = -(-reader.at // alignment) * alignment
    return {"values": values, "tensors": found, "end": start + end if found else reader.at}


def check(stream, size):
    """As `read`, and the file must reach as far as its tensors do."""
    found = read(stream, size)
    if size < found["end"]:
        raise Damaged("weights-corrupt", "has {0} of {1} bytes, it was cut off".format(size, found["end"]))
    return found


def shards(path):
    """The paths of all shards of a GGUF model, given its file or any of its shards."""
    folder, name = os.path.split(path)
    match = SHARD.match(name)
    if not match or not 0 < int(match.group("total")) <= 10000:
        return [path]
    stem, total, width = match.group("stem"), int(match.group("total")), len(match.group("number"))
    return [
        os.path.join(folder, "{0}-{1:0{2}d}-of-{3}.gguf".format(stem, number, width, match.group("total")))
        for number in range(1, total + 1)
    ]


def look(notes, path):
    """``(Totals, facts or None)`` of a GGUF model."""
    totals, values = weights.Totals(), {}
    paths = shards(path)
    for number, shard in enumerate(paths):
        size, found = weights.examine(notes, shard, check)
        totals.add(size, (found or {}).get("tensors"))
        if not found:
            continue
        count = found["values"].get("split.count")
        own = found["values"].get("split.no")
        if len(paths) > 1 and ((count or len(paths)) != len(paths) or (own is not None and own != number)):
            text = "{0} is shard {1} of {2} by its own metadata: it was renamed".format(
                os.path.basename(shard), (own or 0) + 1, count
            )
            notes.add("gguf-invalid", text, shard, "give each shard the name that it was made with")
        if len(paths) == 1 and (count or 0) > 1:
            text = "{0} is one of {1} shards by its own metadata".format(os.path.basename(shard), count)
            notes.add("shard-missing", text, shard, "put all shards beside it, named -00001-of-{0:05d}".format(count))
        if not values:
            values = found["values"]
    if values and not totals.count:  # a first shard may have none
        notes.add("weights-corrupt", "{0} holds no tensor".format(os.path.basename(path)), path, weights.AGAIN)
    return totals, facts(notes, path, values, totals) if values else None


def is_gguf(path):
    """Whether vLLM takes a file for GGUF: by its suffix, else by its first bytes (gguf_utils.py check_gguf_file)."""
    if path.endswith(".gguf"):
        return True
    try:
        with opened(path) as stream:
            return stream.read(4) == b"GGUF"
    except (OSError, ValueError):
        return False


def facts(notes, path, values, totals):
    """GGUF facts of the contract: what planning and rules ask of the metadata."""

    def plain(key, kinds):
        found = values.get(key)
        return found if isinstance(found, kinds) and not isinstance(found, bool) else None

    architecture = plain("general.architecture", str)
    if architecture is None:
        notes.add(
            "gguf-invalid", "{0} does not say its architecture".format(os.path.basename(path)), path,
            "convert the model again with a current llama.cpp",
        )  # fmt: skip
    sizes = {}
    for name in _SIZES:
        found = values.get("{0}.{1}".format(architecture, name))
        found = found.largest if isinstance(found, _Array) else found
        if isinstance(found, (int, float)):
            sizes[name.rpartition(".")[2]] = found
    tokens = values.get("tokenizer.ggml.tokens")
    if isinstance(tokens, _Array):
        sizes.setdefault("vocab_size", tokens.length)
    model = plain("tokenizer.ggml.model", str)
    return {
        "architecture": architecture,
        "name": plain("general.name", str),
        "type": plain("general.type", str),
        "file_type": plain("general.file_type", int),
        "quantization": max(totals.dtypes, key=totals.dtypes.get) if totals.dtypes else None,
        "tokenizer": model if isinstance(tokens, _Array) and tokens.length and model != "no_vocab" else None,
        "chat_template": plain("tokenizer.chat_template", str) is not None,
        "sizes": sizes,
    }
