# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What a model has beside its weights: tokenizer, templates, its own code, processors, adapters."""

from __future__ import annotations

import os
import re

from ansible_collections.cortex.vllm.plugins.module_utils import weights
from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import (
    AGAIN,
    LFS_POINTER,
    LFS_PULL,
    Irregular,
    gone,
    opened,
)  # fmt: skip

# What a tokenizer is loaded from, the kinds in the order in which a look names them. A kind is there when all files of
# one of its alternatives are (transformers: vocab_files_names of each class; vllm/tokenizers/mistral.py).
TOKENIZERS = (
    ("fast", (("tokenizer.json",),)),
    ("tekken", (("tekken.json",),)),
    ("sentencepiece", (
        ("tokenizer.model",), ("spiece.model",), ("sentencepiece.bpe.model",), ("spm.model",),
        ("source.spm", "vocab.json"),
    )),
    ("slow", (("vocab.json", "merges.txt"), ("vocab.txt",), ("vocab.bpe", "encoder.json"))),
)  # fmt: skip
# Mistral's own, one for each version; `tokenizer.model.v7m1` is one with images (vllm/tokenizers/registry.py).
MISTRAL = re.compile(r"tokenizer\.(?:mm\.)?model\.v.+\Z")
TIKTOKEN = re.compile(r".+\.tiktoken\Z|tiktoken\.model\Z|qwen\.tiktoken\Z")
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
# What a processor is made from (transformers: ProcessorMixin, image, video and audio processors).
PROCESSORS = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
# Files that copying a tokenizer has to take along (transformers: save_pretrained of all tokenizer classes).
COPIED = re.compile(
    r"(tokenizer.*|tekken\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt|bpe)|merges\.txt"
    r"|encoder\.json|spiece\.model|spm\.model|sentencepiece\.bpe\.model|.+\.tiktoken|tiktoken\.model"
    r"|tokenization_.+\.py|chat_template\.(jinja|json))\Z"
)
# Beside a tokenizer that cortex.vllm.model copied: whose it is.
MARKER = ".cortex-vllm-tokenizer.json"
CONFIGS = ("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json")


class Folder:
    """A directory with a model's files; names that lead nowhere are none of them."""

    def __init__(self, notes, path):
        self.notes, self.path = notes, path
        self.names = set(os.listdir(path))
        notes.stat("directory", path)

    def __contains__(self, name):
        return name in self.names and os.path.exists(self.at(name))

    def at(self, name):
        return os.path.join(self.path, name)


def holding(folder, wanted):
    """Names of the directories below, at most eight, that have one of the files ``wanted``: the right place, maybe."""
    found = []
    for name in sorted(folder.names)[:1000]:
        if any(os.path.isfile(os.path.join(folder.at(name), file)) for file in wanted):
            found.append(name)
    return found[:8]


def config(folder, severity="error"):
    """The parsed config.json, or None."""
    if "config.json" not in folder.names:
        return None
    folder.notes.stat("config", folder.at("config.json"))
    if not os.path.exists(folder.at("config.json")):
        folder.notes.add("absent", gone(folder.at("config.json")), folder.at("config.json"), AGAIN, severity)
        return None
    found = folder.notes.json(folder.at("config.json"), "config-invalid", severity=severity)
    if found is not None and not (found.get("model_type") or found.get("architectures")):
        folder.notes.add(
            "config-invalid", "config.json says neither model_type nor architectures", folder.at("config.json"),
            "take the config.json of the model, not of a part of it", "warning",
        )  # fmt: skip
    return found


def tokenizer_kind(folder):
    """``fast``, ``tekken``, ``sentencepiece``, ``slow``, ``tiktoken`` or None."""
    for kind, alternatives in TOKENIZERS:
        for files in alternatives:
            if all(name in folder for name in files):
                for name in files:
                    folder.notes.stat("file", folder.at(name))
                return kind
    for kind, pattern in (("sentencepiece", MISTRAL), ("tiktoken", TIKTOKEN)):
        for name in sorted(folder.names):
            if pattern.match(name) and name in folder:
                folder.notes.stat("file", folder.at(name))
                return kind
    return None


def _tokenizer_files(folder, kind):
    """Files of the tokenizer that are there but cannot be what they should be."""
    notes = folder.notes
    for name in sorted(folder.names):
        path = folder.at(name)
        known = name in ("tokenizer.json", "tekken.json", "vocab.json", "merges.txt")
        if known or name.endswith((".model", ".spm")) or TIKTOKEN.match(name) or MISTRAL.match(name):
            if not os.path.exists(path):
                if kind is not None:  # without any kind the whole tokenizer is missing, which is said once
                    notes.add("tokenizer-invalid", gone(path), path, AGAIN)
                continue
            try:
                with opened(path) as stream:
                    head = stream.read(len(LFS_POINTER))
            except Irregular as exc:
                notes.add("tokenizer-invalid", "{0} cannot be read: {1}".format(name, exc), path, AGAIN)
                continue
            if head == LFS_POINTER:
                text = "{0} is a Git LFS pointer, not the file itself".format(name)
                notes.add("pointer-file", text, path, LFS_PULL)
            elif not head:
                notes.add("tokenizer-invalid", "{0} is empty".format(name), path, AGAIN)
            elif name in ("tokenizer.json", "tekken.json", "vocab.json"):
                _vocabulary(notes, name, path)


def _vocabulary(notes, name, path):
    """Up to 2 MiB are parsed; of larger ones, which take longer than the rest of a look, both ends are seen."""
    if os.path.getsize(path) > 2 * 1024 * 1024:
        with open(path, "rb") as stream:
            head = stream.read(64).lstrip()
            stream.seek(-64, os.SEEK_END)
            tail = stream.read().rstrip()
        if head[:1] != b"{" or tail[-1:] != b"}":
            notes.add("tokenizer-invalid", "{0} is damaged: it was cut off".format(name), path, AGAIN)
        return
    found = notes.json(path, "tokenizer-invalid")
    # The model of `tokenizers`; tests and stubs have {}, which loads as nothing.
    if found and name == "tokenizer.json" and not isinstance(found.get("model"), dict):
        notes.add("tokenizer-invalid", "tokenizer.json has no model in it", path, AGAIN)


def tokenizer(folder, answer, required="error"):
    """Tokenizer, its code and the chat template. ``required``: severity of a tokenizer that is not there."""
    notes = folder.notes
    kind = tokenizer_kind(folder)
    _tokenizer_files(folder, kind)
    said = None
    if "tokenizer_config.json" in folder.names:
        notes.stat("file", folder.at("tokenizer_config.json"))
        said = notes.json(folder.at("tokenizer_config.json"), "tokenizer-invalid")
    code = _own_code(folder, (said or {}).get("auto_map"))
    if kind is None and code:  # a tokenizer of its own making, in a vocabulary that only its code knows
        kind = "remote-code"
    answer["tokenizer"], answer["tokenizer_kind"] = kind is not None, kind
    if MARKER in folder:
        note = notes.json(folder.at(MARKER), "file-invalid", severity="warning") or {}
        answer["tokenizer_copy"] = {"tokenizer": note.get("tokenizer"), "path": folder.path}
    answer["chat_template"] = bool((said or {}).get("chat_template"))
    for name in CHAT_TEMPLATES:
        if name in folder:
            notes.stat("file", folder.at(name))
            answer["chat_template"] = True
    if os.path.isdir(folder.at("additional_chat_templates")):
        answer["chat_template"] = True
    if kind is None and required:
        notes.add(
            "tokenizer-missing", "no tokenizer file is there", folder.path,
            "copy the tokenizer of the original model beside the weights (cortex.vllm.model: tokenizer_from), or"
            " declare `tokenizer`",
            required,
        )  # fmt: skip
    return said


def _own_code(folder, auto_map):
    """``[file.py]`` and ``org/repo`` names that an auto_map needs; files that are not there become problems."""
    needed = []
    for value in (auto_map or {}).values() if isinstance(auto_map, dict) else ():
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or "." not in item:
                continue
            repository, mark, path = item.rpartition("--")
            needed.append(repository if mark else path.rpartition(".")[0].split(".")[-1] + ".py")
    return sorted(set(needed))


_IMPORT = re.compile(r"^\s*(?:from\s+\.(\w+)\s+import|from\s+\.\s+import\s+(\w+)|import\s+\.(\w+))", re.M)


def remote_code(folder, answer, found, tokenizer_config):
    """Code that comes with the model: every file that ``auto_map`` names, and those that these import."""
    notes = folder.notes
    parts = [(found or {}).get("auto_map"), (tokenizer_config or {}).get("auto_map")]
    for name in PROCESSORS:
        if name in folder:
            said = notes.json(folder.at(name), "processor-invalid")
            parts.append((said or {}).get("auto_map"))
    waiting = [item for part in parts for item in _own_code(folder, part)]
    seen, elsewhere = set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name in elsewhere:
            continue
        if not name.endswith(".py"):
            elsewhere.add(name)
            continue
        seen.add(name)
        path = folder.at(name)
        if name not in folder:
            notes.add("code-missing", "{0} is missing: the model's own code needs it".format(name), path,
                      "fetch the *.py files of the model too")  # fmt: skip
            continue
        notes.stat("file", path)
        try:
            with opened(path) as stream:
                text = stream.read(4 * 1024 * 1024).decode("utf-8", "replace")
        except Irregular as exc:
            notes.add("code-missing", "{0} cannot be read: {1}".format(name, exc), path, AGAIN)
            continue
        # transformers follows relative imports (dynamic_module_utils.py get_relative_imports).
        waiting += [next(part for part in match if part) + ".py" for match in _IMPORT.findall(text)]
    classes = (found or {}).get("auto_map")
    if seen or elsewhere:
        answer["code"] = {
            "classes": sorted(classes) if isinstance(classes, dict) else [],
            "files": sorted(seen),
            "repositories": sorted(elsewhere),
        }


# Keys of config.json that say "this model sees, hears or watches".
_SENSES = ("vision_config", "audio_config", "image_token_id", "image_token_index", "video_token_id", "audio_token_id")


def processor(folder, answer, found):
    """A multimodal model needs a processor; one without any is refused at the start (AutoProcessor)."""
    senses = [name for name in _SENSES if (found or {}).get(name) is not None]
    speech = (found or {}).get("model_type") in ("whisper",)
    present = [name for name in PROCESSORS if name in folder]
    for name in present:
        folder.notes.stat("file", folder.at(name))
        if not answer.get("code"):
            folder.notes.json(folder.at(name), "processor-invalid")
    answer["multimodal"] = bool(senses or speech)
    # Mistral's own format keeps what the processor needs in params.json.
    if answer["multimodal"] and not present and "params.json" not in folder:
        folder.notes.add(
            "processor-missing", "the model takes more than text ({0}), and there is no {1}".format(
                senses[0] if senses else "audio", " or ".join(PROCESSORS[:2])
            ),
            folder.path, "fetch the processor's files of the same model",
        )  # fmt: skip


def small_files(folder):
    """Files that are read when they are there, and then must be JSON."""
    for name in ("special_tokens_map.json", "added_tokens.json", "hf_quant_config.json"):
        if name in folder.names:
            folder.notes.stat("file", folder.at(name))
            folder.notes.json(folder.at(name), "file-invalid")
    if "generation_config.json" in folder.names:
        folder.notes.stat("file", folder.at("generation_config.json"))
        folder.notes.json(folder.at("generation_config.json"), "generation-config-invalid")


def pooling(folder, answer):
    """sentence-transformers: ``modules.json`` names directories with a config.json of their own."""
    if "modules.json" not in folder:
        return
    modules = folder.notes.json(folder.at("modules.json"), "file-invalid", kind=list)
    for entry in modules or ():
        kind, path = (str(entry.get(key) or "") for key in ("type", "path")) if isinstance(entry, dict) else ("", "")
        if path and kind.endswith((".Pooling", ".Dense")):
            config_path = os.path.join(folder.at(path), "config.json")
            if not os.path.exists(config_path):
                folder.notes.add("file-missing", "{0}/config.json is missing, which modules.json names".format(path),
                                 config_path, AGAIN)  # fmt: skip
            else:
                folder.notes.json(config_path, "file-invalid")
            if kind.endswith(".Dense"):
                _dense(folder, path)
    answer["pooling"] = True


def _dense(folder, path):
    """A layer behind the model. vLLM leaves one whose weights it does not find out, and serves other embeddings without
    a word (model_executor/models/adapters.py _load_st_projector)."""
    for name, check in (("model.safetensors", weights.check_safetensors), ("pytorch_model.bin", weights.check_torch)):
        if os.path.lexists(os.path.join(folder.at(path), name)):
            weights.files(folder.notes, folder.at(path), [name], {}, check)
            return
    folder.notes.add(
        "weights-missing", "{0} has no model.safetensors and no pytorch_model.bin, and vLLM would leave that layer out "
        "without a word".format(folder.at(path)),
        folder.at(path), AGAIN,
    )  # fmt: skip


def adapter(folder, answer):
    """A LoRA adapter: its configuration, and weights in one of the forms that vLLM reads (lora/lora_model.py)."""
    notes = folder.notes
    path = folder.at("adapter_config.json")
    if "adapter_config.json" not in folder:
        deeper = holding(folder, ("adapter_config.json",))
        fix = "give the directory of the adapter" + ("; there are some in " + ", ".join(deeper) if deeper else "")
        notes.add("absent", "there is no adapter_config.json in {0}, so no LoRA adapter".format(folder.path), path, fix)
        return
    notes.stat("config", path)
    said = notes.json(path, "adapter-invalid") or {}
    rank = said.get("r")
    if said and not _whole(rank):
        notes.add("adapter-invalid", "adapter_config.json names no rank r", path, AGAIN)
    lacking = [name for name in ("lora_alpha", "target_modules") if said and name not in said]
    if lacking:
        text = "adapter_config.json says no {0}, which vLLM asks for".format(" and no ".join(lacking))
        notes.add("adapter-invalid", text, path, "take the adapter_config.json that PEFT wrote for this adapter")
    totals = None
    for name, check in (
        ("adapter_model.safetensors", weights.check_safetensors), ("adapter_model.bin", weights.check_torch),
        ("adapter_model.pt", weights.check_torch),
    ):  # fmt: skip
        if name in folder.names:
            totals = weights.files(notes, folder.path, [name], {}, check)
            break
    if totals is None:
        fix = AGAIN
        parts = sorted(name for name in folder.names if name.startswith("adapter_model-"))
        deeper = holding(folder, ("adapter_model.safetensors", "adapter_model.bin"))
        if parts:
            fix = "vLLM reads one file alone: merge {0} and its like into adapter_model.safetensors".format(parts[0])
        elif deeper:
            fix = "give the directory that has both files; there are weights in {0}".format(", ".join(deeper))
        notes.add("weights-missing", "there is no adapter_model.safetensors in {0}".format(folder.path), folder.path,
                  fix)  # fmt: skip
    else:
        answer.update(bytes=totals.bytes, files=totals.files, tensors=totals.facts())
    answer["adapter"] = {
        "base_model": said.get("base_model_name_or_path"), "rank": _largest(said), "type": said.get("peft_type"),
        "beyond": _beyond(said),
    }  # fmt: skip


def _whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _largest(said):
    """The largest rank of an adapter: ``r``, or of the modules that have one of their own."""
    own = said.get("rank_pattern")
    ranks = [said.get("r")] + (list(own.values()) if isinstance(own, dict) else [])
    return max([rank for rank in ranks if _whole(rank)], default=None)


# Forms of LoRA that vLLM has no code for (lora/peft_helper.py _validate_features). Inits that are names of files of
# another kind of weights change the base model; these do not.
_OTHER_FORMS = ("lora_bias", "alora_invocation_tokens", "layer_replication", "use_bdlora", "use_qalora")
_PLAIN_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")


def _beyond(said):
    """``{setting: value as text}`` of what an adapter asks for beyond plain LoRA."""
    found = {}
    if said.get("use_dora"):
        found["use_dora"] = "true"
    if (said.get("bias") or "none") != "none":
        found["bias"] = str(said["bias"])[:40]
    saved = said.get("modules_to_save")
    saved = [str(name)[:60] for name in saved if name not in ("classifier", "score")] if isinstance(saved, list) else []
    if saved:
        found["modules_to_save"] = ", ".join(saved[:5])
    for name in _OTHER_FORMS:
        if said.get(name):
            found[name] = "set"
    init = said.get("init_lora_weights")
    if isinstance(init, str) and init.lower() not in _PLAIN_INITS:
        found["init_lora_weights"] = init[:40]
    return found
