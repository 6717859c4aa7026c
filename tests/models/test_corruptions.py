# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sound caches are found sound; each way of breaking one is found, and told as what it is."""

from __future__ import annotations

import json
import os
import pathlib
import struct
from collections.abc import Callable

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files

from . import caches

pytest.importorskip("gguf")

REPOSITORY = "org/chat"


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two revisions of a chat model, which share blobs, as a host has them after an update."""
    old = caches.chat_model()
    old["config.json"] = caches.text({**caches.QWEN3, "hidden_size": 32})
    caches.hub(tmp_path / "hub", REPOSITORY, old, caches.OLD, "v1")
    caches.hub(tmp_path / "hub", REPOSITORY, caches.chat_model())
    return tmp_path / "hub"


def look(cache: pathlib.Path, model: str = REPOSITORY, revision: str | None = None) -> dict:
    return model_files.look(model, revision, str(cache))


def codes(found: dict) -> list[str]:
    return sorted({entry["code"] for entry in found["problems"] if entry["severity"] == "error"})


def test_sound_revisions_are_sound(cache: pathlib.Path) -> None:
    for revision, commit in ((None, caches.NEW), ("v1", caches.OLD), (caches.OLD, caches.OLD)):
        found = look(cache, revision=revision)
        assert (found["status"], found["problems"], found["commit"]) == ("complete", [], commit)
        assert (found["files"], found["tokenizer_kind"], found["chat_template"]) == (3, "fast", True)
        # 3 shards, 2 tensors each, of 16 x 8 in two bytes.
        assert found["tensors"] == {"count": 6, "parameters": 768, "dtypes": {"BF16": 1536}}


SHARD = "model-00002-of-00003.safetensors"
Break = Callable[[pathlib.Path, pathlib.Path], None]


def _blob(path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(os.path.realpath(path))


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Break:
    def broken(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
        blob = _blob(snapshot / name)
        blob.write_bytes(change(blob.read_bytes()))

    return broken


def header(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    """Change the header of a safetensors file and leave its data."""

    def changed(content: bytes) -> bytes:
        length = struct.unpack("<Q", content[:8])[0]
        said = json.loads(content[8 : 8 + length])
        change(said)
        raw = json.dumps(said).encode()
        return struct.pack("<Q", len(raw)) + raw + content[8 + length :]

    return changed


def first(said: dict) -> dict:
    return next(value for key, value in said.items() if key != "__metadata__")


def unlink(name: str, blob: bool = False) -> Break:
    def broken(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
        (_blob(snapshot / name) if blob else snapshot / name).unlink()

    return broken


def ref(text: str) -> Break:
    return lambda folder, snapshot: (folder / "refs" / "main").write_text(text)


def several(*breaks: Break) -> Break:
    def broken(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
        for one in breaks:
            one(folder, snapshot)

    return broken


def incomplete(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
    """Cut off while the second shard came: what came lies beside, and nothing links to it."""
    blob = _blob(snapshot / SHARD)
    blob.rename(blob.with_name(blob.name + ".incomplete"))
    (snapshot / SHARD).unlink()


def other_revisions_shard(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
    _blob(snapshot / SHARD).write_bytes(caches.safetensors({"other.weight": ("BF16", [4])}))


def drop_tokenizer(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (snapshot / name).unlink()


def pickles(content: bytes) -> Break:
    def broken(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
        for path in snapshot.glob("*.safetensors*"):
            path.unlink()
        (snapshot / "pytorch_model.bin").write_bytes(content)

    return broken


def remote(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
    rewrite("config.json", lambda raw: caches.text({**json.loads(raw), "auto_map": {"AutoConfig": "cfg.C"}}))(
        folder, snapshot
    )
    (snapshot / "cfg.py").write_text("from .deeper import C\n")


def vision(folder: pathlib.Path, snapshot: pathlib.Path) -> None:
    rewrite("config.json", lambda raw: caches.text({**json.loads(raw), "vision_config": {"depth": 1}}))(
        folder, snapshot
    )


CORRUPTIONS: list[tuple[str, Break, list[str], str]] = [
    (
        "repository gone",
        lambda folder, snapshot: folder.rename(folder.parent / "x"),
        ["model.absent"],
        "not in the hub",
    ),
    ("ref gone", lambda folder, snapshot: (folder / "refs" / "main").unlink(), ["model.revision-absent"], "main"),
    ("snapshot gone", lambda folder, snapshot: snapshot.rename(folder / "x"), ["model.snapshot-missing"], "no such"),
    ("ref to nowhere", ref("c" * 40), ["model.snapshot-missing"], "c" * 40),
    ("ref with a newline", ref(caches.NEW + "\n"), ["model.ref-invalid"], "newline"),
    ("ref with garbage", ref("main"), ["model.ref-invalid"], "no commit"),
    ("empty ref", ref(""), ["model.ref-invalid"], "no commit"),
    ("ref of zeros", ref("\0" * 40), ["model.ref-invalid"], "no commit"),
    ("download cut off", incomplete, ["model.download-incomplete", "model.shard-missing"], "not downloaded"),
    ("blob gone", unlink(SHARD, blob=True), ["model.shard-missing"], "is a link to"),
    ("shard gone", unlink(SHARD), ["model.shard-missing"], "is missing"),
    (
        "shard and index gone",
        several(unlink(SHARD), unlink("model.safetensors.index.json")),
        ["model.shard-missing"],
        "is missing",
    ),
    ("index cut", rewrite("model.safetensors.index.json", lambda raw: raw[:40]), ["model.index-invalid"], "damaged"),
    (
        "index leads away",
        rewrite("model.safetensors.index.json", lambda raw: raw.replace(b"model-00001", b"../../etc")),
        ["model.index-invalid"],
        "no usable file name",
    ),
    ("shard cut in its data", rewrite(SHARD, lambda raw: raw[:-100]), ["model.weights-corrupt"], "cut off"),
    ("shard cut in its header", rewrite(SHARD, lambda raw: raw[:60]), ["model.weights-corrupt"], "inside its header"),
    ("shard cut to 4 bytes", rewrite(SHARD, lambda raw: raw[:4]), ["model.weights-corrupt"], "only 4 bytes"),
    ("shard empty", rewrite(SHARD, lambda raw: b""), ["model.weights-corrupt"], "is empty"),
    ("shard of zeros", rewrite(SHARD, lambda raw: b"\0" * len(raw)), ["model.weights-corrupt"], "not a safetensors"),
    (
        "shard of text",
        rewrite(SHARD, lambda raw: b"<html>404 not found</html>" * 40),
        ["model.weights-corrupt"],
        "not a",
    ),
    ("shard too long", rewrite(SHARD, lambda raw: raw + b"\0" * 9), ["model.weights-corrupt"], "9 bytes more"),
    (
        "header no JSON",
        rewrite(SHARD, lambda raw: raw[:8] + b"}" + raw[9:]),
        ["model.weights-corrupt"],
        "damaged header",
    ),
    (
        "offsets overlap",
        rewrite(SHARD, header(lambda said: first(said).update(data_offsets=[16, 272]))),
        ["model.weights-corrupt"],
        "damaged header",
    ),
    (
        "shape and bytes differ",
        rewrite(SHARD, header(lambda said: first(said).update(shape=[16, 9]))),
        ["model.weights-corrupt"],
        "not its shape",
    ),
    ("shard of another revision", other_revisions_shard, ["model.tensor-missing"], "lacks 2 tensors"),
    (
        "pointer of Git LFS",
        rewrite(SHARD, lambda raw: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ["model.pointer-file"],
        "Git LFS pointer",
    ),
    ("config gone", unlink("config.json"), ["model.absent"], "no config.json"),
    ("config's blob gone", unlink("config.json", blob=True), ["model.absent"], "link"),
    ("config cut", rewrite("config.json", lambda raw: raw[:-9]), ["model.config-invalid"], "damaged"),
    ("config empty", rewrite("config.json", lambda raw: b""), ["model.config-invalid"], "empty"),
    ("config of zeros", rewrite("config.json", lambda raw: b"\0" * 50), ["model.config-invalid"], "zeros"),
    ("config a list", rewrite("config.json", lambda raw: b"[1]"), ["model.config-invalid"], "not an object"),
    ("tokenizer gone", drop_tokenizer, ["model.tokenizer-missing"], "no tokenizer"),
    ("tokenizer cut", rewrite("tokenizer.json", lambda raw: raw[:50]), ["model.tokenizer-invalid"], "damaged"),
    ("tokenizer empty", rewrite("tokenizer.json", lambda raw: b""), ["model.tokenizer-invalid"], "empty"),
    (
        "tokenizer without a model",
        rewrite("tokenizer.json", lambda raw: b'{"a": 1}'),
        ["model.tokenizer-invalid"],
        "no model",
    ),
    (
        "large tokenizer cut",
        rewrite("tokenizer.json", lambda raw: b"{" + b" " * 3_000_000),
        ["model.tokenizer-invalid"],
        "cut off",
    ),
    ("merges' blob gone", unlink("merges.txt", blob=True), ["model.tokenizer-invalid"], "merges.txt"),
    (
        "tokenizer_config cut",
        rewrite("tokenizer_config.json", lambda raw: raw[:9]),
        ["model.tokenizer-invalid"],
        "damaged",
    ),
    (
        "generation_config cut",
        rewrite("generation_config.json", lambda raw: raw[:5]),
        ["model.generation-config-invalid"],
        "damaged",
    ),
    ("code imports what is not there", remote, ["model.code-missing"], "deeper.py"),
    ("image model without processor", vision, ["model.processor-missing"], "vision_config"),
    (
        "no weights",
        lambda folder, snapshot: [p.unlink() for p in snapshot.glob("*.safetensors*")],
        ["model.weights-missing"],
        "no weights",
    ),
    ("torch file cut", pickles(caches.torch_file()[:-40]), ["model.weights-corrupt"], "zip that was cut off"),
    ("torch file of text", pickles(b"not found" * 30), ["model.weights-corrupt"], "neither a zip nor"),
]


@pytest.mark.parametrize(
    ("broken", "expected", "words"), [row[1:] for row in CORRUPTIONS], ids=[row[0] for row in CORRUPTIONS]
)
def test_each_corruption_has_its_finding(cache: pathlib.Path, broken: Break, expected: list[str], words: str) -> None:
    folder = cache / "models--org--chat"
    broken(folder, folder / "snapshots" / caches.NEW)
    found = look(cache)
    assert codes(found) == expected and found["status"] != "complete"
    told = next(entry for entry in found["problems"] if words in entry["message"])
    assert told["code"] in expected and told["fix"] and (told["path"] is None or told["path"].startswith(str(cache)))


def test_there_are_enough_of_them() -> None:
    assert len(CORRUPTIONS) >= 30 and len({row[3] for row in CORRUPTIONS}) > 25


def test_breaking_one_revision_leaves_the_other_sound(cache: pathlib.Path) -> None:
    rewrite("config.json", lambda raw: b"{")(cache, cache / "models--org--chat" / "snapshots" / caches.NEW)
    assert look(cache)["status"] == "incomplete" and look(cache, revision="v1")["status"] == "complete"


def test_sound_gguf_files_are_sound(tmp_path: pathlib.Path) -> None:
    found = model_files.look(str(caches.gguf(tmp_path / "tiny-Q8_0.gguf")))
    assert (found["status"], found["problems"], found["format"]) == ("complete", [], "gguf")
    assert found["bytes"] == (tmp_path / "tiny-Q8_0.gguf").stat().st_size
    assert found["tensors"] == {"count": 4, "parameters": 4 * 32 * 64, "dtypes": {"Q8_0": 4 * 32 * 64 // 32 * 34}}
    facts = found["gguf"]
    assert (facts["architecture"], facts["quantization"], facts["tokenizer"]) == ("llama", "Q8_0", "gpt2")
    assert facts["chat_template"] is True and found["tokenizer_kind"] == "gguf"
    assert facts["sizes"]["context_length"] == 2048 and facts["sizes"]["vocab_size"] == 512
    paths = caches.gguf_shards(tmp_path)
    assert len(paths) == 3
    for path in paths:
        found = model_files.look(str(path))
        assert (found["status"], found["problems"], found["files"]) == ("complete", [], 3)


def test_types_of_the_package_are_known() -> None:
    import gguf

    from ansible_collections.cortex.vllm.plugins.module_utils import gguf_files

    # A type that is not known has no size: a file of it that was cut off would pass, and its weights count for nothing.
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {number: gguf_files.TYPES.get(number) for number in theirs} == theirs


GGUF: list[tuple[str, Callable[[bytes], bytes], str, str]] = [
    ("cut in its data", lambda raw: raw[:-200], "model.weights-corrupt", "cut off"),
    ("cut in its vocabulary", lambda raw: raw[:2000], "model.weights-corrupt", "inside its metadata"),
    ("cut in its head", lambda raw: raw[:12], "model.weights-corrupt", "inside its head"),
    ("empty", lambda raw: b"", "model.weights-corrupt", "is empty"),
    ("old format", lambda raw: b"GGML" + raw[4:], "model.gguf-invalid", "not a GGUF"),
    ("future version", lambda raw: raw[:4] + struct.pack("<I", 9) + raw[8:], "model.gguf-invalid", "version 9"),
    ("garbage counts", lambda raw: raw[:8] + b"\xff" * 16 + raw[24:], "model.gguf-invalid", "garbage"),
    ("web page", lambda raw: b"<html>" * 100, "model.gguf-invalid", "not a GGUF"),
    ("pointer", lambda raw: b"version https://git-lfs.github.com/spec/v1\n", "model.pointer-file", "pointer"),
]


@pytest.mark.parametrize(("change", "code", "words"), [row[1:] for row in GGUF], ids=[row[0] for row in GGUF])
def test_broken_gguf_files(tmp_path: pathlib.Path, change: Callable[[bytes], bytes], code: str, words: str) -> None:
    path = caches.gguf(tmp_path / "tiny.gguf")
    path.write_bytes(change(path.read_bytes()))
    found = model_files.look(str(path))
    assert codes(found) == [code] and words in found["problems"][0]["message"]


def test_gguf_without_tokenizer_and_with_lost_or_renamed_shards(tmp_path: pathlib.Path) -> None:
    bare = caches.gguf(tmp_path / "bare.gguf", tokenizer=False, template=False)
    found = model_files.look(str(bare))
    assert codes(found) == ["model.tokenizer-missing"] and found["tokenizer"] is False
    assert model_files.look(str(bare), needs_tokenizer=False)["status"] == "complete"
    (tmp_path / "tokenizer.json").write_bytes(caches.text(caches.TOKENIZER))
    assert model_files.look(str(bare))["status"] == "complete"
    one, two, three = caches.gguf_shards(tmp_path)
    kept = two.read_bytes()
    two.write_bytes(three.read_bytes())
    assert codes(model_files.look(str(one))) == ["model.gguf-invalid"]
    two.write_bytes(kept)
    three.unlink()
    assert codes(model_files.look(str(two))) == ["model.shard-missing"]
    alone = tmp_path / "alone.gguf"
    one.rename(alone)
    assert codes(model_files.look(str(alone))) == ["model.shard-missing"]


def test_a_quantization_of_a_repository(tmp_path: pathlib.Path) -> None:
    files = {}
    for quant in ("Q4_K_M", "Q8_0"):
        files[f"tiny-{quant}.gguf"] = caches.gguf(tmp_path / f"tiny-{quant}.gguf").read_bytes()
    caches.hub(tmp_path / "hub", "org/tiny-GGUF", files)
    found = look(tmp_path / "hub", "org/tiny-GGUF:Q4_K_M")
    assert found["status"] == "complete" and found["path"].endswith("tiny-Q4_K_M.gguf")
    found = look(tmp_path / "hub", "org/tiny-GGUF:Q2_K")
    assert codes(found) == ["model.weights-missing"] and "tiny-Q8_0.gguf" in found["problems"][0]["message"]
    found = look(tmp_path / "hub", "org/tiny-GGUF")
    assert "model.absent" in codes(found) and "path of the .gguf file" in found["problems"][0]["fix"]
