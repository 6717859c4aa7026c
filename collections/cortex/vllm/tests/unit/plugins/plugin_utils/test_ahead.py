# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a declaration will meet in the releases after its own."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, converge, rendering, spec, status
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils import host_double as double

BASE: dict[str, Any] = {"image": "vllm/vllm-openai:latest", "model": "Qwen/Qwen3-0.6B", "name": "chat"}
NEWEST = catalog.versions()[-1]


def rows(version: str, **fields: Any) -> list[dict[str, Any]]:
    release = catalog.release(version)
    assert release is not None
    (made,) = spec.load([{**BASE, **fields}])
    return rendering.ahead(made, release)


def short(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["setting"], row["release"], row["kind"]) for row in found]


@pytest.mark.parametrize(
    "version, fields, expected",
    [
        # Deprecated, then rewritten by the collection: two things to know.
        (
            "0.11.0",
            {"engine_args": {"cuda_graph_sizes": [1, 2]}},
            [("engine_args.cuda_graph_sizes", "0.11.1", "deprecated"),
             ("engine_args.cuda_graph_sizes", "0.13", "rewritten")],
        ),
        ("0.10.0", {"engine_args": {"disable_log_requests": True}},
         [("engine_args.disable_log_requests", "0.10.1.1", "rewritten")]),
        # Gone, with nothing that does the same.
        ("0.17.1", {"engine_args": {"swap_space": 4}}, [("engine_args.swap_space", "0.18", "removed")]),
        # A value that a newer release does not take any more.
        ("0.13.0", {"engine_args": {"quantization": "deepspeedfp"}}, [("engine_args.quantization", "0.14", "refused")]),
        # Variables.
        ("0.10.2", {"env": {"VLLM_USE_V1": "1"}}, [("env.VLLM_USE_V1", "0.11.1", "removed")]),
        ("0.14.1", {"env": {"VLLM_ATTENTION_BACKEND": "FLASH_ATTN"}},
         [("env.VLLM_ATTENTION_BACKEND", "0.15", "removed")]),
        ("0.10.2", {"engine": "v0"}, [("engine", "0.11", "refused")]),
        # What stays, and what the newest release has only just got.
        ("0.6.0", {"engine_args": {"max_model_len": 8192, "seed": 1}}, []),
        (NEWEST, {"engine_args": {"swap_space": 4}}, []),
    ],
)  # fmt: skip
def test_what_comes_is_told_where_it_begins(
    version: str, fields: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    assert short(rows(version, **fields)) == expected


def test_each_row_says_what_to_do_and_until_when() -> None:
    deprecated, rewritten = rows("0.11.0", engine_args={"cuda_graph_sizes": [1, 2]})

    assert "will be removed in v0.13.0" in deprecated["message"]
    assert (deprecated["until"], rewritten["until"]) == ("0.12.0", None)
    assert rewritten["message"] == "vLLM 0.13 calls it cudagraph_capture_sizes: [1, 2]"
    # Once it is gone it is written anew by itself, so that nothing is to be done before either.
    assert deprecated["fix"] == rewritten["fix"] == "Nothing: it is written so for you"
    assert rewritten["field"] == "vllm_servers[chat].engine_args.cuda_graph_sizes"


def test_no_message_speaks_of_an_image_that_nobody_has() -> None:
    found = rows("0.8.5.post1", engine_args={"swap_space": 4, "task": "embed"}, env={"VLLM_USE_V1": "1"}, engine="v0")

    assert len(found) > 4
    assert not [row for row in found if "the image has" in row["message"]]


def test_what_is_true_today_is_not_told_again() -> None:
    """The findings of the release itself are the plan's; only news is told."""
    assert rows("0.32.0", engine_args={"swap_space": 4, "guided_decoding_backend": "xgrammar"}) == []


@pytest.mark.parametrize("version", catalog.versions())
def test_what_is_foretold_is_what_that_release_says(version: str) -> None:
    """Each removal that is foretold is an error of the release that it names, and of none between."""
    declared = {"swap_space": 4, "enable_reasoning": True, "rope_theta": 1e6, "num_lookahead_slots": 2}
    for row in rows(version, engine_args=declared):
        if row["kind"] != "removed":
            continue
        name = next(item for item in catalog.versions() if catalog.since(item) == row["release"])
        (made,) = spec.load([{**BASE, "engine_args": declared}])
        release = catalog.release(name)
        assert release is not None
        said = [item for item in rendering.arguments(made, release).findings if item.field == row["field"]]
        assert row["code"] in {item.code for item in said}


def test_the_table_names_setting_release_and_what_to_do() -> None:
    lines = status.ahead_table(rows("0.17.1", engine_args={"swap_space": 4}))

    assert lines[0].split() == ["SERVER", "SETTING", "FROM", "WHAT", "WHY", "DO"]
    assert lines[1].split()[:4] == ["chat", "engine_args.swap_space", "0.18", "removed"]
    assert lines[1].endswith("Delete it: the V1 engine has ignored it since 0.8")


def test_a_plan_in_check_mode_carries_it_and_others_do_not_look() -> None:
    host = double.Host()
    host.images[double.IMAGE] = double.image_entry(version="0.17.1")
    declared = {"chat": double.server(engine_args={"swap_space": 4})}

    foretold, blind = host.plan(declared, ahead=True), host.plan(declared)

    assert [row["kind"] for row in foretold.result()["servers"]["chat"]["ahead"]] == ["removed"]
    assert "ahead" not in blind.result()["servers"]["chat"]
    lines = converge.ahead_lines("gpu1", foretold)
    assert lines[0] == f"[gpu1] what releases up to vLLM {NEWEST} will say to these declarations:"
    assert "engine_args.swap_space" in lines[2]
    assert converge.ahead_lines("gpu1", blind) == []
    (said,) = converge.ahead_lines("gpu1", host.plan({"chat": double.server()}, ahead=True))
    assert said == f"[gpu1] releases up to vLLM {NEWEST}: nothing else to say to these declarations"


def test_it_is_cheap() -> None:
    """A thousand declarations for the oldest release with all newer ones: a check of a fleet does not wait for it."""
    release = catalog.release("0.8.5.post1")
    assert release is not None
    made = spec.load({
        f"chat{number}": {
            "image": "x:1", "model": "a/b", "server_port": 8000 + number,
            "engine_args": {"swap_space": 4, "max_model_len": number + 1, "task": "embed", "seed": number},
        }
        for number in range(20)
    })  # fmt: skip
    rendering.ahead(made[0], release)

    begin = time.process_time()
    for one in made:
        rendering.ahead(one, release)
    assert (time.process_time() - begin) / len(made) < 0.1
