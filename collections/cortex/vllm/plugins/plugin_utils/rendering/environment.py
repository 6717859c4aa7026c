# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The environment of a server's container: only what everybody may read."""

from __future__ import annotations

from collections.abc import Mapping

from ..spec import MOUNT_CACHE, MOUNT_HUB, Declaration, ServerSpec


def environment(spec: ServerSpec, said: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables by name, sorted; what somebody declared wins over what we would set.

    :param said: variables that say what the release has no argument for
    """
    env = {
        # Compiled graphs and kernels outlive the container: a restart would otherwise compile for minutes.
        "VLLM_CACHE_ROOT": f"{MOUNT_CACHE}/vllm",
        "TRITON_CACHE_DIR": f"{MOUNT_CACHE}/triton",
        "CUDA_CACHE_PATH": f"{MOUNT_CACHE}/cuda",
        # huggingface_hub and transformers write modules of remote code, locks and logs below HF_HOME.
        "HF_HOME": f"{MOUNT_CACHE}/huggingface",
        **gpu_environment(spec),
    }
    if spec.hub_cache:
        env["HF_HUB_CACHE"] = MOUNT_HUB
    if spec.offline:
        env |= {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            # vLLM would report its usage over the network (vllm/usage/usage_lib.py).
            "VLLM_NO_USAGE_STATS": "1",
        }
    return dict(sorted((env | dict(said or {}) | spec.env).items()))


def gpu_environment(spec: Declaration) -> dict[str, str]:
    """Variables that decide about GPUs.

    CUDA sorts by speed unless told otherwise; ``nvidia-smi`` sorts by bus. Images of CUDA set
    NVIDIA_VISIBLE_DEVICES=all, which gives them every GPU where NVIDIA's runtime is the default one: ``void`` is
    NVIDIA's word for none (NVIDIA Container Toolkit, "Environment variables").
    """
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if spec.wants_gpus else {"NVIDIA_VISIBLE_DEVICES": "void"}
