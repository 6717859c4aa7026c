# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher and the health check, really run by the shells that images have."""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("jinja2")

from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering.files import health_check, launcher, turn

SHELLS = {
    "dash": [shutil.which("dash")],
    "busybox": [shutil.which("busybox"), "sh"],
    "bash": [shutil.which("bash"), "--posix"],
}
#: Says its environment and arguments, one word a line, and how it was started.
PROGRAM = ["/bin/sh", "-c", 'printf "%s\\n" "key=${VLLM_API_KEY-unset}" "other=${OTHER-unset}" "$@"; exit 7', "x"]


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    command = SHELLS[request.param]
    if command[0] is None:
        pytest.skip(f"{request.param} is not on this machine")
    return [str(word) for word in command]


class Box:
    """The two directories that a container mounts, and a launcher for them."""

    def __init__(self, root: pathlib.Path) -> None:
        self.files, self.state = root / "files", root / "state"
        self.secrets = self.files / "secrets"
        for directory in (self.secrets, self.state):
            directory.mkdir(parents=True)
        (self.files / "generation").write_text("abc123\n")
        self.counter = self.state / "failed-starts"
        self.write()

    def write(self, **options: Any) -> None:
        text = launcher(files=str(self.files), state=str(self.state), **options)
        # Waits are told, not waited for, unless a test wants them.
        (self.files / "launch.sh").write_text(text)

    def start(self, shell: list[str], *arguments: str, env: dict[str, str] | None = None, fast: bool = True) -> Any:
        path = self.files.parent / "bin"
        path.mkdir(exist_ok=True)
        if fast:
            sleep = path / "sleep"
            sleep.write_text(f'#!/bin/sh\necho "slept $1" >> {self.files.parent}/slept\n')
            sleep.chmod(0o755)
        # A shell with a built-in sleep would not notice the stand-in; none of these has one by default.
        return subprocess.run(
            [*shell, str(self.files / "launch.sh"), *PROGRAM, *arguments],
            env={"PATH": f"{path}:{os.environ['PATH']}", **(env or {})},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def stopped_after(self, words: str, shell: list[str]) -> None:
        """Start it, and once it says the words, stop it: it ends at once."""
        process = subprocess.Popen(
            [*shell, str(self.files / "launch.sh"), *PROGRAM], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stderr is not None
        try:
            assert words in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=5) == -signal.SIGTERM
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its sleep, which a container's init would end

    @property
    def slept(self) -> list[str]:
        path = self.files.parent / "slept"
        return path.read_text().split("\n")[:-1] if path.exists() else []


def test_a_turn_that_cannot_be_had_keeps_no_server_from_starting(shell: list[str], box: Box) -> None:
    (box.files / "turn.py").write_text(turn(limit=1, word=1, step=0.1))
    box.write(turn=["http://127.0.0.1:9/health", str(box.files.parent / "nowhere")])
    done = box.start(shell, "a")
    assert done.returncode == 7 and "starts without a turn on nowhere" in done.stderr, done.stderr


def test_who_holds_a_turn_for_ever_is_waited_for_no_longer(shell: list[str], box: Box) -> None:
    folder = box.files.parent / "GPU-1"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (box.files / "turn.py").write_text(turn(limit=1, word=0.3, step=0.1))
    box.write(turn=["http://127.0.0.1:9/health", str(folder)])
    done = box.start(shell, "a")
    os.close(descriptor)
    assert done.returncode == 7 and "this one begins beside it" in done.stderr
    assert done.stderr.count("waits for its turn") >= 3, "somebody who follows the log sees that it goes on"


def test_without_python_a_server_starts_without_turns(shell: list[str], box: Box) -> None:
    box.write(turn=["http://127.0.0.1:9/health", "/nowhere"], before=[])
    tools = box.files.parent / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "id", "printf", "mkdir", "cp"):
        (tools / name).symlink_to(shutil.which(name) or "/bin/false")
    done = subprocess.run(
        [*shell, str(box.files / "launch.sh"), *PROGRAM],
        env={"PATH": str(tools)}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 7 and "no python3 in this image" in done.stderr, done.stderr


@pytest.fixture
def box(tmp_path: pathlib.Path) -> Box:
    return Box(tmp_path)


def test_becomes_the_program_with_its_very_arguments(shell: list[str], box: Box) -> None:
    words = ["/model", "--x", '{"a": "b c"}', "it's", "$HOME `id` \\", "", "--no-y", "*"]
    done = box.start(shell, *words)
    assert done.returncode == 7
    assert done.stdout.split("\n")[:-1] == ["key=unset", "other=unset", *words]
    assert done.stderr == ""


@pytest.mark.parametrize("value", ["hunter2", "a b'c\"d$e`f\\g*", "line one\nline two", " spaces ", "-n", "é"])
def test_exports_each_secret_as_it_is(shell: list[str], box: Box, value: str) -> None:
    (box.secrets / "VLLM_API_KEY").write_text(value)
    (box.secrets / "OTHER").write_text("second\n")
    done = box.start(shell)
    assert done.stdout == f"key={value}\nother=second\n", "a line break at the end of a file is nobody's"
    assert value not in done.stderr


def test_the_environment_of_the_container_stays(shell: list[str], box: Box) -> None:
    assert "other=theirs\n" in box.start(shell, env={"OTHER": "theirs"}).stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_secret_is_told_as_a_user(shell: list[str], box: Box) -> None:
    (box.secrets / "VLLM_API_KEY").touch(0o000)
    done = box.start(shell)
    assert done.returncode == 78 and "may not read" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="changes the user")
def test_runs_as_another_user_on_files_it_cannot_write(shell: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:  # pytest's own directories are for their owner alone
        os.chmod(root, 0o755)
        check_as_another_user(shell, Box(pathlib.Path(root)))


def check_as_another_user(shell: list[str], box: Box) -> None:
    (box.secrets / "VLLM_API_KEY").write_text("hunter2")
    (box.secrets / "VLLM_API_KEY").chmod(0o400)
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *shell]
    done = box.start(user)
    assert done.returncode == 78
    assert "user 65534 of this container may not read" in done.stderr and "hunter2" not in done.stderr
    assert "failed-starts cannot be written by user 65534" in done.stderr
    os.chown(box.secrets / "VLLM_API_KEY", 65534, 65534)
    os.chown(box.state, 65534, 65534)
    done = box.start(user)
    assert done.returncode == 7 and "key=hunter2" in done.stdout
    assert box.counter.read_text() == "abc123 1\n"


def test_waits_longer_after_each_failed_start(shell: list[str], box: Box) -> None:
    said = [box.start(shell).stderr for _start in range(9)]
    assert box.slept == [f"slept {seconds}" for seconds in (5, 10, 20, 40, 80, 160, 300, 300)]
    assert said[0] == ""
    assert said[3] == "cortex-vllm: 3 failed starts in a row; the next one begins in 20 s\n"
    assert box.counter.read_text() == "abc123 9\n"


def test_gives_up_in_the_end_and_can_still_be_stopped(shell: list[str], box: Box) -> None:
    box.counter.write_text("abc123 12\n")
    box.stopped_after("gave up after 12 failed starts in a row", shell)


def test_another_generation_begins_at_zero(shell: list[str], box: Box) -> None:
    box.counter.write_text("0ther 7\n")
    assert box.start(shell).stderr == "" and box.slept == []
    assert box.counter.read_text() == "abc123 1\n"


@pytest.mark.parametrize("content", ["", "\n", "abc123", "abc123 many\n", "abc123 -1\n", "abc123 1 2\n", "\0\1"])
def test_a_broken_count_is_no_count(shell: list[str], box: Box, content: str) -> None:
    box.counter.write_text(content)
    assert box.start(shell).returncode == 7
    assert box.slept == [] and box.counter.read_text() == "abc123 1\n"


def test_nothing_is_counted_without_a_health_check(shell: list[str], box: Box) -> None:
    box.write(back_off=False)
    assert box.start(shell).returncode == 7
    assert not box.counter.exists()


def test_a_stop_during_the_wait_ends_it(shell: list[str], box: Box) -> None:
    box.counter.write_text("abc123 5\n")
    box.stopped_after("begins in 80 s", shell)


def test_the_image_s_own_cache_is_kept(shell: list[str], box: Box, tmp_path: pathlib.Path) -> None:
    warm = tmp_path / "home" / ".cache" / "vllm" / "modelinfos"
    warm.mkdir(parents=True)
    (warm / "x.json").write_text("{}")
    env = {"HOME": str(tmp_path / "home"), "VLLM_CACHE_ROOT": str(tmp_path / "cache")}
    box.start(shell, env=env)
    assert (tmp_path / "cache" / "modelinfos" / "x.json").read_text() == "{}"
    (warm / "y.json").write_text("{}")
    box.start(shell, env=env)
    assert not (tmp_path / "cache" / "modelinfos" / "y.json").exists(), "only an empty cache is filled"


# --- health check ---------------------------------------------------------------------------------------------------


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers /health with the server's status."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/health" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def vllm() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.status = 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["curl", "python"])
def tools(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> dict[str, str]:
    """An environment whose PATH has either curl or Python."""
    path = tmp_path / "tools"
    path.mkdir()
    wanted = "curl" if request.param == "curl" else "python3"
    found = {"curl": shutil.which("curl"), "python3": sys.executable}[wanted]
    if found is None:
        pytest.skip(f"{wanted} is not on this machine")
    (path / wanted).symlink_to(pathlib.Path(found).resolve())
    (path / "rm").symlink_to(str(shutil.which("rm")))
    # A proxy of the environment must not be asked.
    return {"PATH": str(path), "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def check(tmp_path: pathlib.Path, url: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "health.sh"
    script.write_text(health_check(url, state=str(tmp_path)))
    return subprocess.run(["/bin/sh", str(script)], env=env, capture_output=True, text=True, timeout=30, check=False)


def test_healthy_takes_the_count_away(vllm: Any, tools: dict[str, str], tmp_path: pathlib.Path) -> None:
    counter = tmp_path / "failed-starts"
    url = f"http://127.0.0.1:{vllm.server_port}/health"
    counter.write_text("abc 3\n")
    vllm.status = 503
    assert check(tmp_path, url, tools).returncode == 1 and counter.exists()
    vllm.status = 200
    assert check(tmp_path, url, tools).returncode == 0 and not counter.exists()
    assert check(tmp_path, url, tools).returncode == 0, "again, without a count"


def test_nobody_answers(tools: dict[str, str], tmp_path: pathlib.Path) -> None:
    begin = time.monotonic()
    done = check(tmp_path, "http://127.0.0.1:9/health", tools)
    assert done.returncode == 1 and done.stderr
    assert "Traceback" not in done.stderr and time.monotonic() - begin < 10


def test_an_image_with_neither_curl_nor_python(tmp_path: pathlib.Path) -> None:
    done = check(tmp_path, "http://127.0.0.1:9/health", {"PATH": str(tmp_path)})
    assert done.returncode == 1 and "neither curl nor python3" in done.stderr
