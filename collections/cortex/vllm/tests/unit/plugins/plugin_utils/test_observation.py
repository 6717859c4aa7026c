# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one request for a host, and reading its answer."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import containers, observation, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import GPUS, IMAGE, Host, server


def test_one_request_asks_for_all_servers_and_nothing_twice():
    specs = spec.load(
        {
            "a": server(mounts=["/srv/a:/srv/a"], gpus=[0]),
            "b": server(server_port=8001),
            "c": server(state="absent", image="other:1", server_port=8002),
            "d": server(model="org/name", revision="main", server_port=8003),
        }
    )
    request = observation.query(specs, "/var/lib/cortex-vllm", health=False)
    assert [item["name"] for item in request["servers"]] == ["a", "b", "c", "d"]
    assert request["images"] == [IMAGE]
    assert [(item["model"], item["revision"]) for item in request["models"]] == [
        ("/models/qwen", None),
        ("org/name", "main"),
    ]
    assert request["paths"] == ["/srv/a"]
    assert [item["port"] for item in request["ports"]] == [8000, 8001, 8003]
    assert request["gpus"] is True and request["health"] is False and request["schema"] == 1
    assert observation.query([], "/x")["gpus"] is False


def test_a_container_without_model_and_with_several_ports():
    one = spec.load_container({"name": "box", "image": "busybox", "ports": [80, "0.0.0.0:443:8443"]})
    request = observation.query([one], "/x")
    assert request["models"] == []
    assert request["ports"] == [{"address": "127.0.0.1", "port": 80}, {"address": "0.0.0.0", "port": 443}]


@pytest.mark.parametrize("answer", [{}, {"schema": 2}, None, {"schema": "1"}])
def test_another_schema_is_refused_with_both_numbers(answer):
    with pytest.raises(FindingsError, match="schema 1"):
        observation.Observation.parse(answer)


def test_what_an_answer_says():
    host = Host()
    host.converge({"chat": server(gpus=2)})
    specs = spec.load({"chat": server(gpus=2)})
    seen = observation.Observation.parse(host.observe(observation.query(specs, "/x")))
    container = seen.container("chat")
    assert container is not None and container.server == "chat" and container.running
    assert container.gpus == frozenset(GPUS[:2])
    assert container.published == {("127.0.0.1", 8000)}
    assert container.exit == {"code": 0, "oom": False, "error": ""}
    assert seen.by_name[container.name] is container
    assert seen.image(container.image_id)["id"] == container.image_id
    one = seen.server("chat")
    assert one.ready_seconds == 30.0 and one.history == [] and one.live_job is None and not one.locked
    nobody = seen.server("nobody")
    assert (nobody.committed, nobody.state_hash, nobody.ready_seconds) == (None, "", None)
    assert len(seen.devices) == 4


def test_gpus_of_all_spellings():
    requests = [{"Count": -1}, {"DeviceIDs": ["nvidia.com/gpu=GPU-1"]}]
    assert containers.gpus_of({"DeviceRequests": requests}) == {"all", "GPU-1"}
    assert containers.gpus_of({}) == frozenset()


def test_an_empty_answer_is_readable():
    seen = observation.Observation.parse({"schema": 1, "gpus": None, "containers": None})
    assert seen.devices == [] and seen.containers == () and seen.container("x") is None


def test_networks_and_devices_are_asked_for_where_somebody_must_have_made_them():
    plain = spec.load({"chat": server(network="host")})
    assert "networks" not in observation.query(plain, "/state")
    named = spec.load({"chat": server(network="lan", networks=["lan", "wan"], devices=["/dev/x"])})
    request = observation.query(named, "/state")
    assert request["networks"] == ["lan", "wan"] and request["paths"][-1] == "/dev/x"
