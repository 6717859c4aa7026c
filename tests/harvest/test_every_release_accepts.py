# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each option of each release, rendered as a declaration's value, is taken by that release's parser with that value."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog.parsing import CommandLine
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering.formatting import words

# What people declare, and what vLLM must understand, by the type of one value.
SCALARS: dict[str, list[tuple[Any, Any]]] = {
    "str": [("text", "text"), ("-dash", "-dash"), ("with space", "with space"), ("a=b", "a=b"), ("é", "é")],
    "int": [(7, 7), ("8", 8), (-1, -1)],
    "float": [(0.5, 0.5), (1, 1.0), (-0.25, -0.25), (1e-07, 1e-07)],
    "human_int": [(8192, 8192), ("8k", 8000), ("2K", 2048)],
    "json": [({"a": {"b": [1, "é"]}}, {"a": {"b": [1, "é"]}}), ('{"a": 1}', {"a": 1})],
    "json|str": [({"a": 1}, {"a": 1}), ("text", "text")],
    "kvs": [({"image": 4, "video": 1}, {"image": 4, "video": 1}), ("image=2", {"image": 2})],
    "csv": [("0,1", [0, 1])],
    "name=path": [
        ("sql=/a", {"name": "sql", "path": "/a"}),
        ({"name": "x", "path": "/y"}, {"name": "x", "path": "/y"}),
    ],
}


def cases(flag):
    if flag.kind == "store_true":
        return [(True, True)]
    if flag.is_boolean:
        return [(True, True), (False, False)] if flag.nargs == "?" or flag.kind == "bool_optional" else [(True, True)]
    scalars = SCALARS[flag.type]
    if flag.choices is not None:
        # No value is said by leaving the option out. vLLM lists the word None, but refuses it: its type function makes
        # it null before argparse compares (tried with the real parsers of 0.8.5.post1 and 0.11.0).
        scalars = [(choice, choice) for choice in flag.choices if choice not in (None, "None")]
    if flag.kind == "list":
        plain = [(value, made) for value, made in scalars if not str(value).startswith("-")]
        return [([value for value, _ in plain], [made for _, made in plain])]
    return scalars


def spoken(flag, value):
    """A false that the release already has by default is left out, where it has no word of its own."""
    return value is not False or flag.default is not False or flag.kind == "bool_value"


@pytest.mark.parametrize("version", catalog.versions())
def test_what_is_rendered_is_understood(version):
    release = catalog.release(version)
    line = CommandLine(release, serve=True)
    wrong = []
    for flag in release.flags.values():
        if flag.name == "--config":
            continue
        for declared, expected in cases(flag):
            argv = words(flag, declared)
            parsed = line.parse(argv)
            got = parsed.values.get(flag.dest, "not given")
            if parsed.error or (got != expected if spoken(flag, declared) else argv):
                wrong.append((flag.name, declared, argv, parsed.error or got))
    assert wrong == []
