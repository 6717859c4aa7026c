#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: model_info

short_description: Prove that a model is complete on a host

version_added: 0.1.0

description:
  - Looks at the files of a model in the cache of the Hugging Face Hub, in a directory, or in GGUF files, without
    loading it and without asking the network. It is one call, which reads names, lengths, headers and metadata.
  - Follows a revision to its commit as the Hub's own library does, every link of the snapshot to its file, and the list
    of shards to each of them. The length and tensors of each safetensors and GGUF file are compared with its header, so
    a download that was cut is found.
  - Tokenizer, chat template, processor, code that comes with the model, and sentence-transformers modules are looked
    for where the model needs them.
  - With O(verify=true) every byte is hashed as well, in a job of its own on the target that is followed with its
    progress.
  - An incomplete model is not an error of the task, unless O(require=true).
extends_documentation_fragment:
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action

attributes:
  check_mode:
    support: full
    details:
      - Only reads.
  diff_mode:
    support: none
    details:
      - Does not change anything.
  idempotent:
    support: full

options:
  model:
    description:
      - A model's id on the Hub, also with a quantization such as V(org/name-GGUF:Q4_K_M), an absolute directory, or an
        absolute C(.gguf) file, of a split one any shard.
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
      - Without it the cache of the user that the task runs as is used, as E(HF_HUB_CACHE), E(HUGGINGFACE_HUB_CACHE) and
        E(HF_HOME) say.
    type: path
  role:
    description:
      - What the place is looked at for. V(tokenizer), V(config) and V(generation) need no weights, V(draft) needs no
        tokenizer, V(adapter) is a LoRA adapter, and V(file) one file that is to be there.
    type: str
    default: model
    choices:
      - model
      - draft
      - tokenizer
      - config
      - generation
      - adapter
      - file
  needs_tokenizer:
    description: Whether it is an error that no tokenizer is there. Write V(false) when the server is given another one.
    type: bool
    default: true
  verify:
    description:
      - Hash every file and compare it with the etag by which the Hub named it.
      - Takes as long as reading the model does. Files without a known hash are named in RV(verification).
    type: bool
    default: false
  require:
    description: Fail when the model is not complete.
    type: bool
    default: false
  state_dir:
    description: Directory on the target for what the collection keeps there, with O(verify=true).
    type: path
    default: /var/lib/cortex-vllm

seealso:
  - module: cortex.vllm.model
  - module: cortex.vllm.servers

author:
  - Cortex vLLM contributors (@cortex-vllm)
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

- name: Is every byte what the Hub says it is?
  cortex.vllm.model_info:
    model: Qwen/Qwen3-0.6B
    hub_cache: /srv/huggingface/hub
    verify: true
    require: true

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
tokenizer_kind:
  description:
    - V(fast), V(tekken), V(sentencepiece), V(slow), V(tiktoken), V(gguf) when it is in the GGUF file, V(remote-code)
      when only the model's own code knows it, or none.
  type: str
  returned: always
  sample: fast
tensors:
  description: What the headers of all weight files add up to; none for files without headers.
  type: dict
  returned: always
  contains:
    count:
      description: Number of tensors.
      type: int
      sample: 311
    parameters:
      description: Number of elements.
      type: int
      sample: 751632384
    dtypes:
      description: Bytes for each data type.
      type: dict
      sample:
        BF16: 1503264768
gguf:
  description: Metadata of a GGUF file.
  type: dict
  returned: always
  sample:
    architecture: llama
    quantization: Q4_K
    tokenizer: gpt2
code:
  description: Code that comes with the model, by classes, files and other repositories; none when there is none.
  type: dict
  returned: always
adapter:
  description: Base model and rank of a LoRA adapter.
  type: dict
  returned: always
multimodal:
  description: Whether the model takes more than text.
  type: bool
  returned: always
  sample: false
pooling:
  description: Whether it is a model of sentence-transformers.
  type: bool
  returned: always
  sample: false
access:
  description: How files are protected, one entry for each owner and mode, so that one can see who may read them.
  type: list
  elements: dict
  returned: always
  sample:
    - kind: weights
      uid: 0
      gid: 0
      mode: "0644"
      path: /srv/models/x/model.safetensors
      files: 4
links:
  description:
    - Links that leave the model's directory or cache, one entry for each directory that they lead to. A container that
      is shown nothing but the directory or cache does not find their targets.
  type: list
  elements: dict
  returned: always
  sample:
    - kind: weights
      path: /srv/models/x/model.safetensors
      target: /data/blobs/model.safetensors
      files: 4
place:
  description: Type, free and total bytes of the file system that the model is on.
  type: dict
  returned: always
  sample:
    type: ext4
    free: 812345678901
tokenizer_copy:
  description: The tokenizer that M(cortex.vllm.model) copied there, and where; none when it did not.
  type: dict
  returned: always
verification:
  description: What hashing found; none without O(verify=true).
  type: dict
  returned: always
  contains:
    verified:
      description: Files whose hash is right.
      type: int
      sample: 12
    bytes:
      description: Bytes that were hashed.
      type: int
      sample: 1519194432
    unverifiable:
      description: Files without a known hash.
      type: list
      elements: str
      sample: []
    problems:
      description: As in RV(problems).
      type: list
      elements: dict
      sample: []
remote_calls:
  description: How often the target was called.
  type: int
  returned: always
  sample: 1
"""
