#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle

short_description: Write a bundle of images and models for a site without a network

version_added: 0.1.0

description:
  - Writes into a directory of the target what an air-gapped site needs. Images are saved as the engine has them, models
    with the files that their revision needs, each content once, and a manifest has size and sha256 of every file.
  - What lies in the directories C(collection), C(wheels), C(packages) and C(execution-environment) of the bundle is
    taken into the manifest as it is. The playbook C(cortex.vllm.bundle) puts the collection, the controller's Python
    packages and the hosts' distribution packages there.
  - Images that the target lacks are pulled, models that its cache lacks are downloaded, when O(pull) and O(download)
    allow it. The content of each file of the Hub is compared with its name in the cache on the way.
  - An interrupted run continues. A bundle that is up to date stays as it is, and files that nothing names any more are
    removed from its directories C(images) and C(blobs).
  - A bundle has plain files only, no links, so any medium that takes large files can carry it.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._hub
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

attributes:
  check_mode:
    support: full
    details:
      - Nothing is pulled, downloaded or written.

options:
  path:
    description: Directory of the bundle on the target.
    type: path
    required: true
  declarations:
    description:
      - Declarations whose images and models to take, as a list of mappings with C(servers) and C(defaults), one for
        each host. Tokenizers and draft models from the Hub are taken too.
    type: list
    elements: raw
    default: []
  images:
    description: Further images, by tag or digest.
    type: list
    elements: str
    default: []
  models:
    description:
      - Further models, as C(org/name) or as mappings of C(model), C(revision) and C(hub_cache). A path is a directory
        or a C(.gguf) file of the target and is restored to the same path.
    type: list
    elements: raw
    default: []
  hub_cache:
    description: Cache on the target to take models from and to download into, whatever the declarations name.
    type: path
  pull:
    description: Whether images that the target lacks are pulled.
    type: bool
    default: true
  download:
    description: Whether models that the target's cache lacks are downloaded.
    type: bool
    default: true
  all_files:
    description:
      - Take every file of a revision. Without it weights in other formats beside safetensors, and exports for other
        programs, are left out, and RV(left_out) lists them.
    type: bool
    default: false
  collection:
    description:
      - Put an archive of this collection, as C(ansible-galaxy) installs it, and the definition of its execution
        environment into the bundle.
    type: bool
    default: false
  registries:
    description:
      - Logins of private registries, by host and port; each a mapping of C(username) and C(password). Secrets.
    type: dict
    default: {}

seealso:
  - module: cortex.vllm.bundle_info
  - module: cortex.vllm.restore

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Write what a site's hosts declare
  cortex.vllm.bundle:
    path: /srv/bundle
    declarations:
      - servers: "{{ vllm_servers }}"
        defaults: "{{ vllm_server_defaults | default({}) }}"
    token: "{{ lookup('ansible.builtin.env', 'HF_TOKEN') | default(omit, true) }}"
  register: bundle

- name: Write one image by digest and one model at a commit
  cortex.vllm.bundle:
    path: /srv/bundle
    images:
      - vllm/vllm-openai@sha256:6766ce0c459e24b76f3e9ba14ffc0442131ef4248c904efdcbf0d89e38be01fe
    models:
      - model: Qwen/Qwen3-0.6B
        revision: c1899de289a04d12100db370d81485cdf75e47ca
"""

RETURN = r"""
path:
  description: The bundle.
  returned: success
  type: str
  sample: /srv/bundle
manifest_sha256:
  description: The sha256 of its manifest. Told to who restores it, it proves all of the bundle.
  returned: success
  type: str
bytes:
  description: Size of its files.
  returned: success
  type: int
images:
  description: The images in it.
  returned: success
  type: list
  elements: str
models:
  description: The models in it, each with its commit.
  returned: success
  type: list
  elements: str
  sample: [Qwen/Qwen3-0.6B@c1899de289a04d12100db370d81485cdf75e47ca]
left_out:
  description: Files of the revisions that no server reads.
  returned: success
  type: list
  elements: str
fetched:
  description: What was pulled and downloaded for it.
  returned: success
  type: list
  elements: str
written:
  description: What was new or has changed.
  returned: success
  type: list
  elements: str
removed:
  description: Files that nothing named any more.
  returned: success
  type: list
  elements: str
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 2
"""
