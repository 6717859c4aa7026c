# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models from host to host: a staging host lends its cache for the time of a play, and others take what they need."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading

import pytest
import sites
from hands import free_port

MODEL = "org/tiny"
TOKEN = "of-this-play-0123456789-and-more"
NEEDED = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "2_Dense/pytorch_model.bin"}


@pytest.fixture
def store(tmp_path):
    """The cache of the staging host, with two revisions."""
    sites.write_cache(tmp_path / "store", MODEL, sites.model_files(seed=9), sites.OLDER, refs=("old",))
    sites.write_cache(tmp_path / "store", MODEL, sites.model_files(), sites.COMMIT)
    return tmp_path / "store"


@pytest.fixture
def staging(tmp_path):
    """The host that has them. Whatever it lends ends with the test."""
    site = sites.Site(tmp_path / "staging")
    yield site
    site.task("lend", state="absent", token=TOKEN)


@pytest.fixture
def host(tmp_path):
    return sites.Site(tmp_path / "host", connection="counted")


def lend(staging, store, host, **more):
    options = {"address": "127.0.0.1", "models": [MODEL], "hub_cache": str(host.folder / "hub"), **more}
    return staging.task("lend", store=str(store), token=TOKEN, **options)["lent"]


def weights(top):
    return top / "models--org--tiny" / "blobs" / sites.blob_name(sites.model_files()["model.safetensors"], True)


def ask(port, path, token=TOKEN, **headers):
    """``(status, body)`` of a request of a stranger's own making."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_taken_from_the_host_that_has_it(staging, store, host):
    """Only what the revision needs, nothing over the controller, as the Hub's client writes it; then nothing."""
    lent = lend(staging, store, host)
    assert lend(staging, store, host) == lent, "a second host of the play gets the same"
    foretold = host.task("restore", "--check", lent=lent, token=TOKEN)
    assert foretold["changed"] and not (host.folder / "hub").exists()
    done = host.task("restore", lent=lent, token=TOKEN)
    assert done["changed"] and done["sent"] == 0 and host.puts() == 0
    folder = host.folder / "hub" / "models--org--tiny"
    files = folder / "snapshots" / sites.COMMIT
    assert {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()} == NEEDED
    for name in NEEDED:
        assert (files / name).is_symlink() and (files / name).read_bytes() == sites.model_files()[name]
    assert sites.tree(folder / "refs") == {"main": sites.COMMIT.encode()}
    assert not (folder / ".cortex-vllm-incoming").exists()
    again = host.task("restore", lent=lent, token=TOKEN)
    assert not again["changed"] and again["remote_calls"] == 1
    # The token is a secret: it is in no file of either side.
    for path in [path for site in (staging, host) for path in site.state.rglob("*") if path.is_file()]:
        assert TOKEN not in path.read_text(errors="replace"), path

    staging.task("lend", state="absent", token=TOKEN)
    with pytest.raises(OSError):
        ask(lent["port"], "/")
    assert not list(staging.state.rglob("*lend-*"))


def test_who_may_have_what(staging, store, host):
    """Nothing without the token, and with it nothing but contents of the cache."""
    (store / "models--org--tiny" / "secret").write_text("x")
    (store.parent / "outside").write_text("x")
    port = lend(staging, store, host)["port"]
    blob = "/models--org--tiny/" + weights(store).name
    for token in (None, "", "wrong", TOKEN[:-1], TOKEN + "x", "\xe9"):
        assert ask(port, blob, token) == (403, b""), token
    content = weights(store).read_bytes()
    assert ask(port, blob) == (200, content)
    assert ask(port, blob, Range="bytes=1000-") == (206, content[1000:])
    assert ask(port, blob, Range=f"bytes={len(content) + 1}-")[0] == 416
    assert ask(port, blob, Range="bytes=-5")[0] == 416
    strange = [
        "/", "/models--org--tiny/secret", "/models--org--tiny/refs/main", "/../outside", "/models--../outside",
        f"/models--org--tiny/../models--org--tiny/{weights(store).name}", f"/models--org--none/{'a' * 64}",
        f"/models--org--tiny/{'b' * 40}", f"/models--org--tiny/blobs/{weights(store).name}", f"{blob}%00", f"{blob}?x",
    ]  # fmt: skip
    assert {path: ask(port, path)[0] for path in strange} == dict.fromkeys(strange, 404)


@pytest.mark.long
def test_what_arrived_is_kept_and_a_changed_byte_refused(staging, store, host):
    """A transfer that was cut off goes on where it ended; a content that is not what its name says is refused."""
    content = weights(store).read_bytes()
    incoming = host.folder / "hub" / "models--org--tiny" / ".cortex-vllm-incoming"
    incoming.mkdir(parents=True)
    (incoming / f"{weights(store).name}.part").write_bytes(content[:200_000])
    weights(store).write_bytes(b"\0" * 200_000 + content[200_000:])  # the part that has arrived is not asked for again
    lent = lend(staging, store, host)
    assert host.task("restore", lent=lent, token=TOKEN)["changed"]
    arrived = weights(host.folder / "hub")
    assert arrived.read_bytes() == content

    arrived.write_bytes(content[:-1] + b"!")  # damaged here as well: only `verify` sees that, and brings it anew
    refused = host.task("restore", expect=2, lent=lent, token=TOKEN, verify=True).last["findings"]
    assert [finding["code"] for finding in refused] == ["bundle.damaged"]
    assert f"127.0.0.1:{weights(store)} has another content" in refused[0]["message"], refused
    weights(store).write_bytes(content)
    assert host.task("restore", lent=lent, token=TOKEN, verify=True)["changed"]
    assert arrived.read_bytes() == content and not incoming.exists()


class Cutting:
    """A way between two hosts that ends each connection after so many bytes."""

    def __init__(self, port, after):
        self.port, self.after, self.connections = port, after, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            near, _address = self.listener.accept()
            self.connections += 1
            with near, socket.create_connection(("127.0.0.1", self.port)) as far:
                far.sendall(near.recv(65536))
                left = self.after
                while left > 0 and (data := far.recv(min(left, 65536))):
                    near.sendall(data)
                    left -= len(data)


@pytest.mark.long
def test_a_connection_that_breaks_again_and_again(staging, store, host):
    lent = lend(staging, store, host)
    way = Cutting(lent["port"], 70_000)
    done = host.task("restore", lent={**lent, "port": way.listener.getsockname()[1]}, token=TOKEN)
    assert done["changed"] and way.connections > 5
    assert weights(host.folder / "hub").read_bytes() == weights(store).read_bytes()


@pytest.mark.long
def test_what_cannot_be_lent_or_taken(staging, store, host):
    tries = {
        "lend-short": ({"store": str(store), "address": "x", "token": "short"}, "spec.value", "token"),
        "lend-nothing": ({"token": TOKEN}, "spec.shape", "store"),
        "lend-lacks": ({"store": str(store), "address": "x", "token": TOKEN, "models": ["org/other"]},
                       "bundle.lacks", "store"),
        "lend-port": ({"store": str(store), "address": "x", "token": TOKEN, "port": 70_000}, "spec.value", "port"),
        "restore-shape": ({"lent": {"host": "x"}, "token": TOKEN}, "spec.shape", "lent"),
        "restore-both": ({"lent": {"host": "x"}, "store": "/x", "token": TOKEN}, "spec.shape", "path"),
    }  # fmt: skip
    outcome = staging.play(
        staging.book(**{name: {**given, "_ignore": True} for name, (given, _c, _f) in tries.items()})
    )
    for name, (_given, code, field) in tries.items():
        result = outcome.one(name)
        assert (code, field) in [(row["code"], row["field"]) for row in result["findings"]], result
        assert "Traceback" not in str(result)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        text = staging.task(
            "lend", expect=2, store=str(store), token=TOKEN, address="x", models=[MODEL], port=port
        ).text
    assert f"port {port}" in text and "in use" in text
    lent = lend(staging, store, host)
    told = host.task("restore", expect=2, lent=lent, token=TOKEN[::-1]).text
    assert "lends to another play" in told and TOKEN[::-1] not in told
    gone = host.task("restore", expect=2, lent={**lent, "port": free_port()}, token=TOKEN).text
    assert "firewall" in gone


@pytest.mark.long
def test_the_role_does_both_ends(tmp_path, store):
    """Two hosts take what each declares; the second run changes nothing, and nobody lends any more."""
    site = sites.Site(tmp_path / "role", connection="counted")
    book = tmp_path / "role.json"
    role = [{"hosts": "vllm", "gather_facts": False, "roles": [{"role": "cortex.vllm.models"}]}]
    book.write_text(json.dumps(role))
    server = {"image": "local/none:1", "model": MODEL, "offline": True, "server_port": 8000}
    site.variables.update(
        vllm_models_source="staging", vllm_models_staging_host="here", vllm_models_store=str(store),
        vllm_hub_cache=str(tmp_path / "hub"), vllm_servers={"chat": server},
    )  # fmt: skip
    first = site.play(book, "-v")
    assert "failed=0" in first.text and weights(tmp_path / "hub").exists()
    assert not list((site.state / "work").glob("lend-*.json"))
    again = site.play(book, "-v")
    assert "changed=0" in again.text, again.text
    unknown = site.play(book, "-e", "vllm_models_staging_host=nobody", expect=2)
    assert "has no such" in unknown.text
