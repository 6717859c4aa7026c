# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What a model on the host is and whether all of it is there, for hub cache, directory and GGUF.

Nothing is loaded and nobody is asked: the standard library, file names, sizes, headers and metadata.
"""

from __future__ import annotations

import os
import re

from ansible_collections.cortex.vllm.plugins.module_utils import (
    gguf_files,
    hub_cache,
    model_access,
    model_parts,
    weights,
)
from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import (
    AGAIN,
    NOWHERE,
    Irregular,
    Notes,
    opened,
    problem,
)  # fmt: skip

# A directory of a hub cache: a container is shown the whole repository, where the links of a snapshot lead.
SNAPSHOT = re.compile(r"(?P<repository>.*/models--[^/]+)/snapshots/[0-9a-f]{40}\Z")
# What is asked of a place. A draft has no tokenizer of its own to be asked for, a tokenizer no weights, and so on.
ROLES = ("model", "draft", "tokenizer", "config", "generation", "adapter", "file")


def _answer():
    return {
        "status": "complete", "format": None, "path": None, "commit": None, "bytes": 0, "files": 0, "config": None,
        "tokenizer": False, "tokenizer_kind": None,
        "tokenizer_copy": None, "chat_template": False, "tensors": None, "gguf": None, "code": None,
        "adapter": None, "multimodal": False, "pooling": False, "access": [], "links": [], "place": None,
        "problems": [],
    }  # fmt: skip


def look(model, revision=None, cache=None, role="model", needs_tokenizer=True):
    """MODEL of docs/contract.md for one model; never raises.

    ``model``: a hub id, an absolute directory or a .gguf file; ``revision``: branch, tag or commit of a hub model,
    None = main; ``cache``: None = where huggingface_hub of this user looks; ``role``: one of `ROLES`;
    ``needs_tokenizer``: False when the server takes another tokenizer, or none.
    """
    answer, notes = _answer(), Notes()
    one = Look(answer, notes, role, needs_tokenizer)
    try:
        one.run(model, revision or "main", cache)
        answer["links"] = model_access.links(one.root, notes.stats, os.path.isabs(model)) if one.root else []
    except OSError as exc:
        path = str(exc.filename or model)
        text = "{0}: {1}".format(path if len(path) < 500 else path[:500] + "…", exc.strerror or exc)
        code, fix = "unreadable", "make it readable for the user of the task"
        if exc.errno in NOWHERE:
            code, fix = "absent", "correct the path or copy the model there"
        notes.problems.append(problem(code, text, path, fix))
    except ValueError as exc:  # a NUL in a path, a name that is not UTF-8
        notes.add("absent", "{0!r} is no usable path: {1}".format(model, exc), None, "correct it")
    answer["problems"] = notes.problems
    answer["access"] = model_access.summary(notes.stats)
    answer["status"] = _status(notes)
    return answer


def looks(entries):
    """``{key: MODEL}`` for the ``models`` of a request; what is asked for twice is looked at once."""
    seen, answers = {}, {}
    for entry in entries:
        question = (
            entry["model"], entry.get("revision"), entry.get("hub_cache"), entry.get("role") or "model",
            entry.get("needs_tokenizer", True),
        )  # fmt: skip
        if question not in seen:
            seen[question] = look(*question)
        answers[entry["key"]] = seen[question]
    return answers


def _status(notes):
    errors = [entry["code"] for entry in notes.problems if entry["severity"] == "error"]
    if not errors:
        return "complete"
    if "model.unreadable" in errors:
        return "unreadable"
    # A directory without config.json is no model for vLLM either (`model.absent`), but something is there.
    return "incomplete" if notes.entered else "absent"


class Look:
    """One look at one place."""

    def __init__(self, answer, notes, role, needs_tokenizer):
        self.answer, self.notes, self.role = answer, notes, role
        self.needs_tokenizer = needs_tokenizer and role in ("model", "tokenizer")
        # What a container is shown of the place: see rendering/mounts.py.
        self.root = None

    def run(self, model, revision, cache):
        if os.path.isabs(model):
            self.local(model)
        else:
            self.hub(model, revision, cache or hub_cache.default_cache())
        if self.answer["path"]:
            self.answer["place"] = model_access.place(_existing(self.answer["path"]))

    def local(self, path):
        self.answer["path"] = path
        shown = os.path.normpath(path)
        snapshot = SNAPSHOT.match(shown)
        self.root = snapshot.group("repository") if snapshot else shown
        if not os.path.isdir(shown):
            self.root = os.path.dirname(shown) if shown.endswith(".gguf") else None
        if self.notes.stat("directory" if os.path.isdir(path) else "file", path) is None:
            if os.path.islink(path):
                text = "{0} is a link to {1}, which does not exist".format(path, os.readlink(path))
            else:
                text = "{0} does not exist".format(path)
            self.notes.add("absent", text, path, "correct the path or copy the model there")
        elif self.role == "file" or (self.role == "generation" and not os.path.isdir(path)):
            self.single(path)
        elif os.path.isdir(path):
            self.directory(path)
        elif gguf_files.is_gguf(path):
            self.gguf(path)
        else:
            self.notes.add(
                "absent", "{0} is a file, and no .gguf".format(path), path,
                "give the model's directory or its .gguf file",
            )  # fmt: skip

    def single(self, path):
        """A file that the server is to read: there, readable, and not empty."""
        self.notes.entered = True
        if os.path.isdir(path):
            self.notes.add("file-missing", "{0} is a directory".format(path), path, "name the file itself")
            return
        try:
            with opened(path) as stream:
                if not stream.read(1):
                    self.notes.add("file-invalid", "{0} is empty".format(path), path, "write it again")
        except Irregular as exc:
            self.notes.add("file-invalid", "{0} cannot be read: {1}".format(path, exc), path, "name the file itself")
        self.answer.update(files=1, bytes=os.path.getsize(path))

    def hub(self, model, revision, cache):
        quantized = hub_cache.QUANTIZED.match(model)
        name = quantized.group("id") if quantized else model
        if not hub_cache.is_id(name):
            self.notes.add(
                "absent", "{0!r} is neither an absolute path nor a hub id".format(model), None,
                "write org/name, or an absolute path",
            )  # fmt: skip
            return
        self.answer["path"], self.root = hub_cache.folder_of(cache, name), cache
        folder, snapshot, commit = hub_cache.resolve(self.notes, name, revision, cache)
        if snapshot is None:
            return
        self.answer.update(path=snapshot, commit=commit)
        for directory in (cache, folder, os.path.dirname(snapshot), os.path.join(folder, "blobs")):
            self.notes.stat("directory", directory)
        if quantized and self.role in ("model", "draft"):
            self.quantized(snapshot, name, quantized.group("quant"))
        else:
            self.directory(snapshot)
        hub_cache.check_downloads(self.notes, cache, folder)

    def quantized(self, folder, name, quant):
        """repo:QUANT: the files whose names hold it, as vLLM looks for them (weight_utils.py download_gguf)."""
        pattern = re.compile(r"(?:^|[-._/])" + re.escape(quant) + r"(?:[-._].*)?\.gguf\Z", re.I)
        found, all_names = [], []
        for at, _dirs, names in os.walk(folder, followlinks=False):
            for entry in sorted(names):
                if entry.endswith(".gguf") and "mmproj" not in entry:
                    full = os.path.join(at, entry)
                    all_names.append(os.path.relpath(full, folder))
                    if pattern.search(entry) or os.path.basename(at).lower() == quant.lower():
                        found.append(full)
        if found:
            self.gguf(sorted(found)[0], folder)
            return
        self.notes.add(
            "weights-missing", "the snapshot of {0} has no {1} in GGUF; it has {2}".format(
                name, quant, ", ".join(sorted(all_names)[:8]) or "no .gguf file"
            ),
            folder, "fetch that quantization, or name one that is there",
        )  # fmt: skip

    def gguf(self, path, folder=None):
        answer, self.notes.entered = self.answer, True
        totals, facts = gguf_files.look(self.notes, path)
        answer.update(
            format="gguf", files=totals.files, bytes=totals.bytes, tensors=totals.facts(), gguf=facts, path=path
        )
        at = folder or os.path.dirname(path)
        if not path.endswith(".gguf"):  # of a file with another name a container sees the file alone
            at = ""
        if not os.access(at, os.R_OK | os.X_OK):
            return
        beside = model_parts.Folder(self.notes, at)
        answer["config"] = model_parts.config(beside, "warning")
        embedded = bool(facts and facts["tokenizer"])
        required = "error" if self.needs_tokenizer and facts and not embedded else None
        model_parts.tokenizer(beside, answer, required)
        if not answer["tokenizer"] and embedded:
            answer.update(tokenizer=True, tokenizer_kind="gguf")
        answer["chat_template"] = answer["chat_template"] or bool(facts and facts["chat_template"])

    def directory(self, path):
        folder, role = model_parts.Folder(self.notes, path), self.role
        self.notes.entered = True
        if role == "adapter":
            return model_parts.adapter(folder, self.answer)
        if role == "generation":
            if "generation_config.json" not in folder:
                self.notes.add(
                    "generation-config-missing", "there is no generation_config.json in {0}".format(path), path,
                    "name the directory that holds it",
                )  # fmt: skip
            model_parts.small_files(folder)
            return None
        if role == "tokenizer":
            # AutoTokenizer reads config.json for the class when tokenizer_config.json does not name it.
            found = model_parts.config(folder, "warning")
            said = model_parts.tokenizer(folder, self.answer, "error")
            model_parts.remote_code(folder, self.answer, found, said)
            return None
        config = self.answer["config"] = self.configuration(folder)
        if role == "config":
            model_parts.remote_code(folder, self.answer, config, None)
            return None
        if not self.model_like(folder):
            return None
        self.weights(folder)
        said = model_parts.tokenizer(folder, self.answer, "error" if self.needs_tokenizer else None)
        model_parts.remote_code(folder, self.answer, config, said)
        model_parts.processor(folder, self.answer, config)
        model_parts.pooling(folder, self.answer)
        model_parts.small_files(folder)
        left = os.path.join(path, ".cache", "huggingface", "download")  # of `hf download --local-dir`
        unfinished = [name for name in os.listdir(left) if name.endswith(".incomplete")] if os.path.isdir(left) else []
        if unfinished and any(entry["severity"] == "error" for entry in self.notes.problems):
            self.notes.add(
                "download-incomplete", "{0} files were not downloaded to the end".format(len(unfinished)), left,
                "run the download again",
            )  # fmt: skip
        return None

    @staticmethod
    def model_like(folder):
        """Whether it is worth asking what a model lacks: a place without configuration and weights is none."""
        if "config.json" in folder.names or "params.json" in folder.names:
            return True
        return any(name.endswith((".safetensors", ".safetensors.index.json", ".bin")) for name in folder.names)

    def configuration(self, folder):
        """config.json; in Mistral's own format params.json stands for it."""
        if "config.json" in folder.names:
            return model_parts.config(folder)
        if "params.json" in folder.names:
            self.notes.stat("config", folder.at("params.json"))
            self.answer["params"] = self.notes.json(folder.at("params.json"), "config-invalid")
            return None
        if "adapter_config.json" in folder.names:
            text = "is a LoRA adapter, no model"
            fix = "name the base model, and the adapter in engine_args.lora_modules"
        elif not folder.names:
            text, fix = "is empty", "check that it is mounted, and fetch the model into it"
        elif any(name.endswith(".gguf") for name in folder.names):
            text, fix = "has no config.json, but GGUF files", "write the path of the .gguf file (of a split one any)"
        else:
            text, fix = "has no config.json", "give the directory that holds config.json and the weights"
            deeper = model_parts.holding(folder, ("config.json", "params.json", "adapter_config.json"))
            if deeper:
                fix += "; there is one in {0}".format(", ".join(deeper))
        self.notes.add("absent", "{0} {1}".format(folder.path, text), folder.path, fix)
        return None

    def weights(self, folder):
        names, totals = folder.names, None
        tensors = sorted(
            name for name in names if name.endswith(".safetensors") and not name.startswith("adapter_model")
        )
        own = [name for name in tensors if name.startswith("consolidated")]
        rest = [name for name in tensors if name not in own]
        # vLLM takes Mistral's own files where there are any, else those that the index names (default_loader.py).
        for stem, present in (("consolidated", own), ("model", rest)):
            index_name = stem + ".safetensors.index.json"
            if present or index_name in names:
                totals = self.set_of(folder, index_name, present, weights.check_safetensors)
        if totals is not None:
            return self.weigh("safetensors", totals)
        pickles = [
            name for name in names if name.endswith((".bin", ".pt")) and not name.endswith(weights.NO_WEIGHTS)
            and not name.startswith("adapter_model")
        ]  # fmt: skip
        main = [name for name in pickles if name.endswith(".bin")] or pickles
        if main or "pytorch_model.bin.index.json" in names:
            return self.weigh("torch", self.set_of(folder, "pytorch_model.bin.index.json", main, weights.check_torch))
        text, fix = "there are no weights in {0} (*.safetensors, *.bin, *.gguf)", AGAIN
        if any(name.endswith(".pth") for name in names):
            text = "{0} has weights in the original form (*.pth) alone, which vLLM does not read"
            fix = "fetch the model's *.safetensors"
        elif any(name.endswith(".gguf") for name in names):
            text = "{0} has GGUF files, and a directory of those is nothing that vLLM loads"
            fix = "write the path of the .gguf file, or org/name:QUANT"
        self.notes.add("weights-missing", text.format(folder.path), folder.path, fix)
        return None

    def set_of(self, folder, index_name, present, check):
        """`Totals` of what the index names, else of what is there and what its numbers ask for."""
        listed = {}
        if index_name in folder.names:
            listed = weights.index(self.notes, folder.at(index_name))
        return weights.files(
            self.notes, folder.path, sorted(listed) or sorted(weights.numbered(present)), listed, check
        )

    def weigh(self, kind, totals):
        self.answer.update(format=kind, files=totals.files, bytes=totals.bytes, tensors=totals.facts())


def _existing(path):
    while path != "/" and not os.path.exists(path):
        path = os.path.dirname(path)
    return path
