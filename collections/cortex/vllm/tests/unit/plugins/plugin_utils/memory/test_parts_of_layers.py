# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layers that differ: quantized in part, full and sliding of different sizes, searched, with states for a request."""

from __future__ import annotations

import time

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import memory
from ansible_collections.cortex.vllm.plugins.plugin_utils.memory import (
    arguments,
    kv_cache,
    modules,
    overhead,
    quantization,
    shape,
    weights,
)

from .test_parts import DEEPSEEK, LLAMA8, QWEN30, QWEN35, config, settings

GIB = memory.GIB
FP8 = {"num_bits": 8, "type": "float"}
FP4 = {"num_bits": 4, "type": "float", "group_size": 16}
LAYERS = {"attention": 4, "mlp": 4, "experts": 4, "shared": 4, "recurrent": 3}


def parts(**own):
    return quantization.encoding(
        None, {"quantization_config": {"quant_method": "compressed-tensors", **own}}, 2, LAYERS
    )


def group(weights_, *targets):
    return {"group_0": {"weights": weights_, "targets": list(targets) or ["Linear"]}}


@pytest.mark.parametrize(
    ("ignore", "part", "size"),
    [
        ([], "attention", 1.0),
        (["lm_head"], "mlp", 1.0),
        (["re:.*self_attn.*"], "attention", 2.0),
        (["re:.*self_attn.*"], "mlp", 1.0),
        (["re:.*shared_experts.*"], "shared", 2.0),
        (["re:.*mlp\\.(gate|up|gate_up|down)_proj.*"], "mlp", 2.0),
        (["re:.*mlp\\.(gate|up|gate_up|down)_proj.*"], "experts", 1.0),
        (["model.layers.*.self_attn"], "attention", 2.0),
        (["model.layers.0.self_attn.q_proj"], "attention", 1.0 + 0.25 / 4),
        ([f"model.language_model.layers.{number}.self_attn*" for number in range(4)], "attention", 2.0),
        ([f"model.layers.{number}.self_attn.o_proj" for number in range(2)], "attention", 1.0 + 0.5 / 4),
        (["gate"], "mlp", 1.0),  # the router, and not gate_proj
        (["re:(unfinished"], "mlp", 1.0),
        (["model.layers.0.block_sparse_moe.gate"], "experts", 1.0),
    ],
)
def test_what_a_checkpoint_leaves_out_stays_in_16_bits(ignore, part, size):
    assert parts(config_groups=group(FP8), ignore=ignore).of(part) == pytest.approx(size)


def test_groups_with_targets_reach_what_they_name():
    attention = [f"model.layers.{number}.self_attn.{name}_proj" for number in range(4) for name in "qkvo"]
    mlps = [f"model.layers.{number}.mlp.{name}_proj" for number in range(4) for name in ("gate", "up", "down")]
    how = parts(config_groups={
        "group_0": {"weights": FP8, "targets": attention}, "group_1": {"weights": FP4, "targets": [*mlps, "lm_head"]},
    })  # fmt: skip
    assert (how.of("attention"), how.of("mlp"), how.of("recurrent")) == (1.0, 0.5625, 2.0)
    assert how.parts["head"] == 0.5625


def test_each_layer_may_have_its_own_algorithm():
    named = {f"model.language_model.layers.{number}.mlp.experts": {"quant_algo": "W4A16_NVFP4"} for number in range(4)}
    named |= {
        f"model.language_model.layers.{number}.linear_attn.out_proj": {"quant_algo": "FP8"} for number in range(3)
    }
    how = quantization.encoding(
        None, {"quantization_config": {"quant_method": "modelopt", "quantized_layers": named}}, 2, LAYERS
    )
    assert how.of("experts") == pytest.approx(0.5625)
    assert how.of("recurrent") == pytest.approx((1 + 2 + 2) / 3)


def test_a_thousand_names_are_read_in_a_moment():
    names = [f"model.layers.{number}.mlp.{name}" for number in range(90) for name in "abcdefghijk"]
    begin = time.process_time()
    modules.sizes({"config_groups": group(FP8), "ignore": names}, 1.0, LAYERS, lambda _one: 1.0)
    assert time.process_time() - begin < 0.1


def test_advice_on_a_checkpoint_that_names_a_thousand_modules_is_quick():
    names = [f"model.layers.{number}.mlp.{name}" for number in range(90) for name in "abcdefghijk"]
    own = {"quant_method": "fp8", "modules_to_not_convert": names}
    gpu = memory.Gpu("A10", 22 * GIB, None, 8.6)
    found = memory.estimate(memory.Question({**QWEN30, "quantization_config": own}, {}, "0.26.0", gpu))
    begin = time.process_time()
    assert memory.advise(found).gpu_count == 2
    assert time.process_time() - begin < 0.1
    other = memory.estimate(memory.Question({**QWEN30, "quantization_config": dict(own)}, {}, "0.26.0", gpu))
    assert other.weights == found.weights


def test_packing_that_nobody_names_is_said_to_be_assumed():
    found = memory.estimate(memory.Question(LLAMA8, {"quantization": "compressed-tensors"}, "0.20.2"))
    assert any("8 bits are assumed" in one.message for one in found.findings)
    known = memory.estimate(memory.Question(LLAMA8, {"quantization": "compressed-tensors"}, "0.20.2", None, 9 * GIB))
    assert not any("assumed" in one.message for one in known.findings)


def test_mla_keeps_a_copy_of_its_up_projection_when_quantized():
    model, eight = shape.read(DEEPSEEK), quantization.encoding("fp8", {}, 2)
    assert weights.absorbed(model, quantization.plain(2), 8) == 0
    assert weights.absorbed(model, eight, 8) == 61 * 16 * 256 * 512 * 2
    # 83.88 GiB were logged on each of eight GPUs by 0.7.3, and 79.4 without what it multiplies out.
    before = memory.estimate(
        memory.Question(
            {**DEEPSEEK, "quantization_config": {"quant_method": "fp8"}}, {"tensor_parallel_size": 8}, "0.7.3"
        )
    )
    assert before.weights.value / GIB == pytest.approx(83.88, rel=0.005)


GEMMA4 = config(
    "Gemma4", 2816, 30, 16, 8, 2112, 262144, head_dim=256, global_head_dim=512, num_global_key_value_heads=2,
    attention_k_eq_v=True, enable_moe_block=True, num_experts=128, top_k_experts=8, moe_intermediate_size=704,
    sliding_window=1024, tie_word_embeddings=True, layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 5,
)  # fmt: skip


def test_full_layers_of_another_size_get_longer_blocks():
    model = shape.read(GEMMA4)
    plan = kv_cache.layout(model, settings(GEMMA4, "0.19.0", max_model_len=131072))
    assert (plan.page, plan.slid, plan.block, plan.group) == (131072, 16, 32, 5)
    assert dict(plan.groups) == {"sliding": 5, "full": 1}
    # 451,040 tokens and 33.42 requests of 131,072 were logged for 51.62 GiB with an 8-bit cache.
    found = kv_cache.cache(model, settings(GEMMA4, "0.19.0", max_model_len=131072, kv_cache_dtype="fp8"), 51.62 * GIB)
    assert found.tokens == pytest.approx(451040, rel=1e-4) and found.concurrency == pytest.approx(33.42, abs=0.01)


def test_an_mlp_beside_the_experts_is_counted():
    found = weights.parts(shape.read(GEMMA4), quantization.plain(2), 1)
    assert found["mlp"] == 3 * 2816 * 2112 * 30
    assert found["experts"] == 3 * 2816 * 704 * 128 * 30


def test_inputs_of_each_layer_have_a_table():
    small = {**GEMMA4, "enable_moe_block": False, "num_experts": 0, "hidden_size_per_layer_input": 256}
    with_table = weights.per_gpu(shape.read(small), quantization.plain(2)).total
    without = weights.per_gpu(shape.read({**small, "hidden_size_per_layer_input": 0}), quantization.plain(2)).total
    assert with_table - without == pytest.approx(2 * 256 * 30 * (262144 + 2816 + 2 * 2816), rel=0.01)


@pytest.mark.parametrize(
    ("version", "given", "states"),
    [
        ("0.13.0", {}, 1),
        ("0.20.2", {}, 1),
        ("0.20.2", {"enable_prefix_caching": True}, 2),
        ("0.26.0", {}, 2),
        ("0.26.0", {"no-enable-prefix-caching": True}, 1),
        ("0.32.0", {"speculative_config": {"method": "mtp", "num_speculative_tokens": 2}}, 4),
    ],
)
def test_states_of_fixed_size_that_a_request_holds(version, given, states):
    assert kv_cache.states(shape.read(QWEN35), settings(QWEN35, version, **given)) == states


def test_mamba_keeps_a_state_for_each_block_where_it_can():
    mamba = {
        "architectures": ["NemotronHForCausalLM"], "hidden_size": 2688, "num_attention_heads": 32, "head_dim": 128,
        "num_key_value_heads": 2, "intermediate_size": 1856, "vocab_size": 131072, "n_routed_experts": 128,
        "layers_block_type": ["mamba", "moe"] * 5 + ["attention"], "moe_intermediate_size": 1856, "n_shared_experts": 1,
        "moe_shared_expert_intermediate_size": 3712, "mamba_num_heads": 64, "mamba_head_dim": 64, "n_groups": 8,
        "ssm_state_size": 128, "num_experts_per_tok": 6,
    }  # fmt: skip
    model = shape.read(mamba)
    assert (model.layers, model.dense_layers, model.shared_width) == (11, 6, 3712)
    assert kv_cache.states(model, settings(mamba, "0.26.0")) == 0
    assert kv_cache.states(shape.read({**mamba, "layers_block_type": ["mamba"] * 4}), settings(mamba, "0.26.0")) == 1
    assert kv_cache.states(model, settings(mamba, "0.32.0")) == 2
    assert kv_cache.states(model, settings(mamba, "0.26.0", mamba_cache_mode="align")) == 2
    found = weights.parts(model, quantization.plain(2), 1)
    assert found["experts"] == 2 * 2688 * 1856 * 128 * 5 and found["mlp"] == 0


def block(group_=8, mult=5.25, attention=True, mlp=True):
    return {
        "attention": {"n_heads_in_group": group_, "no_op": not attention}, "ffn": {"ffn_mult": mult, "no_op": not mlp},
    }  # fmt: skip


def test_searched_layers_are_counted_one_by_one():
    one = config("DeciLM", 8192, 3, 64, None, None, 128256, block_configs=[
        block(), block(mult=2.625, attention=False), block(mlp=False),
    ])  # fmt: skip
    model = shape.read(one)
    assert (model.kv_heads, model.kinds, model.widths) == (8, ("full", "shared", "full"), (28672, 14336, 0))
    found = weights.parts(model, quantization.plain(2), 1)
    assert found["attention"] == 2 * 8192 * 128 * (64 * 2 + 16) and found["mlp"] == 3 * 8192 * (28672 + 14336)
    with pytest.raises(shape.UnknownArchitecture, match="different numbers of KV heads"):
        shape.read({**one, "block_configs": [block(8), block(4), block()]})
    with pytest.raises(shape.UnknownArchitecture, match="no block_configs"):
        shape.read({**one, "block_configs": None})


def test_tokens_are_logged_by_requests_since_0_20_1():
    # 33,536 tokens and 1.68 requests of 65,536 were logged by 0.20.0 for 1.28 GiB with an 8-bit cache.
    one = {**QWEN35, "hidden_size": 2048, "num_hidden_layers": 40, "num_key_value_heads": 2}
    for version, tokens in (("0.20.0", 33536), ("0.20.2", int(1.684 * 65536))):
        start = settings(one, version, enable_prefix_caching=True, max_model_len=65536, kv_cache_dtype="fp8")
        found = kv_cache.cache(shape.read(one), start, 1.28 * GIB)
        assert found.tokens == pytest.approx(tokens, rel=2e-3) and found.concurrency == pytest.approx(1.68, abs=0.01)


def test_a_layer_for_prediction_in_the_file_is_no_weight_on_the_gpu():
    ahead = {**QWEN30, "num_nextn_predict_layers": 1}
    model, how = shape.read(ahead), quantization.plain(2)
    alone = weights.per_gpu(model, how).total
    with_it = weights.from_checkpoint(model, how, int(alone * 1.022))
    assert with_it.total == pytest.approx(alone, rel=0.005)


def test_switched_boards_cost_more_when_four_gpus_talk():
    four = arguments.settle(shape.read(LLAMA8), {"tensor_parallel_size": 4}, "0.19.0", memory.Gpu())
    board, card = (overhead.non_torch(four, memory.Gpu(name, 80 * GIB)).value for name in ("H100 SXM", "H100 NVL"))
    assert board > 2 * card
