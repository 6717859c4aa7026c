# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Whether a model can be divided among the GPUs that are declared for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..findings import Finding
from ..observation import wants_gpus
from .config import Config
from .context import Findings, Server

#: vllm/model_executor/layers/vocab_parallel_embedding.py DEFAULT_VOCAB_PADDING_SIZE, 0.6 … 0.33.
VOCABULARY_PADDING = 64

#: Executors that place their workers themselves, on whatever hosts they have.
_ELSEWHERE = {"ray", "external_launcher"}


def check(server: Server) -> Findings:
    """Each rule names its source in vLLM below; numbers that ``config.json`` does not tell are called unknown."""
    if server.spec.kind == "container":
        return
    if wants_gpus(server.spec):
        yield from _count(server)
        yield from _alike(server)
        yield from _topology(server)
    config = Config.of(server)
    size = server.number("tensor_parallel_size", 1)
    if size > 1:
        yield from _tensor(server, config, size)
    yield from _stages(server, config)


def world(server: Server) -> int | None:
    """GPUs that the declaration uses on this host; None when others decide it.

    Source: vllm/config/parallel.py: world size = TP × PP (× PCP), one such world for each local data-parallel rank,
    divided among ``nnodes``.
    """
    if server.argument("distributed_executor_backend") in _ELSEWHERE or (
        server.argument("data_parallel_backend") in _ELSEWHERE
    ):
        return None
    size = server.number("tensor_parallel_size", 1) * server.number("pipeline_parallel_size", 1)
    size *= server.number("prefill_context_parallel_size", 1)
    if server.spec.nodes is not None:
        return size * server.number("data_parallel_size", 1) // len(server.spec.nodes.hosts) or None
    nodes = server.number("nnodes", 1)
    if nodes > 1:
        return size // nodes if size % nodes == 0 and server.number("data_parallel_size", 1) == 1 else None
    if server.argument("data_parallel_rank") is not None or server.argument("data_parallel_external_lb"):
        return size
    local = server.argument("data_parallel_size_local")
    return size * (server.number("data_parallel_size_local", 1) if local else server.number("data_parallel_size", 1))


def _count(server: Server) -> Findings:
    wanted, given = world(server), len(server.gpus)
    if wanted is None or not given or wanted == given:
        return
    names = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "data_parallel_size_local")
    parts = [f"{name} {server.argument(name)}" for name in names if server.argument(name)]
    why = " × ".join(parts) or "no parallel size is declared"
    if wanted > given:
        # vllm/config/parallel.py: "World size (N) is larger than the number of available GPUs (M) in this node."
        yield server.finding(
            "gpu.count",
            "error",
            f"{wanted} GPUs are needed ({why}), and {given} declared",
            "gpus",
            f"Declare {wanted} GPUs, or lower the sizes so that their product is {given}.",
        )
    else:
        yield server.finding(
            "gpu.unused",
            "warning",
            f"{given} GPUs are declared, and {wanted} used ({why})",
            "gpus",
            f"Write engine_args.tensor_parallel_size: {given}, or declare {wanted}.",
        )


def _alike(server: Server) -> Findings:
    """Ranks wait for the slowest, and each gets the share of the KV cache that fits the smallest
    (vllm/v1/executor: the least ``num_gpu_blocks`` of all workers)."""
    devices = server.devices
    names = sorted({str(item.get("name")) for item in devices if item.get("name")})
    sizes = sorted({item["memory_total"] >> 30 for item in devices if item.get("memory_total")})
    if len(names) > 1 or (sizes and sizes[-1] > sizes[0] * 1.05):
        what = " and ".join(names) if len(names) > 1 else f"{sizes[0]} and {sizes[-1]} GiB"
        yield server.finding(
            "gpu.unequal",
            "warning",
            f"its GPUs differ ({what}): the slowest sets the pace, the smallest the KV cache",
            "gpus",
            "Name GPUs of one kind.",
        )
    if len(server.gpus) > 1 and any(uuid.startswith("MIG-") for uuid in server.gpus):
        yield server.finding(
            "gpu.topology",
            "warning",
            "several MIG devices are given to one server, and they cannot reach each other's memory",
            "gpus",
            "Give a server one MIG device (CUDA shows a process only the first of them anyway).",
        )


def _topology(server: Server) -> Findings:
    """Source: ``nvidia-smi topo -m``; NCCL's transports: NVLink, else PCIe peer to peer, else shared memory."""
    size = server.number("tensor_parallel_size", 1)
    matrix = (server.observation.gpus.get("topology") or {}).get("links") or {}
    indexes = [str(device.get("index")) for device in server.devices]
    if size < 2 or len(indexes) < 2 or not matrix:
        return
    links = {
        (matrix.get(one) or {}).get(other, "") for at, one in enumerate(indexes) for other in indexes[at + 1 :]
    } - {""}
    if not links or all(link.startswith("NV") for link in links):
        return
    # Two groups with NVLink inside and none between them: pipeline parallelism crosses the slow link once a token.
    if "SYS" in links:
        yield server.finding(
            "gpu.topology",
            "warning",
            f"tensor parallelism crosses the link between two sockets (SYS; links: {', '.join(sorted(links))})",
            "gpus",
            "Name GPUs of one socket (cortex.vllm.gpu_info shows the links), or divide by pipeline_parallel_size.",
        )
    else:
        yield server.finding(
            "gpu.topology",
            "info",
            f"no NVLink between its GPUs ({', '.join(sorted(links))}): each layer's sums go over PCIe",
            "gpus",
            "For throughput, compare pipeline_parallel_size or one server for each GPU.",
        )


def _tensor(server: Server, config: Config | None, size: int) -> Findings:
    if config is None:
        return
    field = "tensor_parallel_size"
    heads, kv_heads = config.heads, config.kv_heads
    if heads is None:
        yield _finding(server, "info", "config.json does not tell the attention heads: whether they divide is unknown")
    elif heads % size:
        # vllm/config/model.py verify_with_parallel_config, 0.6 … 0.33.
        yield _finding(server, "error", f"{heads} attention heads cannot be divided among {size} GPUs", field, heads)
    if kv_heads and heads and heads % size == 0:
        if (kv_heads % size if size < kv_heads else size % kv_heads) != 0:
            # vllm/model_executor/layers/linear.py QKVParallelLinear (divide() asserts), 0.6 … 0.33.
            text = f"{kv_heads} KV heads can neither be divided nor repeated evenly among {size} GPUs"
            yield _finding(server, "error", text, field, heads, kv_heads)
        elif size > kv_heads:
            text = f"{kv_heads} KV heads among {size} GPUs: each is kept {size // kv_heads} times"
            yield _finding(server, "info", text)
    vocabulary = config.number("vocab_size")
    if vocabulary:
        padded = -(-vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
        if padded % size:
            # vocab_parallel_embedding.py: divide(num_embeddings_padded, tp_size) asserts, 0.6 … 0.33.
            text = f"the vocabulary ({vocabulary}, padded to {padded}) cannot be divided among {size} GPUs"
            yield _finding(server, "error", text, field, padded)
    yield from _feed_forward(server, config, size)


def _feed_forward(server: Server, config: Config, size: int) -> Findings:
    field, experts = "tensor_parallel_size", config.experts
    dense = config.number("intermediate_size")
    if not experts:
        if dense and dense % size:
            # vllm/model_executor/layers/linear.py ColumnParallelLinear (divide() asserts), 0.6 … 0.33.
            text = f"the intermediate size {dense} cannot be divided among {size} GPUs"
            yield _finding(server, "error", text, field, dense)
        return
    if server.argument("enable_expert_parallel"):
        ranks = size * server.number("data_parallel_size", 1)
        if experts % ranks:
            text = f"{experts} experts are not divided evenly among {ranks} GPUs: some hold more than others"
            yield _finding(server, "warning", text, "enable_expert_parallel")
        return
    if size > experts:
        # vllm/model_executor/models/qwen3_moe.py raises, 0.8.5 … 0.33; others differ.
        certain = any(name.startswith("Qwen3Moe") for name in config.architectures)
        text = f"tensor parallel size {size} is larger than the number of experts ({experts})"
        yield _finding(server, "error" if certain else "warning", text, field, experts)
    width = config.number("moe_intermediate_size") or dense
    block = config.quantization.get("weight_block_size")
    if width and width % size:
        text = f"the experts' intermediate size {width} is not divided evenly among {size} GPUs"
        yield _finding(server, "warning", text, field, width)
    elif width and isinstance(block, list) and block and isinstance(block[0], int) and block[0] > 0:
        if (width // size) % block[0]:
            # vllm/model_executor/layers/quantization/utils/fp8_utils.py validate_fp8_block_shape_moe; kernels that pad
            # exist in some releases, so that it is no certain failure.
            yield server.finding(
                "argument.parallel",
                "warning",
                f"each GPU gets {width // size} of the experts' {width} columns, no multiple of the FP8 block"
                f" ({block[0]}): most releases refuse that",
                fix="Write engine_args.enable_expert_parallel: true, or a smaller tensor_parallel_size.",
            )


def _stages(server: Server, config: Config | None) -> Findings:
    stages = server.number("pipeline_parallel_size", 1)
    layers = config.layers if config is not None else None
    if stages < 2 or not layers:
        return
    field = "pipeline_parallel_size"
    if layers < stages:
        # vllm/distributed/utils.py get_pp_indices: a stage would have no layer, and the KV cache no place.
        yield _finding(server, "error", f"{layers} layers cannot be divided into {stages} stages", field, layers)
    elif layers % stages:
        text = f"{layers} layers in {stages} stages: some hold one layer more than others"
        yield _finding(server, "info", text, field)


def _finding(server: Server, severity: Any, message: str, argument: str | None = None, *numbers: int) -> Finding:
    """A finding about one argument; ``numbers`` are those that a fitting size must divide."""
    fix = f"Write {_listed(divisors(*numbers))} for {argument}." if argument and numbers else None
    written = f"engine_args.{server.arguments.get(argument, (argument, None))[0]}" if argument else None
    return server.finding(
        "argument.parallel", severity, message, written, fix, origin=server.argument(argument) if argument else None
    )


def divisors(heads: int, kv_heads: int | None = None) -> list[int]:
    """Sizes up to 16 that divide ``heads``, and that divide or repeat ``kv_heads`` evenly."""
    return [
        size
        for size in range(1, 17)
        if heads % size == 0 and (not kv_heads or (kv_heads % size if size < kv_heads else size % kv_heads) == 0)
    ]


def _listed(sizes: Iterable[int]) -> str:
    *most, last = [str(size) for size in sizes]
    return f"{', '.join(most)} or {last}" if most else last
