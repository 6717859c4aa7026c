# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Reads weights into the page cache while the old server still answers, so that the new one finds them in memory.

Never at the expense of what runs: with the least priority, only as far as memory is available, and no further once the
host is short of it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time

ENDINGS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
CHUNK = 8 << 20
# Memory that is left to everybody else: a tenth, and at least this much.
RESERVE = 2 << 30
# How often (in bytes) it is looked at again.
LOOK = 256 << 20
# Share of time (percent, over ten seconds) that processes waited for memory; more means that it is short.
PRESSURE = 5.0
# ioprio_set(2): no wrapper in any libc. IOPRIO_WHO_PROCESS is 1, the idle class is 3.
IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


def files_of(path):
    """``[(path, bytes)]`` of the weights of a directory or of one file, in the order in which they are loaded."""
    if os.path.isfile(path):
        folder, name = os.path.split(path)
        # Further shards of a GGUF file lie beside it: name-00001-of-00003.gguf.
        stem, dash, rest = name.rpartition("-00001-of-")
        names = [name] if not dash else sorted(n for n in os.listdir(folder) if n.startswith(stem) and n.endswith(rest))
    else:
        folder = path
        names = sorted(name for name in os.listdir(path) if name.endswith(ENDINGS))
        for ending in ENDINGS:  # only one of several formats is loaded
            chosen = [name for name in names if name.endswith(ending)]
            if chosen:
                names = chosen
                break
    found = []
    for name in names:
        whole = os.path.join(folder, name)
        try:
            found.append((whole, os.stat(whole).st_size))
        except OSError:
            pass  # a dangling link: the checks have said so
    return found


def memory():
    """``(total, available)`` bytes; (0, 0) when the kernel does not say."""
    values = {}
    try:
        with open("/proc/meminfo", "rb") as stream:
            for line in stream:
                key, dummy, rest = line.partition(b":")
                values[key] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return values.get(b"MemTotal", 0), values.get(b"MemAvailable", 0)


def _pressed():
    try:
        with open("/proc/pressure/memory", "rb") as stream:
            return float(stream.readline().split(b"avg10=")[1].split()[0]) > PRESSURE
    except (OSError, ValueError, IndexError):
        return False  # no pressure accounting in this kernel: the available memory alone decides


def _least_priority():
    """For this thread alone: the processor and the disk serve everybody else first."""
    try:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, 19)
        number = IOPRIO_SET.get(platform.machine())
        if number:
            ctypes.CDLL(None).syscall(number, 1, thread, 3 << 13)
    except (OSError, AttributeError, ValueError):
        pass  # it is a courtesy


class Warmer(threading.Thread):
    """``run()`` reads; ``result`` afterwards: ``{bytes, total, seconds, stopped}``.

    ``stopped``: None, ``memory`` (there is not enough), ``pressure`` (the host became short of it), ``time`` or
    ``unreadable``. ``tell(done, total)``: called at each further tenth.
    """

    def __init__(self, path, limit, tell):
        super().__init__(name="warm", daemon=True)
        self.result = {"bytes": 0, "total": 0, "seconds": 0.0, "stopped": None}
        self._path, self._limit, self._tell = path, limit, tell

    def run(self):
        _least_priority()
        begin = time.monotonic()
        try:
            self.result["stopped"] = self._read(begin + self._limit)
        except OSError:
            self.result["stopped"] = "unreadable"
        self.result["seconds"] = round(time.monotonic() - begin, 3)

    def _read(self, deadline):
        files = files_of(self._path)
        total = self.result["total"] = sum(size for dummy, size in files)
        everything, available = memory()
        reserve = max(RESERVE, everything // 10)
        if available <= reserve:
            return "memory"
        # What is in the cache already is available memory too: it is not read twice from the disk, only once more.
        room = available - reserve
        buffer = bytearray(CHUNK)
        tenth, looked = 0, 0
        for path, size in files:
            if self.result["bytes"] + size > room:
                return "memory"  # half a shard helps nobody
            with open(path, "rb", buffering=0) as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
                while True:
                    count = stream.readinto(buffer)
                    if not count:
                        break
                    self.result["bytes"] += count
                    looked += count
                    if total and self.result["bytes"] * 10 // total > tenth:
                        tenth = self.result["bytes"] * 10 // total
                        self._tell(self.result["bytes"], total)
                    if looked >= LOOK:
                        looked = 0
                        if memory()[1] <= reserve // 2 or _pressed():
                            return "pressure"
                        if time.monotonic() > deadline:
                            return "time"
        return None
