# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The two free mappings of a declaration, ``engine_args`` and ``request_defaults``: which keys may stand there."""

from __future__ import annotations

import re
from typing import Annotated, Any

from .._pydantic import BeforeValidator
from .values import Problem, Problems

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


EngineArgs = Annotated[dict[str, Any], BeforeValidator(_engine_args)]
RequestDefaults = Annotated[dict[str, Any], BeforeValidator(_request_defaults)]
