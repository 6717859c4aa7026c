# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The evidence of a host as one archive: what helps somebody who was not there, without secrets.

The hands leave secret values out (step ``evidence``); what is left here to take out are the digests with which a look
compares values of environments.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Of an observation: what says something about the host. The rest is about other people's containers.
_HOST = ("host", "engine", "gpus", "images", "ports", "models")


def parts(
    host: str,
    looks: Mapping[str, Mapping[str, Any]],
    answers: Mapping[str, Mapping[str, Any]],
    observation: Mapping[str, Any],
    summary: Sequence[str],
    attached: Mapping[str, Any],
    collection: str,
) -> dict[str, str]:
    """The files of an archive, by their names in it.

    :param looks: what the step ``evidence`` said, by container
    :param answers: the diagnosis of each, by container
    :param attached: what the caller adds, as a plan
    """
    found: dict[str, str] = {
        "summary.txt": "\n".join([f"{host}, {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}", "", *summary, ""]),
        "versions.json": _json(_versions(observation, answers, collection)),
    }
    for name in _HOST:
        if observation.get(name):
            found[f"host/{name}.json"] = _json(observation[name])
    found["host/containers.json"] = _json([_container(entry) for entry in observation.get("containers") or ()])
    for container, look in looks.items():
        folder = f"servers/{_safe(container)}"
        found[f"{folder}/log.txt"] = "\n".join(look.get("log") or ())
        found[f"{folder}/inspect.json"] = _json(look.get("inspect"))
        found[f"{folder}/diagnosis.json"] = _json(answers.get(container))
        written = look.get("written") or {}
        for journal, text in (written.get("journals") or {}).items():
            found[f"{folder}/{_safe(journal)}"] = str(text)
        if written.get("state"):
            found[f"{folder}/state.json"] = _json(written["state"])
    for name, value in attached.items():
        found[f"attached/{_safe(str(name))}"] = value if isinstance(value, str) else _json(value)
    return found


def write(dest: str, host: str, files: Mapping[str, str]) -> str:
    """Write the archive, readable for its owner only; a folder gets ``<host>.tar.gz``.

    :returns: its path
    :raises OSError: it cannot be written
    """
    path = Path(dest).expanduser()
    if not path.name.endswith((".tar.gz", ".tgz")):
        path = path / f"{_safe(host)}.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    now = int(time.time())
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in sorted(files.items()):
            content = text.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{_safe(host)}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), now, 0o600
            archive.addfile(entry, io.BytesIO(content))
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(buffer.getvalue())
    partial.replace(path)
    return str(path)


def _versions(
    observation: Mapping[str, Any], answers: Mapping[str, Mapping[str, Any]], collection: str
) -> dict[str, Any]:
    engine, gpus = observation.get("engine") or {}, observation.get("gpus") or {}
    return {
        "collection": collection,
        "engine": {key: engine.get(key) for key in ("name", "version", "api_version", "sdk_version")},
        "gpu": {key: gpus.get(key) for key in ("driver", "cuda")},
        "python": (observation.get("host") or {}).get("python"),
        "vllm": {name: answer.get("version") for name, answer in answers.items()},
    }


def _container(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A container of an observation with the names of its variables alone."""
    kept = dict(entry)
    config = dict(kept.get("Config") or {})
    config["Env"] = sorted(config.get("Env") or {})
    kept["Config"] = config
    return kept


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=str) + "\n"


def _safe(name: str) -> str:
    """A name that leads nowhere else."""
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in name).lstrip(".") or "_"
