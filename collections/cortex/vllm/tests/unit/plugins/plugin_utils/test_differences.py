# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison, on inspects that real engines gave for known bodies (data/inspect-*.json)."""

from __future__ import annotations

import copy
import json
import pathlib

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import differences

DATA = pathlib.Path(__file__).parent / "data"
RECORDED = {
    path.stem.removeprefix("inspect-"): json.loads(path.read_text()) for path in sorted(DATA.glob("inspect-*.json"))
}
MUTATIONS = [(engine, name) for engine, doc in RECORDED.items() for name in doc["mutations"]]


def engine_name(doc):
    return doc["engine"].split()[0]


def patched(doc, name):
    inspect = copy.deepcopy(doc["inspect"])
    for key, value in doc["mutations"][name]["patch"].items():
        if isinstance(value, dict):
            for gone in value.pop("-", ()):
                del inspect[key][gone]
            inspect[key].update(value)
        else:
            inspect[key] = value
    return inspect


def compare(doc, inspect, body=None, **more):
    more.setdefault("engine", engine_name(doc))
    return differences.compare(body or doc["body"], inspect, doc["image"], doc["salt"], **more)


@pytest.mark.parametrize("engine", RECORDED)
def test_what_was_made_from_a_body_equals_it(engine):
    doc = RECORDED[engine]
    assert compare(doc, doc["inspect"]) == []
    assert compare(doc, doc["minimal"]["inspect"], doc["minimal"]["body"]) == []


@pytest.mark.parametrize(("engine", "name"), MUTATIONS, ids=lambda value: value)
def test_each_single_mutation_is_found_and_named(engine, name):
    doc = RECORDED[engine]
    found = compare(doc, patched(copy.deepcopy(doc), name))
    assert [item.field for item in found] == doc["mutations"][name]["fields"]
