#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: restore

short_description: Bring images and models of a bundle to a host

version_added: 0.1.0

description:
  - Loads images of a bundle into the target's engine, and writes models of it into the target's Hugging Face cache,
    with links and refs as C(huggingface_hub) writes them, or into their directory.
  - What is there already is skipped. What was interrupted continues, down to the part of a file that was under way.
  - Every file is hashed on the target before anything can see it. A file that is not what the manifest says is refused
    by name; an image of it is not loaded, and a revision with such a file gets no ref.
  - An image that was loaded from a file has no digest. The target remembers which digests it stands for, so that a
    declaration by digest finds it, also with V(never) for C(pull).
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

options:
  path:
    description:
      - Directory of the bundle, on the controller, or with O(remote_src) on the target. One of this, O(store) and
        O(lent) is required.
    type: path
  store:
    description:
      - A Hugging Face cache that the target can read, such as a mounted one, to copy models from instead of a bundle.
        The content of each file is compared with its name there.
    type: path
  lent:
    description:
      - What M(cortex.vllm.lend) returned as C(lent). The target takes those models from the host that lends them, over
        HTTP, and proves each content by its name; an interruption costs nothing that has arrived.
    type: dict
  token:
    description: The token with which they are lent. A secret.
    type: str
  remote_src:
    description:
      - The bundle lies on the target, on a mounted medium or a shared store, and is read from there. Otherwise its
        files are sent over the connection, in parts.
    type: bool
    default: false
  servers:
    description: Declarations of the host. What they need is restored, as far as the bundle has it.
    type: raw
  defaults:
    description: Fields for every declaration.
    type: dict
  images:
    description: Images to restore, by tag or digest. With it or O(models) nothing else is restored.
    type: list
    elements: str
  models:
    description: Models to restore, as C(org/name) or as mappings of C(model), C(revision) and C(hub_cache).
    type: list
    elements: raw
  more:
    description: Further models beside those that O(servers) need, in the same forms as O(models).
    type: list
    elements: raw
    default: []
  hub_cache:
    description:
      - Cache on the target, whatever the declarations name. Without it the declaration's own, and
        C(/root/.cache/huggingface/hub) for what no declaration places.
    type: path
  verify:
    description: Hash again what is there already, and bring anew what differs.
    type: bool
    default: false
  part_size:
    description: Bytes of a part, when files are sent over the connection.
    type: int
    default: 134217728
  manifest_sha256:
    description: The sha256 that M(cortex.vllm.bundle) told; another manifest is refused.
    type: str

seealso:
  - module: cortex.vllm.bundle
  - module: cortex.vllm.bundle_info
  - module: cortex.vllm.lend

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Restore what this host declares
  cortex.vllm.restore:
    path: /srv/bundle
    servers: "{{ vllm_servers }}"
    defaults: "{{ vllm_server_defaults | default({}) }}"
  throttle: 4

- name: Restore one model from a store that the hosts mount
  cortex.vllm.restore:
    path: /mnt/store/bundle
    remote_src: true
    models: [Qwen/Qwen3-0.6B]

- name: Copy what this host declares from a shared cache
  cortex.vllm.restore:
    store: /mnt/store/hub
    servers: "{{ vllm_servers }}"
"""

RETURN = r"""
images:
  description: The images that were chosen.
  returned: success
  type: list
  elements: str
models:
  description: The models that were chosen.
  returned: success
  type: list
  elements: str
needed:
  description: The same as mappings of C(model), C(revision) and C(hub_cache), as M(cortex.vllm.model_info) takes
    them, and C(role), what it is for.
  returned: success
  type: list
  elements: dict
placed:
  description: What was done, or would be.
  returned: success
  type: list
  elements: str
sent:
  description: Bytes that went over the connection.
  returned: success
  type: int
lacking:
  description: What declarations need and the bundle does not hold.
  returned: success
  type: list
  elements: str
findings:
  description: What there is to say.
  returned: success
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 1
"""
