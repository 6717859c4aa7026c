#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: download

short_description: Download a model from the Hugging Face Hub into a host's cache

version_added: 0.1.0

description:
  - Runs C(huggingface_hub) on the target and follows it with its progress. The branch or tag is resolved first, and
    that one commit is downloaded, whatever the branch does meanwhile.
  - Files that are there are kept, and those that an interrupted download finished too.
  - A refusal of the Hub, such as a gated model or a wrong token, is told with what to do about it.
extends_documentation_fragment:
  - cortex.vllm._hub
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action

attributes:
  check_mode:
    support: full
    details:
      - The Hub is not asked. A model that is not complete in the cache counts as a change.
  diff_mode:
    support: none
  idempotent:
    support: full

options:
  model:
    description: Id on the Hub. C(org/name:QUANT) takes one quantization of a GGUF repository.
    type: str
  revision:
    description: Branch, tag or commit. Without it V(main).
    type: str
  models:
    description: Further models, as C(org/name) or as mappings of C(model), C(revision) and C(hub_cache).
    type: list
    elements: raw
    default: []
  servers:
    description:
      - Declarations of the host. What they need of the Hub is downloaded, tokenizers and draft models too, each into
        the declaration's own cache.
    type: raw
  defaults:
    description: Fields for every declaration.
    type: dict
  hub_cache:
    description: The cache on the target. Without it C(/root/.cache/huggingface/hub).
    type: path
  update:
    description: Ask the Hub again what the revision stands for, although the model is there and complete.
    type: bool
    default: false
  all_files:
    description: Every file of the revision, also weights in further formats and exports that no server reads.
    type: bool
    default: false

seealso:
  - module: cortex.vllm.model_info

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Have a model in the cache of the host
  cortex.vllm.download:
    model: Qwen/Qwen3-0.6B
    python: /opt/hub/bin/python
  register: model

- name: Have everything that the declarations of the host need
  cortex.vllm.download:
    servers: "{{ vllm_servers }}"
    defaults: "{{ vllm_server_defaults | default({}) }}"
    python: /opt/hub/bin/python

- name: Say which commit it is
  ansible.builtin.debug:
    var: model.commit

- name: Download a gated model through a mirror
  cortex.vllm.download:
    model: meta-llama/Llama-3.3-70B-Instruct
    endpoint: https://hub.example.com
    ca_bundle: /etc/ssl/certs/example.pem
    token: "{{ vault_hub_token }}"
"""

RETURN = r"""
commit:
  description: The commit that the revision stands for.
  returned: with O(model)
  type: str
  sample: c1899de289a04d12100db370d81485cdf75e47ca
path:
  description: The snapshot.
  returned: with O(model)
  type: str
models:
  description:
    - For each model C(model), C(revision), C(hub_cache), C(commit), C(path) of the snapshot, C(changed), and C(bytes)
      of what was downloaded.
  returned: success
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 4
"""
