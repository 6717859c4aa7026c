# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Diagnosis on logs of real vLLM 0.32 (data/logs, shortened: frames of tracebacks left out)."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis
from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import log as reading

LOGS = pathlib.Path(__file__).parent / "data" / "logs"


def recorded(name):
    return (LOGS / f"{name}.log").read_text().splitlines()


def exit_of(code, oom=False, error=""):
    return {"code": code, "oom": oom, "error": error, "seconds": 20.0}


@pytest.mark.parametrize(
    ("name", "code", "finding", "words"),
    [
        ("removed-flag", 2, "argument.unknown", "--disable-log-requests"),
        ("config-yaml-badtype", 2, "argument.invalid", "--max-model-len"),
        ("oom-1500m", 1, "memory.kv-cache-host", "the KV cache wants 1.0 GiB"),
        ("shm-too-small", 1, "memory.shm", "160 MiB are needed"),
        ("weights-shard-missing", 1, "model.shard-missing", "model-00002-of-00002.safetensors"),
        ("model-mount-empty", 1, "model.absent", "/model has no readable model"),
        ("config-json-bad", 1, "model.config-invalid", "/model/config.json"),
        ("enginecore-killed-during-load", 1, "start.engine-killed", "SIGKILL"),
        ("lora-path-missing", 1, "argument.lora", "/nope/lora"),
        ("max-num-seqs-zero", 1, "argument.invalid", "greater than or equal to 1"),
    ],
)
def test_the_first_true_error_is_found_and_named(name, code, finding, words):
    result = diagnosis.diagnose(recorded(name), exit_of(code))
    assert [item.code for item in result.findings] == [finding]
    assert words in result.findings[0].message
    assert result.findings[0].fix
    assert 1 <= len(result.telling) <= diagnosis.TELLING
    assert not result.healthy


def test_a_killed_container_is_out_of_memory_and_shows_its_last_lines():
    result = diagnosis.diagnose(recorded("oom-600m"), exit_of(137, oom=True))
    assert result.findings[0].code == "memory.oom-killed"
    assert "Enabled custom fusions" in result.telling[-1]


def test_a_healthy_log_is_healthy_and_its_noise_is_no_error():
    result = diagnosis.diagnose(recorded("ok-start-0.32.0"))
    assert (result.findings, result.telling, result.healthy, result.state) == ([], [], True, "healthy")
    assert result.version == "0.32.0"


@pytest.mark.parametrize(
    ("log", "exit", "finding"),
    [
        ("ok-start-0.32.0", exit_of(0), "server.engine-died"),
        (None, exit_of(137), "server.killed"),
        (None, exit_of(143), "server.stopped"),
        (None, exit_of(128, error='could not select device driver "" with capabilities: [[gpu]]'), "gpu.runtime"),
        (None, exit_of(127, error='exec: "vllm": executable file not found in $PATH: unknown'), "image.entrypoint"),
        (None, exit_of(128, error="Bind for 0.0.0.0:8000 failed: port is already allocated"), "port.taken"),
        (None, exit_of(128, error="something that nobody has seen"), "engine.refused"),
        (None, exit_of(1), "start.unknown"),
        (None, exit_of(2), "start.unknown"),
    ],
)
def test_exit_states(log, exit, finding):
    result = diagnosis.diagnose(recorded(log) if log else [], exit)
    assert [item.code for item in result.findings] == [finding]


def test_fields_are_those_of_the_server():
    (found,) = diagnosis.diagnose(recorded("shm-too-small"), exit_of(1), server="chat").findings
    assert (found.field, found.server) == ("vllm_servers[chat].shm_size", "chat")


def test_nothing_known_is_nothing_said():
    result = diagnosis.diagnose([], None)
    assert (result.findings, result.telling, result.healthy, result.state) == ([], [], False, "unknown")


def test_an_unknown_error_keeps_its_words():
    log = [
        "(EngineCore pid=5) ERROR 11-22 11:50:13 [core.py:1] RuntimeError: the moon is too low",
        "RuntimeError: other",
    ]
    result = diagnosis.diagnose(log, exit_of(1))
    assert result.findings[0].code == "start.unknown"
    assert "the moon is too low" in result.findings[0].message
    assert result.telling == ["RuntimeError: the moon is too low"]


def test_an_error_that_was_logged_and_survived_is_not_the_cause():
    log = [
        "(APIServer pid=1) ERROR 11-22 12:12:27 [registry.py:1041] PermissionError: [Errno 13] denied: '/.cache'",
        "(APIServer pid=1) INFO 11-22 12:12:28 [model.py:733] Resolved architecture: X",
        "ValueError: Load format `nope` is not supported",
    ]
    assert diagnosis.diagnose(log, exit_of(1)).findings[0].code == "argument.load-format"


def test_bytes_that_are_no_text_and_long_lines_do_no_harm():
    log = ["\x1b[31mValueError: \ufffd" + "x" * 5000, "\r\r", "", "\x00"]
    result = diagnosis.diagnose(log, exit_of(1))
    assert max(map(len, result.telling)) <= diagnosis.WIDEST


def test_prefixes_of_all_processes_are_taken_off():
    lines = reading.parse(
        [
            "(VllmWorker-0 pid=83) WARNING 11-22 11:50:51 [vllm.py:725] text one",
            "(EngineCore_DP0 pid=48) ERROR 11-22 11:50:51 [core.py:7] text two",
            "INFO 11-22 11:50:51 [api_server.py:1] text three",
            "plain text",
        ]
    )
    assert [line.text for line in lines] == ["text one", "text two", "text three", "plain text"]
    assert [line.process for line in lines] == ["VllmWorker-0#83", "EngineCore_DP0#48", "", ""]
