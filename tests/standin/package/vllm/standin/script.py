# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a starting, stopping or failing vLLM writes: the recorded lines with this run's model, pids and times.

``data/start.log`` is ``data/ok-start-0.32.0.log`` with placeholders and one ``@phase PN`` line before the first line of
each phase; ``data/recordings`` holds failures as they were recorded.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import typing as t

from vllm.standin.arguments import DATA

_LOCK = threading.Lock()

_TIME = re.compile(r"\b\d\d-\d\d \d\d:\d\d:\d\d\b")
_GLOG = re.compile(r"\bW\d{4} \d\d:\d\d:\d\d")
# The recorded model directory, but not /model_executor/, /models or /model/config.json of another root.
_MODEL = re.compile(r"(?<![\w.-])/model(?![\w-])")


def write(line: str) -> None:
    """One line, to the stream vLLM uses for it: its logger and the access log write to stdout, all else to stderr."""
    logger = re.match(r"^\([A-Za-z]+[^)]* pid=\d+\)", line) or (line.startswith("INFO:  ") and ' - "' in line)
    with _LOCK:
        stream = sys.stdout if logger else sys.stderr
        stream.write(line + "\n")
        stream.flush()


def write_bytes(data: bytes) -> None:
    """Raw bytes to the log, as a tokenizer's progress output can contain them."""
    with _LOCK:
        sys.stderr.flush()
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()


def read(name: str) -> t.List[str]:
    """Lines of a data file."""
    with open(os.path.join(DATA, name), encoding="utf-8") as handle:
        return handle.read().splitlines()


def render(line: str, values: t.Mapping[str, t.Any]) -> str:
    """``line`` with ``@NAME@`` replaced by ``values`` and by the present time."""
    now = time.gmtime()
    line = line.replace("@TIME@", time.strftime("%m-%d %H:%M:%S", now))
    line = line.replace("@MMDD@", time.strftime("%m%d", now)).replace("@CLOCK@", time.strftime("%H:%M:%S", now))
    for name, value in values.items():
        line = line.replace(f"@{name}@", str(value))
    return line


def phases() -> t.Dict[str, t.List[str]]:
    """Lines of a good start by phase."""
    result: t.Dict[str, t.List[str]] = {}
    lines: t.List[str] = []
    for line in read("start.log"):
        if line.startswith("@phase "):
            lines = result.setdefault(line.split()[1], [])
        else:
            lines.append(line)
    return result


def shard_lines(shards: int, seconds: float) -> t.List[str]:
    """The progress of tqdm over the weight shards, one line for each loaded shard, as a log file shows it."""
    form = "Loading safetensors checkpoint shards: {:>3}% Completed | {}/{} [{}<{}, {}it/s]"
    lines = ["", form.format(0, 0, shards, "00:00", "?", "?")]
    for done in range(1, shards + 1):
        spent = seconds * done / shards
        clocks = [f"{int(value) // 60:02d}:{int(value) % 60:02d}" for value in (spent, seconds - spent)]
        lines += ["", form.format(100 * done // shards, done, shards, *clocks, f"{done / max(spent, 0.0045):.2f}")]
    return lines


class Recording(t.NamedTuple):
    """A recorded failure: its lines, its exit code, and the model path that was recorded."""

    name: str
    lines: t.List[str]
    exit_code: int
    model: str


def recording(name: str) -> Recording:
    """A recording by name; ValueError names those that exist."""
    with open(os.path.join(DATA, "recordings", "index.json"), encoding="utf-8") as handle:
        index = json.load(handle)
    if name not in index:
        raise ValueError(f"no recording {name!r}; there are: {', '.join(sorted(index))}")
    entry = index[name]
    return Recording(name, read(f"recordings/{name}.log"), entry["exit_code"], entry["model"] or "/model")


def replayed(record: Recording, model: str, after_banner: bool, replace: t.Mapping[str, str]) -> t.List[str]:
    """The recorded lines as this run would write them.

    ``after_banner``: the banner was written already, start behind the recorded one. ``replace`` changes further texts.
    """
    lines = record.lines
    # The import's warning has been written before any failure can happen.
    lines = lines[1:] if lines and lines[0].startswith("W1122") else lines
    if after_banner:
        cut = [number for number, line in enumerate(lines) if "non-default args" in line]
        # The line behind it is the last one of the banner's phase.
        lines = lines[cut[0] + 2 :] if cut else lines
    now = time.gmtime()
    result = []
    for line in lines:
        line = _TIME.sub(time.strftime("%m-%d %H:%M:%S", now), line)
        line = _GLOG.sub(time.strftime("W%m%d %H:%M:%S", now), line)
        line = re.sub(r"\(APIServer pid=\d+\)", f"(APIServer pid={os.getpid()})", line)
        if record.model != "/model":
            line = line.replace(record.model, model)
        line = _MODEL.sub(lambda _match: model, line)
        for old, new in replace.items():
            line = line.replace(old, new)
        result.append(line)
    return result
