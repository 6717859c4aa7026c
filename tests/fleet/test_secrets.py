# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A secret is in one 0400 file and in the process, and nowhere else; a new one is noticed."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest

from engines import docker

pytestmark = [pytest.mark.engine, pytest.mark.slow]

KEY = "first-Secret-7f3a9c"
NEW = "second-Secret-1b8e2d"


@pytest.fixture
def guarded(host):
    fleet, server = host
    server.declaration["secrets"] = {"api_key": KEY}
    return fleet, server


def files_with(folder: pathlib.Path, secret: str) -> list[pathlib.Path]:
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def places(server, secret: str) -> dict[str, str]:
    """Everything outside the file and the process where somebody could read the secret, as text."""
    found = {
        "inspect": json.dumps(server.inspect()),
        "logs": subprocess.run(["docker", "logs", server.container], capture_output=True, text=True, check=True).stdout,
        "logs (stderr)": subprocess.run(
            ["docker", "logs", server.container], capture_output=True, text=True, check=True
        ).stderr,
        "processes": docker("top", server.container, "-eo", "pid,args"),
        "image": docker("image", "inspect", server.inspect()["Image"]),
    }
    for path in server.state_dir.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            found[str(path)] = path.read_text(errors="replace")
    return {name: text for name, text in found.items() if secret in text}


def test_secret_is_nowhere(guarded):
    fleet, server = guarded
    outcome = fleet.play("site", "-vvv", "--diff")
    assert outcome.code == 0, outcome.text
    assert server.serves(KEY) and not server.serves()
    assert KEY not in outcome.text
    assert KEY not in json.dumps(outcome.results)
    assert places(server, KEY) == {}
    (path,) = files_with(server.state_dir, KEY)
    assert path.name == "VLLM_API_KEY" and path.parent.name == "secrets"
    assert path.stat().st_mode & 0o777 == 0o400
    # No module argument file is left behind.
    assert files_with(pathlib.Path.home() / ".ansible" / "tmp", KEY) == []
    check = fleet.play("check", "-vvv")
    assert check.code == 0 and KEY not in check.text


def test_new_key_is_noticed_and_not_shown(guarded):
    fleet, server = guarded
    fleet.converged()
    before = server.inspect()["Id"]
    server.declaration["secrets"] = {"api_key": NEW}
    check = fleet.play("check", "--diff")
    fields = [row["field"] for row in check.server("h00", server.server_name)["differences"]]
    assert any("VLLM_API_KEY" in field or "api_key" in field for field in fields), fields
    assert check.changed == {"h00"}
    outcome = fleet.play("site", "-vvv", "--diff")
    assert outcome.code == 0, outcome.text
    assert server.inspect()["Id"] != before
    assert server.serves(NEW) and not server.serves(KEY)
    for secret in (KEY, NEW):
        assert secret not in check.text and secret not in outcome.text
        assert places(server, secret) == {}
    assert fleet.converged().changed == set()


def test_secret_of_a_failed_start_is_not_in_the_evidence(guarded):
    """The server itself writes its environment while it dies: evidence and message are clean."""
    fleet, server = guarded
    (server.model / "standin.json").write_text(json.dumps({"fail_phase": "P6", "tell_environment": True}))
    outcome = fleet.play("site", "-vvv")
    assert outcome.code != 0
    assert KEY not in outcome.text and KEY not in json.dumps(outcome.results)
    clean = [path for path in files_with(server.state_dir, KEY) if path.parent.name != "secrets"]
    assert clean == []
    assert "********" in json.dumps(server.journal())


def test_wrong_declaration_does_not_show_the_secret(guarded):
    fleet, server = guarded
    server.declaration["secrets"] = {"api_key": KEY, "hf_tokn": NEW}
    outcome = fleet.play("site", "-vvv")
    assert outcome.code != 0
    assert "hf_token" in outcome.message("h00")
    assert KEY not in outcome.text and NEW not in outcome.text
