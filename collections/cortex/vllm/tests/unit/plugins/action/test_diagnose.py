# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task diagnose: files, texts and containers."""

from __future__ import annotations

import gzip
import resource
import tarfile
import time
import typing as t

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible.errors import AnsibleActionFail

from ansible_collections.cortex.vllm.plugins.action import diagnose
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import returned
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.diagnosis import shapes

SHM = (
    "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 64 MiB free. "
    "Increase /dev/shm (e.g. --shm-size or --ipc=host)."
)
HEALTHY = [*shapes.banner(), *shapes.ENGINE, *shapes.READY, *shapes.ACCESS]
LOADING = [*shapes.banner(), *shapes.ENGINE]


def write(folder: t.Any, name: str, lines: list[str]) -> str:
    path = folder / name
    path.write_text("\n".join(lines))
    return str(path)


def test_several_files_are_answered_in_their_order_without_a_host(play: t.Any, tmp_path: t.Any) -> None:
    paths = [
        write(tmp_path, "a.log", shapes.worker(SHM)),
        write(tmp_path, "b.log", HEALTHY),
        {"path": write(tmp_path, "c.log", LOADING), "exit": {"code": 137, "oom": True}},
        write(tmp_path, "d.log", LOADING),
    ]
    played = play(diagnose, [], files=paths)

    result = played.run()

    assert [answer["code"] for answer in result["diagnoses"]] == ["memory.shm", None, "memory.oom-killed", None]
    assert [answer["state"] for answer in result["diagnoses"]] == ["failed", "healthy", "failed", "loading"]
    assert [answer["healthy"] for answer in result["diagnoses"]] == [False, True, False, False]
    assert (result["remote_calls"], result["changed"], played.steps) == (0, False, [])
    first = result["diagnoses"][0]
    assert first["evidence"].startswith("RuntimeError: Insufficient space in /dev/shm")
    assert "160 MiB are needed" in first["explanation"] and "shm_size" in first["fix"]
    assert (first["field"], first["version"]) == ("shm_size", "0.32.0")


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"exit": 137}, "server.killed"),
        ({"exit": {"code": 137, "oom": True}}, "memory.oom-killed"),
        ({"exit": {"ExitCode": 137, "OOMKilled": True, "Status": "exited"}}, "memory.oom-killed"),
        ({"exit_code": 137, "oom_killed": True}, "memory.oom-killed"),
        ({"ExitCode": 143}, "server.stopped"),
        ({"state": {"ExitCode": 128, "Error": "unknown or invalid runtime name: nvidia"}}, "gpu.runtime"),
        ({"exit": {"code": None}}, None),
        ({}, None),
    ],
)
def test_an_exit_state_may_be_written_in_several_ways(play: t.Any, tmp_path: t.Any, entry: t.Any, code: t.Any) -> None:
    path = write(tmp_path, "a.log", LOADING)
    result = play(diagnose, [], files=[{"path": path, **entry}]).run()
    assert result["diagnoses"][0]["code"] == result["code"] == code


def test_one_exit_state_for_all_or_one_for_each(play: t.Any, tmp_path: t.Any) -> None:
    paths = [write(tmp_path, name, LOADING) for name in ("a.log", "b.log")]
    same = play(diagnose, [], files=paths, exit_code=143).run()
    assert [answer["code"] for answer in same["diagnoses"]] == ["server.stopped"] * 2
    each = play(diagnose, [], files=paths, exit=[139, None]).run()
    assert [answer["code"] for answer in each["diagnoses"]] == ["start.crashed", None]
    with pytest.raises(AnsibleActionFail, match="3 entries for 2 files"):
        play(diagnose, [], files=paths, exit=[1, 2, 3]).run()


def test_whatever_a_file_is_the_others_are_answered(play: t.Any, tmp_path: t.Any) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 80 + bytes(2000))
    (tmp_path / "nulls").write_bytes(bytes(20000))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "latin").write_bytes("\n".join(shapes.worker(SHM)).encode() + b"\n\xe4\xf6\xfc \xff\xfe\n")
    (tmp_path / "wide").write_bytes("\r\n".join(shapes.worker(SHM)).encode("utf-16"))
    (tmp_path / "packed.gz").write_bytes(gzip.compress("\n".join(shapes.worker(SHM)).encode()))
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    names = ["none", "binary", "nulls", "empty", ".", "latin", "wide", "packed.gz", "broken.gz"]
    result = play(diagnose, [], files=[str(tmp_path / name) for name in names]).run()

    codes = [answer["code"] for answer in result["diagnoses"]]
    assert codes == [
        "log.unreadable", "log.binary", "log.binary", "log.empty", "log.unreadable", "memory.shm", "memory.shm",
        "memory.shm", "log.unreadable",
    ]  # fmt: skip
    assert not any(answer["healthy"] for answer in result["diagnoses"])


def test_an_empty_log_with_an_exit_state_still_says_something(play: t.Any, tmp_path: t.Any) -> None:
    path = write(tmp_path, "empty.log", [])
    answer = play(diagnose, [], files=[{"path": path, "exit": {"code": 137, "oom": True}}]).run()["diagnoses"][0]
    assert answer["code"] == "memory.oom-killed"
    assert "is empty" in answer["notes"][0]


def test_relative_paths_are_looked_up_beside_the_playbook(play: t.Any, tmp_path: t.Any, monkeypatch: t.Any) -> None:
    write(tmp_path, "x.log", HEALTHY)
    monkeypatch.chdir(tmp_path)
    answer = play(diagnose, [], files=["x.log"]).run()["diagnoses"][0]
    assert (answer["path"], answer["state"]) == ("x.log", "healthy")


@pytest.mark.slow
def test_a_hundred_megabytes_are_quick_and_small(play: t.Any, tmp_path: t.Any) -> None:
    path = tmp_path / "huge.log"
    block = "\n".join(shapes.ACCESS * 500) + "\n"
    with path.open("w") as handle:
        handle.write("\n".join(HEALTHY) + "\n")
        for _number in range(1 + 100 * 2**20 // len(block)):
            handle.write(block)
        handle.write(
            "\n".join(shapes.serving("RuntimeError: CUDA error: an illegal memory access was encountered")[-60:])
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    answer = play(diagnose, [], files=[str(path)]).run()["diagnoses"][0]
    took, grown = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert path.stat().st_size > 100 * 2**20
    assert answer["code"] == "gpu.fault"
    assert took < 10 and grown < 200 * 1024, (took, grown)


@pytest.mark.parametrize(
    "content", [b"x" * 30_000_000, b"50%\r" * 8_000_000, b"\n" * 3_000_000], ids=["line", "bar", "blank"]
)
def test_one_endless_line_does_no_harm(play: t.Any, tmp_path: t.Any, content: bytes) -> None:
    (tmp_path / "a.log").write_bytes(content)
    assert play(diagnose, [], files=[str(tmp_path / "a.log")]).run()["diagnoses"][0]["state"] in {"unknown", "loading"}


def test_the_first_error_of_a_long_log_is_kept(play: t.Any, tmp_path: t.Any) -> None:
    noise = ["(EngineCore pid=19) DEBUG 11-22 11:50:13 [a.py:1] something"] * 20000
    lines = [*LOADING, *noise, *shapes.worker(SHM)[6:], *noise]
    answer = play(diagnose, [], files=[{"path": write(tmp_path, "a.log", lines), "exit": 1}]).run()["diagnoses"][0]
    assert (answer["code"], answer["lines"]) == ("memory.shm", len(lines))


def test_of_many_long_starts_the_last_one_is_judged(play: t.Any, tmp_path: t.Any) -> None:
    noise = ["(EngineCore pid=19) DEBUG 11-22 11:50:13 [a.py:1] something"] * 4000
    lines = []
    for hour in range(10, 20):
        lines += [line.replace("11:50:13", f"{hour}:50:13") for line in [*shapes.worker(SHM), *noise]]
    lines += [line.replace("11:50:13", "21:50:13") for line in HEALTHY]
    assert play(diagnose, [], files=[write(tmp_path, "a.log", lines)]).run()["diagnoses"][0]["state"] == "healthy"


def test_text_is_judged_as_it_is(play: t.Any) -> None:
    result = play(diagnose, [], text="\n".join(shapes.worker(SHM)), exit=1, server="chat").run()
    assert (result["code"], result["field"]) == ("memory.shm", "vllm_servers[chat].shm_size")
    assert play(diagnose, [], text="  ").run()["code"] == "log.empty"


def seen(**more: t.Any) -> dict[str, t.Any]:
    answer = {"found": True, "server": "chat", "log": shapes.worker(SHM), "restarts": 3, "exit": {"code": 1}}
    answer["state"] = {"Status": "exited", "Running": False, "ExitCode": 1, "OOMKilled": False, "Error": ""}
    return {"evidence": {**answer, **more}}


def test_a_container_is_asked_in_one_call(play: t.Any) -> None:
    played = play(diagnose, [seen()], name="chat", show=True)

    result = played.run()

    assert (result["code"], result["restarts"], result["remote_calls"]) == ("memory.shm", 3, 1)
    assert result["field"] == "vllm_servers[chat].shm_size"
    assert played.steps == ["evidence"]
    assert played.request(0) == {
        "schema": 1, "state_dir": "/var/lib/cortex-vllm", "container_name": "cortex-vllm-chat", "tail": 5000,
        "journals": False,
    }  # fmt: skip
    assert any("What to do: Raise shm_size" in line for line in played.shown)


def test_a_container_that_runs_is_healthy_or_loads(play: t.Any) -> None:
    running = {"Status": "running", "Running": True, "ExitCode": 0}
    assert play(diagnose, [seen(log=HEALTHY, state=running)], container="x").run()["state"] == "healthy"
    assert play(diagnose, [seen(log=LOADING, state=running)], container="x").run()["state"] == "loading"


def test_a_container_that_is_not_there(play: t.Any) -> None:
    with pytest.raises(AnsibleActionFail, match="there is no container x on gpu1") as caught:
        play(diagnose, [{"evidence": {"found": False}}], container="x").run()
    assert returned(caught)["findings"][0]["code"] == "container.absent"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "does not say what to judge"),
        ({"text": "x", "container": "y"}, "container and text are given together"),
        ({"container": "y", "exit": 1}, "goes with `text` and `files` only"),
        ({"text": "x", "exit": "soon"}, "no exit code"),
        ({"files": [{"exit": 1}]}, r"files\[0\]: has no `path`"),
        ({"files": [{"path": "/x", "colour": 1}]}, r"files\[0\]: has an unknown `colour`"),
        ({"files": [["/x"]]}, r"files\[0\]: is no path"),
        ({"text": "x", "txet": "y"}, "no such option"),
    ],
)
def test_bad_input_is_named(play: t.Any, args: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said):
        play(diagnose, [], **args).run()


def host_with(*names: str) -> dict[str, t.Any]:
    containers = [
        {
            "Name": f"/cortex-vllm-{name}",
            "Config": {"Labels": {"cortex.vllm.server": name}, "Env": {"HF_TOKEN": "digest-of-it"}},
        }
        for name in names
    ]
    return {
        "observation": {
            "schema": 1, "salt": "the-salt", "containers": containers, "host": {"hostname": "gpu1", "python": "3.11"},
            "engine": {"name": "docker", "version": "26.1", "root_dir": "/var/lib/docker"},
            "gpus": {"status": "ok", "driver": "580.1", "cuda": "13.0", "devices": []},
        }
    }  # fmt: skip


def test_a_paused_container_is_called_what_it_is_whatever_its_log_says(play: t.Any) -> None:
    state = {"Status": "paused", "Running": True, "ExitCode": 0}
    result = play(diagnose, [seen(log=HEALTHY, state=state, exit=None)], name="chat").run()
    assert (result["code"], result["state"], result["healthy"]) == ("server.paused", "stopped", False)
    assert result["fix"] == "docker unpause cortex-vllm-chat continues it."


WRITTEN = {"journals": {"journal.jsonl": '{"event": "failed"}\n'}, "state": {"schema": 1}, "evidence": []}


def test_all_servers_of_a_host_become_one_archive(play: t.Any, tmp_path: t.Any) -> None:
    answers = [host_with("chat", "embed"), seen(written=WRITTEN, inspect={"Id": "c1"}), seen(log=HEALTHY, state=None)]
    played = play(
        diagnose, answers, names=[], dest=str(tmp_path / "evidence"), attach={"plan.json": {"changed": True}}, show=True
    )

    result = played.run()

    assert played.steps == ["observe", "evidence", "evidence"]
    assert [answer["code"] for answer in result["diagnoses"]] == ["memory.shm", None]
    assert result["changed"] and result["archive"] == str(tmp_path / "evidence" / "gpu1.tar.gz")
    assert (tmp_path / "evidence" / "gpu1.tar.gz").stat().st_mode & 0o777 == 0o600
    with tarfile.open(result["archive"]) as archive:
        names = archive.getnames()
        content = {name: archive.extractfile(name).read().decode() for name in names}  # type: ignore[union-attr]
    assert "gpu1/servers/cortex-vllm-chat/log.txt" in names and "gpu1/attached/plan.json" in names
    assert "gpu1/servers/cortex-vllm-chat/journal.jsonl" in names and "gpu1/host/gpus.json" in names
    assert '"driver": "580.1"' in content["gpu1/versions.json"] and "0.32.0" in content["gpu1/versions.json"]
    assert "160 MiB are needed" in content["gpu1/summary.txt"]
    everything = "".join(content.values())
    assert "digest-of-it" not in everything and "the-salt" not in everything
    assert any("evidence: " in line for line in played.shown)


def test_named_servers_only_and_one_that_is_not_there(play: t.Any) -> None:
    played = play(diagnose, [host_with("chat", "embed"), {"evidence": {"found": False}}], names=["none"])
    result = played.run()
    assert [answer["code"] for answer in result["diagnoses"]] == ["container.absent"]
    assert played.request(1)["container_name"] == "cortex-vllm-none"
    assert not result["changed"] and result["archive"] is None


def test_check_mode_writes_nothing(play: t.Any, tmp_path: t.Any) -> None:
    result = play(diagnose, [host_with()], check_mode=True, names=[], dest=str(tmp_path / "x")).run()
    assert not result["changed"] and not (tmp_path / "x").exists()


def test_an_archive_that_cannot_be_written(play: t.Any, tmp_path: t.Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match="dest"):
        play(diagnose, [host_with()], names=[], dest=str(tmp_path / "file" / "x.tar.gz")).run()
    with pytest.raises(AnsibleActionFail, match="goes with `names` only"):
        play(diagnose, [], text="x", dest="/tmp/x").run()
