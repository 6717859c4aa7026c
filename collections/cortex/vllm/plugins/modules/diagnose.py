#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose

short_description: Say why a vLLM server failed, by its log and its exit state

version_added: 0.1.0

description:
  - Finds the first true error in the log of a server, whichever of its processes wrote it, and says what it means and
    what to change in the declaration, with the numbers of the log.
  - Reads logs of a container on the target, of O(files) on the controller, or a O(text). For files and texts no
    target is
    asked.
  - Takes off what carried a log (timestamps, compose, journald, JSON drivers, colours). Of several starts in
    one log the last
    one is judged. Files may be of any size and compressed with gzip.
  - A server that became ready and did not end is healthy, whatever alarming lines its log has. One that shows
    neither an
    error nor readiness is loading. What nobody knows stays unknown, with the lines that tell most.
  - The codes are those of the checks that could have foreseen it.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.looking

attributes:
  diff_mode:
    support: none
    details:
      - Changes nothing but the archive of O(dest).

options:
  container:
    description:
      - Name of a container on the target, anybody's.
      - Exactly one of O(container), O(name), O(names), O(text) and O(files) is required.
    type: str
  name:
    description: Name of a server that the collection started on the target.
    type: str
  names:
    description: Names of servers that the collection started on the target. An empty list means all of them.
    type: list
    elements: str
  text:
    description: A log.
    type: str
  files:
    description:
      - Files on the controller, each a path, or a mapping with C(path) and C(exit). Relative paths are looked
        up beside the
        playbook, then in the working directory.
      - A file that is missing, empty or no log gets an answer that says so, and the others are answered all the same.
    type: list
    elements: raw
  exit:
    description:
      - How the process ended, when it is known, with O(text) and O(files); an exit code, a mapping with
        C(code), C(oom) and
        C(error) (the engine's words), or the C(State) of C(docker inspect).
      - With O(files) also a list with one entry for each.
    type: raw
  exit_code:
    description: The exit code alone.
    type: int
  oom_killed:
    description: Whether the kernel killed one of its processes for memory.
    type: bool
    aliases:
      - oom
  server:
    description: Name of the declared server, for the paths of fields in the findings.
    type: str
  lines:
    description: Lines that are fetched of a container's log, the last ones.
    type: int
    default: 5000
  show:
    description: Print the answers, in a few lines each.
    type: bool
    default: false
  show_log:
    description: With O(names), print that many lines of the end of each log, values of secrets left out.
    type: int
    default: 0
  dest:
    description:
      - With O(names), an archive (C(.tar.gz)) on the controller to write, or a folder for C(<host>.tar.gz).
      - It holds for each
        server log, inspect, state, journals and diagnosis, and for the host its GPUs, engine, images and versions.
      - Values of secrets are left out, of environments all values.
    type: path
  attach:
    description: What else goes into the archive, by file name, as a plan.
    type: dict
    default: {}

seealso:
  - module: cortex.vllm.ready
  - module: cortex.vllm.servers

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Why did it fail?
  cortex.vllm.diagnose:
    name: chat
    show: true

- name: Bring what there is of all servers of each host
  cortex.vllm.diagnose:
    names: []
    dest: evidence/

- name: Judge logs that somebody sent, without any host
  cortex.vllm.diagnose:
    files:
      - /tmp/logs/first.log
      - path: /tmp/logs/second.log
        exit: {code: 137, oom: true}
  delegate_to: localhost
  register: logs

- name: What are they?
  ansible.builtin.debug:
    msg: "{{ logs.diagnoses | map(attribute='code') }}"
"""

RETURN = r"""
diagnoses:
  description: One answer for each file, in the order of the question; one for a container or a text.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file, as given.
      returned: with O(files)
      type: str
    container:
      description: The container.
      returned: with O(container) and O(name)
      type: str
    code:
      description: The cause, as in C(docs/diagnosis.md). None when the server is healthy or loads.
      returned: always
      type: str
      sample: memory.kv-cache-length
    state:
      description: V(healthy), V(failed), V(loading), V(stopped) or V(unknown) (it is no such log).
      returned: always
      type: str
      sample: failed
    healthy:
      description: Whether the log shows a server that became ready and did not end.
      returned: always
      type: bool
    evidence:
      description: The lines of the log that the answer rests on, without prefixes.
      returned: always
      type: str
    explanation:
      description: What is wrong, with the numbers of the log, and why that happens.
      returned: always
      type: str
    fix:
      description: What to change.
      returned: always
      type: str
      sample: Lower engine_args.max_model_len to 61424.
    field:
      description: The field of the declaration to change, where there is one.
      returned: always
      type: str
    findings:
      description: The cause, and what else is certain, as the checks tell it.
      returned: always
      type: list
      elements: dict
    telling:
      description: The lines that tell most, at most twelve.
      returned: always
      type: list
      elements: str
    releases:
      description: vLLM releases whose source has these words, or V(any) when they are not vLLM's.
      returned: always
      type: str
      sample: 0.7 … 0.33
    source:
      description: Where the words come from.
      returned: always
      type: str
      sample: vllm/v1/core/kv_cache_utils.py
    version:
      description: The release that the log names.
      returned: always
      type: str
      sample: 0.32.0
    starts:
      description: How many starts the log holds. The last one is judged.
      returned: always
      type: int
      sample: 1
    notes:
      description: What else a person should know, as what became of the start before.
      returned: always
      type: list
      elements: str
    lines:
      description: How many lines the log had.
      returned: with O(files) and O(text)
      type: int
    exit:
      description: How the container ended; none while it runs.
      returned: with O(container) and O(name)
      type: dict
    restarts:
      description: How often the engine restarted the container.
      returned: with O(container) and O(name)
      type: int
code:
  description: As in RV(diagnoses). Like the other keys of an answer it is there as well when there is one answer.
  returned: when there is one answer
  type: str
healthy:
  description: As in RV(diagnoses).
  returned: when there is one answer
  type: bool
archive:
  description: The archive that was written.
  returned: with O(names)
  type: str
archived:
  description: The files in it.
  returned: when it was written
  type: list
  elements: str
summary:
  description: The answers for a person.
  returned: success
  type: list
  elements: str
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 1
"""
