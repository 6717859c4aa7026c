# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The estimate: everything a start takes on the fullest GPU, and whether one request of full length fits beside it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..findings import Finding
from . import arguments, draft, kv_cache, overhead, padding, quantization, shape, state_space, vision, weights
from .arguments import GIB, BadValue, Gpu, Settings, integer, named, settle, true
from .overhead import Range


@dataclass(frozen=True)
class Question:
    """What is asked. ``gpu_count`` is taken as tensor parallel size when the arguments say nothing of it.

    :ivar config: the model's config.json; None when it is unknown
    :ivar weights_bytes: bytes of the checkpoint's tensors; None: computed from ``config``
    :ivar draft_config: config.json of the draft model of ``speculative_config``
    """

    config: Mapping[str, Any] | None
    engine_args: Mapping[str, Any]
    version: str
    gpu: Gpu | None = None
    weights_bytes: int | None = None
    gpu_count: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    draft_config: Mapping[str, Any] | None = None
    draft_weights_bytes: int | None = None
    cpu: bool = False

    def with_arguments(self, **changed: Any) -> Question:
        """The same question with some arguments changed."""
        return dataclasses.replace(self, engine_args={**named(self.engine_args), **changed})


@dataclass
class Estimate:
    """The answer, bytes for each GPU; None where it is not known.

    :ivar kv: what is left for the cache (below zero: so much is missing)
    :ivar needed: bytes of the cache that one request of ``max_model_len`` takes
    :ivar draft_token: bytes that the draft model's layers keep for a token
    :ivar fits: None when it cannot be said
    """

    question: Question
    settings: Settings | None = None
    shape: shape.Shape | None = None
    weights: Range | None = None
    activation: Range | None = None
    non_torch: Range | None = None
    graphs: Range | None = None
    kv: Range | None = None
    budget: int | None = None
    cache: kv_cache.Cache | None = None
    needed: int | None = None
    draft_token: float = 0.0
    fits: bool | None = None
    close: bool = False
    confidence: str = "low"
    findings: list[Finding] = field(default_factory=list)

    def say(self, code: str, severity: Any, message: str, name: str | None = None, fix: str | None = None) -> None:
        """Add a finding; ``name`` is an engine argument or ``config``/``gpu``."""
        path = name if name in {None, "config", "gpu", "model", "vllm_version"} else f"engine_args.{name}"
        if name and name.startswith("VLLM_"):
            path = f"environment.{name}"
        self.findings.append(Finding(code, severity, message, field=path, fix=fix))


def estimate(question: Question) -> Estimate:
    """Answer a question. Bad values become findings, never exceptions."""
    result = Estimate(question)
    try:
        result.shape = shape.read(question.config) if question.config is not None else None
    except (shape.UnknownArchitecture, TypeError, ValueError, AttributeError, ArithmeticError) as problem:
        result.say(
            "memory.architecture-unknown", "info", f"memory is not predicted: {problem}", "config",
            "Give the model's whole config.json. If it is whole, go by a start's log: \"Model loading took\" and "
            "\"Available KV cache memory\" say what to write for gpu_memory_utilization and max_model_len.",
        )  # fmt: skip
    if result.shape is None:
        return _without_shape(result)
    try:
        result.settings = settle(
            result.shape, _arguments(question, result), question.version, question.gpu or Gpu(),
            question.environment, question.cpu,
        )  # fmt: skip
        if not vision.wanted(result.shape, result.settings):
            result.shape = dataclasses.replace(result.shape, vision=None)
        _weights(result)
        _sizes(result)
    except BadValue as problem:
        given = problem.field in named(question.engine_args) or problem.field.startswith("VLLM_")
        result.say("memory.value", "error", str(problem), problem.field if given else "config")
        return result
    except kv_cache.UnknownCache as problem:
        result.say("memory.cache-unknown", "info", str(problem), "kv_cache_dtype", "Look at what the start logs say.")
        return result
    except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError) as problem:
        result.say(
            "memory.architecture-unknown", "info", f"the configuration is no {result.shape.family}: {problem}",
            "config", "Give the model's own config.json.",
        )  # fmt: skip
        return result
    if result.kv is not None:
        _verdict(result)
    _shared_out(result)
    return result


def fewer_ranks(result: Estimate) -> int | None:
    """The most ranks up to those asked for that share out the heads evenly; None where as many as asked do.

    vllm/config/model.py verify_with_parallel_config; models of Mamba layers alone have no heads.
    """
    model, settings = result.shape, result.settings
    if model is None or settings is None or model.family in state_space.PURE or not model.heads % settings.tensor:
        return None
    return next(count for count in range(settings.tensor, 0, -1) if not model.heads % count)


def _shared_out(result: Estimate) -> None:
    """Where heads cannot be shared out vLLM refuses, whatever fits."""
    even = fewer_ranks(result)
    if even is None or result.shape is None or result.settings is None:
        return
    text = f"{result.shape.heads} attention heads cannot be shared out among {result.settings.tensor} ranks"
    fix = f"Write tensor_parallel_size: {even}."
    result.say("argument.parallel", "error", text, "tensor_parallel_size", fix)
    result.fits = False if result.fits is not None else None


def _arguments(question: Question, result: Estimate) -> dict[str, Any]:
    given = named(question.engine_args)
    count = question.gpu_count or 1
    parallel = {"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"}
    if count > 1 and not parallel & set(given):
        given["tensor_parallel_size"] = count
        text = f"gpu_count is {count} and nothing says how they are used: tensor_parallel_size {count} is assumed"
        result.say("memory.assumed", "info", text, "tensor_parallel_size", "Write it: vLLM itself takes one GPU.")
    elif question.gpu_count:
        used = math.prod(integer(given, name, 1) for name in parallel)
        if used > count:
            text = f"the arguments use {used} GPUs, and gpu_count is {count}"
            result.say("memory.gpu-count", "error", text, "tensor_parallel_size", f"Use at most {count}.")
    return given


def _without_shape(result: Estimate) -> Estimate:
    question = result.question
    if question.weights_bytes:
        try:
            given = named(question.engine_args)
            ranks = integer(given, "tensor_parallel_size", question.gpu_count or 1)
            share = question.weights_bytes / ranks / integer(given, "pipeline_parallel_size", 1)
            result.weights = Range(share, share * 0.95, share * 1.2)
        except BadValue as problem:
            result.say("memory.value", "error", str(problem), problem.field)
    return result


def _weights(result: Estimate) -> None:
    question, model, settings = result.question, result.shape, result.settings
    if model is None or settings is None:
        raise AssertionError("called too early")
    flat = {**model.config, **{key: value for key, value in (question.config or {}).items() if "quant" in key}}
    how = quantization.encoding(
        settings.quantization, flat, 2 if settings.dtype != "float32" else 4, model.having()
    )  # fmt: skip
    how = _padded(how, question, model, settings)
    head = not settings.pooling
    mode = settings.given.get("mm_encoder_tp_mode")
    if settings.given.get("enable_multimodal_encoder_data_parallel"):  # its name up to 0.12
        mode = "data"
    config = {**model.config, "mm_encoder_tp_mode": mode} if mode else dict(model.config)
    if true(settings.given.get("enable_expert_parallel")):
        config["expert_copies"] = integer(settings.given, "data_parallel_size", 1)
    model = dataclasses.replace(model, dtype=settings.dtype, config=config)
    if question.weights_bytes:
        found: weights.Weights | None = weights.from_checkpoint(
            model, how, question.weights_bytes, settings.tensor, settings.pipeline, head
        )
    else:
        found = weights.per_gpu(model, how, settings.tensor, settings.pipeline, head)
    if found is None:
        result.say(
            "memory.quantization-unknown", "info",
            f"the size of weights in {how.method} is not known from the configuration", "quantization",
            "Give weights_bytes, the size of the checkpoint's files.",
        )  # fmt: skip
        return
    extra = weights.adapters(model, settings.given, settings.tensor) + _draft(result, how)
    if not settings.v1 and settings.key[0][:2] == (0, 7):
        extra += weights.absorbed_before(model, how, settings.tensor)
    if how.assumed and not question.weights_bytes:
        result.say("memory.assumed", "info", how.assumed, "config", "Give weights_bytes, the size of the files.")
    total = found.total + extra
    result.weights = Range(total, total - found.spread, total + found.spread + 0.05 * GIB)
    result.confidence = "high" if question.weights_bytes or not how.quantized else "medium"
    if found.tower or model.vision is not None or extra or how.mxfp4:
        result.confidence = "medium"


def _padded(
    how: quantization.Encoding, question: Question, model: shape.Shape, settings: Settings
) -> quantization.Encoding:
    """The encoding with the padding of the kernels that this GPU takes."""
    capability = (question.gpu or Gpu()).told
    if how.mxfp4:
        return dataclasses.replace(how, pads=padding.mxfp4(settings, capability, question.environment))
    asked = settings.quantization == "awq"  # its own kernel, which keeps the zero points as they are
    if how.method in {"awq", "auto_awq"} and not asked and capability == 9.0 and settings.key >= ((0, 20), 0, 0):
        return quantization.machete(how, model.config)
    if how.of("experts") == quantization.NVFP4:
        return dataclasses.replace(how, pads=padding.nvfp4(capability, 2 if "plain" in model.traits else 3))
    return how


def _draft(result: Estimate, how: quantization.Encoding) -> float:
    """Weights of the draft model; what its layers keep for a token is noted in the result."""
    question, settings, model = result.question, result.settings, result.shape
    if settings is None or model is None:
        raise AssertionError("called too early")
    found = draft.draft(model, settings, how, question.draft_config, question.draft_weights_bytes)
    if found.unknown:
        fix = "Leave room for its weights and cache."
        result.say("memory.draft-unknown", "info", found.unknown, "speculative_config", fix)
    result.draft_token = found.token
    return found.weights


def _sizes(result: Estimate) -> None:
    question, model, settings = result.question, result.shape, result.settings
    if model is None or settings is None:
        raise AssertionError("called too early")
    environment = dict(question.environment)
    gpu = question.gpu or Gpu()
    if not settings.cpu:
        result.activation = overhead.activation(model, settings, environment)
        result.non_torch = overhead.non_torch(settings, gpu, result.weights.value if result.weights else 0.0)
        result.graphs = overhead.cuda_graphs(model, settings)
    if settings.cache_bytes is not None:
        size = float(settings.cache_bytes)
        result.kv = Range(size, size, size)
    elif gpu.memory and result.weights and result.activation and result.non_torch and result.graphs:
        result.budget = math.ceil(gpu.memory * settings.utilization)
        parts = [result.weights, result.activation, result.non_torch]
        reserved = overhead.graphs_reserved(model, settings, result.graphs, environment)
        if reserved is not None:
            parts.append(reserved)
        # Bounds add as independent errors do: all at their worst at once is not what is seen.
        value = result.budget - sum(part.value for part in parts)
        worse = math.sqrt(sum((part.high - part.value) ** 2 for part in parts))
        better = math.sqrt(sum((part.value - part.low) ** 2 for part in parts))
        result.kv = Range(value, value - worse, value + better)
    result.cache = kv_cache.cache(model, settings, max(0.0, result.kv.value if result.kv else 0.0), result.draft_token)
    result.needed = result.cache.needed
    if result.kv is None:
        result.cache = None
        if not gpu.memory:
            result.say("memory.gpu-unknown", "info", "the GPU's memory is not known: no verdict", "gpu")


def _verdict(result: Estimate) -> None:
    settings, gpu, kv = result.settings, result.question.gpu or Gpu(), result.kv
    if settings is None or kv is None or result.needed is None:
        raise AssertionError("called too early")
    left = kv.value
    if settings.cache_bytes is None:
        left = min(left, kv.value - _unsure(result))
    result.fits = left >= result.needed
    result.close = result.fits and kv.low < result.needed
    if not result.fits:
        _too_small(result, left)
    elif result.close:
        text = (
            f"{kv.value / GIB:.2f} GiB are left for the KV cache ({kv.low / GIB:.2f} at worst), and one request of "
            f"{settings.max_len} tokens takes {result.needed / GIB:.2f} GiB"
        )
        result.say("memory.close", "warning", text, "max_model_len", "Lower max_model_len if the start fails.")
    if gpu.memory and not settings.cpu:
        _against_free(result, gpu)
    if arguments.plain_version(result.question.version) is None:
        text = f"{result.question.version!r} is no version: the defaults of the newest release were taken"
        result.say("memory.version-unknown", "info", text, "vllm_version")


def _unsure(result: Estimate) -> float:
    """What the sampler may take more. A plan that holds only with FlashInfer installed is no plan."""
    if result.shape is None or result.settings is None or result.activation is None:
        raise AssertionError("called too early")
    path, unsure = overhead.sampler_path(result.settings, dict(result.question.environment))
    if not unsure or path == "sorting":
        return 0.0
    asked = {**result.question.environment, "VLLM_USE_FLASHINFER_SAMPLER": "0"}
    return max(0.0, overhead.activation(result.shape, result.settings, asked).value - result.activation.value)


def _too_small(result: Estimate, left: float) -> None:
    settings = result.settings
    if settings is None or result.needed is None or result.shape is None:
        raise AssertionError("called too early")
    where = "VLLM_CPU_KVCACHE_SPACE has" if settings.cpu else "there are"
    if left <= 0 and not settings.cpu:
        size = result.weights.value / GIB if result.weights else 0.0
        text = (
            f"nothing is left for the KV cache: {-left / GIB:.2f} GiB are missing (weights {size:.2f} GiB of "
            f"{(result.budget or 0) / GIB:.2f} GiB at gpu_memory_utilization {settings.utilization:g})"
        )
        name, code = "gpu_memory_utilization", "memory.kv-cache-none"
    else:
        text = (
            f"one request of {settings.max_len} tokens needs {result.needed / GIB:.2f} GiB of KV cache, and {where} "
            f"{left / GIB:.2f} GiB"
        )
        name, code = "max_model_len", "memory.kv-cache-length"
    result.say(code, "error", text, name)


def _against_free(result: Estimate, gpu: Gpu) -> None:
    """vllm/v1/worker/utils.py request_memory refuses since 0.9.1; before, the start runs out of memory."""
    settings = result.settings
    if settings is None:
        raise AssertionError("called too early")
    free = gpu.memory if gpu.free is None else min(gpu.free, gpu.memory)
    if settings.cache_bytes is not None:
        parts = [part.value for part in (result.weights, result.activation, result.non_torch, result.graphs) if part]
        wanted = int(sum(parts) + settings.cache_bytes)
        if wanted > free:
            result.fits = False
            text = f"kv_cache_memory_bytes and the rest take {wanted / GIB:.2f} GiB, and {free / GIB:.2f} GiB are free"
            result.say("memory.gpu-free", "error", text, "kv_cache_memory_bytes", "Lower it.")
        return
    budget = result.budget or 0
    # What is free is looked at after the process has made its own context.
    seen = min(free, gpu.memory - gpu.context if gpu.free is None else free)
    share = math.floor(100 * min(free, gpu.memory - gpu.context) / gpu.memory) / 100
    if free >= budget > seen and result.fits:
        text = (
            f"gpu_memory_utilization {settings.utilization:g} claims {budget / GIB:.2f} GiB, and about "
            f"{seen / GIB:.2f} GiB are free once the process has its CUDA context"
        )
        result.close = True
        result.say("memory.close", "warning", text, "gpu_memory_utilization", f"Write {share:.2f} or less.")
    if gpu.free is not None and budget > free:
        result.fits = False
        text = (
            f"gpu_memory_utilization {settings.utilization:g} claims {budget / GIB:.2f} GiB of the GPU, and only "
            f"{free / GIB:.2f} GiB are free"
        )
        result.say(
            "memory.gpu-free", "error", text, "gpu_memory_utilization",
            f"Free memory on the GPU, or write {share:.2f} or less.",
        )  # fmt: skip
    graphs, environment = result.graphs, dict(result.question.environment)
    if graphs and result.shape and not overhead.graphs_subtracted(result.shape, settings, environment):
        slack = free - budget
        if 0 <= slack < graphs.value:
            text = (
                f"CUDA graphs take about {graphs.value / GIB:.2f} GiB after the cache is sized, and {slack / GIB:.2f} "
                "GiB stay outside of gpu_memory_utilization"
            )
            fix = "Lower gpu_memory_utilization a little, or write enforce_eager: true."
            result.say("memory.graphs", "warning", text, "gpu_memory_utilization", fix)
