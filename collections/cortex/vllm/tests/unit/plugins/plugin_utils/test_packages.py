# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A model's type against the Transformers in the image, or that which the release takes."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils.checks import cuda, packages, tables
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import image_entry
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.test_fit_checks import LLAMA, said, subject


def config(kind, **more):
    return {**LLAMA, "model_type": kind, **more}


def image(**known):
    return {**image_entry(), "known": known}


def has(transformers):
    return image(packages={"transformers": transformers, "torch": "2.8.0+cu128"})


OLD = [("model.type", "error")]


@pytest.mark.parametrize(
    ("kind", "version", "installed", "expected"),
    [
        ("llama", "0.10.0", has("4.43.2"), []),
        ("gpt_oss", "0.10.1.1", has("4.55.0"), []),
        ("gpt_oss", "0.10.1.1", has("4.54.1"), OLD),
        ("gemma3", "0.8.0", has("4.49.0"), OLD),
        ("gemma3", "0.8.0", has("4.50.0.dev0"), []),
        ("gemma4", "0.24.0", has("5.4.0"), OLD),
        ("gemma4", "0.24.0", has("5.10.4"), []),
        ("of-tomorrow", "0.24.0", has("4.50.0"), []),
        # vLLM 0.17 has a configuration of its own for it, and takes Transformers below 5.
        ("qwen3_5", "0.17.1", has("4.57.1"), []),
        # Nobody was asked: only what the release refuses to be installed with is certain.
        ("gemma4", "0.24.0", image(), []),
        ("gemma4", "0.18.1", image(), OLD),
        ("gemma4", "0.18.1", None, OLD),
        # What is in the image counts more than what its release was made for.
        ("gemma4", "0.18.1", has("5.5.0"), []),
        ("gemma4", "0.18.1", image(packages={}), OLD),
    ],
)
def test_the_type_against_the_image(kind, version, installed, expected):
    found = list(packages.check(subject({}, config(kind), version, image=installed)))
    assert said(found) == expected
    if found:
        assert kind in found[0].message and tables.table("transformers")["since"] and found[0].fix


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        ({"hf_config_path": "/models/other"}, {}),
        ({"config_format": "mistral"}, {}),
        ({"trust_remote_code": True}, {"config": config("gemma4", auto_map={"AutoConfig": "c.C"})}),
        ({}, {"model": {"format": "gguf"}}),
        ({}, {"config": None}),
    ],
)
def test_another_configuration_is_read(arguments, more):
    values = {"config": config("gemma4"), **more}
    one = subject(arguments, version="0.18.1", image=has("4.57.0"), **values)
    assert list(packages.check(one)) == [] and packages.asks(one) is False


def test_the_nearest_release_only_warns():
    found = list(packages.check(subject({}, config("gemma4"), "0.18.1", image=image(), exact=False)))
    assert said(found) == [("model.type", "warning")]


@pytest.mark.parametrize(
    ("kind", "version", "known", "asks"),
    [
        ("llama", "0.24.0", {}, False),
        ("gpt_oss", "0.24.0", {}, False),  # 4.55, and the release requires 5.5
        ("gemma4", "0.18.1", {}, True),
        ("minicpmv4_6", "0.24.0", {}, True),
        ("minicpmv4_6", "0.24.0", {"packages": {}}, False),
        ("minicpmv4_6", "0.24.0", {"packages_problem": "no python3"}, False),
    ],
)
def test_the_image_is_asked_only_where_the_answer_counts(kind, version, known, asks):
    assert packages.asks(subject({}, config(kind), version, image=image(**known))) is asks


def test_the_table_is_in_order_and_names_each_type_once():
    since = tables.table("transformers")["since"]
    releases = [tuple(int(part) for part in release.split(".")) for release in since]
    assert releases == sorted(releases) and all(re.fullmatch(r"\d\.\d+", release) for release in since)
    names = [name for kinds in since.values() for name in kinds]
    assert len(names) == len(set(names)) > 500
    assert "qwen3" in since["4.51"] and "llama" not in names


PASCAL = [{**(subject().observation.devices[0]), "compute_capability": "6.1", "name": "NVIDIA GeForce GTX 1080"}]
VOLTA = [{**PASCAL[0], "compute_capability": "7.0", "name": "Tesla V100-SXM2-16GB"}]
GB10 = [{**PASCAL[0], "compute_capability": "12.1", "name": "NVIDIA GB10"}]


def brings(torch, env=None):
    entry = image(packages={"torch": torch})
    return {**entry, "config": {**entry.get("config", {}), "Env": env or {}}}


@pytest.mark.parametrize(
    ("torch", "env", "driver", "devices", "expected"),
    [
        ("2.11.0+cu130", {}, "13.0", None, []),
        ("2.11.0", {}, "12.4", None, []),  # PyPI's wheel does not say
        ("2.11.0+cu130", {}, "12.4", None, [("gpu.driver", "error")]),
        ("2.8.0+cu128", {}, "12.4", None, [("gpu.driver", "info")]),
        # The image's own variable is older than what torch brings.
        ("2.11.0+cu130", {"CUDA_VERSION": "12.8.1"}, "12.9", None, [("gpu.driver", "error")]),
        ("2.11.0+cpu", {}, "13.0", None, [("image.gpu-architecture", "error")]),
        ("2.9.1+rocm6.4", {}, "13.0", None, [("image.gpu-architecture", "error")]),
        ("2.9.1+cu128", {}, "13.0", PASCAL, [("image.gpu-architecture", "warning")]),
        ("2.9.1+cu126", {}, "13.0", PASCAL, []),
        # CUDA 13 compiles for nothing before Turing.
        ("2.11.0+cu130", {}, "13.0", VOLTA, [("image.gpu-architecture", "warning")]),
        ("2.11.0+cu130", {}, "13.0", GB10, []),
        ("2.9.1+cu128", {"TORCH_CUDA_ARCH_LIST": "6.1"}, "13.0", PASCAL, []),
        ("2.11.0+cpu", {}, "13.0", [], []),
        ("2.11.0+cu130", {}, "13.0", [], [("image.gpu-architecture", "warning")]),
    ],
)
def test_the_torch_in_the_image(torch, env, driver, devices, expected):
    one = subject(image=brings(torch, env), devices=devices, driver={"cuda": driver}, fields={"image": "own/vllm:1"})
    found = list(cuda.check(one))
    assert said(found) == expected
    assert all(item.fix and str(item.field).endswith("image") for item in found)
