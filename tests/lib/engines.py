# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The container engine as a person uses it, the images that scripts make, ports, and what a server answers."""

from __future__ import annotations

import http.client
import json
import pathlib
import socket
import subprocess
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]


def docker(*arguments: str, check: bool = True) -> str:
    """Standard output of the docker command."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspect(name: str) -> dict[str, t.Any]:
    """The engine's view of a container."""
    return json.loads(docker("inspect", name))[0]


def made(script: str, *arguments: str) -> str:
    """The last word of a script of the repository that makes something: a tag, or a folder."""
    done = subprocess.run([str(ROOT / script), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; all are found before the first is given back."""
    sockets = [socket.socket() for _number in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def ask(
    address: str, port: int, path: str, body: t.Any = None, key: str | None = None, timeout: float = 5
) -> tuple[int, t.Any]:
    """Code and body of a server's answer, the body decoded if it is JSON; 0 and the reason when there is no answer."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    try:
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as exc:
        return 0, str(exc)
    finally:
        connection.close()
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, data.decode(errors="replace")


def says_a_token(address: str, port: int, model: str, key: str | None = None) -> bool:
    """Whether a server returns text for a name of a model."""
    code, answer = ask(address, port, "/v1/completions", {"model": model, "prompt": "x", "max_tokens": 1}, key)
    try:
        return code == 200 and bool(answer["choices"][0]["text"])
    except (LookupError, TypeError):
        return False
