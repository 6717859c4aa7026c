# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the task model does on a host: the steps, done by a real detached job, and nothing the second time."""

from __future__ import annotations

import json
import os
import pathlib
import time
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files, model_work
from ansible_collections.cortex.vllm.plugins.plugin_utils import checks, model_needs, observation, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks import model as model_check
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering.arguments import tokenizer_of

from . import caches

TINY = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
FAST = {name: caches.chat_model()[name] for name in ("tokenizer.json", "tokenizer_config.json", "config.json")}


def work(tmp_path: pathlib.Path, do: str, **request: Any) -> dict[str, Any]:
    """Follow a job to its end, as the action does."""
    asked = {"schema": 1, "do": do, "state_dir": str(tmp_path / "state"), "budget": 0.2, **request}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = model_work.model(asked)
        if answer.get("done"):
            return answer
        asked["job"] = answer.get("job")
    raise AssertionError("the job does not end")


def make(tmp_path: pathlib.Path, model: str, **options: Any) -> tuple[list[str], dict[str, Any]]:
    """Plan, do it, plan again: what was done, and the answer. The second plan must have nothing left."""
    wanted = {"model": model, "hub_cache": str(tmp_path / "hub"), "repair": True, **options}
    planned = work(tmp_path, "plan", make=wanted)
    assert not planned["problems"], planned["problems"]
    done = work(tmp_path, "make", make=wanted)
    assert done["message"] == "" and not done["problems"] and done["steps"] == planned["steps"]
    assert work(tmp_path, "plan", make=wanted)["steps"] == []
    return [step["do"] for step in done["steps"]], done


def codes(problems: list[dict[str, Any]]) -> list[str]:
    return [entry["code"] for entry in problems]


def test_a_tokenizer_beside_a_gguf_file_is_accepted_by_the_plan(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "m").mkdir()
    path = caches.gguf(tmp_path / "m" / "tiny.gguf", tokenizer=False)
    caches.hub(tmp_path / "other", TINY, FAST)
    declared = {
        "image": "vllm/vllm-openai:v0.23.0", "offline": True, "gpus": "none", "model": str(path), "tokenizer": TINY,
        "hub_cache": str(tmp_path / "hub"),
    }  # fmt: skip

    def told() -> list[Any]:
        one = spec.load({"chat": declared})[0]
        answers = model_files.looks(observation.query([one], "/s")["models"])
        seen = observation.Observation.parse({"schema": 1, "models": answers})
        entry = answers[model_needs.main(one).key]
        return [list(model_check.check(checks.Server(one, seen, (one,), model=entry))), one, entry]

    findings, _one, _entry = told()
    assert [(item.code, item.severity) for item in findings] == [("model.absent", "error")]
    assert "cortex.vllm.model" in findings[0].fix

    done, answer = make(tmp_path, str(path), tokenizer_from=TINY, hub_cache=str(tmp_path / "other"), role="model")
    assert done == ["copy", "copy", "write"] and answer["model"]["status"] == "complete"
    assert not (tmp_path / "m" / "config.json").exists()

    findings, one, entry = told()
    assert findings == []
    # The declaration keeps the tokenizer's name; the server is given the copy.
    assert tokenizer_of(one, entry) == str(tmp_path / "m")


def test_a_tokenizer_from_a_directory_and_a_changed_one(tmp_path: pathlib.Path) -> None:
    source = caches.directory(tmp_path / "usb", FAST)
    target = caches.directory(tmp_path / "m", {"config.json": FAST["config.json"], **caches.shards(2)})
    done, answer = make(tmp_path, str(target), tokenizer_from=str(source), tokenizer_id=TINY)
    assert done == ["copy", "copy", "write"] and answer["model"]["tokenizer_copy"]["tokenizer"] == TINY
    (source / "tokenizer.json").write_bytes(caches.text({**caches.TOKENIZER, "version": "2.0"}))
    done, answer = make(tmp_path, str(target), tokenizer_from=str(source), tokenizer_id=TINY)
    assert done == ["copy"] and answer["steps"][0]["replaces"] is True
    (source / "tokenizer.json").unlink()
    refused = work(tmp_path, "plan", make={"model": str(target), "tokenizer_from": str(source)})
    assert codes(refused["problems"]) == ["model.tokenizer-missing"]


@pytest.mark.parametrize("text", [caches.NEW + "\n", " " + caches.NEW, "garbage", ""])
def test_refs_are_written_again(tmp_path: pathlib.Path, text: str) -> None:
    folder = caches.hub(tmp_path / "hub", "org/chat", caches.chat_model())
    (folder / "refs" / "main").write_text(text)
    done, answer = make(tmp_path, "org/chat")
    assert done == ["write"] and (folder / "refs" / "main").read_text() == caches.NEW
    assert answer["model"]["status"] == "complete"
    (folder / "refs" / "main").unlink()
    assert make(tmp_path, "org/chat")[0] == ["write"]


def test_a_ref_that_could_mean_two_snapshots_is_left_to_a_person(tmp_path: pathlib.Path) -> None:
    folder = caches.hub(tmp_path / "hub", "org/chat", caches.chat_model())
    caches.hub(tmp_path / "hub", "org/chat", caches.chat_model(2), caches.OLD, None)
    (folder / "refs" / "main").write_text("garbage")
    planned = work(tmp_path, "plan", make={"model": "org/chat", "hub_cache": str(tmp_path / "hub"), "repair": True})
    assert codes(planned["problems"]) == ["model.ref-invalid"] and caches.OLD in planned["problems"][0]["message"]
    assert planned["steps"] == [] and (folder / "refs" / "main").read_text() == "garbage"


@pytest.mark.parametrize("method", ["copy", "hardlink"])
def test_a_revision_from_a_shared_store(tmp_path: pathlib.Path, method: str) -> None:
    store = tmp_path / "store"
    theirs = caches.hub(store, "org/chat", caches.chat_model())
    caches.hub(store, "org/chat", caches.chat_model(5), caches.OLD, "v1")
    _done, answer = make(tmp_path, "org/chat", source=str(store), method=method)
    ours = tmp_path / "hub" / "models--org--chat"
    assert answer["model"]["status"] == "complete" and os.listdir(ours / "snapshots") == [caches.NEW]
    shard = f"snapshots/{caches.NEW}/model-00001-of-00003.safetensors"
    assert (ours / shard).is_symlink() and (ours / shard).read_bytes() == (theirs / shard).read_bytes()
    assert os.path.samefile(ours / shard, theirs / shard) is (method == "hardlink")
    # Only what this revision needs: the index of the other one is not here.
    assert len(list((ours / "blobs").iterdir())) < len(list((theirs / "blobs").iterdir()))
    # A copy that was cut off is made again.
    if method == "copy":
        os.truncate(os.path.realpath(ours / shard), 30)
        assert make(tmp_path, "org/chat", source=str(store))[0] == ["copy"]


def test_a_store_that_is_broken_itself_is_not_copied(tmp_path: pathlib.Path) -> None:
    folder = caches.hub(tmp_path / "store", "org/chat", caches.chat_model())
    (folder / "snapshots" / caches.NEW / "model-00002-of-00003.safetensors").unlink()
    wanted = {"model": "org/chat", "hub_cache": str(tmp_path / "hub"), "source": str(tmp_path / "store")}
    assert codes(work(tmp_path, "plan", make=wanted)["problems"]) == ["model.shard-missing"]
    assert codes(work(tmp_path, "plan", make={**wanted, "source": "/nowhere"})["problems"]) == ["model.absent"]
    directory = caches.directory(tmp_path / "d", caches.chat_model())
    assert make(tmp_path, str(tmp_path / "copy"), source=str(directory))[1]["model"]["status"] == "complete"


def test_one_quantization_of_many_and_a_tokenizer_alone(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("gguf")
    files = {
        f"tiny-{quant}.gguf": caches.gguf(tmp_path / f"tiny-{quant}.gguf", tensors=number + 1).read_bytes()
        for number, quant in enumerate(("Q4_K_M", "Q8_0"))
    }
    caches.hub(tmp_path / "store", "org/tiny", {**files, "config.json": FAST["config.json"]})
    _done, answer = make(tmp_path, "org/tiny:Q8_0", source=str(tmp_path / "store"))
    assert answer["model"]["format"] == "gguf"
    have = os.listdir(tmp_path / "hub" / "models--org--tiny" / "snapshots" / caches.NEW)
    assert sorted(have) == ["config.json", "tiny-Q8_0.gguf"]
    caches.hub(tmp_path / "store", TINY, FAST)
    _done, answer = make(tmp_path, TINY, source=str(tmp_path / "store"), role="tokenizer")
    assert answer["model"]["status"] == "complete"


def test_gguf_shards_come_together(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "store").mkdir()
    one, *_rest = caches.gguf_shards(tmp_path / "store")
    (tmp_path / "store" / "other.gguf").write_bytes(b"x")
    done, answer = make(tmp_path, str(tmp_path / "m" / one.name), source=str(tmp_path / "store"))
    assert done == ["copy"] * 3 and answer["model"]["files"] == 3


def test_unused_revisions_go_when_asked_and_only_those(tmp_path: pathlib.Path) -> None:
    commits = ["%040x" % number for number in range(5)]
    for number, commit in enumerate(commits):
        files = {**caches.chat_model(), "config.json": caches.text({**caches.QWEN3, "n": number})}
        folder = caches.hub(tmp_path / "hub", "org/chat", files, commit, {0: "main", 1: "v1"}.get(number))
    (tmp_path / "state" / "chat").mkdir(parents=True)
    record = {"schema": 1, "server": "chat", "committed": {"body": {"Cmd": ["org/chat", "--revision", commits[2]]}}}
    (tmp_path / "state" / "chat" / "state.json").write_text(json.dumps(record))
    assert make(tmp_path, "org/chat")[0] == []
    done, answer = make(tmp_path, "org/chat", remove_unused=True, keep=[commits[3]])
    assert sorted(os.listdir(folder / "snapshots")) == commits[:4]
    # Shards are shared by all revisions: only its own config.json went with the last one.
    assert done == ["remove", "remove"] and answer["model"]["status"] == "complete"
    for commit in commits[:4]:
        assert model_files.look("org/chat", commit, str(tmp_path / "hub"))["status"] == "complete"


def test_every_byte_is_verified_and_a_flipped_one_is_found(tmp_path: pathlib.Path) -> None:
    folder = caches.hub(tmp_path / "hub", "org/chat", caches.chat_model())
    entry = {"key": "it", "model": "org/chat", "hub_cache": str(tmp_path / "hub")}
    found = work(tmp_path, "verify", models=[entry])["verification"]
    assert (found["problems"], found["unverifiable"]) == ([], []) and found["verified"] == 11
    assert found["bytes"] == sum(len(content) for content in caches.chat_model().values())
    for name in ("model-00002-of-00003.safetensors", "tokenizer.json"):
        blob = pathlib.Path(os.path.realpath(folder / "snapshots" / caches.NEW / name))
        content = bytearray(blob.read_bytes())
        content[-3] ^= 1
        blob.write_bytes(content)
    found = work(tmp_path, "verify", models=[entry])["verification"]
    assert codes(found["problems"]) == ["model.hash-mismatch"] * 2 and found["verified"] == 9
    assert {os.path.basename(entry["path"]) for entry in found["problems"]} == {
        "model-00002-of-00003.safetensors", "tokenizer.json",
    }  # fmt: skip


def test_a_directory_that_the_hubs_own_command_wrote_is_verified_by_its_notes(tmp_path: pathlib.Path) -> None:
    files = caches.chat_model()
    folder = caches.directory(tmp_path / "m", files)
    for name, content in files.items():
        note = folder / ".cache/huggingface/download" / f"{name}.metadata"
        note.parent.mkdir(parents=True, exist_ok=True)
        if name != "README.md":
            note.write_text(f"{caches.NEW}\n{caches.etag(content, name)}\n1700000000.0\n")
    entry = {"key": "it", "model": str(folder)}
    found = work(tmp_path, "verify", models=[entry])["verification"]
    assert (found["problems"], found["unverifiable"], found["verified"]) == ([], ["README.md"], 10)
    (folder / "merges.txt").write_bytes(b"other")
    assert codes(work(tmp_path, "verify", models=[entry])["verification"]["problems"]) == ["model.hash-mismatch"]


def test_what_does_not_fit_is_not_begun(tmp_path: pathlib.Path) -> None:
    folder = caches.hub(tmp_path / "store", "org/chat", caches.chat_model())
    with open(os.path.realpath(folder / "snapshots" / caches.NEW / "README.md"), "wb") as stream:
        stream.truncate(1 << 43)  # sparse: 8 TiB that nobody has free
    wanted = {"model": "org/chat", "hub_cache": str(tmp_path / "hub"), "source": str(tmp_path / "store")}
    answer = work(tmp_path, "make", make=wanted)
    assert "are free" in answer["message"] and not (tmp_path / "hub").exists()
