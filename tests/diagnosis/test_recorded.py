# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every recorded log is called what it is: with its exit state, without, in part, and through what carries logs."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from recordings import EXPECTED, PLACES, lines

from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis

NAMES = sorted(EXPECTED)
FAILED = [name for name in NAMES if EXPECTED[name]["state"] == "failed"]
#: Killed from outside: the log alone cannot know.
SILENT = {"oom-600m", "oom-950m", "sigterm-while-engine-loads", "sigterm-during-load-init", "lifecycle-stop-inflight"}


def said(log, exit=None):
    answer = diagnosis.diagnose(log, exit)
    return {"state": answer.state, "code": answer.as_dict()["code"]}


def expected(name):
    return {key: EXPECTED[name][key] for key in ("state", "code")}


def test_every_recording_is_expected_to_be_something():
    found = {path.stem for place in PLACES[:2] for path in place.glob("*.log")}
    assert found == set(NAMES) - {"ok-start-0.32.0"}
    assert len(NAMES) >= 80


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_it_is(name):
    assert said(lines(name), EXPECTED[name].get("exit")) == expected(name)


@pytest.mark.parametrize("name", sorted(set(NAMES) - SILENT))
def test_it_is_so_without_an_exit_state(name):
    assert said(lines(name)) == expected(name)


@pytest.mark.parametrize("name", FAILED)
def test_a_failure_gives_evidence_explanation_and_what_to_do(name):
    answer = diagnosis.diagnose(lines(name), EXPECTED[name].get("exit")).as_dict()
    assert answer["evidence"] and answer["explanation"] and answer["fix"] and answer["telling"]
    if answer["code"] not in {"memory.oom-killed", "server.killed"}:
        whole = "\n".join(lines(name))
        assert answer["evidence"].split("\n")[0].rstrip("…")[:60] in whole


@pytest.mark.parametrize("name", sorted(set(FAILED) - SILENT))
def test_the_last_400_lines_are_enough(name):
    tail = [line for line in lines(name) if line.strip()][-400:]
    assert said(tail, EXPECTED[name].get("exit")) == expected(name)


def test_none_of_the_healthy_or_loading_ones_is_called_a_failure():
    quiet = [name for name in NAMES if EXPECTED[name]["state"] in {"healthy", "loading"}]
    assert len(quiet) >= 8
    assert [name for name in quiet if said(lines(name))["state"] == "failed"] == []


@pytest.mark.parametrize("name", ["ok-start-0.32.0", "shm-too-small", "tool-parser-unknown"])
def test_a_container_that_was_restarted_is_judged_by_its_last_start(name):
    other = "shm-too-small" if name != "shm-too-small" else "ok-start-0.32.0"
    later = [line.replace(" 11-22 1", " 11-23 1") for line in lines(name)]
    verdict = diagnosis.diagnose([*lines(other), *later])
    assert (verdict.state, verdict.as_dict()["code"]) == (EXPECTED[name]["state"], EXPECTED[name]["code"])


@pytest.mark.parametrize("name", FAILED[::6])
def test_docker_compose_with_time_and_colours(name):
    carried = [f"\x1b[33mvllm-1  | \x1b[0m2026-11-22T12:00:00.000000001Z {line}\r" for line in lines(name)]
    assert said(carried, EXPECTED[name].get("exit")) == expected(name)


#: What uvicorn writes goes to stderr, what vLLM's processes log to stdout: ``docker logs`` keeps them apart.
UVICORN = (
    "INFO:     Started",
    "INFO:     Waiting",
    "INFO:     Application",
    "INFO:     Shutting",
    "INFO:     Finished",
)


@pytest.mark.parametrize("name", ["lifecycle-rank-hangs", "lifecycle-enginekill", "lifecycle-workerkill"])
def test_stderr_put_below_stdout_tells_the_same(name):
    """Readiness then stands below the error that ended the server."""
    out = [line for line in lines(name) if not line.startswith(UVICORN)]
    error = [line for line in lines(name) if line.startswith(UVICORN)]
    assert error
    assert said([*out, *error], EXPECTED[name].get("exit")) == expected(name)
    assert said([*error, *out], EXPECTED[name].get("exit")) == expected(name)
