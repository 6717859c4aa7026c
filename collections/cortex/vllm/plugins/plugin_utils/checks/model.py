# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The model: complete on the host, before anything is stopped for it."""

from __future__ import annotations

from .context import Findings, Server

_WORDS = {
    "absent": ("model.absent", "is not on the host"),
    "incomplete": ("model.incomplete", "is not complete on the host"),
    "unreadable": ("model.unreadable", "cannot be read on the host"),
}


def check(server: Server) -> Findings:
    """What the first look at files found (hub cache layout: huggingface_hub; shards: ``*.safetensors.index.json``).

    A server that may download (not offline) only gets a warning about an absent hub model.
    """
    model, spec = server.model, server.spec
    if not model or model.get("status") == "complete":
        return
    code, words = _WORDS.get(str(model.get("status")), ("model.unreadable", f"is {model.get('status')}"))
    problems = list(model.get("problems") or ())
    may_download = not getattr(spec, "offline", True) and not str(spec.model).startswith("/")
    severity = "warning" if may_download and code != "model.unreadable" else "error"
    for problem in problems or [{}]:
        path, text = str(problem.get("path") or ""), str(problem.get("message") or f"{spec.model} {words}")
        fix = str(problem.get("fix") or "Fetch it on the host (cortex.vllm.model_info shows what is missing).")
        yield server.finding(
            str(problem.get("code") or code),
            severity,
            text if not path or path in text else f"{text} ({path})",
            "model",
            fix[:1].upper() + fix[1:],
            spec.model,
        )
