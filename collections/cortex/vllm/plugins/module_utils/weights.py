# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Weight files: is all there, is each file as long as its own header says, and what tensors are in it?

Only headers are read: a model of 500 GB is judged by some megabytes.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile

from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import (
    AGAIN,
    LFS_POINTER,
    LFS_PULL,
    Irregular,
    gone,
    opened,
    problem,
    unreadable,
)  # fmt: skip

# safetensors refuses larger headers itself (MAX_HEADER_SIZE in its Rust source).
MAX_HEADER = 100_000_000
# Bits of one element (safetensors src/tensor.rs, 0.3 … 0.7).
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
# What vLLM does not load although it looks like weights (weight_utils.py filter_files_not_needed_for_inference).
NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
NUMBERED = re.compile(r"(?P<stem>.+-)(?P<number>\d{5,6})-of-(?P<total>\d{5,6})(?P<end>\.\w+)\Z")


class Damaged(Exception):
    """A weight file is not what it should be: the code of the problem, the text after the file's name, and the fix."""

    def __init__(self, code, text, fix=AGAIN):
        super().__init__(text)
        self.code, self.text, self.fix = code, text, fix


def missing(path):
    """The problem of a weight file that is not there."""
    return problem("shard-missing", gone(path), path, AGAIN)


def examine(notes, path, check):
    """``(size in bytes, what check returned or None)``; ``check(stream, size)`` raises `Damaged`."""
    size = 0
    try:
        found = notes.stat("weights", path)
        if found is None:
            notes.problems.append(missing(path))
            return 0, None
        size = found.st_size
        with opened(path) as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise Damaged("pointer-file", "is a Git LFS pointer, not the file itself", LFS_PULL)
            stream.seek(0)
            if size == 0:
                raise Damaged("weights-corrupt", "is empty")
            return size, check(stream, size)
    except OSError as exc:
        notes.problems.append(unreadable(path, exc))
    except Irregular as exc:
        text = "{0} cannot be read: {1}".format(os.path.basename(path), exc)
        notes.add("weights-corrupt", text, path, "put the file itself there")
    except Damaged as exc:
        notes.add(exc.code, "{0} {1}".format(os.path.basename(path), exc.text), path, exc.fix)
    return size, None


def check_safetensors(stream, size):
    """``{tensor: (dtype, bytes, elements)}``; eight bytes of length, a JSON header, as many bytes as offsets say."""
    head = stream.read(8)
    if len(head) < 8:
        raise Damaged("weights-corrupt", "has only {0} bytes".format(size))
    length = struct.unpack("<Q", head)[0]
    if length > MAX_HEADER or length < 2:
        raise Damaged("weights-corrupt", "is not a safetensors file: its header would have {0} bytes".format(length))
    if 8 + length > size:
        raise Damaged("weights-corrupt", "ends inside its header: {0} of at least {1} bytes".format(size, 8 + length))
    raw = stream.read(length)
    try:
        tensors, end = _tensors(json.loads(raw.decode("utf-8")))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as exc:
        raise Damaged("weights-corrupt", "has a damaged header ({0})".format(exc))
    wanted = 8 + length + end
    if size < wanted:
        raise Damaged("weights-corrupt", "has {0} of {1} bytes, it was cut off".format(size, wanted))
    if size > wanted:
        raise Damaged("weights-corrupt", "has {0} bytes more than its header tells".format(size - wanted))
    return tensors


def _tensors(header):
    """Tensors of a header and where the last one ends; they must lie end to end, each as long as its shape says."""
    tensors, places = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        elements = 1
        for extent in entry["shape"]:
            elements *= extent
        # JSON has true, 4.0 and -4 too; the library takes none of them.
        numbers = [begin, end] + entry["shape"]
        if any(not isinstance(number, int) or isinstance(number, bool) or number < 0 for number in numbers):
            raise ValueError("{0} has a shape or place that is no number".format(name))
        dtype = entry["dtype"]
        bits = BITS.get(dtype)
        if bits is not None and (elements * bits + 7) // 8 != end - begin:
            raise ValueError("{0} has {1} bytes, which is not its shape".format(name, end - begin))
        tensors[name] = (dtype, end - begin, elements)
        places.append((begin, end, name))
    at = 0
    for begin, end, name in sorted(places):
        if begin != at or end < begin:
            raise ValueError("{0} does not begin where the tensor before it ends".format(name))
        at = end
    return tensors, at


def check_torch(stream, size):
    """A pickle tells nothing without being run. Since torch 1.6 it lies in a zip, whose directory is at its end."""
    magic = stream.read(4)
    if magic[:2] == b"\x80\x02":  # the format before 1.6
        return {}
    if magic != b"PK\x03\x04":
        raise Damaged("weights-corrupt", "is neither a zip nor a pickle of torch")
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as exc:
        raise Damaged("weights-corrupt", "is a zip that was cut off or is damaged ({0})".format(exc))
    if not any(entry.filename.endswith("data.pkl") for entry in entries):
        raise Damaged("weights-corrupt", "is a zip without data.pkl, so no file of torch")
    if any(entry.header_offset + entry.compress_size > size for entry in entries):
        raise Damaged("weights-corrupt", "has entries beyond its end")
    return {}


def index(notes, path):
    """``{file: [tensors]}`` of a ``*.index.json``; empty and a problem when it is damaged."""
    found = notes.json(path, "index-invalid")
    notes.stat("file", path)
    if found is None:
        return {}
    weight_map, listed = found.get("weight_map"), {}
    try:
        for tensor, name in weight_map.items():
            if not isinstance(name, str) or not name or os.path.isabs(name) or ".." in name.split("/"):
                raise ValueError("{0!r} is no usable file name".format(name))
            listed.setdefault(name, []).append(tensor)
        if not listed:
            raise ValueError("it names no file")
    except (ValueError, AttributeError) as exc:
        text = "{0} is damaged: {1}".format(os.path.basename(path), exc)
        notes.add("index-invalid", text, path, AGAIN)
        return {}
    return listed


def numbered(present):
    """The names with those that must be beside them by their number: 1 of 3 asks for 2 and 3."""
    wanted = set(present)
    for name in present:
        match = NUMBERED.match(name)
        if match and 0 < int(match.group("total")) <= 10000:
            total, width = match.group("total"), len(match.group("number"))
            wanted.update(
                "{0}{1:0{2}d}-of-{3}{4}".format(match.group("stem"), number, width, total, match.group("end"))
                for number in range(1, int(total) + 1)
            )
    return wanted


class Totals:
    """What the tensors of all files come to."""

    def __init__(self):
        self.files, self.bytes, self.count, self.parameters, self.dtypes = 0, 0, 0, 0, {}

    def add(self, size, tensors):
        self.files += 1
        self.bytes += size
        for dtype, length, elements in (tensors or {}).values():
            self.count += 1
            self.parameters += elements
            self.dtypes[dtype] = self.dtypes.get(dtype, 0) + length

    def facts(self):
        """``{"count", "parameters", "dtypes": {dtype: bytes}}``; None when no header told anything."""
        if not self.count:
            return None
        return {"count": self.count, "parameters": self.parameters, "dtypes": self.dtypes}


def files(notes, folder, wanted, listed, check):
    """`Totals` of the weight files ``wanted``; ``listed``: what the index says is in each."""
    totals, lost, sound = Totals(), {}, bool(wanted)
    for name in sorted(wanted):
        path = os.path.join(folder, name)
        size, tensors = examine(notes, path, check)
        totals.add(size, tensors)
        sound = sound and tensors is not None
        if tensors:
            absent = [tensor for tensor in listed.get(name, ()) if tensor not in tensors]
            if absent:
                lost[name] = absent
    if check is check_safetensors:
        _judge(notes, folder, totals, sound)
    for name, absent in lost.items():
        notes.add(
            "tensor-missing", "{0} lacks {1} tensors that the index places there, {2} among them".format(
                name, len(absent), absent[0]
            ),
            os.path.join(folder, name), "the file is of another revision than the index; download both again",
        )  # fmt: skip
    return totals


def _judge(notes, folder, totals, sound):
    """What no file by itself tells: nothing in any of them, and types that the library does not have."""
    if sound and not totals.count:
        notes.add("weights-corrupt", "the weight files in {0} hold no tensor".format(folder), folder, AGAIN)
    strange = sorted(dtype for dtype in totals.dtypes if dtype not in BITS)
    if strange:
        notes.add(
            "weights-corrupt", "the weights have tensors of the type {0}, unknown to safetensors 0.7".format(
                ", ".join(strange[:3])
            ),
            folder, "see whether the image has a newer safetensors, or fetch the model in another form", "warning",
        )  # fmt: skip
