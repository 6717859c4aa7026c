#!/usr/bin/python
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: model_info
short_description: Prove that a model is complete on a host
version_added: 0.1.0
description:
  - Looks at the files of a model in the cache of the Hugging Face Hub, in a directory, or in a GGUF file, without
    loading it and without asking the network.
  - Follows a revision to its commit, every link of the snapshot to its file, and the list of shards to each of them.
    The length of each safetensors file is compared with what its header says, so a download that was cut is found.
  - An incomplete model is not an error of the task, unless O(require=true).
extends_documentation_fragment:
  - cortex.vllm._attributes
attributes:
  check_mode:
    support: full
    details:
      - The module only reads.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  model:
    description:
      - A model's id on the Hub, an absolute directory, or an absolute C(.gguf) file, of a split one any shard.
    type: str
    required: true
  revision:
    description:
      - Branch, tag or commit of a model of the Hub.
      - Without it V(main) is looked for.
    type: str
  hub_cache:
    description:
      - The directory that holds C(models--org--name).
      - Without it the cache of the user that the task runs as is used, as C(HF_HUB_CACHE) and C(HF_HOME) say.
    type: path
  require:
    description: Fail when the model is not complete.
    type: bool
    default: false
author:
  - Cortex vLLM contributors (@cortex-vllm)
seealso:
  - module: cortex.vllm.servers
"""

EXAMPLES = r"""
- name: Is the model there, and all of it?
  cortex.vllm.model_info:
    model: Qwen/Qwen3-0.6B
    revision: main
    hub_cache: /srv/huggingface/hub
  register: look

- name: Show what is missing
  ansible.builtin.debug:
    msg: "{{ look.problems | map(attribute='message') | list }}"

- name: Stop the play when a directory does not hold a whole model
  cortex.vllm.model_info:
    model: /srv/models/Llama-3.3-70B-Instruct
    require: true
"""

RETURN = r"""
status:
  description: V(complete), V(incomplete), V(absent) or V(unreadable).
  type: str
  returned: always
  sample: complete
format:
  description: V(safetensors), V(gguf), V(torch), or none without weights.
  type: str
  returned: always
  sample: safetensors
path:
  description: The snapshot, directory or file that was looked at.
  type: str
  returned: always
  sample: /srv/huggingface/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de289a04d12100db370d81485cdf75e47ca
commit:
  description: The commit of a model of the Hub.
  type: str
  returned: always
  sample: c1899de289a04d12100db370d81485cdf75e47ca
bytes:
  description: Size of the weights.
  type: int
  returned: always
  sample: 1503300328
files:
  description: Number of weight files that there should be.
  type: int
  returned: always
  sample: 1
config:
  description: The model's C(config.json); none when there is none.
  type: dict
  returned: always
  sample:
    model_type: qwen3
tokenizer:
  description: Whether a tokenizer is there.
  type: bool
  returned: always
  sample: true
chat_template:
  description: Whether a chat template is there.
  type: bool
  returned: always
  sample: true
problems:
  description: What is wrong with the files.
  type: list
  elements: dict
  returned: always
  contains:
    code:
      description:
        - The code of a finding, such as V(model.absent), V(model.shard-missing) or V(model.weights-corrupt). The
          project's page on troubleshooting has all of them.
      type: str
      sample: model.weights-corrupt
    severity:
      description: V(error) when the model cannot be loaded like this, else V(warning).
      type: str
      sample: error
    message:
      description: What is wrong.
      type: str
      sample: model-00002-of-00004.safetensors has 1048576 of 4977222960 bytes
    path:
      description: The file or directory.
      type: str
      sample: /srv/models/x/model-00002-of-00004.safetensors
    fix:
      description: What to do.
      type: str
      sample: download the model again into this place
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cortex.vllm.plugins.module_utils import model_files


def main():
    module = AnsibleModule(
        argument_spec={
            "model": {"type": "str", "required": True},
            "revision": {"type": "str"},
            "hub_cache": {"type": "path"},
            "require": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    answer = model_files.look(params["model"], params["revision"], params["hub_cache"])
    if params["require"] and answer["status"] != "complete":
        wrong = ["{message}; {fix}".format(**entry) for entry in answer["problems"] if entry["severity"] == "error"]
        module.fail_json(msg="the model is {0}: {1}".format(answer["status"], ". ".join(wrong)), **answer)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
