#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: servers

short_description: Converge all vLLM servers of a host

version_added: 0.1.0

description:
  - Proves on the controller that every declaration will work on this host, then starts, replaces and stops what
    differs, all in one task.
  - A replacement is a transaction that runs on the target. The old server is stopped and kept until the new one
    has answered with a token.
    If that fails, the old one is started again and verified, also when the controller is gone by then.
  - A finding of severity V(error) refuses the change before anything is touched.
  - A converge that finds nothing to do is exactly one call to the target.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._converging
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

options:
  servers:
    description:
      - The servers of the host, a mapping by name, or a list whose entries have a C(name).
      - The fields of each are the options of M(cortex.vllm.server).
    type: raw
    default: {}
  defaults:
    description: Fields for every declaration that does not say them itself.
    type: dict
    default: {}
  only:
    description: Names of the servers to touch. Empty means all. The others are seen all the same.
    type: list
    elements: str
    default: []
  prune:
    description:
      - What becomes of our servers on the host that nobody declares any more.
      - V(ignore) does not mention them, V(report) does, V(remove) stops and removes them.
    type: str
    choices: [ignore, report, remove]
    default: report
  state:
    description:
      - Overrides the C(state) of every declaration that O(only) leaves in.
      - V(restarted) restarts servers as they are. Changed declarations and moved images wait for the next converge;
        what is declared stopped, or is not there, stays so.
    type: str
    choices: [started, restarted, stopped, absent]
  holds:
    description:
      - What is left alone on this host, whichever server it belongs to. A list of mappings with C(reason), and
        maybe C(until) (a date or time, ISO 8601, UTC) and C(gpus) (indexes or UUIDs). Without C(gpus) it is the whole
        host.
      - Servers under a hold are neither started nor stopped nor replaced nor removed. A count of GPUs is never served
        with a held one.
    type: raw
    default: []
  plan:
    description:
      - A plan on the controller that was kept by the playbook C(cortex.vllm.check) (C(-e vllm_plan_out=FILE)).
      - Where something else would be done now, because a declaration, the host or an image changed since, nothing is
        touched, and the task fails with the finding V(plan.changed).
    type: path
  steps:
    description:
      - What may be done. The plan always sees everything.
      - V(prefetch) fetches missing images. V(start) begins what disturbs nobody. V(replace) also restarts and
        recovers.
      - An empty list looks only, and does not fail for a declaration that would not work.
    type: list
    elements: str
    choices: [prefetch, start, replace, stop, remove]
    default: [prefetch, start, replace, stop, remove]
  pulse:
    description:
      - Whether all servers that have requests are watched for tokens, as M(cortex.vllm.watchdog) does it, for ten
        seconds at most.
      - Servers that declare C(restart_when_hung) are watched in any case.
    type: bool
    default: false
  contract:
    description:
      - Also judge the host itself, whatever is declared. Driver, libraries, fabric manager and container toolkit agree,
        CDI specifications are current, GPUs are healthy and held by nobody else.
      - It reads more than a converge needs, the kernel's messages among it.
      - The container toolkit is proven by a container that gets all GPUs and lists them, in check mode too. It runs for
        a second in an image that is there, has no network, takes no memory of a GPU and is removed. What it showed is
        remembered for this driver, toolkit, engine, boot and image.
    type: bool
    default: false
  contract_image:
    description:
      - Image in which O(contract) proves the container toolkit. It needs a shell, and is never pulled.
      - Left out, it is the image of the first declared server with GPUs whose image is on the host. V(none) proves
        nothing.
    type: str
  accept:
    description: Codes of findings that a person has decided to live with, for all declarations.
    type: list
    elements: str
    default: []

seealso:
  - module: cortex.vllm.server
  - module: cortex.vllm.ready

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Converge what the inventory declares
  cortex.vllm.servers:
    servers: "{{ vllm_servers }}"
    defaults: "{{ vllm_server_defaults | default({}) }}"

- name: Two servers on one GPU each
  cortex.vllm.servers:
    defaults:
      image: vllm/vllm-openai:v0.32.0
    servers:
      chat:
        model: Qwen/Qwen3-0.6B
        gpus: [0]
        server_port: 8000
      embed:
        model: BAAI/bge-m3
        gpus: [1]
        server_port: 8001

- name: Restart one server as it is
  cortex.vllm.servers:
    servers: "{{ vllm_servers }}"
    only: [chat]
    state: restarted

- name: Leave GPU 3 alone, whoever uses it
  cortex.vllm.servers:
    servers: "{{ vllm_servers }}"
    holds:
      - reason: waits for its replacement
        until: "2026-12-31"
        gpus: [3]

- name: Begin on every host, without holding a fork while models load
  cortex.vllm.servers:
    servers: "{{ vllm_servers }}"
    wait: false
  register: begun

- name: Follow
  cortex.vllm.servers:
    servers: "{{ vllm_servers }}"
    follow: "{{ begun.pending }}"
"""

RETURN = r"""
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
toolkit:
  description:
    - What came of the proof of the container toolkit by a container. V(proven) is none where it could not be made, and
      V(message) says why. None where there was nothing to prove.
  returned: with O(contract)
  type: dict
  sample: {image: "vllm/vllm-openai:v0.32.0", proven: true, message: ""}
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
  description: The declared servers that O(only) leaves in.
  returned: when the host was planned
  type: list
  elements: str
spans:
  description:
    - Declared models of this host that span others, by name. C(hosts) in the order of their ranks, this host's C(rank),
      the C(key) that all of them must have in common, whether there is something C(todo) here, whether it is C(held)
      here, and whether what runs C(waits) to be stopped on all hosts before it is started on any.
  returned: when the host was planned
  type: dict
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
