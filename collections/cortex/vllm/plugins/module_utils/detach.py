# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Leaves a job behind that outlives the module, its temporary directory, the connection and the controller."""

from __future__ import annotations

import os
import signal
import time

#: Seconds that systemd may take to move the process.
_MOVED = 2.0


def _open_descriptors():
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except (OSError, ValueError):
        return list(range(3, 4096))


def _cgroups():
    try:
        with open("/proc/self/cgroup") as stream:
            return stream.read()
    except OSError:
        return ""


def _leave_session(unit):
    """Ask systemd for a scope of our own where the login session's would end with the connection.

    logind ends everything in a session's scope at log-out where ``KillUserProcesses=yes`` (logind.conf(5)); ``setsid``
    does not leave it. Where this fails the job runs as before: it then lives as long as the session may.
    """
    if "/user.slice/" not in _cgroups() or os.geteuid() != 0 or not os.path.isdir("/run/systemd/system"):
        return
    # org.freedesktop.systemd1(5), Manager.StartTransientUnit(name, mode, properties, aux); busctl is systemd's own.
    manager = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
    method = ("StartTransientUnit", "ssa(sv)a(sa(sv))", unit + ".scope", "fail")
    properties = ("2", "PIDs", "au", "1", str(os.getpid()), "CollectMode", "s", "inactive-or-failed", "0")
    call = ("busctl", "--system", "call") + manager + method + properties
    try:
        # There is no module any more whose run_command could be taken.
        if os.spawnvp(os.P_WAIT, "busctl", call) != 0:  # pylint: disable=ansible-bad-function
            return
    except OSError:
        return
    until = time.monotonic() + _MOVED
    while "/user.slice/" in _cgroups() and time.monotonic() < until:
        time.sleep(0.005)


def detach(function, keep=(), unit=None):
    """Run ``function()`` in a detached process and return at once, in the caller only.

    The process has its own session, ``/`` as directory, no terminal and no descriptor of ours but those in ``keep``:
    an inherited one would keep the SSH connection, and with it the play, waiting. Everything ``function`` needs must be
    imported already: the module's own files are deleted when the module ends. Raises `OSError` when there is no fork.

    ``unit``: name of the systemd scope that it moves to when it would otherwise end with the login session; by default
    one made of its process id.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    # From here on nothing may return or raise: the stack above us belongs to the module.
    code = 1
    try:
        os.setsid()
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
        # Before the second fork: the caller waits for this process, so the connection cannot end before the move.
        _leave_session(unit or "cortex-vllm-{0}".format(os.getpid()))
        if os.fork():
            os._exit(0)
        function()
        code = 0
    except BaseException:  # the journal tells what went wrong; there is nobody else to tell
        pass
    finally:
        os._exit(code)
