#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: watchdog

short_description: Find servers that do not work although they look as if they did

version_added: 0.1.0

description:
  - Looks at all declared servers of one host at once and says how each is, in one word. Changes nothing.
  - A server that answers C(/health) with 200 may hang all the same. One that has requests is watched until a token
    comes, and when none comes within O(window) it is asked for one itself.
  - Also found are servers whose engine died, that are started over and over, that ended, that answer for another model
    than the declared one, and that are not there.
  - To have a hanging server restarted, declare C(restart_when_hung); M(cortex.vllm.servers) then looks the same way.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.looking

options:
  servers:
    description: The declarations of the host, as M(cortex.vllm.servers) takes them.
    type: raw
    default: {}
  defaults:
    description: What all of them have unless they say otherwise.
    type: dict
    default: {}
  only:
    description: Names of the servers to judge. All by default.
    type: list
    elements: str
    default: []
  window:
    description: Seconds in which a server that has requests must show work. Once it does it is watched no longer.
    type: float
    default: 10.0
  token:
    description: Whom to ask for a token. V(suspect) asks servers that have requests and show no work, V(always) all of
      them, V(never) none.
    type: str
    choices: [suspect, always, never]
    default: suspect
  token_timeout:
    description: Seconds that such a token may take.
    type: float
    default: 30.0
  fail:
    description: Whether the task fails when a server needs somebody.
    type: bool
    default: true

seealso:
  - module: cortex.vllm.ready
  - module: cortex.vllm.servers

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
- name: Nothing hangs
  cortex.vllm.watchdog:
    servers: "{{ vllm_servers }}"
    defaults: "{{ vllm_server_defaults | default({}) }}"

- name: Ask each for a token, and go on whatever comes
  cortex.vllm.watchdog:
    servers:
      chat:
        image: vllm/vllm-openai:v0.32.0
        model: /srv/models/qwen
    token: always
    token_timeout: 5
    fail: false
  register: watched
"""

RETURN = r"""
servers:
  description: One row for each server, as in RV(cortex.vllm.servers#module:status). C(verdict) says how it is,
    C(trouble) why.
  returned: always
  type: list
  elements: dict
  sample: [{"server": "chat", "verdict": "hung", "trouble": "/health answers 200, but 3 requests run, 0 wait, and no
    token comes for 40 s"}]
unwell:
  description: Names of those that need somebody.
  returned: always
  type: list
  elements: str
  sample: [chat]
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 1
"""
