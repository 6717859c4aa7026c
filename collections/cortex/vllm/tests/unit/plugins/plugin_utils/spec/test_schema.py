# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The JSON Schema for editors: valid in itself, true to what loading takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydantic")
jsonschema = pytest.importorskip("jsonschema")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.spec.schema import schema

BASE: dict[str, Any] = {"image": "x", "model": "o/m"}


def validator(version: str) -> Any:
    release = catalog.release(version)
    assert release is not None
    made = schema(release)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize(
    "fields",
    [
        {"gpus": [0, 1]},
        {"gpus": "all", "shm_size": "16g", "memory": 8 << 30, "cpus": 1.5, "start_timeout": "10m"},
        {"mounts": ["/srv", {"source": "/a", "target": "/b", "read_only": False}], "served_model_name": "one"},
        {"secrets": {"api_key": "k", "env": {"A": "b"}}, "env": {"A": "b"}},
        {"ulimits": {"memlock": -1, "stack": {"soft": 1, "hard": 2}}, "log": {"driver": "local"}},
        {"engine": "v1", "model_runner": "v2", "debug": {"level": "debug", "stats_interval": 5}},
        {"probe": {"request": "completion"}, "held": {"reason": "why"}, "state": "held"},
        {"engine_args": {"max_model_len": "8k", "swap_space": 4, "speculative_config": {"method": "ngram"},
                         "lora_modules": {"a": "/a"}, "enable_prefix_caching": False, "dtype": "bfloat16"}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["0.8.5.post1", "0.33.0"])
def test_what_loads_is_valid(version: str, fields: dict[str, Any]) -> None:
    spec.load({"chat": {**BASE, **fields}})
    check = validator(version)
    for servers in ({"chat": {**BASE, **fields}}, [{"name": "chat", **BASE, **fields}]):
        assert [error.message for error in check.iter_errors({"vllm_servers": servers})] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"modle": "x"},
        {"server_port": [8000]},
        {"state": "running"},
        {"engine": "v2"},
        {"debug": {"levle": "info"}},
        {"engine_args": {"enable_prefix_caching": 3}},
        {"engine_args": {"dtype": "float99"}},
    ],
)
def test_what_is_wrong_is_seen(fields: dict[str, Any]) -> None:
    assert list(validator("0.33.0").iter_errors({"vllm_servers": {"chat": {**BASE, **fields}}}))


def test_templates_fit_everywhere() -> None:
    servers = {"chat": {**BASE, "server_port": "{{ port }}", "engine_args": {"max_num_seqs": "{{ seqs }}"}}}
    assert not list(validator("0.33.0").iter_errors({"vllm_servers": servers}))


def test_arguments_are_described_and_other_releases_marked() -> None:
    release = catalog.release("0.33.0")
    assert release is not None
    made = schema(release)["$defs"]["server"]["properties"]["engine_args"]["properties"]
    assert "context" in made["max_model_len"]["description"].lower()
    assert made["swap_space"]["deprecated"] is True and "0.17.1" in made["swap_space"]["description"]
    assert "port" not in made and "config" not in made
    assert {name[2:].replace("-", "_") for name in catalog.ever()} - set(made) <= {
        *spec.RESERVED_ARGUMENTS, "config", "uds", "help", "version"
    }  # fmt: skip
