# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for tests of the hands against the real container engine of this machine.

Without an engine these tests fail. Who wants to leave them out says so: ``CORTEX_TEST_ENGINE=skip``.
The image holds nothing but an empty tree: containers mount the machine's own ``/usr`` read-only and so have its Python.
"""

from __future__ import annotations

import io
import os
import pathlib
import sys
import tarfile

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from hands import IMAGE, SOCKET, Docker, Host
from own_engine import OwnEngine
from sites import Images


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.engine)
            if os.environ.get("CORTEX_TEST_ENGINE") == "skip":
                item.add_marker(pytest.mark.skip(reason="CORTEX_TEST_ENGINE=skip"))


@pytest.fixture(scope="session")
def docker():
    engine = Docker()
    try:
        engine.call("GET", "/_ping")
    except OSError as exc:
        pytest.fail(
            "no container engine at {}: {} (CORTEX_TEST_ENGINE=skip leaves these tests out)".format(SOCKET, exc)
        )
    return engine


@pytest.fixture(scope="session")
def image(docker):
    """The id of the empty image; made when it is not there."""
    return empty_image(docker)


def empty_image(docker):
    found = docker.get("/images/{}/json".format(IMAGE))
    if not found:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name in ("usr", "tmp", "proc", "sys", "dev", "etc", "run", "fake", "sbin"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            for name in ("bin", "lib", "lib64"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, "usr/" + name
                archive.addfile(entry)
        repository, tag = IMAGE.split(":")
        docker.call("POST", "/images/create?fromSrc=-&repo={}&tag={}".format(repository, tag), raw=buffer.getvalue())
        found = docker.get("/images/{}/json".format(IMAGE))
    return found["Id"]


@pytest.fixture
def images(docker):
    """Makes images of random content; all are removed at the end."""
    found = Images(docker)
    yield found
    found.clean()


@pytest.fixture(scope="module")
def own_engine(tmp_path_factory):
    """An engine that a test may restart, and whose GPU hook it may break."""
    found = OwnEngine(tmp_path_factory.mktemp("engine"))
    found.start()
    yield found
    found.end()


@pytest.fixture
def host(docker, image, tmp_path):
    found = Host(docker, image, tmp_path / "state")
    yield found
    for name, entry in docker.names().items():
        if name.startswith(found.name) or entry["Labels"].get("cortex.vllm.server") == found.name:
            docker.remove(entry["Id"])
