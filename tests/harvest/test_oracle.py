# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue's file against the installed release itself, in its image, with nothing replaced."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent

# The image runs on the CPU, the catalogue describes CUDA: where vLLM's parser asks the platform, they differ.
PLATFORM = {"--mm-processor-device": (["auto", "cpu"], ["auto", "cpu", "cuda"])}


@pytest.mark.e2e
def test_every_field_of_every_flag_is_that_of_the_real_parser(harvester):
    tag = subprocess.run([ROOT / "tools" / "vllm-image"], capture_output=True, text=True, check=True).stdout.strip()
    version = tag.rpartition(":")[2]
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3"]
    command += ["-v", f"{ROOT}:/repository:ro", "-v", f"{HERE}:/test:ro"]
    command += ["-e", "PYTHONDONTWRITEBYTECODE=1", tag, "/test/in_image.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.rpartition("\nANSWER")[2])
    real, ours = answer["flags"], harvester.cli.load(version)["flags"]
    assert answer["notes"] == []
    assert set(real) == set(answer["serve"]) == set(ours)
    different = {}
    for name, entry in real.items():
        entry.pop("help", None)
        if entry != ours[name]:
            different[name] = (entry.pop("choices", None), ours[name].pop("choices", None))
            assert entry == ours[name], name
    assert different == PLATFORM
