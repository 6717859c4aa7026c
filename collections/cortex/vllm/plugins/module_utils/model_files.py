# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What a model on the host is and whether all of it is there, for hub cache, directory and GGUF."""

from __future__ import annotations

import json
import os
import re

from ansible_collections.cortex.vllm.plugins.module_utils import weights
from ansible_collections.cortex.vllm.plugins.module_utils.weights import problem

COMMIT = re.compile(r"[0-9a-f]{40}\Z")
# A hub id: huggingface_hub.utils.validate_repo_id allows these characters, at most one slash and 96 characters.
HUB_ID = re.compile(r"(?:[A-Za-z0-9_.-]+/)?[A-Za-z0-9_.-]+\Z")
# What a tokenizer of any kind is loaded from: fast, SentencePiece, GPT-2 style, Mistral's tekken, tiktoken.
TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json", "tokenizer.model.v3", "spiece.model",
    "vocab.txt", "tiktoken.model", "sentencepiece.bpe.model",
)  # fmt: skip
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def default_hub_cache():
    """Where huggingface_hub keeps its cache for this user (constants.py: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME)."""
    env = os.environ
    if env.get("HF_HUB_CACHE"):
        return os.path.expanduser(env["HF_HUB_CACHE"])
    home = env.get("HF_HOME") or os.path.join(env.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return os.path.join(os.path.expanduser(home), "hub")


def _answer():
    return {
        "status": "complete", "format": None, "path": None, "commit": None, "bytes": 0, "files": 0, "config": None,
        "tokenizer": False, "chat_template": False, "problems": [],
    }  # fmt: skip


def look(model, revision=None, hub_cache=None):
    """MODEL of docs/contract.md for one model; never raises.

    ``model``: a hub id, an absolute directory or a .gguf file; ``revision``: branch, tag or commit of a hub model,
    None = main; ``hub_cache``: None = where huggingface_hub of this user looks.
    """
    answer = _answer()
    try:
        if os.path.isabs(model):
            _local(answer, model)
        else:
            _hub(answer, model, revision or "main", hub_cache or default_hub_cache())
    except OSError as exc:
        path = exc.filename or model
        answer["problems"].append(
            problem(
                "unreadable", "{0}: {1}".format(path, exc.strerror), path, "make it readable for the user of the task"
            )
        )
    except ValueError as exc:  # a NUL in a path, a name that is not UTF-8
        answer["problems"].append(
            problem("absent", "{0!r} is no usable path: {1}".format(model, exc), None, "correct it")
        )
    errors = [entry["code"] for entry in answer["problems"] if entry["severity"] == "error"]
    if "model.absent" in errors or "model.revision-absent" in errors:
        answer["status"] = "absent"
    elif "model.unreadable" in errors:
        answer["status"] = "unreadable"
    elif errors:
        answer["status"] = "incomplete"
    return answer


def _local(answer, path):
    answer["path"] = path
    try:
        os.stat(path)
    except FileNotFoundError:
        answer["problems"].append(
            problem("absent", "{0} does not exist".format(path), path, "correct the path or copy the model there")
        )
        return
    if os.path.isdir(path):
        _directory(answer, path)
    elif path.endswith(".gguf"):
        _gguf(answer, path)
    else:
        answer["problems"].append(
            problem(
                "absent",
                "{0} is a file, and no .gguf".format(path),
                path,
                "give the model's directory or its .gguf file",
            )
        )


def _gguf(answer, path):
    shards, answer["bytes"], problems = weights.gguf(path)
    answer.update(format="gguf", path=path, files=len(shards))
    answer["problems"].extend(problems)
    folder = os.path.dirname(path)
    names = set(os.listdir(folder)) if os.access(folder, os.R_OK) else set()
    if "config.json" in names:
        answer["config"] = _config(answer, os.path.join(folder, "config.json"))
    _tokenizer(answer, folder, names)


def _hub(answer, model, revision, cache):
    if not HUB_ID.match(model) or ".." in model or "--" in model:
        answer["problems"].append(
            problem(
                "absent",
                "{0!r} is neither an absolute path nor a hub id".format(model),
                None,
                "write org/name, or an absolute path",
            )
        )
        return
    folder = os.path.join(cache, "models--" + model.replace("/", "--"))
    answer["path"] = folder
    if not os.path.isdir(folder):
        # A directory on the way that may not be entered looks the same as one that is not there.
        at = folder
        while at != "/" and not os.path.exists(at):
            at = os.path.dirname(at)
        if not os.access(at, os.X_OK | os.R_OK):
            raise PermissionError(13, "Permission denied", at)
        answer["problems"].append(
            problem(
                "absent",
                "{0} is not in the hub cache {1}".format(model, cache),
                folder,
                "download it there, or correct hub_cache",
            )
        )
        return
    commit = _commit(folder, revision)
    snapshot = os.path.join(folder, "snapshots", commit) if commit else None
    if not snapshot or not os.path.isdir(snapshot):
        known = sorted(os.listdir(os.path.join(folder, "refs"))) if os.path.isdir(os.path.join(folder, "refs")) else []
        answer["problems"].append(
            problem(
                "revision-absent", "revision {0} of {1} is not in {2}".format(revision, model, cache), folder,
                "the cache knows {0}; download the revision, or name one of these".format(", ".join(known) or "none"),
            )
        )  # fmt: skip
        return
    answer.update(path=snapshot, commit=commit)
    blobs = os.path.join(folder, "blobs")
    unfinished = [name for name in os.listdir(blobs) if name.endswith(".incomplete")] if os.path.isdir(blobs) else []
    _directory(answer, snapshot)
    # Left by an interrupted download; harmless when all that the snapshot needs is there.
    if unfinished and any(entry["code"] == "model.shard-missing" for entry in answer["problems"]):
        answer["problems"].append(
            problem(
                "download-incomplete",
                "{0} files were not downloaded to the end".format(len(unfinished)),
                blobs,
                "run the download again",
            )
        )


def _commit(folder, revision):
    if COMMIT.match(revision):
        return revision
    path = os.path.normpath(os.path.join(folder, "refs", revision))
    if not path.startswith(os.path.join(folder, "refs") + "/"):
        return None
    try:
        with open(path, "rb") as stream:
            text = stream.read(64).decode("ascii", "replace").strip()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    return text if COMMIT.match(text) else None


def _config(answer, path):
    try:
        with open(path, "rb") as stream:
            config = json.loads(stream.read().decode("utf-8"))
        if isinstance(config, dict):
            return config
        text = "not an object"
    except ValueError as exc:
        text = str(exc)
    except FileNotFoundError:
        answer["problems"].append(problem("config-missing", "config.json is a link to nothing", path, weights.AGAIN))
        return None
    answer["problems"].append(
        problem("config-invalid", "config.json is damaged: {0}".format(text), path, weights.AGAIN)
    )
    return None


def _tokenizer(answer, folder, names):
    # A link to a blob that has gone does not count.
    answer["tokenizer"] = any(name in names and os.path.exists(os.path.join(folder, name)) for name in TOKENIZERS)
    answer["chat_template"] = any(name in names for name in CHAT_TEMPLATES) or os.path.isdir(
        os.path.join(folder, "additional_chat_templates")
    )
    path = os.path.join(folder, "tokenizer_config.json")
    if not answer["chat_template"] and "tokenizer_config.json" in names:
        try:
            with open(path, "rb") as stream:
                answer["chat_template"] = bool(json.loads(stream.read().decode("utf-8")).get("chat_template"))
        except (OSError, ValueError, AttributeError):
            answer["problems"].append(
                problem("tokenizer-invalid", "tokenizer_config.json cannot be read", path, weights.AGAIN, "warning")
            )
    if not answer["tokenizer"]:
        answer["problems"].append(
            problem(
                "tokenizer-missing", "no tokenizer file is there", folder,
                "copy the tokenizer of the original model beside the weights, or declare `tokenizer`", "warning",
            )
        )  # fmt: skip


def _directory(answer, folder):
    names = set(os.listdir(folder))
    if "config.json" in names:
        answer["config"] = _config(answer, os.path.join(folder, "config.json"))
    elif "params.json" not in names:  # Mistral's own format has params.json instead
        answer["problems"].append(
            problem(
                "config-missing",
                "there is no config.json in {0}".format(folder),
                folder,
                "give the directory that holds config.json and the weights",
            )
        )
    _weights(answer, folder, names)
    _tokenizer(answer, folder, names)


def _weights(answer, folder, names):
    sets = (
        (
            "safetensors",
            "model.safetensors.index.json",
            lambda name: name.endswith(".safetensors"),
            weights.safetensors,
        ),
        (
            "torch",
            "pytorch_model.bin.index.json",
            lambda name: re.match(r"(pytorch_model|consolidated).*\.(bin|pth)\Z", name),
            weights.torch,
        ),
    )
    for kind, index_name, belongs, check in sets:
        listed = []
        if index_name in names:
            listed, found = weights.index(os.path.join(folder, index_name))
            if found:
                answer["problems"].append(found)
        present = sorted(name for name in names if belongs(name) and not name.startswith("training_args"))
        # Without an index the number in the name says how many there must be.
        wanted = sorted(set(listed) | (set() if listed else _numbered(present))) or present
        if not wanted:
            continue
        answer["format"] = kind
        for name in wanted:
            size, found = check(os.path.join(folder, name))
            answer["bytes"] += size
            answer["files"] += 1
            if found:
                answer["problems"].append(found)
        return
    shards = sorted(name for name in names if name.endswith(".gguf"))
    if shards:
        paths, answer["bytes"], problems = weights.gguf(os.path.join(folder, shards[0]))
        answer.update(format="gguf", files=len(paths))
        answer["problems"].extend(problems)
        return
    answer["problems"].append(
        problem(
            "weights-missing",
            "there are no weights in {0} (*.safetensors, *.bin, *.gguf)".format(folder),
            folder,
            weights.AGAIN,
        )
    )


def _numbered(present):
    wanted = set(present)
    for name in present:
        match = re.match(r"(.+-)(\d{5})(-of-)(\d{5})(\.\w+)\Z", name)
        if match and int(match.group(4)) <= 10000:
            total = int(match.group(4))
            wanted.update(
                "{0}{1:05d}-of-{2:05d}{3}".format(match.group(1), number, total, match.group(5))
                for number in range(1, total + 1)
            )
    return wanted
