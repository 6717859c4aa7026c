# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an image's files tell without anything being started."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import inside

SITE = "/opt/venv/lib/python3.12/site-packages"
DIST = "/usr/local/lib/python3.12/dist-packages"
TRANSFORMERS = b'# Copyright\n\n__version__ = "5.16.1"\n\nfrom pathlib import Path\n'
TORCH = b"from typing import Optional\n\n__all__ = ['__version__']\n__version__ = '2.11.0+cu130'\ndebug = False\n"


class Files:
    """An engine whose container has these files."""

    def __init__(self, files):
        self.files, self.asked = files, []

    def file(self, name, path, largest):
        self.asked.append(path)
        return self.files.get(path)


def read(key, files, config=None):
    look = inside.Look("/s", "/s/x", key, {"Id": "sha256:1", "Config": config or {}}, {"script": ""}, {})
    return look.read(Files(files))


@pytest.mark.parametrize("place, config", [(DIST, None), (SITE, {"Env": ["VIRTUAL_ENV=/opt/venv"]}), (SITE, None)])
def test_versions_of_packages(place, config):
    files = {place + "/transformers/__init__.py": TRANSFORMERS, place + "/torch/version.py": TORCH}
    assert read("packages", files, config) == {"packages": {"transformers": "5.16.1", "torch": "2.11.0+cu130"}}


@pytest.mark.parametrize("files", [{}, {DIST + "/torch/version.py": TORCH}, {DIST + "/transformers/__init__.py": b""}])
def test_what_files_do_not_tell_python_is_asked(files):
    assert read("packages", files) is None


def test_other_questions_are_not_answered_by_files():
    files = {DIST + "/vllm/_version.py": b"__version__ = version = '0.32.0'\n"}
    assert read("version", files) == {"version": "0.32.0", "source": "installed"}
    assert read("plugins", files) is None


def test_the_declared_places_come_first():
    found = inside.version_files({"WorkingDir": "/vllm-workspace/", "Env": ["PATH=/opt/venv/bin:/usr/bin"]})
    assert found[0] == "/vllm-workspace/vllm/_version.py"
    assert found[1].startswith("/opt/venv/lib/python3.12/") and len(found) == len(set(found))
