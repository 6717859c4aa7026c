# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models of all forms: whole, cut, unreadable, absent."""

from __future__ import annotations

import json
import os
import struct

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import hub_cache, model_files

COMMIT = "c" * 40


def shard(path, size=64, cut=0, more=0, header=None, tensor="w"):
    raw = header if header is not None else json.dumps(
        {"__metadata__": {"format": "pt"}, tensor: {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    ).encode()  # fmt: skip
    data = struct.pack("<Q", len(raw)) + raw + b"\0" * size
    data = data[: len(data) - cut] + b"\0" * more
    path.write_bytes(data)
    return len(data)


def model(folder, shards=1):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    (folder / "tokenizer.json").write_text("{}")
    if shards == 1:
        shard(folder / "model.safetensors")
        return folder
    names = ["model-{0:05d}-of-{1:05d}.safetensors".format(n, shards) for n in range(1, shards + 1)]
    for number, name in enumerate(names):
        shard(folder / name, tensor="w{0}".format(number))
    weight_map = {"w{0}".format(number): name for number, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def codes(found):
    return [entry["code"] for entry in found["problems"]]


def test_a_whole_directory(tmp_path):
    found = model_files.look(str(model(tmp_path / "m", 3)))
    assert found["status"] == "complete" and found["format"] == "safetensors" and found["files"] == 3
    assert found["bytes"] == sum(p.stat().st_size for p in (tmp_path / "m").glob("*.safetensors"))
    assert found["config"] == {"model_type": "qwen3"} and found["tokenizer"] and not found["chat_template"]
    assert found["problems"] == []


@pytest.mark.parametrize(
    "change, code",
    [
        ({"cut": 1}, "model.weights-corrupt"),
        ({"cut": 120}, "model.weights-corrupt"),
        ({"more": 5}, "model.weights-corrupt"),
        ({"header": b"{"}, "model.weights-corrupt"),
        ({"header": b"\xff\xfe"}, "model.weights-corrupt"),
        ({"header": b"[]"}, "model.weights-corrupt"),
        ({"header": b'{"w": {"data_offsets": []}}'}, "model.weights-corrupt"),
    ],
)
def test_a_damaged_shard(tmp_path, change, code):
    folder = model(tmp_path / "m", 2)
    path = folder / "model-00002-of-00002.safetensors"
    shard(path, **change)
    found = model_files.look(str(folder))
    assert found["status"] == "incomplete" and codes(found) == [code]
    (wrong,) = found["problems"]
    assert wrong["path"] == str(path) and wrong["message"] and wrong["fix"]


def test_a_header_as_long_as_the_moon_is_not_read(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    assert codes(model_files.look(str(folder))) == ["model.weights-corrupt"]


@pytest.mark.parametrize("content", [b"", b"1234567"])
def test_an_empty_shard(tmp_path, content):
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(content)
    assert codes(model_files.look(str(folder))) == ["model.weights-corrupt"]


def test_a_git_lfs_pointer(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    found = model_files.look(str(folder))
    assert codes(found) == ["model.pointer-file"] and "git lfs pull" in found["problems"][0]["fix"]


def test_a_missing_shard_by_index_and_by_number(tmp_path):
    folder = model(tmp_path / "m", 3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert codes(model_files.look(str(folder))) == ["model.shard-missing"]
    (folder / "model.safetensors.index.json").unlink()
    assert codes(model_files.look(str(folder))) == ["model.shard-missing"]


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../../etc/passwd"}}'])
def test_a_damaged_index(tmp_path, text):
    folder = model(tmp_path / "m", 2)
    (folder / "model.safetensors.index.json").write_text(text)
    found = model_files.look(str(folder))
    assert found["status"] == "incomplete" and codes(found) == ["model.index-invalid"]


def test_parts_that_are_missing(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    found = model_files.look(str(folder))
    assert found["status"] == "incomplete" and found["tokenizer"] is False
    assert codes(found) == ["model.tokenizer-missing"]
    # vLLM can be told of another tokenizer.
    assert model_files.look(str(folder), needs_tokenizer=False)["status"] == "complete"
    (folder / "config.json").write_bytes(b"\xff{")
    assert "model.config-invalid" in codes(model_files.look(str(folder)))
    (folder / "config.json").unlink()
    (folder / "model.safetensors").unlink()
    (folder / "README.md").write_text("x")
    found = model_files.look(str(folder))
    assert found["status"] == "incomplete" and found["format"] is None
    assert codes(found) == ["model.absent"]
    (folder / "README.md").unlink()
    # Nothing at all is said once.
    assert codes(model_files.look(str(folder))) == ["model.absent"]


def test_chat_templates_of_all_kinds(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ x }}"}')
    assert model_files.look(str(folder))["chat_template"] is True
    (folder / "tokenizer_config.json").write_text("{}")
    assert model_files.look(str(folder))["chat_template"] is False
    (folder / "chat_template.jinja").write_text("x")
    assert model_files.look(str(folder))["chat_template"] is True


def hub(tmp_path, revision="main", shards=2):
    """A cache as huggingface_hub writes it: refs, snapshots of links, blobs."""
    base = tmp_path / "hub" / "models--org--name"
    snapshot = model(base / "snapshots" / COMMIT, shards)
    (base / "blobs").mkdir()
    for number, path in enumerate(sorted(snapshot.iterdir())):
        blob = base / "blobs" / "{0:064d}".format(number)
        path.rename(blob)
        path.symlink_to(os.path.relpath(str(blob), str(snapshot)))
    (base / "refs" / os.path.dirname(revision)).mkdir(parents=True)
    (base / "refs" / revision).write_text(COMMIT)
    return base


@pytest.mark.parametrize("asked", [None, "main", COMMIT])
def test_a_hub_model_is_followed_to_its_commit(tmp_path, asked):
    base = hub(tmp_path)
    found = model_files.look("org/name", asked, str(tmp_path / "hub"))
    assert found["status"] == "complete" and found["commit"] == COMMIT
    assert found["path"] == str(base / "snapshots" / COMMIT) and found["files"] == 2


def test_a_revision_with_a_slash(tmp_path):
    hub(tmp_path, "refs/pr/1")
    assert model_files.look("org/name", "refs/pr/1", str(tmp_path / "hub"))["status"] == "complete"
    assert model_files.look("org/name", "../../../x", str(tmp_path / "hub"))["status"] == "absent"


def test_a_revision_that_is_not_there_names_those_that_are(tmp_path):
    hub(tmp_path)
    found = model_files.look("org/name", "v2", str(tmp_path / "hub"))
    assert found["status"] == "absent" and codes(found) == ["model.revision-absent"]
    assert "main" in found["problems"][0]["fix"]


def test_a_link_without_its_blob(tmp_path):
    base = hub(tmp_path)
    path = base / "snapshots" / COMMIT / "model-00001-of-00002.safetensors"
    os.unlink(os.path.realpath(str(path)))
    (base / "blobs" / "ab.incomplete").write_text("x")
    found = model_files.look("org/name", None, str(tmp_path / "hub"))
    assert found["status"] == "incomplete"
    assert codes(found) == ["model.shard-missing", "model.download-incomplete"]
    assert "link" in found["problems"][0]["message"]


@pytest.mark.parametrize("name", ["org/name", "name", "a b", "../etc", "a/b/c", "", "x\0y", "/x\0y", "\udcff"])
def test_what_is_not_there_is_absent(tmp_path, name):
    assert model_files.look(name, None, str(tmp_path))["status"] == "absent"


def test_the_default_cache_is_the_hubs(monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/x")
    assert hub_cache.default_cache() == "/home/x/.cache/huggingface/hub"
    monkeypatch.setenv("HF_HOME", "/hf")
    assert hub_cache.default_cache() == "/hf/hub"
    monkeypatch.setenv("HUGGINGFACE_HUB_CACHE", "/older")
    assert hub_cache.default_cache() == "/older"
    monkeypatch.setenv("HF_HUB_CACHE", "/cache")
    assert hub_cache.default_cache() == "/cache"


def gguf(path, magic=b"GGUF", version=3):
    path.write_bytes(struct.pack("<4sI", magic, version) + b"\0" * 32)
    return path


def test_gguf_files(tmp_path):
    found = model_files.look(str(gguf(tmp_path / "tiny.gguf")))
    assert (found["status"], found["format"], found["files"], found["bytes"]) == ("complete", "gguf", 1, 40)
    assert codes(model_files.look(str(gguf(tmp_path / "a.gguf", b"GGML"))))[0] == "model.gguf-invalid"
    assert codes(model_files.look(str(gguf(tmp_path / "b.gguf", version=9))))[0] == "model.gguf-invalid"


def test_gguf_shards(tmp_path):
    for number in (1, 2, 3):
        gguf(tmp_path / "big-{0:05d}-of-00003.gguf".format(number))
    path = str(tmp_path / "big-00002-of-00003.gguf")
    assert model_files.look(path)["status"] == "complete" and model_files.look(path)["files"] == 3
    (tmp_path / "big-00003-of-00003.gguf").unlink()
    assert codes(model_files.look(path))[0] == "model.shard-missing"


def test_other_files_are_no_models(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("x")
    assert model_files.look(str(path))["status"] == "absent"


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_an_unreadable_directory_for_a_user(tmp_path):
    folder = model(tmp_path / "m")
    folder.chmod(0)
    try:
        assert model_files.look(str(folder))["status"] == "unreadable"
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("where", ["open", "listdir"])
def test_what_cannot_be_read_is_unreadable(tmp_path, monkeypatch, where):
    """The same for root, whom permissions do not stop (a network file system does)."""
    folder = model(tmp_path / "m")

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    if where == "open":
        monkeypatch.setattr("builtins.open", refuse)
    else:
        monkeypatch.setattr(os, "listdir", refuse)
    found = model_files.look(str(folder))
    assert found["status"] == "unreadable" and "Permission denied" in found["problems"][0]["message"]
