# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook as a person would, and reads what its tasks returned and what crossed its connections.

The connections ``counted`` and ``counted_docker`` write down each remote call, the callback ``results`` each result.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = pathlib.Path(__file__).parent / "plugins"
#: That of the environment which runs the tests.
PROGRAM = pathlib.Path(sys.executable).with_name("ansible-playbook")


@dataclasses.dataclass
class Outcome:
    """One run of a playbook. ``rows`` are ``{"host", "task", "result"}`` in the order in which they came."""

    code: int
    text: str
    seconds: float
    rows: list[dict[str, t.Any]]
    calls: list[dict[str, t.Any]]

    @functools.cached_property
    def results(self) -> dict[str, list[dict[str, t.Any]]]:
        """What tasks returned, by host and then in order."""
        found: dict[str, list[dict[str, t.Any]]] = {}
        for row in self.rows:
            found.setdefault(row["host"], []).append(row["result"])
        return found

    @property
    def last(self) -> dict[str, t.Any]:
        """What the last task returned."""
        return self.rows[-1]["result"]

    def one(self, task: str) -> dict[str, t.Any]:
        """What the first task of this name returned."""
        return next(row["result"] for row in self.rows if row["task"] == task)

    @property
    def changed(self) -> set[str]:
        return {host for host, rows in self.results.items() if any(row.get("changed") for row in rows)}

    @property
    def failed(self) -> set[str]:
        return {host for host, rows in self.results.items() if any(row.get("failed") for row in rows)}

    def calls_of(self, host: str) -> list[str]:
        """Kinds of what crossed the connection of a host."""
        return [call["kind"] for call in self.calls if call["host"] == host]

    def server(self, host: str, name: str) -> dict[str, t.Any]:
        """The last word of a host about one of its servers."""
        rows = [row["servers"][name] for row in self.results[host] if name in (row.get("servers") or {})]
        assert rows, f"{host} said nothing about {name}:\n{self.text}"
        return rows[-1]

    def message(self, host: str) -> str:
        """What a host failed with."""
        return "\n".join(str(row.get("msg")) for row in self.results.get(host, []) if row.get("failed"))


class Play:
    """One run of a playbook that has begun, in a process group of its own.

    :param out: an existing folder that gets all that the run leaves
    :param inventory: an inventory on disk, or its content
    :param playbook: the name of one of the repository's, or a path
    :param settings: variables of the environment that this run has besides
    """

    def __init__(
        self,
        out: pathlib.Path,
        inventory: pathlib.Path | dict[str, t.Any],
        playbook: str | pathlib.Path,
        *arguments: str,
        settings: t.Mapping[str, str] | None = None,
    ) -> None:
        self._calls, self._results, self._output = out / "calls.jsonl", out / "results.jsonl", out / "output.txt"
        if isinstance(inventory, dict):
            path = out / "hosts.yml"
            path.write_text(json.dumps(inventory, indent=1))  # JSON is YAML
            inventory = path
        if "/" not in str(playbook):
            playbook = ROOT / "playbooks" / f"{playbook}.yml"
        # What a person or another run has set for Ansible is not for this one.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        self.begin = time.monotonic()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(PROGRAM), "-i", str(inventory), str(playbook), *arguments],
                cwd=ROOT,
                env={
                    **inherited,
                    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                    "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS / "connection"),
                    "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS / "callback"),
                    "ANSIBLE_CALLBACKS_ENABLED": "results",
                    "ANSIBLE_NOCOLOR": "1",
                    "ANSIBLE_LOCALHOST_WARNING": "False",
                    "PLAY_CALLS": str(self._calls),
                    "PLAY_RESULTS": str(self._results),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    **(settings or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def calls(self) -> list[dict[str, t.Any]]:
        """What has crossed the connections so far."""
        return _lines(self._calls)

    def kill(self) -> None:
        """SIGKILL to all that the controller is; what it left on the hosts goes on."""
        kill(self.process)

    def end(self, timeout: float = 300) -> Outcome:
        """Wait for the end. Whatever interrupts that leaves no controller behind."""
        try:
            self.process.wait(timeout)
        except BaseException:
            self.kill()
            raise
        seconds = time.monotonic() - self.begin
        text = self._output.read_text(errors="replace")
        return Outcome(self.process.returncode, text, seconds, _lines(self._results), self.calls)


class Target:
    """Hosts with an inventory. Each run of a playbook against them has a folder of its own below ``directory``."""

    directory: pathlib.Path
    runs = 0
    #: Variables of the environment that each run has besides.
    settings: t.Mapping[str, str] = {}

    def inventory(self) -> pathlib.Path | dict[str, t.Any]:
        """As it stands now."""
        raise NotImplementedError

    def begin(self, playbook: str | pathlib.Path = "site", *arguments: str) -> Play:
        """Begin a playbook; who begins it ends or kills it."""
        return Play(self.new_folder(), self.inventory(), playbook, *arguments, settings=self.settings)

    def new_folder(self) -> pathlib.Path:
        """A new folder, for what one run needs or leaves."""
        self.runs += 1
        out = self.directory / f"run-{self.runs:03d}"
        out.mkdir(parents=True)
        return out

    def play(self, playbook: str | pathlib.Path = "site", *arguments: str, timeout: float = 300) -> Outcome:
        """Run a playbook to its end."""
        return self.begin(playbook, *arguments).end(timeout)

    def converged(self) -> Outcome:
        """Run the site playbook, which must succeed."""
        outcome = self.play()
        assert outcome.code == 0, outcome.text
        return outcome


def kill(process: subprocess.Popen[t.Any]) -> None:
    """SIGKILL to a controller that has a process group of its own, and to its workers, which have theirs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGSTOP)  # so that it gets no further ones
        workers = _children(process.pid)
        for group in (process.pid, *workers):
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass
    process.wait(30)


def _children(parent: int) -> list[int]:
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def _lines(path: pathlib.Path) -> list[dict[str, t.Any]]:
    """The values of the lines that are whole: who was killed may have left a part of one."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
