# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An engine made of data, for tests of what a job does: its containers are inspects, and every call is noted."""

from __future__ import annotations

from ansible_collections.cortex.vllm.plugins.module_utils.connection import DEFAULT_HOST, EngineError

LABEL = "cortex.vllm.server"


class Engine:
    """``trouble``: method to the errors that it raises, one a call; ``late``: those that act before they raise."""

    def __init__(self, **containers):
        self.inspects, self.calls, self.trouble, self.late = {}, [], {}, set()
        self.closed, self.host = 0, DEFAULT_HOST
        self.published = []  # ports of those that run
        for ident, fields in containers.items():
            self.add(ident, **fields)

    def add(self, ident, name, running=True, policy="unless-stopped", label="chat", paused=False, source=None):
        self.inspects[ident] = {
            "Id": ident,
            "Name": "/" + name,
            "Image": "sha256:1",
            "RestartCount": 0,
            "State": {"Running": running, "Restarting": False, "Paused": paused, "ExitCode": 0, "Status": "x"},
            "Config": {"Labels": {LABEL: label} if label else {}, "Env": []},
            "HostConfig": {"RestartPolicy": {"Name": policy}},
            "Mounts": [{"Destination": "/run/cortex-vllm", "Source": source}] if source else [],
        }

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        self.close()

    def close(self):
        self.closed += 1

    def clone(self, timeout=None):
        return self

    def _does(self, what, *given):
        self.calls.append((what,) + given)
        waiting = self.trouble.get(what)
        return waiting.pop(0) if waiting else None

    def _act(self, what, given, change):
        problem = self._does(what, *given)
        if problem is None or what in self.late:
            change()
        if problem is not None:
            raise problem

    def find(self, ident):
        for entry in self.inspects.values():
            if ident in (entry["Id"], entry["Name"].lstrip("/")):
                return entry
        return None

    def containers(self):
        running = [entry for entry in self.inspects.values() if entry["State"]["Running"]]
        return [{"Names": [entry["Name"]], "State": "running", "Ports": self.published} for entry in running]

    def inspect(self, ident):
        problem = self._does("inspect", ident)
        if problem is not None:
            raise problem
        return self.find(ident)

    def rename(self, ident, name):
        found = self.find(ident)
        if found["Name"] == "/" + name:
            raise EngineError("refused", "Renaming a container with the same name as its current name")
        self._act("rename", (ident, name), lambda: found.update(Name="/" + name))

    def start(self, ident):
        self._act("start", (ident,), lambda: self.find(ident)["State"].update(Running=True))

    def stop(self, ident, timeout):
        self._act("stop", (ident,), lambda: self.find(ident)["State"].update(Running=False))

    def kill(self, ident):
        self._act("kill", (ident,), lambda: self.find(ident)["State"].update(Running=False))

    def unpause(self, ident):
        self._act("unpause", (ident,), lambda: self.find(ident)["State"].update(Paused=False))

    def remove(self, ident):
        self._act("remove", (ident,), lambda: self.inspects.pop(ident, None))

    def update(self, ident, body):
        self._act("update", (ident, body), lambda: self.find(ident)["HostConfig"].update(body))

    def processes(self, ident):
        return [7]

    def logs(self, ident, since, tail, follow):
        return b"what it said\n"

    def done(self, *names):
        """The calls of these kinds, in their order."""
        return [call for call in self.calls if call[0] in names]
