# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refs and snapshots are followed as huggingface_hub itself follows them (where it is installed)."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import hub_cache
from ansible_collections.cortex.vllm.plugins.module_utils.model_problems import Notes

from . import caches

library = pytest.importorskip("huggingface_hub")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    caches.hub(tmp_path, "org/chat", caches.chat_model(), caches.OLD, "refs/pr/1")
    return caches.hub(tmp_path, "org/chat", caches.chat_model())


def theirs(cache: pathlib.Path, model: str, revision: str | None) -> str | None:
    try:
        return str(library.snapshot_download(model, revision=revision, cache_dir=cache, local_files_only=True))
    except Exception:
        return None


def ours(cache: pathlib.Path, model: str, revision: str | None) -> str | None:
    notes = Notes()
    _folder, snapshot, _commit = hub_cache.resolve(notes, model, revision or "main", str(cache))
    return None if notes.problems else snapshot


@pytest.mark.parametrize(
    ("model", "revision"),
    [
        ("org/chat", None), ("org/chat", "main"), ("org/chat", "refs/pr/1"), ("org/chat", caches.OLD),
        ("org/chat", caches.NEW), ("org/chat", "v1"), ("org/chat", "c" * 40), ("org/chat", caches.NEW[:8]),
        ("org/none", None),
    ],
)  # fmt: skip
def test_the_same_snapshot(folder: pathlib.Path, model: str, revision: str | None) -> None:
    assert ours(folder.parent, model, revision) == theirs(folder.parent, model, revision)


@pytest.mark.parametrize("text", [caches.NEW, caches.NEW + "\n", " " + caches.NEW, "main", "c" * 40, caches.NEW[:8]])
def test_the_same_verdict_on_a_ref(folder: pathlib.Path, text: str) -> None:
    (folder / "refs" / "main").write_text(text)
    assert ours(folder.parent, "org/chat", None) == theirs(folder.parent, "org/chat", None)
    assert (theirs(folder.parent, "org/chat", None) is not None) == (text == caches.NEW)


def test_the_same_cache_by_the_same_variables(tmp_path: pathlib.Path) -> None:
    import os
    import subprocess
    import sys

    program = "import huggingface_hub.constants as c; print(c.HF_HUB_CACHE)"
    for variables in (
        {}, {"HF_HOME": "/a"}, {"HF_HUB_CACHE": "/b", "HF_HOME": "/a"}, {"HUGGINGFACE_HUB_CACHE": "/c"},
        {"HUGGINGFACE_HUB_CACHE": "/c", "HF_HUB_CACHE": "/b"}, {"XDG_CACHE_HOME": "/x"}, {"HF_HOME": "~/y"},
    ):  # fmt: skip
        env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **variables}
        said = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        mine = (
            "from ansible_collections.cortex.vllm.plugins.module_utils.hub_cache import default_cache as d; print(d())"
        )
        env["PYTHONPATH"] += os.pathsep + str(pathlib.Path(__file__).parents[2] / "collections")
        own = subprocess.run([sys.executable, "-c", mine], env=env, capture_output=True, text=True, check=True)
        assert own.stdout == said.stdout, variables
