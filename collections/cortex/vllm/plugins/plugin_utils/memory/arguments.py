# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The arguments that decide about memory, with the defaults that a release has on a GPU.

Defaults that the command line itself has come from the catalogue; the rest is decided by vLLM when it sees the GPU
(vllm/engine/arg_utils.py ``_set_default_args`` / ``get_batch_defaults``) and stands here.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .. import catalog
from . import cards
from .shape import DTYPE_BYTES, Shape

Version = tuple[tuple[int, ...], int, int]
GIB = 1 << 30
#: Counts above these are slips, and would only make figures that mean nothing.
MOST = 1 << 30
LIMITS = {"tensor_parallel_size": 4096, "pipeline_parallel_size": 4096, "block_size": 1 << 20}
_VERSION = re.compile(r"v?(\d+(?:\.\d+)+(?:\.?(?:a|b|rc|dev|post)\d+)?)")
_SHORT = {
    "tp": "tensor_parallel_size", "pp": "pipeline_parallel_size", "q": "quantization", "dp": "data_parallel_size",
    "kv_cache_memory": "kv_cache_memory_bytes", "tensor_parallel": "tensor_parallel_size",
    "pipeline_parallel": "pipeline_parallel_size",
}  # fmt: skip


class BadValue(ValueError):
    """A value that cannot be used; says which and what to write."""

    def __init__(self, field_: str, text: str) -> None:
        super().__init__(text)
        self.field = field_


@dataclass(frozen=True)
class Gpu:
    """One GPU as vLLM sees it.

    :ivar memory: bytes that ``torch.cuda.mem_get_info`` calls total; 0 when unknown
    :ivar free: bytes that are free before the server starts; None: all
    :ivar capability: compute capability, 9.0 for Hopper; None when unknown
    """

    name: str = ""
    memory: int = 0
    free: int | None = None
    capability: float | None = None

    @property
    def large(self) -> bool:
        return self.memory >= 70 * GIB

    @property
    def told(self) -> float | None:
        """The compute capability that was given, else that of the card of this name, if it is a known one."""
        card = cards.find(self.name) if self.capability is None else None
        return card.capability if card else self.capability

    @property
    def amd(self) -> bool:
        return re.search(r"radeon|instinct|amd|gfx\d|\bmi\d{3}", self.name.lower()) is not None

    @property
    def context(self) -> int:
        """What the process' own CUDA context takes of the free memory before vLLM looks: 527 MiB measured on an H200,
        0.1 GiB logged on a T4, a little less than half a GiB on an RTX 4090 and an A100."""
        return int((0.1 if self.capability is not None and self.capability < 8 else 0.45) * GIB)


@dataclass(frozen=True)
class Settings:
    """What a start would use. Sizes of tokens and sequences are counts; ``cache_bytes`` is bytes."""

    version: str
    key: Version
    v1: bool
    tensor: int
    pipeline: int
    utilization: float
    cache_bytes: int | None
    max_len: int
    max_seqs: int
    batched: int
    chunked: bool
    eager: bool
    block: int
    cache_dtype: str
    dtype: str
    quantization: str | None
    pooling: bool
    hybrid: bool
    cpu: bool
    rocm: bool = False
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)


def named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by vLLM's own names with underscores; those without a value are left out.

    As on vLLM's command line, a mapping may be written as JSON or with dots (``speculative_config.method``), and a
    switch be turned off with ``no-``.
    """
    found: dict[str, Any] = {}
    for key, value in arguments.items():
        name = str(key).lstrip("-").replace("-", "_")
        name, _dot, inner = name.partition(".")
        name = _SHORT.get(name, name)
        if value is None:
            continue
        if isinstance(value, str) and value.lstrip().startswith("{"):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        if inner:
            outer = found.get(name)
            found[name] = {**(outer if isinstance(outer, Mapping) else {}), inner: value}
        elif name.startswith("no_") and true(value):
            found[name.removeprefix("no_")] = False
        else:
            found[name] = value
    return found


def plain_version(text: str) -> str | None:
    """The version at the beginning of a text such as ``0.8.0rc3.dev5+g5eea`` or ``v0.7.x``; None without one.

    ``0.8.x`` is the newest 0.8 of the catalogue.
    """
    match = _VERSION.match(text.strip())
    if not match:
        return None
    if text.strip()[match.end() : match.end() + 2] == ".x":
        known = [item for item in catalog.versions() if f"{item}.".startswith(f"{match[1]}.")]
        return known[-1] if known else match[1]
    return match[1]


@lru_cache(maxsize=64)
def default_utilization(version: str) -> float:
    """What the release's command line has: 0.9 until 0.19, 0.92 since 0.20 (vllm/config/cache.py)."""
    flag = catalog.nearest(version)[0].flag("gpu_memory_utilization")
    return float(flag.default) if flag is not None and flag.default is not None else 0.9


def settle(
    shape: Shape, arguments: Mapping[str, Any], version: str, gpu: Gpu, environment: Mapping[str, Any] | None = None,
    cpu: bool = False,
) -> Settings:  # fmt: skip
    """Fill in every default.

    :raises BadValue: for a value that is no number where one is needed
    """
    given, environment = named(arguments), dict(environment or {})
    version = plain_version(version) or catalog.versions()[-1]
    key = catalog.version_key(version)
    pooling = shape.pooling or str(given.get("runner")) == "pooling" or str(given.get("convert", "none")) in {
        "embed", "classify", "reward",
    } or str(given.get("task", "auto")) in {"embed", "embedding", "classify", "score", "reward"}  # fmt: skip
    v1 = cpu or _v1(key, gpu, environment, pooling)
    max_len = _length(given, shape)
    chunked = _chunked(given, key, v1, max_len, shape, pooling)
    tensor, pipeline = integer(given, "tensor_parallel_size", 1), integer(given, "pipeline_parallel_size", 1)
    seqs, batched = _batch(version, key, v1, gpu, max_len, chunked, pooling, shape, cpu)
    batched = integer(given, "max_num_batched_tokens", batched)
    seqs = min(integer(given, "max_num_seqs", seqs), max(1, batched))
    cache = human(given, "kv_cache_memory_bytes")
    if cpu and cache is None and environment.get("VLLM_CPU_KVCACHE_SPACE"):
        cache = int(number(environment, "VLLM_CPU_KVCACHE_SPACE", 0) * GIB)
    utilization = number(given, "gpu_memory_utilization", default_utilization(version))
    if not 0 < utilization <= 1:
        raise BadValue("gpu_memory_utilization", f"{utilization} is not above 0 and at most 1: write 0.9 for 90 %")
    dtype = str(given.get("dtype") or "auto")
    dtype = {"half": "float16", "float": "float32"}.get(dtype, dtype)
    if dtype == "auto":
        dtype = "float16" if shape.dtype == "float32" else shape.dtype
    if dtype not in DTYPE_BYTES:
        raise BadValue("dtype", f"{dtype} is no type that vLLM computes in: write auto, float16, bfloat16 or float32")
    return Settings(
        version=version, key=key, v1=v1, tensor=tensor, pipeline=pipeline, utilization=utilization,
        cache_bytes=cache, max_len=max_len, max_seqs=seqs, batched=batched, chunked=chunked,
        eager=true(given.get("enforce_eager")) or cpu, block=integer(given, "block_size", 128 if cpu else 16),
        cache_dtype=_cache_dtype(given, key, shape, gpu), dtype=dtype,
        quantization=str(given["quantization"]) if given.get("quantization") else None, pooling=pooling,
        hybrid=v1 and key >= ((0, 10), 0, 0) and not true(given.get("disable_hybrid_kv_cache_manager"))
        and not given.get("kv_transfer_config"),
        cpu=cpu, rocm=gpu.amd, given=given,
    )  # fmt: skip


def _v1(key: Version, gpu: Gpu, environment: Mapping[str, Any], pooling: bool) -> bool:
    """V1 is the default since 0.8.0 and, in what matters here, alone since 0.10; before, it needs capability 8.0.

    Source: vllm/engine/arg_utils.py _is_v1_supported_oracle.
    """
    if key >= ((0, 10), 0, 0):
        return True
    if str(environment.get("VLLM_USE_V1", "")) in {"0", "1"}:
        return str(environment["VLLM_USE_V1"]) == "1"
    return key >= (((0, 9), 0, 0) if pooling else ((0, 8), 0, 0)) and (gpu.capability is None or gpu.capability >= 8.0)


def _cache_dtype(given: Mapping[str, Any], key: Version, shape: Shape, gpu: Gpu) -> str:
    """FP8 beside sparse attention has a layout of its own: everywhere before 0.18, on Hopper since.

    Source: models/config.py DeepseekV32ForCausalLM of 0.11 to 0.17; layers/attention/mla_attention.py and
    platforms/cuda.py (FLASHMLA_SPARSE) since.
    """
    asked = str(given.get("kv_cache_dtype") or "auto")
    if shape.indexed and asked.startswith("fp8"):
        if key < ((0, 18), 0, 0) or gpu.told == 9.0:
            return "fp8_ds_mla"
    return asked


def _length(given: Mapping[str, Any], shape: Shape) -> int:
    value = given.get("max_model_len")
    if value is None or str(value) in {"-1", "auto"}:
        scaling = shape.config.get("rope_scaling") or shape.config.get("rope_parameters") or {}
        factor = 1.0
        if isinstance(scaling, Mapping):
            kind = str(scaling.get("rope_type") or scaling.get("type") or "default")
            # vllm/config/model.py _get_and_verify_max_len: these types have their factor in the number already.
            if kind not in {"su", "longrope", "llama3", "default", "mrope"} and scaling.get("factor"):
                factor = float(scaling["factor"])
                if kind == "yarn" and scaling.get("original_max_position_embeddings"):
                    return int(scaling["original_max_position_embeddings"] * factor)
        return int((shape.positions or 2048) * factor)
    found = human(given, "max_model_len")
    if not found or found < 1:
        raise BadValue("max_model_len", f"{value!r} is no number of tokens above 0: write 8192, 8k or auto")
    return found


def _chunked(given: Mapping[str, Any], key: Version, v1: bool, max_len: int, shape: Shape, pooling: bool) -> bool:
    if given.get("enable_chunked_prefill") is not None:
        return true(given["enable_chunked_prefill"])
    if v1:
        return not pooling
    # vllm/engine/arg_utils.py of 0.4.3 to 0.8: turned on by itself above 32k tokens, not for multimodal models.
    return max_len > 32768 and shape.vision is None and not pooling


def _batch(
    version: str, key: Version, v1: bool, gpu: Gpu, max_len: int, chunked: bool, pooling: bool, shape: Shape, cpu: bool
) -> tuple[int, int]:
    """(max_num_seqs, max_num_batched_tokens) of the API server."""
    if not v1:
        batched = (512 if key < ((0, 6, 4), 0, 0) else 2048) if chunked else max(max_len, 2048)
        batched = max(batched, 32768) if pooling else batched
        return 256, max(batched, 5120) if shape.vision is not None else batched
    if cpu:
        return (128 if key >= ((0, 10), 0, 0) else 32), 2048
    name = gpu.name.lower()
    if "a100" in name and gpu.large:
        kind = "A100-SXM4-80GB"
    elif not gpu.large or "gb10" in name or "radeon" in name:
        # A100 and GB10 are named in the source: large, and slower with large batches. Two starts on a Radeon with
        # 80 GiB of the processor's memory had these numbers too.
        kind = "L4"
    elif "h100" in name or "h200" in name:
        kind = "H100"
    else:  # before 0.8.5 only H100 and H200 counted as large, by name
        kind = "B200" if gpu.memory >= 160 * GIB or key < ((0, 8, 5), 0, 0) else "H100"
    batched, seqs = _recorded(version).get(kind) or _usual(key, kind)
    return seqs, batched if chunked else max(batched, max_len)


@lru_cache(maxsize=64)
def _recorded(version: str) -> dict[str, tuple[int, int]]:
    """What the release's own code said of some GPUs when the catalogue was made."""
    rows = catalog.nearest(version)[0].batch_defaults
    return {row["gpu"].split()[1]: (row["max_num_batched_tokens"], row["max_num_seqs"]) for row in rows}


def _usual(key: Version, kind: str) -> tuple[int, int]:
    """The same for releases whose code could not be asked."""
    if kind in {"L4", "A100-SXM4-80GB"}:
        return 2048, 1024 if key < ((0, 8, 4), 0, 0) else 256
    return (16384 if kind == "B200" and key >= ((0, 28), 0, 0) else 8192), 1024


def true(value: Any) -> bool:
    """A switch, as people write it."""
    return str(value).lower() in {"true", "1", "yes", "on"}


def number(given: Mapping[str, Any], name: str, usual: float) -> float:
    """A number.

    :raises BadValue: when it is none
    """
    try:
        return float(given.get(name, usual))
    except (TypeError, ValueError):
        raise BadValue(name, f"{given[name]!r} is no number: write one, or leave it out") from None


def integer(given: Mapping[str, Any], name: str, usual: int) -> int:
    """A count of at least one, in vLLM's own short forms too (``8k``, ``8K``)."""
    found = human(given, name)
    if found is None:
        return usual
    if found < 1:
        raise BadValue(name, f"{given[name]!r} is not at least 1")
    if found > LIMITS.get(name, MOST):
        raise BadValue(name, f"{given[name]!r} is more than {LIMITS.get(name, MOST)}, which no start has")
    return found


def human(given: Mapping[str, Any], name: str) -> int | None:
    """``8k`` = 8000, ``8K`` = 8192, ``1.5G`` (vllm/engine/arg_utils.py human_readable_int)."""
    value = given.get(name)
    if value is None or value == "":
        return None
    text = str(value).strip()
    powers = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    scale = powers.get(text[-1], 1)
    try:
        return int(float(text[:-1] if scale > 1 else text) * scale)
    except (ValueError, OverflowError):
        raise BadValue(name, f"{value!r} is no number: write one such as 8192, 8k or 8K") from None
