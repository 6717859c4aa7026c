# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What is neither weights nor cache: the peak of activations, the driver's and NCCL's part, CUDA graphs.

The activation peak is what vLLM measures while it profiles: a forward pass over ``max_num_batched_tokens``, then the
sampler over ``max_num_seqs`` rows of logits in 32 bits. The structure is vllm/v1/worker/gpu_model_runner.py profile_run
and _dummy_sampler_run; the samplers' coefficients were measured with vLLM's own functions on a GPU (8 to 1024 rows,
32,000 to 262,144 words), the rest was fitted on start-up logs (see docs/memory.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import quantization, runner, vision
from .arguments import GIB, Gpu, Settings, integer, true
from .shape import Shape

#: Bytes for each row and word: sorting for top-k and top-p holds nine copies of the logits in 32 bits beside the
#: model's own in 16 (48 more bytes a row and word below some 128 rows, where it is small anyway) …
SORTING = 38.0
#: … kernels that do not sort (FlashInfer; Triton since 0.17) hold the logits, their 32-bit copy, probabilities, noise …
LEAN = 14.0
#: … and the second model runner profiles without top-k and top-p: with a 32-bit copy, and none since 0.26.
SECOND, SECOND_COPY = 2.0, 6.0
#: Beside speculation the rejection sampler is profiled too, with two rows of logits for each request
#: (_dummy_sampler_run); measured once, with 0.26.0, n-grams and 256 requests.
SPECULATING = 32.0
#: Since then experts compute in a buffer that stays (vllm/v1/worker/workspace.py; the kernel that takes it stands in
#: unquantized_fused_moe_method.py of 0.14.1, and not in that of 0.13.0).
KEPT_BUFFER = ((0, 14), 0, 0)
#: cuBLAS' workspace on Hopper and Blackwell (32 MiB) and small change. Beside the sampler it was seen with 0.26.0; logs
#: of releases before 0.16 are met better without.
WORKSPACE, WORKSPACE_BESIDE = 32 << 20, ((0, 16), 0, 0)
FLOOR = int(0.15 * GIB)


@dataclass(frozen=True)
class Range:
    """An estimate and the bounds within which starts were seen, bytes."""

    value: float
    low: float
    high: float


def sampler_path(settings: Settings, environment: dict[str, str] | None = None) -> tuple[str, bool]:
    """``sorting`` or ``lean``, and whether it may be the other one.

    vllm/v1/sample/ops/topk_topp_sampler.py: V0 and V1 without FlashInfer sort. 0.8 to 0.11.0 take FlashInfer where it
    is installed; logs show it from 0.10 on, in the official images. 0.11.1 to 0.16 only when asked. A Triton kernel
    replaces the sort since 0.17, FlashInfer is on by default since 0.22.
    """
    asked = str((environment or {}).get("VLLM_USE_FLASHINFER_SAMPLER", ""))
    if settings.rocm and settings.key < ((0, 17), 0, 0):  # no FlashInfer
        return "sorting", False
    if not settings.v1:
        return ("lean" if asked == "1" else "sorting"), False
    if settings.key >= ((0, 17), 0, 0):
        # The Triton kernel is used from eight rows on.
        return "lean", False
    if asked in {"0", "1"}:
        return ("lean" if asked == "1" else "sorting"), False
    if settings.key >= ((0, 11, 1), 0, 0):
        return "sorting", False
    if settings.key >= ((0, 10), 0, 0) and settings.key < ((0, 11), 0, 0):
        return "lean", True
    return "sorting", True


def activation(shape: Shape, settings: Settings, environment: dict[str, str] | None = None) -> Range:
    """Peak of the profiling run on one rank."""
    forward = _forward(shape, settings)
    second = runner.second(shape, settings, environment)
    tower = 0.0
    if runner.profiles_images(settings, second):
        tower = vision.activation(shape, settings)
    rows = settings.max_seqs
    path, unsure = sampler_path(settings, environment)
    each = SORTING if path == "sorting" else LEAN
    if second:
        each, unsure = (SECOND if settings.key >= ((0, 26), 0, 0) else SECOND_COPY), False
    elif settings.v1 and settings.given.get("speculative_config"):
        each = max(each, SPECULATING)
    if not settings.v1 and shape.vision is not None:
        # V0 profiles as many sequences as fit with the largest image each.
        sizes = vision.tower(shape) or {}
        rows = min(rows, max(1, settings.batched // sizes.get("tokens", 576)))
    logits = 0.0 if settings.pooling else float(rows) * shape.vocab
    hidden = settings.batched * shape.hidden * 2.0
    sampled = logits * each + (hidden if settings.v1 else 0.0) + _kept(shape, settings)
    if settings.key >= WORKSPACE_BESIDE and not second:
        sampled += WORKSPACE
    peak = max(sampled, forward, FLOOR)
    low, high = peak * 0.85, peak * 1.12 + 0.1 * GIB
    if unsure:
        low = min(low, max(logits * LEAN, forward, FLOOR) * 0.85)
        high = max(high, max(logits * SORTING + hidden, forward) * 1.05)
    if tower:
        # The tower runs before the forward pass, and little of it stays.
        peak = max(peak, tower) + (0.1 * min(peak, tower))
        low, high = min(low, peak * 0.5), max(high, peak * 1.6)
    if true(settings.given.get("enable_lora")):
        peak, high = peak * 1.1, high * 1.3
    return Range(peak, low, high)


def _forward(shape: Shape, settings: Settings) -> float:
    """Live at the widest place of a layer: the residual and what the MLP, the attention or the experts hold."""
    tensor, tokens, hidden = settings.tensor, settings.batched, shape.hidden
    attention = 2.0 * (shape.heads + 2 * max(tensor, shape.kv_heads)) * shape.head_dim / tensor
    widest = max(attention, 3.0 * shape.intermediate / tensor)
    if "linear" in shape.kinds and shape.config.get("linear_num_value_heads"):
        flat = shape.config
        keys = int(flat.get("linear_num_key_heads") or 0) * int(flat.get("linear_key_head_dim") or 0)
        values = int(flat["linear_num_value_heads"]) * int(flat.get("linear_value_head_dim") or 0)
        # Gated delta rule in chunks: its inputs, their products and a state for each chunk (layers/fla/ops/chunk.py).
        widest = max(widest, (14.0 * values + 4.0 * keys) / tensor)
    if shape.experts:
        each = shape.expert_width / tensor
        held = max(each, hidden) if _kept(shape, settings) else each
        widest = max(attention, shape.experts_per_token * (max(2 * each, hidden) + held))
    peak = tokens * ((5.5 if shape.experts else 3.3) * hidden + widest) * 2.0 + (WORKSPACE if settings.v1 else 0)
    if settings.quantization in {"awq", "gptq"}:
        # Asked for by name, so not replaced by Marlin's kernels: a matrix is unpacked as a whole for long batches
        # (quantization/awq.py; csrc/quantization/gptq/q_gemm.cu temp_dq).
        peak += 2.0 * hidden * 2 * shape.intermediate / tensor
    return peak


def _kept(shape: Shape, settings: Settings) -> float:
    """The experts' two buffers, which stay allocated: inputs of both matrices for each token and expert.

    vllm/model_executor/layers/fused_moe/experts/triton_moe.py ``workspace_shapes``. Kernels for weights of four bits
    have none, or small ones: none was seen beside GPT-OSS' on an H200.
    """
    if not shape.experts or not settings.v1 or settings.cpu or settings.key < KEPT_BUFFER:
        return 0.0
    how = quantization.encoding(settings.quantization, shape.config, 2, shape.having())
    if (how.of("experts") or 0.0) < 1.0:
        return 0.0
    each, hidden = shape.expert_width / settings.tensor, shape.hidden
    return 2.0 * settings.batched * shape.experts_per_token * (max(each, hidden) + max(2 * each, hidden))


def non_torch(settings: Settings, gpu: Gpu, weights: float = 0.0) -> Range:
    """Context, libraries and NCCL's buffers, as logs show them (wide with several ranks).

    :param weights: bytes that are read into memory
    """
    ranks = settings.tensor * settings.pipeline
    value, low, high = (0.12, 0.02, 0.3) if settings.v1 else (0.25, 0.01, 0.45)
    if not settings.v1 and settings.key >= ((0, 7), 0, 0):
        value = 0.1  # 0.04 to 0.16 were logged
    if settings.key >= ((0, 20), 0, 0):
        value = 0.2  # 0.22 measured on an H200 with 0.26.0, 0.1 of it cuBLAS and the kernels that Triton loads
    if ranks > 1:
        # 0.2 was logged of eight L40S as of two or four GPUs: it is the switch that makes the difference.
        value, low, high = {2: (0.45, 0.2, 1.4), 3: (0.5, 0.2, 1.0), 4: (0.5, 0.3, 2.3)}.get(ranks, (0.4, 0.1, 3.0))
        if ranks > 2 and switched(gpu):
            # NCCL's buffers for a switch: 2 and 2.3 were logged of four and eight, 5.7 to 7.7 of eight under V0,
            # which has two communicators of all GPUs.
            value, low, high = (1.6 if ranks < 8 else 2.2, 0.4, 6.0) if settings.v1 else (6.0, 2.0, 8.0)
    if ranks > 2 and gpu.capability is not None and gpu.capability < 8:
        value, low = 0.3, 0.1  # 0.1 on eight T4
    if any(word in gpu.name.lower() for word in ("gb10", "thor", "orin", "jetson")):
        # Memory shared with the processor: pages that the system reads weights into count as used, as far as they are
        # kept. 0.8 to 4.5 GiB were logged of weights from 4 to 51 GiB, 2.2 once of one.
        value, high = value + 0.5 + 0.08 * weights / GIB, high + 4.0 + 0.08 * weights / GIB
    return Range(value * GIB, low * GIB, high * GIB)


def switched(gpu: Gpu) -> bool:
    """Whether the name is of a GPU that comes on boards with an NVLink switch."""
    name = gpu.name.lower()
    known = any(word in name for word in ("h100", "h200", "b200", "b300", "gb200", "h800", "h20"))
    return known and not any(word in name for word in ("pcie", "nvl"))


def cuda_graphs(shape: Shape, settings: Settings) -> Range:
    """Memory of captured graphs: what the first one takes, then by layers and captured sizes.

    Captured up to 512 rows, since 0.12 up to twice ``max_num_seqs`` (vllm/config/vllm.py
    _set_cudagraph_sizes); V0 up to 256.
    """
    if settings.eager:
        return Range(0.0, 0.0, 0.0)
    most = 256 if not settings.v1 else 512
    if settings.v1 and settings.key >= ((0, 12), 0, 0):
        most = min(512, settings.max_seqs * 2)
    sizes = _captured(settings, most)
    # Ranks beyond one keep buffers of their all-reduce for each graph.
    # Nine graphs of 28 layers took 0.33 under the first runner of 0.22, eighty-six 0.53 to 0.64.
    late = settings.key >= ((0, 19), 0, 0) and not runner.second(shape, settings)
    base, each = (0.25, 0.00019) if late else (0.03, 0.00023)
    value = (base + each * shape.layers * sizes * (1 + 0.1 * (settings.tensor - 1))) * GIB
    return Range(value, value * 0.15, value * 2.5 + 0.3 * GIB)


def _captured(settings: Settings, most: int) -> int:
    """How many batch sizes are captured."""
    said = settings.given.get("compilation_config")
    given = {**(said if isinstance(said, Mapping) else {}), **settings.given}
    sizes = given.get("cudagraph_capture_sizes") or given.get("cuda_graph_sizes")
    if isinstance(sizes, list) and sizes:
        return len(sizes)
    most = integer(given, "max_cudagraph_capture_size", most)
    count = sum(1 for size in (1, 2, 4) if size <= most) + len(range(8, min(most, 256) + 1, 8))
    return count + len(range(272, most + 1, 16 if settings.key >= ((0, 12), 0, 0) else 8))


def graphs_reserved(
    shape: Shape, settings: Settings, graphs: Range, environment: dict[str, str] | None = None
) -> Range | None:
    """What is taken away for graphs before the cache is sized; None where nothing is.

    Since 0.27 the first runner profiles its largest graph with long sequences, which doubles what is reserved: 1.94
    and 1.55 GiB where capturing took 0.94 and 0.71.
    """
    if not graphs_subtracted(shape, settings, environment):
        return None
    if settings.key < ((0, 27), 0, 0) or runner.second(shape, settings, environment):
        return graphs
    return Range(2 * graphs.value, graphs.low, 2 * graphs.high)


def graphs_subtracted(shape: Shape, settings: Settings, environment: dict[str, str] | None = None) -> bool:
    """Whether the cache is sized after an estimate of the graphs is taken away.

    VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS, on by default since 0.20 (vllm/envs.py). The second model runner
    estimates nothing before 0.29.
    """
    if settings.rocm and settings.key < ((0, 26), 0, 0):  # vllm/v1/worker/gpu_worker.py: not on ROCm before
        return False
    if settings.key < runner.EVERY and runner.second(shape, settings, environment):
        return False
    said = str((environment or {}).get("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS", ""))
    return said == "1" or (settings.key >= ((0, 20), 0, 0) and said != "0")
