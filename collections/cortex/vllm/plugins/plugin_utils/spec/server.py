# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""A vLLM server, as somebody declares it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from .._pydantic import BeforeValidator, Field, field_validator, model_validator
from .base import Declaration, Texts
from .collectives import Nccl
from .nodes import DECIDED, Nodes
from .parts import Debug, Mount, Probe, looks_secret
from .values import Address, Integer, Path, Problem, Problems, Seconds, Text

#: Where huggingface_hub keeps snapshots of root (constants.py: HF_HUB_CACHE below HF_HOME, ~/.cache/huggingface).
DEFAULT_HUB_CACHE = "/root/.cache/huggingface/hub"

#: ``organisation/name``, by the rules of huggingface_hub utils/_validators.py (validate_repo_id).
_HUB_ID = re.compile(r"^(?=.{1,96}$)(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*(?::[\w.-]+)?$")

#: What a field of the declaration decides. vLLM's name, the field, and a word on it.
RESERVED_ARGUMENTS: dict[str, str] = {
    "model": "model",
    "model_tag": "model",
    "host": "bind",
    "port": "server_port",
    "api_key": "secrets.api_key",
    "hf_token": "secrets.hf_token",
    "served_model_name": "served_model_name",
    "revision": "revision",
    "tokenizer": "tokenizer",
    "download_dir": "hub_cache",
}
#: What cannot work here, with the reason and what to do.
REFUSED_ARGUMENTS: dict[str, tuple[str, str]] = {
    "config": ("would hide arguments from every check", "Write its content into engine_args"),
    "uds": ("would listen on a socket that nothing can ask", "Use bind and server_port"),
    "help": ("prints a text and ends", "Delete it"),
    "version": ("prints a text and ends", "Delete it"),
}
#: Seconds between the end of a drain and the kill: vLLM ends its processes and gives GPU memory back in them.
DRAIN_MARGIN = 10.0
#: Fields that vLLM takes from ``--override-generation-config`` as defaults of requests
#: (0.32: vllm/config/model.py, ModelConfig.get_diff_sampling_param). It ignores all others.
REQUEST_DEFAULTS = (
    "frequency_penalty",
    "max_new_tokens",
    "min_p",
    "presence_penalty",
    "repetition_penalty",
    "temperature",
    "top_k",
    "top_p",
)
#: Fields of requests that the V1 engine dropped (0.8.0: vllm/v1/engine/processor.py; 0.12.0: the protocol), and what to
#: do instead.
GONE_DEFAULTS = {
    "best_of": "Delete it: the V1 engine refuses it, and 0.12 ignores it; ask for n answers and choose",
    "logits_processors": "Write engine_args.logits_processors: [class paths]: V1 takes none from requests",
    "guided_decoding_backend": "Write engine_args.structured_outputs_config: {backend: …}: V1 takes none from requests",
    "swap_space": "Delete it: it was an argument of the V0 engine",
    "use_beam_search": "Delete it: each request decides",
}
#: Endings of architectures that pool unless told otherwise, and those that generate; the first that fits counts
#: (0.32: vllm/config/model.py, _SUFFIX_TO_DEFAULTS).
_GENERATING = ("ForCausalLM", "ForConditionalGeneration", "ChatModel", "LMHeadModel")
_POOLING = (
    "ForTextEncoding",
    "EmbeddingModel",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForAudioClassification",
    "ForImageClassification",
    "ForVideoClassification",
    "ClassificationModel",
    "ForRewardModeling",
    "RewardModel",
    "Model",
)
#: Tasks of releases before 0.13 that pool instead of generating (``--task``).
_POOLING_TASKS = ("embed", "embedding", "score", "reward", "classify")


def argument_name(key: str) -> str:
    """vLLM's name of an argument, as it stands in ``engine_args``: ``--max-model-len`` is ``max_model_len``."""
    head, dot, rest = key.strip().lstrip("-").partition(".")
    return head.replace("-", "_") + dot + rest


def _engine_args(value: Any) -> Any:
    """Names in one spelling, dotted names (``speculative_config.method``) as mappings, nothing reserved."""
    if not isinstance(value, dict):
        return value
    problems: list[Problem] = []
    result: dict[str, Any] = {}
    for key, item in value.items():
        name, *inner = argument_name(key).split(".")
        if name in RESERVED_ARGUMENTS:
            problems.append(
                Problem(
                    "has a field of its own",
                    f"Write {RESERVED_ARGUMENTS[name]} instead",
                    code="argument.reserved",
                    at=(key,),
                )
            )
        elif name in REFUSED_ARGUMENTS:
            reason, fix = REFUSED_ARGUMENTS[name]
            problems.append(Problem(reason, fix, code="argument.reserved", at=(key,)))
        elif not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or not all(inner):
            problems.append(
                Problem("is not the name of an argument", "Write vLLM's name, such as max_model_len", at=(key,))
            )
        elif inner:
            place = result.setdefault(name, {})
            for part in inner[:-1]:
                place = place.setdefault(part, {}) if isinstance(place, dict) else None
            if not isinstance(place, dict) or inner[-1] in place:
                problems.append(Problem("is set twice", f"Write one mapping {name}", at=(key,)))
            else:
                place[inner[-1]] = item
        elif name in result:
            problems.append(Problem(f"is set twice, also as {name}", "Write it once", at=(key,)))
        else:
            result[name] = item
    if problems:
        raise Problems(problems)
    return {key: item for key, item in result.items() if item is not None}


def _request_defaults(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    problems = []
    for key, item in value.items():
        if key in ("max_tokens", "max_completion_tokens"):
            problems.append(
                Problem("is called max_new_tokens where defaults are set", "Write max_new_tokens", at=(key,))
            )
        elif key not in REQUEST_DEFAULTS:
            problems.append(
                Problem(
                    "is not a default that vLLM takes; it would be ignored",
                    GONE_DEFAULTS.get(key) or f"Delete it (vLLM takes {', '.join(REQUEST_DEFAULTS)})",
                    code="request-defaults.ignored",
                    at=(key,),
                )
            )
        elif isinstance(item, bool) or not isinstance(item, (int, float)):
            problems.append(Problem("is not a number", "Write a number", at=(key,)))
    if problems:
        raise Problems(problems)
    return value


def _across_hosts(filled: dict[str, Any]) -> dict[str, Any]:
    """Defaults of a model that spans hosts: the host's network, and the address that the others know."""
    nodes = filled["nodes"]
    filled.setdefault("network", "host")
    hosts = nodes.get("hosts") if isinstance(nodes, dict) else None
    if filled.get("bind") is None and isinstance(hosts, list) and all(isinstance(item, dict) for item in hosts):
        addresses = [item.get("address") for item in hosts]
        own = nodes.get("rank") if nodes.get("balancing", "internal") != "internal" else 0
        place = own if isinstance(own, int) and 0 <= own < len(addresses) else 0
        filled["bind"] = addresses[place] or "0.0.0.0"
    elif filled.get("bind") is None:
        filled["bind"] = "0.0.0.0"
    return filled


EngineArgs = Annotated[dict[str, Any], BeforeValidator(_engine_args)]
RequestDefaults = Annotated[dict[str, Any], BeforeValidator(_request_defaults)]


class ServerSpec(Declaration):
    """One entry of ``vllm_servers``."""

    model: Text = Field(
        description="Model: an id on the Hugging Face Hub, or the path of a directory or GGUF file on the host.",
        examples=["Qwen/Qwen3-0.6B"],
    )
    revision: Text | None = Field(
        default=None, description="Branch, tag or commit on the Hub. The commit it stands for is what runs."
    )
    tokenizer: Text | None = Field(default=None, description="Tokenizer, if not the model's: Hub id or path.")
    served_model_name: Texts = Field(
        default=[],
        description="Names that clients use; the first one is asked for a token. Default: the server's name.",
    )
    hub_cache: Path | None = Field(
        default=None,
        description="Hub cache of the host, mounted read-only when O(offline), writable otherwise. Default for models "
        "and tokenizers of the Hub: C(/root/.cache/huggingface/hub).",
    )
    offline: bool = Field(default=False, description="Whether the server may not ask the Hub for anything.")
    vllm_version: Text | None = Field(
        default=None, description="Release of vLLM in the image, when the image cannot tell (own builds)."
    )
    bind: Address = Field(default="127.0.0.1", description="Address of the host to listen on.")
    server_port: Integer = Field(default=8000, ge=1, le=65535, description="Port of the host to listen on.")
    engine_args: EngineArgs = Field(
        default={}, description="vLLM's own arguments by their names in any release, with C(-) or C(_)."
    )
    request_defaults: RequestDefaults = Field(
        default={}, description="Sampling defaults of requests: " + ", ".join(REQUEST_DEFAULTS) + "."
    )
    engine: Literal["auto", "v0", "v1"] = Field(
        default="auto",
        description="Generation of vLLM's engine. V(v0) exists up to vLLM 0.10, V(v1) from 0.6.4 on and alone "
        "from 0.11 on; V(auto) is what the release takes by itself.",
    )
    model_runner: Literal["auto", "v1", "v2"] = Field(
        default="auto",
        description="Model runner inside of the V1 engine. V(v2) exists from vLLM 0.12 on; V(auto) is what the release "
        "takes by itself (from 0.22 on by the model).",
    )
    debug: Debug = Field(default=Debug(), description="What the server tells about itself, to look into a problem.")
    nccl: Nccl | None = Field(
        default=None,
        description="How the GPUs of the server talk to each other. What is set is written where NCCL, torch and vLLM "
        "read it; an empty mapping derives everything from the host.",
    )
    nodes: Nodes | None = Field(
        default=None,
        description="Hosts of the inventory that the model spans, in the order of their ranks, as a list or with "
        "options. The same declaration holds for all of them; parallel sizes are those of the whole.",
    )
    entrypoint: Texts | None = Field(
        default=None, min_length=1, description="Program that takes the arguments. Default: the image's."
    )
    share_gpus: bool = Field(
        default=False,
        description="Whether other servers may have the same GPUs: each of them says so. They start one after the "
        "other, also when the host boots, because vLLM measures the free memory while it starts.",
    )
    restart_when_hung: bool = Field(
        default=False, description="Whether a server that runs but gives no token any more is restarted."
    )
    drain_timeout: Seconds = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="Seconds that requests in flight have to finish when the server is stopped. Rendered as "
        "C(--shutdown-timeout) from vLLM 0.18 on; older releases finish them until they are killed. V(0) cuts "
        "them off.",
    )
    warm_cache: bool = Field(
        default=True,
        description="Whether weights are read into the page cache before a running server is stopped, as far as "
        "memory is available.",
    )
    prove: Literal["none", "image", "model"] = Field(
        default="none",
        description="V(image) lets the image's own parser read the command line before anything is stopped, in a "
        "one-off container without GPU and network. Once for an image and command line, 10 to 60 seconds. V(model) "
        "also lets it load the model's configuration and tokenizer there, with the model mounted read-only. Once for "
        "an image and model.",
    )
    probe: Probe = Field(default=Probe(), description="What must be answered before the server counts as ready.")

    @field_validator("model")
    @classmethod
    def _model(cls, value: str) -> str:
        if value.startswith(("~", "./", "../")):
            raise Problem(f"{value!r} is a relative path", "Write the path from /")
        hub = re.match(r"https://(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)", value)
        if hub:
            raise Problem(f"{value!r} is an address, not an id", f"Write {hub[1]}")
        if not value.startswith("/") and not _HUB_ID.match(value):
            raise Problem(
                f"{value!r} is neither an id on the Hub nor a path from /", "Write organisation/name, or /path"
            )
        return value.rstrip("/") or value

    @field_validator("vllm_version")
    @classmethod
    def _version(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"v?[0-9]{1,6}\.[0-9]{1,6}", value):
            raise Problem(f"{value!r} is not a version", 'Write it as "0.32.0", quoted')
        return value.removeprefix("v") if value else value

    @field_validator("served_model_name")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        for index, item in enumerate(value):
            if item in value[:index]:
                raise Problem(f"{item!r} is named twice", "Name it once", at=(index,))
        return value

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_other_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        filled = dict(value)
        if not filled.get("served_model_name") and isinstance(filled.get("name"), str):
            filled["served_model_name"] = [filled["name"]]
        named = [filled.get("model"), filled.get("tokenizer")]
        on_hub = any(isinstance(name, str) and name and not name.startswith("/") for name in named)
        if filled.get("hub_cache") is None and on_hub:
            filled["hub_cache"] = DEFAULT_HUB_CACHE
        if filled.get("share_gpus") is True and isinstance(filled.get("accept") or [], list):
            filled["accept"] = list(dict.fromkeys([*(filled.get("accept") or []), "gpu.shared"]))
        if filled.get("nodes"):
            filled = _across_hosts(filled)
        return filled

    @model_validator(mode="after")
    def _fits_together(self) -> ServerSpec:
        problems: list[Problem] = []
        if self.revision and self.model_kind == "path":
            problems.append(Problem("has no meaning for a path", "Delete it", at=("revision",)))
        if self.request_defaults and "override_generation_config" in self.engine_args:
            problems.append(
                Problem(
                    "is set in engine_args.override_generation_config too",
                    "Write one of them",
                    at=("request_defaults",),
                )
            )
        problems += self._nodes_fit()
        if self.network == "none":
            problems.append(Problem("leaves the server without any network", "Write bridge or host", at=("network",)))
        if problems:
            raise Problems(problems)
        return self

    def _nodes_fit(self) -> list[Problem]:
        if self.nodes is None:
            return []
        why = "is decided by nodes for each host"
        problems = [
            Problem(why, "Delete it", code="argument.reserved", at=("engine_args", name))
            for name in self.engine_args
            if name in DECIDED
        ]
        if self.network in ("bridge", "none"):
            text = "keeps the ranks on other hosts out: they talk on ports that nobody knows before"
            problems.append(Problem(text, "Write network: host, or leave it out", at=("network",)))
        if self.bind in ("127.0.0.1", "::1"):
            text = "cannot be asked by the other hosts, which wait for the first token together"
            problems.append(Problem(text, "Leave it out, or write 0.0.0.0", at=("bind",)))
        return problems

    @property
    def kind(self) -> str:
        """Value of the label that tells servers from containers."""
        return "server"

    @property
    def model_kind(self) -> Literal["hub", "path"]:
        """Whether the model is named by its id on the Hub, or by a path of the host."""
        return "path" if self.model.startswith("/") else "hub"

    @property
    def headless(self) -> bool:
        """Whether this is a further node of a model that another host answers for: it has no port at all."""
        if self.nodes is not None and self.nodes.place > 0:
            data = self.engine_args.get("data_parallel_size", self.engine_args.get("dp", 1))
            return self.nodes.balancing == "internal" or str(data) == "1"
        return self.engine_args.get("headless") is True

    @property
    def scheme(self) -> Literal["http", "https"]:
        """How clients reach it."""
        return "https" if self.engine_args.get("ssl_certfile") else "http"

    def pools(self, architectures: list[str] | None = None) -> bool:
        """Whether the server only pools (embeddings, scores, classes), so that no completion can be asked of it.

        :param architectures: ``architectures`` of the model's config.json, for when the arguments leave it open
        """
        arguments = self.engine_args
        runner = arguments.get("runner", "auto")
        if runner != "auto":
            return bool(runner == "pooling")
        if arguments.get("task") in _POOLING_TASKS or arguments.get("convert") in ("embed", "classify", "reward"):
            return True
        first = (architectures or [""])[0]
        return not first.endswith(_GENERATING) and first.endswith(_POOLING)

    def published(self) -> list[tuple[str, int]]:
        """Address and port of everything that the host publishes."""
        return [] if self.headless else [(self.bind, self.server_port)]

    @property
    def drain(self) -> float:
        """Seconds that requests in flight have: as vLLM's own argument says, else as the field does."""
        own = self.engine_args.get("shutdown_timeout")
        return float(own) if isinstance(own, (int, float)) and not isinstance(own, bool) else self.drain_timeout

    @property
    def effective_stop_timeout(self) -> float:
        """Longer than the drain: what ends by itself must not be killed while it does."""
        return max(self.stop_timeout, self.drain + DRAIN_MARGIN if self.drain else 0.0)


#: Re-exported for whoever walks a declaration.
__all__ = [
    "DEFAULT_HUB_CACHE",
    "REFUSED_ARGUMENTS",
    "REQUEST_DEFAULTS",
    "RESERVED_ARGUMENTS",
    "Mount",
    "ServerSpec",
    "argument_name",
    "looks_secret",
]
