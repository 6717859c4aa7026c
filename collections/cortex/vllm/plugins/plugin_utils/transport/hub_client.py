# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Runs on a host, in the Python that has huggingface_hub (0.24 and newer): downloads one revision of one model.

Asked by the variable CORTEX_ASKED, the token is in HF_TOKEN; answers into a file. Only the standard library beside.
"""

from __future__ import annotations

import fnmatch
import json
import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def needless(names: Sequence[str], rules: Mapping[str, Any] | None) -> list[str]:
    """The files that no server reads, as ``needs.superfluous`` has it."""
    if not rules:
        return []
    folders = {posixpath.dirname(name) for name in names if fnmatch.fnmatch(name, rules["preferred"])}
    wanted = (rules.get("quantization") or "").lower()

    def superfluous(name: str) -> bool:
        folder, base = posixpath.split(name)
        patterns = [*rules["never"], *(rules["other"] if folder in folders else ())]
        return (
            any(fnmatch.fnmatch(base, pattern) for pattern in patterns)
            or (bool(folders) and any(fnmatch.fnmatch(name, pattern) for pattern in rules["folders"]))
            or bool(wanted and name.endswith(".gguf") and wanted not in name.lower())
        )

    return sorted(name for name in names if superfluous(name))


def kind(problem: BaseException | None) -> str:
    """What sort of refusal an exception is, by the names of its classes and what lies below it."""
    chain: list[BaseException] = []
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        chain.append(problem)
        problem = problem.__cause__ or problem.__context__
    names = {cls.__name__ for item in chain for cls in type(item).__mro__}
    codes = {getattr(getattr(item, "response", None), "status_code", None) for item in chain}
    text = " ".join(str(item) for item in chain)
    if "GatedRepoError" in names:
        return "gated"
    if "RevisionNotFoundError" in names:
        return "revision"
    if "CERTIFICATE_VERIFY_FAILED" in text or "SSLCertVerificationError" in names:
        return "certificate"
    # The Hub answers 401 to a repository that is not there when nobody says who asks.
    if "RepositoryNotFoundError" in names:
        return "token" if 401 in codes and os.environ.get("HF_TOKEN") else "not-found"
    if 401 in codes or 403 in codes:
        return "token"
    if any(isinstance(item, OSError) and item.errno in (28, 122) for item in chain):
        return "disk"
    if names & {"ConnectError", "ConnectTimeout", "ReadTimeout", "ConnectionError", "ProxyError", "TimeoutException"}:
        return "unreachable"
    if names & {
        "RemoteProtocolError",
        "ReadError",
        "IncompleteRead",
        "ChunkedEncodingError",
        "LocalEntryNotFoundError",
    }:
        return "unreachable"
    return "other"


def run(asked: Mapping[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Ask what the revision stands for, then download that commit, whatever the branch does meanwhile."""
    from huggingface_hub import HfApi, snapshot_download

    token = os.environ.get("HF_TOKEN") or False
    info = HfApi(token=token).model_info(asked["model"], revision=asked["revision"], files_metadata=True)
    siblings = {entry.rfilename: entry for entry in info.siblings or []}
    left_out = needless(list(siblings), asked["rules"])
    files: list[dict[str, Any]] = []
    for name in sorted(set(siblings) - set(left_out)):
        lfs = siblings[name].lfs
        sha256 = (lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)) if lfs else None
        files.append({"name": name, "blob": sha256 or siblings[name].blob_id, "size": siblings[name].size or 0})
    # One link for each content, and its bytes once.
    total: int = sum({entry["blob"] or entry["name"]: entry["size"] for entry in files}.values())
    state = {"commit": info.sha, "files": files, "total": total, "what": "downloading"}
    tell(state)
    snapshot_download(
        asked["model"],
        revision=info.sha,
        cache_dir=asked["cache"],
        ignore_patterns=left_out or None,
        max_workers=asked["workers"],
        token=token,
    )
    if left_out:
        # Releases from 2 on keep the list of all files beside the snapshot, and then call one that lacks some
        # incomplete, offline. What was left out on purpose is not missing.
        folder = "models--" + asked["model"].replace("/", "--")
        tree = os.path.join(asked["cache"], folder, "trees", f"{info.sha}.json")
        if os.path.exists(tree):
            os.unlink(tree)
    tell(dict(state, finished=True))


def main() -> None:
    asked = json.loads(os.environ["CORTEX_ASKED"])

    def tell(state: dict[str, Any]) -> None:
        fresh = asked["answer"] + ".new"
        with open(fresh, "w", encoding="utf-8") as stream:
            json.dump(state, stream)
        os.rename(fresh, asked["answer"])

    try:
        run(asked, tell)
    except ImportError as problem:
        tell({"error": {"kind": "client", "text": "{0}".format(problem)}})
    except BaseException as problem:
        text = str(problem) or type(problem).__name__
        tell({"error": {"kind": kind(problem), "text": "{0}: {1}".format(type(problem).__name__, text)}})


if __name__ == "__main__":
    main()
