# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A CA that nobody else knows, and a proxy that everything must go through: models, wheels and images."""

from __future__ import annotations

import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import threading

import authority
import fake_hub
import pytest
import sites
import test_airgap
from hands import REPOSITORY, needed
from test_downloads import MODEL, python, snapshot  # noqa: F401  fixture

PASSWORD = "pr0xy-and-secret"
LOGIN = f"me:{PASSWORD}"


@pytest.fixture
def site(tmp_path):
    return sites.Site(tmp_path / "site")


@pytest.fixture
def private(tmp_path):
    return authority.Authority(tmp_path / "ca")


@pytest.fixture
def hub(private):
    """The Hub's mirror of a site, with a certificate of the site's own CA."""
    names = ("IP:127.0.0.1", "DNS:hub.invalid")
    found = fake_hub.Hub(lambda server: private.over_tls(server, *names))
    found.publish(MODEL, sites.model_files(), sites.COMMIT)
    yield found
    found.server.shutdown()


def proxied(hub, login=None):
    address = hub.server.server_address
    return authority.Proxy({"hub.invalid": address}, login)


def options(site, client, endpoint, **more):
    return {"model": MODEL, "hub_cache": str(site.folder / "hub"), "endpoint": endpoint, "python": client, **more}


def test_a_mirror_with_a_private_ca(site, hub, private, python):  # noqa: F811
    """Refused with what to do; with the CA it comes, by the option as by the variable of the task."""
    refused = site.task("download", expect=2, **options(site, python, hub.url)).last["findings"][0]
    assert refused["code"] == "hub.unreachable" and "ca_bundle" in refused["fix"], refused
    assert site.task("download", **options(site, python, hub.url, ca_bundle=str(private.ca)))["changed"]
    shutil.rmtree(site.folder / "hub")
    book = site.book(download=options(site, python, hub.url))
    plays = json.loads(book.read_text())
    plays[0]["tasks"][0]["environment"] = {"SSL_CERT_FILE": str(private.ca), "REQUESTS_CA_BUNDLE": str(private.ca)}
    book.write_text(json.dumps(plays))
    assert site.play(book).last["commit"] == sites.COMMIT


@pytest.mark.long
def test_a_proxy_with_a_password_before_it(site, hub, private, python):  # noqa: F811
    """The name of the mirror is known to the proxy alone; its password is in no argument, file or line."""
    proxy = proxied(hub, LOGIN)
    endpoint = f"https://hub.invalid:{hub.server.server_address[1]}"
    given = options(site, python, endpoint, ca_bundle=str(private.ca))
    plain = {**given, "proxy": proxy.url.replace(LOGIN, "me:wrong")}
    refused = site.play(site.book(**{"download-1": given, "download-2": {**plain, "_ignore": True}}), expect=2)
    assert refused.one("download-1")["findings"][0]["code"] == "hub.unreachable"
    done = site.play(site.book(download={**given, "proxy": proxy.url}), "-vvv")
    assert done.last["commit"] == sites.COMMIT and proxy.asked
    assert all(asked.startswith("CONNECT hub.invalid:") for asked in proxy.asked)
    assert PASSWORD not in done.text
    assert not [line for line in hub.seen_arguments if PASSWORD.encode() in line]
    for path in [path for top in (site.state, site.folder / "hub") for path in top.rglob("*") if path.is_file()]:
        assert PASSWORD.encode() not in path.read_bytes()


@pytest.mark.long
def test_the_option_counts_more_than_the_environment(site, hub, private, python):  # noqa: F811
    proxy, endpoint = proxied(hub), f"https://hub.invalid:{hub.server.server_address[1]}"
    book = site.book(download=options(site, python, endpoint, ca_bundle=str(private.ca), proxy=proxy.url))
    plays = json.loads(book.read_text())
    plays[0]["tasks"][0]["environment"] = {"https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    book.write_text(json.dumps(plays))
    assert site.play(book).last["commit"] == sites.COMMIT and proxy.asked


class Index:
    """A package index of a site over TLS: one wheel."""

    def __init__(self, private, folder):
        package = folder / "simple" / "site-package"
        package.mkdir(parents=True)
        name = "site_package-1.0-py3-none-any.whl"
        self.wheel = package / name
        import zipfile

        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("site_package.py", "")
            meta = "site_package-1.0.dist-info"
            archive.writestr(f"{meta}/METADATA", "Metadata-Version: 2.1\nName: site-package\nVersion: 1.0\n")
            archive.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{meta}/RECORD", "")
        (package / "index.html").write_text(f'<a href="{name}">{name}</a>')

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

        handler = functools.partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        private.over_tls(self.server, "DNS:pypi.invalid")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.long
def test_a_bundle_whose_wheels_come_over_both(site, private, tmp_path):
    """`vllm_environment` reaches every program of the play: pip asks the site's index through the proxy."""
    index = Index(private, tmp_path / "pypi")
    proxy = authority.Proxy({"pypi.invalid": index.server.server_address}, LOGIN)
    extra = {
        "vllm_bundle": str(tmp_path / "bundle"),
        "vllm_bundle_state_dir": str(tmp_path / "work"),
        "vllm_bundle_wheels": ["site-package"],
        "vllm_bundle_packages": [],
        "vllm_environment": {
            "HTTPS_PROXY": proxy.url,
            # pip takes the first of them where both are set.
            "REQUESTS_CA_BUNDLE": str(private.ca),
            "PIP_CERT": str(private.ca),
            "PIP_INDEX_URL": f"https://pypi.invalid:{index.server.server_address[1]}/simple",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_CONFIG_FILE": "/dev/null",
        },
    }
    done = site.play(REPOSITORY / "playbooks/bundle.yml", "-e", json.dumps(extra))
    assert (tmp_path / "bundle" / "wheels" / index.wheel.name).read_bytes() == index.wheel.read_bytes()
    assert proxy.asked and PASSWORD not in done.text
    listed = json.loads((tmp_path / "bundle" / "manifest.json").read_text())["files"]
    assert f"wheels/{index.wheel.name}" in listed
    assert "changed=0" in site.play(REPOSITORY / "playbooks/bundle.yml", "-e", json.dumps(extra)).text


def outside():
    """An address of this machine that is not loopback: engines trust registries on loopback without any TLS."""
    told = subprocess.run(
        ["docker", "network", "inspect", "bridge", "-f", "{{range .IPAM.Config}}{{.Gateway}}{{end}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout.strip()


def test_a_registry_with_a_private_ca(host, images, private, tmp_path):
    """Debian's docker-registry over TLS: what a refused pull means, and the CA in the place where the engine looks."""
    needed("docker-registry")
    address = outside()
    registry = test_airgap.Registry(
        tmp_path / "registry", locked=True, address=address, tls=private.certificate(f"IP:{address}")
    )
    trusted = pathlib.Path("/etc/docker/certs.d") / registry.host
    try:
        source, ident = images.make()
        trusted.mkdir(parents=True)
        shutil.copy(private.ca, trusted / "ca.crt")
        ref, digest = registry.push(source)
        (trusted / "ca.crt").unlink()
        images.remove(ident)
        refused = test_airgap.fetch(host, ref, test_airgap.LOGIN)
        assert refused["image_id"] is None
        assert f"/etc/docker/certs.d/{registry.host}/ca.crt" in refused["message"], refused["message"]
        shutil.copy(private.ca, trusted / "ca.crt")
        assert test_airgap.fetch(host, digest, test_airgap.LOGIN)["image_id"] == ident
    finally:
        shutil.rmtree(trusted, ignore_errors=True)
        registry.stop()
