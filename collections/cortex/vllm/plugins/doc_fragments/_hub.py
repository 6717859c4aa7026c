# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

from __future__ import annotations


class ModuleDocFragment:
    # Options of every task that asks the Hugging Face Hub.
    DOCUMENTATION = r"""
options:
  python:
    description:
      - A Python on the target that has C(huggingface_hub), 0.24 or newer. Without it C(/usr/bin/python3) is taken.
    type: path
  endpoint:
    description: Address of the Hub or of a mirror. Without it the Hub itself.
    type: str
  token:
    description:
      - Token for gated and private models. A secret. It is handed to the one process that downloads, in its
        environment, and is written nowhere.
    type: str
  proxy:
    description:
      - Proxy for the Hub, as a URL. A secret, because it may hold a password. Proxies of the task's C(environment) are
        honoured too.
    type: str
  ca_bundle:
    description: File on the target with the certificates that the endpoint or proxy is trusted by.
    type: path
  workers:
    description: Files to download at the same time.
    type: int
    default: 8

requirements:
  - huggingface_hub 0.24 or newer on the target, for what is downloaded
"""
