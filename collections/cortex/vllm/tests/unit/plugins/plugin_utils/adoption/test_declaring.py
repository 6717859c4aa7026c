# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as people start them, and the declarations that say the same."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import adoption, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import nearest, parsing
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import IMAGE, image_entry

GPU = "GPU-01111111-1111-1111-1111-111111111111"


def entry(*argv, version="0.32.0", env=None, host=None, mounts=(), secrets=(), entrypoint=("vllm", "serve"), **config):
    """What the step `strangers` tells of one container; secret values are masked there already."""
    image = image_entry(version=version)
    return {
        "inspect": {
            "Id": "c" * 64,
            "Name": config.pop("name", "/quiet_turing"),
            "Image": image["id"],
            "Config": {
                "Image": IMAGE,
                "Entrypoint": list(entrypoint),
                "Cmd": list(argv),
                "Env": {**image["config"]["Env"], **(env or {})},
                "Labels": {**image["config"]["Labels"], **config.pop("labels", {})},
                "User": "",
                **config,
            },
            "HostConfig": {"NetworkMode": "default", "ShmSize": 64 << 20, "Init": True, **(host or {})},
            "Mounts": list(mounts),
            "Networks": ["bridge"],
        },
        "image": image,
        "secrets": list(secrets),
        "adopted": None,
    }


def bind(source, target, writable=False):
    return {"Type": "bind", "Source": source, "Destination": target, "RW": writable}


def published(port=8000, address="127.0.0.1", inner=8000):
    return {"PortBindings": {f"{inner}/tcp": [{"HostIp": address, "HostPort": str(port)}]}}


def codes(made):
    return sorted(item.code for item in made.findings)


def test_docker_run_as_in_the_documentation():
    """docs/deployment/docker.md of vLLM: --runtime nvidia --gpus all -v ~/.cache/huggingface:… --ipc=host."""
    made = adoption.declare(
        entry(
            "--model",
            "Qwen/Qwen3-0.6B",
            secrets=["HF_TOKEN"],
            env={"HF_TOKEN": None},
            mounts=[bind("/home/me/.cache/huggingface", "/root/.cache/huggingface", True)],
            host={
                **published(8000, "0.0.0.0"),
                "IpcMode": "host",
                "DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}],
            },
        )
    )
    assert made.written == {
        "image": IMAGE,
        "model": "Qwen/Qwen3-0.6B",
        "served_model_name": ["Qwen/Qwen3-0.6B"],
        "bind": "0.0.0.0",
        "server_port": 8000,
        "hub_cache": "/home/me/.cache/huggingface/hub",
        "gpus": "all",
        "ipc": "host",
        "restart_policy": "no",
        "secrets": {"hf_token": "{{ vault_quiet_turing_hf_token }}"},
        "accept": ["security.public-without-key"],
    }
    assert codes(made) == ["security.public-without-key"]
    assert made.spec.name == "quiet_turing"


def test_a_compose_service_with_a_key_among_its_arguments():
    made = adoption.declare(
        entry(
            "/models/qwen",
            "--served-model-name",
            "chat",
            "alias",
            "--port",
            "9000",
            "--api-key",
            "********",
            "--max-model-len",
            "8k",
            "--enforce-eager",
            "--no-enable-prefix-caching",
            "--speculative-config",
            '{"method": "ngram", "num_speculative_tokens": 4}',
            "--chat-template",
            "/templates/chat.jinja",
            name="/llm-vllm-1",
            labels={"com.docker.compose.service": "vllm", "com.docker.compose.project": "llm", "team": "search"},
            secrets=["VLLM_API_KEY"],
            env={"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "DEBUG", "NVIDIA_VISIBLE_DEVICES": "0"},
            mounts=[bind("/srv/models", "/models"), bind("/srv/templates", "/templates")],
            host={
                **published(8443, "10.0.0.5", 9000),
                "ShmSize": 8 << 30,
                "Memory": 64 << 30,
                "NanoCpus": 8 * 10**9,
                "RestartPolicy": {"Name": "always"},
                "NetworkMode": "llm_default",
                "DeviceRequests": [{"Driver": "nvidia", "Count": 0, "DeviceIDs": ["0", "1"]}],
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
                "Ulimits": [{"Name": "memlock", "Soft": -1, "Hard": -1}],
            },
        )
    )
    assert codes(made) == []
    assert made.written == {
        "image": IMAGE,
        "model": "/srv/models/qwen",
        "served_model_name": ["chat", "alias"],
        "bind": "10.0.0.5",
        "server_port": 8443,
        "network": "llm_default",
        "offline": True,
        "gpus": [0, 1],
        "shm_size": "8g",
        "memory": "64g",
        "cpus": 8.0,
        "ulimits": {"memlock": {"soft": -1, "hard": -1}},
        "labels": {"team": "search"},
        "log": {"driver": "json-file", "options": {"max-size": "10m"}},
        "restart_policy": "always",
        "secrets": {"api_key": "{{ vault_vllm_api_key }}"},
        "env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
        "mounts": ["/srv/templates:/templates"],
        "engine_args": {
            "max_model_len": 8000,
            "enforce_eager": True,
            "enable_prefix_caching": False,
            "speculative_config": {"method": "ngram", "num_speculative_tokens": 4},
            "chat_template": "/templates/chat.jinja",
        },
    }
    assert made.secrets == {"VLLM_API_KEY": "VLLM_API_KEY"}


@pytest.mark.parametrize(
    ("words", "served"),
    [
        (["bash", "-c", "pip list && exec vllm serve /m --dtype half"], ["/m"]),
        (["/bin/sh", "-lc", "vllm serve /m --dtype half --served-model-name x"], ["x"]),
        (["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "/m", "--dtype", "half"], ["/m"]),
        (["/usr/local/bin/vllm", "serve", "/m", "--dtype=half"], ["/m"]),
    ],
)
def test_whatever_wraps_it(words, served):
    made = adoption.declare(entry(*words, entrypoint=(), mounts=[bind("/srv/m", "/m")], host=published()))
    assert made.written["served_model_name"] == served
    assert made.written["model"] == "/srv/m"
    assert made.written["engine_args"] == {"dtype": "half"}
    assert ("adopt.shell" in codes(made)) == ("sh" in words[0].rpartition("/")[2])
    assert made.spec is not None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Cmd": ["sleep", "1"], "Entrypoint": []}, "adopt.command"),
        ({"Cmd": ["bash", "-c", "vllm serve 'broken"], "Entrypoint": []}, "adopt.command"),
        ({"Cmd": ["/m", "--no-such-flag", "1"]}, "adopt.arguments"),
        ({"Cmd": ["--dtype", "half"]}, "adopt.no-model"),
        ({"Cmd": ["/inside"]}, "adopt.path"),
        ({"Cmd": ["/m", "--config", "/m/serve.yaml"]}, "argument.reserved"),
    ],
)
def test_what_cannot_be_declared_says_why_and_is_not_taken_over(change, code):
    told = entry(mounts=[bind("/srv/m", "/m")], host=published())
    told["inspect"]["Config"].update(change)
    made = adoption.declare(told)
    assert made.spec is None and code in codes(made)
    assert all(item.fix for item in made.findings)


def test_names_do_not_collide():
    names = [
        adoption.declare(entry("m", host=published(), name=name), frozenset(taken)).name
        for name, taken in [("/chat", []), ("/chat", ["chat"]), ("/cortex-vllm-chat", ["chat", "chat-2"])]
    ]
    assert names == ["chat", "chat-2", "chat-3"]


def test_an_unknown_release_is_said():
    told = entry("/m", mounts=[bind("/srv/m", "/m")], host=published())
    told["image"]["known"], told["image"]["config"]["Labels"] = None, {}
    told["image"]["config"]["Env"] = {"PATH": "/bin"}
    told["inspect"]["Config"]["Image"] = "registry.example/llm:latest"
    made = adoption.declare(told)
    assert codes(made) == ["adopt.release"] and made.written["vllm_version"]


@pytest.mark.parametrize("version", ["0.6.3", "0.8.5", "0.10.0", "0.12.0", "0.27.1", "0.33.0"])
def test_the_arguments_come_back_as_they_were(version):
    """Read, declared, rendered for the same release and read again: the same values."""
    release = nearest(version)[0]
    given = [
        "--model",
        "/m",
        "--max-model-len",
        "4096",
        "--gpu-memory-utilization",
        "0.5",
        "--enforce-eager",
        "--tensor-parallel-size",
        "2",
        "--kv-cache-dtype",
        "fp8",
        "--seed",
        "7",
        "--disable-log-stats",
    ]
    made = adoption.declare(
        entry(
            *given,
            version=version,
            mounts=[bind("/srv/m", "/m")],
            host=published(),
            entrypoint=tuple(release.entrypoint),
        )
    )
    from ansible_collections.cortex.vllm.plugins.plugin_utils import rendering

    assert made.spec is not None, made.findings
    rendered = rendering.arguments(made.spec, release)
    before, after = parsing.parse(release, given).values, parsing.parse(release, rendered.argv).values
    own = {"model", "model_tag", "host", "port", "served_model_name"}
    assert {key: value for key, value in before.items() if key not in own} == {
        key: value for key, value in after.items() if key not in own
    }


def test_the_record_is_what_the_declaration_says():
    told = entry(
        "/m", secrets=["VLLM_API_KEY"], env={"VLLM_API_KEY": None}, mounts=[bind("/srv/m", "/m")], host=published()
    )
    made = adoption.declare(copy.deepcopy(told))
    order = adoption.order(made, told, "1.0.0")
    assert order["container_name"] == "cortex-vllm-quiet_turing" and order["container_id"] == "c" * 64
    assert order["probe"]["served_name"] == "/m" and order["probe"]["api_key"] == "VLLM_API_KEY"
    # What a converge makes of the written declaration, secrets aside, is what is on record.
    written = {**made.written, "secrets": {"api_key": "sk-real"}}
    (loaded,) = spec.load({made.name: written})
    assert {**loaded.canonical({}), "secrets": None} == {**order["record"]["declaration"], "secrets": None}
    assert "sk-" not in str(order)
