# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes models as they lie on hosts: Hub caches with several revisions, sharded safetensors, real GGUF files.

Everything is small, and laid out as huggingface_hub and the publishers of models do it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import struct
import zipfile

OLD, NEW = "a" * 40, "b" * 40
TOKENIZER = {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}, "added_tokens": []}
QWEN3 = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64, "torch_dtype": "bfloat16"}


def safetensors(tensors: dict[str, tuple[str, list[int]]], data: bool = True) -> bytes:
    """A file of the format: ``{name: (dtype, shape)}``, filled with zeros."""
    bits = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1, "I32": 4}
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape) in tensors.items():
        size = bits[dtype]
        for extent in shape:
            size *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + (b"\0" * at if data else b"")


def shards(count: int, stem: str = "model", dtype: str = "BF16") -> dict[str, bytes]:
    """Sharded weights with their index."""
    files, weight_map = {}, {}
    for number in range(1, count + 1):
        name = f"{stem}-{number:05d}-of-{count:05d}.safetensors"
        tensors = {f"model.layers.{number}.mlp.{part}_proj.weight": (dtype, [16, 8]) for part in ("up", "down")}
        files[name] = safetensors(tensors)
        weight_map |= dict.fromkeys(tensors, name)
    files[f"{stem}.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
    return files


def torch_file() -> bytes:
    """What torch.save has written since 1.6: a zip with data.pkl and the storages."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", b"\0" * 512)
        archive.writestr("archive/version", b"3\n")
    return out.getvalue()


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def chat_model(count: int = 3) -> dict[str, bytes]:
    """A chat model as most publishers lay it out."""
    return {
        "config.json": text(QWEN3),
        "generation_config.json": text({"temperature": 0.6}),
        "tokenizer.json": text(TOKENIZER),
        "tokenizer_config.json": text({"tokenizer_class": "Qwen2Tokenizer", "chat_template": "{{ messages }}"}),
        "vocab.json": text({"a": 0}),
        "merges.txt": b"#version: 0.2\n",
        "README.md": b"# a model\n",
        **shards(count),
    }


def directory(path: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    path.mkdir(parents=True, exist_ok=True)
    return path


def etag(content: bytes, name: str) -> str:
    """The name of a blob: sha256 for what is in Git LFS, Git's own sha1 for the rest."""
    if name.endswith((".safetensors", ".bin", ".gguf", ".model", ".pth")):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def hub(
    cache: pathlib.Path, repository: str, files: dict[str, bytes], commit: str = NEW, ref: str | None = "main"
) -> pathlib.Path:
    """Add a revision to a cache; returns the repository's folder. Blobs are shared between revisions, as they are."""
    folder = cache / ("models--" + repository.replace("/", "--"))
    snapshot = folder / "snapshots" / commit
    for name, content in files.items():
        blob = folder / "blobs" / etag(content, name)
        blob.parent.mkdir(parents=True, exist_ok=True)
        if not blob.exists():
            blob.write_bytes(content)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
        lock = cache / ".locks" / folder.name / f"{blob.name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    if ref:
        place = folder / "refs" / ref
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(commit)
    return folder


def gguf(
    path: pathlib.Path, architecture: str = "llama", tokenizer: bool = True, template: bool = True, tensors: int = 4
) -> pathlib.Path:
    """A GGUF file written by llama.cpp's own Python package."""
    import gguf as package
    import numpy

    writer = package.GGUFWriter(str(path), architecture)
    writer.add_name("tiny")
    writer.add_context_length(2048)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_file_type(package.LlamaFileType.MOSTLY_Q8_0)
    if tokenizer:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list([f"token{number}" for number in range(512)])
        writer.add_token_types([1] * 512)
        writer.add_token_merges(["a b", "b c"])
    if template:
        writer.add_chat_template("{{ messages }}")
    for number in range(tensors):
        data = package.quants.quantize(numpy.zeros((32, 64), dtype=numpy.float32), package.GGMLQuantizationType.Q8_0)
        writer.add_tensor(f"blk.{number}.ffn_up.weight", data, raw_dtype=package.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_shards(folder: pathlib.Path, count: int = 3) -> list[pathlib.Path]:
    """A split model, split by the package itself."""
    import gguf as package
    import numpy

    writer = package.GGUFWriter(str(folder / "big.gguf"), "llama", split_max_tensors=2)
    writer.add_context_length(2048)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token{number}" for number in range(512)])
    for number in range(2 * count):
        writer.add_tensor(f"blk.{number}.ffn_up.weight", numpy.zeros((32, 64), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("big-*.gguf"))
