#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: nccl_test

short_description: Measure whether the GPUs of a host sum rightly, with and without peer to peer

version_added: 0.1.0

description:
  - Runs sums over all GPUs of the host inside of a server's own image, in two arms. One is as configured, the control
    is without peer to peer. Values are compared, an arm that stands still is killed.
  - What came out stays on the host as a fact, for as long as driver, GPUs and their links stay the same. Servers with
    the field C(nccl) go without peer to peer where it was proved broken, and nowhere else.
  - Measured again only when driver, GPUs, links, image or options differ, or with O(force).
  - GPUs that servers hold are used all the same. Measure before servers start, or expect them to be slower meanwhile.
  - Without GPUs it sums with gloo over processes, which proves the way and says nothing about peer to peer.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action

attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full

options:
  image:
    description: Image with torch, that of a server. It must be on the host.
    type: str
    required: true
  backend:
    description: V(nccl) sums over GPUs, V(gloo) over processes on the CPU. V(auto) takes V(nccl) where there are GPUs.
    type: str
    choices: [auto, nccl, gloo]
    default: auto
  processes:
    description: How many take part. The default is one for each GPU, and 2 with V(gloo).
    type: int
  environment:
    description: Variables of both arms, as a server would have them.
    type: dict
    default: {}
  sizes:
    description: Bytes that are summed, one size after the other.
    type: list
    elements: int
    default: [4, 65536, 16777216]
  repeats:
    description: How often each size is summed. The fastest counts for the rate.
    type: int
    default: 5
  limit:
    description: Seconds after which an arm is killed.
    type: float
    default: 120.0
  force:
    description: Measure again although nothing has changed.
    type: bool
    default: false

seealso:
  - module: cortex.vllm.nccl
  - module: cortex.vllm.gpu_info

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Measure before the first server starts
  cortex.vllm.nccl_test:
    image: vllm/vllm-openai:v0.32.0
  register: measured

- name: Stop where nothing can be said
  ansible.builtin.assert:
    that: measured.verdict != 'inconclusive'
    fail_msg: "{{ measured.message | default('') }}"
  when: measured.verdict is defined
"""

RETURN = r"""
verdict:
  description: V(p2p-works), V(p2p-broken), or V(inconclusive) when the control fails too.
  returned: success, outside of check mode
  type: str
  sample: p2p-works
message:
  description: The verdict in words.
  returned: success, outside of check mode
  type: str
arms:
  description:
    - For C(configured) and C(p2p_off) the C(state) (V(ok), V(wrong), V(hang), V(error)), a C(message), and for each
      size the time and the rate that each link carried.
  returned: success
  type: dict
backend:
  description: What summed.
  returned: success
  type: str
  sample: nccl
processes:
  description: How many took part.
  returned: success
  type: int
  sample: 8
findings:
  description: What there is to say about it.
  returned: always
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 4
"""
