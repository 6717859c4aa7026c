# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""All that a server would open or ask the Hub for: model, tokenizer, configuration, draft, adapters, templates.

Each is looked at on the host before anything is started. Which arguments name such a thing is read from
vllm/engine/arg_utils.py and vllm/entrypoints/openai/cli_args.py, 0.6 … 0.33.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Of ``speculative_config``: methods that draft without a model of their own.
SELF_DRAFTING = frozenset({"ngram", "ngram_gpu", "suffix", "mtp", "[ngram]"})
#: Arguments that are files, with the code of what is said when one is missing (the diagnosis has the same).
FILES = {
    "chat_template": "argument.chat-template",
    "tool_parser_plugin": "argument.parser",
    "reasoning_parser_plugin": "argument.parser",
}
#: Where the official images keep examples, which nobody mounts.
OF_THE_IMAGE = ("/vllm-workspace/", "/app/", "/opt/", "/usr/")


@dataclass(frozen=True)
class Need:
    """One thing to look at.

    :ivar role: ``model``, ``draft``, ``tokenizer``, ``config``, ``generation``, ``adapter`` or ``file``
    :ivar name: as it was declared: id on the Hub, or a path as the container sees it
    :ivar field: of the declaration
    :ivar place: id, or the path on the host; None when no mount shows it
    :ivar code: of the finding when it is not there; None takes what the look says
    """

    role: str
    name: str
    field: str
    place: str | None
    revision: str | None = None
    code: str | None = None
    needs_tokenizer: bool = False
    hub_cache: str | None = None

    @property
    def on_hub(self) -> bool:
        """Whether the server would ask the Hub for it."""
        return not self.name.startswith("/")

    @property
    def key(self) -> str:
        """Servers that need the same share one look."""
        own = "" if self.role == "model" and self.needs_tokenizer else f"|{self.role}|{self.needs_tokenizer:d}"
        return "|".join(str(part or "") for part in (self.place, self.revision, self.hub_cache)) + own

    def question(self) -> dict[str, Any]:
        """Its entry in the request of step ``observe``."""
        found: dict[str, Any] = {
            "key": self.key,
            "model": str(self.place),
            "revision": self.revision,
            "hub_cache": self.hub_cache,
        }
        if self.role != "model":
            found["role"] = self.role
        if self.role == "model" and not self.needs_tokenizer:
            found["needs_tokenizer"] = False
        return found


def main(spec: Any) -> Need:
    """The need of the model itself."""
    arguments = _arguments(spec)
    own_tokenizer = getattr(spec, "tokenizer", None) in (None, "", spec.model)
    return Need(
        "model",
        str(spec.model),
        "model",
        str(spec.model),
        spec.revision,
        needs_tokenizer=own_tokenizer and arguments.get("skip_tokenizer_init") is not True,
        hub_cache=_cache(spec),
    )


def needs(spec: Any) -> list[Need]:
    """Everything, the model first; what no mount shows has no ``place``."""
    if not getattr(spec, "model", None):
        return []
    found = [main(spec)]
    found += _others(spec, _arguments(spec))
    return list(dict.fromkeys(found))


def _others(spec: Any, arguments: Mapping[str, Any]) -> Iterator[Need]:
    tokenizer = getattr(spec, "tokenizer", None)
    if tokenizer and tokenizer != spec.model and arguments.get("skip_tokenizer_init") is not True:
        yield _need(spec, "tokenizer", tokenizer, "tokenizer", arguments.get("tokenizer_revision"))
    config = arguments.get("hf_config_path")
    if isinstance(config, str) and config and config != spec.model:
        yield _need(spec, "config", config, "engine_args.hf_config_path", None)
    generation = arguments.get("generation_config")
    if isinstance(generation, str) and generation not in {"", "auto", "vllm", spec.model}:
        yield _need(spec, "generation", generation, "engine_args.generation_config", None)
    yield from _drafts(spec, arguments)
    yield from _adapters(spec, arguments)
    for name, code in FILES.items():
        value = arguments.get(name)
        if isinstance(value, str) and value.startswith("/") and not set("{}\n") & set(value):
            yield _need(spec, "file", value, f"engine_args.{name}", None, code)


def _drafts(spec: Any, arguments: Mapping[str, Any]) -> Iterator[Need]:
    said = _mapping(arguments.get("speculative_config"))
    name, revision, field = said.get("model"), said.get("revision"), "engine_args.speculative_config"
    if name is None and isinstance(arguments.get("speculative_model"), str):
        name, field = arguments["speculative_model"], "engine_args.speculative_model"
        revision = arguments.get("speculative_model_revision")
    if not isinstance(name, str) or not name or name == spec.model:
        return
    if name in SELF_DRAFTING or said.get("method") in SELF_DRAFTING:
        return
    yield _need(spec, "draft", name, field, revision if isinstance(revision, str) else None)


def _adapters(spec: Any, arguments: Mapping[str, Any]) -> Iterator[Need]:
    """``name=path``, JSON, or a mapping (vllm/entrypoints/openai/cli_args.py LoRAParserAction)."""
    declared = arguments.get("lora_modules")
    if isinstance(declared, Mapping):
        declared = [{"name": key, "path": item} for key, item in declared.items()]
    for item in declared if isinstance(declared, list) else [declared]:
        path = _mapping(item).get("path")
        if path is None and isinstance(item, str) and "=" in item and not item.lstrip().startswith("{"):
            path = item.partition("=")[2]
        if isinstance(path, str) and path:
            yield _need(spec, "adapter", path, "engine_args.lora_modules", None, "argument.lora")


def _need(spec: Any, role: str, name: str, field: str, revision: Any, code: str | None = None) -> Need:
    place = on_host(spec, name) if name.startswith("/") else name
    hub = not name.startswith("/")
    cache = _cache(spec) if hub else None
    return Need(role, name, field, place, str(revision) if revision and hub else None, code, hub_cache=cache)


def on_host(spec: Any, path: str) -> str | None:
    """The path on the host of what the container sees at ``path``; None when no mount shows it."""
    shown: list[tuple[str, str]] = [(str(mount.target), str(mount.source)) for mount in spec.mounts or ()]
    for own in (spec.model, getattr(spec, "tokenizer", None)):
        if own and str(own).startswith("/"):
            base = str(own).rpartition("/")[0] if str(own).endswith(".gguf") else str(own)
            shown.append((base, base))
    best = max(
        (pair for pair in shown if path == pair[0] or path.startswith(pair[0].rstrip("/") + "/")),
        key=lambda pair: len(pair[0]),
        default=None,
    )
    if best is None or not best[1].startswith("/"):
        return None
    return best[1] + path[len(best[0].rstrip("/")) :] if path != best[0] else best[1]


def _cache(spec: Any) -> str | None:
    found = getattr(spec, "hub_cache", None)
    return str(found) if found else None


def _arguments(spec: Any) -> dict[str, Any]:
    """``engine_args`` by vLLM's names, whatever dashes they were written with."""
    given = getattr(spec, "engine_args", None) or {}
    return {str(key).lstrip("-").replace("-", "_"): value for key, value in given.items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
