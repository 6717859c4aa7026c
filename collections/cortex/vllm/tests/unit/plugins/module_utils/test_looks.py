# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read from /proc, from the file system, from the engine's answers and over HTTP."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import (
    connection,
    fetch,
    follow,
    job,
    logs,
    ours,
    paths,
    ports,
    probing,
    trimming,
)
from ansible_collections.cortex.vllm.plugins.module_utils.files import RequestRefused

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: {0} 00000000:0000 {1} 00000000:00000000 00:00000000 00000000     0        0 {2} 1 x 100 0 0 10 0\n"


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        HEAD + LINE.format("0100007F:1F40", "0A", 111) + LINE.format("00000000:1F90", "0A", 112)
        + LINE.format("0100007F:1F41", "01", 113)
    )  # fmt: skip
    (tmp_path / "net" / "tcp6").write_text(HEAD + LINE.format("0" * 32 + ":2328", "0A", 114))
    (tmp_path / "42" / "fd").mkdir(parents=True)
    (tmp_path / "42" / "comm").write_bytes(b"pyth\xffn\n")
    os.symlink("socket:[111]", str(tmp_path / "42" / "fd" / "3"))
    (tmp_path / "43").mkdir()
    return str(tmp_path)


@pytest.mark.parametrize(
    "address, port, held",
    [
        ("127.0.0.1", 8000, "127.0.0.1"),
        ("0.0.0.0", 8000, "127.0.0.1"),
        ("127.0.0.2", 8000, None),
        ("127.0.0.1", 8080, "0.0.0.0"),
        ("127.0.0.1", 8001, None),  # a connection, not a listener
        ("127.0.0.1", 9000, "::"),
        ("::1", 9000, "::"),
        ("127.0.0.1", 9001, None),
    ],
)
def test_who_holds_a_port(proc, address, port, held):
    found = ports.look([{"address": address, "port": port}], [], proc)[str(port)]
    assert (found or {}).get("address") == held
    if port == 8000 and held:
        assert found["pid"] == 42 and found["process"] == "pyth\ufffdn"


def test_a_published_port_names_its_container(proc):
    short = [{"Names": ["/other"], "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 7000, "Type": "tcp"}]}]
    found = ports.look([{"address": "127.0.0.1", "port": 7000}, {"address": None, "port": 7001}], short, proc)
    assert found["7000"]["container"] == "other" and found["7001"] is None


def test_addresses_of_this_host():
    asked = ["127.0.0.1", "0.0.0.0", None, "203.0.113.9", "127.0.0.1", "no address"]
    assert ports.ours(asked) == {"127.0.0.1": True, "0.0.0.0": True, "203.0.113.9": False}


def test_no_proc_means_no_holders(tmp_path):
    assert ports.look([{"address": "127.0.0.1", "port": 1}], [], str(tmp_path / "none")) == {"1": None}


def test_paths(tmp_path):
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o640)
    (tmp_path / "l").symlink_to("nowhere")
    assert paths.look(str(tmp_path / "f"))["mode"] == "0640" and paths.look(str(tmp_path))["kind"] == "directory"
    assert paths.look("/dev/null")["kind"] == "device"
    assert paths.look(str(tmp_path / "no"))["message"] is None
    assert "nowhere" in paths.look(str(tmp_path / "l"))["message"]
    for odd in ("x\0y", str(tmp_path / "f" / "below"), "/" + "x" * 5000):
        found = paths.look(odd)
        assert found["exists"] is False and found["message"]


def test_the_host(tmp_path):
    found = paths.host([str(tmp_path / "not" / "yet"), None])
    assert (
        found["cpus"] >= 1 and found["memory_total"] > 0 and found["selinux"] in ("disabled", "permissive", "enforcing")
    )
    assert list(found["disk"]) == [str(tmp_path / "not" / "yet")]
    assert found["disk"][str(tmp_path / "not" / "yet")]["total"] > 0


INSPECT = {
    "Id": "a", "Name": "/c", "Created": "", "Image": "sha256:1", "RestartCount": 0, "Path": "secret-path",
    "State": {"Running": True, "Health": {"Status": "healthy", "Log": [{"Output": "1"}, {"Output": "x" * 9999}]}},
    "Config": {"Env": ["A=1=2", "B", "NVIDIA_VISIBLE_DEVICES=0"], "Labels": {"cortex.vllm.server": "chat"}},
    "HostConfig": {"Runtime": "runc"}, "Mounts": [{"Destination": "/run/cortex-vllm", "Source": "/s/g1"}],
    "NetworkSettings": {"Ports": {}, "Networks": {}, "SandboxID": "x"},
}  # fmt: skip


def test_a_trimmed_container_has_no_values():
    found = trimming.container(INSPECT, "salt")
    assert found["Config"]["Env"]["A"] == trimming.digest("salt", "1=2") != trimming.digest("other", "1=2")
    assert found["Config"]["Env"]["B"] == trimming.digest("salt", "")
    assert "Path" not in found and set(found["NetworkSettings"]) == {"Ports", "Networks"}
    assert len(json.dumps(found["State"])) < 1000 and found["VisibleDevices"] == "0"
    assert INSPECT["Config"]["Env"][0] == "A=1=2"  # the original is left as it is
    assert trimming.evidence(INSPECT)["Config"]["Env"] == ["A", "B", "NVIDIA_VISIBLE_DEVICES"]
    assert ours.label_of(INSPECT) == "chat" and ours.generation_dir(INSPECT) == "/s/g1" and ours.running(INSPECT)
    json.dumps(trimming.container({}, "salt")), json.dumps(trimming.image({}, None))


@pytest.mark.parametrize(
    "host, holds",
    [
        ({}, False),
        ({"DeviceRequests": [{"Capabilities": [["gpu"]], "Count": -1}]}, True),
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]}, True),
        ({"DeviceRequests": [{"Capabilities": [["tpu"]]}]}, False),
        ({"Devices": [{"PathOnHost": "/dev/nvidia0"}]}, True),
        ({"Devices": [{"PathOnHost": "/dev/fuse"}]}, False),
        ({"Runtime": "nvidia"}, True),
    ],
)
def test_who_holds_gpus(host, holds):
    assert trimming.holds_gpus(dict(INSPECT, HostConfig=host)) is holds


RULES = [
    {"phase": "import", "pattern": "importing", "percent": None},
    {"phase": "load", "pattern": r"shards:\s+(?P<p>\S+)%", "percent": "p"},
    {"phase": "serve", "pattern": "complete", "percent": None},
]


def test_phases_go_forward_and_tell_each_ten_percent():
    phases = logs.Phases(RULES)
    lines = ["x", "importing", "importing", "shards: 1%", "shards: 9%", "shards: 12%", "importing", "shards: x%",
             "shards: 200%", "complete", "shards: 5%"]  # fmt: skip
    seen = [(change["phase"], change["percent"]) for change in map(phases.feed, lines) if change]
    assert seen == [("import", None), ("load", 1), ("load", 12), ("load", 100), ("serve", None)]


@pytest.mark.parametrize("rule", [{"phase": "x", "pattern": "("}, {"phase": "x"}, None, {"phase": "x", "pattern": 3}])
def test_a_bad_phase_rule_is_named(rule):
    with pytest.raises(ValueError):
        logs.Phases([rule])


def test_times_of_the_engine_compare():
    assert logs.sortable("2026-11-22T13:00:00.5Z") < logs.sortable("2026-11-22T13:00:00.512345678Z")
    assert logs.sortable("2026-11-22T13:00:00Z") < logs.sortable("2026-11-22T13:00:00.000000001Z")
    assert logs.sortable("nonsense") == "" and logs.epoch("nonsense") == 0
    assert logs.epoch("1970-01-01T00:01:00.5Z") == 60


def test_exit_facts():
    state = {"ExitCode": 137, "OOMKilled": True, "Error": "", "StartedAt": "2026-11-22T13:00:00.1Z",
             "FinishedAt": "2026-11-22T13:00:09.1Z"}  # fmt: skip
    assert follow.exit_facts({"State": state}) == {"code": 137, "oom": True, "error": None, "seconds": 9.0}
    never = dict(state, StartedAt="0001-01-01T00:00:00Z")
    assert follow.exit_facts({"State": never})["seconds"] is None


class Logs:
    def __init__(self, chunks):
        self.chunks = chunks

    def logs(self, *args):
        return iter(self.chunks)

    def close(self):
        pass


def test_log_bytes_of_any_kind():
    since = "2026-11-22T13:00:00.000000000"
    chunks = [
        b"2026-11-22T12:59:59.9Z of an earlier start\n2026-11-22T13:00:01.0Z broken \xff\xfe by",
        b"tes\n2026-11-22T13:00:02.0Z \rshards:  10%\rshards:  20%\n2026-11-22T13:00:03.0Z " + b"x" * 9000 + b"\n",
        b"2026-11-22T13:00:04.0Z key hunter22\n2026-11-22T13:00:05.0Z no newline",
    ]
    phases = []
    reader = logs.LogReader(
        Logs(chunks), "c", since, RULES, lambda text: text.replace("hunter22", "***"), phases.append, threading.Event()
    )
    reader.run()
    assert list(reader.lines)[:3] == ["broken \ufffd\ufffd bytes", "shards:  10%", "shards:  20%"]
    assert len(reader.lines[3]) == logs.LINE_LENGTH and list(reader.lines)[4:] == ["key ***", "no newline"]
    assert [change["percent"] for change in phases] == [10, 20] and reader.ended.is_set()


class Server:
    """vLLM as the probe sees it; ``answers``: path to (status, bytes)."""

    def __init__(self, **answers):
        answers = {"/" + key.replace("__", "/"): value for key, value in answers.items()}
        self.seen = seen = []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *ignored):
                pass

            def do_GET(self):
                size = int(self.headers.get("Content-Length") or 0)
                seen.append((self.path, self.headers.get("Authorization"), self.rfile.read(size)))
                status, body = answers.get(self.path, (404, b""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.probe = {"scheme": "http", "address": "0.0.0.0", "port": self.http.server_port, "served_name": "chat",
                      "request": "completion", "token_timeout": 2.0}  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.http.shutdown()
        self.http.server_close()


MODELS = (200, b'{"data": [{"id": "chat"}, {"id": "lora"}]}')
TOKEN = (200, b'{"choices": [{"text": " there"}]}')


def prober(server, **more):
    found = probing.Prober(dict(server.probe, **more), "k3y\n", threading.Event())
    found.run()
    return found


def test_ready_is_a_token_of_the_declared_name():
    with Server(health=(200, b""), v1__models=MODELS, v1__completions=TOKEN) as server:
        assert probing.health(server.probe, "k3y")["models"] == ["chat", "lora"]
        found = prober(server)
        assert (found.text, found.failure) == (" there", None) and found.answered is not None
        assert {key for path, key, dummy in server.seen if path.startswith("/v1")} == {"Bearer k3y"}
        assert {key for path, key, dummy in server.seen if path == "/health"} == {None}
        sent = json.loads(server.seen[-1][2].decode())
        assert sent["model"] == "chat" and sent["max_tokens"] == 1
        assert prober(server, request="none").text == ""


@pytest.mark.parametrize(
    "answer, word, dying",
    [
        ((500, b"EngineCore"), "500: EngineCore", True),
        ((404, b"no"), "404", False),
        ((200, b"{}"), "without a completion", False),
        ((200, b"\xff"), "without a completion", False),
    ],
)
def test_no_token_is_not_ready(answer, word, dying):
    with Server(health=(200, b""), v1__models=MODELS, v1__completions=answer) as server:
        found = prober(server)
        assert found.text is None and word in found.failure and found.dying is dying


@pytest.mark.parametrize(
    "models, word",
    [((200, b'{"data": [{"id": "x"}]}'), "as 'x', not as 'chat'"), ((401, b""), "API key"), ((200, b"["), "200")],
)
def test_a_wrong_name_is_not_ready(models, word, monkeypatch):
    monkeypatch.setattr(probing, "NAMES_PATIENCE", 0.1)
    with Server(health=(200, b""), v1__models=models) as server:
        assert word in prober(server).failure


def test_a_server_that_says_it_serves_and_is_not_heard():
    """As where rules of another engine take the port away: the log is fine, and nobody hears it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        probe = {"scheme": "http", "address": "127.0.0.1", "port": taken.getsockname()[1], "request": "none"}
        prober = probing.Prober(probe, None, threading.Event())
        prober.start()
        deadline = time.monotonic() + 10
        while prober.unheard is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert prober.silence() is None, "while it loads, nothing is expected to answer"
        prober.hear(True)
        assert "127.0.0.1:{0} does not answer: Connection refused".format(probe["port"]) in prober.silence()
        prober.halt()


def test_health_of_a_dead_engine_and_of_nothing():
    with Server(health=(503, b"")) as server:
        found = probing.health(server.probe, None)
        assert found["http"] == 503 and found["models"] is None
    found = probing.health(dict(server.probe), None, 0.5)
    assert found["http"] is None and found["error"]


def order(**more):
    return dict({"action": "create", "expected": {"container_id": None}, "container_name": "c", "generation": "g",
                 "body": {"Image": "x"}}, **more)  # fmt: skip


def request(given=None, **more):
    base = {
        "job": "j",
        "state_dir": "/s",
        "groups": [["chat"]],
        "orders": {"chat": given or order()},
        "phase_rules": [],
    }
    return dict(base, **more)


def test_a_good_request_passes():
    job.check(request(order(secret_names=["K"])), {"chat": {"K": "v"}})


@pytest.mark.parametrize(
    "bad, word",
    [
        (request(job="../x"), "request.job"),
        (request(groups=[["chat"], ["chat"]]), "groups"),
        (request(groups=[]), "groups"),
        (request(state_dir="relative"), "state_dir"),
        (request(phase_rules=[{"phase": "a", "pattern": "("}]), "phase_rules"),
        (request(order(action="explode")), "action"),
        (request(order(body=None)), "body"),
        (request(order(expected=None)), "expected"),
        (request(order(generation="../g")), "generation"),
        (request(order(secret_names=["K"])), "K"),
        (request(order(directories=[{"path": "/etc"}])), "/etc"),
        (request(order(files=[{"path": "/etc/x"}])), "/etc/x"),
        (dict(request(), groups=[["../x"]], orders={"../x": order()}), "name"),
        (dict(request(), groups=[["locks"]], orders={"locks": order()}), "name"),
    ],
)
def test_a_bad_request_is_refused_by_field(bad, word):
    with pytest.raises(RequestRefused) as caught:
        job.check(bad, {})
    assert word in str(caught.value)


def test_progress_of_a_pull():
    progress = fetch.Progress()
    for event in (
        {"status": "Pulling from x", "id": "tag"}, {"status": "Pulling fs layer", "id": "a"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 5, "total": 10}},
        {"status": "Already exists", "id": "b"}, {"status": "Digest: sha256:x"},
    ):  # fmt: skip
        progress.feed(event)
    assert progress.summary() == {"layers": 2, "done": 1, "bytes": 5, "total": 10}
    progress.feed({"status": "Download complete", "id": "a"})
    progress.feed({"status": "Pull complete", "id": "a"})
    assert progress.summary() == {"layers": 2, "done": 2, "bytes": 10, "total": 10}


PROXIED = {"https": "http://proxy:3128", "http": "", "no": "localhost"}
PLAIN = {"https": "", "http": "", "no": ""}


@pytest.mark.parametrize(
    "text, via, code, advice",
    [
        ("dial tcp: lookup registry-1.docker.io: no such host", None, "image.registry", "docker load"),
        ("pull access denied for x", None, "image.registry", "docker login"),
        ("manifest for x:y not found: manifest unknown", PROXIED, "image.absent", "name or tag"),
        ("write /var/lib/docker/tmp: no space left on device", None, "disk.full", "free some space"),
        ("what is this", None, "image.registry", "engine's log"),
        ("unexpected EOF", PROXIED, "image.registry", "engine's log, and that of its proxy http://proxy:3128"),
        # Engines that say nothing of their proxies are not said to have none.
        ("dial tcp 10.0.0.1:443: i/o timeout", None, "image.registry", "or use a mirror"),
        ("dial tcp 10.0.0.1:443: i/o timeout", PLAIN, "image.registry", "has none of its own; HTTPS_PROXY"),
        ("dial tcp 10.0.0.1:443: i/o timeout", PROXIED, "image.registry", "was not asked: NO_PROXY is localhost"),
        ("dial tcp 10.0.0.1:443: i/o timeout", {**PLAIN, "http": "http://p"}, "image.registry", "HTTP_PROXY only"),
        ('Get "https://x/v2/": Proxy Authentication Required', PROXIED, "image.proxy", "wants another login"),
        ('Get "https://x/v2/": Bad Gateway', PROXIED, "image.proxy", "name it in NO_PROXY"),
        ('Head "https://x/v2/y/manifests/1": Forbidden', PROXIED, "image.proxy", "lets nobody through to x"),
        ('Get "https://x/v2/": proxyconnect tcp: dial tcp: lookup p: no such host', PROXIED, "image.proxy", "reached"),
        ('Get "https://x/v2/": tls: failed to verify certificate: x509: unknown authority', PLAIN, "image.registry",
         "/etc/docker/certs.d/x/ca.crt"),
        ('Get "https://x/v2/": x509: certificate signed by unknown authority', PROXIED, "image.registry",
         "update-ca-certificates"),
    ],
)  # fmt: skip
def test_a_failed_pull_says_what_to_do(text, via, code, advice):
    said, message = fetch.explain("x/y:1", text, via)
    assert said == code and advice in message and "x/y:1" in message, message


def test_a_failed_pull_tells_no_login_of_a_proxy():
    """Go shows the whole address of a proxy that it cannot read, and not every engine masks what it tells of itself."""

    class Telling:
        def info(self):
            return {"HttpsProxy": "http://me:hush@proxy:3128", "NoProxy": "a,b"}

    via = fetch.proxies(Telling())
    assert via == {"https": "http://proxy:3128", "http": "", "no": "a,b"}
    code, message = fetch.explain("x/y:1", 'invalid proxy address "http://me:hush@:x": parse', via)
    assert code == "image.proxy" and "hush" not in message and "http://:x" in message


def test_a_missing_sdk_is_said_with_the_interpreter(monkeypatch):
    monkeypatch.setattr(connection.importlib.util, "find_spec", lambda name: None)
    engine, facts = connection.facts({})
    assert engine is None and facts["status"] == "sdk_missing"
    assert "no package docker" in facts["message"] and "python3-docker" in facts["fix"]


def sdk(tmp_path, monkeypatch, docker, requests):
    """Packages of these versions on the path, as pip or a distribution leaves them; importing them would fail."""
    for name, file, text in (("docker", "version.py", docker), ("requests", "__version__.py", requests)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('imported')")
        (tmp_path / name / file).write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    "docker, requests, version, doubtful",
    [
        ('version = "5.0.3"\n', "__version__ = '2.28.1'", "5.0.3", False),
        ('version = "5.0.3"\n', "__version__ = '2.32.3'", "5.0.3", True),
        ("__version__ = version = '7.1.0'\n", "__version__ = '2.32.3'", "7.1.0", False),
        ("something else", "something else", "unknown", False),
    ],
)
def test_the_sdk_is_recognised_without_importing_it(tmp_path, monkeypatch, docker, requests, version, doubtful):
    sdk(tmp_path, monkeypatch, docker, requests)
    assert connection.sdk_on_disk() == (version, str(tmp_path / "docker"), doubtful)


@pytest.mark.parametrize("written, version", [("__version__ = version = '7.1.0'\n", "7.1.0"), ("", "unknown")])
def test_an_sdk_that_keeps_its_version_elsewhere(tmp_path, monkeypatch, written, version):
    """From 6.0 on version.py imports _version.py and only says 0.0.0 itself: so it is in Debian 13."""
    fallback = "try:\n    from ._version import __version__\nexcept ImportError:\n    __version__ = '0.0.0'\n"
    sdk(tmp_path, monkeypatch, fallback, "__version__ = '2.31.0'")
    (tmp_path / "docker" / "_version.py").write_text(written)
    assert connection.sdk_on_disk() == (version, str(tmp_path / "docker"), False)


def test_an_old_sdk_is_incompatible(tmp_path, monkeypatch):
    sdk(tmp_path, monkeypatch, 'version = "4.1.0"', "__version__ = '2.22.0'")
    engine, facts = connection.facts({})
    assert engine is None and facts["status"] == "incompatible"
    assert "4.1.0" in facts["message"] and str(tmp_path) in facts["message"]


class EngineSocket(socketserver.ThreadingUnixStreamServer):
    """An engine as far as reading goes."""

    daemon_threads = True

    def __init__(self, path):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *ignored):
                pass

            def address_string(self):
                return "unix"

            def do_GET(self):
                answers = {
                    "/version": {"ApiVersion": "1.41", "Version": "20.10", "Components": [{"Name": "Podman Engine"}]},
                    "/v1.41/info": {"Architecture": "x86_64", "Runtimes": {"runc": {}, "nvidia": {}}},
                    "/v1.41/containers/json?all=1": [{"Id": "a"}],
                    "/v1.41/containers/a/json": {"Id": "a"},
                    "/v1.41/images/org/name:tag/json": {"Id": "sha256:1"},
                }
                if self.path.endswith("broken/json"):
                    status, raw = 500, b"\xff"
                elif self.path in answers:
                    status, raw = 200, json.dumps(answers[self.path]).encode()
                else:
                    status, raw = 404, b'{"message": "no such thing"}'
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        super().__init__(path, Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_an_engine_is_read_over_its_socket(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "sdk_on_disk", lambda: ("5.0.3", "/x", False))
    path = str(tmp_path / "engine.sock")
    server = EngineSocket(path)
    try:
        engine, facts = connection.facts({"docker_host": "unix://" + path, "timeout": 5.0})
        assert (facts["status"], facts["name"], facts["api_version"]) == ("ok", "podman", "1.41")
        assert facts["runtimes"] == ["nvidia", "runc"] and facts["architecture"] == "x86_64"
        assert engine.containers() == [{"Id": "a"}] and engine.inspect("a") == {"Id": "a"}
        assert engine.inspect("b") is None and engine.image("no such: thing") is None
        assert engine.image("org/name:tag") == {"Id": "sha256:1"}
        with pytest.raises(connection.EngineError) as caught:
            engine.inspect("broken")
        assert caught.value.kind == "refused"
        engine.close()
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(connection.EngineError) as caught:
        engine.containers()
    assert caught.value.kind == "connection"


def test_sockets_that_cannot_be_used(tmp_path, monkeypatch):
    with pytest.raises(connection.EngineError) as caught:
        connection.look_at_socket("unix://" + str(tmp_path / "none.sock"))
    assert caught.value.kind in ("absent", "not_running") and "none.sock" in caught.value.message and caught.value.fix
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(connection.os, "access", lambda *ignored: False)
    with pytest.raises(connection.EngineError) as caught:
        connection.look_at_socket("unix://" + str(tmp_path / "none.sock"))
    assert caught.value.kind == "absent"
    (tmp_path / "file").write_text("")
    with pytest.raises(connection.EngineError) as caught:
        connection.look_at_socket("unix://" + str(tmp_path / "file"))
    assert caught.value.kind == "not_running"
    connection.look_at_socket("tcp://127.0.0.1:1")  # the SDK's own business


@pytest.mark.skipif(os.getuid() == 0, reason="root may connect to every socket")
def test_a_socket_without_permission(tmp_path):
    import socket

    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0)
        with pytest.raises(connection.EngineError) as caught:
            connection.look_at_socket("unix://" + str(path))
    assert caught.value.kind == "denied" and "become" in caught.value.full()
