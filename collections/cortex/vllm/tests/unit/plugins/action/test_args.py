# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rendering a command line without starting anything."""

from __future__ import annotations

import json
import subprocess
import typing as t
from unittest import mock

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible.errors import AnsibleActionFail

from ansible_collections.cortex.vllm.plugins.action import args
from ansible_collections.cortex.vllm.plugins.plugin_utils import argument_files
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import observed

CHAT = {"name": "chat", "model": "/models/x", "engine_args": {"max_model_len": 512}}


def test_a_version_needs_no_host(play: t.Any) -> None:
    played = play(args, [], **CHAT, vllm_version="0.32.0", secrets={"api_key": "sk-very-secret"})

    result = played.run()

    assert result["remote_calls"] == 0
    assert result["entrypoint"] == ["vllm", "serve"]
    assert result["command"].startswith("vllm serve /models/x --host")
    assert result["argv"][-4:] == ["--max-model-len", "512", "--shutdown-timeout", "20"]
    assert (result["vllm_version"], result["exact"], result["secret_names"]) == ("0.32.0", True, ["VLLM_API_KEY"])
    assert "sk-very-secret" not in json.dumps(result)


def test_a_question_about_arguments_needs_no_name(play: t.Any) -> None:
    result = play(args, [], model="/models/x", vllm_version="0.32.0", engine_args={"max_model_len": 512}).run()

    assert result["argv"][0] == "/models/x"


def test_an_image_is_asked_of_the_host_once(play: t.Any) -> None:
    entry = {"id": "sha256:1", "config": {"Entrypoint": ["python3", "-m", "vllm.entrypoints.openai.api_server"]}}
    known = {**entry, "known": {"vllm_version": "0.32.0", "source": "label"}}
    played = play(args, [observed(images={"x:1": known})], **CHAT, image="x:1")

    result = played.run()

    assert played.steps == ["observe"]
    assert played.request(0)["images"] == ["x:1"]
    assert result["argv"][:2] == ["--model", "/models/x"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (observed(), "image x:1 is not on gpu1"),
        (observed(engine={"status": "denied", "message": "permission denied"}), "cannot be asked: permission denied"),
    ],
)
def test_no_image_says_what_to_do(play: t.Any, answer: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said):
        play(args, [answer], **CHAT, image="x:1").run()


def test_an_unknown_argument_is_refused(play: t.Any) -> None:
    wrong = {**CHAT, "engine_args": {"max_modle_len": 1}}

    with pytest.raises(AnsibleActionFail, match=r"max_modle_len: .*Write max_model_len"):
        play(args, [], **wrong, vllm_version="0.32.0").run()


def test_a_file_is_written_by_the_copy_action(play: t.Any) -> None:
    played = play(args, [], **CHAT, vllm_version="0.32.0", dest="/x/run.sh", format="script", owner="root")
    copy = mock.Mock()
    copy.run.return_value = {"changed": True, "invocation": {"x": 1}, "diff": [{"before": "", "after": "x"}]}
    loader = mock.Mock()
    loader.action_loader.get.return_value = copy
    played.action._shared_loader_obj = loader

    result = played.run()

    task = loader.action_loader.get.call_args.kwargs["task"]
    assert task.args["mode"] == "0755"
    assert task.args["owner"] == "root"
    assert "exec vllm serve /models/x" in task.args["content"]
    assert (result["changed"], result["dest"]) == (True, "/x/run.sh")
    assert "invocation" not in result


def test_a_file_that_cannot_be_written(play: t.Any) -> None:
    played = play(args, [], **CHAT, vllm_version="0.32.0", dest="/x/y")
    loader = mock.Mock()
    loader.action_loader.get.return_value.run.return_value = {
        "failed": True,
        "msg": "Destination directory /x does not exist",
    }
    played.action._shared_loader_obj = loader

    with pytest.raises(AnsibleActionFail, match="dest: Destination directory /x does not exist"):
        played.run()


RENDERED = {
    "argv": ["/m", "--x", "it's"],
    "entrypoint": ["printf", "%s\n"],
    "environment": {"A": "b c", "B": "$HOME 'q'"},
    "secret_names": [],
    "vllm_version": "0.32.0",
}


def test_a_script_passes_its_words_unchanged() -> None:
    script = argument_files.as_script(RENDERED)

    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert said.splitlines() == ["/m", "--x", "it's"]


def test_a_script_asks_for_its_secrets() -> None:
    script = argument_files.as_script({**RENDERED, "secret_names": ["VLLM_API_KEY"]})

    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )

    assert done.returncode != 0
    assert "VLLM_API_KEY" in done.stderr


def test_an_environment_file() -> None:
    assert argument_files.as_env(RENDERED) == "A=b c\nB=$HOME 'q'\n"


def test_an_environment_file_cannot_hold_lines() -> None:
    with pytest.raises(FindingsError, match="env.A: has a line break"):
        argument_files.as_env({**RENDERED, "environment": {"A": "b\nc"}})


def test_json_is_everything_and_stable() -> None:
    assert json.loads(argument_files.as_json({**RENDERED, "changed": True})) == RENDERED
