# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a server came to its end: stopped, interrupted, killed or died, by what its log and its carrier say."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis
from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import exits
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.diagnosis import shapes

SERVED = [*shapes.banner("0.25.1"), *shapes.ENGINE, *shapes.READY, *shapes.ACCESS]
LOADS = [*shapes.banner("0.22.0"), *shapes.ENGINE]
AT = "08-01 23:37:28"
GONE = [
    f"(APIServer pid=1) ERROR {AT} [async_llm.py:704] AsyncLLM output_handler failed.",
    *shapes.prefixed(
        f"(APIServer pid=1) ERROR {AT} [async_llm.py:704] ",
        shapes.traceback(
            "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."  # noqa: E501
        ),
    ),
]
TOLD = [
    f"(EngineCore pid=19) INFO {AT} [core.py:1214] [shutdown] EngineCore: trigger received signal=SIGTERM",
    f"(APIServer pid=1) INFO {AT} [launcher.py:100] [shutdown] API server: shutdown triggered",
    f"(APIServer pid=1) WARNING {AT} [utils.py:626] [shutdown] Process manager: force killing remaining processes",
]
CLOSED = [
    "INFO:     Shutting down",
    "INFO:     Waiting for application shutdown.",
    "INFO:     Application shutdown complete.",
]
LAST = "INFO:     Finished server process [1]"
INTERRUPT = [
    "Traceback (most recent call last):", '  File "/usr/local/bin/vllm", line 8, in <module>', "    sys.exit(main())",
    '  File "/x/vllm/entrypoints/openai/api_server.py", line 1307, in signal_handler',
    '    raise KeyboardInterrupt("terminated")', "KeyboardInterrupt: terminated",
]  # fmt: skip
RANK = [
    f"INFO {AT} [serve.py:180] Launching vLLM (v0.25.1) headless multiproc executor, with head node address 10.0.0.1:29501 for torch.distributed process group.",  # noqa: E501
    f"(Worker_TP1 pid=31) INFO {AT} [gpu_model_runner.py:68] Starting to load model /model...",
]


FRAME = ['File "/x/torch/cuda/__init__.py", line 319, in _lazy_init']


def said(lines, exit=None):
    answer = diagnosis.diagnose(lines, exit)
    return answer.state, answer.as_dict()["code"]


def test_an_engine_that_is_gone_after_it_was_told_to_end_did_not_die():
    assert said([*SERVED, *TOLD, *GONE, *CLOSED]) == ("stopped", "server.stopped")


def test_an_engine_that_is_gone_before_anybody_told_it_died():
    assert said([*SERVED, *GONE, *TOLD, *CLOSED, LAST]) == ("failed", "server.engine-died")


def test_of_stderr_alone_uvicorns_last_word_tells_a_death_from_a_stop():
    assert said([*SERVED, *CLOSED]) == ("stopped", "server.stopped")
    assert said([*SERVED, CLOSED[0]]) == ("stopped", "server.stopped")  # it was killed while it closed
    assert said([*SERVED, *CLOSED, LAST]) == ("failed", "server.engine-died")


def test_a_start_that_was_interrupted_was_stopped():
    assert said([*LOADS, *INTERRUPT]) == ("stopped", "server.stopped")
    wrapped = shapes.prefixed("(APIServer pid=1) ", shapes.traceback(shapes.FAILED_CORE, (), shapes.MAIN))
    engine = shapes.prefixed("(EngineCore pid=19) ", [*INTERRUPT[:-1], "KeyboardInterrupt"])
    assert said([*LOADS, *engine, *wrapped]) == ("stopped", "server.stopped")


def test_an_error_before_the_interrupt_is_the_cause():
    lines = [*shapes.engine("ValueError: nobody knows this"), *INTERRUPT]
    assert said(lines) == ("failed", "start.unknown")


@pytest.mark.parametrize(
    ("ends", "state", "code"),
    [
        (["vllm-1 exited with code 137"], "failed", "server.killed"),
        (["systemd[1]: vllm.service: Main process exited, code=killed, status=11/SEGV"], "failed", "start.crashed"),
        (["systemd[1]: vllm.service: Failed with result 'oom-kill'."], "failed", "memory.oom-killed"),
        (["    Reason:       OOMKilled", "    Exit Code:    137"], "failed", "memory.oom-killed"),
        (["slurmstepd: error: Detected 1 oom_kill event in StepId=12.batch."], "failed", "memory.oom-killed"),
        (["slurmstepd: error: *** JOB 58 ON gpu05 CANCELLED AT 2025-12-21T02:31:17 DUE TO TIME LIMIT ***"], "stopped", "server.stopped"),  # noqa: E501
        (["/start.sh: line 22:   935 Bus error               vllm serve /model"], "failed", "memory.shm"),
    ],
)  # fmt: skip
def test_who_carries_a_log_may_say_how_it_ended(ends, state, code):
    assert said([*LOADS, *ends]) == (state, code)


def test_a_given_exit_state_is_believed_first():
    assert said([*LOADS, "vllm-1 exited with code 137"], 143) == ("stopped", "server.stopped")


def test_compose_names_the_service_that_ended():
    lines = [f"vllm-1  | {line}" for line in LOADS]
    answer = diagnosis.diagnose(["Attaching to vllm-1", *lines, "vllm-1 exited with code 139"])
    assert answer.as_dict()["code"] == "start.crashed"
    answer = diagnosis.diagnose([*lines, "vllm-1 exited with code 139"])
    assert (answer.as_dict()["code"], answer.notes) == ("start.crashed", ())


def test_another_service_of_compose_that_ended_says_nothing_of_this_one():
    served = [f"vllm-1  | {line}" for line in [*shapes.READY, *shapes.ACCESS]]
    assert said([*served, "db-1 exited with code 137"]) == ("healthy", None)


def test_nobody_says_how_it_ended():
    assert exits.told(["INFO: ready", "a request asks: what does 'exited with code 1' mean?"]) is None


@pytest.mark.parametrize(
    "line",
    [
        f"INFO {AT} async_llm_engine.py:157] Aborted request chatcmpl-1f.",
        f"(APIServer pid=1) INFO {AT} [async_llm.py:400] Killed",
        "Killed processes are listed above",
        "my-proxy: it exited with code 1",
    ],
)
def test_a_server_that_says_such_words_itself_is_healthy(line):
    assert said([*SERVED, line]) == ("healthy", None)


def test_a_rank_that_ends_without_an_error_points_to_the_first_rank():
    answer = diagnosis.diagnose(RANK, 1).as_dict()
    assert answer["code"] == "distributed.failed"
    assert "exit code 1" in answer["explanation"] and "10.0.0.1:29501" in answer["fix"]


def test_a_rank_with_an_error_of_its_own_is_judged_by_it():
    text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB."
    raised = shapes.traceback(text, ['File "/x/vllm/v1/worker/gpu_model_runner.py", line 9, in load_model'])
    own = shapes.prefixed(f"(Worker_TP1 pid=31) ERROR {AT} [multiproc_executor.py:941] ", raised)
    assert said([*RANK, *own], 1)[1] == "memory.weights"


def test_of_two_ranks_in_one_log_the_one_with_a_cause_is_judged():
    head = [f"node0  | {line}" for line in shapes.worker("RuntimeError: UVA is not available")]
    other = [f"node1  | {line}" for line in RANK]
    for lines in ([*head, *other], [*other, *head]):
        assert said(lines, 1)[1] == "host.pinned-memory"


def test_what_was_only_warned_of_yields_to_what_ended_it():
    problem = "ImportError('libc.so.6: version GLIBC_2.32 not found')"
    warned = f"WARNING {AT} [_custom_ops.py:20] Failed to import from vllm._C with {problem}"
    ended = shapes.api("ModuleNotFoundError: No module named 'jsonschema.protocols'")
    assert said([warned, *ended], 1)[1] == "image.module"


def test_the_hubs_advice_to_use_a_token_is_no_rate_limit():
    advice = "Warning: You are sending unauthenticated requests to the HF Hub. Please set a HF_TOKEN to enable higher rate limits and faster downloads."  # noqa: E501
    assert said([*LOADS, advice]) == ("loading", None)
    assert said([*LOADS, advice, *INTERRUPT]) == ("stopped", "server.stopped")


def test_a_traceback_keeps_its_frames_without_indentation():
    place = "ERROR 01-06 15:47:24 engine.py:366] "
    lines = shapes.traceback(
        "RuntimeError: Error Internal", ['File "/x/vllm/_custom_ops.py", line 628, in cutlass_scaled_mm']
    )
    assert said(shapes.prefixed(place, [line.strip() for line in lines]))[1] == "model.quantization"


def test_a_traceback_that_is_quoted_within_another_text_is_read():
    quoted = [f"          {line}" for line in shapes.traceback("RuntimeError: No CUDA GPUs are available", FRAME)]
    lines = ["(ServeReplica pid=5) ERROR it failed to initialize:", *quoted]
    assert said([*shapes.old_banner(), *lines])[1] == "gpu.absent"


def test_of_stdout_alone_a_stop_is_a_stop():
    served = [*shapes.banner("0.25.1"), *shapes.ENGINE, *shapes.ACCESS]
    closing = f"(APIServer pid=1) INFO {AT} [launcher.py:128] [shutdown] API server: signalling HTTP server shutdown"
    assert said([*served, *TOLD, *GONE, closing]) == ("stopped", "server.stopped")


def test_a_log_that_ends_while_the_server_is_told_to_end_is_a_stop():
    assert said([f"^C{TOLD[0]}", *TOLD[1:]]) == ("stopped", "server.stopped")
    assert said([*LOADS, *TOLD]) == ("stopped", "server.stopped")


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (["srun: error: host-1: task 0: Killed"], "server.killed"),
        (["srun: error: host-1: tasks 0-3: Segmentation fault (core dumped)"], "start.crashed"),
        (
            [
                "slurmstepd: error: *** STEP 9.1 ON host-1 CANCELLED AT 2026-07-17T00:57:13 ***",
                "srun: error: host-1: task 0: Killed",
            ],
            "server.stopped",
        ),
    ],
)
def test_slurm_says_how_a_task_ended(ends, code):
    assert said([*LOADS, *ends])[1] == code


def test_the_frames_of_a_torn_traceback_without_indentation_name_the_place():
    lines = [
        "(EngineCore pid=5) max_tokens = self.info.get_max_tokens(",
        "(EngineCore pid=5) ^^^^^^^^^^^^",
        '(EngineCore pid=5) File "/x/vllm/multimodal/profiling.py", line 339, in get_mm_max_tokens',
        "(EngineCore pid=5) return self.tokens()",
        "(EngineCore pid=5) ^^^^^^^^^^^^^",
        "(EngineCore pid=5) IndexError: the moon is too low",
        "(EngineCore pid=5) Process EngineCore:",
    ]
    assert said(lines) == ("failed", "model.processor")


@pytest.mark.parametrize(
    "row",
    ["  {number} {line}", "{number}:{line}", "{number}\t{line}", "{number:>6}| {line}"],
    ids=["editor", "grep -n", "cat -n", "viewer"],
)
def test_numbers_before_lines_come_off(row):
    lines = shapes.api("KeyError: \"Reasoning parser 'nope' not found. Available parsers: deepseek_r1, qwen3\"")
    numbered = [row.format(number=number, line=line) for number, line in enumerate(lines, 55)]
    assert diagnosis.diagnose(numbered).as_dict() == diagnosis.diagnose(lines).as_dict()


def test_lines_that_begin_with_numbers_of_their_own_keep_them():
    from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import carriers

    assert carriers.learned(["1 GPU", "4 workers", "16 layers", "2 heads"]) is None
    assert carriers.learned(["1 GPU", "2 GPUs", "and more", "3 GPUs", "none"]) is None


def test_control_characters_that_a_viewer_wrote_out_are_read():
    lines = [f"^[[1;36m{line}^[[0;0m^M" for line in shapes.engine("torch.OutOfMemoryError: CUDA out of memory.")]
    assert said(lines)[1] == said(shapes.engine("torch.OutOfMemoryError: CUDA out of memory."))[1]


ASGI = [
    '  File "/x/uvicorn/protocols/http/httptools_impl.py", line 401, in run_asgi',
    "    result = await app(",
    '  File "/x/starlette/middleware/errors.py", line 187, in __call__',
    "    raise exc",
]


def test_a_request_that_raised_is_no_failure_of_the_server():
    error = [*ASGI, "ImportError: Please install vllm[audio] for audio support."]
    answered = 'INFO:     10.0.0.1:42386 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error'
    whole = [answered, "ERROR:    Exception in ASGI application", "Traceback (most recent call last):"]
    assert diagnosis.diagnose([*whole, *error]).state == "healthy"
    assert diagnosis.diagnose([*whole, *ASGI]).state == "healthy"
    assert diagnosis.diagnose(error).state == "healthy"
    assert diagnosis.diagnose([*SERVED, *whole, *error]).state == "healthy"
    assert said([*whole, *error, *GONE])[0] == "failed"


def test_a_program_whose_traceback_is_cut_off_failed():
    cut = [
        "Traceback (most recent call last):",
        '  File "/usr/local/bin/vllm", line 8, in <module>',
        "    sys.exit(main(",
    ]
    assert said([*LOADS, *cut]) == ("failed", "start.unknown")
    assert said([*LOADS, *shapes.prefixed("(APIServer pid=1) ", cut)]) == ("failed", "start.unknown")
    assert said([*LOADS, cut[0], '  File "/x/vllm/thing.py", line 8, in probe', "    raise Th"])[0] == "loading"


def test_a_refused_configuration_that_a_wrapper_logged_is_told():
    lines = [
        "engine.py           :174  2026-02-03 09:46:58,001 Error initializing vLLM engine: 1 validation error for ModelConfig",  # noqa: E501
        "  Value error, rope_scaling should have a 'rope_type' key [type=value_error, input_value=ArgsKwargs(())]",
        "    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
    ]
    assert said(lines) == ("failed", "model.rope")
    request = ["1 validation error for ChatCompletionRequest", "  Value error, n must be 1 [type=value_error]"]
    assert diagnosis.diagnose([*LOADS, *request]).state == "loading"
