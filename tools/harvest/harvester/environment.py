# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolated Python environment that vLLM's sources are imported in, and the folders of the tool.

Everything lies below the user's cache directory; the environment is named by what it is made from, so that a changed
lock list makes a new one and an unchanged one is used again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LOCK = HERE / "requirements.txt"


def cache() -> Path:
    """The tool's folder below the user's cache directory."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "cortex-vllm" / "harvest"
    path.mkdir(parents=True, exist_ok=True)
    return path


def base_python() -> str:
    """A Python 3.11, which the lock list is for: this one, else the one on the path.

    Raises:
        SystemExit: there is none.
    """
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if not found:
        raise SystemExit("harvest: needs Python 3.11, which requirements.txt is for; install it as python3.11")
    return found


def key() -> str:
    """Twelve hexadecimal digits of what the environment is made from: the lock list and the Python version."""
    return hashlib.sha256(LOCK.read_bytes() + b"python3.11").hexdigest()[:12]


def python() -> Path:
    """The interpreter of the isolated environment, which is made first if it is missing.

    Raises:
        SystemExit: when a package cannot be installed; pip has said why.
    """
    folder = cache() / f"env-{key()}"
    done = folder / ".complete"
    if not done.exists():
        print(f"harvest: making the isolated environment {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base_python(), "-m", "venv", str(folder)], check=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "-r", str(LOCK)]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit("harvest: the environment could not be made; see pip's message above")
        done.touch()
    return folder / "bin" / "python"
