# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults: what is done to a host with a good server, the code it must end in, and what must be left of the server.

``refused``: nothing was stopped. ``rolled back``: the good server was stopped and serves again. ``kept``: whatever
happened, the good server serves. ``reached``: after the next converge the new declaration serves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import typing as t

from .bench import ROOT, Bench, Result

REFUSED, ROLLED_BACK, KEPT, REACHED = "refused", "rolled back", "kept", "reached"


@dataclasses.dataclass(frozen=True)
class Fault:
    """``inject`` makes it happen and converges; ``codes``: any of these must be among what was found."""

    name: str
    layer: str
    inject: t.Callable[[Bench], Result]
    codes: tuple[str, ...]
    ending: str


def declared(name: str, *codes: str, **fields: t.Any) -> Fault:
    return Fault(name, "declaration", lambda bench: bench.converge(bench.changed(**fields)), codes, REFUSED)


def file(name: str, code: str, harm: t.Callable[[Bench], None]) -> Fault:
    """The new declaration names a model of its own, which is broken."""

    def inject(bench: Bench) -> Result:
        folder = bench.directory / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bench.model, folder)
        harm(bench)
        return bench.converge(bench.changed(model=str(folder)))

    return Fault(name, "files", inject, (code,), REFUSED)


def start(name: str, codes: str | tuple[str, ...], layer: str = "start", **knobs: t.Any) -> Fault:
    codes = (codes,) if isinstance(codes, str) else codes
    return Fault(name, layer, lambda bench: bench.converge(bench.failing(**knobs)), codes, ROLLED_BACK)


def body(name: str, code: str, ending: str, **fields: t.Any) -> Fault:
    return Fault(name, "engine", lambda bench: bench.converge(bench.changed(**fields)), (code,), ending)


# -- bad declarations

DECLARATIONS = [
    declared("unknown field", "spec.unknown-field", modle="/x"),
    declared("wrong type", "spec.value", server_port="eight"),
    declared("port out of range", "spec.value", server_port=70000),
    declared("relative model path", "spec.value", model="./models/x"),
    declared("no model at all", "spec.missing", model=None),
    declared("unknown argument", "argument.unknown", engine_args={"max_modellen": 128}),
    declared("argument of another release", "argument.removed", engine_args={"num_lookahead_slots": 3}),
    declared("value that is no number", "argument.value", engine_args={"max_model_len": "long"}),
    declared("value that is no choice", "argument.choice", engine_args={"dtype": "float99"}),
    declared("reserved argument", "argument.reserved", engine_args={"port": 9000}),
    declared("secret in the environment", "security.secret-in-env", env={"HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz"}),
    declared("context beyond the model", "argument.max-model-len", engine_args={"max_model_len": 999999}),
    declared("more ranks than heads divide", "argument.parallel", engine_args={"tensor_parallel_size": 3}),
    # Absent is told of a host with a driver, the driver of one without.
    declared("GPUs that are not there", "gpu.absent", "gpu.driver", gpus=[63]),
    declared("image that is not there", "image.absent", image="local/none:1"),
    declared("mount source that is missing", "path.missing", mounts=["/does/not/exist:/x"]),
    declared("model that is missing", "model.absent", model="/does/not/exist"),
]


def _model(bench: Bench) -> t.Any:
    return bench.directory / "broken"


def _truncate(bench: Bench) -> None:
    path = next(_model(bench).glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-16])


def _header(bench: Bench) -> None:
    next(_model(bench).glob("*.safetensors")).write_bytes(b"\xff" * 64)


def _index(bench: Bench) -> None:
    one = next(_model(bench).glob("*.safetensors"))
    one.rename(_model(bench) / "model-00001-of-00002.safetensors")
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (_model(bench) / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def _without(pattern: str) -> t.Callable[[Bench], None]:
    def harm(bench: Bench) -> None:
        for path in _model(bench).glob(pattern):
            path.unlink()

    return harm


FILES = [
    file("weights cut short", "model.weights-corrupt", _truncate),
    file("weights with a broken header", "model.weights-corrupt", _header),
    file("a shard is missing", "model.shard-missing", _index),
    file("no weights", "model.weights-missing", _without("*.safetensors")),
    file("no config.json", "model.absent", _without("config.json")),
    file("config.json is no JSON", "model.config-invalid", lambda b: (_model(b) / "config.json").write_text("{")),
    file("no tokenizer", "model.tokenizer-missing", _without("token*")),
]

# -- the engine refuses, the host stands in the way

ENGINE = [
    body("device that is missing", "gpu.device", REFUSED, devices=["/dev/nope"]),
    body("network that is missing", "engine.network", REFUSED, network="nobody-made-this"),
    body("further network that is missing", "engine.network", REFUSED, networks=["nobody-made-this"]),
    body("program that is missing", "image.entrypoint", ROLLED_BACK, entrypoint=["/no/such/program"], prove="none"),
    body("log driver that is unknown", "engine.refused", REFUSED, log={"driver": "nobodys"}),
]


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

# -- starts that fail as real servers did, word for word

RECORDINGS = json.loads((ROOT / "tests" / "diagnosis" / "expected.json").read_text())
REPLAYED = [
    "arch-unsupported", "chat-template-missing", "config-json-bad", "cpu-memory-utilization-too-high",
    "enginecore-killed-during-load", "hf-overrides-bad-json", "import-error-module", "kvcache-space-too-big",
    "load-format-unknown", "log-level-invalid", "lora-path-missing", "max-model-len-too-large", "max-num-seqs-zero",
    "model-file-permission-denied", "model-mount-empty", "quantization-bnb", "quantization-unknown",
    "read-only-rootfs", "reasoning-parser-unknown", "removed-flag", "served-model-name-conflict", "shm-too-small",
    "tensor-parallel-too-large", "tokenizer-files-missing", "tool-parser-unknown", "trust-remote-code-needed",
    "weights-corrupt-header", "weights-missing", "weights-shard-missing", "weights-truncated",
]  # fmt: skip


def _expected(name: str) -> str:
    entry = RECORDINGS[name]
    return str(entry["code"] if isinstance(entry, dict) else entry)


STARTS = [start(f"real: {name}", _expected(name), replay=name) for name in REPLAYED]
DEATHS = [
    # The stand-in dies in these phases as a real server was seen to die there.
    start("dies while parsing", "argument.unknown", "death", fail_phase="P1"),
    start("dies at its configuration", "model.quantization", "death",
          fail_phase="P4"),
    start("dies in a worker", "memory.shm", "death", fail_phase="P6"),
    start("dies at its weights", ("model.weights-corrupt", "model.shard-missing", "model.weights-missing"), "death",
          fail_phase="P7"),
    start("dies at its KV cache", ("memory.kv-cache-host", "memory.kv-cache-none"), "death", fail_phase="P8"),
    start("dies at its engine", "argument.load-format", "death", fail_phase="P5"),
    start("dies at its last step", "argument.lora", "death", exit=3, fail_phase="P9"),
    start("its engine dies once it is ready", ("server.engine-died", "probe.failed"), "death", die_after=0.0,
          death_window=1.0, token_seconds=3.0),
    start("200 and no token", "probe.failed", "death", hang_requests=True),
]  # fmt: skip


def _timeout(bench: Bench) -> Result:
    return bench.converge({**bench.failing(hang_phase="P7"), "start_timeout": 4})


def _killed(bench: Bench) -> Result:
    """Somebody kills the new container while it loads."""
    declared = bench.failing(load_seconds=20)
    journal = bench.state_dir / bench.name / "journal.jsonl"
    journal.unlink(missing_ok=True)

    def kill() -> None:
        bench.wait(lambda: "phase" in bench.events(), 60)
        bench.docker.call("POST", f"/containers/{bench.container}/kill")

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        return bench.converge(declared)
    finally:
        killer.join()


def _removed(bench: Bench) -> Result:
    """Somebody removes the new container while it loads."""
    declared = bench.failing(load_seconds=20)
    (bench.state_dir / bench.name / "journal.jsonl").unlink(missing_ok=True)

    def remove() -> None:
        bench.wait(lambda: "phase" in bench.events(), 60)
        bench.docker.remove(bench.container)

    remover = threading.Thread(target=remove, daemon=True)
    remover.start()
    try:
        return bench.converge(declared)
    finally:
        remover.join()


def _memory_limit(bench: Bench) -> Result:
    return bench.converge(bench.changed(memory="6m", accept=["memory.host-limit", "memory.container-limit"]))


DEATHS += [
    Fault("never becomes ready", "death", _timeout, ("start.timeout",), ROLLED_BACK),
    Fault("killed from outside", "death", _killed, ("server.killed",), ROLLED_BACK),
    Fault("removed from outside", "death", _removed, ("server.killed",), ROLLED_BACK),
]

# -- the transaction itself is cut off


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


JOB = [
    Fault("controller killed, change fails", "job", _controller, ("controller.gone",), ROLLED_BACK),
    Fault("controller killed, change is good", "job", _controller_good, ("reached",), REACHED),
    *[_job_killed(moment, 31 + number) for number, moment in enumerate(
        ("created", "stopping", "stopped", "started", "phase", "answering", "ready"))],
    Fault("two plays at once", "job", _two_plays, ("reached",), REACHED),
    Fault("a stop that hangs", "job", _hung_stop, ("reached",), REACHED),
    Fault("server killed by hand", "job", _exited, ("reached",), KEPT),
    Fault("container removed by hand", "job", _gone, ("reached",), REACHED),
    Fault("no engine", "job", _engine_gone, ("engine.not-running", "engine.absent"), REFUSED),
    Fault("half a generation is left", "job", _generation_gone, ("reached",), REACHED),
]  # fmt: skip

FAULTS = [*DECLARATIONS, *FILES, *ENGINE, *HOST, *STARTS, *DEATHS, *JOB]
#: One of each layer: what every run of the tests does.
SAMPLE = frozenset(
    {"unknown argument", "weights cut short", "disk full", "real: shm-too-small", "job killed at stopped"}
)
