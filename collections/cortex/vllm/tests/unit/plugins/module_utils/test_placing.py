# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Under which id an engine has an image of a tar or bundle: its own, or with containerd's store another one."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import hashing, placing

OWN, OTHER, THIRD = ("sha256:" + letter * 64 for letter in "abc")
DIGEST = "registry.local/team/vllm@sha256:" + "d" * 64


class Engine:
    """What `docker image inspect` finds, by id and by name."""

    def __init__(self, **names):
        self.names = {name.replace("__", "/"): ident for name, ident in names.items()}

    def image(self, ref):
        ident = self.names.get(ref) or (ref if ref in self.names.values() else None)
        return {"Id": ident} if ident else None


def entry(**more):
    return {"id": OWN, "key": "a:1", "sha256": "f" * 64, "tags": ["a:1"], "names": [], "label": "a.tar", **more}


@pytest.mark.parametrize(
    ("engine", "known", "more", "found"),
    [
        (Engine(x=OWN), {}, {}, OWN),
        (Engine(x=OTHER), {}, {}, None),
        # The same tag may be another image.
        (Engine(**{"a:1": OTHER}), {}, {}, None),
        (Engine(x=OTHER), {OTHER: {"archives": ["f" * 64]}}, {}, OTHER),
        (Engine(x=OTHER), {OTHER: {"archives": ["e" * 64]}}, {}, None),
        # Of several in a tar the note is their own id, not the file's hash.
        (Engine(x=OTHER), {OTHER: {"archives": [OWN]}}, {"mark": OWN}, OTHER),
        (Engine(**{DIGEST: OTHER}), {}, {"names": [DIGEST]}, OTHER),
        (Engine(x=THIRD), {OTHER: {"archives": ["f" * 64]}, THIRD: None}, {}, None),
    ],
)
def test_an_image_that_is_there(engine, known, more, found):
    assert placing.image_id(engine, entry(**more), known) == found


def named(engine, loaded, **more):
    placed = placing._Placing({}, {}, None)
    placed.loaded = {"a.tar": loaded}
    return placed._named(engine, entry(**more))


@pytest.mark.parametrize(
    ("engine", "loaded", "more", "found"),
    [
        (Engine(**{"a:1": OWN}), ["a:1"], {}, OWN),
        (Engine(**{"a:1": OTHER}), ["a:1"], {}, OTHER),
        (Engine(x=OTHER), [OTHER], {"tags": ["made-up:sha256-1"]}, OTHER),
        # skopeo writes names in full, and Docker shows them short.
        (Engine(**{"a:1": OTHER, "b:1": THIRD}), ["b:1", "a:1"], {"tags": ["docker.io/library/a:1"]}, OTHER),
        (Engine(**{"a:1": OTHER, "a:2": OTHER, "b:1": THIRD}), ["a:1", "a:2", "b:1"], {"tags": ["a:1", "a:2"]}, OTHER),
        # One without a name among several with names.
        (Engine(**{"b:1": THIRD, "x": OTHER}), ["b:1", OTHER], {"tags": ["made-up:sha256-1"]}, OTHER),
        (Engine(), [], {}, None),
    ],
)
def test_an_image_that_was_loaded(engine, loaded, more, found):
    assert named(engine, loaded, **more) == found


def test_images_that_nobody_can_tell_apart_are_not_mixed_up():
    """Both would get the names of the first one; where the engine counts as the tar does there is no doubt."""
    with pytest.raises(hashing.Damaged, match="docker tag"):
        named(Engine(x=OTHER, y=THIRD), [OTHER, THIRD], tags=["made-up:sha256-1"])
    assert named(Engine(x=OWN, y=THIRD), [OWN, THIRD], tags=["made-up:sha256-1"]) == OWN
