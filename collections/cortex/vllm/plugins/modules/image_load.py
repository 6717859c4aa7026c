#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: image_load

short_description: Have the images of a tar in a host's engine

version_added: 0.1.0

description:
  - Loads images from a tar that C(docker save) wrote, or C(podman save) and C(skopeo copy) in the format
    C(docker-archive). No bundle and no registry is needed.
  - An image that the engine has by its id is left alone, and nothing is sent for it. Tags of the tar that are missing
    are given.
  - A tar loses which digest an image has in its registry. With O(digests) the target remembers it, so that a
    declaration by digest finds the image.
extends_documentation_fragment:
  - cortex.vllm._engine
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

options:
  path:
    description:
      - The tar, on the controller, or with O(remote_src) on the target. A compressed one is read in full each time.
    type: path
    required: true
  remote_src:
    description:
      - The tar lies on the target and is read from there. Otherwise it is sent over the connection in parts; an
        interruption costs one part.
    type: bool
    default: false
  images:
    description:
      - Tags or ids of images, where not all of the tar are wanted. The engine loads a tar as a whole all the same.
    type: list
    elements: str
  digests:
    description:
      - For an image of the tar, by its tag or id, the digest that it has in its registry, as C(repository@sha256:...).
        C(docker image inspect) tells it where the image was saved, as C(RepoDigests). Nobody can prove it from the tar.
    type: dict
    default: {}
  sha256:
    description: The sha256 of the tar; another content is refused before it is loaded.
    type: str
  part_size:
    description: Bytes of a part, when the tar is sent over the connection.
    type: int
    default: 134217728
  state_dir:
    description: Directory on the target for what the collection keeps there.
    type: path
    default: /var/lib/cortex-vllm

requirements:
  - Python 3.11 or newer and pydantic 2 on the controller
seealso:
  - module: cortex.vllm.restore
  - module: cortex.vllm.image_info

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: Load an image that came on a disk
  cortex.vllm.image_load:
    path: /srv/images/vllm-openai-0.32.0.tar

- name: Load it where it lies on the hosts, and remember its digest
  cortex.vllm.image_load:
    path: /mnt/share/vllm-openai-0.32.0.tar
    remote_src: true
    digests:
      vllm/vllm-openai:v0.32.0: vllm/vllm-openai@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"""

RETURN = r"""
images:
  description: The images, with C(id), C(tags) and C(digests), and C(image), the name to declare.
  returned: success
  type: list
  elements: dict
done:
  description: What was done, or would be.
  returned: success
  type: list
  elements: str
sent:
  description: Bytes that went over the connection.
  returned: success
  type: int
findings:
  description: Always empty; what is wrong fails the task.
  returned: success
  type: list
  elements: dict
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 1
"""
