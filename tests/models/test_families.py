# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layouts of public model families, as their publishers lay them out on the Hub, are judged rightly."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files

from . import caches
from .caches import TOKENIZER, safetensors, shards, text

ONE = {"model.safetensors": safetensors({"model.norm.weight": ("BF16", [8])})}
TEMPLATE = {"tokenizer_config.json": text({"chat_template": "x"})}
FAST = {"tokenizer.json": text(TOKENIZER), **TEMPLATE}


def config(architecture: str, model_type: str, **more: object) -> dict[str, bytes]:
    return {"config.json": text({"architectures": [architecture], "model_type": model_type, **more})}


CONSOLIDATED = {"consolidated.safetensors": safetensors({"norm.weight": ("BF16", [8])})}

#: name: (files, what is expected of the answer beside "complete")
FAMILIES: dict[str, tuple[dict[str, bytes], dict[str, object]]] = {
    # Meta keeps its own checkpoint in original/, which nobody needs: it may be there in part.
    "Llama 3 with original/": (
        {
            **config("LlamaForCausalLM", "llama"),
            **shards(4),
            **FAST,
            "original/params.json": b"{}",
            "original/tokenizer.model": b"x",
            "original/consolidated.00.pth": b"cut",
        },
        {"files": 4, "tokenizer_kind": "fast"},
    ),
    "Mistral, its own format alone": (
        {
            **CONSOLIDATED,
            "params.json": text({"dim": 8, "n_layers": 1, "vocab_size": 131072}),
            "tekken.json": text({"config": {}, "vocab": []}),
        },
        {"files": 1, "tokenizer_kind": "tekken", "config": None},
    ),
    "Mistral 7B with both formats": (
        {
            **config("MistralForCausalLM", "mistral"),
            **shards(3),
            **CONSOLIDATED,
            **FAST,
            "params.json": b"{}",
            "tokenizer.model": b"x",
            "tokenizer.model.v3": b"x",
        },
        {"files": 3, "tokenizer_kind": "fast"},
    ),
    "Mistral Small 3 with tekken beside config.json": (
        {**config("MistralForCausalLM", "mistral"), **shards(2), **CONSOLIDATED, "tekken.json": text({"vocab": []})},
        {"tokenizer_kind": "tekken"},
    ),
    "Pixtral, sees by params.json": (
        {**CONSOLIDATED, "params.json": text({"vision_encoder": {}}), "tekken.json": b'{"vocab": []}'},
        {"tokenizer_kind": "tekken"},
    ),
    "Qwen2.5-VL": (
        {
            **config("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", vision_config={"depth": 32}),
            **shards(2),
            **FAST,
            "preprocessor_config.json": text({"image_processor_type": "Qwen2VLImageProcessor"}),
            "chat_template.json": text({"chat_template": "x"}),
        },
        {"multimodal": True, "chat_template": True},
    ),
    "DeepSeek V3 with code that vLLM does not need": (
        {
            **config(
                "DeepseekV3ForCausalLM",
                "deepseek_v3",
                auto_map={
                    "AutoConfig": "configuration_deepseek.DeepseekV3Config",
                    "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
                },
            ),
            **shards(3, dtype="F8_E4M3"),
            **FAST,
            "configuration_deepseek.py": b"import json\n",
            "modeling_deepseek.py": b"from .configuration_deepseek import DeepseekV3Config\n",
        },
        {
            "code": {
                "classes": ["AutoConfig", "AutoModelForCausalLM"],
                "files": ["configuration_deepseek.py", "modeling_deepseek.py"],
                "repositories": [],
            }
        },
    ),
    "GPT-OSS with original/ and metal/": (
        {
            **config("GptOssForCausalLM", "gpt_oss", quantization_config={"quant_method": "mxfp4"}),
            **shards(3, dtype="U8"),
            **FAST,
            "chat_template.jinja": b"x",
            "original/model.safetensors": b"cut",
            "metal/model.bin": b"cut",
            "original/dtypes.json": b"{",
        },
        {"files": 3, "chat_template": True},
    ),
    "Phi-3 with remote code": (
        {
            **config("Phi3ForCausalLM", "phi3", auto_map={"AutoConfig": "configuration_phi3.Phi3Config"}),
            **shards(2),
            **FAST,
            "configuration_phi3.py": b"x = 1\n",
            "tokenizer.model": b"x",
            "sample.py": b"from .nowhere import x",
        },
        {"tokenizer_kind": "fast"},
    ),
    "code of another repository": (
        {**config("MPTForCausalLM", "mpt", auto_map={"AutoConfig": "org/code--configuration.C"}), **ONE, **FAST},
        {"code": {"classes": ["AutoConfig"], "files": [], "repositories": ["org/code"]}},
    ),
    "Qwen 1 with a tiktoken vocabulary and a tokenizer of its own": (
        {
            **config("QWenLMHeadModel", "qwen"),
            **ONE,
            "qwen.tiktoken": b"IQ== 0\n",
            "tokenization_qwen.py": b"import base64\n",
            "tokenizer_config.json": text({"auto_map": {"AutoTokenizer": ["tokenization_qwen.QWenTokenizer", None]}}),
        },
        {"tokenizer_kind": "tiktoken"},
    ),
    "Kimi with tiktoken.model": (
        {**config("DeepseekV3ForCausalLM", "kimi_k2"), **ONE, "tiktoken.model": b"IQ== 0\n"},
        {"tokenizer_kind": "tiktoken"},
    ),
    "sentence-transformers": (
        {
            **config("BertModel", "bert"),
            **ONE,
            "vocab.txt": b"[PAD]\n",
            "sentence_bert_config.json": b"{}",
            "modules.json": text(
                [
                    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
                    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                    {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
                    {"idx": 3, "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"},
                ]
            ),
            "2_Dense/config.json": text({"in_features": 4, "out_features": 2}),
            "2_Dense/model.safetensors": safetensors({"linear.weight": ("F32", [2, 4])}),
            "1_Pooling/config.json": text({"pooling_mode_cls_token": True}),
            "onnx/model.onnx": b"x",
        },
        {"tokenizer_kind": "slow", "pooling": True},
    ),
    "Whisper": (
        {
            **config("WhisperForConditionalGeneration", "whisper"),
            **ONE,
            "vocab.json": b"{}",
            "merges.txt": b"#",
            "preprocessor_config.json": text({"feature_extractor_type": "WhisperFeatureExtractor"}),
            "normalizer.json": b"{}",
            "pytorch_model.bin": b"not looked at beside safetensors",
        },
        {"multimodal": True, "tokenizer_kind": "slow", "chat_template": False, "format": "safetensors"},
    ),
    "Gemma with sentencepiece": (
        {**config("GemmaForCausalLM", "gemma"), **shards(2), "tokenizer.model": b"x", **TEMPLATE},
        {"tokenizer_kind": "sentencepiece", "chat_template": True},
    ),
    "GPT-2 with a torch file": (
        {
            **config("GPT2LMHeadModel", "gpt2"),
            "pytorch_model.bin": caches.torch_file(),
            "vocab.json": b"{}",
            "merges.txt": b"#",
            "training_args.bin": b"x",
            "optimizer.pt": b"x",
        },
        {"format": "torch", "files": 1, "tokenizer_kind": "slow"},
    ),
    "a template beside the tokenizer": (
        {**config("Qwen3ForCausalLM", "qwen3"), **ONE, "tokenizer.json": b"{}", "chat_template.jinja": b"x"},
        {"chat_template": True},
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("layout", ["directory", "cache"])
def test_a_complete_family_is_complete(tmp_path: pathlib.Path, name: str, layout: str) -> None:
    files, expected = FAMILIES[name]
    if layout == "cache":
        caches.hub(tmp_path / "hub", "org/name", files)
        found = model_files.look("org/name", None, str(tmp_path / "hub"))
    else:
        found = model_files.look(str(caches.directory(tmp_path / "m", files)))
    assert (found["status"], found["problems"]) == ("complete", [])
    assert {key: found[key] for key in expected} == expected


MISSING = {
    "Llama's original/ alone": (
        {**config("LlamaForCausalLM", "llama"), **FAST, "consolidated.00.pth": b"x"},
        "model.weights-missing",
        "original form",
    ),
    "GGUF files in a directory": ({"tiny.gguf": b"GGUF"}, "model.absent", "GGUF files"),
    "an adapter": ({"adapter_config.json": b"{}"}, "model.absent", "LoRA adapter"),
    "Mistral's own format, a shard short": (
        {
            "params.json": b"{}",
            "tekken.json": b'{"vocab": []}',
            **CONSOLIDATED,
            "consolidated.safetensors.index.json": text(
                {"weight_map": {"x": "consolidated-00002-of-00002.safetensors"}}
            ),
        },
        "model.shard-missing",
        "consolidated-00002",
    ),
    "a slow tokenizer's half": (
        {**config("GPT2LMHeadModel", "gpt2"), **ONE, "vocab.json": b"{}"},
        "model.tokenizer-missing",
        "no tokenizer",
    ),
    "code of a tokenizer": (
        {
            **config("QWenLMHeadModel", "qwen"),
            **ONE,
            "qwen.tiktoken": b"x",
            "tokenizer_config.json": text({"auto_map": {"AutoTokenizer": ["tokenization_qwen.QWenTokenizer", None]}}),
        },
        "model.code-missing",
        "tokenization_qwen.py",
    ),
    "a pooling module": (
        {
            **config("BertModel", "bert"),
            **ONE,
            "vocab.txt": b"x",
            "modules.json": text([{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]),
        },
        "model.file-missing",
        "1_Pooling/config.json",
    ),
    "the weights of a layer behind the model": (
        {
            **config("BertModel", "bert"),
            **ONE,
            "vocab.txt": b"x",
            "modules.json": text([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]),
            "2_Dense/config.json": text({"in_features": 4, "out_features": 2}),
        },
        "model.weights-missing",
        "2_Dense",
    ),
    "the end of a layer behind the model": (
        {
            **config("BertModel", "bert"),
            **ONE,
            "vocab.txt": b"x",
            "modules.json": text([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]),
            "2_Dense/config.json": text({"in_features": 4, "out_features": 2}),
            "2_Dense/model.safetensors": safetensors({"linear.weight": ("F32", [2, 4])})[:-4],
        },
        "model.weights-corrupt",
        "cut off",
    ),
    "Whisper's preprocessor": (
        {**config("WhisperForConditionalGeneration", "whisper"), **ONE, **FAST},
        "model.processor-missing",
        "audio",
    ),
    "a preprocessor that is cut": (
        {
            **config("LlavaForConditionalGeneration", "llava", vision_config={}),
            **ONE,
            **FAST,
            "preprocessor_config.json": b"{",
        },
        "model.processor-invalid",
        "damaged",
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_a_family_lacks_is_found(tmp_path: pathlib.Path, name: str) -> None:
    files, code, words = MISSING[name]
    found = model_files.look(str(caches.directory(tmp_path / "m", files)))
    told = [entry for entry in found["problems"] if entry["code"] == code]
    assert found["status"] == "incomplete" and told and words in told[0]["message"]


ADAPTER = {
    "adapter_config.json": text(
        {"peft_type": "LORA", "r": 16, "base_model_name_or_path": "org/base", "lora_alpha": 32, "target_modules": ["q"]}
    ),
    "adapter_model.safetensors": safetensors({"lora_A": ("F32", [16, 8])}),
}


def test_other_roles_ask_for_other_files(tmp_path: pathlib.Path) -> None:
    adapter = caches.directory(tmp_path / "adapter", ADAPTER)
    found = model_files.look(str(adapter), role="adapter")
    assert found["status"] == "complete"
    assert found["adapter"] == {"base_model": "org/base", "rank": 16, "type": "LORA", "beyond": {}}
    asked = {
        "r": 8, "rank_pattern": {"q_proj": 64}, "lora_alpha": 8, "target_modules": ["q"], "bias": "lora_only",
        "use_dora": True, "init_lora_weights": "pissa", "modules_to_save": ["score", "embed_tokens"],
    }  # fmt: skip
    (adapter / "adapter_config.json").write_text(json.dumps(asked))
    found = model_files.look(str(adapter), role="adapter")
    assert found["adapter"]["rank"] == 64 and found["adapter"]["beyond"] == {
        "use_dora": "true", "bias": "lora_only", "modules_to_save": "embed_tokens", "init_lora_weights": "pissa",
    }  # fmt: skip
    (adapter / "adapter_model.safetensors").unlink()
    assert [e["code"] for e in model_files.look(str(adapter), role="adapter")["problems"]] == ["model.weights-missing"]
    (adapter / "adapter_config.json").write_bytes(b'{"peft_type": "LORA"}')
    assert "model.adapter-invalid" in [e["code"] for e in model_files.look(str(adapter), role="adapter")["problems"]]
    assert model_files.look(str(tmp_path), role="adapter")["problems"][0]["code"] == "model.absent"

    tokenizer = caches.directory(tmp_path / "tokenizer", FAST)
    assert model_files.look(str(tokenizer), role="tokenizer")["status"] == "complete"
    assert model_files.look(str(adapter), role="tokenizer")["problems"][0]["code"] == "model.tokenizer-missing"

    settings = caches.directory(tmp_path / "config", config("LlamaForCausalLM", "llama"))
    assert model_files.look(str(settings), role="config")["status"] == "complete"
    assert model_files.look(str(tokenizer), role="config")["problems"][0]["code"] == "model.absent"

    draft = caches.directory(tmp_path / "draft", {**config("EagleLlamaForCausalLM", "llama"), **ONE})
    assert model_files.look(str(draft), role="draft")["status"] == "complete"
    assert model_files.look(str(settings), role="draft")["problems"][0]["code"] == "model.weights-missing"

    assert (
        model_files.look(str(settings), role="generation")["problems"][0]["code"] == "model.generation-config-missing"
    )
    (settings / "generation_config.json").write_bytes(b"{}")
    assert model_files.look(str(settings), role="generation")["status"] == "complete"

    template = tmp_path / "template.jinja"
    assert model_files.look(str(template), role="file")["problems"][0]["code"] == "model.absent"
    template.write_text("{{ x }}")
    assert model_files.look(str(template), role="file")["status"] == "complete"
    template.write_text("")
    assert model_files.look(str(template), role="file")["problems"][0]["code"] == "model.file-invalid"
