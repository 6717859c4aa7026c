# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modelled parser against the real one of the image: thousands of command lines, refused and accepted alike."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog
from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import parsing

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent

TEXTS = [
    "",
    "5",
    "-1",
    "1k",
    "2K",
    "1.5k",
    "1.5K",
    "0.5",
    "1e3",
    "auto",
    "None",
    "true",
    "false",
    "a",
    "a=b",
    "a=1,b=2",
]
TEXTS += ["{}", "[]", '["*"]', '{"a": 1}', '"x"', "x y", "-x", "--port", "nan", "8192 ", "٣"]

# Differences that are known, by flag: a class that checks the fields of its JSON is not modelled (see parsing.py).
PLATFORM = {"--mm-processor-device"}


def lines(release, rng):
    """One for each flag and text, with every way to attach a value, and random combinations."""
    for flag in release.flags.values():
        choices = [str(choice) for choice in flag.choices or ()][:2]
        spelling = flag.name
        yield [spelling]
        for text in [*rng.sample(TEXTS, 14), *choices]:
            yield [spelling, text] if rng.random() < 0.7 else [f"{spelling}={text}"]
        for other in (*flag.aliases, flag.negation, *flag.negations, spelling.replace("-", "_").replace("__", "--", 1)):
            if other:
                yield [other, *choices[:1]]
                yield [other, "5"]
        for cut in {len(spelling) - 1, len(spelling) - 3, max(4, len(spelling) // 2)}:
            yield [spelling[:cut], *choices[:1]]
        yield [f"{spelling}.a", "1"]
        yield [f"{spelling}.a.b=x", f"{spelling}.a.c+", "y,z"]
    for level in ("-O3", "-O=2", "-O1"):
        yield [level]
    names = list(release.flags)
    for _ in range(3000):
        argv = []
        for name in rng.sample(names, rng.randint(1, 4)):
            argv += [name, *rng.sample(TEXTS, rng.randint(0, 2))]
        yield argv


def modelled(parser, argv):
    found = parser.parse(argv)
    return {"error": found.error} if found.error else {"values": json.loads(json.dumps(found.values))}


@pytest.mark.e2e
def test_the_model_and_the_real_parser_agree():
    tag = subprocess.run([ROOT / "tools" / "vllm-image"], capture_output=True, text=True, check=True).stdout.strip()
    release = catalog.release(tag.rpartition(":")[2])
    asked = list(lines(release, random.Random(20261122)))
    command = ["docker", "run", "--rm", "-i", "--network", "none", "--entrypoint", "python3"]
    command += ["-v", f"{ROOT}:/repository:ro", "-v", f"{HERE}:/test:ro"]
    command += ["-e", "PYTHONDONTWRITEBYTECODE=1", tag, "/test/parse_in_image.py"]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.rpartition("\nANSWER")[2])
    answers, defaults = answer["answers"], answer["defaults"]
    assert len(answers) == len(asked) > 10_000
    objects = {flag.dest for flag in release.flags.values() if flag.type == "json" or flag.type == "name=path"}
    wrong = []
    parser = parsing.CommandLine(release)
    for argv, real in zip(asked, answers, strict=True):
        ours = modelled(parser, argv)
        if any(word.partition("=")[0] in PLATFORM for word in argv):
            continue
        if "error" in real and "values" in ours and set(ours["values"]) & objects:
            continue  # a field that the configuration's class does not know
        if ("error" in real) != ("error" in ours):
            wrong.append((argv, real.get("error"), ours.get("error")))
        elif "values" in real:
            for name, value in ours["values"].items():
                if name not in objects and not same(real["values"].get(name, defaults.get(name)), value):
                    wrong.append((argv, name, real["values"].get(name), value))
    assert wrong == []


def same(one, other):
    # plain() writes what JSON has no number for as text
    return one == other or str(one) == str(other) == "nan"
