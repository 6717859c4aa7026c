# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""How a container ended: exit codes, signals and the kernel's OOM killer, in whatever form somebody writes them down.

Measured with vLLM 0.32 in Docker: 0 when the engine dies after it was ready, 1 for every failed start, 2 for a refused
argument, 3 when uvicorn cannot start, 125 … 128 when the engine refuses, 128 + n for signal n.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..findings import Finding

#: Signals by exit code - 128 that say something of their own: code, message, explanation, fix, field.
_SIGNALS: dict[int, tuple[str, str, str, str, str | None]] = {
    4: (
        "host.cpu",
        "it ended with an illegal instruction (SIGILL, exit code 132)",
        "The image was built for newer processors than this host's, mostly for AVX2 or AVX-512.",
        "Use an image that was built for this processor.",
        "image",
    ),
    6: (
        "start.crashed",
        "a library aborted it (SIGABRT, exit code 134)",
        "A C++ library gave up: NCCL's watchdog, a failed assertion, or an exception that nobody caught.",
        "Look at the telling lines; debug.level: debug shows more.",
        None,
    ),
    7: (
        "memory.shm",
        "it ended with a bus error (SIGBUS, exit code 135)",
        "Writing into shared memory that has no room ends so; so does reading a file that became shorter.",
        "Raise shm_size; when that does not help, check the model's files.",
        "shm_size",
    ),
    11: (
        "start.crashed",
        "it ended with a segmentation fault (SIGSEGV, exit code 139)",
        "Compiled code crashed; libraries or a driver that do not fit each other are the usual reasons.",
        "Use the official image of the release, compare the driver with it, and look at dmesg for Xid messages.",
        "image",
    ),
    13: (
        "server.stopped",
        "its output was closed (SIGPIPE, exit code 141)",
        "Whatever read its output ended.",
        "Start it by the engine, not through a pipe.",
        None,
    ),
}


@dataclasses.dataclass(frozen=True)
class Exit:
    """How it ended.

    :ivar code: exit code; None when nobody knows
    :ivar oom: the kernel killed one of its processes for memory
    :ivar error: what the engine said when it could not start it
    """

    code: int | None = None
    oom: bool = False
    error: str = ""

    @property
    def signal(self) -> int | None:
        if self.code is None:
            return None
        if 128 < self.code < 160:
            return self.code - 128
        return -self.code if -64 < self.code < 0 else None


def read(given: Any) -> Exit | None:
    """The exit state out of docker's ``State``, a journal's ``exit``, or a number; None when it runs or nobody knows.

    :raises ValueError: it is none of these
    """
    if given is None or given == "" or given == {}:
        return None
    if isinstance(given, Exit):
        return given
    if isinstance(given, bool):
        raise ValueError("is neither an exit code nor a state")
    if isinstance(given, int):
        return Exit(given)
    if isinstance(given, str):
        return Exit(_number(given))
    if not isinstance(given, Mapping):
        raise ValueError("is neither an exit code nor a state")
    plain = {str(key).lower().replace("_", "").replace("-", ""): value for key, value in given.items()}
    if isinstance(plain.get("state"), Mapping):
        return read(plain["state"])
    code = next((plain[key] for key in ("code", "exitcode", "rc") if plain.get(key) not in (None, "")), None)
    oom = any(_truth(plain.get(key)) for key in ("oom", "oomkilled")) or plain.get("reason") == "OOMKilled"
    error = str(plain.get("error") or plain.get("stateerror") or "").strip()
    number = _number(code) if code is not None else None
    if _truth(plain.get("running")) or str(plain.get("status", "")).lower() in {"running", "restarting", "paused"}:
        return None
    if number is None and not oom and not error:
        return None
    if str(plain.get("status", "")).lower() == "created" and not error:
        return None
    return Exit(number, oom, error)


#: Lines at the end of a log in which somebody else may say how it ended, and what they say: compose, systemd, kubectl
#: describe, srun, shells.
LAST = 40
_CODE = re.compile(
    r"Main process exited, code=\w+, status=(?P<systemd>\d+)"
    r"|^\s*Exit Code:\s+(?P<kube>\d+)|Exited with exit code (?P<srun>\d+)"
)
#: Slurm ends a job at its time limit, or for whoever cancels it.
_CANCELLED = re.compile(r"^(?:slurmstepd|srun): error: \*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT ")
#: What shells and Slurm call the end by a signal.
_SIGNAL_NAMES = {"Killed": 9, "Segmentation fault": 11, "Aborted": 6, "Bus error": 7, "Illegal instruction": 4}
_NAME = f"(?P<name>{'|'.join(_SIGNAL_NAMES)})"
#: How a task of Slurm ended by a signal; after a cancellation it says only that the task did not end in time.
_SRUN = re.compile(rf"^srun: error: \S+: tasks? [\d,-]+: {_NAME}")
#: Their words are ordinary ones: only at the very end do they speak of the server.
_COMPOSE = re.compile(r"^\S+ exited with code (?P<code>\d+)")
_VERY_END = 5
_OOM = re.compile(
    r"Failed with result 'oom-kill'|^\s*Reason:\s+OOMKilled|oom[_-]kill event|tasks? have been OOM Killed"
    r"|A process of this unit has been killed by the OOM killer"
)
_SHELL = re.compile(rf"^(?:\S+: line \d+:\s+\d+ )?{_NAME}(?: \(core dumped\))?(?:$|\s{{2,}})")


def told(texts: Sequence[str]) -> Exit | None:
    """How it ended by what the log's carrier or the shell around it says; None when nobody does."""
    code, oom, cancelled = None, False, False
    for place, text in enumerate(texts, _VERY_END - len(texts)):
        if found := _CODE.search(text):
            code = int(next(item for item in found.groups() if item is not None))
            if "code=killed" in text or "code=dumped" in text:
                code += 128
        elif _CANCELLED.search(text):
            code, cancelled = 128 + 15, True
        elif not cancelled and (found := _SRUN.search(text)):
            code = 128 + _SIGNAL_NAMES[found["name"]]
        elif place >= 0 and (found := _COMPOSE.search(text)):
            code = int(found["code"])
        elif place >= 0 and (found := _SHELL.search(text)):
            code = 128 + _SIGNAL_NAMES[found["name"]]
        oom = oom or bool(_OOM.search(text))
    return Exit(code, oom) if code is not None or oom else None


def _number(value: Any) -> int:
    try:
        return int(str(value).strip())
    except ValueError:
        raise ValueError(f"{str(value)[:40]!r} is no exit code") from None


def _truth(value: Any) -> bool:
    return value is True or str(value).strip().lower() in {"true", "yes", "1"}


def out_of_memory(how: Exit) -> tuple[Finding, str]:
    """The finding of a container that the kernel killed for memory, and why."""
    text = f" (exit code {how.code})" if how.code is not None else ""
    return (
        Finding(
            "memory.oom-killed",
            "error",
            f"the kernel killed it for memory{text}",
            field="memory",
            fix="Raise the memory limit, or take a smaller model or KV cache (VLLM_CPU_KVCACHE_SPACE on CPUs).",
        ),
        "Its processes needed more host memory than the container's limit, or the host, had.",
    )


def explain(how: Exit, ready: bool, stopped: bool) -> tuple[Finding, str] | None:
    """What an exit state alone says: one finding and its explanation.

    :param ready: the server had become ready
    :param stopped: its log shows that somebody stopped it
    """
    code, signal = how.code, how.signal
    if stopped or signal in {2, 15}:
        when = "" if ready else " before it was ready"
        return (
            (
                Finding("server.stopped", "error", f"it was stopped (SIGTERM){when}", fix="Start it again."),
                "Somebody, or the engine's own shutdown, told it to end.",
            )
            if signal != 9
            else _killed(
                "it was stopped, did not end in time and was killed (exit code 137)",
                "After the stop it waits for requests in flight; vLLM 0.32 does so until it is killed.",
                "Raise stop_timeout, or drain it before the stop.",
                "stop_timeout",
            )
        )
    if code == 0:
        if not ready:
            return None
        return (
            Finding(
                "server.engine-died",
                "error",
                "its engine died after it was ready: vLLM then ends with exit code 0",
                fix="Look above the shutdown lines of its log for the engine's or a worker's error.",
            ),
            "The API server ends by itself, as after a clean stop, when its engine process is gone.",
        )
    if signal == 9:
        return _killed(
            "it was killed (exit code 137) without a word: by docker kill, at the end of a stop timeout, or by the"
            " kernel for memory",
            "SIGKILL leaves no message in the log.",
            "Look at dmesg for the OOM killer, and at who stopped it.",
            None,
        )
    if signal in _SIGNALS:
        name, message, why, fix, field = _SIGNALS[signal]
        return Finding(name, "error", message, field=field, fix=fix), why
    if code == 126:
        return (
            Finding(
                "image.entrypoint",
                "error",
                "its program may not be executed (exit code 126)",
                field="entrypoint",
                fix="Name a program that is executable for the container's user.",
            ),
            "The file is there, and is no program, or the user may not run it.",
        )
    if code == 127:
        return (
            Finding(
                "image.entrypoint",
                "error",
                "its program is not in the image (exit code 127)",
                field="entrypoint",
                fix="Correct entrypoint, or use an image of vLLM.",
            ),
            "The shell or the engine did not find what it should start.",
        )
    return None


def _killed(message: str, why: str, fix: str, field: str | None) -> tuple[Finding, str]:
    return Finding("server.killed", "error", message, field=field, fix=fix), why


def silent_rank(head: str, code: int | None) -> tuple[Finding, str]:
    """What can be said of a rank that ended without an error: where the error has to be."""
    ended = f" (exit code {code})" if code is not None else ""
    finding = Finding(
        "distributed.failed",
        "error",
        f"this rank of a server on several hosts ended without an error of its own{ended}",
        field="nodes",
        fix=f"Read the log of the first rank (at {head}), then those of the others: the first error among them is the"
        " cause. Without one anywhere, look at dmesg of this host for the OOM killer.",
    )
    return finding, (
        "A rank beside the first has no HTTP server, and ends when the first rank ends or can no longer be reached."
    )
