# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import difflib
import typing as t
from collections.abc import Iterable, Mapping

DOCUMENTATION = r"""
name: undeclared
short_description: Names that no declaration has
version_added: 0.1.0
description:
  - Says which of the given names of servers stand in none of the given declarations, each with the nearest name that
    does. The playbooks of this collection refuse a typing error in C(vllm_only) with it.
author:
  - Cortex vLLM contributors (@cortex)
positional: declarations
options:
  _input:
    description: Names, as a list or separated by commas.
    type: raw
    required: true
  declarations:
    description: What is declared on each host, as a mapping by name or a list of declarations with C(name).
    type: list
    elements: raw
    required: true
"""

EXAMPLES = r"""
- name: Refuse what no host of the play declares
  ansible.builtin.assert:
    that: strangers == []
    fail_msg: "{{ strangers | join(', ') }}"
  vars:
    strangers: "{{ vllm_only | default([]) | cortex.vllm.undeclared(everywhere) }}"
    everywhere: "{{ ansible_play_hosts_all | map('extract', hostvars, 'vllm_servers') | select('defined') | list }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: One text for each name that is not declared, empty when all are.
  type: list
  elements: str
  sample: ["chta (did you mean chat?)"]
"""


def names_of(declarations: Iterable[t.Any]) -> list[str]:
    """Names of the declared servers of all hosts, each once, in the order in which they come."""
    found: dict[str, None] = {}
    for declared in declarations:
        if isinstance(declared, Mapping):
            found.update(dict.fromkeys(str(name) for name in declared))
        elif isinstance(declared, list | tuple):
            # What has no name is refused on its own host, with its place in the file.
            named = (entry for entry in declared if isinstance(entry, Mapping) and "name" in entry)
            found.update(dict.fromkeys(str(entry["name"]) for entry in named))
    return list(found)


def _some(known: list[str]) -> str:
    listed = sorted(known)[:10]
    return ", ".join(listed) + (f" and {len(known) - 10} more" if len(known) > 10 else "") if known else "none"


def undeclared(names: t.Any, declarations: Iterable[t.Any]) -> list[str]:
    """A text for each of ``names`` that none of the ``declarations`` has."""
    wanted = names.split(",") if isinstance(names, str) else list(names or ())
    known = names_of(declarations)
    texts = []
    for name in dict.fromkeys(str(item).strip() for item in wanted):
        if name and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            told = f"did you mean {near[0]}?" if near else f"declared are {_some(known)}"
            texts.append(f"{name} ({told})")
    return texts


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Any]:
        return {"undeclared": undeclared}
