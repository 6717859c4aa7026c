# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests, needs, logins and progress lines: what the brains of transport decide by themselves."""

from __future__ import annotations

import copy
import typing as t

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.following import Lost
from ansible_collections.cortex.vllm.plugins.plugin_utils.transport import (
    bundling,
    downloading,
    hub_client,
    manifest,
    needs,
    pulling,
    restoring,
    sending,
    work,
)

DIGEST = "sha256:" + "d" * 64
GOOD: dict[str, t.Any] = {
    "schema": 1,
    "files": {
        "images/1.tar": {"size": 5, "sha256": "1" * 64},
        "blobs/" + "2" * 64: {"size": 3, "sha256": "2" * 64},
    },
    "images": [
        {
            "ref": "vllm/vllm-openai:v0.32.0",
            "id": "sha256:" + "9" * 64,
            "file": "images/1.tar",
            "size": 5,
            "tags": ["vllm/vllm-openai:v0.32.0"],
            "names": [f"vllm/vllm-openai@{DIGEST}"],
        }
    ],
    "models": [
        {
            "model": "org/m",
            "revision": "main",
            "commit": "a" * 40,
            "refs": {"main": "a" * 40},
            "files": {"config.json": {"size": 3, "sha256": "2" * 64, "blob": "b" * 40}},
        }
    ],
}


def file_of(content: dict[str, t.Any]) -> dict[str, t.Any]:
    return content["models"][0]["files"]["config.json"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.clear(), "is no manifest"),
        (lambda m: m.update(schema=9), "has schema 9"),
        (lambda m: m["files"].update({"../evil": {"size": 1, "sha256": "0" * 64}}), "../evil"),
        (lambda m: m["files"].update({"/etc/passwd": {"size": 1, "sha256": "0" * 64}}), "/etc/passwd"),
        (lambda m: m["models"][0]["files"].update({"../../evil": file_of(m)}), "../../evil"),
        (lambda m: m["models"][0]["refs"].update({"../x": "a" * 40}), "../x"),
        (lambda m: file_of(m).update(blob="../../x"), "blob"),
        (lambda m: file_of(m).update(sha256="3" * 64), "does not list it"),
        (lambda m: file_of(m).update(size=-1), "size"),
        (lambda m: m.update(images="none"), "images"),
    ],
)
def test_a_manifest_that_is_none_is_refused(change: t.Any, words: str) -> None:
    content = copy.deepcopy(GOOD)
    change(content)
    with pytest.raises(FindingsError) as caught:
        manifest.parse(content, "/b/manifest.json")
    (finding,) = caught.value.findings
    assert finding.code == "bundle.unreadable" and words in str(finding)


def test_only_the_manifest_that_was_meant() -> None:
    manifest.expected(None, "1" * 64, "m")
    manifest.expected("1" * 64, "1" * 64, "m")
    manifest.expected("sha256:" + "1" * 64, "1" * 64, "m")
    with pytest.raises(FindingsError, match="expected is"):
        manifest.expected("2" * 64, "1" * 64, "m")


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["model.safetensors", "pytorch_model.bin", "tf_model.h5"], ["pytorch_model.bin", "tf_model.h5"]),
        (["pytorch_model.bin", "config.json"], []),
        (["model.safetensors", "2_Dense/pytorch_model.bin"], []),
        (
            ["model.safetensors", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin"],
            ["2_Dense/pytorch_model.bin"],
        ),
        (["model.safetensors", "original/consolidated.00.pth"], ["original/consolidated.00.pth"]),
        (["pytorch_model.bin", "training_args.bin", "model.onnx"], ["model.onnx", "training_args.bin"]),
        (["consolidated.safetensors", "params.json", "tekken.json"], []),
        (["model.safetensors", "modeling_x.py", "onnx/config.json"], ["onnx/config.json"]),
    ],
)
def test_files_that_no_server_reads(names: list[str], left: list[str]) -> None:
    rules = {"preferred": needs.PREFERRED, "other": needs.OTHER_FORMATS, "folders": needs.FOLDERS, "never": needs.NEVER}
    assert needs.superfluous(names) == left
    assert hub_client.needless(names, rules) == left
    assert hub_client.needless(names, None) == []


def test_one_quantization_of_a_repository() -> None:
    names = ["m-Q4_K_M.gguf", "m-Q8_0.gguf", "config.json"]
    assert needs.superfluous(names, "q4_k_m") == ["m-Q8_0.gguf"]


def test_what_declarations_need() -> None:
    servers = spec.load(
        {
            "a": {"model": "org/m", "revision": "v1", "tokenizer": "org/t", "server_port": 8001},
            "b": {
                "model": "/srv/x.gguf",
                "hub_cache": "/srv/hub",
                "server_port": 8002,
                "engine_args": {"speculative_config": {"method": "eagle", "model": "org/d"}, "hf_config_path": "org/c"},
            },
            "c": {
                "model": "org/m",
                "server_port": 8003,
                "engine_args": {"speculative_config": {"method": "ngram", "model": "[ngram]"}},
            },
            "d": {"model": "org/gone", "state": "absent"},
            # As people write them: dashes, JSON in text, adapters by name, paths that a mount translates.
            "e": {
                "model": "org/m",
                "server_port": 8004,
                "mounts": ["/srv/shared:/models:ro"],
                "tokenizer": "/models/tokenizer",
                "engine_args": {
                    "speculative-config": '{"model": "org/e", "revision": "v2"}',
                    "lora-modules": ["a=org/adapter", {"name": "b", "path": "/models/b"}],
                    "generation_config": "org/g",
                    "chat_template": "/models/t.jinja",
                },
            },
        },
        {"image": "vllm/vllm-openai:v0.32.0"},
    )
    images, models = needs.of_servers(servers)
    assert images == ["vllm/vllm-openai:v0.32.0"]
    assert [(model.key, model.hub_cache) for model in models] == [
        ("org/m@v1", "/root/.cache/huggingface/hub"),
        ("org/t@main", "/root/.cache/huggingface/hub"),
        ("/srv/x.gguf", None),
        ("org/c@main", "/srv/hub"),
        ("org/d@main", "/srv/hub"),
        ("org/m@main", "/root/.cache/huggingface/hub"),
        ("/models/tokenizer", None),  # is shown where it lies, as a model is
        ("org/g@main", "/root/.cache/huggingface/hub"),
        ("org/e@v2", "/root/.cache/huggingface/hub"),
        ("org/adapter@main", "/root/.cache/huggingface/hub"),
        ("/srv/shared/b", None),
    ]
    assert [model.role for model in models[-5:]] == ["tokenizer", "generation", "draft", "adapter", "adapter"]


@pytest.mark.parametrize("entry", [3, {"revision": "x"}, {"model": "org/m", "cache": "/x"}])
def test_a_model_that_is_none(entry: t.Any) -> None:
    with pytest.raises(FindingsError, match=r"models\[0\]"):
        needs.written([entry], None)


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("vllm/vllm-openai:v0.32.0", True),
        (f"vllm/vllm-openai@{DIGEST}", True),
        (f"docker.io/vllm/vllm-openai:any@{DIGEST}", True),
        (f"other/vllm-openai@{DIGEST}", False),
        ("vllm/vllm-openai:v0.31.0", False),
    ],
)
def test_images_are_found_by_tag_and_digest(ref: str, found: bool) -> None:
    content = manifest.parse(GOOD, "m")
    settings = restoring.Settings("/b", "/s", images=(ref,), models=())
    images, models, problems = restoring.chosen(content, settings)
    assert (len(images), models, [problem.code for problem in problems]) == (
        int(found),
        [],
        [] if found else ["bundle.lacks"],
    )


@pytest.mark.parametrize("revision", [None, "main", "a" * 40])
def test_models_are_found_by_what_the_revision_stands_for(revision: str | None) -> None:
    settings = restoring.Settings("/b", "/s", models=(needs.Model("org/m", revision, "/c"),), images=())
    _images, (model,), problems = restoring.chosen(manifest.parse(GOOD, "m"), settings)
    assert (model["hub_cache"], model["commit"], problems) == ("/c", "a" * 40, [])


@pytest.mark.parametrize(
    ("ref", "tags", "names"),
    [
        ("vllm/vllm-openai:v1", ["vllm/vllm-openai:v1"], ["vllm/vllm-openai@sha256:0"]),
        ("vllm/vllm-openai", ["vllm/vllm-openai:latest"], ["vllm/vllm-openai@sha256:0"]),
        (
            "reg:5000/v@sha256:77",
            ["reg:5000/v:sha256-abcdefabcdef"],
            ["reg:5000/v@sha256:77", "vllm/vllm-openai@sha256:0"],
        ),
        ("sha256:abcdef", ["cortex-vllm/bundled:sha256-abcdefabcdef"], ["vllm/vllm-openai@sha256:0"]),
    ],
)
def test_each_image_has_a_name_on_the_other_side(ref: str, tags: list[str], names: list[str]) -> None:
    image = {
        "id": "sha256:" + "abcdef" * 10,
        "size": 9,
        "digests": ["vllm/vllm-openai@sha256:0"],
        "architecture": "amd64",
    }
    settings = bundling.Settings("/b", "/s", images=(ref,))
    plan = bundling.planned(settings, {"images": {ref: image}, "models": {}, "bundle": None})
    assert (plan.images[0]["tags"], plan.images[0]["names"]) == (tags, names)
    assert plan.save[0]["file"] == "images/" + ("abcdef" * 10)[:24] + ".tar"


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("vllm/vllm-openai:v1", "docker.io"),
        ("debian", "docker.io"),
        ("docker.io/library/debian", "docker.io"),
        ("index.docker.io/library/debian", "docker.io"),
        ("localhost/x", "localhost"),
        ("reg.example.com/x/y@sha256:1", "reg.example.com"),
        ("reg:5000/x", "reg:5000"),
    ],
)
def test_the_registry_of_a_reference(reference: str, registry: str) -> None:
    assert pulling.registry_of(reference) == registry


def test_logins_are_checked_and_never_shown() -> None:
    assert pulling.checked({"reg:5000": {"username": "u", "password": "p"}}) == {
        "reg:5000": {"username": "u", "password": "p"}
    }
    assert set(pulling.checked({"index.docker.io": {"username": "u", "password": "p"}})) == {"docker.io"}
    for wrong in (
        {"reg": {"username": "u", "pass": "hush"}},
        {"reg/x": {}},
        {"reg": "hush"},
        {"reg": {"username": "u"}},
    ):
        with pytest.raises(FindingsError) as caught:
            pulling.checked(wrong)
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("kind", sorted({*downloading.REFUSALS, "other"}))
def test_refusals_of_the_hub_say_what_to_do_and_no_secret(kind: str) -> None:
    settings = downloading.Settings(token="hf_hush", proxy="http://u:hush@p")
    text = "401 for hf_hush by\n http://u:hush@p"
    finding = downloading.refusal({"kind": kind, "text": text}, needs.Model("org/m", None, "/c"), settings)
    assert "hush" not in str(finding) and "\n" not in finding.message and finding.fix


class Host:
    """Takes parts of a file as a host does; loses the connection where it is told to."""

    host = "gpu1"

    def __init__(self, lost: int = 0) -> None:
        self.content, self.lost, self.calls, self.said = b"", lost, 0, []  # type: ignore[var-annotated]

    def __call__(self, step: str, request: t.Any, secrets: t.Any = None) -> dict[str, t.Any]:
        assert step == "receive"
        if request.get("restart"):
            self.content = b""
        if request.get("part") and request["offset"] == len(self.content):
            self.content += request["part"]
            if self.lost:
                self.lost -= 1
                raise Lost("gone")
        return {"have": len(self.content)}

    def put(self, path: str) -> t.Any:
        with open(path, "rb") as stream:
            return stream.read()

    def say(self, line: str) -> None:
        self.said.append(line)

    def reset(self) -> None:
        pass


@pytest.mark.parametrize(("have", "lost"), [(0, 0), (4, 0), (10, 0), (0, 2), (99, 0)])
def test_a_file_is_sent_in_parts(tmp_path: t.Any, have: int, lost: int) -> None:
    content = b"0123456789"
    (tmp_path / "f").write_bytes(content)
    entry = {"size": 10, "sha256": "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"}
    host = Host(lost)
    host.content = content[:have]
    sender = sending.Sender(host, str(tmp_path), 10, 3, sleep=lambda _seconds: None)  # type: ignore[arg-type]
    sender.send("f", entry, "/srv", have)
    assert host.content == content and sender.sent == (10 - have if have < 10 else 10 * (have > 10))
    assert (len(host.said) > 0) == bool(lost)


def test_a_file_that_differs_is_named_and_its_parts_go(tmp_path: t.Any) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    host = Host()
    with pytest.raises(FindingsError, match="f has another content"):
        sending.Sender(host, str(tmp_path), 10, 3).send("f", {"size": 10, "sha256": "0" * 64}, "/srv", 0)  # type: ignore[arg-type]
    assert host.content == b""
    with pytest.raises(FindingsError, match="f has another size"):
        sending.Sender(host, str(tmp_path), 10, 3).send("f", {"size": 11, "sha256": "0" * 64}, "/srv", 0)  # type: ignore[arg-type]
    with pytest.raises(FindingsError, match="g is not there"):
        sending.Sender(host, str(tmp_path), 10, 3).send("g", {"size": 11, "sha256": "0" * 64}, "/srv", 0)  # type: ignore[arg-type]


class Worker:
    """Answers from a list, as the steps with jobs do."""

    host = "gpu1"
    calls = 0

    def __init__(self, *answers: t.Any) -> None:
        self.answers, self.asked, self.said = list(answers), [], []  # type: ignore[var-annotated]

    def __call__(self, step: str, request: t.Any, secrets: t.Any = None) -> dict[str, t.Any]:
        self.asked.append(dict(request))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def say(self, line: str) -> None:
        self.said.append(line)

    def reset(self) -> None:
        pass


def running(done: int) -> dict[str, t.Any]:
    progress = {"bytes": done * 2**20, "total": 8 * 2**20, "what": "a", "files": 1, "of": 2}
    return {"done": False, "own": True, "job": "j", "progress": progress}


def test_work_is_followed_through_a_lost_connection() -> None:
    times = iter(range(0, 1000, 6))
    host = Worker(running(1), Lost("gone"), running(4), {"done": True, "own": True, "result": {"x": 1}})
    assert work.follow(host, "pack", {}, "it", clock=lambda: next(times), sleep=lambda _s: None) == {"x": 1}
    assert [entry.get("work") for entry in host.asked] == [None, "j", "j", "j"]
    assert "[gpu1] it: 4 MiB of 8 MiB, 1 of 2 files, a, " in host.said[-1] and "s left" in host.said[-1]


def test_somebody_elses_work_is_waited_for_first() -> None:
    other = {"done": True, "own": False, "result": {"x": 0}}
    host = Worker(other, {"done": True, "own": True, "result": {"x": 1}})
    assert work.follow(host, "pack", {}, "it") == {"x": 1}


def test_work_that_fails_or_stands_still() -> None:
    with pytest.raises(work.WorkError, match="no space"):
        work.follow(Worker({"done": True, "own": True, "result": None, "message": "no space"}), "pack", {}, "it")
    times = iter(range(0, 100000, 1000))
    with pytest.raises(work.WorkError, match="nothing moved"):
        work.follow(Worker(*[running(1)] * 9), "pack", {}, "it", clock=lambda: next(times))
