# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole host whose Docker keeps images in containerd's store: there an image's id is the digest of its manifest.

A tar and a bundle know an image by the digest of its configuration, which such an engine never says. Same results are
wanted as everywhere: loaded once, found by tag and by digest, and nothing to do the second time.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tarfile
import typing as t

import pytest

import engines
from engines import ROOT, docker

from .conftest import Machine

pytestmark = [pytest.mark.engine, pytest.mark.long]

DIGEST = "registry.invalid/team/vllm@sha256:" + "d" * 64


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Any]:
    """Debian's docker-registry, reached as loopback from here and by this machine's address from hosts."""
    sys.path.insert(0, str(ROOT / "tests" / "engine"))
    import hands
    import test_airgap

    hands.needed("docker-registry")
    found = test_airgap.Registry(tmp_path_factory.mktemp("r") / "registry", locked=False, everywhere=True)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, registry: t.Any) -> t.Iterator[Machine]:
    image = engines.made("tests/standin/build")
    one = Machine(tmp_path_factory.mktemp("stored"), image)
    try:
        one.start(engines.made("tools/base-image", "host"), "--volume=/var/lib/containerd")
        settings = {"features": {"containerd-snapshotter": True}, "insecure-registries": [outside(registry)]}
        (one.directory / "daemon.json").write_text(json.dumps(settings))
        one.run("mkdir", "-p", "/etc/docker")
        docker("cp", str(one.directory / "daemon.json"), f"{one.name}:/etc/docker/daemon.json")
        one.run("systemctl", "restart", "docker")
        one.wait_engine()
        assert "io.containerd.snapshotter.v1" in one.run("docker", "info", "-f", "{{json .DriverStatus}}")
        one.put_model()
        yield one
    finally:
        one.remove()


def outside(registry: t.Any) -> str:
    """The registry as a host of the bridge network sees it."""
    gateway = docker("network", "inspect", "bridge", "-f", "{{range .IPAM.Config}}{{.Gateway}}{{end}}")
    return f"{gateway}:{registry.host.rpartition(':')[2]}"


@pytest.fixture
def made(tmp_path: pathlib.Path) -> t.Iterator[t.Callable[[], tuple[str, str]]]:
    """Makes small images in the engine here: ``(name, id)``."""
    names = []

    def make() -> tuple[str, str]:
        (tmp_path / "content").write_bytes(os.urandom(100_000))
        with tarfile.open(tmp_path / "content.tar", "w") as archive:
            archive.add(tmp_path / "content", "content")
        names.append(f"local/stored-{os.urandom(4).hex()}:1")
        return names[-1], docker("import", str(tmp_path / "content.tar"), names[-1])

    yield make
    docker("rmi", "--force", *names, check=False)


def play(host: Machine, hosts: str, *tasks: dict[str, t.Any], arguments: tuple[str, ...] = ()) -> dict[str, t.Any]:
    """Tasks of the collection on one host; the result of the last."""
    book = host.new_folder() / "book.json"
    book.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": list(tasks)}]))
    outcome = host.play(str(book), *arguments)
    assert outcome.code == 0, outcome.text
    return next(iter(outcome.results.values()))[-1]


def ident(host: Machine, ref: str) -> str:
    return host.run("docker", "image", "inspect", "-f", "{{.Id}}", ref, check=False)


def test_a_tar_is_loaded_once_and_its_server_stays(host: Machine, tmp_path: pathlib.Path) -> None:
    """Loaded under another id than it had; found again by tag and by digest; the second converge changes nothing."""
    docker("save", "-o", str(tmp_path / "image.tar"), host.image)
    task = {"cortex.vllm.image_load": {"path": str(tmp_path / "image.tar"), "digests": {host.image: DIGEST}}}
    first = play(host, "vllm", task)
    assert first["changed"] and first["sent"] > 10_000_000
    assert ident(host, host.image) not in ("", docker("image", "inspect", "-f", "{{.Id}}", host.image))
    again = play(host, "vllm", task)
    assert (again["changed"], again["sent"], again["remote_calls"]) == (False, 0, 1)

    for reference in (host.image, DIGEST):
        host.reset()
        host.declaration["image"] = reference
        before = host.run("docker", "ps", "-aq")
        converged = host.converged()
        host.wait_serving()
        assert reference == host.image or before == host.run("docker", "ps", "-aq"), converged.text
        unchanged = host.converged()
        assert unchanged.changed == set() and unchanged.calls_of("second") == ["exec"], unchanged.text


def test_a_bundle_is_restored_once(host: Machine, registry: t.Any, made: t.Any, tmp_path: pathlib.Path) -> None:
    """One image comes from the bundle; one that was pulled from its registry is known by its digest and not sent."""
    (loaded, _id), (source, _id2) = made(), made()
    _ref, digest = registry.push(source)
    pulled = digest.replace(registry.host, outside(registry))
    # The connected side knows the registry by the same name as the host; here that is another one.
    bundle = {"path": str(tmp_path / "bundle"), "images": [loaded, digest], "state_dir": str(tmp_path / "state")}
    play(host, "localhost", {"cortex.vllm.bundle": bundle})
    manifest = tmp_path / "bundle" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(registry.host, outside(registry)))

    host.run("docker", "pull", "--quiet", pulled)
    restore = {"cortex.vllm.restore": {"path": str(tmp_path / "bundle")}}
    done = play(host, "vllm", restore)
    size = {image["ref"]: image["size"] for image in json.loads(manifest.read_text())["images"]}
    assert done["changed"] and done["sent"] == size[loaded], done
    assert ident(host, loaded) and ident(host, pulled)
    again = play(host, "vllm", restore)
    assert (again["changed"], again["sent"]) == (False, 0)


def test_several_images_of_one_tar(host: Machine, made: t.Any, tmp_path: pathlib.Path) -> None:
    """By their names each is known; without names nobody could tell them apart, and that is said."""
    images = [made() for _number in range(2)]
    docker("save", "-o", str(tmp_path / "named.tar"), *(name for name, _id in images))
    task = {"cortex.vllm.image_load": {"path": str(tmp_path / "named.tar")}}
    assert play(host, "vllm", task)["changed"]
    assert len({ident(host, name) for name, _id in images}) == 2
    assert not play(host, "vllm", task)["changed"]

    docker("save", "-o", str(tmp_path / "nameless.tar"), *(found for _name, found in images))
    host.run("docker", "rmi", *(name for name, _id in images))
    host.run("rm", "-f", "/var/lib/cortex-vllm/images.json")
    task = {"cortex.vllm.image_load": {"path": str(tmp_path / "nameless.tar")}, "ignore_errors": True}
    refused = play(host, "vllm", task)
    assert not refused["changed"] and "docker tag" in refused["msg"], refused


def test_a_bundle_of_such_an_engine_for_another(
    host: Machine, registry: t.Any, made: t.Any, tmp_path: pathlib.Path
) -> None:
    """What it saved is loaded by an engine with the classic store, under that one's own id, once."""
    source, own = made()
    _ref, digest = registry.push(source)
    pulled = digest.replace(registry.host, outside(registry))
    host.run("docker", "pull", "--quiet", pulled)
    assert ident(host, pulled) != own
    play(host, "vllm", {"cortex.vllm.bundle": {"path": "/srv/bundle", "images": [pulled]}})
    docker("cp", f"{host.name}:/srv/bundle", str(tmp_path / "bundle"))
    docker("rmi", "--force", own)
    restore = {"cortex.vllm.restore": {"path": str(tmp_path / "bundle"), "state_dir": str(tmp_path / "state")}}
    try:
        assert play(host, "localhost", restore)["changed"]
        assert docker("image", "inspect", "-f", "{{.Id}}", own) == own
        again = play(host, "localhost", restore)
        assert (again["changed"], again["sent"]) == (False, 0)
    finally:
        docker("rmi", "--force", own, check=False)
