# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that an image is asked, put to the real vLLM in its image."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import inside

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
#: Differs between platforms, and the catalogue is of CUDA builds.
PLATFORM = {"--mm-processor-device"}


@pytest.fixture(scope="module")
def image():
    return subprocess.run([ROOT / "tools" / "vllm-image"], capture_output=True, text=True, check=True).stdout.strip()


def ask(image, question, **asked):
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3"]
    command += ["-e", "CORTEX_ANSWER=/dev/stderr", image, "-c", inside.script(question, **asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stderr.splitlines()[-1])


def test_the_version_is_that_of_the_image(image):
    assert ask(image, "version")["version"].partition("+")[0] == image.rpartition(":")[2]


@pytest.mark.parametrize(
    ("platform", "differing"), [("cuda", set()), pytest.param(None, PLATFORM, marks=pytest.mark.long)]
)
def test_its_parser_is_what_the_catalogue_says(image, platform, differing):
    release = catalog.release(image.rpartition(":")[2])

    answer = ask(image, "parser", platform=platform)

    known, told = release.data["flags"], answer["flags"]
    assert {name for name in {*known, *told} if known.get(name) != told.get(name)} == differing
    assert answer["keys"] == release.data["keys"]
    assert answer["environment"].keys() == release.environment.keys()
    # Made a release of, it renders as the catalogue's does.
    assert catalog.asked("0.99.0", answer).flags.keys() == release.flags.keys()
