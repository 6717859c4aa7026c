# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Model against release, GPUs and image, by tables: each row is one machine, one model and what follows."""

from __future__ import annotations

import time

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, checks, observation, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks import cuda, parallel, quantization, support, tables
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks.config import Config
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import GPUS, Host, image_entry, server

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
FP8_BLOCKS = {"quant_method": "fp8", "weight_block_size": [128, 128]}
MOE = {
    **LLAMA,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_key_value_heads": 4,
    "num_experts": 128,
    "moe_intermediate_size": 1536,
    "intermediate_size": 12288,
    "vocab_size": 151936,
}


def device(index, capability="9.0", name="NVIDIA H100 80GB HBM3", memory=80 << 30, **more):
    return {
        "index": index,
        "uuid": GPUS[index],
        "name": name,
        "compute_capability": capability,
        "memory_total": memory,
        "mig": [],
        **more,
    }


def subject(arguments=None, config=(), version="0.32.0", gpus=1, devices=None, links=None, exact=True, **more):
    """One declaration on ``gpus`` GPUs (or those of ``devices``); 0: a CPU server. Without ``config``: a Llama."""
    config = LLAMA if config == () else config
    devices = [device(index) for index in range(gpus)] if devices is None else devices
    fields = {"gpus": [item["index"] for item in devices] if devices else "none", "engine_args": arguments or {}}
    fields.update(more.pop("fields", {}))
    one = spec.load({"chat": server(**fields)})[0]
    facts = {"status": "ok", "driver": "580.65.06", "cuda": "13.0", "devices": devices, **more.pop("driver", {})}
    if links:
        facts["topology"] = {"links": links}
    seen = observation.Observation.parse({"schema": 1, "gpus": facts})
    model = {"status": "complete", "format": "safetensors", "config": config, **more.pop("model", {})}
    return checks.Server(
        one,
        seen,
        (one,),
        more.pop("image", image_entry()),
        model,
        tuple(item["uuid"] for item in devices),
        None,
        catalog.release(version) if version else None,
        exact,
    )


def said(found):
    return [(item.code, item.severity) for item in found]


PARALLEL = "argument.parallel"


@pytest.mark.parametrize(
    ("arguments", "config", "gpus", "expected"),
    [
        ({}, LLAMA, 1, []),
        ({"tensor_parallel_size": 4}, LLAMA, 4, []),
        ({"tp": "2", "-pp": 2}, LLAMA, 4, []),
        ({"tensor-parallel-size": 3}, LLAMA, 3, [(PARALLEL, "error")] * 2),  # heads and intermediate size
        ({"tensor_parallel_size": 4}, {**LLAMA, "num_attention_heads": None}, 4, [(PARALLEL, "info")]),
        ({"tensor_parallel_size": 4}, {**LLAMA, "num_key_value_heads": 2}, 4, [(PARALLEL, "info")]),
        ({"tensor_parallel_size": 4}, {**LLAMA, "num_attention_heads": 24, "num_key_value_heads": 3}, 4,
         [(PARALLEL, "error")]),
        ({"tensor_parallel_size": 4}, {**LLAMA, "kv_lora_rank": 512, "num_key_value_heads": 3}, 4, []),
        ({"tensor_parallel_size": 4}, {**LLAMA, "multi_query": True}, 4, [(PARALLEL, "info")]),
        ({"tensor_parallel_size": 3}, {"num_attention_heads": 6, "vocab_size": 32000}, 3, [(PARALLEL, "error")]),
        ({"tensor_parallel_size": 3}, {"num_attention_heads": 6, "vocab_size": 31990, "intermediate_size": 3000}, 3,
         [(PARALLEL, "error")]),
        ({"tensor_parallel_size": 4}, {"text_config": LLAMA}, 4, []),
        ({"pipeline_parallel_size": 4}, LLAMA, 4, []),
        ({"pipeline_parallel_size": 3}, LLAMA, 3, [(PARALLEL, "info")]),
        ({"pipeline_parallel_size": 4}, {**LLAMA, "num_hidden_layers": 2}, 4, [(PARALLEL, "error")]),
        ({"tensor_parallel_size": 4}, MOE, 4, []),
        ({"tensor_parallel_size": 4}, {**MOE, "num_experts": 2}, 4, [(PARALLEL, "error")]),
        ({"tensor_parallel_size": 4}, {**MOE, "architectures": ["Other"], "num_experts": 2}, 4,
         [(PARALLEL, "warning")]),
        ({"tensor_parallel_size": 4, "enable_expert_parallel": True}, MOE, 4, []),
        ({"tensor_parallel_size": 4, "enable_expert_parallel": True}, {**MOE, "num_experts": 126}, 4,
         [(PARALLEL, "warning")]),
        ({"tensor_parallel_size": 4}, {**MOE, "moe_intermediate_size": 1001}, 4, [(PARALLEL, "warning")]),
        ({"tensor_parallel_size": 4}, {**MOE, "moe_intermediate_size": 768, "quantization_config": FP8_BLOCKS}, 4,
         [(PARALLEL, "warning")]),
        ({"tensor_parallel_size": 4}, None, 4, []),
    ],
)  # fmt: skip
def test_parallelism(arguments, config, gpus, expected):
    found = list(parallel.check(subject(arguments, config, gpus=gpus)))
    assert said(found) == expected
    assert all(item.fix for item in found if item.severity == "error")


def test_parallelism_says_which_sizes_fit():
    (found,) = [
        item
        for item in parallel.check(subject({"tp": 3}, {**LLAMA, "intermediate_size": 14337}, gpus=3))
        if "heads" in item.message
    ]
    assert found.field == "vllm_servers[chat].engine_args.tp"
    assert found.message == "32 attention heads cannot be divided among 3 GPUs"
    assert found.fix == "Write 1, 2, 4, 8 or 16 for tensor_parallel_size."
    assert parallel.divisors(24, 3) == [1, 3, 6, 12]


@pytest.mark.parametrize(
    ("arguments", "gpus", "expected"),
    [
        ({"tensor_parallel_size": 2}, 1, [("gpu.count", "error")]),
        ({"tensor_parallel_size": 2}, 4, [("gpu.unused", "warning")]),
        ({}, 2, [("gpu.unused", "warning")]),
        ({"tensor_parallel_size": 2, "data_parallel_size": 2}, 4, []),
        ({"tensor_parallel_size": 2, "data_parallel_size": 4, "data_parallel_size_local": 2}, 4, []),
        ({"tensor_parallel_size": 4, "pipeline_parallel_size": 2, "nnodes": 2}, 4, []),
        ({"tensor_parallel_size": 8, "nnodes": 3}, 4, []),
        ({"tensor_parallel_size": 2, "data_parallel_size": 8, "data_parallel_rank": 3}, 2, []),
        ({"tensor_parallel_size": 16, "distributed_executor_backend": "ray"}, 4, []),
        ({"tensor_parallel_size": "many"}, 1, []),
    ],
)
def test_the_number_of_gpus(arguments, gpus, expected):
    found = [item for item in parallel.check(subject(arguments, gpus=gpus)) if item.code.startswith("gpu.")]
    assert said(found) == expected


NVLINK = {str(a): {str(b): "NV18" for b in range(4) if b != a} for a in range(4)}
SOCKETS = {"0": {"1": "NODE", "2": "SYS"}, "1": {"0": "NODE", "2": "SYS"}, "2": {"0": "SYS", "1": "SYS"}}


@pytest.mark.parametrize(
    ("devices", "links", "expected"),
    [
        ([device(0), device(1)], NVLINK, []),
        ([device(0), device(1)], None, []),
        ([device(0), device(1)], SOCKETS, [("gpu.topology", "info")]),
        ([device(1), device(2)], SOCKETS, [("gpu.topology", "warning")]),
        ([device(0), device(1, name="NVIDIA A100-SXM4-80GB", capability="8.0")], NVLINK, [("gpu.unequal", "warning")]),
        ([device(0), device(1, memory=94 << 30)], NVLINK, [("gpu.unequal", "warning")]),
        ([device(0, uuid="MIG-1"), device(1, uuid="MIG-2")], None, [("gpu.topology", "warning")]),
    ],
)
def test_gpus_of_one_server(devices, links, expected):
    if devices[0]["uuid"].startswith("MIG"):
        one = subject({"tp": 2}, devices=[device(0), device(1)])
        found = parallel._alike(checks.Server(one.spec, one.observation, gpus=("MIG-1", "MIG-2")))
    else:
        found = parallel.check(subject({"tensor_parallel_size": 2}, devices=devices, links=links))
    assert said(found) == expected


T4 = [device(0, "7.5", "Tesla T4", 15 << 30)]
A10 = [device(0, "8.6", "NVIDIA A10G", 23 << 30)]
VOLTA = [device(0, "7.0", "Tesla V100-SXM2-16GB", 16 << 30)]
BLACKWELL = [device(0, "10.0", "NVIDIA B200", 180 << 30)]
QUANT = "model.quantization"


def weights(method, **more):
    return {**LLAMA, "quantization_config": {"quant_method": method, **more}}


@pytest.mark.parametrize(
    ("arguments", "config", "version", "devices", "expected"),
    [
        ({}, LLAMA, "0.32.0", A10, []),
        ({}, weights("awq"), "0.32.0", A10, []),
        ({"quantization": "awq_marlin"}, weights("awq"), "0.32.0", A10, []),
        ({"quantization": "gptq"}, weights("awq"), "0.32.0", A10, [(QUANT, "error")]),
        ({"quantization": "fp8"}, weights("compressed_tensors"), "0.32.0", None, [(QUANT, "error")]),
        # That no such method is registered is rendering's to say: it needs no host.
        ({"quantization": "of-a-plugin"}, weights("awq"), "0.32.0", A10, []),
        ({"quantization": "fp8"}, LLAMA, "0.32.0", None, []),
        ({"quantization": "fp8"}, LLAMA, "0.32.0", A10, [(QUANT, "info")]),
        ({"quantization": "compressed-tensors"}, LLAMA, "0.32.0", A10, [(QUANT, "error")]),
        ({"quantization": "none"}, LLAMA, "0.32.0", A10, []),
        ({}, weights("bitsandbytes"), "0.27.1", A10, []),
        ({}, weights("bitsandbytes"), "0.28.0", A10, [(QUANT, "error")]),
        ({}, weights("gptq"), "0.32.0", VOLTA, []),
        ({}, weights("awq"), "0.32.0", VOLTA, [(QUANT, "error")]),
        ({}, weights("fp8"), "0.9.2", T4, [(QUANT, "error")]),
        ({}, weights("fp8"), "0.32.0", T4, [(QUANT, "info")]),
        ({}, weights("mxfp4"), "0.32.0", BLACKWELL, []),
        ({}, weights("mxfp4"), "0.32.0", None, [(QUANT, "info")]),
        ({}, weights("mxfp4"), "0.9.2", None, [(QUANT, "error")]),
        ({}, weights("hqq"), "0.14.1", None, [(QUANT, "error")]),
        ({"allow_deprecated_quantization": True}, weights("hqq"), "0.14.1", None, []),
        ({"quantization": "hqq"}, weights("hqq"), "0.13.0", None, []),
        ({}, weights("never-heard-of"), "0.32.0", None, [(QUANT, "error")]),
        ({}, weights("awq"), None, VOLTA, []),
        ({}, weights("awq"), "0.32.0", [device(0, None)], []),
        ({}, weights("awq"), "0.32.0", [], []),
    ],
)
def test_quantization(arguments, config, version, devices, expected):
    devices = [device(0)] if devices is None else devices
    config = {**config, "torch_dtype": "float16"}
    found = list(quantization.check(subject(arguments, config, version, devices=devices)))
    assert said(found) == expected
    assert all(item.fix for item in found if item.severity == "error")


def packed(bits, kind="int", **more):
    return weights("compressed-tensors", config_groups={"g": {"weights": {"num_bits": bits, "type": kind, **more}}})


@pytest.mark.parametrize(
    ("config", "version", "expected"),
    [
        (LLAMA, "0.32.0", []),
        (packed(8), "0.8.5", []),
        (packed(4), "0.32.0", []),
        (packed(4), "0.11.2", [(QUANT, "error")]),
        (packed(4, "float"), "0.32.0", [(QUANT, "error")]),
        (packed(8, "float"), "0.32.0", []),
        (packed(8, "float"), "0.13.0", [(QUANT, "error")]),
        (packed(8, "float", strategy="block"), "0.20.2", [(QUANT, "error")]),
        (weights("fp8"), "0.32.0", []),
        (weights("fp8", weight_block_size=[128, 128]), "0.32.0", [(QUANT, "info")]),
        (weights("fp8", weight_block_size=[128, 128]), "0.20.2", [(QUANT, "error")]),
        (weights("awq"), "0.32.0", []),
        (weights("gptq"), "0.11.2", [(QUANT, "warning")]),
        (weights("modelopt", quant_algo="NVFP4"), "0.32.0", [(QUANT, "error")]),
        (weights("mxfp4"), "0.20.2", [(QUANT, "error")]),
        (weights("mxfp4"), "0.32.0", []),
    ],
)
def test_quantization_on_the_cpu(config, version, expected):
    found = list(quantization.check(subject({}, {**config, "torch_dtype": "float16"}, version, devices=[])))
    assert said(found) == expected
    (other,) = [*quantization.check(subject({}, config, version, devices=[], exact=False)), None][:1]
    assert other is None or other.severity != "error"


def test_quantization_of_a_release_that_is_not_certain_only_warns():
    one = subject({}, {**weights("awq"), "torch_dtype": "float16"}, "0.32.0", devices=VOLTA, exact=False)
    (found,) = quantization.check(one)
    assert found.severity == "warning"
    assert found.message == "awq needs compute capability 7.5 in vLLM 0.32.0, and Tesla V100-SXM2-16GB has 7.0"


def test_gguf_files_are_judged_by_their_own_check():
    # checks/gguf.py tells which releases read them, and asks whether the image has the plugin.
    for version in ("0.24.0", "0.23.0"):
        assert list(quantization.check(subject({}, None, version, model={"format": "gguf"}))) == []


@pytest.mark.parametrize(
    ("arguments", "config", "version", "devices", "expected"),
    [
        ({"dtype": "bfloat16"}, LLAMA, "0.32.0", T4, [("argument.dtype", "error")]),
        ({}, LLAMA, "0.32.0", T4, [("argument.dtype", "info")]),
        ({}, LLAMA, "0.8.4", T4, [("argument.dtype", "error")]),
        ({}, LLAMA, None, T4, []),
        ({"dtype": "half"}, LLAMA, "0.32.0", T4, []),
        ({}, {**LLAMA, "torch_dtype": None, "dtype": "torch.float16"}, "0.32.0", T4, []),
        ({"dtype": "half"}, {**LLAMA, "model_type": "gemma3"}, "0.32.0", T4, [("argument.dtype", "error")]),
        ({"dtype": "half"}, {**LLAMA, "model_type": "gemma3"}, "0.8.4", A10, []),
        ({"kv_cache_dtype": "fp8"}, LLAMA, "0.32.0", A10, [("argument.dtype", "warning")]),
        ({"kv_cache_dtype": "fp8"}, LLAMA, "0.32.0", None, []),
        ({"dtype": "bfloat16"}, LLAMA, "0.32.0", [], []),
    ],
)
def test_data_types(arguments, config, version, devices, expected):
    one = subject(arguments, config, version, devices=[device(0)] if devices is None else devices)
    assert said(quantization.check(one)) == expected


ARCH, REMOTE = "model.architecture", "model.remote-code"
OWN = {"auto_map": {"AutoConfig": "configuration_x.X"}}


@pytest.mark.parametrize(
    ("config", "version", "arguments", "expected"),
    [
        (LLAMA, "0.6.0", {}, []),
        ({**LLAMA, "architectures": ["Qwen3ForCausalLM"]}, "0.8.5.post1", {}, []),
        ({**LLAMA, "architectures": ["Qwen3ForCausalLM"]}, "0.8.0", {}, [(ARCH, "error")]),
        ({**LLAMA, "architectures": ["MPTForCausalLM"]}, "0.32.0", {}, [(ARCH, "error")]),
        ({**LLAMA, "architectures": ["BartModel"]}, "0.32.0", {}, [(ARCH, "error")]),
        ({**LLAMA, "architectures": ["LlamaForSequenceClassification"]}, "0.32.0", {}, []),
        ({**LLAMA, "architectures": ["BrandNewForCausalLM"]}, "0.32.0", {}, [(ARCH, "warning")]),
        ({**LLAMA, "architectures": ["BrandNewForCausalLM"]}, "0.6.0", {}, [(ARCH, "error")]),
        ({**LLAMA, "architectures": ["BrandNewForCausalLM"], **OWN}, "0.32.0", {}, [(REMOTE, "error")]),
        ({**LLAMA, "architectures": ["BrandNewForCausalLM"], **OWN}, "0.32.0", {"trust_remote_code": True},
         [(ARCH, "warning")]),
        ({**LLAMA, **OWN}, "0.32.0", {}, [(REMOTE, "info")]),
        ({**LLAMA, "architectures": None}, "0.32.0", {}, []),
        ({**LLAMA, "architectures": ["BrandNewForCausalLM"]}, None, {}, []),
        (None, "0.32.0", {}, []),
    ],
)  # fmt: skip
def test_architectures(config, version, arguments, expected):
    assert said(support.check(subject(arguments, config, version))) == expected


def test_architecture_says_which_release_has_it():
    (newer,) = support.check(subject({}, {"architectures": ["Qwen3ForCausalLM"]}, "0.8.0"))
    assert newer.fix == "Use vLLM 0.8.4 or newer."
    (older,) = support.check(subject({}, {"architectures": ["MPTForCausalLM"]}, "0.32.0"))
    assert "the last catalogued release that has it" in older.fix
    (perhaps,) = support.check(subject({}, {"architectures": ["NewForCausalLM"], "transformers_version": "6.0"}))
    assert "Transformers >= 5.16.1, < 5.20.0; the model was saved with 6.0" in perhaps.message


def rope(kind, factor, original=None, length=32768):
    scaling = {"type": kind, "factor": factor, "original_max_position_embeddings": original}
    return {"max_position_embeddings": length, "rope_scaling": scaling}


LENGTH = "argument.max-model-len"


@pytest.mark.parametrize(
    ("arguments", "config", "version", "expected"),
    [
        ({"max_model_len": 131072}, LLAMA, "0.32.0", []),
        ({"max_model_len": 131073}, LLAMA, "0.32.0", [(LENGTH, "error")]),
        ({"max_model_len": "128K"}, LLAMA, "0.32.0", []),
        ({"max_model_len": "132k"}, LLAMA, "0.32.0", [(LENGTH, "error")]),
        ({"max_model_len": "auto"}, LLAMA, "0.32.0", []),
        ({"max_model_len": -1}, LLAMA, "0.32.0", []),
        ({"max_model_len": 99}, {}, "0.32.0", []),
        ({"max_model_len": 99}, {"architectures": ["X"]}, None, []),
        ({"max_model_len": 65536}, rope("linear", 2.0), "0.32.0", []),
        ({"max_model_len": 65537}, rope("linear", 2.0), "0.32.0", [(LENGTH, "error")]),
        ({"max_model_len": 32769}, rope("llama3", 8.0), "0.32.0", [(LENGTH, "error")]),
        ({"max_model_len": 131072}, rope("yarn", 4.0, 32768), "0.29.0", []),
        ({"max_model_len": 131072}, rope("yarn", 4.0, 32768), "0.32.0", [(LENGTH, "error")]),
        ({"max_model_len": 131072}, rope("yarn", 4.0, 32768), None, [(LENGTH, "warning")]),
        ({"max_model_len": 262144, "hf_overrides": '{"max_position_embeddings": 262144}'}, LLAMA, "0.32.0", []),
        ({"max_model_len": 262144, "hf_overrides": {"text_config": {"max_position_embeddings": 262144}}},
         {"text_config": LLAMA}, "0.32.0", []),
        ({"max_model_len": 9000}, {"max_position_embeddings": 8192, "model_max_length": 131072}, "0.32.0", []),
        ({"max_model_len": 9000}, {"n_positions": 1024}, "0.32.0", [(LENGTH, "error")]),
        ({"max_model_len": 262144}, {**rope("linear", 8.0, length=131072), "model_type": "gemma3"}, "0.32.0",
         [(LENGTH, "error")]),
        ({"max_model_len": 65536}, {"max_position_embeddings": 32768, "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 2.0}, "sliding_attention": {"rope_type": "default"}}},
         "0.32.0", []),
    ],
)  # fmt: skip
def test_context_length(arguments, config, version, expected):
    found = [item for item in support.check(subject(arguments, config, version)) if item.code == LENGTH]
    assert said(found) == expected


def test_a_longer_context_can_be_allowed():
    one = subject({"max_model_len": 999999}, fields={"env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}})
    assert said(support.check(one)) == [(LENGTH, "warning")]


def image(require=None, version=None, architectures=None):
    env = {"NVIDIA_REQUIRE_CUDA": require, "CUDA_VERSION": version, "TORCH_CUDA_ARCH_LIST": architectures}
    return image_entry(Env={name: value for name, value in env.items() if value})


BRANDS = "cuda>=13.0 brand=tesla,driver>=535,driver<536 brand=nvidiartx,driver>=535,driver<536"


@pytest.mark.parametrize(
    ("entry", "driver", "brand", "expected"),
    [
        (image(), {}, None, []),
        (image("cuda>=12.9"), {"cuda": "13.0"}, None, []),
        (image("cuda>=12.9"), {"cuda": "12.8"}, None, [("gpu.driver", "error")]),
        (image(BRANDS), {"driver": "535.104", "cuda": "12.2"}, "Tesla", []),
        (image(BRANDS), {"driver": "535.104", "cuda": "12.2"}, "GeForce", [("gpu.driver", "error")]),
        (image(BRANDS), {"driver": "535.104", "cuda": "12.2"}, None, []),  # the brand is unknown: not judged
        (image(BRANDS), {"driver": "550.54", "cuda": "12.4"}, None, [("gpu.driver", "error")]),
        (image("cuda>=12.9"), {"cuda": None}, None, []),
        (image("sense>=1"), {}, None, []),
        (image("arch>=8.0,driverversion!=580"), {"driver": "570.1"}, None, []),
        (image("arch>9.0"), {}, None, [("gpu.driver", "error")]),
        (image("cuda<12 cuda=12.8,cuda<=13"), {"cuda": "12.8"}, None, []),
        (image(version="12.9.1"), {"cuda": "12.4"}, None, [("gpu.driver", "info")]),
        (image(version="13.0.2"), {"cuda": "12.8"}, None, [("gpu.driver", "error")]),
        (image(version="12.9.1"), {"cuda": "13.0"}, None, []),
        (image(architectures="7.0 8.0 9.0+PTX"), {}, None, []),
        (image(architectures="7.0;8.0+PTX"), {}, None, []),
        (image(architectures="8.0 8.6"), {}, None, [("image.gpu-architecture", "warning")]),
        (image(architectures="native"), {}, None, []),
        (None, {}, None, []),
    ],
)
def test_driver_and_image(entry, driver, brand, expected):
    one = subject(devices=[device(0, brand=brand)], image=entry, driver=driver)
    assert said(cuda.check(one)) == expected


def test_driver_checks_can_be_overruled_in_the_container():
    off = {"NVIDIA_DISABLE_REQUIRE": "1"}
    one = subject(image=image("cuda>=99"), fields={"env": off})
    assert said(cuda.check(one)) == [("gpu.driver", "warning")]
    forward = subject(
        image=image(version="13.0"), driver={"cuda": "12.8"}, fields={"env": {"VLLM_ENABLE_CUDA_COMPATIBILITY": "1"}}
    )
    assert said(cuda.check(forward)) == [("gpu.driver", "warning")]


def test_official_images_are_built_for_known_gpus():
    (found,) = cuda.check(subject(devices=VOLTA, fields={"image": "vllm/vllm-openai:v0.32.0"}))
    assert found.code == "image.gpu-architecture" and "7.5 8.0 8.6" in found.message
    assert list(cuda.check(subject(devices=VOLTA, fields={"image": "local/own:1"}))) == []


@pytest.mark.parametrize(
    ("config", "heads", "experts", "dtype"),
    [
        (LLAMA, 32, None, "bfloat16"),
        ({"n_head": 12, "num_experts": 1}, 12, None, None),
        ({"thinker_config": {"text_config": {"num_attention_heads": 28, "dtype": "float32"}}}, 28, None, "float32"),
        ({"num_attention_heads": [8, 16], "n_routed_experts": 64}, None, 64, None),
    ],
)
def test_config(config, heads, experts, dtype):
    found = Config(config)
    assert (found.heads, found.experts, found.dtype) == (heads, experts, dtype)


def test_each_row_of_the_tables_has_its_source():
    data = tables.table("quantization")
    assert all(row["source"] for key in ("families", "left", "native") for row in data[key])
    releases = tables.table("releases")
    columns = {name for row in releases["releases"].values() for name in row}
    assert columns == set(releases["sources"])
    assert set(releases["releases"]) <= set(catalog.versions())


def test_what_left_is_not_in_the_catalogue_any_more():
    for row in tables.table("quantization")["left"]:
        known = [version for version in catalog.versions() if row["method"] in catalog.release(version).quantization]
        assert known and support._key(known[-1])[:2] < (0, int(row["release"].split(".")[1]) + 1), row
        newest = catalog.release(catalog.versions()[-1])
        assert row["method"] not in newest.quantization


def test_the_plan_refuses_before_anything_is_stopped():
    host = Host()
    host.models["/models/small"] = {"status": "complete", "format": "safetensors", "config": LLAMA}
    declared = server(model="/models/small", gpus=[0], engine_args={"tensor_parallel_size": 2})
    (planned,) = host.plan({"chat": declared}).servers
    assert [item.severity for item in planned.findings if item.code == "gpu.count"] == ["error"]


def test_an_unchanged_server_only_hears_warnings():
    host = Host()
    good = server(model="/models/small", gpus=[0])
    host.converge({"chat": good})
    host.models["/models/small"] = {"status": "complete", "format": "safetensors", "config": weights("never-heard-of")}
    (planned,) = host.plan({"chat": good}).servers
    assert planned.action == "none"
    assert {item.severity for item in planned.findings if item.code == QUANT} == {"warning"}


def test_checks_of_one_server_are_quick():
    one = subject({"tensor_parallel_size": 4, "max_model_len": 8192}, weights("fp8"), gpus=4, links=NVLINK)
    checks.server_findings(one)  # tables and release are read once
    begin = time.process_time()
    for dummy in range(20):
        checks.server_findings(
            checks.Server(
                one.spec, one.observation, one.siblings, one.image, one.model, one.gpus, {}, one.release, True
            )
        )
    assert (time.process_time() - begin) / 20 < 0.005
