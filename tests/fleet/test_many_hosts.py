# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many hosts through playbooks/site.yml: started side by side, one call when converged, proven before a touch."""

from __future__ import annotations

import concurrent.futures
import time

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def identity(host) -> tuple[str, str]:
    """What changes when somebody touches the container."""
    look = host.inspect()
    return look["Id"], look["State"]["StartedAt"]


def test_twelve_hosts_load_side_by_side_with_four_forks(fleet):
    """No fork is held by a load: no server gets ready before the last one has been started."""
    hosts = fleet(12, gate="go")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(hosts.play)
        # Waves of four forks would wait for the first four here, and these for the gate.
        until = time.monotonic() + 180
        while not all(host.exists() and host.inspect()["State"]["Running"] for host in hosts.hosts):
            assert time.monotonic() < until and not running.done(), running.done() and running.result().text
            time.sleep(0.5)
        assert not any(host.serves() for host in hosts.hosts)
        for host in hosts.hosts:
            (host.model / "go").touch()
        outcome = running.result()
    assert outcome.code == 0, outcome.text
    assert outcome.changed == {host.name for host in hosts.hosts}
    assert all(host.serves() for host in hosts.hosts)

    again = hosts.converged()
    assert again.changed == set()
    for host in hosts.hosts:
        # Counted at the connection: one module execution, no file sent.
        assert again.calls_of(host.name) == ["exec"]
        assert [row["remote_calls"] for row in again.results[host.name] if "remote_calls" in row] == [1]
    assert "changed=0" in again.text and "changed=1" not in again.text


@pytest.mark.parametrize("times", [pytest.param(5, id="five"), pytest.param(100, id="hundred", marks=pytest.mark.long)])
def test_converges_in_a_row_change_nothing(fleet, times):
    hosts = fleet(2)
    hosts.converged()
    before = [identity(host) for host in hosts.hosts]
    files = {path: path.stat().st_mtime_ns for host in hosts.hosts for path in host.state_dir.rglob("*.json")}
    for number in range(times):
        outcome = hosts.converged()
        assert outcome.changed == set(), f"run {number + 1}:\n{outcome.text}"
        assert {host.name: outcome.calls_of(host.name) for host in hosts.hosts} == {"h00": ["exec"], "h01": ["exec"]}
    assert [identity(host) for host in hosts.hosts] == before
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_check_shows_the_plan_and_touches_nothing(fleet):
    hosts = fleet(2)
    outcome = hosts.play("check")
    assert outcome.code == 0, outcome.text
    assert outcome.changed == {"h00", "h01"}
    assert outcome.server("h00", hosts[0].server_name)["action"] == "create"
    assert not any(host.exists() or host.state_dir.exists() for host in hosts.hosts)
    assert [outcome.calls_of(host.name) for host in hosts.hosts] == [["exec"], ["exec"]]


WRONG = {
    "unknown field": (lambda d: d.update(server_prot=1), "server_prot", "server_port"),
    "unknown argument": (lambda d: d["engine_args"].update(max_modellen=5), "max_modellen", "max_model_len"),
    "bad value": (lambda d: d.update(server_port=99999), "server_port", "65535"),
    "removed argument": (lambda d: d["engine_args"].update(swap_space=4), "engine_args.swap_space", "Delete"),
    "missing image": (lambda d: d.update(image="cortex-vllm/no-such-image:1"), "image", "cortex-vllm/no-such-image:1"),
    "missing model": (lambda d: d.update(model="/nonexistent/model"), "model", "/nonexistent/model"),
    "missing mount": (lambda d: d.update(mounts=["/nonexistent/data"]), "mounts", "/nonexistent/data"),
}


def test_one_wrong_variable_on_one_host_stops_everything_before_anything_is_touched(fleet):
    hosts = fleet(3)
    hosts[1].declaration["server_prot"] = 1
    outcome = hosts.play()
    assert outcome.code != 0
    assert outcome.failed == {"h01"}
    assert not any(host.exists() or host.state_dir.exists() for host in hosts.hosts)


def test_each_wrong_variable_is_named_with_what_to_write(fleet):
    hosts = fleet(len(WRONG))
    for host, (spoil, _field, _word) in zip(hosts.hosts, WRONG.values(), strict=True):
        spoil(host.declaration)
    outcome = hosts.play()
    assert outcome.code != 0
    assert "Traceback" not in outcome.text
    assert not any(host.exists() or host.state_dir.exists() for host in hosts.hosts)
    for host, (wrong, (_spoil, field, word)) in zip(hosts.hosts, WRONG.items(), strict=True):
        message = outcome.message(host.name)
        assert f"vllm_servers[{host.server_name}]" in message, f"{wrong}: {message}"
        assert field in message and word in message, f"{wrong}: {message}"


def test_one_wrong_variable_stops_a_running_fleet_from_being_changed(fleet):
    hosts = fleet(3)
    hosts.converged()
    before = [identity(host) for host in hosts.hosts]
    for host in hosts.hosts:
        host.declaration["engine_args"]["max_model_len"] = 1024
    hosts[2].declaration["server_prot"] = 1
    outcome = hosts.play()
    assert outcome.code != 0
    assert [identity(host) for host in hosts.hosts] == before
    assert all(host.serves() for host in hosts.hosts)


def test_a_failed_replacement_stops_the_fleet_at_the_first_host(fleet):
    """Batches of one: the first host rolls back, the others are never touched, all serve."""
    rule = {"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P7"}}
    hosts = fleet(3, when=[rule])
    hosts.converged()
    before = [identity(host) for host in hosts.hosts]
    for host in hosts.hosts:
        host.declaration["engine_args"]["max_num_seqs"] = 7
    outcome = hosts.play()
    assert outcome.code != 0
    (broken,) = outcome.failed
    assert all(host.serves() for host in hosts.hosts)
    after = [identity(host) for host in hosts.hosts]
    assert [new[0] for new in after] == [old[0] for old in before]
    touched = [host.name for host, new, old in zip(hosts.hosts, after, before, strict=True) if new != old]
    assert touched == [broken]
    assert "SafetensorError" in outcome.message(broken)


def test_one_server_is_named(fleet):
    hosts = fleet(2)
    name = f"{hosts[0].server_name}b"
    hosts[0].variables["vllm_servers"][name] = {**hosts[0].declaration, "server_port": hosts[1].port}
    outcome = hosts.play("site", "-e", f"vllm_only={hosts[0].server_name}", "--limit", "h00")
    assert outcome.code == 0, outcome.text
    assert hosts[0].serves() and not hosts[1].exists()
    assert not any(line.endswith(name) for line in outcome.text.splitlines())


def test_status_and_stop(fleet):
    hosts = fleet(2)
    hosts.converged()
    status = hosts.play("status")
    assert status.code == 0, status.text
    for host in hosts.hosts:
        (line,) = [line for line in status.text.splitlines() if host.server_name in line and "ready" in line][:1]
        assert str(host.port) in line, line
    stop = hosts.play("stop", "--limit", "h01")
    assert stop.code == 0, stop.text
    assert hosts[0].serves() and not hosts[1].serves()
    assert not hosts[1].inspect()["State"]["Running"]
    hosts.converged()
    assert hosts[1].serves()
