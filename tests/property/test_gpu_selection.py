# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPU selections: every way to write one is the same one, and counts are stable."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.gpu_selection import GpuSelection, parse, resolve

INDEXES = st.lists(st.integers(0, 1023), min_size=1, max_size=8, unique=True)
UUIDS = st.lists(st.uuids().map(lambda uuid: f"GPU-{uuid}"), min_size=1, max_size=8, unique=True)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


def spellings(items: list[Any]) -> list[Any]:
    """Ways in which templates and people write the same list."""
    texts = [str(item) for item in items]
    joined = ",".join(texts)
    return [
        items,
        tuple(texts),
        texts,
        joined,
        f" {joined.replace(',', ' , ')} ",
        json.dumps(items),
        json.dumps(texts),
        json.dumps(json.dumps(texts)),
        str(texts),
        [joined],
    ]


@given(INDEXES, st.randoms())
def test_every_spelling_of_indexes(items: list[int], random: Any) -> None:
    wanted = GpuSelection("indexes", len(items), tuple(str(item) for item in sorted(items)))
    shuffled = random.sample(items, len(items))
    for written in spellings(shuffled):
        assert parse(written) == wanted, written


@given(UUIDS)
def test_every_spelling_of_uuids(items: list[str]) -> None:
    wanted = GpuSelection("uuids", len(items), tuple(sorted(items)))
    for written in [*spellings(items), [item.upper() for item in items]]:
        assert parse(written) == wanted, written


@given(st.integers(0, 100), st.integers(0, 20))
def test_ranges(first: int, more: int) -> None:
    assert parse(f"{first}-{first + more}") == parse([*range(first, first + more + 1)])


@given(ANYTHING)
def test_anything_is_a_selection_or_a_finding(written: Any) -> None:
    try:
        selection = parse(written)
    except FindingsError as error:
        assert error.findings[0].code == "gpu.selection" and error.findings[0].fix
    else:
        assert parse(selection.canonical()) == selection


@given(st.data())
def test_counts_are_stable_and_take_nothing_that_is_taken(data: st.DataObject) -> None:
    uuids = data.draw(st.lists(st.uuids().map(lambda uuid: f"GPU-{uuid}"), min_size=1, max_size=8, unique=True))
    host = [{"index": index, "uuid": uuid, "mig": [], "processes": data.draw(st.lists(st.just({}), max_size=1))}
            for index, uuid in enumerate(uuids)]  # fmt: skip
    taken = data.draw(st.sets(st.sampled_from(uuids)))
    previous = data.draw(st.lists(st.sampled_from(uuids), unique=True))
    count = data.draw(st.integers(1, len(uuids)))
    try:
        chosen = resolve(parse(count), host, previous, taken)
    except FindingsError:
        assert len(uuids) - len(taken) < count
        return
    assert len(chosen) == len(set(chosen)) == count and not set(chosen) & taken
    assert set(chosen) >= set(list(dict.fromkeys(u for u in uuids if u in previous and u not in taken))[:count])
    assert resolve(parse(count), data.draw(st.permutations(host)), chosen, taken) == chosen
