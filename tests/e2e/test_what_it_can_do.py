# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real vLLM: structured answers and tool calls, drafting from the prompt, and arguments proven by the image itself.

Last of the end-to-end tests by its name: the others begin on a host without a server. Run by ./test --all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import CONTAINER, SERVER, Host, docker

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4, "prompt_lookup_min": 2}


#: A model of random weights would write white space for ever where a schema allows it.
ABLE = {
    "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
}


@pytest.fixture(autouse=True)
def as_it_was(host: Host) -> Iterator[None]:
    """Each test declares what it likes."""
    kept = host.kept()
    yield
    host.servers[SERVER] = kept


def converge(host: Host, *arguments: str) -> Any:
    run = host.run(None, *arguments)
    assert run.code == 0, run.text
    assert run.answer is not None
    return run.answer


def ready(host: Host, request: str) -> Any:
    """What task ``ready`` says about an ability."""
    path = host.folder / "ready.yml"
    path.write_text(
        f"""
- hosts: vllm
  gather_facts: false
  tasks:
    - cortex.vllm.ready: {{name: {SERVER}, request: {request}, state_dir: "{{{{ vllm_state_dir }}}}"}}
      register: answer
    - ansible.builtin.copy: {{content: "{{{{ answer | to_json }}}}", dest: "{{{{ inventory_dir }}}}/answer.json"}}
      delegate_to: localhost
      vars: {{ansible_python_interpreter: {sys.executable}}}
""",
        encoding="utf-8",
    )
    run = host.run(path)
    assert run.code == 0, run.text
    return run.answer


def metric(host: Host, name: str) -> float:
    """A counter of /metrics, over all its labels."""
    status, text = host.request("GET", "/metrics")
    assert status == 200
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", str(text), re.MULTILINE))


def test_it_drafts_from_the_prompt_and_answers_the_same(host: Host) -> None:
    host.declare(state=None, engine_args={"max_model_len": 512})
    converge(host)
    plain = host.complete(host.api_key)[1]["choices"][0]["message"]["content"]

    host.declare(engine_args={"speculative_config": NGRAM})
    converge(host)
    status, answer = host.complete(host.api_key)
    repeated = {"model": SERVER, "prompt": "one two three four " * 12, "max_tokens": 64, "temperature": 0}
    assert host.request("POST", "/v1/completions", repeated, host.api_key)[0] == 200

    assert status == 200 and answer["choices"][0]["message"]["content"] == plain
    assert metric(host, "vllm:spec_decode_num_draft_tokens_total") > 0


@pytest.mark.parametrize("request_, telling", [
    ("json_schema", '"ok"'), ("regex", r"^(yes|no)$"), ("grammar", r"^(yes|no)$"), ("choice", r"^(yes|no)$"),
    ("tool_call", r"^report\(.+\)$"), ("completion", ""),
])  # fmt: skip
def test_it_gives_structured_answers_and_calls_tools(host: Host, request_: str, telling: str) -> None:
    host.declare(state=None, engine_args=ABLE)
    converge(host)

    answer = ready(host, request_)

    assert (answer["ready"], answer["state"], answer["changed"]) == (True, "ready", False)
    assert re.search(telling, answer["token"].strip()), answer["token"]


def test_a_server_is_only_ready_when_it_gives_a_schema(host: Host) -> None:
    """The probe of a declaration is what the transaction waits for."""
    host.declare(state=None, probe={"request": "json_schema"}, engine_args={**ABLE, "max_model_len": 448})

    answer = converge(host)

    assert '"ok"' in answer["servers"][SERVER]["token"]


def test_arguments_are_proven_by_the_image_once(host: Host) -> None:
    host.declare(state=None, prove="image", engine_args={"max_model_len": 320})
    first = converge(host)
    second = converge(host)
    host.declare(engine_args={"max_model_len": 336})
    third = converge(host)
    host.declare(engine_args={"max_model_len": 320})
    again = host.run()

    assert "asked whether it takes these arguments" not in host.run().text
    assert second["changed"] is False and second["remote_calls"] == 1
    assert not [item for item in first["findings"] if item["code"].startswith("argument.")]
    # The way back was proven before: only what was new was asked.
    assert again.code == 0 and "asked whether" not in again.text
    assert third["changed"] is True


def test_what_only_the_images_own_parser_refuses_is_refused_before_anything_stops(host: Host) -> None:
    """Keys of JSON options are known per release, the types of their values are not; the image knows them."""
    host.declare(state=None)
    converge(host)
    before = host.container()["Id"]
    host.declare(prove="image", engine_args={"compilation_config": {"cudagraph_capture_sizes": "many"}})

    first = host.run()
    second = host.run()

    for run in (first, second):
        assert run.code != 0
        assert "cudagraph_capture_sizes" in run.text and "argument.refused" in str(run.answer)
    # Asked once: the second run has the answer with its first look.
    assert first.answer and second.answer
    assert (first.answer["remote_calls"], second.answer["remote_calls"]) == (2, 1)
    assert host.container()["Id"] == before and host.complete(host.api_key)[0] == 200
    assert not docker("ps", "-aq", "--filter", f"name=^/{CONTAINER}.*(look|asked)").split()


def test_absent_again(host: Host) -> None:
    host.declare(state="absent")
    converge(host)
    assert host.containers() == []
