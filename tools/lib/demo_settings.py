"""Write what differs from machine to machine for inventories/demo. A key that exists is kept.

Usage: demo_settings.py FILE IMAGE MODEL_FOLDER GPUS [PORT]
"""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import sys
from typing import Any

#: A key in a file anybody can read is not a secret; the file is written with mode 0600.
MODE = 0o600


def read(path: pathlib.Path) -> dict[str, Any]:
    """The settings of the last run, or nothing. The file holds one JSON value a line, which is YAML too."""
    found = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            name, colon, value = line.partition(": ")
            if colon and name.startswith("demo_"):
                found[name] = json.loads(value)
    except (OSError, ValueError):
        return {}
    return found


def settings(before: dict[str, Any], image: str, model: str, gpus: str, port: str) -> dict[str, Any]:
    """All variables that inventories/demo wants."""
    engine_args: dict[str, Any] = {"max_model_len": 512, "enforce_eager": True}
    env = {}
    if gpus == "none":
        env["VLLM_CPU_KVCACHE_SPACE"] = "1"  # GiB; else vLLM takes most of the machine's memory
    else:
        engine_args["gpu_memory_utilization"] = 0.3
    return {
        "demo_image": image,
        "demo_model": model,
        "demo_gpus": int(gpus) if gpus.isdigit() else gpus,
        "demo_port": int(port or before.get("demo_port", 8000)),
        "demo_engine_args": engine_args,
        "demo_env": env,
        "demo_api_key": before.get("demo_api_key") or secrets.token_urlsafe(24),
    }


def main() -> int:
    path = pathlib.Path(sys.argv[1])
    values = settings(read(path), *sys.argv[2:5], sys.argv[5] if len(sys.argv) > 5 else "")
    lines = ["---", "# Written by ./demo for this machine."]
    lines += [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w", encoding="utf-8") as handle:
        handle.write("\n".join(lines) + "\n")
    temporary.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
