# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reader: which error is the first true one, which start counts, and what is no failure at all."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis
from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import carriers, exits, prefixes, sources
from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import log as reading
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.diagnosis import shapes

SHM = (
    "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB free. "
    "Increase /dev/shm (e.g. --shm-size or --ipc=host)."
)
TEMPLATE = "ValueError: The supplied chat template string (/t.jinja) appears path-like, but doesn't exist!"
HEALTHY = [*shapes.banner(), *shapes.ENGINE, *shapes.READY, *shapes.ACCESS]
LOADING = [*shapes.banner(), *shapes.ENGINE]


def later(lines, minute):
    return [line.replace("11-22 11:50:13", f"11-22 11:{minute}:13") for line in lines]


def code(lines, exit=None):
    return diagnosis.diagnose(lines, exit).as_dict()["code"]


# ------------------------------------------------------------------------------------------------ healthy or not

ALARMS = [
    "(APIServer pid=1) WARNING 11-22 11:50:13 [system_utils.py:255] Found ulimit of 20000 and failed to automatically"
    " increase with error current limit exceeds maximum limit. `OSError: [Errno 24] Too many open files`",
    "(APIServer pid=1) ERROR 11-22 11:50:13 [registry.py:1041] PermissionError: [Errno 13] Permission denied: '/.cache'",  # noqa: E501
    "WARNING 11-22 11:50:13 [importing.py:53] Triton is installed but 0 active driver(s) found (expected 1).",
    "(Worker pid=29) WARNING 11-22 11:50:13 [custom_all_reduce.py:146] Custom allreduce is disabled because your"
    " platform lacks GPU P2P capability or P2P test failed.",
    "(Worker pid=29) WARNING 11-22 11:50:13 [fused_moe.py:888] Using default MoE config. Performance might be sub-optimal!",  # noqa: E501
    "[rank0]:[W1122 11:50:13.930138532 ProcessGroupNCCL.cpp:1575] Warning: WARNING: destroy_process_group() was not"
    " called before program exit, which can leak resources.",
    "node:9:9 [0] NCCL INFO NET/Plugin: Plugin load returned 2 : libnccl-net.so: cannot open shared object file",
    "node:9:9 [0] NCCL INFO NET/IB : No device found.",
    "Error retrieving safetensors: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/model'.",
    "/usr/lib/python3.12/multiprocessing/resource_tracker.py:224: UserWarning: resource_tracker: There appear to be 1"
    " leaked semaphore objects to clean up at shutdown",
    "get_mempolicy: Operation not permitted",
    "W1122 11:50:11.914000 1 torch/_library/triton.py:53] Triton not available, find_triton_kernels = []",
    "/usr/lib/python3/dist-packages/torch/x.py:138: FutureWarning: `torch.x` is deprecated, RuntimeError: no",
    "(APIServer pid=1) WARNING 11-22 11:50:13 [vllm.py:1703] Enforce eager set, disabling torch.compile.",
    "(EngineCore pid=19) WARNING 11-22 11:50:13 [multiproc_executor.py:921] Reducing Torch parallelism from 112 threads.",  # noqa: E501
    "The tokenizer you are loading from '/model' with an incorrect regex pattern: this will lead to incorrect tokenization.",  # noqa: E501
    "Failed to load image: cannot identify image file, falling back",
]


@pytest.mark.parametrize("alarm", ALARMS, ids=range(len(ALARMS)))
def test_alarming_lines_of_healthy_servers_are_no_failure(alarm):
    assert diagnosis.diagnose([*shapes.banner(), alarm, *HEALTHY[4:]]).state == "healthy"
    assert diagnosis.diagnose([*HEALTHY, alarm]).healthy
    loading = [*shapes.banner(), alarm, "(APIServer pid=1) INFO 11-22 11:50:14 [model.py:1] text", *shapes.ENGINE]
    assert diagnosis.diagnose(loading).state == "loading"


def test_a_server_that_loads_is_neither_failed_nor_healthy():
    said = diagnosis.diagnose(LOADING).as_dict()
    assert (said["state"], said["healthy"], said["code"], said["findings"]) == ("loading", False, None, [])
    assert "still loading" in said["explanation"]


def test_a_slow_start_with_many_progress_bars_is_healthy():
    bars = "\r".join(
        f"Loading safetensors checkpoint shards: {n:3d}% Completed | {n}/100 [59:00<1:00, 9s/it]" for n in range(100)
    )
    assert diagnosis.diagnose([*LOADING, bars, *shapes.READY]).state == "healthy"


def test_a_request_that_failed_breaks_no_server():
    request = shapes.prefixed(
        "(APIServer pid=1) ERROR 11-22 11:55:13 [serving_chat.py:280] ",
        [
            "Error in preprocessing prompt inputs",
            *shapes.traceback("ValueError: This model's maximum context length is 512"),
        ],
    )
    uncaught = ["ERROR:    Exception in ASGI application", *shapes.traceback("RuntimeError: CUDA out of luck")]
    assert diagnosis.diagnose([*HEALTHY, *request, *uncaught, *shapes.ACCESS]).state == "healthy"


def test_a_traceback_that_was_survived_while_loading_is_no_failure():
    tried = shapes.traceback("ModuleNotFoundError: No module named 'deep_ep'", ['File "/x/probe.py", line 3, in probe'])
    assert diagnosis.diagnose([*shapes.banner(), *tried, *shapes.ENGINE]).state == "loading"
    assert diagnosis.diagnose([*shapes.banner(), *tried, *shapes.ENGINE, *shapes.READY]).state == "healthy"


def test_only_the_end_of_a_long_log_is_healthy_by_its_requests():
    stats = "(APIServer pid=1) INFO 11-22 11:51:08 [loggers.py:335] Engine 000: Avg prompt throughput: 1.7 tokens/s"
    assert diagnosis.diagnose([*shapes.ACCESS, stats, *shapes.ACCESS]).state == "healthy"


# ------------------------------------------------------------------------------------------------ the first true error


def test_only_the_end_of_a_failed_log_still_names_the_cause_when_a_wrapper_repeats_it():
    tail = [
        "(EngineCore pid=19) ERROR 11-22 11:50:13 [core.py:1510]     raise RuntimeError(",
        "(EngineCore pid=19) ERROR 11-22 11:50:13 [core.py:1510] RuntimeError: Worker failed with error 'Insufficient"
        " space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB free. Increase', please check",
        *shapes.prefixed("(APIServer pid=1) ", shapes.traceback(shapes.FAILED_CORE, (), shapes.MAIN)),
    ]
    assert code(tail) == "memory.shm"


def test_only_wrappers_stay_unknown_with_their_words():
    said = diagnosis.diagnose(shapes.wrapper(shapes.FAILED_CORE)).as_dict()
    assert (said["code"], said["state"]) == ("start.unknown", "failed")
    assert "Engine core initialization failed" in " ".join(said["telling"])


def test_lines_of_two_workers_that_mix_do_not_hide_the_error():
    left = shapes.prefixed(
        "(Worker_TP0 pid=8) ERROR 11-22 11:50:13 [multiproc_executor.py:1057] ", shapes.traceback(SHM)
    )
    right = shapes.prefixed(
        "(Worker_TP1 pid=9) ERROR 11-22 11:50:13 [multiproc_executor.py:1057] ", shapes.traceback(TEMPLATE)
    )
    mixed = [line for pair in zip(left, right, strict=True) for line in pair]
    assert code([*LOADING, *mixed], 1) == "memory.shm"


def test_stderr_above_stdout_is_still_one_start():
    for error in (shapes.worker(SHM), shapes.pydantic("No."), shapes.engine8(SHM)):
        expected = code(error)
        cut = next(index for index, line in enumerate(error) if "Traceback" in line)
        verdict = diagnosis.diagnose([*error[cut:], *error[:cut]], 1)
        assert (verdict.starts, verdict.findings[0].code) == (1, expected)


def test_an_access_log_in_between_changes_nothing():
    lines = shapes.serving("RuntimeError: CUDA error: an illegal memory access was encountered")
    flooded = [part for line in lines for part in (*shapes.ACCESS, line)]
    verdict = diagnosis.diagnose(flooded, 0)
    assert [finding.code for finding in verdict.findings] == ["gpu.fault", "server.engine-died"]


def test_a_peer_that_went_away_is_not_the_cause_when_another_rank_says_why():
    gone = "torch.distributed.DistBackendError: NCCL error in: /x.cpp:77, remote process exited or there was a network error"  # noqa: E501
    first = shapes.prefixed(
        "(Worker_TP0 pid=8) ERROR 11-22 11:50:13 [multiproc_executor.py:1057] ", shapes.traceback(gone)
    )
    assert code([*LOADING, *first, *shapes.worker(SHM)[6:]], 1) == "memory.shm"
    strange = shapes.worker("RuntimeError: the moon is too low")[6:]
    assert "moon" in diagnosis.diagnose([*LOADING, *first, *strange], 1).findings[0].message


def test_several_validation_errors_are_told_together():
    text = (
        "pydantic_core._pydantic_core.ValidationError: 2 validation errors for SchedulerConfig\n"
        "max_num_batched_tokens\n  Input should be greater than or equal to 1 [type=greater_than_equal, input_value=0]\n"  # noqa: E501
        "    For further information visit https://errors.pydantic.dev/2.14/v/greater_than_equal\n"
        "max_num_seqs\n  Input should be greater than or equal to 1 [type=greater_than_equal, input_value=0]\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/greater_than_equal"
    )
    message = diagnosis.diagnose(shapes.api(text), 1).findings[0].message
    assert "max_num_batched_tokens" in message and "max_num_seqs" in message


def test_an_error_that_was_logged_without_an_exception_is_told():
    lines = [*LOADING, "(EngineCore pid=19) ERROR 11-22 11:50:13 [core.py:1006] the moon is too low."]
    said = diagnosis.diagnose([*lines, *shapes.prefixed("(APIServer pid=1) ", shapes.traceback(shapes.FAILED_CORE))])
    assert said.evidence == "the moon is too low." and "moon" in said.findings[0].message
    known = [
        "INFO 04-08 19:59:10 model_runner.py:1115] Loading model weights took 14.9595 GB",
        "ERROR 04-08 19:59:10 engine.py:400] CUDA error: no kernel image is available for execution on the device",
    ]
    assert code(known) == "image.gpu-architecture"
    assert diagnosis.diagnose([*known, "INFO 04-08 19:59:12 model_runner.py:1400] going on"]).state == "loading"


def test_the_nearest_area_of_the_code_is_named_when_nobody_knows_the_words():
    frames = [f'File "{shapes.SITE}model_executor/models/qwen3.py", line 3, in forward',
              f'File "{shapes.SITE}v1/attention/backends/flash_attn.py", line 3, in forward',
              'File "/usr/lib/python3/dist-packages/thing.py", line 3, in call']  # fmt: skip
    said = diagnosis.diagnose(shapes.engine("IndexError: the moon is too low", frames)).as_dict()
    assert said["code"] == "attention.backend" and "the moon is too low" in said["explanation"]
    assert code(shapes.engine("IndexError: the moon is too low", frames[2:])) == "start.unknown"
    known = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert code(shapes.engine(known, frames)).startswith("memory.")


# ------------------------------------------------------------------------------------------------ several starts


def test_the_last_start_is_judged_and_the_one_before_it_is_told():
    crash, good = shapes.worker(SHM), later(HEALTHY, 55)
    healthy = diagnosis.diagnose([*crash, *good])
    assert (healthy.state, healthy.starts) == ("healthy", 2)
    assert any("160 MiB are needed" in note for note in healthy.notes)
    failed = diagnosis.diagnose([*HEALTHY, *later(crash, 55)])
    assert (failed.state, failed.starts, failed.findings[0].code) == ("failed", 2, "memory.shm")


def test_a_crash_loop_between_two_crashes_loads_and_warns():
    verdict = diagnosis.diagnose([*shapes.worker(SHM), *later(shapes.worker(SHM), 52), *later(LOADING, 54)])
    assert (verdict.state, verdict.starts, verdict.healthy) == ("loading", 3, False)
    assert [(finding.code, finding.severity) for finding in verdict.findings] == [("memory.shm", "warning")]


def test_the_end_of_one_start_and_the_whole_next_one():
    tail = shapes.worker(SHM)[-40:]
    verdict = diagnosis.diagnose([*tail, *later(HEALTHY, 55)])
    assert (verdict.state, verdict.starts) == ("healthy", 2)


def test_a_version_of_something_else_is_no_banner():
    lost = "torch.distributed.DistBackendError: NCCL error in: NCCLUtils.hpp:268, remote process exited, NCCL version 2.27.3"  # noqa: E501
    first = shapes.prefixed(
        "(Worker_TP0 pid=8) ERROR 11-22 11:50:13 [multiproc_executor.py:671] ", shapes.traceback(lost)
    )
    verdict = diagnosis.diagnose([*LOADING, *first, "NCCL version 2.27.3", *shapes.worker(SHM)[6:]], 1)
    assert (verdict.starts, verdict.version, verdict.findings[0].code) == (1, "0.32.0", "memory.shm")


def test_old_releases_restart_too():
    error = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"
    assert diagnosis.diagnose([*shapes.mq(error), *later(shapes.mq(error), 55)]).starts == 2


# ------------------------------------------------------------------------------------------------ exit states


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        ({}, None),
        (137, exits.Exit(137)),
        ("1", exits.Exit(1)),
        ({"code": 1, "oom": False, "error": "", "seconds": 2.0}, exits.Exit(1)),
        (
            {"ExitCode": 137, "OOMKilled": True, "Error": "", "Status": "exited", "Running": False},
            exits.Exit(137, True),
        ),
        ({"exit_code": 1, "oom_killed": "true"}, exits.Exit(1, True)),
        ({"State": {"ExitCode": 0, "Running": True, "Status": "running"}}, None),
        ({"Status": "created", "ExitCode": 128, "Error": "no"}, exits.Exit(128, False, "no")),
        ({"Status": "created", "ExitCode": 0, "Error": ""}, None),
        ({"code": 137, "reason": "OOMKilled"}, exits.Exit(137, True)),
    ],
)
def test_exit_states_are_read_as_people_write_them(given, read):
    assert exits.read(given) == read


@pytest.mark.parametrize("given", [True, [], "soon", {"code": "soon"}])
def test_what_is_no_exit_state_is_refused(given):
    with pytest.raises(ValueError):
        exits.read(given)


@pytest.mark.parametrize(
    ("lines", "exit", "expected"),
    [
        (LOADING, {"code": 137, "oom": True}, "memory.oom-killed"),
        (LOADING, 137, "server.killed"),
        (LOADING, 143, "server.stopped"),
        (LOADING, 130, "server.stopped"),
        (LOADING, 132, "host.cpu"),
        (LOADING, 134, "start.crashed"),
        (LOADING, 135, "memory.shm"),
        (LOADING, 139, "start.crashed"),
        (LOADING, -11, "start.crashed"),
        (LOADING, 1, "start.unknown"),
        ([], 126, "image.entrypoint"),
        ([], 127, "image.entrypoint"),
        (HEALTHY, 0, "server.engine-died"),
        (HEALTHY, 137, "server.killed"),
        (HEALTHY, 143, "server.stopped"),
        (HEALTHY, 139, "start.crashed"),
        (shapes.worker(SHM), {"code": 1, "oom": True}, "memory.oom-killed"),
        (
            [],
            {"Status": "created", "ExitCode": 128, "Error": 'exec: "vllm": executable file not found in $PATH'},
            "image.entrypoint",
        ),
        ([], {"ExitCode": 255, "Error": "exec /usr/bin/vllm: exec format error"}, "image.architecture"),
        ([], {"Error": "something that nobody has seen"}, "engine.refused"),
    ],
)
def test_what_an_exit_state_adds(lines, exit, expected):
    verdict = diagnosis.diagnose(lines, exit)
    assert verdict.findings[0].code == expected
    assert not verdict.healthy


def test_out_of_memory_also_tells_what_the_log_said():
    verdict = diagnosis.diagnose(shapes.worker(SHM), {"code": 1, "oom": True})
    assert [finding.code for finding in verdict.findings] == ["memory.oom-killed", "memory.shm"]


@pytest.mark.parametrize("exit", [None, 0, 143])
def test_a_clean_stop_is_a_stop(exit):
    stop = [
        "(APIServer pid=1) INFO 11-22 11:57:40 [launcher.py:254] [shutdown] API server: shutdown triggered",
        "INFO:     Shutting down", "INFO:     Application shutdown complete.",
    ]  # fmt: skip
    verdict = diagnosis.diagnose([*HEALTHY, *stop], exit)
    assert (verdict.state, verdict.healthy, verdict.findings[0].code) == ("stopped", False, "server.stopped")


# ------------------------------------------------------------------------------------------------ what carries it


def test_two_services_in_one_compose_log():
    lines = [f"proxy-1  | 10.0.0.1 GET / 200 {n}" for n in range(5)]
    lines += [f"vllm-1   | {line}" for line in shapes.worker(SHM)]
    verdict = diagnosis.diagnose(lines)
    assert verdict.findings[0].code == "memory.shm"
    assert any("vllm-1" in note for note in verdict.notes)


FOLDED = {
    "escaped": "\\n".join,
    "escaped and quoted": lambda lines: '"' + "\\n".join(lines) + '"',
    "escaped behind a time": lambda lines: "2025-11-22T11:50:13.1Z stderr F " + "\\n".join(lines),
    "joined by blanks": " ".join,
    "every blank once": lambda lines: " ".join(" ".join(lines).split()),
    "JSON": lambda lines: json.dumps({"log": "\n".join(lines)}),
    "JSON in JSON": lambda lines: json.dumps({"message": json.dumps({"log": "\n".join(lines)})}),
    "JSON list": json.dumps,
}


@pytest.mark.parametrize("fold", FOLDED)
@pytest.mark.parametrize("shape", ["api", "engine", "engine8", "mq", "worker", "old-worker", "ray", "serving"])
def test_a_whole_log_on_one_line(fold, shape):
    lines = shapes.SHAPES[shape](SHM)
    said = diagnosis.diagnose(sources.of_text(FOLDED[fold](lines)).lines).as_dict()
    assert (said["code"], said["state"]) == ("memory.shm", "failed")
    assert said["evidence"].startswith(SHM.partition(" Increase")[0])


def test_a_long_log_on_one_line_is_read_to_its_end():
    filler = [f"(Worker_TP0 pid=80) INFO 11-22 11:50:13 [gpu_model_runner.py:{n}] text" for n in range(20_000)]
    whole = "\\n".join([*shapes.banner(), *filler, *shapes.worker(SHM)])
    assert code(sources.of_text(whole).lines) == "memory.shm"


def test_a_request_about_a_traceback_is_no_traceback():
    pasted = "\\n".join(shapes.traceback(SHM))
    request = (
        f"(APIServer pid=1) INFO 11-22 11:51:13 [logger.py:39] Received request chatcmpl-1: prompt: '{pasted}', params"
    )
    assert list(carriers.unfolded(request)) == [request]
    assert diagnosis.diagnose([*HEALTHY, request]).state == "healthy"


def test_a_prefix_is_learned_only_when_most_lines_have_it():
    alone = [*shapes.worker(SHM), "he said: Traceback (most recent call last):"]
    assert carriers.learned(alone) is None
    some = ["node | ERROR | Traceback (most recent call last):", *["a line", "another one"] * 20]
    assert carriers.learned(some) is None
    most = [f"7 | ERROR | {line}" for line in shapes.worker(SHM)]
    assert carriers.learned(most).match("8 | INFO |   x").end() == 11


def test_json_with_level_and_traceback_apart():
    """A formatter of VLLM_LOGGING_CONFIG_PATH: the exception is a field of its own."""

    def entry(level, file, message, **more):
        return json.dumps({"levelname": level, "filename": file, "lineno": 7, "message": message, **more})

    lines = [
        entry("INFO", "core.py", "Initializing a V1 LLM engine (v0.11.0) with config: model='/model'"),
        entry("ERROR", "core.py", "EngineCore failed to start.", exc_info="\n".join(shapes.traceback(SHM))),
    ]
    assert code(lines) == "memory.shm"
    refused = entry(
        "ERROR", "serving_chat.py", "Error in preprocessing", exc_info="\n".join(shapes.traceback(TEMPLATE))
    )
    assert diagnosis.diagnose([*HEALTHY, refused]).state == "healthy"


def test_streams_are_no_services():
    lines = shapes.worker(SHM)
    mixed = [f"{('stdout', 'stderr')[n % 2]} | {line}" for n, line in enumerate(lines)]
    assert code(mixed) == "memory.shm"
    assert diagnosis.diagnose(mixed).notes == ()


def test_what_python_and_vllm_write_is_nobodys_prefix():
    for text in (
        "Loading safetensors: 50% Completed | 1/2 |",
        "  | ValueError: x",
        "(APIServer pid=1) INFO 11-22 11:50:13 [a.py:1] b | c",
    ):
        assert list(prefixes.bare([text])) == [("", text)]


@pytest.mark.parametrize(
    ("text", "process", "level", "bare"),
    [
        ("(VllmWorker rank=1 pid=2445156) ERROR 05-27 11:47:57 [core.py:396] x", "VllmWorker#2445156", "ERROR", "x"),
        (
            "(RayWorkerWrapper pid=5, ip=10.0.0.2) ERROR 11-22 11:50:13 worker_base.py:157] x",
            "RayWorkerWrapper#5@10.0.0.2",
            "ERROR",
            "x",
        ),
        (
            "(EngineCore_DP0 pid=48) (RayWorkerWrapper pid=7) x [repeated 3x across cluster]",
            "RayWorkerWrapper#7",
            "",
            "x",
        ),
        ("(ApiServer_1 pid=48) INFO 11-22 11:50:13 [v1/engine/core.py:7] x", "ApiServer_1#48", "INFO", "x"),
        ("[rank0]: ValueError: x", "rank0", "", "ValueError: x"),
        ("ERROR 11-22 11:50:13 engine.py:366] x", "", "ERROR", "x"),
        ("ERROR 11-22 11:50:13.123 [.../core.py:366] x", "", "ERROR", "x"),
        ("(pid=12) x", "#12", "", "x"),
    ],
)
def test_prefixes_of_every_release(text, process, level, bare):
    line = reading.line_of(text)
    assert (line.process, line.level, line.text) == (process, level, bare)


def test_nothing_makes_it_fail():
    for junk in (
        "\x00" * 50,
        "\ufffd" * 50,
        "{" * 3000,
        "Traceback (most recent call last):",
        "a | " * 500,
        '{"log": 3}',
        "(" * 500,
    ):
        assert diagnosis.diagnose([junk] * 3, 1).findings
