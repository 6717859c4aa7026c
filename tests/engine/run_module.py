# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the private module as a target would, under the interpreter that has the distribution's Docker SDK.

Arguments come on standard input as JSON. The controller's ansible-core is only appended to the path: what the target's
Python has itself wins, as it does on a real host.
"""

from __future__ import annotations

import importlib
import os
import sys

repository, site_packages, module = sys.argv[1:4]
sys.path[:0] = [os.path.join(repository, "collections")]
sys.path.append(site_packages)

from ansible.module_utils import basic

basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
importlib.import_module("ansible_collections.cortex.vllm.plugins.modules." + module).main()
