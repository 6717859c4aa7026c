# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle is written on one side of an air gap and restored on the other, whatever happens on the way."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
import sites
from hands import REPOSITORY

MODEL = "org/tiny"
NEEDED = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "2_Dense/pytorch_model.bin"}


@pytest.fixture
def left(tmp_path):
    """The connected side, with a model in its cache in two revisions."""
    site = sites.Site(tmp_path / "left")
    cache = site.folder / "hub"
    sites.write_cache(cache, MODEL, sites.model_files(seed=9), sites.OLDER, refs=("old",))
    sites.write_cache(cache, MODEL, sites.model_files(), sites.COMMIT, refs=("main", "refs/pr/1"))
    return site


@pytest.fixture
def right(tmp_path):
    """The other side; files are sent to it over a connection."""
    return sites.Site(tmp_path / "right", connection="counted")


def bundle(site, **options):
    options.setdefault("hub_cache", str(site.folder / "hub"))
    return site.task("bundle", path=str(site.folder / "bundle"), **options)


def snapshot(cache):
    folder = pathlib.Path(cache) / "models--org--tiny"
    return folder, folder / "snapshots" / sites.COMMIT


@pytest.mark.long
def test_there_and_back(left, right, images):
    """Only what the revision needs crosses; names, links, refs and the image's id survive. Then: nothing."""
    ref, ident = images.make()
    made = bundle(left, images=[ref], models=[MODEL])
    assert made["changed"] and made["models"] == [f"{MODEL}@{sites.COMMIT}"]
    assert {line.split(" ", 1)[1] for line in made["left_out"]} == {"pytorch_model.bin", "onnx/model.onnx"}
    again = bundle(left, images=[ref], models=[MODEL])
    assert not again["changed"] and again["manifest_sha256"] == made["manifest_sha256"]
    assert not any(path.is_symlink() for path in (left.folder / "bundle").rglob("*"))

    images.remove(ident)
    hub = right.folder / "hub"
    options = {"path": str(left.folder / "bundle"), "hub_cache": str(hub), "manifest_sha256": made["manifest_sha256"]}
    foretold = right.task("restore", "--check", "--diff", **options)
    assert foretold["changed"] and not hub.exists() and images.id(ref) is None
    assert "model.safetensors" in foretold["diff"]["after"]
    done = right.task("restore", part_size=100_000, **options)
    assert done["changed"] and done["sent"] > 300_000
    assert images.id(ref) == ident

    folder, files = snapshot(hub)
    _, source = snapshot(left.folder / "hub")
    assert {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()} == NEEDED
    for name in NEEDED:
        assert (files / name).is_symlink() and (files / name).read_bytes() == (source / name).read_bytes()
        assert (files / name).readlink() == (source / name).readlink()
    assert sites.tree(folder / "refs") == {"main": sites.COMMIT.encode(), "refs/pr/1": sites.COMMIT.encode()}
    assert not list(folder.rglob("*.part")) and not (folder / ".cortex-vllm-incoming").exists()
    assert right.task("download", "--check", model=MODEL, hub_cache=str(hub))["changed"] is False
    assert not right.task("restore", **options)["changed"]
    assert right.task("restore", verify=True, **options)["changed"] is False


@pytest.mark.long
def test_the_hubs_own_client_reads_it(left, right):
    bundle(left, models=[MODEL])
    hub = right.folder / "hub"
    right.task("restore", path=str(left.folder / "bundle"), hub_cache=str(hub))
    python = subprocess.run([REPOSITORY / "tools/hub-environment"], capture_output=True, text=True, check=True)
    program = (
        "import huggingface_hub as h, sys; c = sys.argv[1]; "
        f"print(h.snapshot_download({MODEL!r}, cache_dir=c, local_files_only=True)); "
        f"print(h.hf_hub_download({MODEL!r}, 'model.safetensors', cache_dir=c, local_files_only=True)); "
        "print([w.args for w in h.scan_cache_dir(c).warnings])"
    )
    told = subprocess.run(
        [python.stdout.strip(), "-c", program, hub], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    _, files = snapshot(hub)
    assert told == [str(files), str(files / "model.safetensors"), "[]"]


def test_a_changed_byte_is_refused_by_name(left, right, images):
    """On the way to the host, on a medium at the host, and by who only looks; what is sound arrives all the same."""
    ref, ident = images.make()
    bundle(left, images=[ref], models=[MODEL])
    images.remove(ident)
    top = left.folder / "bundle"
    (tar,) = (top / "images").iterdir()
    manifest = json.loads((top / "manifest.json").read_text())
    weights = manifest["models"][0]["files"]["model.safetensors"]["sha256"]
    for path in (tar, top / "blobs" / weights):
        with path.open("r+b") as stream:
            stream.seek(1000)
            byte = stream.read(1)
            stream.seek(1000)
            stream.write(bytes([byte[0] ^ 1]))

    looked = left.task("bundle_info", path=str(top), expect=2)
    assert f"images/{tar.name} has another content" in looked.last["msg"] and weights in looked.last["msg"]
    hub = right.folder / "hub"
    sent = right.task("restore", path=str(top), hub_cache=str(hub), expect=2)
    assert {finding["code"] for finding in sent.last["findings"]} == {"bundle.damaged"}
    assert weights in sent.last["msg"] and tar.name in sent.last["msg"]
    assert images.id(ref) is None and not snapshot(hub)[1].exists()
    mounted = right.task("restore", path=str(top), remote_src=True, hub_cache=str(hub), expect=2)
    assert weights in mounted.last["msg"] and tar.name in mounted.last["msg"]
    folder, files = snapshot(hub)
    assert images.id(ref) is None and not (folder / "refs").exists()
    assert not (files / "model.safetensors").exists() and (files / "config.json").exists()


def test_sending_goes_on_where_it_was_interrupted(left, right):
    made = bundle(left, models=[MODEL])
    hub = right.folder / "hub"
    options = {"path": str(left.folder / "bundle"), "hub_cache": str(hub), "part_size": 30_000}
    right.interrupt(right.book(restore=options), lambda: right.puts() >= 5)
    parts = list(hub.rglob("*.part"))
    assert parts and not snapshot(hub)[1].exists()
    have = sum(path.stat().st_size for path in parts)
    done = right.task("restore", **options)
    assert done["sent"] <= made["bytes"] - have + 30_000 and done["sent"] < made["bytes"]
    assert snapshot(hub)[1].joinpath("model.safetensors").read_bytes() == sites.model_files()["model.safetensors"]
    assert not right.task("restore", **options)["changed"]


@pytest.mark.long
def test_a_bundle_that_was_interrupted_is_finished(left, images):
    """Whatever an unfinished bundle has is kept; leftovers of the interruption go."""
    made = bundle(left, models=[MODEL])
    top = left.folder / "bundle"
    manifest = json.loads((top / "manifest.json").read_text())
    entries = manifest["models"][0]["files"]
    keys = {f"{MODEL}@main {name}": entry for name, entry in entries.items() if name != "model.safetensors"}
    files = {f"blobs/{entry['sha256']}": manifest["files"][f"blobs/{entry['sha256']}"] for entry in keys.values()}
    (top / "manifest.json").unlink()
    (top / "blobs" / entries["model.safetensors"]["sha256"]).unlink()
    (top / "manifest.unfinished.json").write_text(json.dumps({"files": files, "keys": keys}))
    again = bundle(left, models=[MODEL])
    assert again["written"] == [f"{MODEL}@main model.safetensors"]
    assert json.loads((top / "manifest.json").read_text())["files"] == manifest["files"]
    assert not (top / "manifest.unfinished.json").exists()
    assert made["bytes"] == again["bytes"]
    gone = bundle(left)
    assert gone["changed"] and len(gone["removed"]) == len(NEEDED) and not list((top / "blobs").iterdir())


@pytest.mark.long
def test_what_is_damaged_before_is_not_bundled(left):
    folder = left.folder / "hub" / "models--org--tiny"
    blob = (folder / "snapshots" / sites.COMMIT / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    outcome = left.task(
        "bundle", path=str(left.folder / "bundle"), hub_cache=str(left.folder / "hub"), models=[MODEL], expect=2
    )
    assert "model.safetensors is damaged" in outcome.last["msg"]
    assert not (left.folder / "bundle" / "manifest.json").exists()


@pytest.mark.long
def test_models_that_are_paths(left, right):
    """A directory, and a GGUF file with what lies beside it, return to their place."""
    top = left.folder / "models"
    contents = {
        "a/config.json": b"{}",
        "a/sub/x.txt": b"x",
        "q-00001-of-00002.gguf": b"G1",
        "q-00002-of-00002.gguf": b"G2",
        "other.gguf": b"no",
        "tokenizer.json": b"{}",
    }
    for name, content in contents.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    before = sites.tree(top)
    bundle(left, models=[str(top / "a"), str(top / "q-00001-of-00002.gguf")])
    subprocess.run(["rm", "-r", top], check=True)
    done = right.task("restore", path=str(left.folder / "bundle"))
    del before["other.gguf"]
    assert done["changed"] and sites.tree(top) == before
