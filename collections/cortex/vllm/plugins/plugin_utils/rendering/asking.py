# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What a server is asked before it counts as ready, and what its answer must be: one question for each ability.

The target only sends and compares; how a release wants to be asked is decided here. Up to 0.11 requests said
``guided_json`` and its kin, from 0.12 on ``structured_outputs`` (vllm/entrypoints/openai/protocol.py of 0.11.2 and
0.12.0). Structured answers are asked of ``/v1/completions``, which needs no chat template.
"""

from __future__ import annotations

from typing import Any

from ..catalog import Release, version_key

#: Schema whose answers are short whatever the model.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
PATTERN = "(yes|no)"
CHOICES = ["yes", "no"]
TOOL = "report"
_PROMPT = "Is water wet? Answer: "
#: Tokens that an answer may take; white space between the words of a JSON answer is the model's to choose.
_LONGEST = 128
_GUIDED = {"json_schema": "json", "regex": "regex", "grammar": "grammar", "choice": "choice"}
#: Kinds that a server which only pools cannot answer, and those that only such a server answers.
GENERATING = ("completion", *_GUIDED, "tool_call")
POOLING = ("embedding", "score")
#: All but the plain completion.
QUESTIONS = (*GENERATING[1:], *POOLING)


def ask(kind: str, name: str, release: Release) -> dict[str, Any] | None:
    """``ask`` of PROBE: path, body, and what to expect.

    :param kind: as ``probe.request`` of a declaration
    :param name: that the server goes by
    :returns: None for kinds that ask for nothing, or for one token in the plainest way
    """
    if kind in _GUIDED:
        value, expect = _guided(kind, release)
        key = _GUIDED[kind]
        asked = {"structured_outputs": {key: value}} if _structured(release) else {f"guided_{key}": value}
        body = {"model": name, "prompt": _PROMPT, "max_tokens": _LONGEST, "temperature": 0, **asked}
        return {"path": "/v1/completions", "body": body, "expect": expect}
    if kind == "tool_call":
        function = {"name": TOOL, "description": "Report whether all is well.", "parameters": SCHEMA}
        body = {
            "model": name,
            "messages": [{"role": "user", "content": "Report that all is well."}],
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": TOOL}},
            "max_tokens": _LONGEST,
            "temperature": 0,
        }
        return {"path": "/v1/chat/completions", "body": body, "expect": {"kind": "tool_call", "name": TOOL}}
    if kind == "embedding":
        body = {"model": name, "input": "Hello"}
        return {"path": "/v1/embeddings", "body": body, "expect": {"kind": "embedding"}}
    if kind == "score":
        body = {"model": name, "text_1": "What is wet?", "text_2": "Water is wet."}
        return {"path": score_path(release) or "/score", "body": body, "expect": {"kind": "score"}}
    return None


def score_path(release: Release) -> str | None:
    """Where the release scores pairs of texts; None when it does not."""
    return next((path for path in ("/score", "/v1/score") if path in release.endpoints), None)


def _structured(release: Release) -> bool:
    return version_key(release.version) >= version_key("0.12")


def _guided(kind: str, release: Release) -> tuple[Any, dict[str, Any]]:
    if kind == "json_schema":
        return SCHEMA, {"kind": "json", "keys": ["ok"]}
    if kind == "regex":
        return PATTERN, {"kind": "regex", "pattern": PATTERN}
    if kind == "choice":
        return CHOICES, {"kind": "choice", "choices": CHOICES}
    # outlines, the only backend for grammars before 0.6.6, reads Lark; xgrammar and guidance read EBNF.
    old = version_key(release.version) < version_key("0.6.6")
    grammar = 'start: "yes" | "no"' if old else 'root ::= "yes" | "no"'
    return grammar, {"kind": "choice", "choices": CHOICES}
