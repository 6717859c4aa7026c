# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What real vLLM 0.32 died of is foreseen: checks say the code that the diagnosis reads in the recorded log."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files
from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    catalog,
    checks,
    diagnosis,
    model_needs,
    observation,
    spec,
)

from . import caches

ROOT = pathlib.Path(__file__).parents[2]
RECORDINGS = ROOT / "tests/standin/package/vllm/standin/data/recordings"
SHARD = "model-00002-of-00003.safetensors"
OTHER = {"image": "vllm/vllm-openai:v0.32.0", "offline": True, "gpus": "none"}
Case = Callable[[pathlib.Path], dict[str, Any]]


def model(**changes: bytes | None) -> Case:
    """A directory with some files changed, or left out."""

    def made(path: pathlib.Path) -> dict[str, Any]:
        files = {**caches.chat_model(), **changes}
        caches.directory(path / "model", {name: content for name, content in files.items() if content is not None})
        return {"model": str(path / "model")}

    return made


def protected(name: str, mode: int) -> Case:
    def made(path: pathlib.Path) -> dict[str, Any]:
        declared = model()(path)
        (path / "model" / name).chmod(mode)
        return {**declared, "user": "1000:1000"}

    return made


def empty(path: pathlib.Path) -> dict[str, Any]:
    (path / "model").mkdir()
    return {"model": str(path / "model")}


def arguments(**more: Any) -> Case:
    return lambda path: {**model()(path), **more}


CHAT = caches.chat_model()
NO_WEIGHTS = {name: None for name in CHAT if "safetensors" in name}
NO_TOKENIZER = dict.fromkeys(("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"))
REMOTE = caches.text({**caches.QWEN3, "model_type": "own", "auto_map": {"AutoConfig": "own.C"}})

FAILURES: dict[str, Case] = {
    "missing-model-path": lambda path: {"model": str(path / "nope")},
    "model-mount-empty": empty,
    "model-dir-permission-denied": protected(".", 0o700),
    "model-file-permission-denied": protected(SHARD, 0o600),
    "config-json-missing": model(**{"config.json": None}),
    "config-json-bad": model(**{"config.json": b"{bad"}),
    "weights-missing": model(**NO_WEIGHTS),
    "weights-truncated": model(**{SHARD: CHAT[SHARD][:-300]}),
    "weights-corrupt-header": model(**{SHARD: b"\0" * 500}),
    "weights-shard-missing": model(**{SHARD: None}),
    "tokenizer-files-missing": model(**NO_TOKENIZER),
    "tokenizer-repo-offline": arguments(tokenizer="Qwen/Qwen3-0.6B"),
    "trust-remote-code-needed": model(**{"config.json": REMOTE, "own.py": b""}),
    "chat-template-missing": arguments(engine_args={"chat_template": "/nope/template.jinja"}),
    "lora-path-missing": arguments(engine_args={"enable_lora": True, "lora_modules": ["x=/nope/lora"]}),
    "gguf-file": lambda path: {"model": str(caches.gguf(path / "tiny.gguf"))},
}


def foreseen(declaration: dict[str, Any], plugins: Sequence[str] = ()) -> list[str]:
    """What a plan says of it, of files as they lie here. The image was asked which plugins it has."""
    one = spec.load({"chat": {**OTHER, **declaration}})[0]
    answers = model_files.looks(observation.query([one], "/s")["models"])
    image: dict[str, Any] = {"id": "sha256:1", "config": {"Env": {}, "User": ""}, "known": {"vllm_version": "0.32.0"}}
    image["known"]["plugins"] = list(plugins)
    seen = observation.Observation.parse({"schema": 1, "models": answers})
    subject = checks.Server(
        one, seen, (one,), image=image, model=answers[model_needs.main(one).key], release=catalog.release("0.32.0"),
        exact=True,
    )  # fmt: skip
    return [item.code for item in checks.server_findings(subject) if item.severity in ("error", "warning")]


def diagnosed(name: str) -> str:
    lines = (RECORDINGS / f"{name}.log").read_text(encoding="utf-8").splitlines()
    return diagnosis.diagnose(lines, {"code": 1, "oom": False, "error": "", "seconds": 20.0}).findings[0].code


def test_a_sound_model_foresees_nothing(tmp_path: pathlib.Path) -> None:
    assert foreseen(model()(tmp_path)) == []


@pytest.mark.parametrize("name", FAILURES)
def test_the_failure_is_foreseen_with_the_code_of_its_diagnosis(tmp_path: pathlib.Path, name: str) -> None:
    pytest.importorskip("gguf")
    tmp_path.chmod(0o755)
    assert diagnosed(name) in foreseen(FAILURES[name](tmp_path))
