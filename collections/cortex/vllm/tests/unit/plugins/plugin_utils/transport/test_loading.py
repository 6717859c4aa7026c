# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which images a tar has, as Docker, Podman and the containerd store write its list."""

from __future__ import annotations

import json
import tarfile

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import loading

A, B = "a" * 64, "b" * 64
DIGEST = f"vllm/vllm-openai@sha256:{'d' * 64}"


def listing(*entries, text=None, problem=None):
    return {"size": 7, "listing": text or json.dumps(list(entries)), "problem": problem}


def entry(config, *tags):
    return {"Config": config, "RepoTags": list(tags) or None, "Layers": []}


def chosen(said, **more):
    return loading.chosen(said, loading.Settings("/srv/x.tar", "/s", **more))


@pytest.mark.parametrize("config", [f"{A}.json", f"blobs/sha256/{A}", A])
def test_an_image_is_named_by_its_configuration(config):
    (image,) = chosen(listing(entry(config, "vllm:1")), digests={"vllm:1": DIGEST})
    assert (image["id"], image["key"], image["tags"], image["names"]) == (f"sha256:{A}", "vllm:1", ["vllm:1"], [DIGEST])


def test_an_image_without_a_name_gets_one():
    (image,) = chosen(listing(entry(A)))
    assert image["tags"] == [f"cortex-vllm/loaded:sha256-{A[:12]}"]
    (image,) = chosen(listing(entry(A)), digests={f"sha256:{A}": DIGEST})
    assert image["tags"] == [f"vllm/vllm-openai:sha256-{A[:12]}"]


def test_some_of_several_are_wanted():
    said = listing(entry(A, "vllm:latest", "vllm:1"), entry(B, "other:1"))
    assert [image["id"] for image in chosen(said, images=("vllm", "vllm:1"))] == [f"sha256:{A}"]
    assert [image["id"] for image in chosen(said, images=(B, "vllm:1"))] == [f"sha256:{B}", f"sha256:{A}"]
    with pytest.raises(FindingsError) as refused:
        chosen(said, images=("vllm:2",))
    (finding,) = refused.value.findings
    assert finding.code == "bundle.lacks" and "vllm:1" in finding.fix and "other:1" in finding.fix


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (listing(problem="No such file or directory"), "No such file"),
        ({"size": 7, "listing": None, "problem": None}, "no images that an engine loads"),
        (listing(text="{"), "damaged manifest.json"),
        (listing(text="[" * 100_000), "damaged manifest.json"),
        (listing(text="[]"), "names no image"),
        (listing(text='{"a": 1}'), "damaged manifest.json"),
        (listing(text="[null]"), "damaged manifest.json"),
        (listing({"Config": "../../etc/passwd"}), "no configuration of an image"),
        (listing({"Config": None}), "damaged manifest.json"),
    ],
)
def test_what_is_no_list_of_images(said, words):
    with pytest.raises(FindingsError) as refused:
        chosen(said)
    (finding,) = refused.value.findings
    assert finding.code == "bundle.damaged" and words in finding.message


def test_members_of_a_tar(tmp_path):
    """Compressed too, and with ./ before its names; of what is no tar the reason is told."""
    (tmp_path / "manifest.json").write_text("[]")
    for name, mode, inside in (("a.tar", "w", "manifest.json"), ("b.tar.gz", "w:gz", "./manifest.json")):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(tmp_path / "manifest.json", inside)
        assert loading.members(str(tmp_path / name))["listing"] == "[]"
    (tmp_path / "c.tar").write_bytes(b"no tar")
    assert loading.members(str(tmp_path / "c.tar"))["problem"]
    assert "No such file" in loading.members(str(tmp_path / "none"))["problem"]
