# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which question proves which ability, in the words of each release."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import ImageFacts, asking


def rendered(version: str, request: str, **fields: Any) -> Any:
    release = catalog.release(version)
    assert release is not None
    declared = {"name": "chat", "image": "x", "model": "o/m", "probe": {"request": request}, **fields}
    (made,) = spec.load([declared])
    return rendering.render(made, ImageFacts.assumed("x", version), release, [], "/s", None, "0" * 32, {})


@pytest.mark.parametrize(
    "version, request_, key, value",
    [
        ("0.33.0", "json_schema", "structured_outputs", {"json": asking.SCHEMA}),
        ("0.12.0", "regex", "structured_outputs", {"regex": "(yes|no)"}),
        ("0.11.2", "regex", "guided_regex", "(yes|no)"),
        ("0.6.3.post1", "json_schema", "guided_json", asking.SCHEMA),
        ("0.32.0", "choice", "structured_outputs", {"choice": ["yes", "no"]}),
        ("0.32.0", "grammar", "structured_outputs", {"grammar": 'root ::= "yes" | "no"'}),
        ("0.6.0", "grammar", "guided_grammar", 'start: "yes" | "no"'),
    ],
)
def test_structured_answers(version: str, request_: str, key: str, value: Any) -> None:
    ask = rendered(version, request_).probe["ask"]
    assert ask["path"] == "/v1/completions" and ask["body"]["model"] == "chat"
    assert ask["body"][key] == value
    assert not [name for name in ask["body"] if name.startswith("guided_") and name != key]


def test_a_tool_call_is_asked_by_name() -> None:
    ask = rendered("0.32.0", "tool_call").probe["ask"]
    assert ask["path"] == "/v1/chat/completions"
    assert ask["body"]["tool_choice"]["function"]["name"] == ask["expect"]["name"]
    assert ask["body"]["tools"][0]["function"]["parameters"] == asking.SCHEMA


@pytest.mark.parametrize("request_, path", [("embedding", "/v1/embeddings"), ("score", "/score")])
def test_pooling(request_: str, path: str) -> None:
    result = rendered("0.32.0", request_, engine_args={"runner": "pooling"})
    assert result.probe["ask"]["path"] == path and result.probe["request"] == request_
    assert not result.findings


@pytest.mark.parametrize("request_", ["auto", "completion", "none"])
def test_the_plain_ones_bring_no_question(request_: str) -> None:
    assert "ask" not in rendered("0.32.0", request_).probe


@pytest.mark.parametrize(
    "version, request_, arguments",
    [
        ("0.6.0", "score", {}),
        ("0.32.0", "tool_call", {"runner": "pooling"}),
        ("0.32.0", "completion", {"convert": "embed"}),
        ("0.32.0", "embedding", {"runner": "generate"}),
        ("0.32.0", "regex", {"headless": True}),
    ],
)
def test_what_the_server_could_never_answer(version: str, request_: str, arguments: dict[str, Any]) -> None:
    (finding,) = rendered(version, request_, engine_args=arguments).findings
    assert (finding.code, finding.severity) == ("probe.unavailable", "error")


def test_every_release_has_the_paths_that_are_asked() -> None:
    for version in catalog.versions():
        release = catalog.release(version)
        assert release is not None
        kinds = [*asking.GENERATING, "embedding"] + (["score"] if asking.score_path(release) else [])
        for kind in kinds:
            question = asking.ask(kind, "chat", release)
            assert question is None or not release.endpoints or question["path"] in release.endpoints, (version, kind)
