# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GGUF with real vLLM 0.32, without a network: refused as foreseen, and started with the plugin from what passed.

The plugin's kernels are for GPUs; 16-bit tensors need none of them, so that the CPU image can show the whole way.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import model_files
from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import inside

from .test_foreseen import foreseen
from .test_real_vllm import ROOT, output

pytestmark = [pytest.mark.e2e, pytest.mark.long]
BESIDE = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
ASK = (
    "import json, urllib.request as u; q = u.Request('http://127.0.0.1:8000/v1/completions', "
    "json.dumps({'model': 'tiny', 'prompt': 'hello', 'max_tokens': 3}).encode(), "
    "{'Content-Type': 'application/json'}); "
    "print(json.load(u.urlopen(q))['usage']['completion_tokens'])"
)


def converted(model: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """The tiny model as llama.cpp's package writes it: its names, 16 bits, norms in 32."""
    import gguf
    import numpy

    config, raw = json.loads((model / "config.json").read_text()), (model / "model.safetensors").read_bytes()
    begin = 8 + struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:begin])
    header.pop("__metadata__", None)
    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    for name, entry in header.items():
        at, end = entry["data_offsets"]
        assert entry["dtype"] == "BF16"
        wide = numpy.frombuffer(raw[begin + at : begin + end], "<u2").astype("<u4") << 16
        values = wide.view("<f4").reshape(entry["shape"])
        own = names.get_name(name, try_suffixes=(".weight",))
        assert own is not None
        writer.add_tensor(own, values if values.ndim == 1 else values.astype(numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def image() -> str:
    return output(str(ROOT / "tools" / "vllm-image"))


@pytest.fixture(scope="module")
def model(image: str) -> Iterator[pathlib.Path]:
    """The GGUF file with configuration and tokenizer beside it, where an engine sees it."""
    tiny = pathlib.Path(output(str(ROOT / "tools" / "tiny-model"), image))
    folder = pathlib.Path("/var/tmp") / f"cortex-vllm-gguf-{os.getpid()}"
    folder.mkdir()
    for name in BESIDE:
        if (tiny / name).exists():
            shutil.copy(tiny / name, folder / name)
    yield converted(tiny, folder / "tiny-F16.gguf")
    shutil.rmtree(folder)


def command(image: str, model: pathlib.Path, name: str, *more: str) -> list[str]:
    return [
        "docker", "run", "-d", "--name", name, "--network", "none", "--init", "--cap-drop", "ALL", "--shm-size", "256m",
        "-v", f"{model.parent}:{model.parent}:ro", "-e", "HF_HUB_OFFLINE=1", "-e", "TRANSFORMERS_OFFLINE=1",
        "-e", "VLLM_CPU_KVCACHE_SPACE=1", "-e", "VLLM_ENABLE_V1_MULTIPROCESSING=0", "-e", "TORCHDYNAMO_DISABLE=1",
        *more, image, str(model), "--max-model-len", "512", "--enforce-eager", "--served-model-name", "tiny",
        "--distributed-executor-backend", "uni",
    ]  # fmt: skip


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"cortex-vllm-gguf-{os.getpid()}"
    yield chosen
    subprocess.run(["docker", "rm", "-f", chosen], capture_output=True, check=False)


def log(name: str) -> list[str]:
    done = subprocess.run(
        ["docker", "logs", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    return done.stdout.splitlines()


def test_without_the_plugin_it_fails_as_foreseen(image: str, model: pathlib.Path, name: str) -> None:
    """The check says of the files what the diagnosis reads in the log of the real start."""
    expected = foreseen({"model": str(model)})
    output(*command(image, model, name))
    code = int(subprocess.run(["docker", "wait", name], capture_output=True, text=True, timeout=400, check=True).stdout)
    found = diagnosis.diagnose(log(name), {"code": code, "oom": False, "error": "", "seconds": 20.0}).findings
    assert code == 1 and [found[0].code] == expected, log(name)[-20:]


def test_with_the_plugin_it_starts_from_what_passed(image: str, model: pathlib.Path, name: str) -> None:
    plugin = output(str(ROOT / "tools" / "gguf-plugin"))
    more = ["-v", f"{plugin}:/plugin:ro", "-e", "PYTHONPATH=/plugin"]
    found = model_files.look(str(model))
    assert (found["status"], found["problems"], found["format"]) == ("complete", [], "gguf")
    asking = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", *more]
    done = subprocess.run(
        [*asking, "-e", "CORTEX_ANSWER=/dev/stderr", image, "-c", inside.script("plugins")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert any("gguf" in item for item in json.loads(done.stderr.splitlines()[-1])["plugins"])
    output(*command(image, model, name, *more))
    deadline, answer = time.monotonic() + 500, ""
    while time.monotonic() < deadline and not answer:
        assert output("docker", "inspect", "-f", "{{.State.Running}}", name) == "true", log(name)[-30:]
        asked = subprocess.run(["docker", "exec", name, "python3", "-c", ASK], capture_output=True, text=True)
        answer = asked.stdout.strip()
        time.sleep(2)
    assert answer == "3"


def test_the_plugin_takes_nothing_but_weights_out_of_the_file(image: str, model: pathlib.Path, name: str) -> None:
    """The file alone: refused by the check, and really not started."""
    plugin = output(str(ROOT / "tools" / "gguf-plugin"))
    (model.parent / "alone").mkdir()
    alone = model.parent / "alone" / model.name
    shutil.copy(model, alone)
    assert "model.gguf-config" in foreseen({"model": str(alone)}, plugins=["vllm-gguf-plugin 0.0.5"])
    output(*command(image, alone, name, "-v", f"{plugin}:/plugin:ro", "-e", "PYTHONPATH=/plugin"))
    done = subprocess.run(["docker", "wait", name], capture_output=True, text=True, timeout=400, check=True)
    said = "\n".join(log(name))
    assert done.stdout.strip() == "1" and "startup complete" not in said and "ModelConfig" in said, said[-3000:]
