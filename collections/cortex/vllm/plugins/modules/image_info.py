#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info

short_description: Say which vLLM is in an image, and which arguments it takes

version_added: 0.1.0

description:
  - Finds out which release of vLLM an image on the target has. The first that says it counts. That is O(vllm_version),
    what the target remembers of this image, the image's labels and environment, the files of the installed package,
    which are read without starting anything, and the installed Python itself, asked in a one-off container without GPU
    and without network. The tag is the last resort, because anybody can tag anything.
  - When the collection does not know the release, such as a nightly or a build of one's own, the image's own parser is
    asked for its arguments, once, in such a container. That imports vLLM and takes 10 to 60 seconds, told as progress.
  - The target remembers the answers by the identity of the image. M(cortex.vllm.servers) asks by itself where it is
    needed; this task is for looking at an image beforehand.
  - In check mode nothing is started, and only what is known already is told.
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
      - Does not change anything that runs.

options:
  image:
    description: The image, by tag, digest or identifier. It must be on the target.
    type: str
    required: true
  vllm_version:
    description: The release, when you know it better than the image says.
    type: str
  parser:
    description:
      - Return the arguments that the image takes in RV(arguments), and ask its own parser for them even when the
        collection knows the release.
    type: bool
    default: false

seealso:
  - module: cortex.vllm.args
  - module: cortex.vllm.servers

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Which vLLM is this
  cortex.vllm.image_info:
    image: registry.example.com/team/vllm:latest
  register: inside

- name: Stop here when it is too old
  ansible.builtin.assert:
    that: inside.vllm_version is version('0.11.0', '>=')

- name: Ask a nightly build for its arguments
  cortex.vllm.image_info:
    image: vllm/vllm-openai:nightly
    parser: true
  register: nightly
"""

RETURN = r"""
image_id:
  description: Identity of the image.
  returned: success
  type: str
  sample: sha256:6c1f2b
vllm_version:
  description: Release of vLLM in it; none when nothing says it.
  returned: success
  type: str
  sample: 0.32.0
version_source:
  description: What said it. V(declared), V(label), V(environment), V(installed) (its files), V(asked) (its Python),
    V(tag) or V(none).
  returned: success
  type: str
  sample: installed
packages:
  description: Versions of V(transformers) and V(torch) in it, read from their files. Empty when nothing says them, and
    in check mode unless the target remembers them.
  returned: success
  type: dict
  sample: {transformers: 5.16.1, torch: 2.10.0+cu129}
catalogued:
  description: Whether the collection has data of exactly this release.
  returned: success
  type: bool
  sample: true
exact:
  description: Whether arguments are rendered for exactly what is in the image, by the collection's data or by its own
    parser.
  returned: success
  type: bool
  sample: true
rendered_for:
  description: The release whose arguments are rendered.
  returned: success
  type: str
  sample: 0.32.0
entrypoint:
  description: Entrypoint of the image.
  returned: success
  type: list
  elements: str
  sample: [vllm, serve]
user:
  description: User of the image; empty is root.
  returned: success
  type: str
labels:
  description: Labels of the image.
  returned: success
  type: dict
cuda:
  description: C(version) of CUDA that the image brings, and C(required), the least that it asks of the driver. None
    where the image does not say.
  returned: success
  type: dict
  sample: {version: 12.9.1, required: "12.9"}
size:
  description: Size in bytes.
  returned: success
  type: int
architecture:
  description: Processor architecture that it is built for.
  returned: success
  type: str
  sample: amd64
arguments:
  description: The options of its parser by name, with aliases, kind, type, choices and default.
  returned: with O(parser)
  type: dict
problems:
  description: Why the image could not be asked.
  returned: success
  type: list
  elements: str
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 2
"""
