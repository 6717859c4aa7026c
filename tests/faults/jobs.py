# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transaction itself is cut off, or somebody does something to the good server by hand."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import typing as t

from .bench import Bench, Result
from .kinds import KEPT, REACHED, REFUSED, ROLLED_BACK, Fault


def _controller(bench: Bench) -> Result:
    """The controller is gone; the job rolls back by itself, with nobody looking."""
    (bench.state_dir / bench.name / "journal.jsonl").unlink(missing_ok=True)
    bench.begin(bench.failing(fail_phase="P6"))
    bench.wait_job()
    journal = (bench.state_dir / bench.name / "journal.jsonl").read_text().splitlines()
    last = json.loads(journal[-1])
    return Result(["controller.gone" if last["result"] == "rolled_back" else last["result"]], "gone", 0.0, {}, [])


def _controller_good(bench: Bench) -> Result:
    """The controller is gone; the job commits by itself, and the next converge has nothing to do."""
    declared = bench.changed(engine_args={"max_num_seqs": 21})
    bench.begin(declared)
    bench.wait_job()
    return _reached(bench, declared)


def _reached(bench: Bench, declared: t.Mapping[str, t.Any]) -> Result:
    found = bench.converge(declared)
    now = json.dumps((bench.inspect() or {}).get("Config", {}).get("Cmd"))
    wanted = str(declared["engine_args"]["max_num_seqs"])
    good = found.good and f'"{wanted}"' in now and bench.serves()
    return found._replace(codes=["reached"] if good else ["not-reached", *found.codes])


def _job_killed(moment: str, value: int) -> Fault:
    def inject(bench: Bench) -> Result:
        (bench.state_dir / bench.name / "journal.jsonl").unlink(missing_ok=True)
        declared = bench.changed(engine_args={"max_num_seqs": value})
        bench.begin(declared)
        bench.kill_job(moment)
        return _reached(bench, declared)

    return Fault(f"job killed at {moment}", "job", inject, ("reached",), REACHED)


def _two_plays(bench: Bench) -> Result:
    """Two converges of one declaration at once: one does it, the other follows or finds it done."""
    declared = bench.changed(engine_args={"max_num_seqs": 41})
    other: list[Result] = []
    second = threading.Thread(target=lambda: other.append(bench.converge(declared)))
    second.start()
    first = bench.converge(declared)
    second.join()
    if not (first.good and other[0].good):
        return (first if not first.good else other[0])._replace(codes=["two-plays-fought"])
    return _reached(bench, declared)


def _hung_stop(bench: Bench) -> Result:
    """The old server does not obey SIGTERM: it is killed in the end, and the change is made."""
    (bench.model / "standin.json").write_text(json.dumps({"hang_on_stop": True, "when": bench.rules}))
    slow = bench.converge(bench.changed(engine_args={"max_num_seqs": 51}))
    (bench.model / "standin.json").write_text(json.dumps({"when": bench.rules}))
    if not slow.good:
        return slow
    return _reached(bench, bench.changed(engine_args={"max_num_seqs": 52}))


def _exited(bench: Bench) -> Result:
    """The good server was stopped by hand."""
    bench.docker.call("POST", f"/containers/{bench.container}/kill")
    time.sleep(0.3)
    found = bench.converge()
    return found._replace(codes=["reached"] if found.good and bench.serves() else found.codes)


def _gone(bench: Bench) -> Result:
    """The good server's container was removed by hand."""
    bench.docker.remove(bench.container)
    found = bench.converge()
    return found._replace(codes=["reached"] if found.good and bench.serves() else found.codes)


def _engine_gone(bench: Bench) -> Result:
    """The engine's socket cannot be reached while a change is planned."""
    import hands

    kept = hands.SOCKET
    hands.SOCKET = "/run/nobody.sock"
    try:
        return bench.converge(bench.changed(engine_args={"max_num_seqs": 61}))
    finally:
        hands.SOCKET = kept


def _generation_gone(bench: Bench) -> Result:
    """A crashed write left half a generation of the same name behind."""
    declared = bench.changed(engine_args={"max_num_seqs": 71})
    folder = bench.state_dir / bench.name / "generations"
    for name in os.listdir(folder):
        (folder / f".{name}.half").mkdir(exist_ok=True)
    try:
        return _reached(bench, declared)
    finally:
        for path in folder.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)


def _files_deleted(bench: Bench) -> Result:
    """Somebody stopped the good server and cleaned up what it mounts."""
    bench.docker.call("POST", f"/containers/{bench.container}/kill")
    time.sleep(0.3)
    shutil.rmtree(bench.state_dir / bench.name / "generations")
    found = bench.converge()
    return found._replace(codes=["reached"] if found.good and bench.serves() else found.codes)


def _file_edited(bench: Bench) -> Result:
    """Somebody edited the launcher of the good server, which runs on: it is put back, and nothing else happens."""
    before = (bench.inspect() or {}).get("Id")
    (launcher,) = (bench.state_dir / bench.name / "generations").glob("*/launch.sh")
    written = launcher.read_text()
    launcher.write_text("exec sleep 1\n")
    found = bench.converge()
    good = found.good and launcher.read_text() == written and (bench.inspect() or {}).get("Id") == before
    return found._replace(codes=["reached"] if good and bench.serves() else ["not-put-back", *found.codes])


def _paused(bench: Bench) -> Result:
    """Somebody paused the good server: a converge says so, and leaves it as it is."""
    bench.docker.call("POST", f"/containers/{bench.container}/pause")
    # The engine answers before it has heard of it itself.
    bench.wait(lambda: ((bench.inspect() or {}).get("State") or {}).get("Paused"), 10)
    try:
        found = bench.converge()
    finally:
        bench.docker.call("POST", f"/containers/{bench.container}/unpause")
    named = f"it is paused; docker unpause {bench.container} continues it" in found.text
    return found._replace(codes=["server.paused"] if named and not found.good else ["not-named", *found.codes])


JOB = [
    Fault("controller killed, change fails", "job", _controller, ("controller.gone",), ROLLED_BACK),
    Fault("controller killed, change is good", "job", _controller_good, ("reached",), REACHED),
    *[_job_killed(moment, 31 + number) for number, moment in enumerate(
        ("created", "stopping", "stopped", "started", "phase", "answering", "ready"))],
    Fault("two plays at once", "job", _two_plays, ("reached",), REACHED),
    Fault("a stop that hangs", "job", _hung_stop, ("reached",), REACHED),
    Fault("server killed by hand", "job", _exited, ("reached",), KEPT),
    Fault("container removed by hand", "job", _gone, ("reached",), REACHED),
    Fault("files deleted under a stopped server", "job", _files_deleted, ("reached",), KEPT),
    Fault("a file edited under a running server", "job", _file_edited, ("reached",), KEPT),
    Fault("server paused by hand", "job", _paused, ("server.paused",), KEPT),
    Fault("no engine", "job", _engine_gone, ("engine.not-running", "engine.absent"), REFUSED),
    Fault("half a generation is left", "job", _generation_gone, ("reached",), REACHED),
]  # fmt: skip
