# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

from __future__ import annotations


class ModuleDocFragment:
    # How the target reaches its container engine. Every task with these options is a member of the action group.
    DOCUMENTATION = r"""
options:
  docker_host:
    description:
      - Where the engine listens, as seen from the target.
      - A socket of Podman's Docker-compatible service works as well.
    type: str
    default: unix:///var/run/docker.sock
  tls:
    description: Speak TLS with the engine. For V(tcp://) addresses.
    type: bool
    default: false
  tls_ca:
    description: Certificate authority that signed the engine's certificate; a file on the target.
    type: path
  tls_cert:
    description: Certificate of the client; a file on the target.
    type: path
  tls_key:
    description: Key of the client's certificate; a file on the target.
    type: path
  tls_verify:
    description: Check the certificate of the engine.
    type: bool
    default: true
  timeout:
    description: Seconds that one call of the engine's API may take.
    type: float
    default: 60.0

attributes:
  action_group:
    description: Use C(group/cortex.vllm.vllm) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - cortex.vllm.vllm

requirements:
  - Docker SDK for Python 5.0 or newer on the target (package V(python3-docker) of the distribution)
"""
