# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way: a private registry, a bundle, nothing left, a restore, and servers declared by digest."""

from __future__ import annotations

import base64
import json
import pathlib
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid

import pytest
import sites
from hands import PREFIX, REPOSITORY, free_port, needed

USER, PASSWORD = "robot", "let-me-in-please"
#: What `htpasswd -nbB robot let-me-in-please` printed.
HTPASSWD = "robot:$2y$05$Tq8IkYO5e6NLf8tpy/JnQuRUV7Y7VQOn4zxEg68WuRD2cWZgh57Gm\n"
LOGIN = {"username": USER, "password": PASSWORD}


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.strip()


class Registry:
    """Debian's docker-registry on loopback, with or without a password."""

    def __init__(self, folder, locked, address="127.0.0.1", tls=None, everywhere=False):
        """``tls``: certificate and key; ``everywhere``: other machines reach it as well."""
        self.folder, self.host = folder, f"{address}:{free_port()}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        folder.mkdir()
        (folder / "htpasswd").write_text(HTPASSWD)
        config = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": f":{self.host.rpartition(':')[2]}" if everywhere else self.host},
        }
        if tls:
            config["http"]["tls"] = dict(zip(("certificate", "key"), tls, strict=True))
        if locked:
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
        )
        until = time.monotonic() + 20
        while not self.answers():
            assert time.monotonic() < until and self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)

    def answers(self):
        try:
            context = ssl._create_unverified_context()
            urllib.request.urlopen(f"{self.url}/v2/", timeout=2, context=context).close()
        except urllib.error.HTTPError as problem:
            return problem.code == 401
        except OSError:
            return False
        return True

    def push(self, source, repository="team/vllm"):
        """Push an image; returns its reference by digest. The tag is taken away again."""
        ref = f"{self.host}/{repository}:1"
        run("docker", "tag", source, ref)
        config = self.folder / "docker"
        config.mkdir(exist_ok=True)
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (config / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": login}}}))
        run("docker", "--config", str(config), "push", "--quiet", ref)
        digests = json.loads(run("docker", "image", "inspect", "-f", "{{json .RepoDigests}}", ref))
        run("docker", "rmi", ref)
        return ref, next(name for name in digests if name.startswith(self.host))

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def registry(tmp_path):
    """Makes registries; the distribution's package is installed when it is not there."""
    needed("docker-registry")
    found = []

    def make(locked=False):
        found.append(Registry(tmp_path / f"registry-{len(found)}", locked))
        return found[-1]

    yield make
    for one in found:
        one.stop()


def fetch(host, image, login=None):
    """Pull by the step of the module, as the actions do."""
    request, secrets = {"image": image, "budget": 20.0}, {"registry": login} if login else {}
    answer = host.step("fetch", request, secrets=secrets)
    while not answer["done"]:
        request["pull"] = answer["pull"]
        answer = host.step("fetch", request, secrets=secrets)
    return answer


def test_a_registry_with_a_password(host, images, registry):
    """Pulled with the declared login, by tag and digest; refused without; the password is nowhere."""
    source, ident = images.make()
    locked = registry(locked=True)
    ref, digest = locked.push(source)
    images.remove(ident)
    for login in (None, {"username": USER, "password": "not-the-right-one"}):
        refused = fetch(host, ref, login)
        assert refused["image_id"] is None and "registries" in refused["message"], refused
        assert "not-the-right-one" not in json.dumps(refused)
    assert fetch(host, digest, LOGIN)["image_id"] == ident
    images.remove(ident)
    assert fetch(host, ref, LOGIN)["image_id"] == ident
    for path in pathlib.Path(host.state_dir).rglob("*"):
        assert not path.is_file() or PASSWORD not in path.read_text()


@pytest.mark.long
def test_a_registry_without_a_password_and_none_at_all(host, images, registry):
    source, ident = images.make()
    ref, digest = registry().push(source)
    images.remove(ident)
    assert fetch(host, digest)["image_id"] == ident
    gone = fetch(host, "127.0.0.1:9/team/vllm:1")
    assert gone["image_id"] is None and "cortex.vllm.restore" in gone["message"]
    unknown = fetch(host, ref.replace("team/vllm", "team/none"))
    assert unknown["image_id"] is None and "correct the name" in unknown["message"], unknown


def standin(folder):
    image = run(str(REPOSITORY / "tests/standin/build"))
    run("python3", str(REPOSITORY / "tests/lib/standin_model.py"), str(folder))
    return image, {"start_timeout": 120}


def real(folder):
    image = run(str(REPOSITORY / "tools/vllm-image")).splitlines()[-1]
    made = run(str(REPOSITORY / "tools/tiny-model")).splitlines()[-1]
    shutil.copytree(made, folder)
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_RIG_FORK": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    arguments = {"enforce_eager": True, "distributed_executor_backend": "uni"}
    return image, {"start_timeout": 600, "env": environment, "engine_args": arguments}


@pytest.fixture(params=["standin", pytest.param("real", marks=[pytest.mark.long, pytest.mark.e2e])])
def server(request, tmp_path, images):
    """An image of one's own, so that it can be wiped, and a model in the connected side's cache."""
    source, declaration = {"standin": standin, "real": real}[request.param](tmp_path / "made")
    container = run("docker", "create", source)
    name = f"local/{PREFIX}{uuid.uuid4().hex[:8]}"
    ident = run("docker", "commit", "--change", f"LABEL made-for={name}", container, f"{name}:1")
    run("docker", "rm", container)
    images.ids.append(ident)
    files = {str(path.relative_to(tmp_path / "made")): path.read_bytes() for path in (tmp_path / "made").rglob("*.*")}
    sites.write_cache(tmp_path / "left-hub", "org/tiny", files)
    return f"{name}:1", ident, declaration


def test_bundle_wipe_restore_site(server, registry, images, tmp_path):
    """After the restore the site playbook starts the server with no registry and no Hub; then nothing is changed."""
    source, ident, declaration = server
    locked = registry(locked=True)
    _ref, digest = locked.push(source)
    images.remove(ident)
    name = PREFIX + uuid.uuid4().hex[:6]
    hub, bundle = tmp_path / "right" / "hub", tmp_path / "bundle"
    site = sites.Site(
        tmp_path / "right",
        connection="counted",
        vllm_prune="ignore",
        vllm_servers={
            name: {
                "image": digest,
                "model": "org/tiny",
                "hub_cache": str(hub),
                "offline": True,
                "server_port": free_port(),
                **declaration,
                "engine_args": {"max_model_len": 512, **declaration.get("engine_args", {})},
            }
        },
    )
    extra = {
        "vllm_bundle": str(bundle),
        "vllm_bundle_state_dir": str(tmp_path / "work"),
        "vllm_bundle_hub_cache": str(tmp_path / "left-hub"),
        "vllm_bundle_wheels": [],
        "vllm_bundle_packages": [],
        "vllm_registries": {locked.host: LOGIN},
    }
    told = ["-e", json.dumps(extra)]
    try:
        written = site.play(REPOSITORY / "playbooks/bundle.yml", *told)
        assert PASSWORD not in written.text and images.id(digest) == ident
        again = site.play(REPOSITORY / "playbooks/bundle.yml", *told)
        assert "changed=0" in again.text, again.text

        images.remove(ident)
        locked.stop()
        shutil.rmtree(tmp_path / "left-hub")
        proof = ["-e", json.dumps({"vllm_bundle_sha256": written.last["manifest_sha256"]})]
        site.play(REPOSITORY / "playbooks/restore.yml", *told, *proof)
        restored = site.play(REPOSITORY / "playbooks/restore.yml", *told, *proof)
        assert restored.last["changed"] is False and restored.last["sent"] == 0, restored.text
        assert images.id(digest) is None, "the engine would know the digest by itself"

        started = site.play(REPOSITORY / "playbooks/site.yml")
        assert images.id(f"{digest.partition('@')[0]}:sha256-{ident[7:19]}") == ident, started.text
        unchanged = site.play(REPOSITORY / "playbooks/site.yml")
        assert "changed=0" in unchanged.text and unchanged.changed == set()
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", f"cortex-vllm-{name}"], capture_output=True, check=False)
