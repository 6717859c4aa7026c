# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs inside an image: vLLM's own functions say how layers share the cache and how many requests fit.

``kv_cache_oracle.py ROWS``: each row has the kinds of the layers and their sizes; prints a row with blocks and
concurrency for each. Only the layers are made up, grouping and counting are vLLM's.
"""

from __future__ import annotations

import json
import logging
import math
import pathlib
import sys

import torch
from vllm.engine.arg_utils import EngineArgs
from vllm.v1 import kv_cache_interface as interface
from vllm.v1.core import kv_cache_utils

logging.disable(logging.CRITICAL)
base = EngineArgs(model="/model", max_model_len=512, enforce_eager=True).create_engine_config()
base.scheduler_config.async_scheduling = True  # as GPUs have it: the batch in flight has room in the cache, too
base.cache_config.kv_cache_layout = "NHD"  # how blocks lie in memory; their number does not depend on it
for row in json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")):
    base.model_config.max_model_len = row["length"]
    base.cache_config.mamba_block_size = row["length"]
    base.cache_config.mamba_cache_mode = row["mode"]
    base.scheduler_config.max_num_batched_tokens = row["batched"]
    token, block = 2 * row["kv_heads"] * row["head_dim"] * 2, 16
    attention = {"num_kv_heads": row["kv_heads"], "head_size": row["head_dim"], "dtype": torch.bfloat16}
    mixed = {"full", "linear"} <= set(row["kinds"])
    if mixed:  # vllm/model_executor/models/config.py HybridAttentionMambaModelConfig
        block = max(16, 16 * math.ceil(row["state"] / (16 * token)))
    specs = {}
    for number, kind in enumerate(row["kinds"]):
        if kind == "linear":
            specs[f"layers.{number}"] = interface.MambaSpec(
                block_size=row["length"], shapes=((round(row["state"] / 2),),), dtypes=(torch.bfloat16,),
                page_size_padded=block * token if mixed else None, mamba_type="mamba2",
            )  # fmt: skip
        elif row["latent"]:
            specs[f"layers.{number}"] = interface.MLAAttentionSpec(
                block_size=block, num_kv_heads=1, head_size=row["latent"], dtype=torch.bfloat16
            )
        elif kind == "sliding":
            specs[f"layers.{number}"] = interface.SlidingWindowSpec(
                block_size=block, sliding_window=row["window"], **attention
            )
        elif kind == "chunked":
            specs[f"layers.{number}"] = interface.ChunkedLocalAttentionSpec(
                block_size=block, attention_chunk_size=row["window"], **attention
            )
        elif kind == "full":
            heads, size = row["wide"]
            wide = {**attention, "num_kv_heads": heads, "head_size": size} if heads else attention
            specs[f"layers.{number}"] = interface.FullAttentionSpec(block_size=block, **wide)
    groups = kv_cache_utils.get_kv_cache_groups(base, specs)
    config = kv_cache_utils.get_kv_cache_config_from_groups(base, groups, row["available"])
    concurrency = kv_cache_utils.get_max_concurrency_for_kv_cache_config(base, config)
    print("ROW " + json.dumps({"name": row["name"], "blocks": config.num_blocks, "concurrency": concurrency}))
