# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Whether the processes of a container do anything at all: what they computed and read, from ``/proc``."""

from __future__ import annotations

import os
import time

# Between two samples; a sample reads two small files for each process.
PERIOD = 10.0
# Less than this share of one core is a process that waits.
BUSY = 0.03
# Fewer bytes than this are no reading of weights.
READING = 1 << 20


def _children(pid):
    found = []
    try:
        for task in os.listdir("/proc/{0}/task".format(pid)):
            with open("/proc/{0}/task/{1}/children".format(pid, task), "rb") as stream:
                found += [int(word) for word in stream.read().split()]
    except (OSError, ValueError):
        pass
    return found


def family(pid):
    """The process and everything below it; empty when there is none here (an engine on another host)."""
    found, waiting = [], [pid] if pid and os.path.isdir("/proc/{0}".format(pid)) else []
    while waiting and len(found) < 2000:
        one = waiting.pop()
        found.append(one)
        waiting += _children(one)
    return found


def _used(pid):
    """``(CPU seconds, bytes read)`` of one process."""
    with open("/proc/{0}/stat".format(pid), "rb") as stream:
        fields = stream.read().rpartition(b")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    read = 0
    try:
        with open("/proc/{0}/io".format(pid), "rb") as stream:
            # rchar counts what came from the page cache too, which is what a warm start reads.
            read = int(stream.readline().split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return ticks / float(os.sysconf("SC_CLK_TCK")), read


class Meter:
    """Looks now and then. ``moved`` and ``read``: when (monotonic) it last computed or read, and when it last read."""

    def __init__(self, pid):
        self.moved = self.read = time.monotonic()
        self.blind = False  # nothing can be said: nobody may conclude that nothing moves
        self._pid, self._before, self._at = pid, None, 0.0

    def look(self):
        """Take a sample if it is time for one."""
        now = time.monotonic()
        if now - self._at < PERIOD:
            return
        computed = read = 0
        processes = family(self._pid)
        for pid in processes:
            try:
                one = _used(pid)
            except (OSError, ValueError, IndexError):
                continue  # it ended meanwhile
            computed, read = computed + one[0], read + one[1]
        self.blind = not processes
        before, elapsed = self._before, now - self._at
        self._before, self._at = (computed, read), now
        # Sums fall when a process ends: then something has happened, too.
        if before is None or computed < before[0] or computed - before[0] > BUSY * elapsed:
            self.moved = now
        if before is None or abs(read - before[1]) > READING:
            self.moved = self.read = now
