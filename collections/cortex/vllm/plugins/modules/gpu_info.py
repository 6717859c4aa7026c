#!/usr/bin/python
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: Look at the GPUs of a host and at who holds them
version_added: 0.1.0
description:
  - Asks the driver (C(nvidia-smi)) for the GPUs, their memory and the processes on them, and the container engine for
    the containers that were given GPUs; looks at their links, at the fabric manager, at the container toolkit with its
    CDI specifications, and for Xid errors in the kernel's messages.
  - Hosts with AMD GPUs are asked through C(amd-smi), or C(rocm-smi) where there is none. They are shown; servers of
    this collection run on NVIDIA GPUs and CPUs.
  - A host without a driver, or with a broken one, is not an error of the task. RV(status) and RV(message) say what is
    wrong and what to do.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._attributes
  - cortex.vllm._attributes.looking
author:
  - Cortex vLLM contributors (@cortex)
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

- name: Tell what looks wrong
  ansible.builtin.debug:
    var: look.problems
  when: look.problems | length > 0

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
vendor:
  description: V(nvidia), V(amd), or none when there is no driver.
  type: str
  returned: always
  sample: nvidia
problems:
  description: What looks wrong with the GPUs, in sentences that say what to do.
  type: list
  elements: str
  returned: always
  sample: []
topology:
  description:
    - How GPUs reach each other (C(links)) and network cards (C(nics)), their processors (C(cpus)) and NUMA nodes
      (C(numa)), by the index of the GPU. C(NV18) is eighteen NVLinks, C(PIX), C(PXB), C(PHB), C(NODE) and C(SYS) are
      PCIe with ever more in between. None for a single GPU.
  type: dict
  returned: always
  sample: {links: {"0": {"1": NV18}, "1": {"0": NV18}}, nics: {}, numa: {"0": "0"}, cpus: {"0": 0-31}}
fabric_manager:
  description: State of the service C(nvidia-fabricmanager), which GPUs behind NVSwitches need; none when nobody tells.
  type: str
  returned: always
  sample: active
toolkit:
  description:
    - C(version) of NVIDIA's container toolkit, path of its C(runtime), and the CDI specifications in C(cdi), each with
      C(path), C(kind) and C(devices).
  type: dict
  returned: always
  sample: {version: 1.17.4, runtime: /usr/bin/nvidia-container-runtime, cdi: []}
xid:
  description:
    - The last Xid errors since boot, each with C(pci_bus_id), C(xid), C(message) and C(meaning). None when this user
      may not read the kernel's messages.
  type: list
  elements: dict
  returned: always
  sample: []
nvswitches:
  description:
    - Number of NVSwitches on the PCI bus. Those of NVLink 5 are not there; RV(gpus[].fabric_state) tells of them.
  type: int
  returned: always
  sample: 4
hardware:
  description: GPUs on the PCI bus whatever drives them, each with C(pci_bus_id) and C(vendor).
  type: list
  elements: dict
  returned: always
  sample: [{pci_bus_id: "0000:18:00.0", vendor: NVIDIA}]
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
    memory_reserved:
      description:
        - Memory that the driver keeps for itself, in bytes; CUDA's total is RV(gpus[].memory_total) less this. None for
          drivers that do not tell.
      type: int
      sample: 645922816
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
      description: The MIG devices, each with C(uuid), C(profile) and C(index).
      type: list
      elements: dict
      sample: []
    mig_instances:
      description: The MIG devices by C(index), C(gpu_instance) and C(compute_instance), with their memory in bytes.
      type: list
      elements: dict
      sample: []
    unified_memory:
      description: Whether the GPU uses the host's memory and tells no size of its own (GB10).
      type: bool
      sample: false
    nvlink:
      description: Number of C(active) and C(inactive) NVLinks, and their sum in C(gb_per_second); none without NVLink.
      type: dict
      sample: {active: 18, inactive: 0, gb_per_second: 478.116}
    brand:
      description: Product line, as the driver names it.
      type: str
      sample: NVIDIA
    architecture:
      description: Generation of the GPU, as the driver names it.
      type: str
      sample: Hopper
    persistence_mode:
      description: V(enabled) or V(disabled).
      type: str
      sample: enabled
    compute_mode:
      description: V(default), V(exclusive_process) or V(prohibited).
      type: str
      sample: default
    ecc_mode:
      description: V(enabled), V(disabled), or none for memory without ECC.
      type: str
      sample: enabled
    ecc_pending:
      description: What RV(gpus[].ecc_mode) will be after the next reboot.
      type: str
      sample: enabled
    retirement_pending:
      description: Whether bad pages or rows of its memory wait for a reset to be taken out of use.
      type: bool
      sample: false
    remap_failed:
      description: Whether bad rows could not be taken out of use; the GPU is to be replaced.
      type: bool
      sample: false
    ecc_uncorrected:
      description: Uncorrected memory errors since the driver was loaded.
      type: int
      sample: 0
    power_draw:
      description: What it draws, in watts.
      type: float
      sample: 118.5
    power_limit:
      description: What it may draw, in watts.
      type: float
      sample: 700.0
    pcie_generation:
      description: Generation of PCIe that card and slot can do.
      type: int
      sample: 5
    pcie_width:
      description: Lanes of PCIe that card and slot can do.
      type: str
      sample: 16x
    fabric_state:
      description: How far it has joined the NVLink fabric behind NVSwitches; none without such a fabric.
      type: str
      sample: completed
    fabric_status:
      description: Outcome of joining the fabric.
      type: str
      sample: Success
    processes:
      description:
        - Processes with memory on the GPU, each with C(pid), C(gpu_instance) of a GPU with MIG, C(name), C(memory_used)
          in bytes, and C(container), the name of the container that it runs in.
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

from ansible_collections.cortex.vllm.plugins.module_utils import connection, gpu_details, gpus, host_facts


def look(module):
    """Everything but the containers."""
    answer = gpus.look(module)
    vendor = "nvidia" if answer["status"] != "absent" else None
    if vendor is None:
        other = gpu_details.amd(module)
        if other is not None:
            answer, vendor = other, "amd"
    answer.setdefault("topology", None)
    answer.update(
        vendor=vendor, hardware=gpu_details.hardware(), toolkit=gpu_details.toolkit(module), fabric_manager=None,
        xid=gpu_details.xid(module) if vendor == "nvidia" else None, nvswitches=host_facts.nvswitches(),
    )  # fmt: skip
    if vendor == "nvidia" and answer["devices"]:
        answer["fabric_manager"] = gpu_details.fabric_manager(module)
        links = gpu_details.nvlink(module)
        for device in answer["devices"]:
            device["nvlink"] = links.get(device["uuid"])
    if answer["status"] == "absent" and any(item["vendor"] == "NVIDIA" for item in answer["hardware"]):
        answer["message"] += "; there is an NVIDIA GPU on the PCI bus: install its driver"
    answer["problems"] = gpu_details.problems(answer)
    return answer


def main():
    module = AnsibleModule(argument_spec=dict(connection.CONNECTION), supports_check_mode=True)
    connection.respawn_if_needed()
    answer = look(module)
    engine, facts = connection.facts(module.params)
    devices = answer.pop("devices")
    holders = {}
    if engine is not None and devices:
        try:
            holders = gpus.holders(engine, devices) if answer["vendor"] == "nvidia" else {}
            gpu_details.container_names(engine, devices)
        except connection.EngineError as exc:
            facts["status"] = exc.kind
    for device in devices:
        device["containers"] = sorted(holders.get(device["uuid"], []))
    module.exit_json(changed=False, gpus=devices, engine=facts["status"], **answer)


if __name__ == "__main__":
    main()
