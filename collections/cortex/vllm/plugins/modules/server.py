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
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.actiongroup_vllm

attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full

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
  description: The row of RV(servers) of this server.
  returned: always, once the host was seen
  type: dict
servers:
  description: What was planned and done, by name of the server.
  returned: always, once the host was seen
  type: dict
  contains:
    action:
      description: What was done. In check mode, what would be done.
      returned: always
      type: str
      sample: replace
    state:
      description: How the server was found.
      returned: always
      type: str
      sample: ready
    differences:
      description: The fields that differ, each with what is and what is planned.
      returned: always
      type: list
      elements: dict
    findings:
      description: What the checks have to say about it.
      returned: always
      type: list
      elements: dict
    ahead:
      description: What newer releases of vLLM will say to the declaration. See RV(cortex.vllm.args#module:ahead).
      returned: in check mode, when the image is known
      type: list
      elements: dict
    result:
      description: How the job ended, V(ok), V(failed) or V(rolled_back).
      returned: when something was done and followed
      type: str
      sample: ok
    container_id:
      description: The container that serves now.
      returned: when one was created
      type: str
    generation:
      description: The generation that was committed.
      returned: when one was committed
      type: str
      sample: 3f2a9c0d1e5b
    seconds:
      description: Seconds until the first token.
      returned: when it became ready
      type: float
      sample: 41.5
    token:
      description: The text that came back.
      returned: when it became ready
      type: str
    downtime:
      description: Seconds from the last request that the old server took to the first token of the new one.
      returned: after a replacement
      type: float
    spent:
      description: What the downtime was spent on, in seconds, in its order. The parts add up to it.
      returned: after a replacement
      type: dict
      sample: {"stop": 1.1, "gpu memory": 0.6, "create": 0.4, "importing": 11.2, "loading weights": 5.3, "token": 0.2}
    phases:
      description: Seconds that each phase of the start took.
      returned: when it became ready
      type: dict
    drained:
      description: Whether the old server ended by itself, its requests answered, before it would have been killed.
      returned: after a stop
      type: bool
    gpu_memory:
      description: Seconds that the driver took to give the memory of its GPUs back, and whether it did (C(free)).
      returned: after a stop, on hosts with nvidia-smi
      type: dict
    diagnosis:
      description: Findings of the diagnosis, and the telling lines of the log.
      returned: when it failed
      type: dict
    evidence:
      description: Directory on the target with log and inspect of the failed container.
      returned: when it failed
      type: str
pending:
  description: The jobs that run. What O(follow) of a later task takes.
  returned: always
  type: list
  elements: dict
  contains:
    server:
      description: Name of the server.
      returned: always
      type: str
    job:
      description: Identity of the job.
      returned: always
      type: str
    offset:
      description: How much of its journal has been read, in bytes.
      returned: always
      type: int
    action:
      description: What the job does.
      returned: always
      type: str
    limit:
      description: Seconds after which it must be over.
      returned: always
      type: float
findings:
  description: Everything that the checks and the diagnosis have to say.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the finding. What C(accept) takes.
      returned: always
      type: str
      sample: argument.unknown
    severity:
      description: V(error), V(warning) or V(info).
      returned: always
      type: str
      sample: error
    message:
      description: What is wrong.
      returned: always
      type: str
    field:
      description: The field to change.
      returned: when there is one
      type: str
      sample: vllm_servers[chat].engine_args.max_model_len
    fix:
      description: What to write instead.
      returned: when it is known
      type: str
    server:
      description: Name of the server.
      returned: when it belongs to one
      type: str
starts:
  description: Servers that are started or updated in place without disturbing anybody, or are loading already.
  returned: when the host was planned
  type: list
  elements: str
  sample: [chat]
disrupts:
  description: Servers that run and are to be replaced, restarted, stopped or removed.
  returned: when the host was planned
  type: list
  elements: str
unwell:
  description: Servers that run and have failed, and may not be restarted.
  returned: when the host was planned
  type: list
  elements: str
todo:
  description: Which of RV(starts), RV(disrupts) and RV(unwell) name any server. What plays sort hosts by.
  returned: when the host was planned
  type: list
  elements: str
  sample: [starts]
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
  description: One row for each declared server, as it was found. What the playbook C(cortex.vllm.status) shows.
  returned: when the host was planned
  type: list
  elements: dict
  sample: [{"server": "chat", "host": "gpu1", "state": "running", "phase": "ready", "health": "200", "release":
    "0.32.0",
    "uptime": "2 h 05 min", "restarts": 0, "model": "Qwen/Qwen3-0.6B", "url": "http://127.0.0.1:8000", "outside":
    false, "drift": ""}]
remote_calls:
  description: How many calls to the target it took. A converge that finds nothing to do takes one.
  returned: always
  type: int
  sample: 1
"""
