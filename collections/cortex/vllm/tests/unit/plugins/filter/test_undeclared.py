# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that stand in no declaration, as a person gives them with `vllm_only`."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible.plugins.filter.core")

from ansible_collections.cortex.vllm.plugins.filter.undeclared import FilterModule, undeclared

EVERYWHERE = [{"chat": {}, "rerank": {}}, [{"name": "embed"}, {"model": "/no-name"}, "odd"], None, "text", 7]


@pytest.mark.parametrize(
    "names, texts",
    [
        ([], []),
        ("", []),
        (None, []),
        ("chat, embed", []),
        (["chat", "rerank"], []),
        ("chat,embde", ["embde (did you mean embed?)"]),
        (["chta", "chta"], ["chta (did you mean chat?)"]),
        (["zzz"], ["zzz (declared are chat, embed, rerank)"]),
    ],
)
def test_a_typing_error_gets_the_nearest_name(names, texts):
    assert undeclared(names, EVERYWHERE) == texts


def test_where_nothing_is_declared_every_name_is_unknown():
    assert undeclared(["chat"], []) == ["chat (declared are none)"]
    many = [{"server-%02d" % number: {} for number in range(13)}]
    assert undeclared(["x"], many)[0].endswith("server-09 and 3 more)")


def test_ansible_finds_it_by_its_name():
    assert FilterModule().filters() == {"undeclared": undeclared}
