# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How single values are read."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils.spec import values
from ansible_collections.cortex.vllm.plugins.plugin_utils.spec.values import Problem


class Tagged(str):
    """Like ansible-core's tagged strings: a subclass that knows where it was written."""


class TaggedInt(int):
    """The same for numbers."""


@pytest.mark.parametrize(
    "read, written, value",
    [
        (values.size, "16g", 16 << 30),
        (values.size, "512MiB", 512 << 20),
        (values.size, "1.5G", 3 << 29),
        (values.size, "64kb", 64 << 10),
        (values.size, " 7 ", 7),
        (values.size, 4096, 4096),
        (values.duration, "90", 90.0),
        (values.duration, "90s", 90.0),
        (values.duration, "10m", 600.0),
        (values.duration, "1h30m", 5400.0),
        (values.duration, 5, 5),
        (values.name, "chat-2.b_C", "chat-2.b_C"),
        (values.image, "vllm/vllm-openai:v0.32.0", "vllm/vllm-openai:v0.32.0"),
        (
            values.image,
            f"Registry.Example:5000/team/vllm@sha256:{16 * 'abcd'}",
            f"Registry.Example:5000/team/vllm@sha256:{16 * 'abcd'}",
        ),
        (values.image, "sha256:0123", "sha256:0123"),
        (values.image, "local/vllm:V1", "local/vllm:V1"),
        (values.image, "localhost:5000/a_b/c--d__e.f:x", "localhost:5000/a_b/c--d__e.f:x"),
        (values.image, "[::1]:5000/vllm", "[::1]:5000/vllm"),
        (values.image, f"vllm/vllm-openai:v1@sha256:{64 * 'a'}", f"vllm/vllm-openai:v1@sha256:{64 * 'a'}"),
        (values.address, "localhost", "127.0.0.1"),
        (values.address, "[::1]", "::1"),
        (values.address, "0:0:0:0:0:0:0:1", "::1"),
        (values.address, "10.0.0.5", "10.0.0.5"),
        (values.absolute, "/srv//models/./x/", "/srv/models/x"),
        (values.text, " x ", "x"),
        (values.texts, "x", ["x"]),
        (values.texts, ["x"], ["x"]),
        (values.number_not_bool, 3, 3),
    ],
)
def test_read(read: Callable[[Any], Any], written: Any, value: Any) -> None:
    assert read(written) == value


@pytest.mark.parametrize(
    "read, written, message",
    [
        (values.size, "12x", "is not a size"),
        (values.size, "-1g", "is not a size"),
        (values.size, True, "is true, not a size"),
        (values.duration, "soon", "is not a duration"),
        (values.duration, "", "is not a duration"),
        (values.duration, False, "is false, not a duration"),
        (values.name, "-x", "cannot be a name"),
        (values.name, "a b", "cannot be a name"),
        (values.name, "x" * 64, "cannot be a name"),
        (values.name, "locks", "kept for the collection"),
        (values.name, "chat.kept", "kept for the collection"),
        (values.name, 7, "is a number, not text"),
        (values.image, "https://r/x", "is an address, not an image reference"),
        (values.image, "a b", "has a space in it"),
        (values.image, "vllm/VLLM:v1", "capital letters"),
        *(
            (values.image, wrong, "is not an image reference")
            for wrong in ("/a", "a:", "a:b:c", "-rm", "vllm/ö:1", "a//b")
        ),
        (values.image, "vllm/vllm-openai@sha256:abc", "has no digest after its @"),
        *(
            (values.name, taken, "kept for the collection")
            for taken in ("images", "work", "models", "fetch", "incoming", "collectives.json")
        ),
        (values.address, "eth0", "is not an IP address"),
        (values.absolute, "x/y", "is not an absolute path"),
        (values.absolute, "/x/../y", "has .. in it"),
        (values.text, True, "is a boolean, not text"),
        (values.text, 1.1, "is a number, not text"),
        (values.text, " ", "is empty"),
        (values.text, "a\nb", "line break"),
        (values.number_not_bool, True, "is true, not a number"),
    ],
)
def test_refuse(read: Callable[[Any], Any], written: Any, message: str) -> None:
    with pytest.raises(Problem) as caught:
        read(written)
    assert message in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    "written, value",
    [
        ({Tagged("a"): [Tagged("b"), TaggedInt(3), 1.5, True, None]}, {"a": ["b", 3, 1.5, True, None]}),
        (datetime.date(2026, 12, 31), "2026-12-31"),
        ({1: (2, 3)}, {"1": [2, 3]}),
    ],
)
def test_plain_data_is_plain(written: Any, value: Any) -> None:
    found = values.plain(written)
    assert found == value

    def types(item: Any) -> None:
        assert type(item) in (dict, list, str, int, float, bool, type(None))
        for inner in item if isinstance(item, list) else item.values() if isinstance(item, dict) else ():
            types(inner)

    types(found)


@pytest.mark.parametrize(
    "written, message, at",
    [
        ({"a": [1, {"b": object()}]}, "holds a object", ("a", 1, "b")),
        ({"a": float("nan")}, "is not a finite number", ("a",)),
        ({"a": {True: 1}}, "has true as a key", ("a",)),
        ({"a": b"x"}, "holds a bytes", ("a",)),
    ],
)
def test_what_json_cannot_hold(written: Any, message: str, at: tuple[Any, ...]) -> None:
    with pytest.raises(Problem) as caught:
        values.plain(written)
    assert message in caught.value.message
    assert caught.value.at == at


def test_names_of_variables() -> None:
    values.env_name("_x1")
    with pytest.raises(Problem, match="not the name"):
        values.env_name("1x")
