# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Which images and models declarations need, and which files of a model its revision needs."""

from __future__ import annotations

import dataclasses
import fnmatch
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import model_needs
from ..findings import Finding, FindingsError
from ..spec.server import DEFAULT_HUB_CACHE

#: Weights in other formats beside safetensors: vLLM takes safetensors where there are any and leaves the rest alone
#: (vllm/model_executor/model_loader/default_loader.py, _prepare_weights, release 0.32.0). Judged folder by folder:
#: modules of sentence-transformers in folders of their own may have nothing but a .bin.
PREFERRED = "*.safetensors"
OTHER_FORMATS = (
    "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.ot", "*.ckpt", "*.bin.index.json", "*.h5.index.json",
    "*.msgpack.index.json",
)  # fmt: skip
#: What no server reads: exports for other programs, the original release beside the converted one, traces of training.
FOLDERS = ("original/*", "onnx/*", "openvino/*", "coreml/*", "runs/*")
NEVER = (
    "training_args.bin", "optimizer.pt", "scheduler.pt", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel",
    "events.out.tfevents*",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that is wanted somewhere.

    :ivar name: an id on the Hub, or a path of the host
    :ivar hub_cache: None for a path
    :ivar role: what it is for: ``model``, ``tokenizer``, ``draft``, ``config``, ``generation`` or ``adapter``
    """

    name: str
    revision: str | None = None
    hub_cache: str | None = None
    role: str = dataclasses.field(default="model", compare=False)

    @property
    def local(self) -> bool:
        return self.name.startswith("/")

    @property
    def repository(self) -> str:
        """The id without the quantization of GGUF that may follow it."""
        return self.name if self.local else self.name.partition(":")[0]

    @property
    def quantization(self) -> str | None:
        return None if self.local else self.name.partition(":")[2] or None

    @property
    def key(self) -> str:
        return self.name if self.local else f"{self.repository}@{self.revision or 'main'}"


def superfluous(names: Iterable[str], quantization: str | None = None) -> list[str]:
    """Files of a repository that a server would not read.

    :param quantization: of a GGUF repository the one that is wanted
    """
    names = list(names)
    folders = {posixpath.dirname(name) for name in names if fnmatch.fnmatch(name, PREFERRED)}

    def needless(name: str) -> bool:
        folder, base = posixpath.split(name)
        patterns = [*NEVER, *(OTHER_FORMATS if folder in folders else ())]
        return (
            any(fnmatch.fnmatch(base, pattern) for pattern in patterns)
            or (bool(folders) and any(fnmatch.fnmatch(name, pattern) for pattern in FOLDERS))
            or bool(quantization and name.endswith(".gguf") and quantization.lower() not in name.lower())
        )

    return sorted(name for name in names if needless(name))


def of_servers(specs: Sequence[Any]) -> tuple[list[str], list[Model]]:
    """Images and models of declarations: all that a check looks for, tokenizers, drafts and adapters too. Each once."""
    images: dict[str, None] = {}
    models: dict[Model, None] = {}
    for spec in specs:
        if spec.state == "absent":
            continue
        images[spec.image] = None
        if getattr(spec, "kind", "") != "server":
            continue
        models[Model(spec.model, spec.revision, None if spec.model_kind == "path" else spec.hub_cache)] = None
        for need in model_needs.needs(spec)[1:]:
            if need.role == "file" or need.place is None:  # templates and plugins, and what is in the image
                continue
            cache = (need.hub_cache or DEFAULT_HUB_CACHE) if need.on_hub else None
            models[Model(need.place, need.revision, cache, need.role)] = None
    return list(images), list(models)


def problem(entry: Mapping[str, Any], model: Model) -> Finding:
    """What a host says about the files of a model, as a finding."""
    message = f"{model.key}: {entry['message']}"
    return Finding(entry["code"], entry["severity"], message, "model", entry.get("fix"))


def moved(model: Model, hub_cache: str | None) -> Model:
    """The model in another cache, where one is named."""
    return model if model.local or not hub_cache else dataclasses.replace(model, hub_cache=hub_cache)


def pairs(declarations: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Declarations of several hosts: each a mapping of ``servers`` and ``defaults``, or the two of them.

    :raises FindingsError: ``spec.shape``
    """
    found = []
    for index, entry in enumerate(declarations):
        if isinstance(entry, Mapping) and not set(entry) - {"servers", "defaults"}:
            found.append((entry.get("servers") or {}, entry.get("defaults") or {}))
        elif isinstance(entry, list | tuple) and len(entry) == 2:
            found.append((entry[0] or {}, entry[1] or {}))
        else:
            fix = "Write a mapping of servers and defaults."
            raise FindingsError([Finding("spec.shape", "error", "is wrong", f"declarations[{index}]", fix)])
    return found


def written(entries: Iterable[Any], hub_cache: str | None) -> list[Model]:
    """Models as a task names them: text, or a mapping of ``model``, ``revision`` and ``hub_cache``.

    :raises FindingsError: ``spec.shape``
    """
    found = []
    for index, entry in enumerate(entries):
        if isinstance(entry, str):
            entry = {"model": entry}
        known = {"model", "revision", "hub_cache"}
        if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str) or set(entry) - known:
            fix = "Write org/name, or a mapping of model, revision and hub_cache."
            raise FindingsError([Finding("spec.shape", "error", "is no model", f"models[{index}]", fix)])
        local = entry["model"].startswith("/")
        cache = None if local else str(entry.get("hub_cache") or hub_cache or DEFAULT_HUB_CACHE)
        revision = entry.get("revision")
        found.append(Model(str(entry["model"]), str(revision) if revision else None, cache))
    return found
