# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Leaves a job behind that outlives the module, its temporary directory, the connection and the controller."""

from __future__ import annotations

import os
import signal


def _open_descriptors():
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except (OSError, ValueError):
        return list(range(3, 4096))


def detach(function, keep=()):
    """Run ``function()`` in a detached process and return at once, in the caller only.

    The process has its own session, ``/`` as directory, no terminal and no descriptor of ours but those in ``keep``:
    an inherited one would keep the SSH connection, and with it the play, waiting. Everything ``function`` needs must be
    imported already: the module's own files are deleted when the module ends. Raises `OSError` when there is no fork.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    # From here on nothing may return or raise: the stack above us belongs to the module.
    code = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir("/")
        os.umask(0o022)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        for descriptor in _open_descriptors():
            if descriptor > 2 and descriptor not in keep:
                try:
                    os.close(descriptor)
                except OSError:
                    pass  # the one that listed them
        function()
        code = 0
    except BaseException:  # the journal tells what went wrong; there is nobody else to tell
        pass
    finally:
        os._exit(code)
