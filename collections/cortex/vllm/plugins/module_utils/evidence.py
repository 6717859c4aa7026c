# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What a host has of one container: its log, how it ended, and what our jobs wrote about it. Secrets stay here."""

from __future__ import annotations

import os
import re

from ansible_collections.cortex.vllm.plugins.module_utils import files, follow, journal, logs, ours, state, trimming
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine, EngineError
from ansible_collections.cortex.vllm.plugins.module_utils.redact import Redactor, secret_name

LINES = 5000
LINE_LENGTH = 4000
# What travels at most: the last bytes of a log, and of each journal.
LOG_BYTES = 8 << 20
JOURNAL_BYTES = 1 << 18
# Of a container that somebody else started, names of options (and of variables, redact.py) say what nobody may see.
SECRET_OPTION = re.compile(r"^--?(api[-_]key|hf[-_]token|.*password|.*secret)(?:=(.*))?$", re.I | re.S)
# A short value would mask every line that happens to hold it.
SHORTEST = 4


def secret_values(inspect):
    """Values in environment and command line of a container that look like secrets by their names."""
    config = inspect.get("Config") or {}
    found = [
        value
        for name, value in trimming.environment(config.get("Env")).items()
        if secret_name(name) and len(value) >= SHORTEST
    ]
    words = [str(word) for key in ("Entrypoint", "Cmd") for word in config.get(key) or []]
    words += [str(word) for word in inspect.get("Args") or []]
    for index, word in enumerate(words):
        match = SECRET_OPTION.match(word)
        if not match:
            continue
        if match.group(2):
            found.append(match.group(2))
            continue
        for following in words[index + 1 :]:  # --api-key takes several
            if following.startswith("-"):
                break
            found.append(following)
    return [value for value in found if len(value) >= SHORTEST]


def log_lines(raw, redactor):
    """The lines of a log without the engine's time in front, without secrets, the last `LOG_BYTES` of them."""
    lines = []
    for line in raw[-LOG_BYTES:].split(b"\n"):
        stamp, dummy, rest = line.partition(b" ")
        text = (rest if logs.sortable(stamp.decode("ascii", "replace")) else line).decode("utf-8", "replace")
        lines.append(redactor.text(text)[:LINE_LENGTH])
    return lines


def _tail(path, size):
    """The last bytes of a file as text, None when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.path.getsize(path) - size))
            return stream.read(size).decode("utf-8", "replace")
    except OSError:
        return None


def _written(state_dir, server):
    """Journals, state and kept evidence of a server of ours; digests of secrets and their salt are left out."""
    folder = os.path.join(state_dir, server)
    found = {"journals": {}, "state": None, "evidence": []}
    for name in (journal.CURRENT,) + journal.OLDER:
        text = _tail(os.path.join(folder, name), JOURNAL_BYTES)
        if text:
            found["journals"][name] = text
    loaded = state.load(state_dir, server)[0]
    found["state"] = _without_digests(loaded)
    try:
        found["evidence"] = sorted(os.listdir(os.path.join(folder, "evidence")))
    except OSError:
        pass  # nothing failed here
    return found


def _without_digests(value):
    if isinstance(value, dict):
        return {key: _without_digests(item) for key, item in value.items() if key not in ("secrets", "salt")}
    if isinstance(value, list):
        return [_without_digests(item) for item in value]
    return value


def evidence(request, params):
    """The answer of the step ``evidence``. Raises `EngineError`, `ValueError`."""
    answer = {
        "found": False, "container_id": None, "server": None, "state": None, "exit": None, "restarts": None,
        "log": [], "inspect": None, "written": None, "message": "",
    }  # fmt: skip
    with Engine(params) as engine:
        _fill(answer, engine, request)
    return answer


def _fill(answer, engine, request):
    inspect = engine.inspect(request["container_name"])
    if inspect is None:
        answer["message"] = "there is no container {0}".format(request["container_name"])
        return
    server = ours.label_of(inspect)
    redactor = Redactor(files.secrets(ours.generation_dir(inspect)) + secret_values(inspect))
    facts = inspect.get("State") or {}
    answer.update(
        found=True, container_id=inspect["Id"], server=server, restarts=inspect.get("RestartCount"),
        state={key: facts.get(key) for key in ("Status", "Running", "Restarting", "ExitCode", "OOMKilled", "Error",
                                               "StartedAt", "FinishedAt")},
        exit=None if ours.running(inspect) else follow.exit_facts(inspect),
        inspect=redactor.data(trimming.evidence(inspect)),
    )  # fmt: skip
    answer["state"]["Error"] = redactor.text(str(answer["state"].get("Error") or ""))
    try:
        raw = engine.logs(inspect["Id"], 1, max(1, int(request.get("tail") or LINES)), False)
        answer["log"] = log_lines(raw, redactor)
    except EngineError as exc:  # a log driver that cannot be read
        answer["message"] = "the log cannot be read: {0}".format(exc.full())
    if request.get("journals") and server and files.safe_name(server):
        answer["written"] = redactor.data(_written(request.get("state_dir") or "", server))
