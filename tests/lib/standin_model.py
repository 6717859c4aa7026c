# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a model directory that is complete on disk and holds nothing: for the stand-in server, never for vLLM.

``python3 model.py DIRECTORY [KNOB=VALUE ...]`` writes it, with the knobs of ``standin.json`` if there are any.
"""

from __future__ import annotations

import json
import pathlib
import struct
import sys
import typing as t

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{m['role']}}\n{{m['content']}}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "dtype": "bfloat16",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "eos_token_id": 2,
}


def safetensors(tensors: t.Mapping[str, t.Sequence[int]]) -> bytes:
    """A safetensors file of zeros: ``tensors`` are shapes by name, all bfloat16 (2 bytes an element)."""
    header: dict[str, t.Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in tensors.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(offset)


def make(directory: str | pathlib.Path, knobs: t.Mapping[str, t.Any] | None = None, **config: t.Any) -> pathlib.Path:
    """Write the model into ``directory`` (made if missing) and return it.

    ``knobs`` goes to ``standin.json``; ``config`` changes ``config.json``.
    """
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"model.embed_tokens.weight": (512, 64), "model.norm.weight": (64,)}
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    vocabulary = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "a": 3}
    added = [{"id": number, "content": text, "special": True} for text, number in vocabulary.items() if number < 3]
    tokenizer = {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }
    files: dict[str, t.Any] = {
        "config.json": {**CONFIG, **config},
        "generation_config.json": {"eos_token_id": 2, "pad_token_id": 0},
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "chat_template": CHAT_TEMPLATE,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    set_knobs(folder, knobs)
    return folder


def set_knobs(folder: pathlib.Path, knobs: t.Mapping[str, t.Any] | None) -> None:
    """Write ``standin.json``, or remove it where ``knobs`` is empty."""
    path = folder / "standin.json"
    if knobs:
        path.write_text(json.dumps(dict(knobs), indent=2) + "\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(make(sys.argv[1], dict(argument.split("=", 1) for argument in sys.argv[2:])))
