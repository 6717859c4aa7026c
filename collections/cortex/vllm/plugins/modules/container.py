#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: container

short_description: Converge one GPU container with your own arguments

version_added: 0.1.0

description:
  - Starts, replaces or stops a container with your own image and command.
  - It goes the way of a server. GPUs are resolved to their UUIDs, the comparison is field by field, secrets stay
    in files, and a replacement is
    a transaction that rolls back.
  - Nothing is known about what runs in it. It counts as ready when it has run for two seconds;
    M(cortex.vllm.ready) can ask it for more.
extends_documentation_fragment:
  - cortex.vllm._declaration
  - cortex.vllm._declaration.container
  - cortex.vllm._engine
  - cortex.vllm._converging
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

seealso:
  - module: cortex.vllm.servers
  - module: cortex.vllm.ready

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Run an exporter for the GPUs
  cortex.vllm.container:
    name: dcgm
    image: nvcr.io/nvidia/k8s/dcgm-exporter:4.2.3-4.1.3-ubuntu22.04
    gpus: all
    ports: ["9400"]
    cap_add: [SYS_ADMIN]
"""

RETURN = r"""
container:
  description: What was planned and done. Its fields are those of each entry of RV(cortex.vllm.servers#module:servers).
  returned: always, once the host was seen
  type: dict
servers:
  description: The same, by name. Every value below is that of M(cortex.vllm.servers), for this container alone.
  returned: always, once the host was seen
  type: dict
pending:
  description: The job that runs, if one does. What O(follow) of a later task takes. See
    RV(cortex.vllm.servers#module:pending).
  returned: always
  type: list
  elements: dict
findings:
  description: Everything that the checks and the diagnosis have to say. See RV(cortex.vllm.servers#module:findings).
  returned: always
  type: list
  elements: dict
starts:
  description: See RV(cortex.vllm.servers#module:starts).
  returned: when the host was planned
  type: list
  elements: str
disrupts:
  description: See RV(cortex.vllm.servers#module:disrupts).
  returned: when the host was planned
  type: list
  elements: str
unwell:
  description: See RV(cortex.vllm.servers#module:unwell).
  returned: when the host was planned
  type: list
  elements: str
todo:
  description: See RV(cortex.vllm.servers#module:todo).
  returned: when the host was planned
  type: list
  elements: str
named:
  description: The name of what was declared.
  returned: when the host was planned
  type: list
  elements: str
fetched:
  description: Images that were pulled.
  returned: when the host was planned
  type: list
  elements: str
status:
  description: How it was found. See RV(cortex.vllm.servers#module:status).
  returned: when the host was planned
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took. A converge that finds nothing to do takes one.
  returned: always
  type: int
  sample: 1
"""
