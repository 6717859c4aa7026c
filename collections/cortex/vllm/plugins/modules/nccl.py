#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: nccl

short_description: Resolve and explain how the GPUs of a host talk to each other

version_added: 0.1.0

description:
  - Looks at the interfaces, the InfiniBand and RoCE adapters and the links between the GPUs of a host, and says which
    variables of NCCL follow from them and from O(settings), each with its reason.
  - Writes them to a file when O(dest) is given. NCCL reads C(/etc/nccl.conf); what is in the environment wins over it.
  - Servers of the collection do not need that file. They take the field C(nccl) of their declaration, and mount a file
    of their own.
  - Peer to peer is never turned off by itself, unless M(cortex.vllm.nccl_test) measured on this host that it is broken.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._file
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

options:
  settings:
    description:
      - The fields of C(nccl) in a declaration, see M(cortex.vllm.server).
      - Names of variables such as C(NCCL_P2P_DISABLE) are understood where a field is meant.
    type: raw
  address:
    description:
      - The address of the host by which others reach it. The interface that has it is the one to use.
    type: str
  nodes:
    description: How many hosts a model spans. From 2 on the adapters between hosts count.
    type: int
    default: 1
  state_dir:
    description: Directory on the target for what the collection keeps there, a measurement among it.
    type: path
    default: /var/lib/cortex-vllm
  mode:
    description: Permissions of O(dest). The default is V(0644).
    type: str

seealso:
  - module: cortex.vllm.gpu_info
  - module: cortex.vllm.server

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: What would NCCL be told here?
  cortex.vllm.nccl:
    address: "{{ ansible_default_ipv4.address | default(omit) }}"
  register: told

- name: Write it for programs that are no servers of the collection
  cortex.vllm.nccl:
    settings:
      debug: info
    dest: /etc/nccl.conf
"""

RETURN = r"""
profile:
  description: What connects the GPUs, V(none), V(pcie), V(nvlink), V(ethernet) or V(infiniband).
  returned: success
  type: str
  sample: nvlink
settings:
  description: Each variable with its value, the reason, where it comes from, and who reads it.
  returned: success
  type: list
  elements: dict
  sample:
    - because: host
      name: NCCL_SOCKET_IFNAME
      reader: NCCL
      value: =ens2
      why: "it has this host's address 10.0.0.1; = is: this name, not all that begin so"
environment:
  description: Those that NCCL's file cannot hold, because others read them.
  returned: success
  type: dict
  sample: {"GLOO_SOCKET_IFNAME": "ens2"}
content:
  description: The file, with an explanation of each value.
  returned: success
  type: str
network:
  description: Interfaces and adapters of the host.
  returned: success
  type: dict
measured:
  description: What a measurement left that holds for the driver and GPUs of now.
  returned: success
  type: dict
findings:
  description: What there is to say about the settings on this host.
  returned: always
  type: list
  elements: dict
dest:
  description: The file that was written.
  returned: with O(dest)
  type: str
remote_calls:
  description: How many calls to the target it took, without the file.
  returned: always
  type: int
  sample: 1
"""
