# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that only read (observe, watch, probe), fetch, and the public modules, against a real engine."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hands import IMAGE, RULES, free_port, kinds, one, result, run_module


def digest(salt, value):
    return hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()


def test_observe_reads_everything_and_changes_nothing(host):
    body = host.body(env=["SECRET_TOKEN=very-secret-value", "EMPTY="])
    host.converge("create", body=body)
    before = {str(p): p.stat().st_mtime_ns for p in host.state_dir.rglob("*")}
    look = host.observe(
        images=[IMAGE, "no/such:image", "Not A Reference"], paths=["/etc/hostname", "/no/such", "/var/run/docker.sock"],
        ports=[{"address": "127.0.0.1", "port": host.port}, {"address": "127.0.0.1", "port": free_port()}],
        models=[{"key": "m", "model": "/no/such", "revision": None, "hub_cache": None}], gpus=True,
    )  # fmt: skip
    assert before == {str(p): p.stat().st_mtime_ns for p in host.state_dir.rglob("*")}
    engine = look["engine"]
    assert engine["status"] == "ok" and engine["name"] == "docker" and engine["sdk_version"] and engine["sdk_path"]
    assert "runc" in engine["runtimes"] and engine["root_dir"] in look["host"]["disk"]
    (container,) = [c for c in look["containers"] if c["Name"] == "/" + host.container]
    env = container["Config"]["Env"]
    assert env["SECRET_TOKEN"] == digest(look["salt"], "very-secret-value") and env["EMPTY"] == digest(look["salt"], "")
    assert "very-secret-value" not in json.dumps(look["containers"])
    assert set(container) == {
        "Id", "Name", "Created", "Image", "RestartCount", "State", "Config", "HostConfig", "Mounts", "NetworkSettings",
        "VisibleDevices",
    }  # fmt: skip
    assert look["images"][IMAGE]["id"] == host.image == look["images"][host.image]["id"]
    assert look["images"]["no/such:image"] is None and look["images"]["Not A Reference"] is None
    assert look["paths"]["/etc/hostname"]["kind"] == "file" and look["paths"]["/no/such"]["exists"] is False
    assert look["paths"]["/var/run/docker.sock"]["kind"] == "socket"
    held, free = look["ports"].values()
    assert held["container"] == host.container and held["process"] == "docker-proxy" and free is None
    assert look["models"]["m"]["status"] == "absent"
    assert look["gpus"]["status"] in ("ok", "absent", "error")
    server = look["servers"][host.name]
    assert server["health"]["http"] == 200 and server["problem"] is None
    assert server["state_hash"] == hashlib.sha256((host.state_dir / host.name / "state.json").read_bytes()).hexdigest()


def test_observe_names_the_process_on_a_port(host):
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        port = mine.getsockname()[1]
        held = host.observe(ports=[{"address": "0.0.0.0", "port": port}])["ports"][str(port)]
    assert held["pid"] == os.getpid() and held["container"] is None


def test_observe_knows_the_committed_image_without_its_container(host):
    host.converge("create")
    host.docker.remove(host.container)
    assert host.observe()["images"][host.image]["id"] == host.image


def test_observe_survives_a_damaged_state(host):
    host.converge("create")
    (host.state_dir / host.name / "state.json").write_bytes(b"\xff{")
    look = host.observe()["servers"][host.name]
    assert look["state"] is None and "damaged" in look["problem"] and look["state_hash"]


def test_observe_tells_of_servers_nobody_asked_for(host):
    host.converge("create")
    look = host.step("observe", {"servers": []})["observation"]
    assert look["servers"][host.name]["state"]["committed"]["generation"] == "g1"


def test_observe_without_an_engine_still_answers(tmp_path):
    for docker_host, status in (("unix:///no/such.sock", "not_running"), ("tcp://127.0.0.1:1", "not_running")):
        answer = run_module(
            {"step": "observe", "request": {"schema": 1, "state_dir": str(tmp_path)}, "docker_host": docker_host}
        )
        assert answer["observation"]["engine"]["status"] == status, answer
        assert answer["observation"]["host"]["cpus"] > 0


def test_a_no_change_observe_of_fifty_servers_is_fast(host):
    """Printed, not asserted: machines differ. The fifty containers are only created, one runs."""
    host.converge("create")
    asked = []
    for number in range(49):
        name = "{}-{}".format(host.name, number)
        host.docker.call("POST", "/containers/create?name=" + name, host.body())
        asked.append({"name": name, "container_name": name})
    asked.append({"name": host.name, "container_name": host.container})
    begin = time.monotonic()
    look = host.step("observe", {"servers": asked, "health": True})["observation"]
    print("observe of 50 servers, process included: {:.2f} s".format(time.monotonic() - begin))
    assert len([c for c in look["containers"] if c["Name"].lstrip("/").startswith(host.name)]) == 50


def test_watch_of_a_job_that_never_began(host):
    answer = host.step("watch", {"jobs": {host.name: {"job": "x", "offset": 0}}, "budget": 5})
    assert answer["servers"][host.name] == {"events": [], "offset": 0, "alive": False} and answer["waited"] < 1


def test_watch_returns_within_its_budget(host):
    job = host.apply(host.order("create", "--load", "6"))
    host.watch(job, until="phase")
    offset = (host.state_dir / host.name / "journal.jsonl").stat().st_size
    answer = host.step("watch", {"jobs": {host.name: dict(job, offset=offset)}, "budget": 0.3})
    assert answer["servers"][host.name]["alive"] is True and answer["waited"] < 1.5
    assert result(host.watch(job)) == "ok"


def probe(host, **more):
    return host.step("probe", dict({"container_name": host.container, "probe": None, "phase_rules": RULES}, **more))


def test_probe_tells_ready_loading_failed_stopped_absent(host):
    assert probe(host)["state"] == "absent"
    host.converge("create", "--load", "4")
    answer = probe(host)  # the probe that was committed is used
    assert answer["state"] == "ready" and answer["token"] == " there" and answer["http"] == 200
    host.docker.call("POST", "/containers/{}/stop?t=1".format(host.container))
    assert probe(host)["state"] == "stopped"
    host.docker.call("POST", "/containers/{}/start".format(host.container))
    answer = probe(host, budget=0.5)
    assert answer["state"] == "loading" and answer["phase"] in ("arguments", "loading weights", None)
    assert probe(host, budget=15)["state"] == "ready"


def test_probe_ends_at_once_on_death(host):
    host.converge("create", "--load", "3", "--fail", "5", "--fail-if", "/run/cortex-vllm/broken")
    (host.state_dir / host.name / "generations" / "g1" / "broken").write_text("")
    host.docker.call("POST", "/containers/{}/update".format(host.container), {"RestartPolicy": {"Name": "no"}})
    host.docker.call("POST", "/containers/{}/restart?t=1".format(host.container))
    begin = time.monotonic()
    answer = probe(host, budget=30)
    assert answer["state"] == "failed" and answer["exit"]["code"] == 5 and time.monotonic() - begin < 10
    assert any("the telling line" in line for line in answer["log"])
    again = probe(host)
    assert again["state"] == "failed" and any("the telling line" in line for line in again["log"])


class Registry(BaseHTTPRequestHandler):
    """As much of a registry as one image of one layer needs; answers slowly, so that a pull spans several calls."""

    blobs: dict = {}
    manifest = b""
    KIND = "application/vnd.docker.distribution.manifest.v2+json"

    def log_message(self, *ignored):
        pass

    def do_GET(self):
        if "/manifests/" in self.path:
            found, kind = (self.manifest, self.KIND) if "missing" not in self.path else (None, "")
        else:
            found, kind = self.blobs.get(self.path.rsplit("/", 1)[-1], b"{}"), "application/octet-stream"
        if found is None:
            error = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
            self.send_response(404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(error)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(error)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(found)))
        self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(found).hexdigest())
        self.end_headers()
        if self.command == "GET":
            if len(found) > 10000:
                time.sleep(2.5)
            self.wfile.write(found)

    do_HEAD = do_GET


def registry():
    """A registry on this machine with one image; docker trusts 127.0.0.1 without TLS."""
    import gzip
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("blob")
        entry.size = 200000
        archive.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    layer = gzip.compress(buffer.getvalue())
    config = json.dumps(
        {
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(buffer.getvalue()).hexdigest()]},
        }
    ).encode()  # fmt: skip

    def entry_of(kind, data):
        name = "sha256:" + hashlib.sha256(data).hexdigest()
        Registry.blobs[name] = data
        return {"mediaType": "application/vnd.docker." + kind, "size": len(data), "digest": name}

    Registry.manifest = json.dumps(
        {
            "schemaVersion": 2, "mediaType": Registry.KIND, "config": entry_of("container.image.v1+json", config),
            "layers": [entry_of("image.rootfs.diff.tar.gzip", layer)],
        }
    ).encode()  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def fetch_all(host, request):
    answers = []
    while len(answers) < 40:
        answer = host.step("fetch", dict(request, budget=0.5))
        assert not answer.get("failed"), answer
        answers.append(answer)
        if answer["done"]:
            return answers
        request = dict(request, pull=answer["pull"])
    raise AssertionError(answers)


def test_fetch_pulls_in_slices(host, docker):
    server = registry()
    ref = "127.0.0.1:{}/hands/small:1".format(server.server_port)
    try:
        checked = run_module(
            {"step": "fetch", "request": {"schema": 1, "image": ref, "state_dir": str(host.state_dir)}}, check=True
        )
        assert checked["done"] is False and "check mode" in checked["message"]
        answers = fetch_all(host, {"image": ref})
        assert len(answers) > 1 and answers[-1]["image_id"], answers
        assert answers[-1]["progress"]["layers"] == 1 == answers[-1]["progress"]["done"]
        assert fetch_all(host, {"image": ref})[0]["message"] == "the image is there"
        forced = fetch_all(host, {"image": ref, "force": True})
        assert forced[-1]["image_id"] == answers[-1]["image_id"] and forced[-1]["pull"] != answers[-1]["pull"]
        missing = fetch_all(host, {"image": ref.replace("small", "missing")})[-1]
        assert missing["image_id"] is None and "correct the name or tag" in missing["message"], missing
    finally:
        server.shutdown()
        docker.call("DELETE", "/images/{}?force=1".format(ref))


def test_fetch_without_a_registry_says_so(host):
    (answer,) = fetch_all(host, {"image": "127.0.0.1:1/none:1"})[-1:]
    assert answer["image_id"] is None and "does not reach the registry" in answer["message"]


def test_gpu_info_never_fails_on_a_host_without_gpus():
    answer = run_module({}, module="gpu_info", check=True)
    assert answer["changed"] is False and answer["status"] in ("ok", "absent", "error") and "gpus" in answer


def test_models_are_looked_at_without_an_engine(tmp_path):
    request = {"schema": 1, "do": "look", "models": [{"key": "m", "model": str(tmp_path)}]}
    answer = run_module({"step": "model", "request": request, "docker_host": "unix:///nowhere.sock"})
    assert answer["models"]["m"]["status"] == "incomplete"


def test_nobody_is_left_behind(host):
    """No job and no process of ours stays when the work is done."""
    job = host.apply(host.order("create"))
    assert result(host.watch(job)) == "ok"
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        out = subprocess.run(["fuser", str(host.state_dir / host.name / "journal.jsonl")], capture_output=True)
        if out.returncode:
            return
        time.sleep(0.1)
    raise AssertionError(out)


def test_death_right_after_the_commit_is_seen_by_observe(host):
    events = host.converge("create", "--dies-after", "1.5", verified_restart_policy={"Name": "no"})
    assert result(events) == "ok" and kinds(events)[-1] == "done" and one(events, "committed")
    time.sleep(2)
    look = host.observe()
    (container,) = [c for c in look["containers"] if c["Name"] == "/" + host.container]
    assert container["State"]["Status"] == "exited" and look["servers"][host.name]["health"] is None
