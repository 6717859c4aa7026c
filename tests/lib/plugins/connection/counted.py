# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local connection, which writes down everything that crosses it.

With pipelining a module execution is one command and no file: the lines of a host are its remote calls, counted where
they happen and not where they are claimed.
"""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: counted
short_description: Local connection that counts
description: [Executes on this machine and appends one line for each command or file to the file named by PLAY_CALLS.]
author: Cortex vLLM contributors (@cortex)
options:
  host:
    description: Name of the host, for the lines.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(Local):
    transport = "counted"

    def _note(self, kind, begin):
        line = {"host": self.get_option("host"), "kind": kind, "begin": begin, "end": time.time(), "pid": os.getpid()}
        with open(os.environ["PLAY_CALLS"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    def exec_command(self, cmd, in_data=None, sudoable=True):
        begin = time.time()
        try:
            return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        finally:
            self._note("exec", begin)

    def put_file(self, in_path, out_path):
        self._note("put", time.time())
        return super().put_file(in_path, out_path)

    def fetch_file(self, in_path, out_path):
        self._note("fetch", time.time())
        return super().fetch_file(in_path, out_path)
