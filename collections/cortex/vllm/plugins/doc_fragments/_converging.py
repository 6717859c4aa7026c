# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

from __future__ import annotations


class ModuleDocFragment:
    # Options of every task that converges declarations.
    DOCUMENTATION = r"""
options:
  update:
    description:
      - Resolve tags, digests and revisions again.
      - Without it an image tag and a model branch stay what they were when the server was last started.
    type: bool
    default: false
  wait:
    description:
      - Follow the work until each server has answered with a token, or has failed.
      - With V(false) the task ends as soon as the job on the target runs. It returns RV(pending), which a later
        task takes as O(follow).
    type: bool
    default: true
  follow:
    description:
      - Follow these jobs and begin nothing. RV(pending) of an earlier task.
      - An empty list ends at once, without asking the host.
      - If one of the jobs died or found that the host had changed, the declarations are converged again.
    type: list
    elements: dict
  registries:
    description:
      - Logins of private registries, by host and port as image references begin with them (V(docker.io) for the Docker
        Hub); each a mapping of C(username) and C(password).
      - They travel to the target as a secret and stay in the memory of the job that pulls. Without one the target's
        own logins count (C(docker login), as the user of the task).
    type: dict
    default: {}
"""
