# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host with one good server, and converges of it without ansible-playbook around them.

The spine is the real one, and each remote call is a run of the real module under the target's own Python, against the
real engine. Only the transport is missing, so that a hundred faults take minutes.
"""

from __future__ import annotations

import copy
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "engine"), str(ROOT / "tests" / "lib"), str(ROOT / "collections")]

import hands

import standin_model
from ansible_collections.cortex.vllm.plugins.plugin_utils import converge, following, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from engines import says_a_token

SERVER = "chat"


class Remote:
    """The brains' way to the host: the module, run here. ``stop_after``: a step after which the controller is gone."""

    host = "faults"

    def __init__(self) -> None:
        self.calls = 0
        self.lines: list[str] = []
        self.stop_after: str | None = None

    def __call__(
        self, step: str, request: t.Mapping[str, t.Any], secrets: t.Mapping[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        self.calls += 1
        args: dict[str, t.Any] = {"step": step, "request": dict(request)}
        if secrets:
            args["secrets"] = dict(secrets)
        answer = hands.run_module(args)
        if answer.get("failed"):
            raise following.RemoteError(str(answer.get("msg")))
        if step == self.stop_after:
            raise Gone(step)
        return answer

    def say(self, line: str) -> None:
        self.lines.append(line)

    def reset(self) -> None:
        pass


class Gone(Exception):
    """The controller was killed here."""


class Result(t.NamedTuple):
    """How a converge ended."""

    codes: list[str]
    text: str
    seconds: float
    answer: dict[str, t.Any]
    lines: list[str]

    @property
    def good(self) -> bool:
        return not self.text


class Bench:
    """The host. ``declared`` is its good declaration; a fault converges a changed copy of it."""

    def __init__(self, directory: pathlib.Path, image: str) -> None:
        self.docker = hands.Docker()
        self.directory, self.state_dir, self.model = directory, directory / "state", directory / "model"
        self.name = f"fault{uuid.uuid4().hex[:6]}"
        self.container = f"cortex-vllm-{self.name}"
        self.port = hands.free_port()
        self.rules: list[dict[str, t.Any]] = []
        self._value = 100
        standin_model.make(self.model)
        self.declared: dict[str, t.Any] = {
            "image": image,
            "pull": "never",
            "model": str(self.model),
            "offline": True,
            "server_port": self.port,
            "start_timeout": 60,
            "stop_timeout": 5,
            "drain_timeout": 1,
            "probe": {"token_timeout": 5},
            "engine_args": {"max_model_len": 512},
        }

    # -- what is there

    def inspect(self, name: str = "") -> dict[str, t.Any] | None:
        found = self.docker.inspect(name or self.container)
        return dict(found) if found else None

    def serves(self) -> bool:
        """Whether the server gives a token to its declared name."""
        return says_a_token("127.0.0.1", self.port, self.name)

    def wait(self, condition: t.Callable[[], t.Any], seconds: float = 60) -> t.Any:
        until = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > until:
                raise AssertionError(f"it did not happen within {seconds} s: {self.events()}")
            time.sleep(0.05)

    def state(self) -> dict[str, t.Any]:
        return dict(json.loads((self.state_dir / self.name / "state.json").read_text()))

    def events(self) -> list[str]:
        path = self.state_dir / self.name / "journal.jsonl"
        try:
            return [json.loads(line)["event"] for line in path.read_text().splitlines()]
        except (OSError, ValueError):
            return []

    def containers(self) -> list[str]:
        """Names of all containers of the server, kept and new ones too."""
        return sorted(name for name in self.docker.names() if name.startswith(self.container))

    def leftovers(self) -> list[str]:
        """What a change left behind that should not be there."""
        found = [name for name in self.containers() if name != self.container]
        state = self.state()
        if state["transaction"]:
            found.append(f"transaction {state['transaction'].get('step')}")
        generations = self.state_dir / self.name / "generations"
        kept = {str(state["committed"]["generation"])}
        return found + sorted(path.name for path in generations.iterdir() if path.name not in kept)

    # -- what is done

    def changed(self, **fields: t.Any) -> dict[str, t.Any]:
        """The good declaration with other fields; ``engine_args`` are merged."""
        declared = copy.deepcopy(self.declared)
        arguments = {**declared["engine_args"], **(fields.pop("engine_args", None) or {})}
        return {**declared, **fields, "engine_args": arguments}

    def failing(self, **knobs: t.Any) -> dict[str, t.Any]:
        """A declaration whose start fails as the stand-in's knobs say; the good one does not."""
        self._value += 1
        self.rules.append({"argument": "max_num_seqs", "value": str(self._value), "set": knobs})
        (self.model / "standin.json").write_text(json.dumps({"when": self.rules}))
        return self.changed(engine_args={"max_num_seqs": self._value})

    def converge(self, declared: t.Mapping[str, t.Any] | None = None, remote: Remote | None = None) -> Result:
        remote = remote or Remote()
        begin = time.monotonic()
        codes: list[str] = []
        text, answer = "", {}
        try:
            specs = spec.load({self.name: dict(declared if declared is not None else self.declared)}, {})
            settings = converge.Settings(state_dir=str(self.state_dir), prune="ignore")
            answer = converge.Converge(specs, settings, remote).run()
        except FindingsError as problem:
            codes = [finding.code for finding in problem.findings if finding.severity == "error"]
            text = str(problem) or "refused"
        except converge.ConvergeError as problem:
            answer = dict(problem.result)
            found = answer.get("findings") or []
            codes = [str(item["code"]) for item in found if item["severity"] == "error"]
            text = str(problem)
        return Result(codes, text, time.monotonic() - begin, answer, remote.lines)

    def begin(self, declared: t.Mapping[str, t.Any]) -> None:
        """Begin a converge and lose the controller at once; the job goes on."""
        remote = Remote()
        remote.stop_after = "apply"
        try:
            self.converge(declared, remote)
        except Gone:
            pass

    def kill_job(self, moment: str) -> None:
        """SIGKILL the job as soon as its journal tells of ``moment``."""
        self.wait(lambda: moment in self.events())
        lock = self.state_dir / "locks" / f"server-{self.name}.lock"
        pid = int(lock.read_text())
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in pathlib.Path(f"/proc/{pid}/stat").read_text())

    def wait_job(self) -> None:
        self.wait(lambda: "done" in self.events(), 90)

    def mend(self) -> None:
        """Back to the good server, whatever the fault before has left."""
        if not self.converge().good or not self.serves():
            self.remove()
            found = self.converge()
            assert found.good, found.text

    def remove(self) -> None:
        for name in self.containers():
            self.docker.remove(name)
        subprocess.run(["rm", "-rf", str(self.state_dir / self.name)], check=False)
