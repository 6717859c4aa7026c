# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The children of a vLLM server: sleeping processes with the names that process checks look for."""

from __future__ import annotations

import ctypes
import os
import signal
import typing as t


def _rename(title: str) -> None:
    """Make ``ps`` show ``title`` as setproctitle does: overwrite the argument area, set the kernel's name."""
    with open("/proc/self/stat", encoding="utf-8") as handle:
        fields = handle.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, fields 48 and 49 of proc(5)
    text = title.encode()[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))
    ctypes.CDLL(None).prctl(15, title.encode()[:15], 0, 0, 0)  # PR_SET_NAME


def _sleep(title: str) -> t.NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.closerange(3, 1024)  # the bound port above all: vLLM spawns its children, they inherit nothing
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: never outlive the server
    try:
        _rename(title)
    except (OSError, ValueError):
        pass  # a name is all that is lost
    while True:
        signal.pause()


class Children:
    """Starts, watches and ends the children. Fork before any thread runs."""

    def __init__(self) -> None:
        self.pids: t.Dict[str, int] = {}

    def start(self, title: str) -> int:
        """Fork a child called ``title``; its pid."""
        pid = os.fork()
        if pid == 0:
            _sleep(title)
        self.pids[title] = pid
        return pid

    def dead(self) -> t.Optional[t.Tuple[str, int]]:
        """Title and wait status of a child that has ended, or None."""
        for title, pid in list(self.pids.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self.pids[title]
                return title, status
        return None

    def end(self) -> None:
        """Kill those that still run and reap them."""
        for pid in self.pids.values():
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        self.pids.clear()
