#!/usr/bin/python
#
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: model

short_description: Make a model complete on a host, without a network

version_added: 0.1.0

description:
  - Brings together what a host or a store that it has mounted already holds. Copies a tokenizer or configuration beside
    weights that came without, repairs refs of the Hub cache, and copies or links a model from a shared store.
  - A model that is complete is left alone. That is one call. Copying is done in a job of its own on the target, which
    is followed with its progress. Each file appears whole or not at all, and a task that was interrupted goes on
    where it stopped.
  - Nothing is downloaded.
  - The task fails when the model is not complete afterwards, with the same findings as M(cortex.vllm.model_info).
extends_documentation_fragment:
  - cortex.vllm._state_dir
  - cortex.vllm._attributes
  - cortex.vllm._attributes.action
  - cortex.vllm._attributes.converging

attributes:
  check_mode:
    support: full
    details:
      - Tells what would be done. Whether the model would be complete then is not judged.

options:
  model:
    description:
      - The model that is to be complete, as a server is told it. It is an id on the Hub, an absolute directory, or an
        absolute C(.gguf) file.
    type: str
    required: true
  revision:
    description: Branch, tag or commit of a model of the Hub; V(main) when it is left out.
    type: str
  hub_cache:
    description:
      - The hub cache of the host, for a model of the Hub and for O(tokenizer_from) and O(config_from).
      - Without it the cache of the user that the task runs as is used.
    type: path
  source:
    description:
      - A store on the host, such as a network mount, from which the model is taken.
      - For a model of the Hub it is another hub cache, of which the asked revision alone is taken. For a path it is the
        directory that holds the files.
    type: path
  method:
    description:
      - Whether files of O(source) are copied, or linked without needing space. Hard links need one file system.
      - There are no symbolic links, because a container does not see where they lead.
    type: str
    default: copy
    choices:
      - copy
      - hardlink
  tokenizer_from:
    description:
      - A directory, or an id in O(hub_cache), whose tokenizer is copied beside the weights.
      - A server whose declaration names this id as its C(tokenizer) uses the copy.
    type: str
  tokenizer_revision:
    description: Branch, tag or commit of O(tokenizer_from), when it is an id.
    type: str
  tokenizer_id:
    description: The id that the tokenizer has on the Hub, when O(tokenizer_from) is a directory.
    type: str
  config_from:
    description: A directory, or an id in O(hub_cache), whose configuration is copied beside the weights.
    type: str
  config_revision:
    description: Branch, tag or commit of O(config_from), when it is an id.
    type: str
  repair:
    description:
      - Whether refs of the Hub cache that hold a newline or garbage are written again. One that holds no commit is
        written when the cache has only one snapshot, else the task says what there is.
    type: bool
    default: true
  remove_unused:
    description:
      - Whether snapshots are removed that no ref names, that are not O(revision), and that no server of the host has on
        record, with the files that only they use.
    type: bool
    default: false
  keep:
    description: Commits that O(remove_unused) leaves alone.
    type: list
    elements: str
    default: []
  role:
    description: What the place has to be complete as, see M(cortex.vllm.model_info).
    type: str
    default: model
    choices:
      - model
      - draft
      - tokenizer
      - adapter
  needs_tokenizer:
    description: Whether it is an error that no tokenizer is there afterwards.
    type: bool
    default: true
  verify:
    description: Hash every file afterwards and compare it with the etag by which the Hub named it.
    type: bool
    default: false

seealso:
  - module: cortex.vllm.model_info
  - module: cortex.vllm.servers

author:
  - Cortex vLLM contributors (@cortex-vllm)
"""

EXAMPLES = r"""
- name: A GGUF file gets the tokenizer of the original model, which the hub cache has
  cortex.vllm.model:
    model: /srv/models/tinyllama/tinyllama-1.1b-chat.Q4_K_M.gguf
    tokenizer_from: TinyLlama/TinyLlama-1.1B-Chat-v1.0
    hub_cache: /srv/huggingface/hub

- name: The same from a directory that somebody carried here
  cortex.vllm.model:
    model: /srv/models/tinyllama/tinyllama-1.1b-chat.Q4_K_M.gguf
    tokenizer_from: /media/usb/TinyLlama-1.1B-Chat-v1.0
    tokenizer_id: TinyLlama/TinyLlama-1.1B-Chat-v1.0

- name: A model comes from the site's network store, and every byte is checked
  cortex.vllm.model:
    model: Qwen/Qwen3-0.6B
    hub_cache: /srv/huggingface/hub
    source: /net/models/hub
    verify: true

- name: Refs are repaired, and what no ref and no server uses goes
  cortex.vllm.model:
    model: Qwen/Qwen3-0.6B
    hub_cache: /srv/huggingface/hub
    remove_unused: true
"""

RETURN = r"""
steps:
  description: What was done, or would be.
  type: list
  elements: dict
  returned: success
  contains:
    do:
      description: V(copy), V(hardlink), V(link), V(write) or V(remove).
      type: str
      sample: copy
    path:
      description: What was made or removed.
      type: str
      sample: /srv/models/tinyllama/tokenizer.json
    source:
      description: Where it came from.
      type: str
      sample: /media/usb/TinyLlama-1.1B-Chat-v1.0/tokenizer.json
    bytes:
      description: Its size.
      type: int
      sample: 1842767
  sample: []
verification:
  description: As M(cortex.vllm.model_info) returns it.
  type: dict
  returned: success
status:
  description: V(complete), and in check mode what the model is now. All other values of M(cortex.vllm.model_info) too.
  type: str
  returned: success
  sample: complete
path:
  description: The snapshot, directory or file.
  type: str
  returned: success
  sample: /srv/models/tinyllama/tinyllama-1.1b-chat.Q4_K_M.gguf
problems:
  description: What is still to be said about the files.
  type: list
  elements: dict
  returned: success
  sample: []
remote_calls:
  description: How often the target was called.
  type: int
  returned: always
  sample: 1
"""
