# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Which model runner a start uses: the second one profiles its sampler and its CUDA graphs in its own way.

Source: vllm/config/vllm.py ``use_v2_model_runner`` and ``DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES`` of 0.22 to 0.33;
vllm/v1/worker/gpu/model_runner.py ``profile_run`` and ``profile_cudagraph_memory``.
"""

from __future__ import annotations

from collections.abc import Mapping

from .arguments import Settings, true
from .shape import Shape

_FIRST = frozenset({"Qwen3ForCausalLM"})
_DENSE = _FIRST | {"LlamaForCausalLM", "MistralForCausalLM"}
_EXPERTS = frozenset({"DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM"})
_MORE = _EXPERTS | {"InklingForCausalLM", "InklingForConditionalGeneration", "LongcatFlashNgramForCausalLM"}
#: From which release on: named architectures, whether any dense model, whether quantized ones too.
SINCE: tuple[tuple[tuple[int, ...], frozenset[str], bool, bool], ...] = (
    ((0, 22), _FIRST, False, False),
    ((0, 23), _DENSE, False, False),
    ((0, 24), _DENSE | _EXPERTS, False, True),
    ((0, 25), _EXPERTS, True, True),
    ((0, 26), _MORE, True, True),
    ((0, 27), _MORE | {"KimiK3ForConditionalGeneration"}, True, True),
    ((0, 28), _MORE | {"KimiK3ForConditionalGeneration", "DeepseekV4ForCausalLM"}, True, True),
)
#: Since then it runs every model.
EVERY = ((0, 29), 0, 0)


def second(shape: Shape, settings: Settings, environment: Mapping[str, str] | None = None) -> bool:
    """Whether the second model runner is used."""
    if not settings.v1 or settings.cpu or settings.key < ((0, 22), 0, 0):
        return False
    asked = str((environment or {}).get("VLLM_USE_V2_MODEL_RUNNER", "")).lower()
    if asked in {"0", "1", "true", "false"}:
        return asked in {"1", "true"}
    if settings.key >= EVERY:
        return True
    said = settings.given.get("speculative_config")
    if settings.pooling or (isinstance(said, Mapping) and str(said.get("method", "")) in {"ngram", "ngram_gpu"}):
        return False
    names, dense, quantized = next(
        (names, dense, quantized) for since, names, dense, quantized in reversed(SINCE) if settings.key >= (since, 0, 0)
    )
    compressed = bool(settings.quantization or shape.config.get("quantization_config"))
    if "linear" in shape.kinds or (compressed and not quantized):
        return False
    return shape.architecture in names or (dense and not shape.experts)


def profiles_images(settings: Settings, second_runner: bool) -> bool:
    """The second runner leaves images out while it profiles, until 0.27."""
    return not second_runner or settings.key >= ((0, 27), 0, 0)


#: Methods of speculation beside which batches overlap (vllm/config/vllm.py; EagleModelTypes has those of MTP).
_OVERLAPPING = ("eagle", "eagle3", "extract_hidden_states", "dflash", "ngram_gpu", "dspark")


def batches_in_flight(settings: Settings) -> int:
    """Batches that keep the blocks of their tokens at once: sliding and chunked layers hold room for all of them.

    Since 0.26 (vllm/config/vllm.py ``max_in_flight_tokens``); one before.
    """
    if settings.key < ((0, 26), 0, 0):
        return 1
    if not _overlaps(settings) or (settings.pipeline > 1 and settings.key < EVERY):
        return settings.pipeline
    return settings.pipeline + 1


def _overlaps(settings: Settings) -> bool:
    """Whether the scheduler works ahead (``async_scheduling``)."""
    asked = settings.given.get("async_scheduling")
    if settings.cpu:
        return False
    if asked is not None:
        return true(asked)
    said = settings.given.get("speculative_config")
    method = str(said.get("method", "")) if isinstance(said, Mapping) else ""
    if said and not (method in _OVERLAPPING or "mtp" in method):
        return False
    return not settings.pooling and str(settings.given.get("distributed_executor_backend", "")) != "ray"
