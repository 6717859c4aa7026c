# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Runs inside of a server's image: sums over all GPUs (or, on the CPU, over processes), in several arms.

An arm is a set of variables. Each arm has its own processes, one for each GPU; they sum known values of several sizes
and compare what comes out. One that stands still is killed. The text of this file is what runs there: it needs Python
and torch.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-not-found, arg-type"

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time

#: Seconds that the others have to say what they met after one rank has failed: they would wait for it for ever.
GRACE = 1.0


def main(options):
    """Run the arms one after the other and leave what they said where the environment says."""
    answer = {"arms": {}, "processes": options["processes"], "backend": options["backend"]}
    for name in options["arms"]:
        answer["arms"][name] = arm(name, options)
    with open(os.environ["CORTEX_ANSWER"], "w") as stream:
        json.dump(answer, stream)


def arm(name, options):
    """``{"state": ok|wrong|hang|error, "message", "checks": [...], "seconds"}`` of one arm."""
    count, begin = options["processes"], time.time()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    files = ["/tmp/.cortex-arm-{0}-{1}.jsonl".format(name, rank) for rank in range(count)]
    children = {}
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            os.environ.update(options["arms"][name])
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            run(rank, files[rank], options)
        children[pid] = rank
    codes, end = {}, begin + options["limit"]
    while children and time.time() < end:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in children:
            codes[children.pop(pid)] = status
            if status:
                end = min(end, time.time() + GRACE)
        else:
            time.sleep(0.05)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    return verdict(files, codes, options, time.time() - begin)


def verdict(files, codes, options, seconds):
    """What the ranks said, taken together."""
    said = [lines(path) for path in files]
    checks = [entry for entry in said[0] if "bytes" in entry]
    result = {"state": "ok", "message": "", "checks": checks, "seconds": round(seconds, 2)}
    wrong = [entry for rank in said for entry in rank if entry.get("wrong")]
    errors = [(rank, entry["error"]) for rank, entries in enumerate(said) for entry in entries if "error" in entry]
    if wrong:
        text = "{wrong} of {values} sums are wrong at {bytes} bytes".format(**wrong[0])
        result.update(state="wrong", message=text)
    elif any(codes.values()) and not errors:
        dead = sorted(rank for rank, status in codes.items() if status)
        result.update(state="error", message="ranks {0} died".format(dead))
    elif len(codes) < options["processes"] and not errors:
        last = min((entries[-1].get("at", "the start") if entries else "the start") for entries in said)
        text = "it stood still at {0} and was killed after {1:.0f} s".format(last, seconds)
        result.update(state="hang", message=text)
    elif errors:
        result.update(state="error", message="rank {0}: {1}".format(*errors[0]))
    elif any(not entries or not entries[-1].get("done") for entries in said):
        result.update(state="error", message="a rank ended before it was done")
    return result


def lines(path):
    try:
        with open(path) as stream:
            return [json.loads(line) for line in stream if line.strip()]
    except (OSError, ValueError):
        return []


def run(rank, path, options):
    """One rank; never returns."""
    code = 0
    with open(path, "w", buffering=1) as stream:

        def note(**fields):
            stream.write(json.dumps(fields) + "\n")

        try:
            collectives(rank, options, note)
            note(done=True)
        except Exception as exc:  # whatever a library raises here is the answer
            note(error="{0}: {1}".format(type(exc).__name__, str(exc).splitlines()[0] if str(exc) else "")[:500])
            code = 1
    sys.stdout.flush()
    os._exit(code)  # torch's threads may wait for a rank that is gone


def collectives(rank, options, note):
    import datetime

    import torch
    import torch.distributed

    count, gpu = options["processes"], options["backend"] == "nccl"
    device = torch.device("cuda", rank) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    note(at="joining")
    torch.distributed.init_process_group(
        options["backend"], rank=rank, world_size=count, timeout=datetime.timedelta(seconds=options["limit"] * 2)
    )
    expected_factor = count * (count + 1) // 2
    for size in options["sizes"]:
        note(at="{0} bytes".format(size))
        values = max(1, size // 4)
        pattern = (torch.arange(values, device=device) % 1021).to(torch.float32)
        best, wrong = None, 0
        for _repeat in range(options["repeats"]):
            tensor = pattern * (rank + 1)
            if gpu:
                torch.cuda.synchronize()
            begin = time.perf_counter()
            torch.distributed.all_reduce(tensor)
            if gpu:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - begin
            best = seconds if best is None else min(best, seconds)
            # Whole numbers below 2**24: exact in float32, in whatever order they are summed.
            wrong = max(wrong, int((tensor != pattern * expected_factor).sum().item()))
        # What each link carried, as nccl-tests counts it: 2 (n - 1) / n of the data.
        rate = 2.0 * (count - 1) / count * values * 4 / best / 1e9 if best else None
        note(bytes=values * 4, values=values, wrong=wrong, seconds=round(best, 6), gb_per_second=round(rate, 3))
        if wrong:
            return
    torch.distributed.destroy_process_group()
