# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The host's clock against the controller's."""

from __future__ import annotations

from ..findings import Finding
from .context import Findings, Host

#: Seconds. TLS to the Hub and holds with an expiry go wrong far later; 2 min is what NTP never shows.
LIMIT = 120.0


def check(host: Host) -> Findings:
    """Certificates and the expiry of holds are judged by the host's clock."""
    there = host.observation.host.get("time")
    if host.now is None or not isinstance(there, (int, float)):
        return
    apart = there - host.now
    if abs(apart) > LIMIT:
        word = "ahead of" if apart > 0 else "behind"
        yield Finding(
            "host.clock",
            "warning",
            f"the clock is {abs(apart):.0f} s {word} the controller's",
            fix="Let both keep time (chrony or systemd-timesyncd).",
        )
