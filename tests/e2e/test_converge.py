# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of one real server, from its first start to its removal. The tests build on each other, in this order."""

from __future__ import annotations

import pathlib
import re
import stat
import subprocess
import time

import pytest

from plays import kill

from .conftest import CONTAINER, SERVER, Host, docker

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow]

#: Gibibytes of key-value cache that no test machine has: refused by the engine late in its start, not by the parser.
TOO_MUCH = "60000"


def docker_errors(container: str) -> str:
    """What the server wrote to standard error."""
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return done.stderr


def wait_until(condition, seconds: float, what: str) -> float:
    """Seconds until ``condition()`` is true; fails after ``seconds``."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - begin


def test_check_mode_touches_nothing(host: Host) -> None:
    run = host.run(None, "--check", "--diff")

    assert run.code == 0
    assert run.changed == 1
    assert run.answer is not None
    assert run.answer["servers"][SERVER]["action"] == "create"
    assert run.answer["servers"][SERVER]["memory"]["fits"] is True
    assert host.containers() == []
    assert not (host.state_dir / SERVER).exists()


def test_the_site_playbook_brings_it_up(host: Host) -> None:
    run = host.run("playbooks/site.yml")

    assert run.code == 0
    assert run.changed > 0
    assert "ready" in run.text


def test_its_cache_has_the_tokens_that_were_foretold(host: Host) -> None:
    log = docker("logs", CONTAINER) + docker_errors(CONTAINER)
    logged = re.search(
        r"KV cache size: ([\d,]+) tokens, Maximum concurrency for 512 tokens per request: ([\d.]+)x", log
    )
    run = host.run(None, "--check")

    assert logged is not None and run.answer is not None
    memory = run.answer["servers"][SERVER]["memory"]
    assert memory["kv_cache_tokens"] == int(logged[1].replace(",", ""))
    assert memory["max_concurrency"] == float(logged[2])


def test_it_completes_with_the_key(host: Host) -> None:
    status, answer = host.complete(host.api_key)

    assert status == 200
    assert answer["model"] == SERVER
    assert answer["usage"]["completion_tokens"] == 8


@pytest.mark.parametrize("key", [None, "wrong"])
def test_it_refuses_without_the_key(host: Host, key: str | None) -> None:
    status, _answer = host.complete(key)

    assert status == 401


def test_a_second_run_changes_nothing(host: Host) -> None:
    before = host.container()["Id"]

    run = host.run("playbooks/site.yml")

    assert run.code == 0
    assert run.changed == 0
    assert host.container()["Id"] == before


def test_a_run_without_change_is_one_remote_call(host: Host) -> None:
    run = host.run()

    assert run.code == 0
    assert run.answer is not None
    assert run.answer["changed"] is False
    assert run.answer["remote_calls"] == 1


def test_the_key_is_only_in_its_file(host: Host) -> None:
    run = host.run(None, "-vvv")
    shown = {
        "output": run.text,
        "inspect": docker("inspect", CONTAINER),
        "processes": docker("top", CONTAINER, "-eo", "pid,args"),
        "log": subprocess.run(["docker", "logs", CONTAINER], check=True, capture_output=True, text=True).stdout
        + subprocess.run(["docker", "logs", CONTAINER], check=True, capture_output=True, text=True).stderr,
    }
    for where, text in shown.items():
        assert host.api_key not in text, f"the key is in the {where}"

    holders = [path for path in host.state_dir.rglob("*") if path.is_file() and host.api_key.encode() in read(path)]
    assert [path.parent.name for path in holders] == ["secrets"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in holders] == [0o400]


def read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_changed_argument_replaces_it(host: Host) -> None:
    before = host.container()["Id"]
    host.declare(engine_args={"max_model_len": 256})

    run = host.run("playbooks/site.yml")

    assert run.code == 0
    assert run.changed > 0
    assert host.max_model_len() == 256
    assert host.container()["Id"] != before
    assert host.containers() == [CONTAINER]
    assert host.container()["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_what_the_release_does_not_know_is_refused_before_anything_stops(host: Host) -> None:
    before, kept = host.container(), host.kept()
    host.declare(engine_args={"max_modellen": 128, "max_num_seqs": 4})

    run = host.run()
    host.servers[SERVER] = kept

    assert run.code != 0
    assert f"vllm_servers[{SERVER}].engine_args.max_modellen" in run.text
    assert "max_model_len" in run.text
    after = host.container()
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])


def test_a_failing_start_rolls_back(host: Host) -> None:
    before, kept = host.container()["Id"], host.kept()
    host.declare(env={"VLLM_CPU_KVCACHE_SPACE": TOO_MUCH}, accept=["env.out-of-range", "memory.kv-cache"])

    run = host.run()
    host.servers[SERVER] = kept

    assert run.code != 0
    assert run.answer is not None
    assert run.answer["failed"] is True
    assert "answers again" in run.text
    assert host.container()["Id"] == before
    assert host.max_model_len() == 256
    assert host.complete(host.api_key)[0] == 200
    assert host.containers() == [CONTAINER]
    assert any((host.state_dir / SERVER / "evidence").glob("*/log.txt"))

    again = host.run("playbooks/site.yml")
    assert again.code == 0
    assert again.changed == 0


def test_a_killed_controller_leaves_a_server_that_answers(host: Host) -> None:
    before, kept = host.container()["Id"], host.kept()
    host.declare(env={"VLLM_CPU_KVCACHE_SPACE": TOO_MUCH}, accept=["env.out-of-range", "memory.kv-cache"])

    process = host.begin()
    try:
        wait_until(lambda: running(CONTAINER) not in (None, before), 90, "the new container runs")
    finally:
        kill(process)
    host.servers[SERVER] = kept
    assert host.complete(host.api_key)[0] != 200, "the old server should be down while the new one tries"

    # Nobody runs anything: the job on the host notices the failure and puts the old server back.
    seconds = wait_until(lambda: host.complete(host.api_key)[0] == 200, 180, "the old server answers again")
    print(f"answers again {seconds:.1f} s after the controller was killed")
    assert host.container()["Id"] == before
    assert host.max_model_len() == 256

    wait_until(lambda: host.containers() == [CONTAINER], 60, "nothing of the attempt is left")
    again = host.run("playbooks/site.yml")
    assert again.code == 0
    assert again.changed == 0


def running(name: str) -> str | None:
    """The id of the running container of this name, or None."""
    done = subprocess.run(
        ["docker", "inspect", "-f", "{{if .State.Running}}{{.Id}}{{end}}", name], capture_output=True, text=True
    )
    return done.stdout.strip() or None


def test_an_exited_server_is_started_again(host: Host) -> None:
    before = host.container()["Id"]
    docker("stop", "-t", "20", CONTAINER)

    run = host.run("playbooks/site.yml")

    assert run.code == 0
    assert run.changed > 0
    assert host.container()["Id"] == before
    assert host.complete(host.api_key)[0] == 200


def test_a_death_while_it_starts_is_told_with_its_cause(host: Host) -> None:
    """The engine's own words, the exit status, and no long wait."""
    kept = host.kept()
    docker("stop", "-t", "20", CONTAINER)
    host.declare(env={"VLLM_CPU_KVCACHE_SPACE": TOO_MUCH}, accept=["env.out-of-range", "memory.kv-cache"])

    run = host.run()
    host.servers[SERVER] = kept

    assert run.code != 0
    assert "exit" in run.text
    assert "kv cache" in run.text.lower()
    assert "An exception occurred" not in run.text


def test_absent_removes_it(host: Host) -> None:
    host.declare(state="absent")

    run = host.run("playbooks/site.yml")

    assert run.code == 0
    assert run.changed > 0
    assert host.containers() == []
    assert host.request("GET", "/health")[0] == 0

    again = host.run("playbooks/site.yml")
    assert again.code == 0
    assert again.changed == 0
