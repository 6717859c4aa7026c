# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""community.docker's connection into a container, which writes down everything that crosses it."""

from __future__ import annotations

import json
import os
import time

from ansible_collections.community.docker.plugins.connection.docker import Connection as Docker

# Ansible reads options from a plugin's own text: these are the ones that the class it inherits asks for.
DOCUMENTATION = """
name: counted_docker
short_description: Connection into a container that counts
description: [Executes in a container and appends one line for each command or file to the file named by PLAY_CALLS.]
author: Cortex vLLM contributors (@cortex)
options:
  host:
    description: Name of the host, for the lines.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
  remote_addr:
    description: Name of the container.
    vars:
      - name: ansible_host
  remote_user:
    description: User in the container.
  docker_extra_args:
    description: Further arguments of the docker command.
    default: ''
  container_timeout:
    description: Seconds to wait for a prompt.
    type: int
    default: 10
  extra_env:
    description: Further environment.
    type: dict
  working_dir:
    description: Directory to execute in.
  privileged:
    description: Execute with all capabilities.
    type: bool
    default: false
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(Docker):
    transport = "counted_docker"

    def _note(self, kind):
        line = {"host": self.get_option("host"), "kind": kind, "begin": time.time()}
        with open(os.environ["PLAY_CALLS"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    def exec_command(self, cmd, in_data=None, sudoable=False):
        self._note("exec")
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path, out_path):
        self._note("put")
        return super().put_file(in_path, out_path)

    def fetch_file(self, in_path, out_path):
        self._note("fetch")
        return super().fetch_file(in_path, out_path)
