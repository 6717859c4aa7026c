# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that somebody changed under a server, and a server that somebody paused, with a real engine."""

from __future__ import annotations

import shutil
import time

from hands import one, result


def damage(host):
    return [(item["path"], item["problem"]) for item in host.observe(health=False)["servers"][host.name]["damage"]]


def mounted(host):
    """The body mounts as the collection does: the engine makes nothing that is missing."""
    body = host.body()
    config = body["HostConfig"]
    source, target = config["Binds"].pop().split(":")[:2]
    config["Mounts"] = [{"Type": "bind", "Source": source, "Target": target, "ReadOnly": True}]
    return body


def test_what_was_deleted_under_a_stopped_server_is_written_before_its_start(host):
    host.converge("create", body=mounted(host))
    assert damage(host) == []
    host.converge("stop")
    assert host.docker.inspect(host.container)["HostConfig"]["RestartPolicy"]["Name"] == "no"
    folder = host.state_dir / host.name / "generations" / "g1"
    shutil.rmtree(folder)
    assert damage(host) == [("generations/g1", "missing")]
    assert "bind source path does not exist" in one(host.converge("start", files=None), "failed")["message"]
    assert result(host.converge("start")) == "ok" and host.answers() == "chat"
    assert (folder / "launch.sh").exists() and damage(host) == []
    assert host.docker.inspect(host.container)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_an_edited_file_is_put_back_under_a_running_server(host):
    host.converge("create", body=mounted(host))
    before = host.docker.inspect(host.container)
    launcher = host.state_dir / host.name / "generations" / "g1" / "launch.sh"
    launcher.write_text("sleep 1\n")
    assert damage(host) == [("generations/g1/launch.sh", "edited")]
    assert result(host.converge("update", update={})) == "ok"
    after = host.docker.inspect(host.container)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
    assert launcher.read_text() == "#!/bin/sh\n" and damage(host) == []


def test_a_paused_server_is_named_and_can_be_stopped(host):
    host.converge("create")
    assert host.docker.call("POST", f"/containers/{host.container}/pause")[0] == 204
    until = time.monotonic() + 10
    while not host.docker.inspect(host.container)["State"]["Paused"]:
        assert time.monotonic() < until  # the engine answers before it has heard of it itself
        time.sleep(0.05)
    look = host.observe()
    assert look["containers"][0]["State"]["Paused"] and look["servers"][host.name]["health"] is None
    found = host.step("probe", {"container_name": host.container, "probe": host.probe(), "budget": 5.0})
    assert (found["state"], found["message"]) == ("paused", "the container is paused")
    events = host.converge("stop")
    assert result(events) == "ok" and not one(events, "stopped")["killed"]
