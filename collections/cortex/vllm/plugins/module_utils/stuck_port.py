# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""A port that Docker keeps although no container has it any more, and how it is freed.

An engine that is killed while it starts a container finds the container's endpoint when it comes back, opens its port
once more, and forgets the endpoint, not the port: every later start is refused with "port is already allocated", and
``docker-proxy`` listens for an address that nobody has (seen with 26.1.5, in 3 of 27 kills at random moments around a
start; the same words are reported of other releases, e.g. moby issue 20486). Disconnecting or removing containers does
not free it. A start of the engine in order does, and costs nothing while no container runs.
"""

from __future__ import annotations

import os
import re

from ansible_collections.cortex.vllm.plugins.module_utils import locks, ports
from ansible_collections.cortex.vllm.plugins.module_utils.connection import DEFAULT_HOST, EngineError

UNIT = "docker.service"
SYSTEMD = "/run/systemd/system"  # sd_booted(3)
ALLOCATED = re.compile(r"Bind for \S+:(?P<port>\d+) failed: port is already allocated")
ALIVE = ("running", "paused", "restarting")


def port_of(message):
    """The port that the engine says it has given away already, or None."""
    found = ALLOCATED.search(message or "")
    return int(found.group("port")) if found else None


def free(engine, message, run_command, state_dir, server):
    """Restart the engine if that is all that a refused start needs; returns the port that is free now, else None.

    ``message``: the engine's refusal; ``server``: whose job this is. Raises `EngineError` (``port``) where the engine
    keeps the port for nobody, but must not be restarted here.
    """
    port = port_of(message)
    if port is None:
        return None
    containers = engine.containers()
    if any(number == port for dummy, number, dummy_name in ports.published(containers)):
        return None  # somebody really has it, and the planner's finding says who
    reason = _in_the_way(engine, containers, run_command, state_dir, server)
    if reason:
        raise EngineError(
            "port",
            "the engine keeps port {0} for a container that is gone, until it is restarted (systemctl restart docker);"
            " that is not done here, because {1}".format(port, reason),
        )
    # One that was killed a few times may have used up its starts (StartLimitBurst), and would stay down now.
    run_command(["systemctl", "reset-failed", UNIT])
    code, dummy, err = run_command(["systemctl", "restart", UNIT])
    if code != 0:
        raise EngineError(
            "port",
            "the engine keeps port {0} for a container that is gone, and it could not be restarted: {1}".format(
                port, (err or "").strip() or "exit {0}".format(code)
            ),
        )
    return port


def _in_the_way(engine, containers, run_command, state_dir, server):
    """Why the engine must not be restarted now, or None."""
    alive = sorted((c.get("Names") or ["?"])[0].lstrip("/") for c in containers if c.get("State") in ALIVE)
    if alive:
        return "it would end what runs: {0}".format(", ".join(alive))
    if engine.host != DEFAULT_HOST:
        return "docker_host is not this system's own engine"
    busy = _busy(state_dir, server)
    if busy:
        return "another job works on {0}".format(busy)
    # Without systemd there may be no systemctl, which `run_command` answers with the end of the module.
    if run_command is None or not os.path.isdir(SYSTEMD) or run_command(["systemctl", "is-active", UNIT])[0] != 0:
        return "systemd does not run it here as {0}".format(UNIT)
    return None


def _busy(state_dir, server):
    """A server of this host on which another job works right now, or None."""
    own = os.path.basename(locks.path_of(state_dir, "server-" + server))
    folder = os.path.join(state_dir, "locks")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name.startswith("server-") and name != own and locks.holder(os.path.join(folder, name))["held"]:
            return name[len("server-") : -len(".lock")]
    return None
