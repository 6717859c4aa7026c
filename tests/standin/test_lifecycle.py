# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes, signals, deaths and exit codes."""

from __future__ import annotations

import concurrent.futures
import pathlib
import signal
import subprocess
import time

import pytest


def children(pid: int) -> dict[str, int]:
    """Titles of the direct children of a process, with their pids."""
    result = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            title = (path.parent / "cmdline").read_bytes().split(b"\0")[0].decode()
        except (OSError, ValueError):
            continue
        if parent == pid:
            result[title] = int(path.parent.name)
    return result


def test_process_names(start, model_dir):
    server = start(model_dir).ready()
    assert set(children(server.popen.pid)) == {"VLLM::EngineCore", "VLLM::Worker"}


def test_clean_stop(start, model_dir):
    server = start(model_dir).ready()
    server.popen.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - begin < 2
    log = server.log
    # What tells a clean stop from the end after the engine's death.
    assert any("[shutdown] API server: shutdown triggered" in line for line in log)
    assert not any("Finished server process" in line for line in log)
    assert log[-1] == "INFO:     Application shutdown complete."


def test_children_end_with_the_server(start, model_dir):
    server = start(model_dir).ready()
    pids = children(server.popen.pid).values()
    server.popen.kill()
    server.end()
    until = time.monotonic() + 5
    while any(pathlib.Path(f"/proc/{pid}/cmdline").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(pathlib.Path(f"/proc/{pid}/cmdline").exists() for pid in pids)


def test_stop_with_a_request_in_flight_hangs(start, model_dir):
    server = start(model_dir, token_seconds=1).ready()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.ask, "/v1/completions", {"prompt": "x", "max_tokens": 1})
        time.sleep(0.3)
        server.popen.send_signal(signal.SIGTERM)
        server.wait_for("Waiting for connections to close. (CTRL+C to force quit)")
        with pytest.raises(ConnectionRefusedError):
            server.ask("/health")
        time.sleep(1)
        assert server.popen.poll() is None
        server.popen.kill()
        assert server.end() == -signal.SIGKILL
        assert waiting.exception(10) is None or isinstance(waiting.exception(), OSError)


def test_hang_on_stop_without_a_request(start, model_dir):
    server = start(model_dir, hang_on_stop=1).ready()
    server.popen.send_signal(signal.SIGTERM)
    server.wait_for("Waiting for connections to close.")
    time.sleep(0.3)
    assert server.popen.poll() is None


@pytest.mark.parametrize("title", ["VLLM::EngineCore", "VLLM::Worker"])
def test_a_killed_child_ends_a_ready_server_with_zero(start, model_dir, title):
    server = start(model_dir, death_window=0.6).ready()
    subprocess.run(["kill", "-9", str(children(server.popen.pid)[title])], check=True)
    server.wait_for("vllm.v1.engine.exceptions.EngineDeadError")
    assert server.ask("/health").code == server.ask("/ping").code == 503
    assert server.ask("/health").body == b""
    for path in ("/v1/models", "/version", "/load", "/metrics"):
        assert server.ask(path).code == 200
    assert server.end() == 0
    assert server.log[-4:] == [
        "INFO:     Shutting down",
        "INFO:     Waiting for application shutdown.",
        "INFO:     Application shutdown complete.",
        f"INFO:     Finished server process [{server.popen.pid}]",
    ]


def test_die_after(start, model_dir):
    server = start(model_dir, die_after=0.3, death_window=0.2, children=0).ready()
    assert server.end() == 0
    assert any("AsyncLLM output_handler failed." in line for line in server.log)


def test_engine_death_answers_the_request_in_flight(start, model_dir):
    server = start(model_dir, hang_requests=1, death_window=5).ready()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.ask, "/v1/completions", {"prompt": "x", "max_tokens": 1})
        time.sleep(0.3)
        subprocess.run(["kill", "-9", str(children(server.popen.pid)["VLLM::EngineCore"])], check=True)
        answer = waiting.result(10)
    assert answer.code == 500
    assert answer.json["error"]["message"].startswith("EngineCore encountered an issue.")
    begin = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - begin < 2  # at once, not after the window


def test_kept_alive_after_the_engine_died(start, model_dir):
    server = start(model_dir, die_after=0, env={"VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1"}, death_window=0).ready()
    server.wait_for("EngineDeadError")
    time.sleep(0.5)
    assert server.popen.poll() is None and server.ask("/health").code == 503


def test_engine_killed_while_loading(start, model_dir):
    server = start(model_dir, load_seconds=30)
    server.wait_for("checkpoint shards:   0%")
    subprocess.run(["kill", "-9", str(children(server.popen.pid)["VLLM::EngineCore"])], check=True)
    assert server.end() == 1
    assert server.log[-1].endswith("Failed core proc(s): {'EngineCore': -9}")


def test_sigterm_before_readiness_has_no_handler(start, model_dir):
    server = start(model_dir, hang_phase="P6")
    server.wait_for("Resolved architecture")
    server.popen.send_signal(signal.SIGTERM)
    # Not PID 1 here, so the kernel's default applies; as PID 1 it is lost (test_image.py).
    assert server.end() == -signal.SIGTERM


def test_speed(start, model_dir):
    begin = time.monotonic()
    start(model_dir, speed=0.05).ready()
    assert 1.4 < time.monotonic() - begin < 8
