# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines that somebody broke, errors of C++, and refusals that nobody knows."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis
from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import prefixes


def on_a_terminal(lines, width, *, filled):
    """The lines as somebody copies them out of a terminal, which fills short ones with blanks or not."""
    for line in lines:
        for at in range(0, max(len(line), 1), width):
            part = line[at : at + width]
            yield part.ljust(width) if filled else part


@pytest.mark.parametrize("filled", [True, False], ids=["filled", "bare"])
@pytest.mark.parametrize("width", [100, 133])
def test_lines_that_a_terminal_broke_are_put_together_again(width, filled):
    said = (
        "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices()"
        " that might have already set an error? Error 803: system has unsupported display driver / cuda driver"
        " combination"
    )
    place = "(EngineCore_DP0 pid=316) ERROR 02-24 00:11:22 [core.py:936]"
    log = [
        "(APIServer pid=1) INFO 02-24 00:11:02 [utils.py:233] non-default args: {'model_tag': '/models/a', 'port': 8000"
        ", 'tensor_parallel_size': 1, 'max_model_len': 8192, 'gpu_memory_utilization': 0.9}",
        f"{place} EngineCore failed to start.",
        f"{place} Traceback (most recent call last):",
        f'{place}   File "/opt/vllm-source/vllm/v1/engine/core.py", line 927, in run_engine_core, on a long path',
        f"{place}     engine_core = EngineCoreProc(*args, engine_index=dp_rank, **kwargs)  # and more",
        f"{place} RuntimeError: {said}",
    ]
    whole = diagnosis.diagnose(log)
    broken = diagnosis.diagnose(list(on_a_terminal(log, width, filled=filled)))
    assert whole.findings[0].code == broken.findings[0].code == "gpu.library-mismatch"
    assert broken.evidence == whole.evidence


def test_long_lines_that_are_alike_stay_apart():
    warning = "WARNING 12-29 15:21:09 [custom_all_reduce.py:154] Custom allreduce is disabled on these GPUs, rank"
    log = [f"{warning} {rank}" for rank in range(8)] + ["Something raw that follows", "and goes on", "in three lines"]
    assert [text for _service, text in prefixes.bare(log)] == log


def test_a_sentence_that_somebody_broke_into_lines_is_known():
    said = diagnosis.diagnose(
        [
            "Traceback (most recent call last):",
            '  File "/x/vllm/v1/worker/gpu_worker.py", line 402, in determine_available_memory',
            "    assert self.init_snapshot.free_memory >= free_gpu_memory, (",
            "AssertionError: Error in memory profiling. Initial free memory 82.94 GiB,",
            "current free memory 90.17 GiB. This happens when other processes sharing the",
            "same container release GPU memory while vLLM is profiling during initialization.",
        ]
    )
    assert said.findings[0].code == "memory.profiling-disturbed"


def test_what_nobody_caught_in_cpp_is_an_error_with_a_name_and_a_text():
    said = diagnosis.diagnose(
        ["INFO 11-22 11:50:13 [core.py:1] x", "terminate called after throwing an instance of 'std::bad_alloc'"]
        + ["  what():  std::bad_alloc", "Aborted (core dumped)"]
    )
    assert said.findings[0].code == "memory.host"


def test_a_refusal_of_an_engine_that_nobody_knows_is_still_a_refusal():
    said = diagnosis.diagnose(["docker: Error response from daemon: the moon is in the wrong phase."], 125)
    assert said.findings[0].code == "engine.refused"
    assert "the moon is in the wrong phase" in said.findings[0].message


FLAT = (
    'INFO 04-25 07:11:02 [llm_engine.py:240] Initializing a V0 LLM engine (v0.8.4) with config: model="/models/a" '
    '[rank0]: Traceback (most recent call last): [rank0]: File "/usr/local/bin/vllm", line 8, in <module> [rank0]: '
    'sys.exit(main()) [rank0]: ^^^^^^ [rank0]: File "/x/torch/nn/modules/module.py", line 928, in _apply [rank0]: '
    "param_applied = fn(param) [rank0]: RuntimeError: HIP error: invalid device function [rank0]: For debugging "
    "consider passing AMD_SERIALIZE_KERNEL=3"
)


def test_a_whole_log_of_a_rank_that_came_as_one_line():
    assert diagnosis.diagnose([FLAT]).findings[0].code == "image.gpu-architecture"


def test_a_request_that_quotes_such_a_log_stays_a_request():
    asked = "INFO 04-25 07:11:02 [logger.py:43] Received request chat-1: prompt: 'why? " + FLAT[90:] + "'"
    assert diagnosis.diagnose([asked]).state != "failed"
    assert diagnosis.diagnose([asked, "INFO:     Application startup complete."]).state == "healthy"


def test_a_background_task_of_an_old_engine_that_failed_is_a_death():
    """Releases with the V0 engine: the error of the loop stands before those of the requests that it took along."""
    place = "ERROR 02-21 02:30:26 async_llm_engine.py:68]"
    said = diagnosis.diagnose(
        [
            "INFO:     Application startup complete.",
            f"{place} Engine background task failed",
            f"{place} Traceback (most recent call last):",
            f'{place}   File "/x/vllm/worker/model_runner.py", line 9, in execute_model',
            f"{place} RuntimeError: CUDA error: an illegal memory access was encountered",
            'INFO:     10.0.0.1:4000 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error',
        ]
    )
    assert (said.state, said.findings[0].code) == ("failed", "gpu.fault")


@pytest.mark.parametrize(
    "dying",
    [
        "CRITICAL 01-22 00:13:36 launcher.py:99] MQLLMEngine is already dead, terminating server process",
        "CRITICAL 09-27 06:46:46 launcher.py:72] AsyncLLMEngine has failed, terminating server process",
        "ERROR 01-22 00:13:32 client.py:282] RuntimeError('Engine process (pid 77) died.')",
        "[rank0]:[E122 00:13:30.2 ProcessGroupNCCL.cpp:1595] [PG ID 2 PG GUID 3 Rank 0] Process group watchdog thread"
        " terminated with exception: CUDA error: an illegal memory access was encountered",
    ],
)
def test_an_engine_that_died_and_then_the_server_that_closes_is_no_stop(dying):
    begin = ["INFO:     Application startup complete.", 'INFO:     10.0.0.1:4000 - "GET /health HTTP/1.1" 200 OK']
    assert diagnosis.diagnose([*begin, dying, "INFO:     Shutting down"]).state == "failed"
    assert diagnosis.diagnose([*begin, "INFO:     Shutting down"]).state == "stopped"
