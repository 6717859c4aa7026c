# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made from the catalogue is current, and shows what it says it shows."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", ["docs_arguments.py", "declaration-schema", "docs_diagnosis.py"])
def test_it_is_current(command: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / command, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_example_renders_for_every_release_of_the_table_without_an_error() -> None:
    data = json.loads((ROOT / "tools" / "arguments.json").read_text())
    assert data["releases"][0].startswith("0.6") and data["releases"][-1].startswith("0.33")
    for version in data["releases"]:
        (made,) = spec.load([{**data["example"], "vllm_version": version}])
        result = rendering.arguments(made, catalog.nearest(version)[0])
        assert [str(item) for item in result.findings if item.severity == "error"] == [], version


def test_every_argument_of_the_page_is_one_or_is_said_to_be_none() -> None:
    data = json.loads((ROOT / "tools" / "arguments.json").read_text())
    for group in data["groups"]:
        for name, effect in group["rows"]:
            exists = catalog.flag_lifetime(name) is not None
            assert exists is (group["title"] != "What does not exist"), name
            assert effect.endswith(".")
