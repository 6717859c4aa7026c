#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_info

short_description: Say what is in a bundle, and prove each byte of it

version_added: 0.1.0

description:
  - Reads a bundle that M(cortex.vllm.bundle) wrote, on the target, and compares every file with the size and sha256 in
    its manifest. Each file that differs or is missing is named.
extends_documentation_fragment:
  - cortex.vllm._engine
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.looking

attributes:
  check_mode:
    support: full
    details:
      - Only the manifest is read.

options:
  path:
    description: Directory of the bundle on the target.
    type: path
    required: true
  verify:
    description: Read all files. Otherwise the manifest alone.
    type: bool
    default: true
  require:
    description: Fail when a file differs. Otherwise RV(sound) says so.
    type: bool
    default: true
  manifest_sha256:
    description: The sha256 that M(cortex.vllm.bundle) told; another manifest is refused.
    type: str

seealso:
  - module: cortex.vllm.bundle
  - module: cortex.vllm.restore

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Prove the medium that was carried over
  cortex.vllm.bundle_info:
    path: /mnt/bundle
    manifest_sha256: 5d6f4f0b3c1f3a0f7b7d9a3a1b3e0f6c9c2b7a6d5e4f30213141516171819200
"""

RETURN = r"""
sound:
  description: Whether each file is what the manifest says.
  returned: success
  type: bool
manifest_sha256:
  description: The sha256 of the manifest.
  returned: success
  type: str
created:
  description: When the bundle was written, in UTC.
  returned: success
  type: str
  sample: "2026-11-26T12:00:00Z"
collection_version:
  description: Version of the collection that wrote it.
  returned: success
  type: str
  sample: 0.1.0
files:
  description: How many files it has.
  returned: success
  type: int
bytes:
  description: Size of its files.
  returned: success
  type: int
images:
  description: Its images with C(ref), C(id), C(names) (digests in registries) and C(architecture).
  returned: success
  type: list
  elements: dict
models:
  description: Its models with C(model), C(revision) and C(commit).
  returned: success
  type: list
  elements: dict
others:
  description: Its further files, such as wheels and packages.
  returned: success
  type: list
  elements: str
findings:
  description: Each file that is not what the manifest says.
  returned: success
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 2
"""
