# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two real releases behind one declaration: upgraded under requests, failing changes, and back. In this order."""

from __future__ import annotations

import pathlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import CONTAINER, ROOT, SERVER, Host, docker, output

pytestmark = [pytest.mark.engine, pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

OLD, NEW = "0.27.0", "0.32.0"


class Clients:
    """Clients that ask all the time. A refused connection is tried again, as clients of a restarting server do; an
    answer that was begun and not given is what a drain must never cause."""

    def __init__(self, host: Host, count: int = 3) -> None:
        self.host = host
        self.answered: list[float] = []
        self.broken: list[str] = []
        self.refused = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _number in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_ignored: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)

    def _ask(self) -> None:
        body = {"model": SERVER, "prompt": "Hello", "max_tokens": 200, "ignore_eos": True, "temperature": 0}
        while not self._stop.is_set():
            status, answer = self.host.request("POST", "/v1/completions", body, self.host.api_key)
            if status == 200:
                if answer["usage"]["completion_tokens"] == 200:
                    self.answered.append(time.monotonic())
                else:
                    self.broken.append(f"cut off after {answer['usage']['completion_tokens']} tokens")
            elif status == 0 or "after shutdown" in str(answer):
                # Not accepted: nothing listens, or the server says that it takes no new requests.
                self.refused += 1
                time.sleep(0.2)
            else:
                self.broken.append(f"{status}: {answer}")


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    return {release: output(ROOT / "tools" / "vllm-image", release).split()[-1] for release in (OLD, NEW)}


@pytest.fixture
def good(host: Host) -> Iterator[dict[str, Any]]:
    """The declaration that serves, put back after the test."""
    kept = host.kept()
    yield kept
    host.servers[SERVER] = kept


def answer(run: Any) -> dict[str, Any]:
    assert run.answer is not None
    return dict(run.answer["servers"][SERVER])


def test_the_old_release_serves(host: Host, images: dict[str, str]) -> None:
    host.declare(image=images[OLD], state=None)
    assert host.run().code == 0
    assert host.complete(host.api_key)[0] == 200
    assert host.request("GET", "/version")[1]["version"].startswith(OLD)
    assert "--shutdown-timeout" in host.container()["Config"]["Cmd"]


def test_an_upgrade_under_requests_answers_every_one_that_was_taken(host: Host, images: dict[str, str]) -> None:
    host.declare(image=images[NEW])
    with Clients(host) as clients:
        time.sleep(3)
        run = host.run()
        time.sleep(3)
    assert run.code == 0, run.text
    assert clients.broken == [], clients.broken[:3]
    assert len(clients.answered) >= 4
    found = answer(run)
    gap = max(b - a for a, b in zip(clients.answered, clients.answered[1:], strict=False))
    print(f"downtime {found['downtime']:.1f} s, spent {found['spent']}, longest wait of a client {gap:.1f} s")
    # A client asks again a moment later than it could, and then waits for 200 tokens.
    assert found["downtime"] - 3 < gap < found["downtime"] + 20
    assert abs(sum(found["spent"].values()) - found["downtime"]) < 0.5
    assert found["drained"] is True
    assert host.request("GET", "/version")[1]["version"].startswith(NEW)
    again = host.run("playbooks/site.yml")
    assert (again.code, again.changed) == (0, 0)


def test_a_downgrade_that_fails_leaves_the_new_release_serving(
    host: Host, images: dict[str, str], good: dict[str, Any]
) -> None:
    """The other release, and a cache that no machine has: refused by its engine, late."""
    before = host.container()["Id"]
    host.declare(
        image=images[OLD], env={"VLLM_CPU_KVCACHE_SPACE": "60000"}, accept=["env.out-of-range", "memory.kv-cache"]
    )
    with Clients(host, 2) as clients:
        run = host.run()
        time.sleep(3)
    assert run.code != 0 and "answers again" in run.text
    assert "memory.kv-cache-host" in run.text
    assert clients.broken == [] and host.container()["Id"] == before
    assert host.request("GET", "/version")[1]["version"].startswith(NEW)


def test_going_back_is_one_word_and_the_rest_stays(host: Host, images: dict[str, str]) -> None:
    host.declare(image=images[OLD])
    run = host.run()
    assert run.code == 0 and host.request("GET", "/version")[1]["version"].startswith(OLD)
    assert answer(run)["phases"], "the phases of the old release are understood, too"
    host.declare(image=images[NEW])
    assert host.run().code == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"engine_args": {"max_modellen": 128}}, "argument.unknown"),
        ({"engine_args": {"max_num_seqs": "many"}}, "argument."),
        ({"engine_args": {"max_model_len": 999999}}, "argument.max-model-len"),
    ],
    ids=["a bad argument", "a bad value", "a context that is too long"],
)
def test_a_change_that_cannot_work_stops_nothing(host: Host, good: dict[str, Any], change: Any, code: str) -> None:
    before = host.container()
    host.declare(**change)
    run = host.run()
    assert run.code != 0 and code in run.text
    assert host.container()["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert host.complete(host.api_key)[0] == 200


@pytest.mark.parametrize(
    ("harm", "code"),
    [("tokenizer", "model.tokenizer-missing"), ("shard", "model.weights-corrupt")],
    ids=["no tokenizer", "a broken shard"],
)
@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "accepted"])
def test_a_broken_model_never_costs_the_server(
    host: Host, good: dict[str, Any], tmp_path: pathlib.Path, harm: str, code: str, seen: bool
) -> None:
    """Seen in the files it is refused; who accepts that gets the server's own words, and the old server back."""
    broken = pathlib.Path(str(host.folder)) / f"{harm}-{seen}"
    shutil.copytree(good["model"], broken)
    broken.chmod(0o755)
    if harm == "tokenizer":
        for path in broken.glob("token*"):
            path.unlink()
    else:
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4096])
    before = host.container()
    host.declare(model=str(broken), accept=[] if seen else [code])
    run = host.run()
    assert run.code != 0 and code in run.text
    after = host.container()
    assert after["Id"] == before["Id"] and host.complete(host.api_key)[0] == 200
    if seen:
        assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    else:
        assert "answers again" in run.text
    assert host.containers() == [CONTAINER]
    assert docker("ps", "-aq", "--filter", f"name=^/{CONTAINER}.new").split() == []
