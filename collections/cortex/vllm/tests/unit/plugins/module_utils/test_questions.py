# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a probe asks is sent as it is, and its answer is compared with what was expected."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import probing


def text(content):
    return {"choices": [{"text": content}]}


def call(name, arguments):
    return {"choices": [{"message": {"tool_calls": [{"function": {"name": name, "arguments": arguments}}]}}]}


JSON = {"kind": "json", "keys": ["ok"]}
REGEX = {"kind": "regex", "pattern": "(yes|no)"}
CHOICE = {"kind": "choice", "choices": ["yes", "no"]}
TOOL = {"kind": "tool_call", "name": "report"}


@pytest.fixture
def answers(monkeypatch):
    """``answers(body, status)`` is what the next question gets; what was asked stands in ``asked``."""
    asked = []

    def prepare(body, status=200):
        def ask(probe, path, key, timeout, body_=None):
            asked.append((path, body_))
            return status, json.dumps(body).encode()

        monkeypatch.setattr(probing, "ask", ask)
        return asked

    return prepare


@pytest.mark.parametrize(
    "expect, body, good",
    [
        (JSON, text('{"ok": true}'), '{"ok": true}'),
        (JSON, text('{"ko": true}'), None),
        (JSON, text('{"ok": tr'), None),
        (JSON, text("3"), None),
        (REGEX, text(" yes\n"), " yes\n"),
        (REGEX, text("yes, it is"), None),
        (CHOICE, text("no"), "no"),
        (CHOICE, text("maybe"), None),
        (TOOL, call("report", '{"ok": true}'), 'report({"ok": true})'),
        (TOOL, call("other", "{}"), None),
        (TOOL, call("report", "{"), None),
        (TOOL, call("report", "3"), "report(3)"),
        (TOOL, {"choices": [{"message": {"content": "I report", "tool_calls": None}}]}, None),
        ({"kind": "embedding"}, {"data": [{"embedding": [0.1, 2]}]}, "2 numbers"),
        ({"kind": "embedding"}, {"data": [{"embedding": []}]}, None),
        ({"kind": "score"}, {"data": [{"score": 0.5}]}, "0.5"),
        ({"kind": "score"}, {"data": [{"score": None}]}, None),
        ({"kind": "score"}, {"data": []}, None),
        ({"kind": "score"}, [], None),
    ],
)
def test_an_answer_is_what_was_expected_or_it_is_not(answers, expect, body, good):
    asked = answers(body)
    question = {"path": "/v1/x", "body": {"model": "chat"}, "expect": expect}
    said, why, dying = probing.token({"served_name": "chat", "ask": question}, None)
    assert asked == [("/v1/x", {"model": "chat"})]
    assert said == good and not dying
    assert (why is None) is (good is not None)
    if good is None:
        assert why.startswith("/v1/x answered 200 without what was asked for ({0})".format(expect["kind"]))


def test_without_a_question_one_token_is_asked_for(answers):
    asked = answers(text(" there"))
    assert probing.token({"served_name": "chat"}, None) == (" there", None, False)
    assert asked == [("/v1/completions", {"model": "chat", "prompt": "Hello", "max_tokens": 1, "temperature": 0})]


def test_a_refusal_names_the_path(answers):
    answers({"error": "no parser"}, 400)
    question = {"path": "/v1/chat/completions", "body": {}, "expect": TOOL}
    assert probing.token({"ask": question}, None) == (
        None, '/v1/chat/completions answered 400: {"error": "no parser"}', False
    )  # fmt: skip
