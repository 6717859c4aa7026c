# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a declaration becomes on the engine: body, files, mounts, environment, generation."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("jinja2")

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import ImageFacts, Rendered, image_facts

BASE: dict[str, Any] = {"image": "vllm/vllm-openai:v0.32.0", "model": "Qwen/Qwen3-0.6B", "name": "chat"}
ID = "sha256:" + "1" * 64
IMAGE = ImageFacts(BASE["image"], ID, "0.32.0", "label", ("vllm", "serve"))
GPU = "GPU-aaaaaaaa-1111-2222-3333-444444444444"
STATE = "/var/lib/cortex-vllm"
MODEL = {"status": "complete", "commit": "c" * 40, "bytes": 10**9, "config": {"architectures": ["Qwen3ForCausalLM"]}}


def server(**fields: Any) -> spec.ServerSpec:
    (made,) = spec.load([{**BASE, **fields}])
    return made


#: Files of a server that takes turns.
SHARING = ("launch.sh", "turn.py")


def render(
    image: ImageFacts = IMAGE,
    facts: Any = "as MODEL",
    uuids: tuple[str, ...] = (),
    salt: str = "s",
    host: Any = None,
    **fields: Any,
) -> Rendered:
    release = rendering.release_for(image)
    facts = MODEL if facts == "as MODEL" else facts
    return rendering.render(server(**fields), image, release, list(uuids), STATE, facts, salt, host)


def host_config(made: Rendered) -> dict[str, Any]:
    return dict(made.body["HostConfig"])


def mounts(made: Rendered) -> dict[str, tuple[str, bool]]:
    return {item["Target"]: (item["Source"], item["ReadOnly"]) for item in host_config(made)["Mounts"]}


def env(made: Rendered) -> dict[str, str]:
    assert made.body["Env"] == sorted(made.body["Env"])
    return dict(item.split("=", 1) for item in made.body["Env"])


def test_the_body() -> None:
    made = render(uuids=(GPU,), gpus=1, secrets={"api_key": "hunter2"})
    body, config = made.body, host_config(made)
    assert body["Image"] == ID
    assert body["Entrypoint"] == ["/bin/sh", "/run/cortex-vllm/launch.sh"]
    assert body["Cmd"] == ["vllm", "serve", *made.argv] == [*made.entrypoint, *made.argv]
    assert body["Labels"] == {
        "cortex.vllm.server": "chat",
        "cortex.vllm.kind": "server",
        "cortex.vllm.generation": made.generation,
    }
    assert body["ExposedPorts"] == {"8000/tcp": {}}
    assert config["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]}
    assert config["RestartPolicy"]["Name"] == "no" and made.verified_restart_policy["Name"] == "unless-stopped"
    assert config["Init"] is True and config["CapDrop"] == ["ALL"] and config["CapAdd"] == []
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "50m", "max-file": "3"}}
    assert config["ShmSize"] == 16 << 30
    assert config["Ulimits"] == [
        {"Name": "memlock", "Soft": -1, "Hard": -1},
        {"Name": "stack", "Soft": 67108864, "Hard": 67108864},
    ]
    assert config["DeviceRequests"] == [{"Driver": "nvidia", "Count": 0, "DeviceIDs": [GPU], "Capabilities": [["gpu"]]}]
    assert not {"Memory", "NanoCpus", "Devices", "Binds"} & set(config)
    assert "User" not in body and made.user == {"uid": 0, "gid": 0}
    assert made.container_name == "cortex-vllm-chat" and made.gpu_locks == [GPU]
    assert made.secret_names == ["VLLM_API_KEY"] and len(made.digests["VLLM_API_KEY"]) == 64
    assert json.loads(json.dumps(body)) == body


def test_everything_that_can_be_declared_reaches_the_engine() -> None:
    made = render(
        memory="8g", cpus=1.5, devices=["/dev/infiniband/uverbs0"], user="2000:0", labels={"team": "x"}, init=False,
        cap_add=["sys_nice"], security_opt=["seccomp=unconfined"], ulimits={"nofile": 1024}, networks=["front"],
        log={"driver": "journald", "options": {"tag": "x", "labels": None}}, stop_timeout=60,
        restart_policy="on-failure", ipc="host", bind="::1", server_port=8001, env={"A": 1},
    )  # fmt: skip
    config = host_config(made)
    assert (config["Memory"], config["MemorySwap"], config["NanoCpus"]) == (8 << 30, 8 << 30, 1_500_000_000)
    assert config["Devices"][0]["PathInContainer"] == "/dev/infiniband/uverbs0"
    assert made.body["User"] == "2000:0" and made.user == {"uid": 2000, "gid": 0}
    assert made.body["Labels"]["team"] == "x" and config["Init"] is False
    assert config["CapAdd"] == ["SYS_NICE"] and config["SecurityOpt"] == ["no-new-privileges", "seccomp=unconfined"]
    assert config["Ulimits"] == [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]
    assert made.networks == ["front"] and config["LogConfig"] == {"Type": "journald", "Config": {"tag": "x"}}
    assert made.body["StopTimeout"] == 60 and made.stop_timeout == 60.0
    assert made.verified_restart_policy == {"Name": "on-failure", "MaximumRetryCount": 0}
    assert config["IpcMode"] == "host" and "ShmSize" not in config
    assert config["PortBindings"] == {"8000/tcp": [{"HostIp": "::1", "HostPort": "8001"}]}
    assert env(made)["A"] == "1"


def test_on_the_host_s_network_nothing_is_published() -> None:
    made = render(network="host", server_port=8123)
    assert "PortBindings" not in host_config(made) and host_config(made)["NetworkMode"] == "host"
    assert "http://127.0.0.1:8123/health" in made.files[1]["content"]


def test_no_secret_is_anywhere() -> None:
    made = render(secrets={"api_key": "hunter2", "hf_token": "hunter2", "env": {"OTHER": "hunter2"}})
    assert made.secret_names == ["HF_TOKEN", "OTHER", "VLLM_API_KEY"]
    assert "hunter2" not in repr(made) + json.dumps([made.body, made.files, made.probe, made.digests])
    assert made.probe["api_key"] == "VLLM_API_KEY"


# --- environment and mounts -----------------------------------------------------------------------------------------


def test_environment() -> None:
    assert env(render()) == {
        "CUDA_CACHE_PATH": "/var/cache/cortex-vllm/cuda",
        "HF_HOME": "/var/cache/cortex-vllm/huggingface",
        "HF_HUB_CACHE": "/var/lib/cortex-vllm/hub",
        "NVIDIA_VISIBLE_DEVICES": "void",
        "TRITON_CACHE_DIR": "/var/cache/cortex-vllm/triton",
        "VLLM_CACHE_ROOT": "/var/cache/cortex-vllm/vllm",
    }
    offline = env(render(offline=True, env={"HF_HOME": "/mine"}))
    assert offline["HF_HUB_OFFLINE"] == offline["TRANSFORMERS_OFFLINE"] == offline["VLLM_NO_USAGE_STATS"] == "1"
    assert offline["HF_HOME"] == "/mine", "what is declared wins"
    gpus = env(render(uuids=(GPU,), gpus="all"))
    assert gpus["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID" and "NVIDIA_VISIBLE_DEVICES" not in gpus


def test_mounts_of_a_model_of_the_hub() -> None:
    made = render(offline=True, hub_cache="/srv/hub", mounts=["/srv/templates", "data:/data:rw"])
    cache = made.directories[1]["path"]
    assert mounts(made) == {
        "/run/cortex-vllm": (f"{STATE}/chat/generations/{made.generation}", True),
        "/run/cortex-vllm-state": (f"{STATE}/chat/run", False),
        "/var/cache/cortex-vllm": (cache, False),
        "/var/lib/cortex-vllm/hub": ("/srv/hub", True),
        "/srv/templates": ("/srv/templates", True),
        "/data": ("data", False),
    }
    types = {item["Target"]: item["Type"] for item in host_config(made)["Mounts"]}
    assert types.pop("/data") == "volume" and set(types.values()) == {"bind"}
    assert [item["Target"] for item in host_config(made)["Mounts"]] == sorted(mounts(made))
    assert mounts(render(hub_cache="/srv/hub"))["/var/lib/cortex-vllm/hub"] == ("/srv/hub", False), "it may fetch"


@pytest.mark.parametrize(
    "path, source",
    [
        ("/srv/model", "/srv/model"),
        ("/srv/model/q4.gguf", "/srv/model"),
        ("/q4.gguf", "/q4.gguf"),
        ("/hub/models--Qwen--Q/snapshots/abc", "/hub/models--Qwen--Q"),
        ("/hub/models--Qwen--Q/snapshots/abc/x-00001-of-00002.gguf", "/hub/models--Qwen--Q"),
    ],
)
def test_mounts_of_a_path(path: str, source: str) -> None:
    assert rendering.model_source(path) == source
    made = render(model=path)
    assert mounts(made)[source] == (source, True)
    assert made.argv[0] == path, "the path means the same inside"
    assert "/var/lib/cortex-vllm/hub" not in mounts(made)


def test_a_declared_mount_that_shows_the_model_is_enough() -> None:
    made = render(model="/srv/models/m", tokenizer="/srv/models/t", mounts=["/srv/models"])
    assert [target for target in mounts(made) if target.startswith("/srv")] == ["/srv/models"]
    apart = render(model="/srv/m", tokenizer="/srv/t")
    assert {"/srv/m", "/srv/t"} <= set(mounts(apart))


def test_hosts_that_enforce_selinux_get_labels() -> None:
    made = render(host={"selinux": "enforcing"}, mounts=[{"source": "/a", "relabel": False}, "v:/v"], offline=True)
    config = host_config(made)
    assert f"{STATE}/chat/run:/run/cortex-vllm-state:rw,z" in config["Binds"]
    assert "/root/.cache/huggingface/hub:/var/lib/cortex-vllm/hub:ro,z" in config["Binds"]
    assert [item["Target"] for item in config["Mounts"]] == ["/a", "/v"]
    assert "Binds" not in host_config(render(host={"selinux": "permissive"}))


@pytest.mark.parametrize(
    "host, access, driver",
    [
        (None, "auto", "nvidia"),
        ({"engine": {"name": "docker"}}, "auto", "nvidia"),
        ({"engine": {"name": "podman"}}, "auto", "cdi"),
        ({"engine": "podman"}, "nvidia", "nvidia"),
        (None, "cdi", "cdi"),
    ],
)
def test_how_gpus_are_asked_for(host: Any, access: str, driver: str) -> None:
    made = render(uuids=(GPU,), host=host, gpus=1, gpu_access=access)
    (request,) = host_config(made)["DeviceRequests"]
    assert request["Driver"] == driver and request["Count"] == 0
    assert request["DeviceIDs"] == ([f"nvidia.com/gpu={GPU}"] if driver == "cdi" else [GPU])


def test_the_compile_cache_belongs_to_image_and_model() -> None:
    def cache(image: ImageFacts = IMAGE, **fields: Any) -> str:
        return rendering.cache_directory(server(**fields), image.id, STATE)

    assert cache().startswith(f"{STATE}/chat/cache/")
    assert cache() == cache(engine_args={"max_model_len": 1})
    assert len({cache(), cache(model="Qwen/other"), cache(revision="x"), cache(ImageFacts("x", "sha256:2"))}) == 4


# --- generation -----------------------------------------------------------------------------------------------------


def test_rendering_is_deterministic() -> None:
    fields = {"engine_args": {"b-b": 1, "a": {"d": 1, "c": 2}}, "env": {"Z": 1, "A": 2}, "accept": ["argument.unknown"]}
    turned = {"env": {"A": 2, "Z": 1}, "engine_args": {"a": {"c": 2, "d": 1}, "b_b": 1}, "accept": ["argument.unknown"]}
    one, other = render(**fields), render(**turned)
    assert (one.body, one.files, one.generation) == (other.body, other.files, other.generation)
    assert len(one.generation) == 12 and set(one.generation) <= set("0123456789abcdef")
    assert mounts(one)["/run/cortex-vllm"][0].endswith(one.generation)
    assert one.files[-1] == {"path": "generation", "mode": "0444", "content": f"{one.generation}\n"}


@pytest.mark.parametrize(
    "fields, changes",
    [
        ({"engine_args": {"max_model_len": 1}}, True),
        ({"env": {"A": "1"}}, True),
        ({"secrets": {"api_key": "other"}}, True),
        ({"mounts": ["/a"]}, True),
        ({"labels": {"a": "1"}}, True),
        ({"bind": "127.0.0.2"}, True),
        ({"restart_policy": "always"}, False),
        ({"memory": "8g", "cpus": 2}, False),
        ({"accept": ["gpu.shared"]}, False),
        ({"share_gpus": True}, False),  # it has no GPU
        ({"start_timeout": 5}, False),
        ({"held": {"reason": "x"}}, False),
        ({"probe": {"request": "none"}}, False),
        ({"pull": "never"}, False),
    ],
)
def test_what_makes_another_generation(fields: dict[str, Any], changes: bool) -> None:
    secrets = {"secrets": {"api_key": "x"}}
    assert (render(**secrets).generation != render(**{**secrets, **fields}).generation) is changes


def test_servers_that_share_gpus_take_turns_on_folders_of_the_host() -> None:
    uuids = ("GPU-2", "MIG-GPU-1/3/0")
    alone, shares = (render(uuids=uuids, gpus=2, share_gpus=share) for share in (False, True))
    folders = [f"{STATE}/locks/starting/{name}" for name in ("GPU-2", "MIG-GPU-1_3_0")]
    assert [item for item in shares.directories if "starting" in item["path"]] == [
        {"path": folder, "mode": "0555"} for folder in folders
    ]
    assert mounts(shares)["/run/cortex-vllm-starting"] == (f"{STATE}/locks/starting", True)
    launch, turn = (next(item["content"] for item in shares.files if item["path"] == name) for name in SHARING)
    inside = [f"/run/cortex-vllm-starting/{name}" for name in ("GPU-2", "MIG-GPU-1_3_0")]
    assert f"turn.py http://127.0.0.1:8000/health {' '.join(inside)}" in launch
    compile(turn, "turn.py", "exec")
    # The wait is part of how long a start may take.
    assert shares.start_timeout == alone.start_timeout + 1800
    assert shares.body["Healthcheck"]["StartPeriod"] == alone.body["Healthcheck"]["StartPeriod"] + 1800 * 10**9
    assert render(uuids=uuids, gpus=2, share_gpus=True, start_timeout=60).start_timeout == 60
    # Whoever does not share is made as if there were no turns.
    assert [item["path"] for item in alone.files] == ["launch.sh", "health.sh", "generation"]
    assert "turn" not in alone.files[0]["content"] and "/run/cortex-vllm-starting" not in mounts(alone)
    assert alone.argv == shares.argv and alone.env == shares.env


def test_generations_and_salts() -> None:
    secrets = {"secrets": {"api_key": "x"}}
    first = render(**secrets)
    assert first.generation == render(**secrets).generation
    assert render(salt="other").generation == render().generation, "without secrets the salt is not in it"
    assert render(salt="other", **secrets).digests != first.digests
    assert render(image=ImageFacts(BASE["image"], "sha256:2", "0.32.0", "label", ("vllm", "serve"))).generation != (
        render().generation
    )


def test_input_is_left_alone() -> None:
    model = copy.deepcopy(MODEL)
    made = server(engine_args={"speculative_config.method": "ngram"})
    before = made.canonical()
    rendering.render(made, IMAGE, rendering.release_for(IMAGE), [], STATE, model, "s", {"selinux": "enforcing"})
    assert model == MODEL and made.canonical() == before


# --- time and proof -------------------------------------------------------------------------------------------------


def test_timeouts() -> None:
    assert rendering.expected_load(None) == 600
    assert rendering.expected_load(10**9) == 130
    assert rendering.expected_load(10**13) == 3600
    assert rendering.start_timeout(server(), 10**9) == 620
    assert rendering.start_timeout(server(), 10**13) == 3600
    assert rendering.start_timeout(server(start_timeout="5m"), 10**13) == 300
    assert rendering.start_timeout(server(), None) == 3600, "it may have to fetch the model"
    assert rendering.start_timeout(server(offline=True), None) == 1800


def test_the_health_check_waits_for_the_load() -> None:
    check = render(offline=True).body["Healthcheck"]
    assert check["Test"] == ["CMD", "/bin/sh", "/run/cortex-vllm/health.sh"]
    assert check["StartPeriod"] == 180 * 10**9, "130 s in whole minutes"
    assert check["Interval"] == 30 * 10**9 and check["Timeout"] == 10 * 10**9
    online = {render(facts=model).body["Healthcheck"]["StartPeriod"] for model in (None, MODEL, {"bytes": 10**12})}
    assert online == {1800 * 10**9}, "what was fetched must not change the body"


@pytest.mark.parametrize(
    "fields, model, expected",
    [
        ({}, MODEL, {"address": "127.0.0.1", "port": 8000, "request": "completion", "served_name": "chat"}),
        ({"bind": "0.0.0.0", "secrets": {"api_key": "x"}}, None, {"address": "127.0.0.1", "api_key": "VLLM_API_KEY"}),
        ({"bind": "::", "secrets": {"api_key": "x"}}, None, {"address": "::1"}),
        ({"served_model_name": ["a", "b"]}, None, {"served_name": "a"}),
        ({}, {"config": {"architectures": ["BertModel"]}}, {"request": "none"}),
        ({"probe": {"request": "completion"}}, {"config": {"architectures": ["BertModel"]}}, {"request": "completion"}),
        ({"probe": {"token_timeout": "5m"}}, None, {"token_timeout": 300.0}),
        ({"engine_args": {"headless": True}}, None, {"port": None, "request": "none"}),
        ({"engine_args": {"ssl_certfile": "/x"}}, None, {"scheme": "https"}),
        ({}, {"config": None}, {"scheme": "http", "api_key": None}),
    ],
)
def test_probes(fields: dict[str, Any], model: Any, expected: dict[str, Any]) -> None:
    found = rendering.probe(server(**fields), model)
    assert {key: found[key] for key in expected} == expected
    assert set(found) == {"scheme", "address", "port", "served_name", "request", "api_key", "token_timeout"}


def test_a_headless_node_has_no_port_and_no_health_check() -> None:
    made = render(engine_args={"headless": True})
    assert "Healthcheck" not in made.body and "ExposedPorts" not in made.body
    assert [item["path"] for item in made.files] == ["launch.sh", "generation"]
    assert "failed-starts" not in made.files[0]["content"]


# --- images ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entrypoint, cmd, declared, program",
    [
        (["vllm", "serve"], [], None, ["vllm", "serve"]),
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], [], None,
         ["python3", "-m", "vllm.entrypoints.openai.api_server"]),
        (["/usr/local/bin/vllm-nonroot-entrypoint.sh"], [], None, ["/usr/local/bin/vllm-nonroot-entrypoint.sh"]),
        (["/opt/venv/bin/vllm"], [], None, ["/opt/venv/bin/vllm", "serve"]),
        (["/opt/nvidia/nvidia_entrypoint.sh"], ["bash"], None, ["/opt/nvidia/nvidia_entrypoint.sh", "vllm", "serve"]),
        ([], ["bash"], None, ["vllm", "serve"]),
        ([], ["/x/vllm", "serve"], None, ["/x/vllm", "serve"]),
        (["vllm", "serve"], [], ["mine", "serve"], ["mine", "serve"]),
    ],
)  # fmt: skip
def test_the_program_of_an_image(entrypoint: Any, cmd: Any, declared: Any, program: list[str]) -> None:
    image = ImageFacts("x", ID, "0.32.0", "label", tuple(entrypoint), tuple(cmd))
    made = render(image, **({"entrypoint": declared} if declared else {}))
    assert made.entrypoint == program and made.body["Cmd"][: len(program)] == program
    assert ("--model" in made.argv) is any("api_server" in word for word in program)


@pytest.mark.parametrize(
    "config, known, declared, ref, version, source",
    [
        ({}, None, None, "x:v0.9.1", "0.9.1", "tag"),
        ({}, None, None, "host:5000/x", None, "none"),
        ({}, None, None, "x:latest", None, "none"),
        ({}, None, "0.32.0", "x:v0.9.1", "0.32.0", "declared"),
        ({}, {"vllm_version": "0.20.2+cu129"}, None, "x:v0.9.1", "0.20.2+cu129", "known"),
        ({"Labels": {"org.opencontainers.image.version": "v0.32.0"}}, None, None, "x", "0.32.0", "label"),
        ({"Labels": {"org.opencontainers.image.version": "22.04"}}, None, None, "x:v0.9.1", "0.9.1", "tag"),
        ({"Labels": {"org.opencontainers.image.version": "1.2.0", "ai.vllm.build.commit": "x"}}, None, None, "x",
         "1.2.0", "label"),
        ({"Labels": {"ai.vllm.image.tag": "vllm/vllm-openai:v0.31.0"}}, None, None, "x", "0.31.0", "label"),
        ({"Env": {"VLLM_IMAGE_TAG": "v0.30.0"}}, None, None, "x", "0.30.0", "environment"),
        ({"Labels": {"org.opencontainers.image.version": ""}, "Env": None}, None, None, "x@sha256:1", None, "none"),
    ],
)  # fmt: skip
def test_which_vllm_is_in_an_image(config: Any, known: Any, declared: Any, ref: str, version: Any, source: str) -> None:
    facts = image_facts(ref, {"id": ID, "config": config, "known": known}, declared)
    assert (facts.version, facts.version_source, facts.id) == (version, source, ID)


@pytest.mark.parametrize(
    "version, source, codes",
    [
        ("0.32.0", "label", []),
        ("0.32.0", "tag", ["release.from-tag"]),
        ("0.99.0", "label", ["release.unknown"]),
        (None, "none", ["release.unknown"]),
    ],
)
def test_uncertain_releases(version: Any, source: str, codes: list[str]) -> None:
    made = render(ImageFacts("x", ID, version, source, ("vllm", "serve")))
    assert [item.code for item in made.findings] == codes
    assert all(item.severity == "warning" and item.field == "vllm_servers[chat].image" for item in made.findings)


def test_the_nearest_release_is_rendered() -> None:
    newest = catalog.versions()[-1]
    assert rendering.release_for(ImageFacts("x")).version == newest
    assert rendering.release_for(ImageFacts("x", version="0.999.0")).version == newest


def test_an_image_without_an_engine() -> None:
    old = ImageFacts.assumed("x", "0.9.0")
    assert old.entrypoint[-1].endswith("api_server") and old.version == "0.9.0"
    made = render(old)
    assert made.argv[:2] == ["--model", "Qwen/Qwen3-0.6B"] and made.body["Image"] == "x"


@pytest.mark.parametrize(
    "user, declared, expected, codes",
    [
        ("", None, (0, 0), []),
        ("root", None, (0, 0), []),
        ("2000", None, (2000, 0), []),
        ("2000:7", None, (2000, 7), []),
        ("vllm", None, (2000, 0), []),
        ("somebody", None, (0, 0), ["image.user-name"]),
        ("somebody:7", "5:6", (5, 6), []),
    ],
)
def test_who_owns_the_files(user: str, declared: Any, expected: tuple[int, int], codes: list[str]) -> None:
    image = ImageFacts("x", ID, "0.32.0", "label", ("vllm", "serve"), user=user)
    made = render(image, **({"user": declared} if declared else {}))
    assert (made.user["uid"], made.user["gid"]) == expected
    assert [item.code for item in made.findings] == codes


# --- plain containers -----------------------------------------------------------------------------------------------


def container(image: ImageFacts = IMAGE, uuids: tuple[str, ...] = (), **fields: Any) -> Rendered:
    made = spec.load_container({"name": "tool", "image": "tools/x:1", **fields})
    return rendering.render_container(made, image, list(uuids), STATE + "/", "salt")


def test_a_container_of_one_s_own() -> None:
    made = container(
        uuids=(GPU,), gpus=1, command=["a", "b"], entrypoint="/x", ports=["8080:80"], env={"A": 1}, mounts=["/srv"],
    )  # fmt: skip
    assert made.body["Entrypoint"] == ["/x"] and made.body["Cmd"] == ["a", "b"]
    assert host_config(made)["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert host_config(made)["DeviceRequests"][0]["DeviceIDs"] == [GPU]
    assert [item["Target"] for item in host_config(made)["Mounts"]] == ["/srv"]
    assert made.files == [] and made.directories == [] and made.secret_names == []
    assert made.probe["request"] == "none" and made.probe["port"] is None
    assert made.body["Labels"]["cortex.vllm.kind"] == "container" and "Healthcheck" not in made.body
    assert made.container_name == "cortex-vllm-tool" and made.start_timeout == 60.0


def test_what_is_left_out_is_the_image_s() -> None:
    made = container()
    assert "Entrypoint" not in made.body and "Cmd" not in made.body
    assert env(made) == {"NVIDIA_VISIBLE_DEVICES": "void"}


@pytest.mark.parametrize(
    "fields, cmd",
    [
        ({}, ["/image", "default"]),
        ({"command": ["mine"]}, ["/image", "mine"]),
        ({"entrypoint": ["/own"]}, ["/own"]),
        ({"entrypoint": ["/own"], "command": ["mine"]}, ["/own", "mine"]),
    ],
)
def test_secrets_need_the_launcher(fields: dict[str, Any], cmd: list[str]) -> None:
    image = ImageFacts("x", ID, entrypoint=("/image",), cmd=("default",), user="7")
    made = container(image, secrets={"env": {"MY_TOKEN": "hunter2"}}, **fields)
    assert made.body["Entrypoint"] == ["/bin/sh", "/run/cortex-vllm/launch.sh"] and made.body["Cmd"] == cmd
    assert mounts(made)["/run/cortex-vllm"] == (f"{STATE}/tool/generations/{made.generation}", True)
    assert [item["path"] for item in made.files] == ["launch.sh", "generation"]
    assert made.user == {"uid": 7, "gid": 0} and made.secret_names == ["MY_TOKEN"]
    assert "failed-starts" not in made.files[0]["content"]
