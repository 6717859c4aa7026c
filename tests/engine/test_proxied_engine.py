# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real engine whose only way out is a proxy: what it pulls, and what a failed pull says of who pulls through what.

The engine lives in a network of its own that has nothing but loopback, and the proxy listens there. The registry is
Debian's docker-registry with a certificate of the site's own CA; its name is known to the proxy alone.
"""

from __future__ import annotations

import json
import pathlib
import shutil

import authority
import hands
import pytest
import sites
import test_airgap
from test_closed_sites import LOGIN, PASSWORD

pytestmark = pytest.mark.long

PORT = 3128
PROXY = f"http://{LOGIN}@127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("proxied")


@pytest.fixture(scope="module")
def private(folder):
    return authority.Authority(folder / "ca")


@pytest.fixture(scope="module")
def registry(folder, private, docker):
    """A registry with a password and one image: ``(port, tag, id)``."""
    hands.needed("docker-registry")
    found = test_airgap.Registry(folder / "registry", locked=True, tls=private.certificate("DNS:registry.invalid"))
    images = sites.Images(docker)
    source, ident = images.make()
    port = int(found.host.rpartition(":")[2])
    try:
        ref, _digest = found.push(source)  # over loopback, where engines want no certificate
        images.clean()
        yield port, ref.replace(found.host, f"registry.invalid:{port}"), ident
    finally:
        images.clean()
        found.stop()


@pytest.fixture
def engine(registry, monkeypatch, tmp_path_factory):
    """``engine(variables)`` starts one with these variables, in a network that has a proxy and nothing else."""
    from own_engine import OwnEngine

    # Not `tmp_path`: with the test's name in it the paths of its sockets are too long for the kernel.
    found = OwnEngine(tmp_path_factory.mktemp("e"))
    monkeypatch.setattr(hands, "SOCKET", found.socket)
    proxies = []

    def start(**variables):
        found.start(**variables)
        found.loopback()
        addresses = {"registry.invalid": ("127.0.0.1", registry[0])}
        proxies.append(authority.Proxy(addresses, LOGIN, PORT, found.within))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.server.shutdown()
        proxy.server.server_close()
    if found.process is not None:
        found.end()


@pytest.fixture
def host(tmp_path):
    return hands.Host(None, None, tmp_path / "state")


@pytest.fixture
def trusted(private, registry):
    """The CA of the registry, where the engine looks for it."""
    place = pathlib.Path("/etc/docker/certs.d") / f"registry.invalid:{registry[0]}"
    place.mkdir(parents=True)
    shutil.copy(private.ca, place / "ca.crt")
    yield place / "ca.crt"
    shutil.rmtree(place, ignore_errors=True)


def refused(host, ref, code):
    answer = test_airgap.fetch(host, ref, test_airgap.LOGIN)
    assert (answer["image_id"], answer["code"]) == (None, code), answer
    text = json.dumps(answer) + "".join(path.read_text() for path in host.state_dir.rglob("*") if path.is_file())
    assert PASSWORD not in text and test_airgap.PASSWORD not in text
    return answer["message"]


def test_pulled_through_the_engines_own_proxy(host, engine, registry, trusted):
    """With the CA and the login it comes; what the proxy does not let through, and a CA that is missing, are told."""
    port, ref, ident = registry
    proxy = engine(HTTPS_PROXY=PROXY)
    certificate = trusted.read_bytes()
    trusted.unlink()
    unknown = refused(host, ref, "image.registry")
    assert str(trusted) in unknown and f"proxy http://127.0.0.1:{PORT} opens TLS" in unknown, unknown
    trusted.write_bytes(certificate)
    assert test_airgap.fetch(host, ref, test_airgap.LOGIN)["image_id"] == ident
    assert set(proxy.asked) == {f"CONNECT registry.invalid:{port}"}
    other = refused(host, "other.invalid/team/vllm:1", "image.proxy")
    assert "lets nobody through to other.invalid" in other and "NO_PROXY" in other, other


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({}, "image.registry", ["the engine pulls, not the play, and has none of its own", "host_engine_environment"]),
        ({"HTTP_PROXY": PROXY}, "image.registry", ["an HTTP_PROXY only"]),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "registry.invalid"}, "image.registry", ["NO_PROXY is registry.invalid"]),
        ({"HTTPS_PROXY": PROXY.replace(PASSWORD, "not-this")}, "image.proxy", ["wants another login", f":{PORT}"]),
        ({"HTTPS_PROXY": f"http://{LOGIN}@127.0.0.1:9"}, "image.proxy", ["127.0.0.1:9, which cannot be reached"]),
    ],
    ids=["none", "http-only", "not-asked", "login", "dead"],
)
def test_a_failed_pull_tells_who_pulls_and_through_what(host, engine, registry, trusted, variables, code, words):
    proxy = engine(**variables)
    message = refused(host, registry[1], code)
    assert all(word in message for word in words), message
    assert not proxy.asked
