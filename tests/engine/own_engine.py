# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dockerd of its own for tests that break or restart one: in a network namespace, so that nothing else is touched.

NVIDIA's hook is on its PATH as ``gpu_hook``; what the file ``says`` holds, it fails with.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time

import hands

HOOKS = hands.HERE / "gpu_hook"


class OwnEngine:
    """Started by `start`, gone with all its containers after `end`; its network is none."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        self.socket, self.says, self.log = f"{folder}/docker.sock", folder / "says", folder / "dockerd.log"

    def start(self):
        command = [
            "unshare", "--net", "dockerd", "--host", f"unix://{self.socket}", "--data-root", f"{self.folder}/data",
            "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid", "--bridge", "none",
            "--iptables=false", "--group", "root",
        ]  # fmt: skip
        environment = {**os.environ, "PATH": f"{HOOKS}:{os.environ['PATH']}", "CORTEX_TEST_HOOK": str(self.says)}
        with open(self.log, "wb") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        deadline = time.monotonic() + 90
        while "API listen on" not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None and time.monotonic() < deadline, self.tail()
            time.sleep(0.1)

    def stop(self):
        """As a host that shuts down: the engine stops its containers and ends."""
        self.process.terminate()
        self.process.wait(90)

    def end(self):
        self.says.unlink(missing_ok=True)
        if self.process.poll() is None:
            self.stop()
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(str(self.folder)):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:]
