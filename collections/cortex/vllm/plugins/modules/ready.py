#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: ready

short_description: Wait until a vLLM server gives a token

version_added: 0.1.0

description:
  - Waits for a server on the target, and says in which phase of its start it is. Ready means that the declared
    name has answered with a token.
  - Ends at once when the container dies, with its exit state, a diagnosis and the telling lines of its log.
  - With O(url) a server anywhere is asked from the controller over HTTP instead, and the target is not touched.
  - In check mode it looks once and does not fail.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.looking

options:
  name:
    description:
      - A server that the collection started on the target. It is asked as it was declared, with its port, name and
        key.
      - Exactly one of O(name), O(container_name) and O(url) is required.
    type: str
  container_name:
    description: Any container on the target. Without O(server_port) and without a declaration, ready means that it
      runs.
    type: str
  url:
    description: Base URL of a server, asked from the controller.
    type: str
  server_port:
    description: Port on the target, instead of the declared one.
    type: int
  address:
    description: Address on the target that goes with O(server_port).
    type: str
    default: 127.0.0.1
  served_model_name:
    description: The name that must answer. Without it the declared one, or the first that the server lists.
    type: str
  request:
    description:
      - What the server must be able to do, instead of what was declared as C(probe.request). It is asked as the
        release in its image wants to be asked, and the answer is checked.
      - With O(name) only.
    type: str
    choices: [completion, json_schema, regex, grammar, choice, tool_call, embedding, score]
  token:
    description: Ask for a token. Otherwise C(/health) is enough, which also answers for a while over a dead engine.
    type: bool
    default: true
  api_key:
    description: The key to send, with O(url).
    type: str
  wait_timeout:
    description: Seconds to wait. V(0) looks once and does not fail.
    type: float
    default: 600.0
  token_timeout:
    description: Seconds that the first token may take.
    type: float
    default: 120.0
  request_timeout:
    description: Seconds that any other request may take, with O(url).
    type: float
    default: 5.0
  validate_certs:
    description: Check TLS certificates, with O(url).
    type: bool
    default: true

seealso:
  - module: cortex.vllm.servers
  - module: cortex.vllm.endpoints

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Wait for a declared server
  cortex.vllm.ready:
    name: chat
    wait_timeout: 900

- name: Prove that it gives structured answers and calls tools
  cortex.vllm.ready:
    name: chat
    request: "{{ item }}"
  loop: [json_schema, tool_call]

- name: Wait for a server behind a load balancer
  cortex.vllm.ready:
    url: https://models.example.com
    api_key: "{{ vault_key }}"
    served_model_name: chat
"""

RETURN = r"""
ready:
  description: Whether it gave a token, or what else was asked of it.
  returned: success
  type: bool
  sample: true
state:
  description: V(ready), V(loading), V(failed), V(absent), V(stopped) or V(paused). With O(url) V(ready), V(unhealthy),
    V(unauthorized) or V(unreachable).
  returned: always
  type: str
  sample: ready
phase:
  description: What it is doing while it starts.
  returned: without O(url)
  type: str
  sample: loading weights
percent:
  description: How much of the phase is done, where it can be known.
  returned: without O(url)
  type: float
token:
  description: The text that came back.
  returned: always
  type: str
seconds:
  description: Seconds waited.
  returned: always
  type: float
  sample: 41.5
exit:
  description: Exit state of a dead container.
  returned: without O(url)
  type: dict
diagnosis:
  description: Findings of the diagnosis, and the telling lines of the log.
  returned: when it died
  type: dict
error:
  description: What the last look found wrong.
  returned: always
  type: str
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 1
"""
