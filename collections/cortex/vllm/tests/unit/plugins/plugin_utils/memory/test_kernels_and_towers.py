# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a start takes beside the checkpoint's own bytes: padding of kernels, rotary tables, towers at profiling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import memory
from ansible_collections.cortex.vllm.plugins.plugin_utils.memory import padding, rotary, shape

GIB = memory.GIB
SIZES = ("llmd-qwen3-0.6b", "llmd-qwen3-32b")
DATA = Path(__file__).parent / "data" / "starts.json"
STARTS = {start["id"]: start for start in json.loads(DATA.read_text(encoding="utf-8"))}


def config(name: str, **changed: Any) -> dict[str, Any]:
    """The configuration of a logged start, with other values where they are said."""
    found: dict[str, Any] = dict(STARTS[name]["config"])
    if isinstance(found.get("text_config"), dict):
        found["text_config"] = {**found["text_config"], **changed}
    return {**found, **changed}


def ask(
    wanted: dict[str, Any], version: str, card: str = "H100", gib: float = 79.18, env: dict[str, str] | None = None,
    **arguments: Any,
) -> memory.Estimate:  # fmt: skip
    gpu = memory.Gpu(card, int(gib * GIB))
    return memory.estimate(memory.Question(wanted, arguments, version, gpu, environment=env or {}))


@pytest.mark.parametrize(
    ("version", "card", "env", "logged"),
    [
        ("0.14.1", "H100", {}, 64.38),
        ("0.11.2", "H100", {}, 65.97),  # before the images had Triton's kernels
        ("0.14.1", "A100 80GB", {}, 65.97),
        ("0.14.1", "H100", {"VLLM_MXFP4_USE_MARLIN": "1"}, 65.97),
    ],
)
def test_gpt_oss_is_smaller_where_triton_holds_its_experts(version, card, env, logged) -> None:
    found = ask(config("llmd-gpt-oss-120b"), version, card, env=env)
    assert found.weights is not None and abs(found.weights.value / GIB / logged - 1) < 0.003


def test_padding_of_blackwell() -> None:
    settings = ask(config("llmd-gpt-oss-20b"), "0.20.0").settings
    assert settings is not None
    assert padding.mxfp4(settings, 10.0).width == 256
    assert padding.mxfp4(settings, 12.0) == padding.MARLIN == padding.mxfp4(settings, None)
    # Rows of gate and up together come in steps of 128: 1856 without a gate becomes 1920, with one it stays.
    assert padding.nvfp4(12.0, 2).weights(2688, 1856, 2, 0.5625) == 2 * 2688 * 1920
    assert padding.nvfp4(12.0, 3).weights(2688, 1856, 3, 0.5625) == 3 * 2688 * 1856
    assert padding.nvfp4(9.0, 2) == padding.Padding()


@pytest.mark.parametrize(
    ("name", "changed", "mib"),
    [
        ("llmd-llama3.1-8b", {"max_position_embeddings": 131072}, 32),
        # A linear factor of eight, and a table of their own for the layers that slide.
        ("iss16378-gemma-3-27b", {}, 256 + 32),
        # Two head sizes; dimensions that do not turn stand in the table too.
        ("web1-gemma-4-26b", {}, 128 + 256),
        # Room for long videos: four times as many positions; a quarter of each head turns.
        ("log44-qwen3.5-9b", {}, 128),
        (
            "log44-qwen3.5-9b",
            {"rope_parameters": {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 262144}},
            384,
        ),
    ],
)
def test_tables_of_rotary_positions(name, changed, mib) -> None:
    assert rotary.tables(shape.read(config(name, **changed))) == mib << 20


def test_layers_take_their_tokens_from_an_indexer_before_them() -> None:
    asked = config("log74-glm-5-fp8-tp8")
    each = shape.read(asked)
    assert each.indexed == each.layers == 78
    shared = {**asked, "index_topk_freq": 4, "index_skip_topk_offset": 3}
    assert shape.read(shared).indexed == 21
    assert shape.read({**shared, "index_topk_pattern": "FSSS" * 19 + "FS"}).indexed == 20
    both = [ask(item, "0.26.0", "H200", 139.8, tensor_parallel_size=8).cache for item in (asked, shared)]
    assert both[0] and both[1] and both[0].per_token - both[1].per_token == pytest.approx(57 * 132, abs=80)


@pytest.mark.parametrize(
    ("version", "card", "each"),
    [("0.17.1", "B200", 656 + 132), ("0.26.0", "H200", 656 + 132), ("0.26.0", "B200", 576 + 132)],
)
def test_fp8_beside_sparse_attention_has_its_own_layout_on_hopper(version, card, each) -> None:
    cache = ask(config("log74-glm-5-fp8-tp8"), version, card, 140, tensor_parallel_size=8, kv_cache_dtype="fp8").cache
    assert cache and cache.per_token == each * 78


def test_a_long_context_is_profiled_with_a_long_video() -> None:
    asked = config("log15-qwen2.5-vl-7b")
    long, short = (ask(asked, "0.23.0", max_num_seqs=8, max_model_len=length).activation for length in (128000, 32768))
    still = ask(asked, "0.23.0", max_num_seqs=8, limit_mm_per_prompt={"video": 0}).activation
    none = ask(asked, "0.23.0", max_num_seqs=8, skip_mm_profiling=True).activation
    assert long and short and still and none
    assert 13 < long.value / GIB < 16  # 15.3 were logged
    assert long.value > 3 * short.value and short.value > 1.8 * still.value and still.value > 2 * none.value


def test_a_tower_that_nothing_can_reach_is_not_loaded() -> None:
    asked = config("log15-qwen2.5-vl-7b")
    whole = ask(asked, "0.23.0").weights
    for arguments in ({"limit_mm_per_prompt": {"image": 0, "video": 0}}, {"language_model_only": True}):
        text = ask(asked, "0.23.0", **arguments)
        assert whole and text.weights and 1.1 < (whole.value - text.weights.value) / GIB < 1.4
    limited = ask(asked, "0.23.0", limit_mm_per_prompt={"image": 0, "video": {"count": 1}}).weights
    assert limited == whole


def test_captured_sizes_are_counted_as_they_are_given() -> None:
    asked = config("llmd-llama3.1-8b")
    usual = ask(asked, "0.13.0").graphs
    for arguments in (
        {"cudagraph_capture_sizes": [1]},
        {"max_cudagraph_capture_size": 1},
        {"compilation_config": {"cudagraph_capture_sizes": [1]}},
    ):
        few = ask(asked, "0.13.0", **arguments).graphs
        assert usual and few and few.value < usual.value / 4


def test_radeon_starts_small_and_sorts_before_it_has_a_kernel_for_it() -> None:
    asked = config("llmd-llama3.1-8b")
    now, before = (ask(asked, version, "Radeon 8060S", 80, max_num_seqs=256) for version in ("0.19.0", "0.10.2"))
    assert now.settings is not None and (now.settings.batched, now.settings.max_seqs) == (2048, 256)
    assert now.activation and before.activation and before.activation.value > 256 * 128256 * 38 > now.activation.value


def test_towers_before_they_rotated_in_16_bits() -> None:
    asked = config("log119-qwen2.5-vl-7b-l4")
    one, both, now = (
        ask(asked, version, max_num_seqs=8, max_model_len=2048).activation for version in ("0.9.2", "0.11.2", "0.13.0")
    )
    assert one and both and now
    assert one.value / GIB == pytest.approx(2.27, rel=0.1), "logged, beside 0.12 GiB of libraries"
    assert both.value > 1.6 * one.value > 1.6 * now.value


def test_kernels_that_are_asked_for_by_name_unpack_whole_matrices() -> None:
    asked = config("log118-qwen2.5-7b-awq")
    marlin, own = (ask(asked, "0.22.1", max_num_seqs=8, **how).activation for how in ({}, {"quantization": "awq"}))
    assert marlin and own and own.value - marlin.value == pytest.approx(2 * 3584 * 2 * 18944)


def test_layers_for_prediction_may_stay_in_16_bits() -> None:
    asked = config("log122-qwen3.8-27b-awq-mi50-mtp")
    start = STARTS["log122-qwen3.8-27b-awq-mi50-mtp"]["engine_args"]
    quantized = {**asked, "quantization_config": {**asked["quantization_config"], "ignore": []}}
    apart, small = (ask(item, "0.26.0", "MI50", 31.98, **start).weights for item in (asked, quantized))
    assert apart and small and 0.1 < (apart.value - small.value) / GIB < 0.5
    alone = ask(asked, "0.26.0", "MI50", 31.98, **{**start, "speculative_config": None}).weights
    assert alone and 0.3 < (apart.value - alone.value) / GIB < 0.5, "0.4 were logged"


def test_pages_of_large_weights_count_where_memory_is_shared() -> None:
    small, large = (ask(config(name), "0.13.0", "GB10", 119.64).non_torch for name in SIZES)
    discrete = ask(config(SIZES[1]), "0.13.0", "H100").non_torch
    assert small and large and discrete and large.value > 3 * small.value and discrete.value < 0.2 * GIB
