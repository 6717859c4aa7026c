# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`prove: model` in a converge: real vLLM loads configuration and tokenizer without a network, once for each pair.

Run by ./test --all. No server runs before these tests, and none after them.
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from .conftest import SERVER, Host

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]


def proofs(host: Host) -> set[str]:
    """What the host remembers of models that images loaded, or could not."""
    path = host.state_dir / "images.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    entries = (known.get("images") or known).values()
    return {key for entry in entries if isinstance(entry, dict) for key in entry.get("models") or {}}


@pytest.fixture(autouse=True)
def nothing_runs(host: Host) -> Iterator[None]:
    kept = host.kept()
    _gone(host)
    yield
    _gone(host)
    host.servers[SERVER] = kept


def _gone(host: Host) -> None:
    if host.containers():
        host.declare(state="absent")
        assert host.run().code == 0
        host.declare(state=None)


@pytest.fixture
def model(host: Host, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the tiny model that may be broken."""
    place = host.folder / f"model-{tmp_path.name}"
    shutil.copytree(host.servers[SERVER]["model"], place)
    return place


def test_what_no_file_tells_is_refused_by_the_image_and_remembered(host: Host, model: pathlib.Path) -> None:
    """The tokenizer is sound JSON of a kind that nobody can load: the files pass, the image refuses."""
    said = json.loads((model / "tokenizer.json").read_text())
    said["model"]["type"] = "NobodyKnows"
    (model / "tokenizer.json").write_text(json.dumps(said))
    host.declare(model=str(model), prove="model")

    before = proofs(host)
    first = host.run()
    kept = proofs(host)
    second = host.run()

    for run in (first, second):
        assert run.code != 0 and host.containers() == []
        assert "tokenizer" in run.text and "Traceback" not in run.text
        assert run.answer is not None
        assert {item["code"] for item in run.answer["findings"] if item["severity"] == "error"} == {"model.refused"}
    assert len(kept) == len(before) + 1 and proofs(host) == kept


def test_a_sound_model_is_proven_once_and_started(host: Host, model: pathlib.Path) -> None:
    """Asked for the image and the model, whatever else is declared; asked again when the files are other ones."""
    host.declare(model=str(model), prove="model")

    before = proofs(host)
    first = host.run()
    kept = proofs(host)
    assert first.code == 0 and len(kept) == len(before) + 1, first.text
    assert host.complete(host.api_key)[0] == 200
    second = host.run()
    host.declare(engine_args={"max_model_len": 384})
    third = host.run(None, "--check")

    assert second.code == 0 and second.changed == 0
    assert second.answer is not None and second.answer["remote_calls"] == 1
    assert third.code == 0 and proofs(host) == kept
