# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""Loads configuration and tokenizer of a model as the vLLM that is installed here does, without weights and network.

What files alone cannot decide is decided here: whether this Transformers knows the model's type, whether code that
comes with it imports, whether the tokenizer's files make a tokenizer that yields tokens.
"""

from __future__ import annotations

import importlib
from typing import Any


def _found(*places: str) -> Any:
    """The first of ``module:name`` that can be imported; releases moved these functions."""
    problem: Exception | None = None
    for place in places:
        module, _colon, name = place.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            problem = problem or error
    raise LookupError(f"none of {', '.join(places)} can be imported: {problem}")


def prove(asked: dict[str, Any]) -> dict[str, Any]:
    """``{"error": None | text, "step", …}``: what a start would say of configuration and tokenizer.

    :param asked: ``model``, ``revision``, ``tokenizer``, ``tokenizer_revision``, ``tokenizer_mode``, ``config``,
        ``trust_remote_code``
    """
    trust = bool(asked.get("trust_remote_code"))
    step = "configuration"
    answer: dict[str, Any] = {"error": None}
    try:
        get_config = _found("vllm.transformers_utils.config:get_config")
        place = asked.get("config") or asked["model"]
        config = get_config(place, trust_remote_code=trust, revision=asked.get("revision"))
        answer["model_type"] = getattr(config, "model_type", None)
        if asked.get("tokenizer"):
            step = "tokenizer"
            get_tokenizer = _found(
                "vllm.tokenizers:get_tokenizer",
                "vllm.transformers_utils.tokenizer:get_tokenizer",
            )
            more = {"tokenizer_mode": asked["tokenizer_mode"]} if asked.get("tokenizer_mode") else {}
            tokenizer = get_tokenizer(
                asked["tokenizer"], trust_remote_code=trust, revision=asked.get("tokenizer_revision"), **more
            )
            tokens = tokenizer.encode("The quick brown fox")
            answer["tokens"] = len(tokens)
            if len(tokens) < 1:
                raise ValueError("it makes no tokens of a sentence, so its files are missing or empty")
    except BaseException as error:
        text = (str(error).strip().splitlines() or [""])[0]
        answer.update(error=f"{type(error).__name__}: {text}"[:1500], step=step)
    return answer
