# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host of all faults: one good stand-in server, made once."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
import typing as t

import pytest

from .bench import ROOT, Bench


def made() -> Bench:
    """A bench with its good server running."""
    done = subprocess.run([str(ROOT / "tests/standin/build")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cortex-vllm-faults-", dir="/var/tmp"))
    directory.chmod(0o755)
    return Bench(directory, done.stdout.strip())


@pytest.fixture(scope="session")
def bench() -> t.Iterator[Bench]:
    one = made()
    try:
        yield one
    finally:
        one.remove()
        subprocess.run(["rm", "-rf", str(one.directory)], check=False)
