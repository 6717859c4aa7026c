#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoints

short_description: Ask many vLLM servers at once

version_added: 0.1.0

description:
  - Asks servers over HTTP from the controller, all at once, for their health, served names, version and a few
    numbers of C(/metrics).
  - A server that cannot be reached is an answer and no failure, unless O(fail_on_unhealthy).
extends_documentation_fragment:
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.looking

options:
  endpoints:
    description:
      - The servers. Each has C(url), and may have C(name) and C(api_key).
      - Further keys are kept in the answer, and shown in the table when they are columns of it. With
        C(outside=false) the server is not asked.
    type: list
    elements: dict
    required: true
  request_timeout:
    description: Seconds that one request may take.
    type: float
    default: 5.0
  limit:
    description: Servers asked at the same time.
    type: int
    default: 64
  validate_certs:
    description: Check TLS certificates.
    type: bool
    default: true
  ca_path:
    description: Bundle of certificate authorities, a file on the controller.
    type: path
  use_proxy:
    description: Use the proxies of the controller's environment.
    type: bool
    default: true
  hosts:
    description:
      - Names of hosts that the table must not pass over in silence.
      - One that no endpoint names as its C(host) gets a row that says so. It was unreachable, failed, or declares
        nothing.
    type: list
    elements: str
    default: []
  table:
    description: Print the answers as a table.
    type: bool
    default: false
  fail_on_unhealthy:
    description: Fail when a server does not answer as it should.
    type: bool
    default: false

seealso:
  - module: cortex.vllm.ready

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Are they all well?
  cortex.vllm.endpoints:
    endpoints:
      - {name: chat, url: "http://gpu1:8000", api_key: "{{ vault_key }}"}
      - {name: embed, url: "http://gpu2:8000"}
    table: true
    fail_on_unhealthy: true
"""

RETURN = r"""
endpoints:
  description: The answers, in the order of the question, without keys.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: As given.
      returned: always
      type: str
    url:
      description: As given, without C(/v1) at its end.
      returned: always
      type: str
    answers:
      description: V(ready), V(unhealthy), V(unauthorized) or V(unreachable).
      returned: when it was asked
      type: str
      sample: ready
    http:
      description: Status of C(/health).
      returned: when it was asked
      type: int
      sample: 200
    seconds:
      description: Seconds that C(/health) took.
      returned: when it was asked
      type: float
    models:
      description: The served names.
      returned: when it was asked
      type: list
      elements: str
      sample: [chat]
    version:
      description: The vLLM release.
      returned: when it was asked
      type: str
      sample: 0.32.0
    metrics:
      description: Requests running and waiting, and the share of the KV cache in use.
      returned: when it was asked
      type: dict
      sample: {"running": 2, "waiting": 0, "kv_cache": 0.11}
    error:
      description: What was wrong.
      returned: when it was asked
      type: str
"""
