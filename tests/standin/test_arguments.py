# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments, models and ports: what is refused, in which words, with which exit code."""

from __future__ import annotations

import json
import socket

import pytest

TOP = [
    "usage: vllm [-h] [-v]",
    "            {chat,complete,serve,launch,bench,collect-env,download-kernels,preload,run-batch,snapshot}",
    "            ...",
]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--foo-bar", "1"], "vllm: error: unrecognized arguments: --foo-bar 1"),
        (
            ["--disable-log-requests", "--swap-space", "4"],
            "vllm: error: unrecognized arguments: --disable-log-requests --swap-space 4",
        ),
        (["--enable-prefix-caching", "true"], "vllm: error: unrecognized arguments: true"),
        (["--request-timeout", "5"], "vllm: error: unrecognized arguments: --request-timeout 5"),
    ],
)
def test_unknown_arguments(start, model_dir, arguments, error):
    process = start(model_dir, *arguments)
    assert process.end() == 2
    assert process.log[1:] == [*TOP, error]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--max-model-len", "abc"], "argument --max-model-len: invalid human_readable_int_or_auto value: 'abc'"),
        (
            ["--dtype", "float99"],
            "argument --dtype: invalid choice: 'float99' "
            "(choose from 'auto', 'bfloat16', 'float', 'float16', 'float32', 'half')",
        ),
        (["--tensor-parallel-size", "two"], "argument --tensor-parallel-size/-tp: invalid int value: 'two'"),
        (["--gpu-memory-utilization", "x"], "argument --gpu-memory-utilization: invalid float value: 'x'"),
        (["--enable-prefix-caching=false"], "argument --enable-prefix-caching: ignored explicit argument 'false'"),
    ],
)
def test_bad_values(start, model_dir, arguments, error):
    process = start(model_dir, *arguments)
    assert process.end() == 2
    assert process.log[1:] == ["usage: vllm serve [model_tag] [options]", f"vllm serve: error: {error}"]


def test_bad_json_names_its_short_flag(start, model_dir):
    process = start(model_dir, "--speculative-config", "{bad")
    assert process.end() == 2
    assert process.log[-1].startswith(
        "vllm serve: error: argument --speculative-config/-sc: Value {bad cannot be converted to <function loads at 0x"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--enforce-eager", "--no-enable-prefix-caching", "--max-num-seqs", "4"],
        ["--max_model_len", "1k", "--gpu-memory-utilization=0.5"],
        ["-tp", "1", "--max-num-seq", "5"],
        ["--speculative-config.method", "ngram", "--hf-overrides", '{"a": 1}'],
    ],
)
def test_accepted_spellings(start, model_dir, arguments):
    start(model_dir, *arguments).ready()


def test_knobs_change_the_flags(start, model_dir):
    assert start(model_dir, "--max-num-seqs", 4, unknown_flags="--max-num-seqs").end() == 2
    start(model_dir, "--swap-space", 4, known_flags="--swap-space").ready()
    start(model_dir, "--swap-space", 4, version="0.10.2").ready()


def test_model_option_works_with_serve(start, model_dir):
    process = start("--model", model_dir, "--served-model-name", "tiny").ready()
    assert process.ask("/v1/models").json["data"][0]["root"] == str(model_dir)


def test_model_option_was_refused_before(start, model_dir):
    process = start("--model", model_dir, version="0.10.2")
    assert process.end() == 1
    assert "provide the model as a positional argument" in process.log[-1]


def test_older_entrypoint_ignores_a_positional_model(start, model_dir):
    process = start(model_dir, style="api_server").ready()
    assert any(line.endswith("model   Qwen/Qwen3-0.6B") for line in process.log)
    assert any(f"non-default args: {{'model_tag': '{model_dir}'" in line for line in process.log)
    assert sum("DeprecationWarning" in line for line in process.log) == 2


def test_older_entrypoint_errors(start, model_dir):
    process = start("--model", model_dir, "--foo-bar", 1, style="api_server")
    assert process.end() == 2
    assert process.log[-1] == "api_server.py: error: unrecognized arguments: --foo-bar"
    assert any(line.startswith("usage: api_server.py [-h]") for line in process.log)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        ("missing", "HFValidationError: Repo id must be in the form"),
        ("empty", "Invalid repository ID or local directory specified"),
        ("no config", "Invalid repository ID or local directory specified"),
        ("bad config", "config.json' is not a valid JSON file."),
        ("no weights", "RuntimeError: Cannot find any model weights with"),
        ("too long", "User-specified max_model_len (4096) is greater than the derived max_model_len"),
    ],
)
def test_wrong_models(start, model_dir, spoil, text):
    arguments = []
    if spoil == "missing":
        model_dir = model_dir / "nope"
    elif spoil == "empty":
        for path in model_dir.iterdir():
            path.unlink()
    elif spoil == "no config":
        (model_dir / "config.json").unlink()
    elif spoil == "bad config":
        (model_dir / "config.json").write_text("{bad")
    elif spoil == "no weights":
        (model_dir / "model.safetensors").unlink()
    else:
        arguments = ["--max-model-len", "4096"]
    process = start(model_dir, *arguments)
    assert process.end() == 1
    assert any(text in line for line in process.log), process.log[-5:]
    assert sum("non-default args" in line for line in process.log) == 1


def test_taken_port_is_noticed_after_the_banner_and_before_the_model(start, tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        process = start(tmp_path / "none", port=holder.getsockname()[1])
        assert process.end() == 1
    assert process.log[-1] == "OSError: [Errno 98] Address already in use"
    assert not any("HFValidationError" in line for line in process.log)


def test_unknown_tool_parser(start, model_dir):
    process = start(model_dir, "--enable-auto-tool-choice", "--tool-call-parser", "mine")
    assert process.end() == 1
    assert process.log[-1].startswith("KeyError: 'invalid tool call parser: mine (chose from { apertus,")


def test_knobs_of_the_model_directory_win(start, model_dir):
    rule = {"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P6"}}
    (model_dir / "standin.json").write_text(json.dumps({"answer": " from the model", "when": [rule]}))
    process = start(model_dir, "--max-num-seqs", 8, answer="from the environment").ready()
    answer = process.ask("/v1/completions", {"prompt": "x", "max_tokens": 3}).json
    assert answer["choices"][0]["text"] == " from the model"
    assert start(model_dir, "--max-num-seqs", 7).end() == 1


def test_unknown_knob_says_what_there_is(start, model_dir):
    process = start(model_dir, nope=1)
    assert process.end() == 1
    assert "stand-in knob nope is unknown" in process.log[-1]
