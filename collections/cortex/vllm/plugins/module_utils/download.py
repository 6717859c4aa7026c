# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Downloads a model into a cache by huggingface_hub, in a process of a Python that has it.

The program comes with the request. It is told what to do by its environment, the token among it, and never by its
arguments; what it finds out it writes into a file.
"""

from __future__ import annotations

import json
import os
import time

from ansible_collections.cortex.vllm.plugins.module_utils import files, hashing, hub_layout, longjob

#: Of the task's environment, what the program needs of it: proxies and certificates among it.
PASSED = (
    "PATH", "HOME", "LANG", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy",
    "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip


def download(request, secrets):
    """One slice. ``{model, revision, hub_cache, python, script, environment, options}`` → the work's answer, its result
    ``{"commit", "files", "bytes"}`` or ``{"error": {"kind", "text"}}``. ``secrets``: environment variables."""
    folder = hub_layout.repository(request.get("hub_cache"), request["model"])
    name = "download " + folder
    return longjob.run(request, name, lambda note, lock: _download(request, secrets, folder, note, lock))


def _download(request, secrets, folder, note, lock):
    python = request.get("python") or "/usr/bin/python3"
    if not os.access(python, os.X_OK):
        return {"error": {"kind": "interpreter", "text": "there is no {0}".format(python)}}
    os.makedirs(folder, 0o755, exist_ok=True)
    told = note.path + ".told"
    _forget(told)
    environment = {key: os.environ[key] for key in PASSED if key in os.environ}
    environment.update(request.get("environment") or {})
    environment.update({key: str(value) for key, value in secrets.items()})
    environment.update(
        CORTEX_ASKED=json.dumps(dict(request["options"], cache=os.path.dirname(folder), answer=told)),
        PYTHONUNBUFFERED="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_HUB_DISABLE_IMPLICIT_TOKEN="" if "HF_TOKEN" in environment else "1",
    )
    note.begin("asking the Hub")
    # It keeps the lock when this job is killed: nobody downloads the same beside it.
    os.set_inheritable(lock.fd, True)
    # The job has no module any more whose run_command could be taken.
    words = [python, "-c", request["script"]]
    child = os.spawnve(os.P_NOWAIT, python, words, environment)  # pylint: disable=ansible-bad-function
    os.set_inheritable(lock.fd, False)
    before = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        answer = files.read_json(told) or {}
        if answer.get("total") is not None:
            note.total(answer["total"], len(answer.get("files") or []))
            there = _there(folder, answer["files"])
            note.progress.update(what=answer["what"], bytes=there[0], files=there[1])
        if note.progress != before:
            before = dict(note.progress)
            note.write()
        if ended:
            break
        time.sleep(0.5)
    _forget(told)
    if answer.get("error"):
        return {"error": answer["error"]}
    if not answer.get("commit") or not answer.get("finished"):
        return {"error": {"kind": "killed", "text": "the download ended with status {0}".format(status)}}
    revision = request.get("revision") or "main"
    if revision != answer["commit"] and hub_layout.refs(folder).get(revision) != answer["commit"]:
        hub_layout.write_ref(folder, revision, answer["commit"])
    return {"commit": answer["commit"], "files": len(answer["files"]), "bytes": answer["total"]}


def _there(folder, wanted):
    """Bytes and files of a download so far, unfinished ones included."""
    blobs, size, count = os.path.join(folder, "blobs"), 0, 0
    names = os.listdir(blobs) if os.path.isdir(blobs) else []
    for entry in wanted:
        have = hashing.size_of(os.path.join(blobs, entry["blob"])) if entry.get("blob") else None
        if have is not None:
            count += 1
        else:
            parts = [name for name in names if name.startswith(str(entry.get("blob"))) and name.endswith(".incomplete")]
            have = max([hashing.size_of(os.path.join(blobs, name)) or 0 for name in parts] or [0])
        size += min(have, entry["size"])
    return size, count


def _forget(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise files.FilesError(files.explain(exc, path))
