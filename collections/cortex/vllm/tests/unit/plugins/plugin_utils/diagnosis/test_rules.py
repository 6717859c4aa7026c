# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each rule against logs composed from the texts of the sources (data/cases.json), in every shape and through every carrier."""  # noqa: E501

from __future__ import annotations

import json
import pathlib
import re

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis
from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import knowledge
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.diagnosis import shapes

CASES = json.loads((pathlib.Path(__file__).parent / "data" / "cases.json").read_text(encoding="utf-8"))
#: Carriers that the reader knows by name.
NAMED = (*list(shapes.CARRIERS)[:7], "json-file", "CRLF", "colours", "journald JSON", "cloud", "JSON lines", "quoted")
#: What stands alone wherever it stands: no frames, no lines before it, no stage.
MOVABLE = [
    case
    for case in CASES
    if case["shape"] in shapes.INSIDE
    and not {"frames", "before", "exit"} & set(case)
    and not case["code"].startswith(("memory.", "speculation."))
]


def answer(case, lines):
    exit = case.get("exit", 125 if case["shape"] == "docker" else None)
    return diagnosis.diagnose(lines, exit).as_dict()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_text_of_the_source_is_known(case):
    said = answer(case, shapes.compose(case))
    assert said["code"] in case.get("codes", [case["code"]])
    assert said["state"] == "failed" and not said["healthy"]
    for words in case["words"]:
        assert words in f"{said['explanation']} {said['fix']}"
    assert said["evidence"] and said["fix"] and said["telling"]
    assert "{" not in said["fix"] and "[[" not in said["explanation"] + said["fix"]


@pytest.mark.parametrize("shape", shapes.INSIDE)
def test_it_is_known_in_whatever_process_and_release_it_stands(shape):
    some = MOVABLE[shapes.INSIDE.index(shape) % 3 :: 3]
    wrong = {case["name"]: answer(case, shapes.compose(case, shape))["code"] for case in some}
    allowed = {case["name"]: case.get("codes", [case["code"]]) for case in some}
    assert len(MOVABLE) > 100
    assert {name: code for name, code in wrong.items() if code not in allowed[name]} == {}


@pytest.mark.parametrize("carrier", shapes.CARRIERS)
def test_what_carries_a_log_changes_nothing(carrier):
    offset = list(shapes.CARRIERS).index(carrier)
    wrap = shapes.CARRIERS[carrier]
    some = CASES[offset :: len(shapes.CARRIERS)]
    for case in some:
        plain = answer(case, shapes.compose(case))
        carried = answer(case, [wrap(line) for line in shapes.compose(case)])
        assert carried["code"] == plain["code"], case["name"]
        # A prefix that nobody has named is learned from a few lines at least.
        if carrier in NAMED or len(shapes.compose(case)) > 3:
            assert carried["evidence"] == plain["evidence"], case["name"]


def test_every_rule_has_a_case():
    reached = set()
    for case in CASES:
        exit = case.get("exit", 125 if case["shape"] == "docker" else None)
        rule = diagnosis.diagnose(shapes.compose(case), exit).rule
        if rule is not None:
            reached.add((rule.concern, rule.pattern.pattern, rule.stage, rule.innermost, rule.within))
    missed = [
        f"{rule.concern}: {rule.code} {rule.pattern.pattern[:60]}"
        for rule in diagnosis.rules()
        if (rule.concern, rule.pattern.pattern, rule.stage, rule.innermost, rule.within) not in reached
    ]
    assert missed == []


@pytest.mark.parametrize("name", knowledge.FILES)
def test_rows_are_complete_and_use_only_groups_that_exist(name):
    data = json.loads((knowledge.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert data["comment"]
    allowed = {
        "code",
        "pattern",
        "message",
        "why",
        "fix",
        "field",
        "releases",
        "source",
        "where",
        "rank",
        "stage",
        "frames",
        "innermost",
        "within",
        "given",
    }
    for row in data["rules"]:
        assert set(row) <= allowed
        for key in ("message", "why", "fix", "source", "releases"):
            assert row[key], row["code"]
        assert row["why"].endswith(".") and row["fix"].endswith("."), row["code"]
        groups = set(re.compile(row["pattern"] + row.get("given", "")).groupindex) | set(knowledge._WORK)
        used = set(re.findall(r"\{(\w+)\}", row["message"] + row["fix"]))
        assert used <= groups, (row["code"], used - groups)
        assert row["releases"] == "any" or re.match(r"0\.\d+", row["releases"]), row["code"]


def test_all_files_are_read_and_no_pattern_stands_twice():
    assert sorted(path.stem for path in knowledge.FOLDER.glob("*.json")) == sorted(knowledge.FILES)
    seen = [
        (rule.pattern.pattern, rule.stage, rule.where, rule.frames and rule.frames.pattern, rule.innermost, rule.within)
        for rule in diagnosis.rules()
    ]
    assert len(seen) == len(set(seen))
    assert len(seen) >= 200


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("a {x} b", {"x": "1"}, "a 1 b"),
        ("a[[ ({x})]] b", {"x": ""}, "a b"),
        ("a[[ ({x} of {y})]] b", {"x": "1", "y": "2"}, "a (1 of 2) b"),
        ("a[[ ({x} of {y})]] b", {"x": "1", "y": ""}, "a b"),
    ],
)
def test_optional_parts_of_a_text(template, values, text):
    assert knowledge.fill(template, values) == text


@pytest.mark.parametrize(
    ("values", "name", "made"),
    [
        ({"free": "15.5", "total": "23.64"}, "share_that_fits", "0.64"),
        ({"free": "0.5", "total": "80"}, "share_that_fits", None),
        ({"heads": "28"}, "divisors", "1, 2, 4, 7, 14, 28"),
        ({"heads": "x"}, "divisors", None),
    ],
)
def test_what_is_worked_out_of_the_numbers(values, name, made):
    assert (knowledge._derived(values).get(name) or None) == made
