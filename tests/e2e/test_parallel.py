# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several ranks of real vLLM in one container, one that hangs, and sums in the server's own image: CPU and gloo."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from .conftest import CONTAINER, ROOT, Host, docker

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

#: The image has no compiler: without the second the first request of several ranks fails. Each rank would want a NUMA
#: node of its own, unless they are told their processors.
ENV = {"VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0|1"}
ARGUMENTS = {"max_model_len": 256, "enforce_eager": True}


@pytest.fixture(autouse=True)
def declared(host: Host) -> Any:
    """Each test says which ranks it wants; afterwards the server is as it was."""
    kept = host.kept()
    yield
    host.servers[next(iter(host.servers))] = kept


def declare(host: Host, **arguments: Any) -> dict[str, Any]:
    server = host.servers[next(iter(host.servers))]
    server["engine_args"] = {**ARGUMENTS, **arguments}
    server["env"] = dict(ENV)
    return server


def ranks() -> list[str]:
    """Names of the processes of the container."""
    return re.findall(r"VLLM::\S+", docker("top", CONTAINER, "-eo", "pid,args"))


def test_tensor_parallel_in_one_container(host: Host) -> None:
    declare(host, tensor_parallel_size=2)
    run = host.run("playbooks/site.yml")
    assert run.code == 0, run.text
    assert host.complete(host.api_key)[0] == 200
    assert sorted(name for name in ranks() if "Worker" in name) == ["VLLM::Worker_TP0", "VLLM::Worker_TP1"]
    assert host.run("playbooks/site.yml").changed == 0


def test_a_rank_that_hangs_ends_the_server_after_the_declared_time(host: Host) -> None:
    """A collective that stands still: the rank is stopped as a hung one would be, and the configured time passes."""
    server = declare(host, tensor_parallel_size=2)
    server["nccl"] = {"step_timeout": 20, "timeout": 60}
    server["restart_policy"] = "no"
    run = host.run("playbooks/site.yml")
    assert run.code == 0, run.text
    environment = host.container()["Config"]["Env"]
    assert "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS=20" in environment
    assert docker("exec", CONTAINER, "python3", "-c", STOP_WORKER) == "stopped"
    begin = time.monotonic()
    status, answer = host.complete(host.api_key)
    seconds = time.monotonic() - begin
    assert status != 200 and 15 < seconds < 60, (status, answer, seconds)
    while host.container()["State"]["Running"]:
        assert time.monotonic() - begin < 120
        time.sleep(0.5)
    log = docker_log()
    print(log)  # for who reads a failure: pytest shows it
    assert "RPC call to" in log and "timed out" in log
    from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis

    state = host.container()["State"]
    facts = {"code": state["ExitCode"], "oom": False, "error": "", "seconds": seconds}
    found = diagnosis.diagnose(log.splitlines()[-400:], facts).findings
    assert "nccl.collective-timeout" in [item.code for item in found], [str(item) for item in found]
    print(f"ended {seconds:.0f} s after the rank was stopped")


def test_data_parallel_in_one_container(host: Host) -> None:
    declare(host, data_parallel_size=2)
    run = host.run("playbooks/site.yml")
    assert run.code == 0, run.text
    assert host.complete(host.api_key)[0] == 200
    engines = [name for name in ranks() if "EngineCore" in name]
    assert len(engines) == 2, engines
    assert host.run("playbooks/site.yml").changed == 0


def test_sums_in_the_image_of_the_server(host: Host, tmp_path: pathlib.Path) -> None:
    """The whole path of the measurement with gloo: measured once, kept, right; and a way that does not exist."""
    server = host.servers[next(iter(host.servers))]
    first = measure(host, tmp_path, image=server["image"], limit=60)
    assert (first["changed"], first["verdict"], first["backend"]) == (True, "p2p-works", "gloo")
    assert [check["wrong"] for check in first["arms"]["configured"]["checks"]] == [0, 0, 0]
    again = measure(host, tmp_path, image=server["image"], limit=60)
    assert (again["changed"], again["arms"], again["remote_calls"]) == (False, first["arms"], 1)
    bad = measure(host, tmp_path, image=server["image"], limit=60, environment={"GLOO_DEVICE_TRANSPORT": "NONE"})
    assert bad["changed"] and bad["verdict"] == "inconclusive" and bad["arms"]["p2p_off"]["state"] == "error"
    assert not docker("ps", "-aq", "--filter", "label=cortex.vllm.look")


def measure(host: Host, folder: pathlib.Path, **options: Any) -> dict[str, Any]:
    kept = folder / "measured.json"
    play = [{
        "hosts": "vllm", "gather_facts": False,
        "tasks": [
            {"cortex.vllm.nccl_test": {"state_dir": str(host.state_dir), "backend": "gloo", **options},
             "register": "measured"},
            {"ansible.builtin.copy": {"content": "{{ measured | to_json }}", "dest": str(kept), "mode": "0644"}},
        ],
    }]  # fmt: skip
    path = folder / "measure.yml"
    path.write_text(json.dumps(play), encoding="utf-8")
    run = host.run(path)
    assert run.code == 0, run.text
    return json.loads(kept.read_text(encoding="utf-8"))


def docker_log() -> str:
    """Both streams as they were written: readiness is said on the one, errors on the other."""
    done = subprocess.run(
        ["docker", "logs", CONTAINER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        check=True,
    )  # fmt: skip
    return done.stdout


STOP_WORKER = """
import os, signal
for pid in os.listdir('/proc'):
    try:
        name = open('/proc/%s/cmdline' % pid, 'rb').read().decode(errors='replace')
    except OSError:
        continue
    if name.startswith('VLLM::Worker_TP1'):
        os.kill(int(pid), signal.SIGSTOP)
        print('stopped')
"""

sys.path.insert(0, str(ROOT / "collections"))
