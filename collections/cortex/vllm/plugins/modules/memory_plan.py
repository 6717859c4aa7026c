#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: memory_plan

short_description: Foretell whether a model fits, and what would

version_added: 0.1.0

description:
  - Says for each GPU what a start takes (weights, activations, libraries, CUDA graphs), what is left for the KV cache,
    how many tokens and requests that is, and whether one request of full length fits.
  - Without O(servers) it is a pure question about O(config), and no target is asked.
  - With O(servers) the target is asked once for models, images and GPUs. What another server holds, and what the
    server itself gives back when it is replaced, is counted.
  - Figures are of the rank that holds most. An architecture that is not known gets no figures.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.actiongroup_vllm

attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full

options:
  config:
    description: The model's C(config.json), as a mapping.
    type: dict
  weights_bytes:
    description:
      - Size of the checkpoint's tensors, in bytes or with a unit (V(14.96GiB), V(16.06GB)).
      - Without it, or with V(0), they are counted from O(config).
    type: raw
  engine_args:
    description: Arguments of the server, as in a declaration.
    type: dict
    default: {}
  environment:
    description: Environment of the server, where it decides about memory (C(VLLM_CPU_KVCACHE_SPACE)).
    type: dict
    default: {}
  vllm_version:
    description: Release of vLLM. The default is the newest that the collection knows.
    type: str
  gpu:
    description:
      - The GPU, with the keys C(name), C(memory_gib) (what vLLM sees, 79.18 for an H100), C(free_gib) (when the server
        starts, if not all) and C(compute_capability). A text is the name of a card (V(H100)).
    type: raw
  gpu_count:
    description: Number of such GPUs. Taken as tensor parallel size when O(engine_args) says nothing of it.
    type: int
  draft_config:
    description: The C(config.json) of the draft model of C(speculative_config).
    type: dict
  draft_weights_bytes:
    description: Size of the draft model's tensors, as O(weights_bytes).
    type: raw
  servers:
    description: Declarations of the host, as O(cortex.vllm.servers#module:servers) has them.
    type: raw
  defaults:
    description: What all O(servers) have in common.
    type: dict
  state_dir:
    description: Directory on the target for what the collection keeps there.
    type: path
    default: /var/lib/cortex-vllm

requirements:
  - Python 3.11 or newer, pydantic 2 and httpx on the controller

seealso:
  - module: cortex.vllm.servers
  - module: cortex.vllm.gpu_info

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Does this model fit a laptop's GPU?
  cortex.vllm.memory_plan:
    config: "{{ lookup('ansible.builtin.file', 'config.json') | from_json }}"
    vllm_version: "0.32.0"
    engine_args:
      max_model_len: 4096
      gpu_memory_utilization: 0.8
      enforce_eager: true
    gpu: {name: RTX 3060 Laptop, memory_gib: 5.8, compute_capability: 8.6}
  register: foreseen

- name: Refuse what does not fit
  ansible.builtin.assert:
    that: foreseen.fits
    fail_msg: "{{ foreseen.advice.text }}"

- name: What do the declared servers of this host take?
  cortex.vllm.memory_plan:
    servers: "{{ vllm_servers }}"
    defaults: "{{ vllm_server_defaults | default({}) }}"
"""

RETURN = r"""
weights_gib:
  description: Weights for each GPU, in GiB. All figures are V(null) where they cannot be said.
  returned: without O(servers)
  type: float
  sample: 1.126
activation_gib:
  description: Peak of activations while vLLM profiles.
  returned: without O(servers)
  type: float
  sample: 0.478
non_torch_gib:
  description: Context, libraries and communication buffers.
  returned: without O(servers)
  type: float
  sample: 0.12
cuda_graph_gib:
  description: CUDA graphs. They are taken from the budget since 0.20, and come on top of it before.
  returned: without O(servers)
  type: float
  sample: 0.35
kv_cache_gib:
  description: What is left for the KV cache. Below zero, so much is missing.
  returned: without O(servers)
  type: float
  sample: 3.1
kv_cache_tokens:
  description: Tokens of the KV cache, as vLLM logs them.
  returned: without O(servers)
  type: int
  sample: 29008
kv_cache_needed_gib:
  description: What one request of C(max_model_len) takes of the cache.
  returned: without O(servers)
  type: float
  sample: 0.437
kv_bytes_per_token:
  description: Bytes of one token in the cache.
  returned: without O(servers)
  type: float
  sample: 114688.0
max_concurrency:
  description: Requests of C(max_model_len) that the cache holds at once.
  returned: without O(servers)
  type: float
  sample: 7.08
fits:
  description:
    - Whether one request of full length fits.
    - With O(servers), whether it does for all of them.
  returned: always
  type: bool
  sample: true
close:
  description: Whether it fits only when nothing takes more than expected.
  returned: without O(servers)
  type: bool
confidence:
  description: V(high), V(medium), V(low), or V(none) without figures.
  returned: without O(servers)
  type: str
  sample: high
ranges:
  description: Lowest and highest value that was seen on starts of this kind, by the name of the figure.
  returned: without O(servers)
  type: dict
  sample: {"weights_gib": [1.11, 1.19]}
budget_gib:
  description: What C(gpu_memory_utilization) claims.
  returned: without O(servers)
  type: float
gpu_memory_gib:
  description: Memory of the GPU.
  returned: without O(servers)
  type: float
assumed:
  description: Arguments with the defaults that the release has on this GPU.
  returned: without O(servers)
  type: dict
advice:
  description:
    - Largest RV(advice.max_model_len) with the rest as it is, smallest RV(advice.gpu_memory_utilization) and smallest
      RV(advice.gpu_count) at which the declared length fits, and RV(advice.engine_args) to change so that it fits.
  returned: without O(servers)
  type: dict
  contains:
    max_model_len: {description: Largest length., type: int, returned: success}
    gpu_memory_utilization: {description: Smallest share., type: float, returned: success}
    gpu_count: {description: Smallest number of GPUs., type: int, returned: success}
    engine_args: {description: What to change., type: dict, returned: success}
    text: {description: The same in one sentence., type: str, returned: success}
table:
  description: The figures and a bar for the terminal, line by line.
  returned: without O(servers)
  type: list
  elements: str
vllm_version:
  description: The release that was asked about.
  returned: without O(servers)
  type: str
servers:
  description: The same figures for each server by name, V(null) for one about which too little is known.
  returned: with O(servers)
  type: dict
findings:
  description: What there is to say about memory and GPUs.
  returned: always
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 0
"""
