# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that somebody started by hand become ours: no restart, then changed and rolled back like any other."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from engines import docker

pytestmark = pytest.mark.engine

KEY = "sk-started-by-hand"
RULE = {"argument": "max_num_seqs", "value": "7"}


@pytest.fixture
def by_hand(fleet, image):
    """A host without declarations, on which a server was started with `docker run`."""
    one = fleet(1, when=[{**RULE, "set": {"fail_phase": "P6"}}])
    host = one[0]
    declared = host.variables.pop("vllm_servers")
    ident = docker(
        "run", "--detach", "--init", "--restart=always", f"--name={host.server_name}",
        f"--publish=127.0.0.1:{host.port}:8000", "--shm-size=1g", f"--volume={host.model}:/model:ro",
        "--env=HF_HUB_OFFLINE=1", f"--env=VLLM_API_KEY={KEY}", image, "/model", "--served-model-name", host.server_name,
        "--max-model-len", "512",
    )  # fmt: skip
    until = time.monotonic() + 30
    host.variables["vllm_servers"] = declared
    while not host.serves(KEY):
        assert time.monotonic() < until
        time.sleep(0.2)
    host.variables["vllm_servers"] = {}
    try:
        yield one, host, ident
    finally:
        docker("rm", "-f", host.server_name, check=False)


def test_a_server_started_by_hand_becomes_ours_without_a_restart(by_hand, tmp_path):
    one, host, ident = by_hand
    extra = ["-e", f"vllm_adopt_dir={tmp_path}", "-e", json.dumps({"vllm_adopt_only": [host.server_name]})]
    look = one.play("adopt", *extra)
    assert look.code == 0, look.text
    assert docker("inspect", "-f", "{{.Name}}", ident) == f"/{host.server_name}"  # nothing is taken over unasked
    take = one.play("adopt", *extra, "-e", "vllm_adopt_take_over=true")
    assert take.code == 0 and "h00" in take.changed, take.text
    started = docker("inspect", "-f", "{{.Name}} {{.State.StartedAt}}", ident)
    assert started.startswith(f"/{host.container} ")

    text = (tmp_path / "h00.yml").read_text()
    assert KEY not in text and KEY not in take.text and KEY not in str(take.results)
    state = (host.state_dir / host.server_name / "state.json").read_text()
    assert KEY not in state
    host.variables["vllm_servers"] = yaml.safe_load(text)["vllm_servers"]
    declaration = host.variables["vllm_servers"][host.server_name]
    declaration["secrets"]["api_key"] = KEY
    assert declaration["server_port"] == host.port and declaration["model"] == str(host.model)

    converged = one.converged()
    assert converged.changed == set(), converged.text
    assert converged.server("h00", host.server_name)["state"] == "ready"
    assert docker("inspect", "-f", "{{.Name}} {{.State.StartedAt}}", ident) == started
    assert host.serves(KEY)

    # A change that cannot start: the container that was started by hand comes back and answers.
    declaration["engine_args"]["max_num_seqs"] = 7
    failed = one.play()
    assert failed.code != 0 and "answers again" in failed.message("h00"), failed.text
    assert docker("inspect", "-f", "{{.Id}} {{.State.Running}}", host.container) == f"{ident} true"
    assert docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", host.container) == "always"
    assert KEY not in failed.text and KEY not in str(failed.results)

    # One that can: from now on it is a container like any other.
    declaration["engine_args"]["max_num_seqs"] = 6
    assert one.converged().changed == {"h00"}
    assert host.inspect()["Id"] != ident and host.serves(KEY)
    assert docker("ps", "-aq", "--no-trunc", "--filter", f"id={ident}") == ""
    assert one.converged().changed == set()


def test_an_adopted_server_can_be_restarted_and_removed(by_hand, tmp_path):
    one, host, ident = by_hand
    extra = ["-e", f"vllm_adopt_dir={tmp_path}", "-e", json.dumps({"vllm_adopt_only": [host.server_name]})]
    assert one.play("adopt", *extra, "-e", "vllm_adopt_take_over=true").code == 0
    host.variables["vllm_servers"] = yaml.safe_load((tmp_path / "h00.yml").read_text())["vllm_servers"]
    host.declaration["secrets"]["api_key"] = KEY
    restart = one.play("restart")
    assert restart.code == 0, restart.text
    assert host.inspect()["Id"] == ident and host.serves(KEY)
    host.variables["vllm_servers"] = {}
    host.variables["vllm_prune"] = "remove"
    # Only what this host's records call its own is removed: other tests share the engine.
    pruned = one.play("check")
    assert host.server_name in pruned.text and "nobody declares it" in pruned.text, pruned.text
