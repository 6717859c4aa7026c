# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dockerd of its own for tests that break or restart one: in a network namespace, so that nothing else is touched.

NVIDIA's hook is on its PATH as ``gpu_hook``; what the file ``says`` holds, it fails with.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import shutil
import subprocess
import threading
import time

import hands

HOOKS = hands.HERE / "gpu_hook"


class OwnEngine:
    """Started by `start`, gone with all its containers after `end`; its network is none."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        self.socket, self.says, self.log = f"{folder}/docker.sock", folder / "says", folder / "dockerd.log"

    def start(self, **variables):
        """``variables``: of the environment of the engine, its proxies for example."""
        command = [
            "unshare", "--net", "dockerd", "--host", f"unix://{self.socket}", "--data-root", f"{self.folder}/data",
            "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid", "--bridge", "none",
            "--iptables=false", "--group", "root",
        ]  # fmt: skip
        environment = {**os.environ, "PATH": f"{HOOKS}:{os.environ['PATH']}", "CORTEX_TEST_HOOK": str(self.says)}
        environment.update(variables)
        with open(self.log, "wb") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        deadline = time.monotonic() + 90
        while "API listen on" not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None and time.monotonic() < deadline, self.tail()
            time.sleep(0.1)

    def within(self, function):
        """Call a function where the engine's network is; returns what it returns. Sockets stay where they were made."""
        found = []

        def inside():
            with open(f"/proc/{self.process.pid}/ns/net") as space:
                problem = ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0x40000000)  # CLONE_NEWNET
                assert problem == 0, os.strerror(ctypes.get_errno())
            found.append(function())

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        return found[0]

    def loopback(self):
        """Its one interface, which is down as in every new network namespace."""
        self.within(lambda: subprocess.run(["ip", "link", "set", "lo", "up"], check=True))

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
