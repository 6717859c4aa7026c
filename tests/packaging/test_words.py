# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing in the repository speaks of the machine that it was written on.

What is looked for is found out, not listed: this checkout's own path, this user's home, this machine's name, and the
package indexes that its pip is told of. On a developer's machine these find what must not be committed; elsewhere they
find nothing.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PUBLIC = {"pypi.org", "files.pythonhosted.org", "localhost"}
COMMON = {"/", "/root", "/tmp", "/srv", "/opt", "/usr", "/var", "/mnt", "/home", "/home/user"}


def _tracked(root: Path, *, links: bool = False) -> list[Path]:
    """Every committed file, or every committed link."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [root / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if (path.is_symlink() if links else path.is_file() and not path.is_symlink())]


def _indexes() -> set[str]:
    """Hosts and folders of the package indexes in pip's configuration."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, timeout=60
    )
    found = set()
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        if not re.search(r"index-url|find-links|trusted-host", key):
            continue
        for part in value.strip("'\"").split():
            url = urlsplit(part)
            found.add(url.hostname or url.path or part)
    return found - PUBLIC


def _telling(root: Path) -> set[str]:
    """Strings that only this machine has a reason to know."""
    words = {str(root), *_indexes()}
    # A checkout below a folder that every machine has (/tmp, /srv, /home) tells nothing by that folder.
    top = "/".join(root.parts[:2]).replace("//", "/")
    if len(root.parts) > 2 and top not in COMMON:
        words.add(f"{top}/")
    if str(Path.home()) not in COMMON:
        words.add(f"{Path.home()}/")
    name = socket.getfqdn()
    if "." in name and not name.startswith("localhost"):
        words.add(name)
    return {word for word in words if len(word) > 4}


def test_nothing_tells_of_this_machine(root: Path) -> None:
    words = _telling(root)
    assert words
    pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(word)}" for word in sorted(words)).encode())
    found = []
    for path in _tracked(root):
        content = path.read_bytes()
        if path.suffix in (".gz", ".xz", ".png"):
            continue
        found += [f"{path.relative_to(root)}: {hit.decode()}" for hit in set(pattern.findall(content))]
    assert not found


def test_nothing_leads_out_of_the_repository(root: Path) -> None:
    """No link, and no path in a text, that leaves the repository: a clone is complete."""
    for path in _tracked(root):
        if path.suffix in (".py", ".yml", ".yaml", ".sh", ".toml", ".cfg") or path.name in ("demo", "test", "run"):
            assert not re.search(r"\.\./shared\b", path.read_text(errors="replace")), path
    for link in _tracked(root, links=True):
        target = link.readlink()
        assert not target.is_absolute(), link
        assert (link.parent / target).resolve().is_relative_to(root.resolve()), link
