# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which vLLM is in an image."""

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible.errors import AnsibleActionFail

from ansible_collections.cortex.vllm.plugins.action import args, image_info
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import observed

ENTRY = {
    "id": "sha256:1",
    "size": 7,
    "config": {
        "Entrypoint": ["vllm", "serve"],
        "Env": {"CUDA_VERSION": "12.9.1", "NVIDIA_REQUIRE_CUDA": "cuda>=12.9 brand=unknown,driver>=535,driver<536"},
        "Labels": {},
    },
}
PACKAGES = {"done": True, "answer": {"packages": {"transformers": "5.16.1", "torch": "2.11.0+cu130"}}}
INSTALLED = {"done": True, "answer": {"version": "0.32.0", "source": "installed"}}


def test_an_image_is_asked(play: t.Any) -> None:
    played = play(image_info, [observed(images={"x:latest": ENTRY}), INSTALLED, PACKAGES], image="x:latest")

    result = played.run()

    assert played.steps == ["observe", "image", "image"]
    assert result["packages"] == {"transformers": "5.16.1", "torch": "2.11.0+cu130"}
    assert (played.request(1)["image"], played.request(1)["key"]) == ("sha256:1", "version")
    assert (result["vllm_version"], result["version_source"], result["exact"]) == ("0.32.0", "installed", True)
    assert result["cuda"] == {"version": "12.9.1", "required": "12.9"}
    assert result["arguments"] is None and result["changed"] is False


def test_its_parser_on_request(play: t.Any) -> None:
    parser = {"done": True, "answer": {"flags": {"--new": {}}, "environment": {}}}
    answers = [observed(images={"x:latest": ENTRY}), INSTALLED, parser, PACKAGES]
    played = play(image_info, answers, image="x:latest", parser=True)

    result = played.run()

    assert result["arguments"] == {"--new": {}}
    # The catalogue has this release: no observation has to carry its parser.
    assert (played.request(1)["keep"], played.request(2)["keep"]) == (True, False)


def test_check_mode_starts_nothing(play: t.Any) -> None:
    answers = [observed(images={"x:0.32.0": ENTRY})]
    played = play(image_info, answers, image="x:0.32.0", parser=True, check_mode=True)

    result = played.run()

    assert (result["version_source"], played.steps) == ("tag", ["observe"])
    assert "--max-model-len" in result["arguments"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (observed(), "image x:1 is not on gpu1"),
        (observed(engine={"status": "denied", "message": "permission denied"}), "cannot be asked: permission denied"),
    ],
)
def test_an_image_that_is_not_there(play: t.Any, answer: t.Any, said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said):
        play(image_info, [answer], image="x:1").run()


def test_arguments_for_an_image_that_says_nothing(play: t.Any) -> None:
    asked = {"name": "chat", "model": "/models/x", "image": "x:latest"}
    played = play(args, [observed(images={"x:latest": ENTRY}), INSTALLED], **asked)

    assert played.run()["vllm_version"] == "0.32.0"
    assert played.steps == ["observe", "image"]
