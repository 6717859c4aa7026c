#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: server

short_description: Converge one vLLM server

version_added: 0.1.0

description:
  - Starts, replaces or stops one server, exactly as M(cortex.vllm.servers) does it for all servers of a host.
  - When a host has several servers, declare them together with M(cortex.vllm.servers), which plans their GPUs,
    ports and memory as a whole.
extends_documentation_fragment:
  - cortex.vllm._declaration
  - cortex.vllm._declaration.server
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
- name: Serve a model
  cortex.vllm.server:
    name: chat
    image: vllm/vllm-openai:v0.32.0
    model: Qwen/Qwen3-0.6B
    gpus: [0]
    server_port: 8000
    engine_args:
      max_model_len: 8192
    secrets:
      api_key: "{{ vault_key }}"

- name: Stop it, keeping its state
  cortex.vllm.server:
    name: chat
    image: vllm/vllm-openai:v0.32.0
    model: Qwen/Qwen3-0.6B
    state: stopped
"""

RETURN = r"""
server:
  description: What was planned and done. Its fields are those of each entry of RV(cortex.vllm.servers#module:servers).
  returned: always, once the host was seen
  type: dict
servers:
  description: The same, by name. Every value below is that of M(cortex.vllm.servers), for this server alone.
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
