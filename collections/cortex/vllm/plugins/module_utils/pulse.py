# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Whether a server that answers /health really works: are tokens coming while it has requests?

/health only says that the engine's process lives. One that hangs (a collective that never ends) stays at 200
for ever, with requests running and no token.
"""

from __future__ import annotations

import http.client
import re
import time

from ansible_collections.cortex.vllm.plugins.module_utils import probing

POLL = 0.5
ASK_TIMEOUT = 3.0
# vllm/v1/metrics/loggers.py (and vllm/engine/metrics.py before): how many requests there are, and everything that grows
# while any of them is worked on. The iterations move during a long prompt, too.
REQUESTS = ("vllm:num_requests_running", "vllm:num_requests_waiting")
WORK = (
    "vllm:generation_tokens_total", "vllm:prompt_tokens_total", "vllm:iteration_tokens_total_count",
    "vllm:request_success_total",
)  # fmt: skip
SAMPLE = re.compile(r"^(vllm:\w+)(?:\{[^}]*\})?\s+([-+.0-9e]+)", re.MULTILINE)


def sample(probe):
    """``(running, waiting, work)`` of /metrics, or None when it does not say."""
    try:
        status, raw = probing.ask(probe, "/metrics", None, ASK_TIMEOUT)
    except (OSError, http.client.HTTPException):
        return None
    if status != 200:
        return None
    sums = dict.fromkeys(REQUESTS + WORK)
    for name, value in SAMPLE.findall(raw.decode("utf-8", "replace")):
        if name in sums:
            try:
                sums[name] = (sums[name] or 0.0) + float(value)
            except ValueError:
                pass
    if sums[REQUESTS[0]] is None:
        return None
    work = tuple(sums[name] for name in WORK if sums[name] is not None)
    return int(sums[REQUESTS[0]]), int(sums[REQUESTS[1]] or 0), work


def take(probe, key, window, token, token_timeout):
    """``{running, waiting, moved, seconds, token, error}``; never raises.

    ``window``: seconds in which work must be seen while there are requests; ``token``: ``suspect`` asks a server for a
    token that shows none, ``always`` every one, ``never`` none; ``token_timeout``: seconds for it. ``moved``: whether
    work was seen, None without requests or numbers. ``token``: whether it gave one, None when it was not asked.
    """
    begin = time.monotonic()
    answer = {"running": None, "waiting": None, "moved": None, "seconds": 0.0, "token": None, "error": None}
    first = sample(probe)
    if first is not None:
        answer.update(running=first[0], waiting=first[1])
    if first is not None and first[0] + first[1] > 0 and first[2]:
        answer["moved"] = False
        while time.monotonic() - begin < window:
            time.sleep(min(POLL, window))
            now = sample(probe)
            if now is None:
                continue
            answer.update(running=now[0], waiting=now[1])
            if now[2] != first[2] or now[0] + now[1] == 0:
                answer["moved"] = True
                break
    suspicious = answer["moved"] is False
    if probe.get("request", "completion") != "none" and (token == "always" or (token == "suspect" and suspicious)):
        text, error, dummy = probing.token(dict(probe, token_timeout=token_timeout), key)
        answer.update(token=text is not None, error=error)
        if suspicious and text is None:
            # The last word: it may have worked through a long prompt all the while.
            now = sample(probe)
            answer["moved"] = bool(now is not None and now[2] != first[2])
    answer["seconds"] = round(time.monotonic() - begin, 3)
    return answer
