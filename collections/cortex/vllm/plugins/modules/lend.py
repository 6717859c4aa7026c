#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: lend

short_description: Lend models of a host's cache to other hosts for the time of a play

version_added: 0.1.0

description:
  - The target, a staging host, gives out contents of its Hugging Face cache over HTTP to those who have O(token), and
    M(cortex.vllm.restore) with C(lent) takes them from there. Nothing passes the controller.
  - A small process of the standard library does it. It reads nothing but files below C(blobs) of the cache, ends with
    O(state=absent), and by itself when nobody took anything for O(idle) seconds.
  - Which files are wanted, and their hashes, travel over Ansible's own connection. Who takes proves each content by
    them, so that the way between needs no trust. It is not encrypted - who can listen there can read the models.
  - The role C(cortex.vllm.models) does both ends with C(vllm_models_source=staging).
extends_documentation_fragment:
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action

attributes:
  check_mode:
    support: full
    details:
      - The cache is looked at, and nothing is lent.
  diff_mode:
    support: none
  idempotent:
    support: full

options:
  store:
    description: The Hugging Face cache of the target. Required unless O(state=absent).
    type: path
  token:
    description: What others have to know, at least 20 characters. A secret; one of its own for each play.
    type: str
    required: true
  state:
    description:
      - V(present) lends, and is the same lending for every task with the same O(token).
      - V(absent) ends it.
    type: str
    choices:
      - present
      - absent
    default: present
  address:
    description: Name or address under which the other hosts reach the target. Required unless O(state=absent).
    type: str
  bind:
    description: Address of the target to listen at. Without it all of them.
    type: str
  port:
    description: Port to listen at, where a firewall lets only that one through. V(0) takes any that is free.
    type: int
    default: 0
  idle:
    description: Seconds without a transfer after which it ends by itself.
    type: int
    default: 900
  servers:
    description: Declarations of the host that wants models. What they need is looked for in the cache.
    type: raw
  defaults:
    description: Fields for every declaration.
    type: dict
  models:
    description: Further models, as C(org/name) or as mappings of C(model), C(revision) and C(hub_cache).
    type: list
    elements: raw
    default: []
  hub_cache:
    description:
      - Cache on the host that wants them, whatever the declarations name. Without it the declaration's own, and
        C(/root/.cache/huggingface/hub) for what no declaration places.
    type: path

seealso:
  - module: cortex.vllm.restore
  - module: cortex.vllm.download

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Lend what this host needs, from the staging host
  cortex.vllm.lend:
    store: /srv/hub
    address: staging.example.com
    token: "{{ vault_play_token }}"
    servers: "{{ vllm_servers }}"
  delegate_to: staging
  register: lending

- name: Take it
  cortex.vllm.restore:
    lent: "{{ lending.lent }}"
    token: "{{ vault_play_token }}"
  throttle: 4

- name: End it
  cortex.vllm.lend:
    state: absent
    token: "{{ vault_play_token }}"
  delegate_to: staging
  run_once: true
"""

RETURN = r"""
lent:
  description: What M(cortex.vllm.restore) takes as C(lent) - the address, the port, and the models with their files.
  returned: O(state=present)
  type: dict
lacking:
  description: What declarations need and the cache does not hold.
  returned: O(state=present)
  type: list
  elements: str
findings:
  description: What there is to say.
  returned: success
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 2
"""
