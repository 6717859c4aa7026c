# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing, comparing and showing the files of the catalogue."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "collections" / "cortex" / "vllm" / "plugins" / "plugin_utils" / "catalog" / "data"


def answer(**flags):
    return {
        "platform": "NonNvmlCudaPlatform",
        "entrypoint": ["vllm", "serve"],
        "labels": [],
        "positionals": ["model_tag"],
        "flags": {f"--{name.replace('_', '-')}": entry for name, entry in flags.items()},
        "environment": {"VLLM_B": {"default": 1}, "VLLM_A": {"type": "str"}},
        "architectures": ["A", "B"],
    }


SOURCE = {"kind": "sdist", "name": "vllm-9.0.0.tar.gz", "sha256": "0" * 64}
INT = {"kind": "value", "type": "int", "default": 1, "help": "Number."}


def document(harvester, version="9.0.0", **flags):
    return harvester.write.document(version, SOURCE, answer(**flags))


def test_a_file_reads_back_and_does_not_depend_on_order(harvester):
    one = harvester.write.render(document(harvester, b=INT, a=INT))
    two = harvester.write.render(document(harvester, a=INT, b=INT))
    assert one == two
    back = json.loads(one)
    assert list(back["flags"]) == ["--a", "--b"]
    assert "help" not in back["flags"]["--a"]
    assert sum(line.startswith('"--') for line in one.splitlines()) == 2


def test_an_unchanged_release_is_not_written_again(harvester, tmp_path):
    content = document(harvester, a=INT)
    assert harvester.write.write(tmp_path, content)
    assert not harvester.write.write(tmp_path, content)


@pytest.mark.parametrize("path", sorted(DATA.glob("[0-9]*.json")), ids=lambda path: path.stem)
def test_committed_files_are_in_the_tools_own_form(harvester, path):
    text = path.read_text(encoding="utf-8")
    assert harvester.write.render(json.loads(text)) == text


def test_the_index_is_current(harvester):
    assert json.loads((DATA / "index.json").read_text(encoding="utf-8"))["versions"] == harvester.cli.known()


def test_compatibility_page_is_current(harvester):
    documents = [harvester.cli.load(version) for version in harvester.cli.known()]
    assert harvester.cli.PAGE.read_text(encoding="utf-8") == harvester.page.render(documents), (
        "write it again: tools/harvest/harvest --page"
    )


def test_descriptions_are_kept_once_in_any_order_of_harvest(harvester):
    versions = ["1", "2", "3", "4"]
    texts = {"1": {"--a": "old"}, "2": {"--a": "old"}, "3": {"--a": "new", "--b": "x"}, "4": {"--b": "x"}}
    expected = {"--a": [["1", "old"], ["3", "new"], ["4", ""]], "--b": [["3", "x"]]}
    for order in (versions, versions[::-1], ["3", "1", "4", "2"]):
        merged = {}
        for count, version in enumerate(order, 1):
            known = sorted(order[:count])
            merged = harvester.write.merge_help(merged, version, texts[version], known)
        assert merged == expected, order
    again = harvester.write.merge_help(expected, "3", texts["3"], versions)
    assert again == expected


def test_changes_for_users(harvester):
    switch = {"kind": "bool_optional", "type": "bool", "negation": "--no-s", "default": False}
    old = document(harvester, gone=INT, renamed_from=INT, s=switch, same=INT, c={**INT, "choices": [1, 2]})
    new = document(
        harvester,
        "9.1.0",
        renamed_to={**INT, "aliases": ["--renamed-from"]},
        s={**switch, "default": None, "negation": "--disable-s", "deprecated": "Do not."},
        same=INT,
        c={**INT, "choices": [2, 3]},
        fresh={**INT, "default_class": "Config"},
    )
    new["environment"] = {"VLLM_B": {"default": 2}, "VLLM_C": {}}
    new["architectures"] = ["B", "C"]
    new["entrypoint"] = ["other"]
    lines = harvester.compare.changes(old, new)
    assert lines == [
        "removed `--gone`",
        "renamed `--renamed-from` to `--renamed-to`",
        "added `--fresh` (value, default Config())",
        "changed `--c`: accepts also 3; refuses 1",
        "changed `--s`: default false → null; negative form --no-s → --disable-s; deprecated: Do not.",
        "removed variable `VLLM_A`",
        "added variable `VLLM_C` (default null)",
        "changed variable `VLLM_B`: default 1 → 2",
        "entrypoint `vllm serve` → `other`",
        "removed architecture: A",
        "added architecture: C",
    ]
    assert "nothing changed for users" in harvester.compare.text(old, old)


@pytest.mark.parametrize(
    ("present", "text"),
    [
        ("1111", "all"),
        ("0011", "since 3"),
        ("1100", "until 2"),
        ("0110", "2 – 3"),
        ("0100", "2"),
        ("1001", "1, since 4"),
        ("1000", "1"),
    ],
)
def test_spans(harvester, present, text):
    assert harvester.page.spans(["1", "2", "3", "4"], [char == "1" for char in present]) == text


def test_the_page_keeps_its_tables_whole(harvester):
    first = document(harvester, "9.0.0", a={**INT, "default": "x|y`z"})
    second = document(harvester, "9.1.0", a={**INT, "type": "json|str", "kind": "json", "default": 2})
    text = harvester.page.render([first, second])
    assert "x\\|y'z" in text and "json\\|str" in text
    import re

    counts = {}
    for line in text.splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            counts.setdefault(cells, 0)
            counts[cells] += 1
    # Releases, two tables of changes, arguments, variables: 9, 4, 6, 4 bars.
    assert set(counts) == {9, 4, 6}


def test_the_command_refuses_nonsense():
    tool = ROOT / "tools" / "harvest" / "harvest"
    done = subprocess.run([str(tool)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "name a release" in done.stderr


@pytest.mark.long
def test_a_second_harvest_gives_the_same_bytes():
    """Needs the index and, the first time, minutes for the isolated environment."""
    tool = ROOT / "tools" / "harvest" / "harvest"
    done = subprocess.run([str(tool), "0.32.0", "0.6.6.post1", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
