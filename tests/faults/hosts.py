# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults of the host: ports, disks, names and records."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import typing as t

from .bench import Bench, Result
from .kinds import REFUSED, ROLLED_BACK, Fault


@contextlib.contextmanager
def _listening(port: int) -> t.Iterator[None]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def _port_taken(bench: Bench) -> Result:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        return bench.converge(bench.changed(server_port=other.getsockname()[1]))


def _port_race(bench: Bench) -> Result:
    """Somebody takes the port of the server in the moment in which the old one has let it go."""
    new = bench.changed(server_port=bench.declared["server_port"] + 1, engine_args={"max_num_seqs": 3})
    thread_stop = threading.Event()

    def take() -> None:
        bench.wait(lambda: "stopping" in bench.events(), 60)
        with _listening(new["server_port"]):
            thread_stop.wait(60)

    before = bench.state_dir / bench.name / "journal.jsonl"
    before.unlink(missing_ok=True)
    thief = threading.Thread(target=take, daemon=True)
    thief.start()
    try:
        return bench.converge(new)
    finally:
        thread_stop.set()
        thief.join()


@contextlib.contextmanager
def _full(path: t.Any, size: str) -> t.Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _disk_full(bench: Bench) -> Result:
    with _full(bench.state_dir / bench.name / "generations", "4k"):
        return bench.converge(bench.changed(engine_args={"max_num_seqs": 9}, env={"LONG": "x" * 20000}))


def _read_only(bench: Bench) -> Result:
    path = bench.state_dir / bench.name / "generations"
    subprocess.run(["mount", "--bind", str(path), str(path)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
    try:
        return bench.converge(bench.changed(engine_args={"max_num_seqs": 10}))
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _name_taken(bench: Bench) -> Result:
    name = f"{bench.container}.new"
    body = {"Image": bench.declared["image"], "Labels": {}, "Cmd": ["x"]}
    bench.docker.call("POST", f"/containers/create?name={name}", body)
    try:
        return bench.converge(bench.changed(engine_args={"max_num_seqs": 11}))
    finally:
        bench.docker.remove(name)


def _state_broken(bench: Bench) -> Result:
    path = bench.state_dir / bench.name / "state.json"
    kept = path.read_text()
    path.write_text("{")
    try:
        return bench.converge(bench.changed(engine_args={"max_num_seqs": 12}))
    finally:
        path.write_text(kept)


HOST = [
    Fault("port held by a stranger", "host", _port_taken, ("port.taken",), REFUSED),
    Fault("port taken in the middle", "host", _port_race, ("port.taken",), ROLLED_BACK),
    Fault("disk full", "host", _disk_full, ("disk.full",), REFUSED),
    Fault("read-only state directory", "host", _read_only, ("host.read-only", "host.files"), REFUSED),
    Fault("a stranger has the new name", "host", _name_taken, ("container.name", "engine.refused"), REFUSED),
    Fault("record that is no JSON", "host", _state_broken, ("state.unreadable",), REFUSED),
]
