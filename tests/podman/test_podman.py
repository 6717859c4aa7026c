# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same declarations on Podman, as root, through its socket: converged, changed, rolled back, removed."""

from __future__ import annotations

import pytest

from .conftest import KEY

pytestmark = [pytest.mark.engine, pytest.mark.long]


def test_second_converge_is_one_remote_call_and_no_change(served):
    before = served.inspect()
    again = served.converged()
    assert again.changed == set(), again.text
    assert again.calls_of("pod") == ["exec"]
    assert served.inspect()["Id"] == before["Id"]


def test_the_policy_is_what_survives_a_boot(served):
    """podman-restart.service starts containers of the policy `always`, and no others."""
    policy = served.inspect()["HostConfig"]["RestartPolicy"]["Name"]
    assert policy == "always"


def test_changed_argument_replaces(served):
    before = served.inspect()["Id"]
    served.declaration["engine_args"]["max_model_len"] = 1024
    assert served.converged().changed == {"pod"}
    assert served.serves(1024) and served.inspect()["Id"] != before
    assert served.names() == [served.container]
    assert served.converged().changed == set()


def test_a_limit_is_changed_by_a_replacement(served):
    """Podman's Docker API changes no living container."""
    before = served.inspect()["Id"]
    served.declaration["memory"] = "2g"
    assert served.converged().changed == {"pod"}
    after = served.inspect()
    assert after["Id"] != before and after["HostConfig"]["Memory"] == 2 << 30
    assert served.converged().changed == set()


def test_failing_start_rolls_back_and_the_old_server_answers(served):
    before = served.inspect()
    served.declaration["engine_args"]["max_num_seqs"] = 7
    outcome = served.play()
    assert outcome.code != 0
    message = outcome.message("pod")
    assert "Insufficient space in /dev/shm" in message and "answers again" in message, message
    after = served.inspect()
    assert after["Id"] == before["Id"] and after["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert served.serves(512) and served.names() == [served.container]
    served.declaration["engine_args"]["max_num_seqs"] = 5
    assert served.converged().changed == set()


def test_the_key_is_not_in_what_podman_tells(served):
    assert KEY not in served.run("inspect", served.container)


def test_stopped_and_started(served):
    assert served.play("stop").code == 0
    assert not served.inspect()["State"]["Running"]
    assert served.converged().changed == {"pod"}
    assert served.serves(512)


def test_removed(served):
    served.declaration["state"] = "absent"
    assert served.converged().changed == {"pod"}
    assert served.names() == []
    assert served.converged().changed == set()
