# SPDX-License-Identifier: GPL-3.0-or-later
"""What the official image adds: entrypoint and labels, from the Dockerfile in the source."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

API_SERVER = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
SERVE = ["vllm", "serve"]


def read(tree: Path, numbers: tuple[int, ...], notes: list[str]) -> dict[str, Any]:
    """Entrypoint and label names of the ``vllm-openai`` target.

    0.6.0 and the wheel of 0.15.1 hold no Dockerfile; for them the releases before and after agree, and that value is
    used, with a note.
    """
    path = next((p for p in (tree / "docker" / "Dockerfile", tree / "Dockerfile") if p.is_file()), None)
    if path is None:
        notes.append("no Dockerfile in the source: entrypoint as in the releases before and after")
        return {"entrypoint": API_SERVER if numbers < (0, 11, 1) else SERVE, "labels": []}
    target = stages(path.read_text(encoding="utf-8"))["vllm-openai"]
    return {"entrypoint": target["entrypoint"], "labels": target["labels"]}


def stages(text: str) -> dict[str, dict[str, Any]]:
    """Per stage of a Dockerfile its entrypoint and label names, those of its base included."""
    text = re.sub(r"\\\n", " ", text)
    found: dict[str, dict[str, Any]] = {}
    stage: dict[str, Any] = {}
    for line in text.splitlines():
        if match := re.match(r"(?i)FROM\s+(?:--\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", line):
            base = found.get(match[1], {})
            stage = {"entrypoint": base.get("entrypoint"), "labels": list(base.get("labels", []))}
            found[match[2] or match[1]] = stage
        elif match := re.match(r"ENTRYPOINT\s+(\[.*\])", line):
            stage["entrypoint"] = json.loads(match[1])
        elif line.startswith("LABEL "):
            # Values may hold "=", names may not: a name follows white space.
            names = re.findall(r"\s([A-Za-z][A-Za-z0-9_.\-]*)=", line)
            stage["labels"] = sorted({*stage["labels"], *names})
    return found
