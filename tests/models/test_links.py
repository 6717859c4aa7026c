# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links that the host follows and a container does not: it is shown the model's directory or cache alone."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files

from . import caches
from .test_foreseen import foreseen

SHARD = "model-00002-of-00003.safetensors"


@pytest.fixture
def model(tmp_path: pathlib.Path) -> pathlib.Path:
    return caches.directory(tmp_path / "models" / "chat", caches.chat_model())


def away(path: pathlib.Path, to: pathlib.Path, relative: bool = False) -> None:
    """Move a file and leave a link where it was."""
    to.parent.mkdir(parents=True, exist_ok=True)
    path.rename(to)
    path.symlink_to(os.path.relpath(to, path.parent) if relative else to)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    ("name", "code"),
    [(SHARD, "model.shard-missing"), ("config.json", "model.absent"), ("tokenizer.json", "model.file-missing")],
)
def test_a_link_out_of_the_directory(
    tmp_path: pathlib.Path, model: pathlib.Path, name: str, code: str, relative: bool
) -> None:
    away(model / name, tmp_path / "disk" / name, relative)
    found = model_files.look(str(model))
    assert found["status"] == "complete"
    assert [link["target"] for link in found["links"]] == [str(tmp_path / "disk" / name)]
    assert foreseen({"model": str(model)}) == [code]
    # Shown under the same path, it is there.
    assert foreseen({"model": str(model), "mounts": [str(tmp_path / "disk")]}) == []


def test_links_that_stay_inside(tmp_path: pathlib.Path, model: pathlib.Path) -> None:
    """Relative and absolute ones, a directory that is reached over a link, a snapshot by its path."""
    away(model / SHARD, model / "parts" / SHARD, relative=True)
    away(model / "config.json", model / "parts" / "config.json")
    (tmp_path / "other").symlink_to(model)
    for path in (model, tmp_path / "other"):
        looked = model_files.look(str(path))
        assert looked["status"] == "complete"
    assert model_files.look(str(model))["links"] == []
    folder = caches.hub(tmp_path / "hub", "org/name", caches.chat_model())
    for asked in (("org/name", None, str(tmp_path / "hub")), (str(folder / "snapshots" / caches.NEW), None, None)):
        assert model_files.look(*asked)["links"] == []


def test_many_links_are_one_finding_and_a_cache_takes_none_that_are_absolute(tmp_path: pathlib.Path) -> None:
    folder = caches.hub(tmp_path / "hub", "org/name", caches.chat_model())
    for path in (folder / "snapshots" / caches.NEW).glob("*.safetensors"):
        blob = path.resolve()
        path.unlink()
        path.symlink_to(blob)
    declared: dict[str, Any] = {"model": "org/name", "hub_cache": str(tmp_path / "hub")}
    assert foreseen(declared) == ["model.shard-missing"]
    (link,) = model_files.look("org/name", None, str(tmp_path / "hub"))["links"]
    assert link["files"] == 3


def test_a_circle_is_no_endless_way(tmp_path: pathlib.Path, model: pathlib.Path) -> None:
    (model / "a.safetensors").symlink_to("b.safetensors")
    (model / "b.safetensors").symlink_to("a.safetensors")
    assert model_files.look(str(model))["links"] == []
