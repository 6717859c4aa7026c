#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: args

short_description: Render the command line of a vLLM server

version_added: 0.1.0

description:
  - Translates a declaration into what one release of vLLM understands, and returns entrypoint, arguments and
    environment with everything that the checks have to say.
  - With O(vllm_version) nothing is asked of the target. Otherwise the image on the target is asked which release
    it has.
  - O(image) may be left out with O(vllm_version). It is then taken to be the released one of that version.
  - Secrets are not rendered. The names of their environment variables are returned.
extends_documentation_fragment:
  - cortex.vllm._declaration
  - cortex.vllm._declaration.server
  - cortex.vllm._engine
  - cortex.vllm._file
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

options:
  name:
    description: Name of the server. It stands in the rendered paths and in messages.
    type: str
    required: false
    default: server
  image:
    description: Image to run, by tag, digest or id. Required unless O(vllm_version) is given.
    type: str
    required: false
  state_dir:
    description: Directory on the target for what the collection keeps there. It stands in the rendered paths.
    type: path
    default: /var/lib/cortex-vllm
  format:
    description:
      - What to write to O(dest).
      - V(json) is everything. V(env) is the environment, one C(NAME=value) a line, as C(docker run --env-file)
        reads it.
        V(script) is a shell script that becomes the server.
    type: str
    choices: [json, env, script]
    default: json
  mode:
    description: Permissions of O(dest). The default is V(0755) for a script and V(0644) otherwise.
    type: str

seealso:
  - module: cortex.vllm.server

author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
---
- name: What would the command line be on 0.20?
  cortex.vllm.args:
    vllm_version: "0.20.0"
    model: Qwen/Qwen3-0.6B
    engine_args:
      max_model_len: 8192
      enable_log_requests: false
  register: rendered

- name: Write a script for another way of running it
  cortex.vllm.args:
    name: chat
    image: vllm/vllm-openai:v0.32.0
    model: /models/qwen3
    dest: /usr/local/bin/serve-chat
    format: script
"""

RETURN = r"""
entrypoint:
  description: The program, as the image or the release has it.
  returned: success
  type: list
  elements: str
  sample: [vllm, serve]
argv:
  description: The arguments, in a stable order.
  returned: success
  type: list
  elements: str
  sample: [Qwen/Qwen3-0.6B, --max-model-len, "8192"]
command:
  description: RV(entrypoint) and RV(argv) as one line for a shell.
  returned: success
  type: str
  sample: vllm serve Qwen/Qwen3-0.6B --max-model-len 8192
environment:
  description: The environment, without secrets.
  returned: success
  type: dict
  sample: {"HF_HUB_OFFLINE": "1"}
secret_names:
  description: Environment variables whose values are secrets, which are not rendered.
  returned: success
  type: list
  elements: str
vllm_version:
  description: The release for which it was rendered.
  returned: success
  type: str
  sample: 0.32.0
exact:
  description: Whether the catalogue has exactly this release. Otherwise the nearest one was taken.
  returned: success
  type: bool
  sample: true
findings:
  description: What the translation has to say.
  returned: always
  type: list
  elements: dict
ahead:
  description:
    - What the declaration will meet in newer releases, up to the newest known one, nearest first. So that an upgrade
      is planned.
    - It is not about this release. RV(findings) is.
  returned: success
  type: list
  elements: dict
  contains:
    setting:
      description: What was declared.
      returned: always
      type: str
      sample: engine_args.swap_space
    kind:
      description:
        - V(deprecated) works and will go. V(rewritten) is said in the new words by the collection itself.
        - V(removed) and V(refused) must be changed before that release is used. V(warned) should be.
      returned: always
      type: str
      sample: removed
    release:
      description: The release where it begins.
      returned: always
      type: str
      sample: "0.18"
    until:
      description: The last release that says so. None when the newest known one does.
      returned: always
      type: str
    message:
      description: What happens there.
      returned: always
      type: str
      sample: removed in vLLM 0.18
    fix:
      description: What to write instead.
      returned: always
      type: str
      sample: "Delete it: the V1 engine has ignored it since 0.8"
    code:
      description: Code of the finding.
      returned: always
      type: str
      sample: argument.removed
    field:
      description: The field, as findings name it.
      returned: always
      type: str
    server:
      description: Name of the server.
      returned: always
      type: str
dest:
  description: The file that was written.
  returned: with O(dest)
  type: str
remote_calls:
  description: How many calls to the target it took.
  returned: always
  type: int
  sample: 0
"""
