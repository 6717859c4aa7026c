# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Step ``image``: what an image says of itself, on the real engine."""

from __future__ import annotations

import io
import json
import pathlib
import tarfile
import uuid

import pytest
from hands import run_module

PLACE = "usr/local/lib/python3.12/dist-packages/vllm/_version.py"


@pytest.fixture
def made(docker):
    """Makes images with the given files; returns the id."""
    names = []

    def make(**contents):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, text in contents.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text))
        names.append("local/hands-" + uuid.uuid4().hex[:8])
        docker.call("POST", "/images/create?fromSrc=-&repo={}".format(names[-1]), raw=buffer.getvalue())
        return docker.get("/images/{}/json".format(names[-1]))["Id"]

    yield make
    for name in names:
        docker.call("DELETE", "/images/{}?force=1".format(name))


def looks(docker):
    return [name for name in docker.names() if name.startswith("cortex-vllm-look-")]


def ask(host, image, key="version", **more):
    request = {"image": image, "key": key, "script": "raise SystemExit('never run')", "budget": 20.0}
    return host.step("image", dict(request, **more))


def known(host, image):
    request = {"schema": 1, "state_dir": str(host.state_dir), "images": [image]}
    return run_module({"step": "observe", "request": request})["observation"]["images"][image]["known"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (b"__version__ = version = '0.32.0'\n__version_tuple__ = (0, 32, 0)\n", "0.32.0"),
        (b"__version__: str\n__version__ = version = '0.1.dev1+g12ab.d2026'\n", "0.1.dev1+g12ab.d2026"),
    ],
)
def test_installed_files_tell_the_version_and_nothing_is_started(docker, host, made, text, version):
    image = made(**{PLACE: text})

    answer = ask(host, image)

    assert (answer["done"], answer["started"]) == (True, False), answer
    assert answer["answer"] == {"version": version, "source": "installed"}
    assert known(host, image) == {"vllm_version": version, "source": "installed"}
    assert looks(docker) == []


def test_an_answer_is_kept_by_image_not_by_name(docker, host, made):
    image = made(**{PLACE: b"__version__ = '0.31.0'\n"})
    first = ask(host, image)
    (path,) = (pathlib.Path(host.state_dir) / "images").iterdir()
    noted = json.loads(path.read_text())
    noted["answer"]["version"] = "0.30.0"
    path.write_text(json.dumps(noted))

    assert ask(host, image)["answer"]["version"] == "0.30.0"
    assert ask(host, made(**{PLACE: b"__version__ = '0.29.0'\n"}))["answer"]["version"] == "0.29.0"
    assert first["answer"]["version"] == "0.31.0"


def test_an_image_without_python_is_a_problem_that_is_kept(docker, host, image):
    answer = ask(host, image)

    assert answer["done"] and "problem" in answer["answer"], answer
    assert known(host, image)["version_problem"] == answer["answer"]["problem"]
    assert looks(docker) == []


def test_check_mode_and_nonsense_start_nothing(docker, host, image):
    request = {"schema": 1, "state_dir": str(host.state_dir), "image": image, "key": "version", "script": ""}
    answer = run_module({"step": "image", "request": request}, check=True)
    assert not answer["done"] and "check mode" in answer["message"]

    assert "no such question" in ask(host, image, key="../x")["msg"]
    gone = ask(host, "local/no-such-image:1")
    assert gone["done"] and gone["image_id"] is None and "is not here" in gone["message"]
    assert not pathlib.Path(host.state_dir).exists()
