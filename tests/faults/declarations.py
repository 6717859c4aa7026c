# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults that lie in what is declared: bad fields, broken files of a model, what the engine itself refuses."""

from __future__ import annotations

import json
import typing as t

from .bench import Bench
from .kinds import REFUSED, ROLLED_BACK, body, declared, file

DECLARATIONS = [
    declared("unknown field", "spec.unknown-field", modle="/x"),
    declared("wrong type", "spec.value", server_port="eight"),
    declared("port out of range", "spec.value", server_port=70000),
    declared("relative model path", "spec.value", model="./models/x"),
    declared("no model at all", "spec.missing", model=None),
    declared("unknown argument", "argument.unknown", engine_args={"max_modellen": 128}),
    declared("argument of another release", "argument.removed", engine_args={"num_lookahead_slots": 3}),
    declared("value that is no number", "argument.value", engine_args={"max_model_len": "long"}),
    declared("value that is no choice", "argument.choice", engine_args={"dtype": "float99"}),
    declared("reserved argument", "argument.reserved", engine_args={"port": 9000}),
    declared("secret in the environment", "security.secret-in-env", env={"HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz"}),
    declared("context beyond the model", "argument.max-model-len", engine_args={"max_model_len": 999999}),
    declared("more ranks than heads divide", "argument.parallel", engine_args={"tensor_parallel_size": 3}),
    # Absent is told of a host with a driver, the driver of one without.
    declared("GPUs that are not there", "gpu.absent", "gpu.driver", gpus=[63]),
    declared("image that is not there", "image.absent", image="local/none:1"),
    declared("mount source that is missing", "path.missing", mounts=["/does/not/exist:/x"]),
    declared("model that is missing", "model.absent", model="/does/not/exist"),
]


def _model(bench: Bench) -> t.Any:
    return bench.directory / "broken"


def _truncate(bench: Bench) -> None:
    path = next(_model(bench).glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-16])


def _header(bench: Bench) -> None:
    next(_model(bench).glob("*.safetensors")).write_bytes(b"\xff" * 64)


def _index(bench: Bench) -> None:
    one = next(_model(bench).glob("*.safetensors"))
    one.rename(_model(bench) / "model-00001-of-00002.safetensors")
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (_model(bench) / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def _without(pattern: str) -> t.Callable[[Bench], None]:
    def harm(bench: Bench) -> None:
        for path in _model(bench).glob(pattern):
            path.unlink()

    return harm


FILES = [
    file("weights cut short", "model.weights-corrupt", _truncate),
    file("weights with a broken header", "model.weights-corrupt", _header),
    file("a shard is missing", "model.shard-missing", _index),
    file("no weights", "model.weights-missing", _without("*.safetensors")),
    file("no config.json", "model.absent", _without("config.json")),
    file("config.json is no JSON", "model.config-invalid", lambda b: (_model(b) / "config.json").write_text("{")),
    file("no tokenizer", "model.tokenizer-missing", _without("token*")),
]


ENGINE = [
    body("device that is missing", "gpu.device", REFUSED, devices=["/dev/nope"]),
    body("network that is missing", "engine.network", REFUSED, network="nobody-made-this"),
    body("further network that is missing", "engine.network", REFUSED, networks=["nobody-made-this"]),
    body("program that is missing", "image.entrypoint", ROLLED_BACK, entrypoint=["/no/such/program"], prove="none"),
    body("log driver that is unknown", "engine.refused", REFUSED, log={"driver": "nobodys"}),
]
