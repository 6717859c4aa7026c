#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt

short_description: Write declarations of vLLM containers that somebody else started, and take them over

version_added: 0.1.0

description:
  - Reads the running vLLM containers of a host that this collection did not create (C(docker run), compose files,
    other roles) and writes a declaration for each.
  - With O(take_over=true) the host also notes that these containers are the declared servers. A later converge
    with the same declarations then finds nothing to do, and nothing is restarted. A declaration that a person
    changes afterwards is carried out as usual, by a replacement that can be rolled back.
  - Nothing is stopped or started. A container that is taken over is renamed to C(cortex-vllm-<name>), which the
    engine does while it runs; names under which other containers of a network reach it change with that.
  - Secrets stay on the host. A declaration names variables instead, such as C(vault_chat_api_key); put the values
    that the server has now into a vault under these names.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

attributes:
  diff_mode:
    support: none
    details:
      - Nothing of a server changes but its owner and its name.

options:
  containers:
    description: Names of the containers. Empty means all that run vLLM's server.
    type: list
    elements: str
    default: []
  take_over:
    description:
      - Whether the host notes the containers as servers of this collection.
      - The task fails when one of them cannot be declared. What could be is taken over all the same.
    type: bool
    default: false

seealso:
  - module: cortex.vllm.servers

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: See what runs, as declarations
  cortex.vllm.adopt:
  register: found

- name: Keep them for review
  ansible.builtin.copy:
    content: "{{ found.yaml }}"
    dest: "adopted/{{ inventory_hostname }}.yml"
    mode: "0644"
  delegate_to: localhost

- name: Take one of them over
  cortex.vllm.adopt:
    containers: [llm-vllm-1]
    take_over: true
"""

RETURN = r"""
servers:
  description: The declarations by name, as C(vllm_servers) takes them.
  type: dict
  returned: success
  sample: {"chat": {"image": "vllm/vllm-openai:v0.32.0", "model": "/srv/models/qwen", "served_model_name": ["chat"]}}
yaml:
  description: The same as a file of variables, with comments on what a person has to look at.
  type: str
  returned: success
containers:
  description: Name of the container of each declaration, as it was before it was taken over.
  type: dict
  returned: success
  sample: {"chat": "llm-vllm-1"}
adopted:
  description: Names of the servers that the host has on record, those of earlier runs included.
  type: list
  elements: str
  returned: success
findings:
  description: What could not be declared, and what a person has to look at.
  type: list
  elements: dict
  returned: always
  contains:
    code:
      description: Stable name of the finding.
      type: str
    severity:
      description: V(error), V(warning) or V(info).
      type: str
    message:
      description: What is wrong.
      type: str
    field:
      description: The field to change.
      type: str
    fix:
      description: What to write instead.
      type: str
    server:
      description: Name of the server.
      type: str
remote_calls:
  description: How often the target was called.
  type: int
  returned: always
"""
