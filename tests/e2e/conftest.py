# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host (this machine) with one real vLLM server on the CPU, converged as a person would."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Containers have one name on an engine: another checkout that tests beside this one has another.
SERVER = "e2e-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
CONTAINER = f"cortex-vllm-{SERVER}"

#: The same action that the role calls, with its whole answer kept for the tests.
PLAY = f"""
- name: Converge
  hosts: vllm
  gather_facts: false
  tasks:
    - name: Converge and keep the answer
      block:
        - name: Converge
          cortex.vllm.servers:
            servers: "{{{{ vllm_servers }}}}"
            state_dir: "{{{{ vllm_state_dir }}}}"
          register: answer
      always:
        - name: Keep the answer
          ansible.builtin.copy:
            content: "{{{{ answer | to_json }}}}"
            dest: "{{{{ inventory_dir }}}}/answer.json"
            mode: "0600"
          changed_when: false
          check_mode: false
          delegate_to: localhost
          vars:
            ansible_python_interpreter: {sys.executable}
"""


def output(*command: str | pathlib.Path) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.strip()


def docker(*arguments: str) -> str:
    return output("docker", *arguments)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclasses.dataclass
class Run:
    """How ansible-playbook ended. ``answer``: what the action returned; None where the play keeps none."""

    code: int
    text: str
    seconds: float
    answer: dict[str, Any] | None

    @property
    def changed(self) -> int:
        """The recap's count of changed tasks."""
        found = re.search(r"^this-machine\s.*\bchanged=(\d+)", self.text, re.MULTILINE)
        assert found, self.text
        return int(found.group(1))


@dataclasses.dataclass
class Host:
    """This machine as a target, with a declaration that tests change."""

    folder: pathlib.Path
    state_dir: pathlib.Path
    port: int
    api_key: str
    servers: dict[str, Any]

    def declare(self, **changes: Any) -> None:
        """Change fields of the server; mappings are merged, None removes."""
        server = self.servers[SERVER]
        for name, value in changes.items():
            if value is None:
                server.pop(name, None)
            elif isinstance(value, dict):
                server[name] = {**server.get(name, {}), **value}
            else:
                server[name] = value

    def command(self, playbook: str | pathlib.Path, *arguments: str) -> list[str]:
        """Write the inventory and give the command that runs a playbook on it."""
        inventory = {
            "vllm": {
                "hosts": {
                    "this-machine": {
                        "ansible_connection": "local",
                        "ansible_python_interpreter": "/usr/bin/python3",
                        "vllm_servers": self.servers,
                        "vllm_state_dir": str(self.state_dir),
                    }
                }
            }
        }
        (self.folder / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
        program = pathlib.Path(sys.executable).with_name("ansible-playbook")
        return [str(program), "-i", str(self.folder / "hosts.json"), str(playbook), *arguments]

    @property
    def play(self) -> pathlib.Path:
        path = self.folder / "play.yml"
        path.write_text(PLAY, encoding="utf-8")
        return path

    def run(self, playbook: str | pathlib.Path | None = None, *arguments: str) -> Run:
        """Run the play of this file, or another playbook."""
        kept = self.folder / "answer.json"
        kept.unlink(missing_ok=True)
        begin = time.monotonic()
        done = subprocess.run(
            self.command(playbook or self.play, *arguments),
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        answer = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None
        print(done.stdout)
        return Run(done.returncode, done.stdout, time.monotonic() - begin, answer)

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the play in a process group of its own and do not wait for it."""
        return subprocess.Popen(
            self.command(self.play),
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "killed.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def request(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """Status and decoded body of one HTTP request; (0, text) when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            return response.status, json.loads(text) if text.startswith("{") else text
        except (OSError, http.client.HTTPException) as exc:
            return 0, str(exc)
        finally:
            connection.close()

    def complete(self, key: str | None) -> tuple[int, Any]:
        """Ask for a chat completion of eight tokens."""
        body = {"model": SERVER, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}
        return self.request("POST", "/v1/chat/completions", body, key)

    def max_model_len(self) -> int | None:
        """What the running server says, or None when none answers."""
        status, models = self.request("GET", "/v1/models", key=self.api_key)
        return models["data"][0]["max_model_len"] if status == 200 else None

    def container(self) -> dict[str, Any]:
        """The engine's inspect of the server's container."""
        return json.loads(docker("inspect", CONTAINER))[0]

    def containers(self) -> list[str]:
        """Names of all containers of this server, temporary and kept ones too."""
        return docker("ps", "-a", "--filter", f"name=^/{CONTAINER}", "--format", "{{.Names}}").split()

    def kept(self) -> dict[str, Any]:
        """A copy of the declaration."""
        return copy.deepcopy(self.servers[SERVER])


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host whose server does not run yet; everything is removed at the end."""
    image = output(ROOT / "tools" / "vllm-image")
    model = output(ROOT / "tools" / "tiny-model")
    folder = tmp_path_factory.mktemp("e2e")
    state_dir = folder / "state"
    # The path to the state is looked through by the container's user.
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and path != pathlib.Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)
    port = free_port()
    servers = {
        SERVER: {
            "image": image,
            "model": model,
            "served_model_name": [SERVER],
            "offline": True,
            "gpus": "none",
            "bind": "127.0.0.1",
            "server_port": port,
            # Engine and worker share the server's imports: ready in a third of the time on two cores.
            "engine_args": {"max_model_len": 512, "enforce_eager": True, "distributed_executor_backend": "uni"},
            "env": {
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
                "CORTEX_VLLM_TEST_FORK": "1",
            },
            "secrets": {"api_key": "e2e-" + secrets.token_hex(16)},
            "start_timeout": 240,
        }
    }
    remove()
    yield Host(folder, state_dir, port, servers[SERVER]["secrets"]["api_key"], servers)
    remove()
    shutil.rmtree(state_dir, ignore_errors=True)


def remove() -> None:
    """Remove all containers of the server, whatever a run left."""
    found = docker("ps", "-aq", "--filter", f"name=^/{CONTAINER}").split()
    if found:
        docker("rm", "-f", *found)
