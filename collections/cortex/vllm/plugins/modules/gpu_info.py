#!/usr/bin/python
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: Look at the NVIDIA GPUs of a host and at who holds them
version_added: 0.1.0
description:
  - Asks the driver (C(nvidia-smi)) for the GPUs, their memory and the processes on them, and the container engine for
    the containers that were given GPUs.
  - A host without a driver, or with a broken one, is not an error of the task. RV(status) and RV(message) say what is
    wrong and what to do.
extends_documentation_fragment:
  - cortex.vllm._attributes
  - cortex.vllm._attributes.actiongroup_vllm
  - cortex.vllm._engine
attributes:
  check_mode:
    support: full
    details:
      - The module only reads.
  diff_mode:
    support: none
  idempotent:
    support: full
author:
  - Cortex vLLM contributors (@cortex-vllm)
seealso:
  - module: cortex.vllm.servers
"""

EXAMPLES = r"""
- name: Look at the GPUs
  cortex.vllm.gpu_info:
  register: look

- name: Refuse hosts whose driver does not answer
  ansible.builtin.assert:
    that: look.status == 'ok'
    fail_msg: "{{ look.message }}"

- name: Show what is free
  ansible.builtin.debug:
    msg: "{{ item.index }} {{ item.name }}: {{ (item.memory_free / 2 ** 30) | round(1) }} GiB free"
  loop: "{{ look.gpus }}"
  loop_control:
    label: "{{ item.uuid }}"
"""

RETURN = r"""
status:
  description: V(ok), V(absent) when there is no driver, V(error) when it does not answer.
  type: str
  returned: always
  sample: ok
message:
  description: What is wrong and what to do, in one sentence; empty when nothing is.
  type: str
  returned: always
  sample: ""
driver:
  description: Version of the driver.
  type: str
  returned: always
  sample: 570.86.15
cuda:
  description: Newest CUDA version that the driver supports.
  type: str
  returned: always
  sample: "12.8"
engine:
  description: V(ok), or why the container engine could not be asked; RV(gpus[].containers) is empty then.
  type: str
  returned: always
  sample: ok
gpus:
  description: The GPUs in the order of C(nvidia-smi), which is the order of the PCI bus.
  type: list
  elements: dict
  returned: always
  contains:
    index:
      description: Position in the order of C(nvidia-smi).
      type: int
      sample: 0
    uuid:
      description: The name that stays with the GPU wherever it is plugged in.
      type: str
      sample: GPU-8f6d1c2e-7a54-4f0b-9d11-3c2b1a0f9e8d
    name:
      description: Product name.
      type: str
      sample: NVIDIA H100 80GB HBM3
    pci_bus_id:
      description: Address on the PCI bus.
      type: str
      sample: "00000000:18:00.0"
    memory_total:
      description: Memory in bytes.
      type: int
      sample: 85520809984
    memory_used:
      description: Memory that processes hold, in bytes.
      type: int
      sample: 1048576
    memory_free:
      description: Memory that is free, in bytes.
      type: int
      sample: 84825604096
    compute_capability:
      description: CUDA compute capability, if the driver tells.
      type: str
      sample: "9.0"
    mig_mode:
      description: V(enabled), V(disabled), or none for a GPU without MIG.
      type: str
      sample: disabled
    mig:
      description: The MIG devices, each with C(uuid) and C(profile).
      type: list
      elements: dict
      sample: []
    processes:
      description: Processes with memory on the GPU, each with C(pid), C(name) and C(memory_used) in bytes.
      type: list
      elements: dict
      sample: []
    containers:
      description: Names of the running containers that were given this GPU.
      type: list
      elements: str
      sample: [cortex-vllm-chat]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cortex.vllm.plugins.module_utils import connection, gpus


def main():
    module = AnsibleModule(argument_spec=dict(connection.CONNECTION), supports_check_mode=True)
    connection.respawn_if_needed()
    answer = gpus.look(module)
    engine, facts = connection.facts(module.params)
    devices = answer.pop("devices")
    holders = {}
    if engine is not None and devices:
        try:
            holders = gpus.holders(engine, devices)
        except connection.EngineError as exc:
            facts["status"] = exc.kind
    for device in devices:
        device["containers"] = sorted(holders.get(device["uuid"], []))
    module.exit_json(changed=False, gpus=devices, engine=facts["status"], **answer)


if __name__ == "__main__":
    main()
