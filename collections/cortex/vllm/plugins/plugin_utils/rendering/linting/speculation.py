# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Speculative decoding: the method in this release, the draft within reach, the number of tokens.

Sources: vllm/config/speculative.py (``SpeculativeMethod``, ``__post_init__``; before 0.11 vllm/config.py), and
``_raise_or_fallback`` for draft models in vllm/engine/arg_utils.py 0.10.0 to 0.14.1.
"""

from __future__ import annotations

from typing import Any

from ... import catalog
from .subject import Findings, Subject

#: Methods that need a model of their own beside the target; with the others the target drafts, or the text does.
NEED_MODEL = frozenset({"draft_model", "eagle", "eagle3", "medusa", "mlp_speculator", "dflash", "dspark"})
#: Methods whose number of tokens no configuration of a draft can say.
NEED_TOKENS = frozenset({"ngram", "ngram_gpu", "draft_model"})
NAME = "speculative_config"


def check(subject: Subject) -> Findings:
    """Source: see above; each message is about what would end the start after minutes of loading."""
    wanted, name = _wanted(subject)
    if not wanted and subject.value(NAME) is None:
        return
    method, model = wanted.get("method"), wanted.get("model")
    for key, value in (("method", method), ("model", model)):
        if value is not None and not isinstance(value, str):
            yield subject.about("speculation.method", "error", f"{key} is not text", f"Write {key}: a name", name)
            return
    if method is None and model is None:
        text = "says neither which method nor which model drafts"
        yield subject.about("speculation.method", "error", text, "Write method: ngram, or model", name)
        return
    known = subject.release.speculative_methods
    if method is not None and known and not subject.older("0.8.5") and method not in known:
        text = f"{subject.version} has no method {method!r}{_elsewhere(str(method), subject.release.version)}"
        yield subject.about("speculation.method", "error", text, f"Write one of {', '.join(known)}", name)
        return
    if method in NEED_MODEL and not model:
        text = f"{method} needs a model that drafts"
        yield subject.about("speculation.draft-model", "error", text, "Write model: its id or path", name)
    if not subject.older("0.10.0") and subject.older("0.15") and (method == "draft_model" or method is None):
        text, severity = f"{subject.version} refuses draft models; they work up to 0.9 and from 0.15 on", "error"
        if method is None and "eagle" in str(model).lower():  # the name alone says it (SpeculativeConfig)
            text = ""
        elif method is None:  # what the draft is, its own configuration says (SpeculativeConfig.__post_init__)
            text, severity = f"{text}: the draft must be of another kind (eagle, medusa, mtp)", "warning"
        fix = "Write method: eagle3 or ngram, or use 0.15"
        if text:
            yield subject.about("speculation.method", severity, text, fix, name)  # type: ignore[arg-type]
    yield from _tokens(subject, wanted, str(method or ""), name)
    yield from _within_reach(subject, str(model) if model and model != method else "", name)


def _wanted(subject: Subject) -> tuple[dict[str, Any], str]:
    """What is asked, as ``speculative_config`` says it, and the argument that says it."""
    inner = subject.inner(NAME)
    if inner:
        return inner, NAME
    model = subject.value("speculative_model") if subject.older("0.8.3") else None
    if model is None:
        return {}, NAME
    found: dict[str, Any] = {"num_speculative_tokens": subject.value("num_speculative_tokens")}
    found |= {"method": "ngram"} if model == "[ngram]" else {"model": model}
    return found, "speculative_model"


def _elsewhere(method: str, version: str) -> str:
    """Which releases have the method."""
    having = [name for name in catalog.versions() if method in _methods(name)]
    if not having:
        return ""
    key = catalog.version_key(version)
    newer = [name for name in having if catalog.version_key(name) > key]
    return f"; {newer[0]} has it" if newer else f"; {having[-1]} was the last to have it"


def _methods(version: str) -> tuple[str, ...]:
    release = catalog.release(version)
    return release.speculative_methods if release is not None else ()


def _tokens(subject: Subject, wanted: dict[str, Any], method: str, name: str) -> Findings:
    tokens = wanted.get("num_speculative_tokens")
    if tokens is None:
        if method in NEED_TOKENS or (not method and wanted.get("model")):
            text = "does not say how many tokens are drafted at a time"
            severity: Any = "error" if method in NEED_TOKENS else "info"
            yield subject.about("speculation.tokens", severity, text, "Write num_speculative_tokens: 3 … 5", name)
        return
    whole = isinstance(tokens, int) and not isinstance(tokens, bool)
    if not (whole or (isinstance(tokens, str) and tokens.isdigit())) or int(tokens) < 1:
        text = f"num_speculative_tokens is {tokens!r}, not a whole number above 0"
        yield subject.about("speculation.tokens", "error", text, "Write num_speculative_tokens: 3 … 5", name)
    elif int(tokens) > 16 and method in ("ngram", "draft_model", "eagle", "eagle3"):
        text = f"{tokens} tokens are drafted at a time; the later ones are nearly always thrown away"
        yield subject.about("speculation.tokens", "warning", text, "Write num_speculative_tokens: 3 … 5", name)


def _within_reach(subject: Subject, model: str, name: str) -> Findings:
    """The draft is not what the collection mounts by itself: it must be in the hub cache or under a mount."""
    spec = subject.spec
    if not model:
        return
    if model.startswith("/"):
        seen = [mount.target for mount in spec.mounts] + ([spec.model] if spec.model_kind == "path" else [])
        if not any(model == path or model.startswith(f"{path}/") for path in seen):
            text = f"the container does not see the draft {model}"
            yield subject.about("speculation.draft-model", "error", text, f"Write it under mounts: [{model}]", name)
    elif spec.offline and spec.hub_cache is None:
        text = f"the server is offline and has no hub cache, and {model} is an id on the Hub"
        yield subject.about("speculation.draft-model", "error", text, "Write hub_cache, or the path of the draft", name)
