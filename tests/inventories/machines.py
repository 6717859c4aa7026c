# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machines of the example inventories, as an observation would show them, and the models that they serve."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Machine:
    """GPUs of one kind, the link between them, adapters for RDMA.

    :ivar gib: what the driver shows as total, in GiB
    :ivar free: share of it that is free before a server starts
    """

    gpu: str
    gib: float
    capability: str
    count: int = 1
    link: str = ""
    adapters: int = 0
    free: float = 0.99

    @property
    def uuids(self) -> list[str]:
        return [f"GPU-{index}" for index in range(self.count)]

    def chosen(self, gpus: Any) -> list[str]:
        if gpus.kind == "count":
            return self.uuids[: gpus.count]
        return [self.uuids[int(item)] for item in gpus.items]

    def facts(self, address: str | None) -> dict[str, Any]:
        devices = [
            {"index": index, "uuid": uuid, "name": self.gpu, "compute_capability": self.capability}
            for index, uuid in enumerate(self.uuids)
        ]
        indexes = [str(index) for index in range(self.count)]
        links = {one: {other: self.link for other in indexes if other != one} for one in indexes}
        addresses = [address or "192.0.2.1"]
        interface = {"name": "bond0", "up": True, "kind": "bond", "addresses": addresses, "default": True}
        port = {"port": 1, "state": "ACTIVE", "link_layer": "InfiniBand", "rate": 400.0, "gids": []}
        hcas = [{"name": f"mlx5_{index}", "ports": [port]} for index in range(self.adapters)]
        return {
            "network": {"interfaces": [interface], "hcas": hcas},
            "gpus": {"driver": "580.95.05", "devices": devices, "topology": {"links": links}},
        }


H100 = Machine("NVIDIA H100 80GB HBM3", 79.18, "9.0", 8, "NV18", adapters=8)
MACHINES = {
    "laptop": Machine("NVIDIA GeForce RTX 3060 Laptop GPU", 5.79, "8.6", free=0.87),
    "t4": Machine("Tesla T4", 14.56, "7.5"),
    "hgx1": H100,
    "hgx2": H100,
    "hgx": H100,
    "box": Machine("NVIDIA GeForce RTX 4090", 23.52, "8.9", 2, "PHB"),
    "l4": Machine("NVIDIA L4", 22.03, "8.9"),
    "a100": Machine("NVIDIA A100-SXM4-80GB", 79.15, "8.0", 4, "NV12"),
}


def config(
    architecture: str, hidden: int, layers: int, heads: int, kv: int, inner: int, vocabulary: int, **more: Any
) -> Any:
    return {
        "architectures": [architecture],
        "model_type": "llama" if architecture.startswith("Llama") else architecture[:5].lower(),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "torch_dtype": "bfloat16",
        "max_position_embeddings": 131072,
        **more,
    }  # fmt: skip


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic", "fmt": "e4m3"}
#: config.json of the published models, and the bytes of their weights.
CONFIGS: dict[str, tuple[Any, int]] = {
    "Qwen/Qwen3-0.6B": (
        config("Qwen3ForCausalLM", 1024, 28, 16, 8, 3072, 151936, head_dim=128, tie_word_embeddings=True),
        1_503_300_328,
    ),
    "Qwen/Qwen3-Embedding-0.6B": (
        config("Qwen3ForCausalLM", 1024, 28, 16, 8, 3072, 151669, head_dim=128, tie_word_embeddings=True),
        1_191_586_416,
    ),
    "Qwen/Qwen2.5-7B-Instruct-AWQ": (
        config("Qwen2ForCausalLM", 3584, 28, 28, 4, 18944, 152064, quantization_config=AWQ), 5_570_889_744,
    ),
    "Qwen/Qwen3-8B": (config("Qwen3ForCausalLM", 4096, 36, 32, 8, 12288, 151936, head_dim=128), 16_381_470_720),
    "Qwen/Qwen3-8B-FP8": (
        config("Qwen3ForCausalLM", 4096, 36, 32, 8, 12288, 151936, head_dim=128, quantization_config=FP8),
        9_440_000_000,
    ),
    "Qwen/Qwen3-32B": (config("Qwen3ForCausalLM", 5120, 64, 64, 8, 25600, 151936, head_dim=128), 65_524_246_528),
    "Qwen/Qwen3-32B-AWQ": (
        config("Qwen3ForCausalLM", 5120, 64, 64, 8, 25600, 151936, head_dim=128, quantization_config=AWQ),
        19_330_000_000,
    ),
    "meta-llama/Llama-3.3-70B-Instruct": (
        config("LlamaForCausalLM", 8192, 80, 64, 8, 28672, 128256), 141_107_412_992,
    ),
    "meta-llama/Llama-3.1-405B-Instruct": (
        config("LlamaForCausalLM", 16384, 126, 128, 8, 53248, 128256), 811_706_449_920,
    ),
}  # fmt: skip
