# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What images are asked, when, and what is made of the answers."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, converge, inspection, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import inside
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils import host_double

FLAGS = {"--max-model-len": {"type": "human_int"}, "--brand-new": {"type": "int"}}
PARSER = {"version": "0.99.0", "platform": "cuda", "flags": FLAGS, "environment": {"VLLM_NEW": {}}, "notes": []}


class Remote:
    """A host whose image gives these answers, one slice each."""

    host = "gpu1"

    def __init__(self, host=None, **answers):
        self.calls, self.asked, self.said, self.slices = 0, [], [], {}
        self.answers, self.double = answers, host

    def __call__(self, step, request, secrets=None):
        self.calls += 1
        if step == "observe":
            return {"observation": self.double.observe(request)}
        if step != "image":
            raise AssertionError(step)
        key = request["key"].partition("-")[0]
        answer = self.answers[key]
        if request.get("look") is None and self.slices.get(key):
            return {"done": False, "answer": None, "look": "1", "seconds": 9.0}
        self.asked.append(request["key"])
        if isinstance(answer, str):
            return {"done": True, "answer": None, "message": answer}
        return {"done": True, "answer": answer, "seconds": 12.0}

    def say(self, line):
        self.said.append(line)

    def reset(self):
        raise AssertionError


def entry(**known):
    config = {"Entrypoint": ["vllm", "serve"], "Env": {}, "Labels": {}}
    return {"id": "sha256:1", "config": config, "known": known or None}


def look(remote, ref, found, **more):
    return inspection.look(remote, "/state", ref, found, **more)


@pytest.mark.parametrize(
    ("ref", "declared", "labels"),
    [
        ("x:latest", "0.32.0", {}),
        ("x:latest", None, {"org.opencontainers.image.version": "0.32.0"}),
        ("x:latest", None, {"ai.vllm.image.tag": "vllm/vllm-openai:v0.11.0"}),
    ],
)
def test_an_image_that_says_a_known_release_is_not_asked(ref, declared, labels):
    found = entry()
    found["config"]["Labels"] = labels
    remote = Remote()

    facts = look(remote, ref, found, declared_version=declared)

    assert remote.calls == 0 and rendering.exact(facts)


@pytest.mark.parametrize("ref", ["x:latest", "x@sha256:" + "0" * 64, "sha256:1", "team/own:0.32.0"])
def test_an_image_that_says_nothing_is_asked_for_its_version(ref):
    remote = Remote(version={"version": "0.11.0+cu129", "source": "installed"})

    facts = look(remote, ref, entry())

    assert remote.asked == ["version"]
    assert (facts.version, facts.version_source, rendering.release_for(facts).version) == (
        "0.11.0+cu129",
        "known",
        "0.11.0",
    )
    assert not rendering.release_findings(declared(), facts)


@pytest.mark.parametrize("version", ["0.1.dev1+g1234567", "0.99.0", "0.6.1"])
def test_a_release_outside_of_the_catalogue_is_described_by_its_own_parser(version):
    remote = Remote(version={"version": version, "source": "asked"}, parser=PARSER)

    facts = look(remote, "x:nightly", found := entry())

    assert remote.asked == ["version", "parser"]
    release = rendering.release_for(facts)
    assert sorted(release.flags) == sorted(FLAGS) and list(release.environment) == ["VLLM_NEW"]
    # An untagged build has no number of its own: it counts as the newest.
    assert release.version == (catalog.versions()[-1] if version.startswith("0.1.") else version)
    made = rendering.arguments(declared(engine_args={"brand_new": 3}), release)
    assert made.argv[-2:] == ["--brand-new", "3"] and not made.findings
    assert not rendering.release_findings(declared(), facts)
    # The second time everything is known.
    assert look(Remote(), "x:nightly", found).parser == PARSER


def test_what_cannot_be_asked_is_said_with_the_reason():
    remote = Remote(version="the image did not answer within 300 s")

    facts = look(remote, "x:0.32.0", entry())

    assert (facts.version, facts.version_source) == ("0.32.0", "tag")
    (finding,) = rendering.release_findings(declared(), facts)
    assert finding.code == "release.from-tag" and "did not answer within 300 s" in finding.message

    remote = Remote(version={"problem": "LookupError: no vLLM is installed"})
    (finding,) = rendering.release_findings(declared(), look(remote, "x:latest", entry()))
    assert finding.code == "release.unknown" and "no vLLM is installed" in finding.message

    remote = Remote(parser={"problem": "ImportError: libfoo"})
    (finding,) = rendering.release_findings(declared(), look(remote, "x:1", entry(), declared_version="0.99.0"))
    assert finding.code == "release.unknown" and "ImportError: libfoo" in finding.message


def test_slices_are_followed_and_told():
    remote = Remote(version={"version": "0.32.0", "source": "asked"})
    remote.slices["version"] = True

    look(remote, "x:latest", entry())

    assert remote.calls == 2
    assert remote.said == [
        "[gpu1] image x:latest: asked which vLLM it has, 9 s",
        "[gpu1] image x:latest: answered after 12 s",
    ]


def test_a_look_that_never_ends_is_given_up():
    remote, now = Remote(version={}), iter(range(0, 10_000, 100))
    remote.slices["version"] = True
    remote.__class__ = type("Stuck", (Remote,), {"__call__": lambda self, *_a: {"done": False}})

    facts = look(remote, "x:latest", entry(), clock=lambda: next(now))

    assert "asked for 400 s" in facts.known["version_problem"]


def test_a_script_holds_its_question_and_fits_an_argument():
    text = inside.script("argv", argv=["m", "--x", "'\"\n€"], program="serve")
    compile(text, "script", "exec")
    assert len(inside.script("version")) < len(text) < inside.LONGEST
    with pytest.raises(ValueError, match="too long"):
        inside.script("argv", argv=["x" * inside.LONGEST], program="serve")


def declared(**more):
    return spec.load([{"name": "chat", "image": "x:latest", "model": "/models/x", **more}])[0]


# -- within a converge


@pytest.fixture
def host():
    found = host_double.Host()
    image = found.images[host_double.IMAGE]
    image["known"], image["config"]["Labels"] = None, {}
    return found


def run(host, remote, check_mode=False, steps=("prefetch",), **fields):
    declaration = host_double.server(**fields)
    specs = spec.load({"chat": {key: value for key, value in declaration.items() if key != "name"}})
    settings = converge.Settings(check_mode=check_mode, steps=steps)
    return converge.Converge(specs, settings, remote).run()


def codes(result):
    return {item["code"] for item in result["findings"]}


def test_a_converge_asks_an_image_that_it_does_not_know_and_only_then(host):
    remote = Remote(host, version={"version": "0.32.0", "source": "installed"})
    assert "release.from-tag" not in codes(run(host, remote))
    assert (remote.calls, remote.asked) == (2, ["version"])

    host.images[host_double.IMAGE]["known"] = {"vllm_version": "0.32.0", "source": "installed"}
    remote = Remote(host)
    run(host, remote)
    assert remote.calls == 1


@pytest.mark.parametrize("how", [{"check_mode": True}, {"steps": ()}])
def test_check_mode_asks_nothing(host, how):
    remote = Remote(host)
    assert "release.from-tag" in codes(run(host, remote, **how))
    assert remote.calls == 1


def test_a_command_line_is_proven_before_anything_is_done(host):
    host.images[host_double.IMAGE]["known"] = known = {"vllm_version": "0.32.0", "source": "label"}
    remote = Remote(host, argv={"error": None})
    result = run(host, remote, prove="image")
    assert not codes(result) & {"argument.refused", "argument.unproven"}
    assert remote.calls == 2
    (key,) = remote.asked

    known["proved"] = {key.partition("-")[2]: None}  # what the host keeps of it
    remote = Remote(host)
    run(host, remote, prove="image")
    assert remote.calls == 1

    remote = Remote(host, argv={"error": None})
    run(host, remote, prove="image", engine_args={"max_model_len": 7})
    assert remote.asked not in ([], [key])  # another line is another question


def test_a_refusal_by_the_image_refuses_the_change(host):
    host.images[host_double.IMAGE]["known"] = {"vllm_version": "0.32.0", "source": "label"}
    remote = Remote(host, argv={"error": "error: unrecognized arguments: --x"})
    with pytest.raises(converge.FindingsError) as caught:
        run(host, remote, prove="image")
    (finding,) = [item for item in caught.value.findings if item.code == "argument.refused"]
    assert "unrecognized arguments: --x" in finding.message


def test_a_proof_that_fails_to_run_only_warns(host):
    host.images[host_double.IMAGE]["known"] = {"vllm_version": "0.32.0", "source": "label"}
    result = run(host, Remote(host, argv="killed"), prove="image")
    (row,) = [item for item in result["findings"] if item["code"] == "argument.unproven"]
    assert row["severity"] == "warning" and "killed" in row["message"]
    json.dumps(result)


SOUND = {"status": "complete", "format": "safetensors", "bytes": 7, "files": 1, "problems": [], "config": {"a": 1}}
KNOWN = {"vllm_version": "0.32.0", "source": "label"}


def test_a_model_is_loaded_by_the_image_before_anything_is_done(host):
    host.images[host_double.IMAGE]["known"] = known = dict(KNOWN)
    host.models["/models/qwen"] = SOUND
    remote = Remote(host, argv={"error": None}, model={"error": None, "tokens": 4})
    result = run(host, remote, prove="model")
    assert not codes(result) & {"model.refused", "model.unproven"} and remote.calls == 3
    line, loaded = remote.asked
    assert line.startswith("argv-") and loaded.startswith("model-")
    # The host keeps both, and is asked for neither again; other files are another question.
    known["proved"], known["models"] = {line.partition("-")[2]: None}, {loaded.partition("-")[2]: None}
    remote = Remote(host)
    run(host, remote, prove="model")
    assert remote.calls == 1
    host.models["/models/qwen"] = {**SOUND, "bytes": 8}
    remote = Remote(host, model={"error": None})
    run(host, remote, prove="model")
    assert remote.asked not in ([], [loaded])


def test_what_the_proof_sees_is_the_model_alone_and_nobody_is_asked(host):
    host.images[host_double.IMAGE]["known"] = dict(KNOWN)
    host.models["/models/qwen"] = SOUND
    seen = []

    class Watching(Remote):
        def __call__(self, step, request, secrets=None):
            seen.append(request)
            return super().__call__(step, request, secrets)

    run(host, Watching(host, argv={"error": None}, model={"error": None}), prove="model", secrets={"hf_token": "hush"})
    asked = seen[-1]["wants"]
    assert [mount["Target"] for mount in asked["host_config"]["Mounts"]] == ["/models/qwen"]
    assert asked["env"]["HF_HUB_OFFLINE"] == asked["env"]["TRANSFORMERS_OFFLINE"] == "1"
    assert "hush" not in json.dumps(asked) and not any("TOKEN" in name for name in asked["env"])


def test_a_model_that_the_image_cannot_load_refuses_the_change(host):
    host.images[host_double.IMAGE]["known"] = dict(KNOWN)
    host.models["/models/qwen"] = SOUND
    said = {"error": "ValueError: it makes no tokens", "step": "tokenizer"}
    with pytest.raises(converge.FindingsError) as caught:
        run(host, Remote(host, argv={"error": None}, model=said), prove="model")
    (finding,) = [item for item in caught.value.findings if item.code == "model.refused"]
    assert "tokenizer: ValueError: it makes no tokens" in finding.message
    result = run(host, Remote(host, argv={"error": None}, model="killed"), prove="model")
    (row,) = [item for item in result["findings"] if item["code"] == "model.unproven"]
    assert row["severity"] == "warning" and "killed" in row["message"]


@pytest.mark.parametrize(
    ("plugins", "refused"),
    [({"plugins": []}, True), ({"plugins": ["vllm-gguf-plugin 0.0.5"]}, False), ("killed", False)],
)
def test_for_gguf_the_image_is_asked_for_its_plugins_once(host, plugins, refused):
    host.images[host_double.IMAGE]["known"] = dict(KNOWN)
    host.models["/models/tiny.gguf"] = {
        **SOUND, "format": "gguf", "path": "/models/tiny.gguf", "tokenizer_kind": "fast", "config": None,
        "gguf": {"architecture": "llama"},
    }  # fmt: skip
    remote = Remote(host, plugins=plugins)
    if refused:
        with pytest.raises(converge.FindingsError) as caught:
            run(host, remote, model="/models/tiny.gguf")
        assert "model.config-invalid" in {item.code for item in caught.value.findings}
    else:
        found = {row["code"]: row["severity"] for row in run(host, remote, model="/models/tiny.gguf")["findings"]}
        assert found.get("model.config-invalid") == ("warning" if plugins == "killed" else None)
    assert remote.asked == ["plugins"]


@pytest.mark.parametrize(
    "said, telling",
    [
        (
            "usage: vllm serve [model_tag]\n\nvllm serve: error: argument -cc: 1 validation error\n"
            "no_such_key\n  Unexpected keyword argument\n    For further information visit https://errors.pydantic.dev\n",
            "vllm serve: error: argument -cc: 1 validation error; no_such_key; Unexpected keyword argument",
        ),
        ("usage: vllm\nvllm: error: unrecognized arguments: --foo 1\n", "vllm: error: unrecognized arguments: --foo 1"),
        ("", "refused without a word"),
    ],
)
def test_what_a_parser_says_names_the_key_and_no_address(said, telling):
    from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog.inside import questions

    assert questions._telling(said) == telling


NEWER = {**SOUND, "config": {"model_type": "minicpmv4_7", "architectures": ["LlamaForCausalLM"]}}


@pytest.mark.parametrize(
    ("packages", "refused"),
    [
        ({"packages": {"transformers": "5.16.1", "torch": "2.11.0+cu130"}}, True),
        ({"packages": {"transformers": "5.99.0", "torch": "2.11.0+cu130"}}, False),
        ("killed", False),
    ],
)
def test_a_type_newer_than_the_release_requires_has_the_image_asked_for_its_transformers(host, packages, refused):
    host.images[host_double.IMAGE]["known"] = dict(KNOWN)
    host.models["/models/qwen"] = NEWER
    remote = Remote(host, packages=packages)
    if refused:
        with pytest.raises(converge.FindingsError) as caught:
            run(host, remote)
        assert "model.type" in {item.code for item in caught.value.findings}
    else:
        assert "model.type" not in {row["code"] for row in run(host, remote)["findings"]}
    assert remote.asked == ["packages"]


def test_where_nothing_is_done_no_image_is_asked_for_its_transformers(host):
    host.images[host_double.IMAGE]["known"] = dict(KNOWN)
    host.converge({"chat": host_double.server(model="/models/qwen")})
    host.models["/models/qwen"] = NEWER
    remote = Remote(host)

    run(host, remote)

    assert (remote.calls, remote.asked) == (1, [])
