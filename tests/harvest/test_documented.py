# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation shows of one declaration in many releases, read by each release's own parser."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog.parsing import CommandLine
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import errors

ROOT = Path(__file__).resolve().parents[2]
DATA = json.loads((ROOT / "tools" / "arguments.json").read_text(encoding="utf-8"))
SECTION = "## One declaration, many releases"
#: Those that the project promises by name.
PROMISED = {"0.6.3", "0.8.5", "0.10.0", "0.11.0", "0.12.0", "0.17.0", "0.27.0", "0.33.0"}
BLOCK = re.compile(
    r"^\*\*(?P<version>[\d.]+)\*\* \(`(?P<entrypoint>[^`]+)`\)\n\n```\n(?P<lines>.*?)\n```$", re.M | re.S
)


def shown() -> dict[str, tuple[str, list[str]]]:
    """By release: the entrypoint and the words that stand in the page."""
    page = (ROOT / "docs" / "arguments.md").read_text(encoding="utf-8")
    section = page.partition(SECTION)[2].partition("\n## ")[0]
    found = {}
    for block in BLOCK.finditer(section):
        lines = [line for line in block["lines"].splitlines() if not line.startswith("VLLM_")]
        found[block["version"]] = (block["entrypoint"], shlex.split(" ".join(lines)))
    return found


def test_every_promised_release_is_shown():
    assert set(shown()) == set(DATA["releases"]) == PROMISED


@pytest.mark.parametrize("version", sorted(PROMISED))
def test_what_the_page_shows_parses_in_that_release(version):
    entrypoint, words = shown()[version]
    release = catalog.nearest(version)[0]
    assert entrypoint == " ".join(release.entrypoint)
    model = ["Qwen/Qwen3-0.6B"] if release.model_positional else ["--model", "Qwen/Qwen3-0.6B"]

    before = [*model, "--host", "0.0.0.0", "--port", "8000", "--served-model-name", "chat"]

    read = CommandLine(release).parse([*before, *words])

    assert read.error is None
    assert read.values["max_model_len"] == 8192
    assert read.values["enable_auto_tool_choice"] is True and read.values["tool_call_parser"] == "hermes"
    assert read.values.get("enable_log_requests", False) is False
    assert read.values.get("trust_remote_code", False) is False
    drafted = read.values.get("speculative_config") or read.values
    assert drafted["num_speculative_tokens"] == 4


@pytest.mark.parametrize("version", catalog.versions())
def test_the_same_declaration_parses_in_every_release(version):
    """What the page shows of eight holds for all: no word is refused, nothing is said against it but what is told."""
    release = catalog.release(version)
    declared = {**DATA["example"], "vllm_version": version}
    (made,) = spec.load([declared])
    result = rendering.render(
        made, rendering.ImageFacts.assumed(declared["image"], version), release, [], "/s", None, "0" * 32, {}
    )

    assert errors(result.findings) == []
    read = CommandLine(release).parse(result.argv)
    assert read.error is None
    assert read.values["limit_mm_per_prompt"] == {"image": 2}
