# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules themselves: arguments in, one JSON object out, and no traceback for bad input."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic

from ansible_collections.cortex.vllm.plugins.module_utils import connection, gpu_details, gpus
from ansible_collections.cortex.vllm.plugins.modules import _engine, gpu_info


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a module's main() and return ``(exit code, result)``."""

    def call(module, check=False, **args):
        given = dict(args, _ansible_check_mode=check, _ansible_remote_tmp="/tmp", _ansible_keep_remote_files=False)
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr(connection, "respawn_if_needed", lambda: None)
        with pytest.raises(SystemExit) as caught:
            module.main()
        return caught.value.code, json.loads(capsys.readouterr().out)

    return call


def test_another_schema_is_refused_with_both_numbers(run):
    code, answer = run(_engine, step="observe", request={"schema": 2})
    assert code == 1 and "schema 2" in answer["msg"] and "knows 1" in answer["msg"]


@pytest.mark.parametrize("request_, word", [({}, "schema None"), ({"schema": 1}, "lacks")])
def test_an_empty_request_is_refused(run, request_, word):
    code, answer = run(_engine, step="watch", request=dict(request_, jobs={"chat": {}}))
    assert code == 1 and word in answer["msg"] and "exception" not in answer


def test_check_mode_leaves_no_job_behind(run, tmp_path):
    request = {"schema": 1, "state_dir": str(tmp_path / "s"), "job": "j", "groups": [], "orders": {}}
    code, answer = run(_engine, check=True, step="apply", request=request)
    assert code == 0 and answer["changed"] is False and answer["jobs"] == {} and "check mode" in answer["message"]
    code, answer = run(_engine, check=True, step="fetch", request={"schema": 1, "image": "x"})
    assert code == 0 and answer["done"] is False and "check mode" in answer["message"]
    assert not (tmp_path / "s").exists()


def test_observe_answers_without_an_engine(run, tmp_path):
    request = {"schema": 1, "state_dir": str(tmp_path), "servers": [{"name": "chat", "container_name": "c"}]}
    code, answer = run(
        _engine, check=True, step="observe", request=request, docker_host="unix://{0}/none.sock".format(tmp_path)
    )
    found = answer["observation"]
    assert code == 0 and found["schema"] == 1 and found["engine"]["status"] != "ok" and found["engine"]["message"]
    assert found["containers"] == [] and found["servers"]["chat"]["state"] is None and found["gpus"] is None


def test_apply_without_an_engine_says_what_to_do(run, tmp_path):
    order = {"action": "stop", "expected": {"container_id": "x"}, "container_name": "c"}
    request = {
        "schema": 1,
        "state_dir": str(tmp_path / "s"),
        "job": "j",
        "groups": [["chat"]],
        "orders": {"chat": order},
    }
    code, answer = run(_engine, step="apply", request=request, docker_host="unix://{0}/none.sock".format(tmp_path))
    assert code == 1 and answer["kind"] in ("absent", "not_running", "sdk_missing") and answer["msg"].endswith(".")
    assert not (tmp_path / "s").exists()


def test_the_step_model_looks_without_an_engine(run, tmp_path):
    entry = {"key": "a", "model": str(tmp_path)}
    code, answer = run(_engine, check=True, step="model", request={"schema": 1, "do": "look", "models": [entry]})
    assert code == 0 and answer["models"]["a"]["status"] == "incomplete" and answer["changed"] is False
    code, answer = run(_engine, step="model", request={"schema": 1, "do": "dance", "models": [entry]})
    assert code == 1 and "dance" in answer["msg"]


def test_gpu_info_names_containers(run, monkeypatch):
    device = {"uuid": "GPU-1", "index": 0, "mig": [], "processes": []}
    look = {"status": "ok", "message": "", "driver": "1", "cuda": "2", "devices": [device]}
    monkeypatch.setattr(gpus, "look", lambda module: look)
    monkeypatch.setattr(connection, "facts", lambda params: (object(), {"status": "ok"}))
    monkeypatch.setattr(gpus, "holders", lambda engine, devices: {"GPU-1": ["b", "a"]})
    monkeypatch.setattr(gpu_details, "container_names", lambda engine, devices: None)
    code, answer = run(gpu_info)
    assert code == 0 and answer["gpus"][0]["containers"] == ["a", "b"] and "devices" not in answer


def test_gpu_info_outlives_the_engine(run, monkeypatch):
    device = {"uuid": "GPU-1", "index": 0, "mig": [], "processes": []}
    look = {"status": "ok", "message": "", "driver": "1", "cuda": "2", "devices": [device]}

    def gone(engine, devices):
        raise connection.EngineError("connection", "lost")

    monkeypatch.setattr(gpus, "look", lambda module: look)
    monkeypatch.setattr(connection, "facts", lambda params: (object(), {"status": "ok"}))
    monkeypatch.setattr(gpus, "holders", gone)
    code, answer = run(gpu_info)
    assert code == 0 and answer["engine"] == "connection" and answer["gpus"][0]["containers"] == []
