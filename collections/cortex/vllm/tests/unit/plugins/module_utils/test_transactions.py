# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job does to the containers of a server, step by step, with an engine made of data."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import (
    adopting,
    evidence,
    files,
    gpu_memory,
    intact,
    journal,
    locks,
    look,
    observe,
    orders,
    recovery,
    replacing,
    state,
    stopping,
    stuck_port,
    transaction,
)
from ansible_collections.cortex.vllm.plugins.module_utils import (
    job as jobs,
)
from ansible_collections.cortex.vllm.plugins.module_utils.connection import EngineError
from ansible_collections.cortex.vllm.plugins.module_utils.follow import Outcome
from ansible_collections.cortex.vllm.plugins.module_utils.redact import Redactor
from ansible_collections.cortex.vllm.tests.unit.plugins.module_utils.engine_double import Engine

NAME = "cortex-vllm-chat"
AWAY = EngineError("connection", "the connection to the engine was lost")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Nothing is waited for; every container is ready as soon as it runs."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(transaction, "wait_ready", lambda ctx, ident, probe, order: Outcome("ready", seconds=1.0))


@pytest.fixture
def job(tmp_path):
    """A function that makes the run of one order on a server whose state is given."""

    def make(engine, action, committed=None, pending=None, **order):
        order = dict({"action": action, "container_name": NAME, "expected": {}}, **order)
        request = {"state_dir": str(tmp_path), "job": "j2", "orders": {"chat": order}}
        kept = dict(state.empty("chat"), committed=committed, transaction=pending)
        state.save(str(tmp_path), "chat", kept)
        redactor = Redactor([])
        log = journal.Journal(str(tmp_path / "chat"), "chat", "j2", redactor)
        run = orders.ServerRun(request, "chat", {}, log, redactor)
        run.engine, run.state = engine, json.loads(json.dumps(kept))
        run.told = lambda: journal.read(str(tmp_path / "chat" / "journal.jsonl"), 0)[0]
        run.on_disk = lambda: state.load(str(tmp_path), "chat")[0]
        return run

    return make


def kinds(run):
    return [event["event"] for event in run.told()]


# -- stopping


def test_what_is_stopped_on_purpose_stays_stopped_when_the_engine_starts_again(job):
    """The policy `always` brings a stopped container back with the engine; `start` gives it back."""
    engine = Engine(a={"name": NAME, "policy": "always"})
    run = job(engine, "stop", {"container_id": "a"})
    assert run._stop(engine.find("a")) == ("ok", "")
    assert [call[0] for call in engine.done("update", "stop")] == ["update", "stop"]
    assert engine.find("a")["HostConfig"]["RestartPolicy"]["Name"] == "no"


def test_a_stop_that_fails_takes_no_policy_away(job):
    engine = Engine(a={"name": NAME, "policy": "always"})
    engine.trouble["stop"] = [EngineError("refused", "it hangs")]
    run = job(engine, "stop", {"container_id": "a"})
    with pytest.raises(transaction.StepFailed, match="it hangs"):
        run._stop(engine.find("a"))
    assert engine.find("a")["HostConfig"]["RestartPolicy"]["Name"] == "always"


def test_a_paused_server_goes_on_before_it_is_told_to_end():
    engine = Engine(a={"name": NAME, "paused": True})
    stopping.Stop(engine, lambda event, **fields: None).stop(engine.find("a"), 5.0)
    assert [call[0] for call in engine.done("unpause", "stop")] == ["unpause", "stop"]


# -- going back

PENDING = {
    "job": "j1", "action": "replace", "step": "starting", "started_at": 0, "old_container_id": "old", "old_name": NAME,
    "kept_name": NAME + ".kept", "new_container_id": "new", "generation": "g2", "old_running": True,
    "old_restart_policy": {"Name": "unless-stopped"}, "old_generation": "g1", "start_timeout": 90.0, "old_probe": None,
}  # fmt: skip


def halfway():
    return Engine(
        old={"name": NAME + ".kept", "running": False, "policy": "no"}, new={"name": NAME, "policy": "no"}
    )  # fmt: skip


@pytest.mark.parametrize(
    "own, patience",
    [
        ({"start_timeout": 900.0, "start_limit": 2700.0, "stall_timeout": 300.0}, (900.0, 2700.0, 300.0)),
        ({"start_timeout": 20.0}, (60.0, None, None)),
        ({"ready_seconds": 400.0}, (1200.0, None, None)),
        ({}, (90.0, None, None)),
    ],
)
def test_the_old_server_gets_the_time_that_it_needs_itself(job, monkeypatch, own, patience):
    """A small model that fails must not make a large one look dead that needs ten minutes to come back."""
    asked = []
    monkeypatch.setattr(
        transaction, "wait_ready", lambda ctx, ident, probe, order: asked.append(order) or Outcome("ready")
    )
    run = job(halfway(), "replace", dict({"container_id": "old", "generation": "g1"}, **own), PENDING)
    assert transaction.roll_back(run) == (True, "")
    (order,) = asked
    assert order["start_timeout"] == pytest.approx(patience[0], abs=1.0)
    assert (order["start_limit"], order["stall_timeout"]) == patience[1:]


def test_the_old_server_starts_when_the_memory_of_its_gpus_is_free(job, monkeypatch):
    monkeypatch.setattr(gpu_memory, "POLL", 0.0)
    engine, asked = halfway(), []
    answers = [(70000, "7"), (70000, "7"), (40000, ""), (3, "")]

    def driver(command, errors=None):
        used, pid = answers[min(len(asked) // 2, 3)]
        asked.append([call[0] for call in engine.done("remove", "start")])
        return 0, ("GPU-1, {0}\n".format(pid) if pid else "") if "compute" in command[1] else "GPU-1, %d\n" % used, ""

    run = job(engine, "replace", {"container_id": "old", "generation": "g1"}, PENDING, gpu_locks=["GPU-1"])
    run.run_command, run.nvidia_smi = driver, "nvidia-smi"
    assert transaction.roll_back(run) == (True, "")
    assert asked[0] == [] and asked[-1] == ["remove"], "asked before the new one goes, and until the old one starts"
    (event,) = [entry for entry in run.told() if entry["event"] == "gpu_memory"]
    assert event["free"] is True
    assert kinds(run).index("gpu_memory") < kinds(run).index("started")


def test_a_rename_that_was_done_while_the_engine_went_away_is_no_failure(job):
    engine = halfway()
    engine.trouble["rename"], engine.late = [AWAY], {"rename"}
    run = job(engine, "replace", {"container_id": "old", "generation": "g1"}, PENDING)
    assert transaction.roll_back(run) == (True, "")
    assert engine.find("old")["Name"] == "/" + NAME and engine.find("old")["State"]["Running"]


def test_an_old_one_that_did_not_run_is_not_said_to_be_silent(job):
    run = job(halfway(), "replace", {"container_id": "old"}, dict(PENDING, old_running=False))
    assert transaction.roll_back(run)[0] is True
    (event,) = [entry for entry in run.told() if entry["event"] == "rolled_back"]
    assert (event["verified"], event["ran"]) == (False, False) and "stopped" in event["message"]


def test_a_change_that_was_given_up_before_the_stop_leaves_nothing_to_recover(job, monkeypatch):
    engine = Engine(old={"name": NAME}, new={"name": NAME + ".new", "running": False})
    run = job(engine, "replace", {"container_id": "old", "generation": "g1"}, generation="g2", body={"Image": "i"})
    monkeypatch.setattr(run, "write_files", lambda: None, raising=False)
    monkeypatch.setattr(run, "create_new", lambda: "new", raising=False)

    def no_space(ctx):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replacing, "warm", no_space)
    with pytest.raises(transaction.StepFailed, match="No space"):
        replacing.replace(run, engine.find("old"))
    assert run.on_disk()["transaction"] is None
    assert list(engine.inspects) == ["old"] and engine.find("old")["State"]["Running"]


def test_what_was_made_and_never_noted_is_removed_with_its_files(job, tmp_path):
    engine = Engine(a={"name": NAME}, b={"name": NAME + ".new", "running": False})
    run = job(engine, "recover", {"container_id": "a", "generation": "g1"})
    for generation in ("g1", "g2"):
        (tmp_path / "chat" / "generations" / generation / "secrets").mkdir(parents=True)
    assert recovery.recover(run) == ("stale", "a container that was never started is removed")
    assert list(engine.inspects) == ["a"]
    assert [path.name for path in (tmp_path / "chat" / "generations").iterdir()] == ["g1"]


# -- files that somebody changed


def test_changed_files_are_put_back_and_the_container_is_not_touched(job, tmp_path):
    engine = Engine(a={"name": NAME})
    wanted = [{"path": "launch.sh", "mode": "0555", "content": "exec\n"}]
    committed = {"container_id": "a", "generation": "g1", "salt": "5a17", "body": {"Image": "i"}, "files": {"x": []}}
    record = {"salt": "5a17", "declaration": {}}
    given = {"files": wanted, "secret_names": ["KEY"], "user": {"uid": os.getuid(), "gid": os.getgid()}, "update": {}}
    run = job(engine, "update", committed, generation="g1", record=record, body={"Image": "i"}, **given)
    run.secrets = {"KEY": "sk-very-secret"}
    run.order["expected"] = {"container_id": "a"}
    run.run(lambda: engine)
    assert run.told()[-1]["result"] == "ok", run.told()
    assert {call[0] for call in engine.calls} == {"inspect"}
    folder = tmp_path / "chat" / "generations" / "g1"
    assert (folder / "launch.sh").read_text() == "exec\n"
    kept = run.on_disk()["committed"]
    assert set(kept["files"]) == {"launch.sh", "secrets/KEY"} and kept["container_id"] == "a"
    assert intact.look(str(tmp_path), "chat", kept) == []
    assert "very-secret" not in json.dumps([run.told(), run.on_disk()])
    shutil.rmtree(str(folder))
    run.order.update(action="restart")
    assert run._act() == ("ok", "")
    assert (folder / "launch.sh").exists() and engine.find("a")["State"]["Running"]


def test_a_secret_that_was_not_sent_is_missed_before_anything_is_touched(job):
    order = {"action": "start", "container_name": NAME, "expected": {"container_id": "a"}, "generation": "g1"}
    order.update(files=[{"path": "launch.sh", "content": ""}], secret_names=["KEY"])
    request = {"job": "j", "groups": [["chat"]], "state_dir": "/s", "orders": {"chat": order}}
    with pytest.raises(files.RequestRefused, match="no value for KEY"):
        jobs.check(request, {})


# -- an engine that was killed


def test_a_port_that_the_engine_keeps_for_nobody_is_freed_and_the_start_tried_again(job, monkeypatch):
    engine = Engine(a={"name": NAME, "running": False})
    engine.trouble["start"] = [EngineError("refused", "Bind for 0.0.0.0:8000 failed: port is already allocated")]
    run = job(engine, "start", {"container_id": "a"}, expected={"container_id": "a"})
    asked = []
    monkeypatch.setattr(stuck_port, "free", lambda *given: asked.append(given[1]) or 8000)
    run.run(lambda: engine)
    assert run.told()[-1]["result"] == "ok" and len(asked) == 1
    assert kinds(run).index("engine_restarted") < kinds(run).index("started")
    assert len(engine.done("start")) == 2


# -- several jobs


def test_who_waits_in_vain_for_a_server_looks_again(job, tmp_path):
    engine = Engine(a={"name": NAME})
    run = job(engine, "restart", {"container_id": "a"}, lock_timeout=0.01)
    with locks.Lock(str(tmp_path), "server-chat").acquire(0):
        run.run(lambda: engine)
    (done,) = [entry for entry in run.told() if entry["event"] == "done"]
    assert done["result"] == "stale" and "server-chat is locked by another job" in done["message"]
    assert "failed" not in kinds(run)


def test_who_waits_in_vain_for_a_gpu_fails(job, tmp_path):
    engine = Engine(a={"name": NAME})
    run = job(engine, "restart", {"container_id": "a"}, lock_timeout=0.01, gpu_locks=["GPU-1"])
    with locks.Lock(str(tmp_path), "gpu-GPU-1").acquire(0):
        run.run(lambda: engine)
    assert run.told()[-1]["result"] == "failed" and "gpu-GPU-1 is locked" in run.told()[-1]["message"]


def test_a_start_on_the_same_gpu_is_waited_for_and_then_the_host_is_looked_at_again(job, tmp_path, monkeypatch):
    engine = Engine(a={"name": NAME})
    patience = {"lock_timeout": 0.01, "gpu_lock_timeout": 60.0, "gpu_locks": ["GPU-1"]}
    run = job(engine, "restart", {"container_id": "a"}, expected={"container_id": "a"}, **patience)
    other = locks.Lock(str(tmp_path), "gpu-GPU-1").acquire(0)
    monkeypatch.setattr("time.sleep", lambda seconds: other.release())
    run.run(lambda: engine)
    assert [entry["for"] for entry in run.told() if entry["event"] == "waiting"] == ["gpu GPU-1"]
    assert run.told()[-1]["result"] == "stale" and "another job held the gpu GPU-1" in run.told()[-1]["message"]
    assert not engine.done("stop", "start")


def test_the_job_at_work_is_told_not_the_one_that_gave_up(tmp_path):
    folder, redactor = str(tmp_path), Redactor([])
    done = journal.Journal(folder, "chat", "j0", redactor)  # lives on for other servers of its host
    done.write("done", result="ok", message="")
    at_work = journal.Journal(folder, "chat", "j1", redactor)
    at_work.write("accepted", action="replace")
    at_work.write("phase", phase="loading weights", percent=40)
    gave_up = journal.Journal(folder, "chat", "j2", redactor)
    gave_up.write("accepted", action="replace")
    assert journal.last(folder)["job"] == "j1", "it waits for the lock that j1 has"
    gave_up.write("done", result="stale", message="locked")
    gave_up.close()
    found = journal.last(folder)
    assert (found["job"], found["done"], found["phase"]["percent"]) == ("j1", False, 40)
    at_work.close()
    assert journal.last(folder)["job"] == "j2"
    done.close()


# -- looking


def test_a_paused_server_is_named_and_not_waited_for(monkeypatch, tmp_path):
    engine = Engine(a={"name": NAME, "paused": True})
    monkeypatch.setattr(look, "Engine", lambda params: engine)
    found = look.look({"container_name": NAME, "state_dir": str(tmp_path), "budget": 10.0}, {})
    assert (found["state"], found["message"]) == ("paused", "the container is paused")
    asked = []
    server = {"state": {"committed": {"probe": {"port": 8000}}}}
    observe._ask_health(asked, server, engine.find("a"))
    assert asked == [], "it takes connections and answers none of them"


@pytest.mark.parametrize("trouble", [None, AWAY])
@pytest.mark.parametrize(
    "module, step, request_",
    [
        (evidence, evidence.evidence, {"container_name": NAME}),
        (look, look.look, {"container_name": NAME}),
        (adopting, adopting.adopt, {"take": [{"name": "x", "container_id": "a", "container_name": NAME}]}),
    ],
)
def test_every_connection_to_the_engine_is_closed(monkeypatch, tmp_path, module, step, request_, trouble):
    engine = Engine()
    engine.trouble["inspect"] = [trouble] if trouble else []
    monkeypatch.setattr(module, "Engine", lambda params: engine)
    try:
        step(dict(request_, state_dir=str(tmp_path)), {})
    except EngineError:
        assert trouble
    assert engine.closed == 1
