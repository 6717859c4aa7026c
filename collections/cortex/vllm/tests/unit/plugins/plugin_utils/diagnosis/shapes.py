# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs put together around one error text, in the shapes that releases 0.6 … 0.33 write.

These are compositions, not recordings: the error's text is the source's (vLLM, torch, NCCL, transformers, docker), and
what stands around it follows the logging of the release. Recorded logs are in tests/diagnosis of the repository.
"""

from __future__ import annotations

import json

SITE = "/usr/local/lib/python3.12/dist-packages/vllm/"
TIME = "11-22 11:50:13"


def banner(version="0.32.0"):
    return [
        f"(APIServer pid=1) INFO {TIME} [api_utils.py:347]   █▄█▀ █     █     █     █  version {version}",
        f"(APIServer pid=1) INFO {TIME} [api_utils.py:286] non-default args: {{'model_tag': '/model', 'model': '/model'}}",  # noqa: E501
        f"(APIServer pid=1) INFO {TIME} [model.py:733] Resolved architecture: Qwen3ForCausalLM",
        f"(APIServer pid=1) INFO {TIME} [model.py:2152] Using max model len 8192",
    ]


def old_banner(version="0.6.6.post1"):
    return [
        f"INFO {TIME} api_server.py:712] vLLM API server version {version}",
        f"INFO {TIME} api_server.py:713] args: Namespace(host=None, port=8000, model='/model', max_model_len=None)",
        f"INFO {TIME} config.py:510] This model supports multiple tasks: {{'embed', 'generate'}}. Defaulting to 'generate'.",  # noqa: E501
    ]


ENGINE = [
    f"(EngineCore pid=19) INFO {TIME} [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='/model'",
    f"(Worker pid=29) INFO {TIME} [gpu_model_runner.py:68] Starting to load model /model...",
]
READY = [
    f"(APIServer pid=1) INFO {TIME} [entry.py:140] Starting vLLM server on http://0.0.0.0:8000",
    "INFO:     Started server process [1]",
    "INFO:     Waiting for application startup.",
    "INFO:     Application startup complete.",
]
ACCESS = [f'INFO:     172.17.0.1:{40000 + number} - "GET /health HTTP/1.1" 200 OK' for number in range(20)]
FAILED_CORE = (
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)


def frames(given, *own):
    lines = []
    for frame in [*own, *(given or [])]:
        lines += [f"  {frame}", "    some_call(argument)", "    ^^^^^^^^^^^^^^^^^^^"]
    return lines


def traceback(text, given=(), *own):
    """A traceback as Python prints it; ``@during`` in the text begins the exception that came of it."""
    found = []
    for index, part in enumerate(text.split("\n@during\n")):
        if index:
            found += ["", "During handling of the above exception, another exception occurred:", ""]
        found += ["Traceback (most recent call last):", *frames(given, *own), *part.split("\n")]
    return found


def prefixed(prefix, lines):
    return [f"{prefix}{line}" for line in lines]


MAIN = 'File "/usr/local/bin/vllm", line 8, in <module>'


def api(text, given=(), version="0.32.0"):
    return [*banner(version), *traceback(text, given, MAIN)]


def old_api(text, given=()):
    return [*old_banner(), *traceback(text, given, 'File "<frozen runpy>", line 198, in _run_module_as_main')]


def pydantic(text, given=(), config="ModelConfig"):
    head, *more = text.split("\n")
    tail = " [type=value_error, input_value=ArgsKwargs((), {'model': '/model'}), input_type=ArgsKwargs]"
    body = [f"  Value error, {head}", *more]
    body[-1] += tail
    lines = [f"pydantic_core._pydantic_core.ValidationError: 1 validation error for {config}", *body]
    lines.append("    For further information visit https://errors.pydantic.dev/2.11/v/value_error")
    return api("\n".join(lines), given)


def pydantic_field(text, given=(), config="ModelConfig"):
    lines = [f"pydantic_core._pydantic_core.ValidationError: 1 validation error for {config}", text]
    lines.append("    For further information visit https://errors.pydantic.dev/2.11/v/greater_than_equal")
    return api("\n".join(lines), given)


def wrapper(text, given=()):
    return [*banner(), *ENGINE, *prefixed("(APIServer pid=1) ", traceback(text, given, MAIN))]


def engine(text, given=(), process="(EngineCore pid=19) ", place="[core.py:1510]", version="0.32.0"):
    logged = [
        "EngineCore failed to start.",
        *traceback(text, given, f'File "{SITE}v1/engine/core.py", line 9, in run_engine_core'),
    ]
    return [
        *banner(version),
        *ENGINE[:1],
        *prefixed(f"{process}ERROR {TIME} {place} ", logged),
        *prefixed(
            process,
            ["Process EngineCore:", *traceback(text, given, 'File "/usr/lib/python3.12/multiprocessing/process.py"')],
        ),
        *prefixed("(APIServer pid=1) ", traceback(FAILED_CORE, (), MAIN)),
    ]


def engine10(text, given=()):
    return engine(text, given, "(EngineCore_DP0 pid=272) ", "[core.py:700]", "0.11.0")


def engine8(text, given=()):
    """0.8 and 0.9 name no process in the engine's lines."""
    place = "ERROR 05-27 11:47:57 [core.py:396] "
    own = f'File "{SITE}v1/engine/core.py", line 387, in run_engine_core'
    return [
        "INFO 05-27 11:47:20 [api_server.py:1043] vLLM API server version 0.8.5.post1",
        "INFO 05-27 11:47:41 [core.py:58] Initializing a V1 LLM engine (v0.8.5.post1) with config: model='/model'",
        *prefixed(place, ["EngineCore failed to start.", *traceback(text, given, own)]),
        "Process EngineCore_0:",
        *traceback(text, given, 'File "/usr/lib/python3.12/multiprocessing/process.py", line 314, in _bootstrap'),
        *traceback(FAILED_CORE.replace("EngineCore'", "EngineCore_0'"), (), MAIN),
    ]


def mq(text, given=()):
    """0.6: the engine is a process of its own (engine/multiprocessing)."""
    place = f"ERROR {TIME} engine.py:366] "
    return [
        *old_banner(),
        f"INFO {TIME} llm_engine.py:234] Initializing an LLM engine (v0.6.6.post1) with config: model='/model'",
        *prefixed(place, [text.split("\n")[0].split(": ", 1)[-1], *traceback(text, given)]),
        "Process SpawnProcess-1:",
        *traceback(text, given, 'File "/usr/lib/python3.12/multiprocessing/process.py", line 314, in _bootstrap'),
        *traceback(
            "RuntimeError: Engine process failed to start. See stack trace for the root cause.",
            (),
            'File "<frozen runpy>", line 198, in _run_module_as_main',
        ),
    ]


def worker(text, given=(), ranks=2):
    """Two ranks fail one after the other; another one is still loading in between."""
    own = f'File "{SITE}v1/executor/multiproc_executor.py", line 900, in worker_main'
    lines = [*banner(), *ENGINE]
    for rank in range(ranks):
        place = f"(Worker_TP{rank} pid={83 + rank}) ERROR {TIME} [multiproc_executor.py:1057] "
        lines += prefixed(place, ["WorkerProc failed to start.", *traceback(text, given, own)])
        lines.append(f"(Worker_TP7 pid=99) INFO {TIME} [default_loader.py:501] Loading weights took 1.20 seconds")
    wrapped = "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause."  # noqa: E501
    lines += prefixed(f"(EngineCore pid=19) ERROR {TIME} [core.py:1510] ", traceback(wrapped))
    return lines + prefixed("(APIServer pid=1) ", traceback(FAILED_CORE.replace("{'EngineCore': 1}", "{}"), (), MAIN))


def old_worker(text, given=()):
    """0.6: workers of the multiprocessing executor; rank 0 is the engine itself."""
    place = f"(VllmWorkerProcess pid=214) ERROR {TIME} multiproc_worker_utils.py:229] "
    return [
        *old_banner(),
        *prefixed(
            place,
            ["Exception in worker VllmWorkerProcess while processing method init_device.", *traceback(text, given)],
        ),
        *prefixed("[rank0]: ", traceback(text, given, MAIN)),
        f"INFO {TIME} multiproc_worker_utils.py:137] Terminating local vLLM worker processes",
        *traceback("RuntimeError: Engine process failed to start. See stack trace for the root cause.", (), MAIN),
    ]


def ray(text, given=()):
    place = f"(RayWorkerWrapper pid=5280, ip=10.0.0.2) ERROR {TIME} [worker_base.py:620] "
    task = f"ray.exceptions.RayTaskError({text.split(':')[0].rsplit('.', 1)[-1]}): ray::RayWorkerWrapper.execute_method() (pid=5280)"  # noqa: E501
    return [
        *banner(),
        "2025-11-22 11:50:13,393	INFO worker.py:1564 -- Connecting to existing Ray cluster at address: 10.0.0.1:6379...",  # noqa: E501
        *prefixed(place, ["Error executing method 'load_model'.", *traceback(text, given)]),
        *prefixed(
            f"(EngineCore pid=19) ERROR {TIME} [core.py:700] ", [*traceback(task), *frames(given), *text.split("\n")]
        ),
        *prefixed("(APIServer pid=1) ", traceback(FAILED_CORE, (), MAIN)),
    ]


def serving(text, given=()):
    """It was ready, answered, and then the engine died of it."""
    own = f'File "{SITE}v1/engine/core.py", line 1496, in run_engine_core'
    dead = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."  # noqa: E501
    return [
        *banner(), *ENGINE, *READY, *ACCESS,
        *prefixed(f"(EngineCore pid=19) ERROR {TIME} [core.py:1512] ", ["EngineCore encountered a fatal error.", *traceback(text, given, own)]),  # noqa: E501
        *prefixed(f"(APIServer pid=1) ERROR {TIME} [async_llm.py:906] ", ["AsyncLLM output_handler failed.", *traceback(dead)]),  # noqa: E501
        'INFO:     172.17.0.1:44872 - "POST /v1/completions HTTP/1.1" 500 Internal Server Error',
        "INFO:     Shutting down", "INFO:     Waiting for application shutdown.", "INFO:     Application shutdown complete.",  # noqa: E501
        "INFO:     Finished server process [1]",
    ]  # fmt: skip


def serving_wrapper(text, given=()):
    return [line for line in serving(text, given) if "core.py:1512" not in line]


def docker(text, given=()):
    del given
    said = f"docker: Error response from daemon: {text}".split("\n")
    return [*said, "", "Run 'docker run --help' for more information"]


def argparse(text, given=()):
    del given
    return ["usage: vllm serve [model_tag] [options]", f"vllm serve: error: {text}"]


def argparse_old(text, given=()):
    del given
    return ["usage: api_server.py [-h] [--host HOST]", f"api_server.py: error: {text}"]


def plain(text, given=()):
    del given
    return text.split("\n")


SHAPES = {
    "api": api, "old-api": old_api, "pydantic": pydantic, "pydantic-field": pydantic_field, "wrapper": wrapper,
    "engine": engine, "engine10": engine10, "engine8": engine8, "mq": mq, "worker": worker, "old-worker": old_worker,
    "ray": ray, "serving": serving, "serving-wrapper": serving_wrapper, "docker": docker, "argparse": argparse,
    "argparse-old": argparse_old, "plain": plain,
}  # fmt: skip
#: Shapes in which one exception can stand in many places.
INSIDE = ("engine", "engine10", "engine8", "mq", "worker", "old-worker", "ray", "api", "old-api")


def compose(case, shape=None):
    """The log of one row of cases.json."""
    shape = shape or case["shape"]
    more = {"config": case["config"]} if "config" in case and shape.startswith("pydantic") else {}
    lines = SHAPES[shape](case["text"], case.get("frames", ()), **more)
    before = case.get("before", [])
    if not before:
        return lines
    first = next(index for index, line in enumerate(lines) if "Traceback" in line or "failed to start" in line)
    return lines[:first] + list(before) + lines[first:]


#: What most carriers put around each line.
FORMATS = {
    "docker --timestamps": "2026-11-22T11:50:13.123456789Z {}",
    "compose": "vllm-1  | {}",
    "compose with colours and time": "\x1b[36mvllm-1  | \x1b[0m2026-11-22T11:50:13.123456789Z {}",
    "kubectl --prefix --timestamps": "[pod/chat-0/vllm] 2026-11-22T11:50:13.123456789Z {}",
    "CRI file": "2026-11-22T11:50:13.123456789+00:00 stderr F {}",
    "journald": "Nov 22 11:50:13 gpu1 docker[812]: {}",
    "journald ISO": "2026-11-22T11:50:13+0000 gpu1 vllm[812]: {}",
    "supervisor": "2025-11-22 11:50:13,123 DEBG 'vllm' stderr output: {}",
    "pipes": "2025-11-22 11:50:13 | ERROR | stderr | {}",
    "pipes alone": "| ERROR | stderr | {}",
    "brackets": "[vllm-server] [stderr] {}",
    "brackets and a bar": "[llm]        | {}",
    "logging": "2025-11-22T11:50:13+00:00 - vllm - ERROR - {}",
    "time alone": "11:50:13.123 {}",
    "stern": "chat-7f9c8d-abc12 vllm {}",
    "srun": "0: {}",
    "syslog RFC 5424": "<14>1 2025-11-22T11:50:13.123456Z gpu1 vllm 812 - - {}",
    "quoted": "> {}",
    "indented": "\t{}",
    "CRLF": "{}\r",
    "colours": "\x1b[1;31m{}\x1b[0m",
    "seconds": "  33.70 {}",
    "build": "#12 33.705 {}",
}
#: What those write that keep more of a line than its text.
RECORDS = {
    "json-file": lambda line: {"log": line + "\n", "stream": "stderr", "time": "2026-11-22T11:50:13Z"},
    "journald JSON": lambda line: {"MESSAGE": list(line.encode()), "_PID": "1"},
    "cloud": lambda line: {"jsonPayload": {"message": line}, "severity": "ERROR"},
    "JSON lines": lambda line: {"level": "error", "ts": 1.5, "message": line},
}


def loguru(line):
    level = ("INFO", "ERROR")[len(line) % 2]
    return f"2025-11-22 11:50:13.1 | {level:8} | pump:read:{len(line)} - {line}"


#: What carries a log, and puts something of its own around each line.
CARRIERS = {name: form.format for name, form in FORMATS.items()}
CARRIERS.update({name: (lambda line, made=made: json.dumps(made(line))) for name, made in RECORDS.items()})
CARRIERS["loguru"] = loguru
