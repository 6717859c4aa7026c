# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a replacement reads ahead, waits for and measures, without any engine."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import (
    activity,
    files,
    gpu_memory,
    locks,
    logs,
    replacing,
    transaction,
    warm,
)
from ansible_collections.cortex.vllm.plugins.module_utils.follow import Outcome

GIB = 1 << 30


@pytest.mark.parametrize(
    "names, start, expected",
    [
        (["b.safetensors", "a.safetensors", "x.bin", "config.json"], "", ["a.safetensors", "b.safetensors"]),
        (["m.gguf"], "m.gguf", ["m.gguf"]),
        (
            ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf"],
            "m-00001-of-00002.gguf",
            ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"],
        ),
        (["pytorch_model.bin", "training_args.txt"], "", ["pytorch_model.bin"]),
        (["config.json"], "", []),
    ],
)
def test_weights_in_the_order_of_their_loading(tmp_path, names, start, expected):
    for name in names:
        (tmp_path / name).write_bytes(b"12345")
    found = warm.files_of(str(tmp_path / start) if start else str(tmp_path))
    assert [os.path.basename(path) for path, dummy in found] == expected
    assert all(size == 5 for dummy, size in found)


def test_a_dangling_link_is_left_out(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"1")
    (tmp_path / "b.safetensors").symlink_to(tmp_path / "gone")
    assert len(warm.files_of(str(tmp_path))) == 1


@pytest.mark.parametrize(
    "memory, pressed, read, stopped",
    [
        ((64 * GIB, 32 * GIB), False, 3 << 20, None),
        ((64 * GIB, 6 * GIB), False, 0, "memory"),
        ((64 * GIB, int(6.4 * GIB) + (2 << 20)), False, 2 << 20, "memory"),
        ((64 * GIB, 32 * GIB), True, 1 << 20, "pressure"),
        ((0, 0), False, 0, "memory"),
    ],
)
def test_reading_ahead_never_takes_what_others_need(tmp_path, monkeypatch, memory, pressed, read, stopped):
    for number in range(3):
        (tmp_path / "{0}.safetensors".format(number)).write_bytes(b"x" * (1 << 20))
    monkeypatch.setattr(warm, "memory", lambda: memory)
    monkeypatch.setattr(warm, "_pressed", lambda: pressed)
    monkeypatch.setattr(warm, "LOOK", 1 << 20)
    told = []
    warmer = warm.Warmer(str(tmp_path), 60.0, lambda done, total: told.append(done))
    warmer.start()  # a thread of its own: it lowers its own priority
    warmer.join()
    assert (warmer.result["bytes"], warmer.result["stopped"]) == (read, stopped)
    assert warmer.result["total"] in (3 << 20, 0) or not read


def test_reading_ahead_ends_in_time(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / "{0}.safetensors".format(number)).write_bytes(b"x" * (1 << 20))
    monkeypatch.setattr(warm, "LOOK", 1 << 20)
    warmer = warm.Warmer(str(tmp_path), -1.0, lambda done, total: None)
    warmer.start()
    warmer.join()
    assert warmer.result["stopped"] == "time" and warmer.result["bytes"] == 1 << 20


class Driver:
    """nvidia-smi: one answer after the other, ``(MiB, pids)`` of GPU-1; the last one stays."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, command, errors=None):
        used, pids = self.answers[0]
        if "compute-apps" in command[1]:
            if len(self.answers) > 1:
                self.answers.pop(0)
            return 0, "".join("GPU-1, {0}\n".format(pid) for pid in pids), ""
        return (0, "GPU-1, {0}\nGPU-2, 77\n".format(used), "") if used is not None else (9, "", "no driver")


@pytest.mark.parametrize(
    "answers, free",
    [
        ([(40000, [7, 8]), (40000, [7]), (9000, []), (4, [])], True),
        ([(40000, [7]), (4, [])], True),
        ([(50000, [7, 99]), (30000, [99]), (20000, [99]), (20000, [99])], True),  # what another holds is not waited for
        ([(40000, []), (40000, []), (3, []), (3, [])], True),  # a container that hides its processes
        ([(40000, [7]), (40000, [7])], False),
    ],
)
def test_memory_is_free_when_nothing_is_given_back_any_more(monkeypatch, answers, free):
    monkeypatch.setattr(gpu_memory, "POLL", 0.0)
    driver = Driver(*answers)
    release = gpu_memory.Release(driver, "nvidia-smi", ["GPU-1"], [7, 8])
    found = release.wait(0.2)
    assert found["free"] is free and set(found["gpus"]) == {"GPU-1"}
    assert found["held"] == ([] if free else ["GPU-1"])


def test_a_look_while_the_driver_lets_go_is_not_the_end(monkeypatch):
    # Memory is asked before processes: the third answer has the memory of before and the process already gone.
    monkeypatch.setattr(gpu_memory, "POLL", 0.0)
    driver = Driver((40000, [7]), (40000, [7]), (40000, []), (3, []), (3, []))
    found = gpu_memory.Release(driver, "nvidia-smi", ["GPU-1"], [7]).wait(0.2)
    assert found["free"] is True and found["gpus"]["GPU-1"]["used"] == 3 << 20


class Divided:
    """nvidia-smi of an A100 in two MIG devices. The driver tells no memory of the whole; ``looks``: of the first."""

    LIST = (
        "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-33)\n"
        "  MIG 3g.40gb     Device  0: (UUID: MIG-1)\n  MIG 3g.40gb     Device  1: (UUID: MIG-2)\n"
    )
    DEVICE = (
        "<mig_device><index>{0}</index><gpu_instance_id>{1}</gpu_instance_id>"
        "<fb_memory_usage><used>{2} MiB</used></fb_memory_usage></mig_device>"
    )
    PROCESS = "<process_info><gpu_instance_id>{0}</gpu_instance_id><pid>{1}</pid></process_info>"

    def __init__(self, *looks):
        self.looks = list(looks)

    def __call__(self, command, errors=None):
        if command[1] == "-L":
            return 0, self.LIST, ""
        if command[1] != "-q":
            return 0, "GPU-33, [N/A]\n" if "query-gpu" in command[1] else "", ""
        mib, pids = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        # The other device is another server's, and stays full.
        devices = self.DEVICE.format(1, 2, 30000) + self.DEVICE.format(0, 1, mib)
        rows = "".join(self.PROCESS.format(1, pid) for pid in pids) + self.PROCESS.format(2, 99)
        gpu = "<mig_devices>{0}</mig_devices><uuid>GPU-33</uuid><processes>{1}</processes>".format(devices, rows)
        return 0, "<nvidia_smi_log><gpu>{0}</gpu></nvidia_smi_log>".format(gpu), ""


def test_the_memory_of_a_part_of_a_gpu_is_waited_for_as_well(monkeypatch):
    monkeypatch.setattr(gpu_memory, "POLL", 0.0)
    driver = Divided((35000, [7]), (35000, [7]), (25, []))
    found = gpu_memory.Release(driver, "nvidia-smi", ["MIG-1"], [7]).wait(5)
    assert found["free"] is True and len(driver.looks) == 1
    assert found["gpus"] == {"MIG-1": {"used": 25 << 20, "before": 35000 << 20}}
    held = gpu_memory.Release(Divided((35000, [7])), "nvidia-smi", ["MIG-1", "MIG-2"], [7]).wait(0.01)
    assert held["free"] is False and "MIG-1" in held["held"]


@pytest.mark.parametrize("uuids, command", [([], "nvidia-smi"), (["GPU-1"], None), (["GPU-9"], "nvidia-smi")])
def test_without_gpu_or_driver_nothing_is_waited_for(uuids, command):
    assert gpu_memory.Release(Driver((5, [])), command, uuids, [1]).wait() is None


def test_a_driver_that_fails_is_not_waited_for():
    release = gpu_memory.Release(Driver((5, [7]), (None, [])), "nvidia-smi", ["GPU-1"], [7])
    assert release.wait() is None


def test_the_work_of_processes_is_seen(monkeypatch):
    monkeypatch.setattr(activity, "PERIOD", 0.0)
    meter = activity.Meter(os.getpid())
    meter.look()
    assert meter.blind is False
    before = meter.moved
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        sum(range(1000))
    meter.look()
    assert meter.moved > before
    gone = activity.Meter(999999999)
    gone.look()
    assert gone.blind is True


def test_phases_have_durations():
    phases = logs.Phases([{"phase": "a", "pattern": "A"}, {"phase": "b", "pattern": "B"}])
    assert phases.durations(1.0, 3.0) == {"starting": 2.0} and not phases.nearly_there
    phases.feed("A")
    phases.feed("B")
    phases.marks = [("a", 2.0), ("b", 5.0)]
    assert phases.durations(1.0, 7.5) == {"starting": 1.0, "a": 3.0, "b": 2.5}
    assert phases.nearly_there


class Run:
    """What `replacing.replace` needs of a job's server, with an engine that is never asked."""

    def __init__(self, folder):
        self.order = {"action": "replace", "container_name": "cortex-vllm-chat", "generation": "new"}
        self.state = {"committed": {"generation": "old"}, "transaction": None, "history": []}
        self.state_dir, self.server, self.job = str(folder), "chat", "j1"
        self.server_dir, self.kept_name = str(folder / "chat"), "cortex-vllm-chat.kept"
        self.told, self.written = [], None
        (folder / "chat").mkdir()

    def write_files(self):
        pass

    def create_new(self):
        return "new-id"

    def clear_name(self, name):
        pass

    def emit(self, event, **fields):
        self.told.append(event)

    def failed(self, reason, message, outcome=None, evidence=None):
        self.told.append((reason, message))


#: As it is, where the fixture `run` puts another one.
SAVE_EVIDENCE = transaction.save_evidence
OLD = {"Id": "old-id", "Name": "/cortex-vllm-chat", "State": {"Running": False}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    made = Run(tmp_path)
    monkeypatch.setattr(replacing, "_put_aside", lambda ctx, old, down: None)
    monkeypatch.setattr(transaction, "save_evidence", lambda ctx, ident: None)
    monkeypatch.setattr(transaction, "roll_back", lambda ctx: made.told.append("rolled back") or (True, ""))
    return made


def test_whatever_goes_wrong_after_the_stop_the_old_server_comes_back(run, monkeypatch):
    def no_thread(ctx, new):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(replacing, "_bring_up", no_thread)
    message = "unexpected RuntimeError: can't start new thread"
    assert replacing.replace(run, OLD) == ("rolled_back", message)
    assert run.told == [("start", message), "rolled back"]


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), MemoryError(), RuntimeError("anything")])
def test_evidence_that_cannot_be_kept_stops_no_rollback(run, problem):
    class Silent:
        def inspect(self, ident):
            raise problem

    run.engine = Silent()
    assert SAVE_EVIDENCE(run, "new-id") is None


def test_a_server_that_is_committed_is_not_rolled_back(run, monkeypatch):
    def interrupted(ctx, outcome, down):
        ctx.state["transaction"]["step"] = "committed"
        raise RuntimeError("while tidying")

    monkeypatch.setattr(replacing, "_bring_up", lambda ctx, new: Outcome("ready"))
    monkeypatch.setattr(transaction, "commit", interrupted)
    with pytest.raises(RuntimeError):
        replacing.replace(run, OLD)
    assert run.told == []


def test_a_lock_that_is_held_is_told_as_what_it_is(tmp_path):
    """Every step of the module answers `files.FilesError` with its text; a traceback would hide who holds the lock."""
    held = locks.Lock(str(tmp_path), "images").acquire(0)
    try:
        with pytest.raises(files.FilesError) as caught:
            locks.Lock(str(tmp_path), "images").acquire(0)
    finally:
        held.release()
    assert "images is locked by another job (pid {0})".format(os.getpid()) in str(caught.value)
