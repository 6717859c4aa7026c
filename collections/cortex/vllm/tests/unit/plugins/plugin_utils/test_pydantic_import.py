# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The brains can be imported without pydantic, and say what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import _pydantic

IMPORT = """
import sys, types
{before}
import ansible_collections.cortex.vllm.plugins.plugin_utils.spec as spec
from ansible_collections.cortex.vllm.plugins.plugin_utils import rendering
try:
    spec.load({{}})
except RuntimeError as exc:
    print(exc)
"""


@pytest.mark.parametrize(
    "before, said",
    [
        ("sys.modules['pydantic'] = None", "pydantic"),
        ("sys.modules['pydantic'] = types.SimpleNamespace(VERSION='1.10.2')", "pydantic 1.10.2 is too old"),
    ],
)
def test_without_pydantic(before: str, said: str) -> None:
    script = f"import sys; sys.path[:0] = {sys.path!r}\n" + IMPORT.format(before=before)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "needs pydantic 2 on the Ansible controller" in done.stdout and said in done.stdout
    assert "pip install 'pydantic>=2,<3'" in done.stdout


def test_with_pydantic() -> None:
    _pydantic.require()
    assert _pydantic.PYDANTIC_IMPORT_ERROR is None
