# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""A measurement of collectives: what is run, and what follows from what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: As a server has it, and the control: the same without peer to peer.
CONFIGURED, CONTROL = "configured", "p2p_off"
#: Bytes: a sum that fits one message of the low latency protocol, and sizes that take the others.
SIZES = (4, 65536, 16777216)


def arms(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Variables of each arm. Everything talks over the loopback interface: the container has no other."""
    common = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo"}
    configured = {**environment, **common}
    return {CONFIGURED: configured, CONTROL: {**configured, "NCCL_P2P_DISABLE": "1"}}


def script(options: Mapping[str, Any]) -> str:
    """The program for the image."""
    source = Path(__file__).with_name("measure.py").read_text(encoding="utf-8")
    return f"{source}\n\nmain(json.loads({json.dumps(json.dumps(dict(options)))}))\n"


def judge(measured: Mapping[str, Any]) -> dict[str, str]:
    """``verdict`` (``p2p-works``, ``p2p-broken``, ``inconclusive``) and a ``message``.

    Only a control that works makes a failure of the other arm the fault of peer to peer.
    """
    found = measured.get("arms") or {}
    configured, control = found.get(CONFIGURED) or {}, found.get(CONTROL) or {}
    if control.get("state") != "ok":
        what = control.get("message") or "it did not run"
        return {"verdict": "inconclusive", "message": f"without peer to peer it fails as well: {what}"}
    if configured.get("state") == "ok":
        return {"verdict": "p2p-works", "message": "all sums are right, with and without peer to peer"}
    words = {"hang": "hangs", "wrong": "returns wrong sums", "error": "fails"}
    word = words.get(str(configured.get("state")), "fails")
    return {"verdict": "p2p-broken", "message": f"it {word} with peer to peer: {configured.get('message')}"}
