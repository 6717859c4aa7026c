# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate must not pass over a failure, and must wait for what a stage needs."""

from __future__ import annotations

import importlib
import pathlib
import subprocess
import sys
import time
from types import ModuleType

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "gate"))
    module = importlib.import_module("runner")
    monkeypatch.setattr(module, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def stage(runner: ModuleType, name: str, script: str, **options):
    return runner.Stage(name, (("sh", "-c", script),), **{"needs": (), **options})


def outcomes(results) -> dict[str, str]:
    return {result.stage.name: result.outcome for result in results}


def test_a_failure_fails_the_gate(runner: ModuleType) -> None:
    gate = runner.Gate([stage(runner, "good", "true"), stage(runner, "bad", "exit 3")], 2)

    results = gate.run()
    text, well = runner.summary(results, 1.0)

    assert outcomes(results) == {"good": "passed", "bad": "failed"}
    assert not well
    assert text.splitlines()[-1] == "1 passed, 1 failed"


def test_the_first_command_that_fails_ends_a_stage(runner: ModuleType, tmp_path: pathlib.Path) -> None:
    two = runner.Stage("two", (("false",), ("touch", str(tmp_path / "ran"))), needs=())

    assert outcomes(runner.Gate([two], 2).run()) == {"two": "failed"}
    assert not (tmp_path / "ran").exists()


def test_what_a_stage_needs_comes_first_and_must_pass(runner: ModuleType, tmp_path: pathlib.Path) -> None:
    made = tmp_path / "made"
    stages = [
        stage(runner, "late", f"test -e {made}", needs=("setup",)),
        stage(runner, "never", "true", needs=("broken",)),
        stage(runner, "setup", f"sleep 0.3; touch {made}"),
        stage(runner, "broken", "false"),
    ]

    results = runner.Gate(stages, 2).run()

    assert outcomes(results) == {"setup": "passed", "broken": "failed", "late": "passed", "never": "not run"}
    assert not runner.summary(results, 1.0)[1]


def test_a_skipped_stage_is_said_and_is_no_failure(runner: ModuleType) -> None:
    results = runner.Gate([stage(runner, "rare", "false", skip=lambda: "no such Python here")], 2).run()
    text, well = runner.summary(results, 1.0)

    assert well
    assert "no such Python here" in text
    assert text.splitlines()[-1] == "0 passed, 0 failed"


def test_a_stage_that_hangs_is_ended_with_its_children(runner: ModuleType, tmp_path: pathlib.Path) -> None:
    alive = tmp_path / "alive"
    script = f"(while :; do touch {alive}; sleep 0.1; done) & wait"

    results = runner.Gate([stage(runner, "stuck", script, limit=1)], 2).run()

    assert outcomes(results) == {"stuck": "failed"}
    alive.unlink()
    time.sleep(0.4)
    assert not alive.exists()


def test_a_stage_that_measures_is_alone(runner: ModuleType, tmp_path: pathlib.Path) -> None:
    busy = tmp_path / "busy"
    script = f"touch {busy}; sleep 0.5; rm {busy}"
    stages = [stage(runner, "one", script), stage(runner, "measured", f"test ! -e {busy}", alone=True)]

    assert outcomes(runner.Gate(stages, 4).run()) == {"one": "passed", "measured": "passed"}


@pytest.mark.parametrize(
    ("log", "outcome", "expected"),
    [
        ("80 passed, 1 skipped in 2.32s", "passed", (80, 0)),
        ("1 failed, 79 passed, 2 errors in 61.02s (0:01:01)", "failed", (79, 3)),
        ("=== 3 passed in 0.1s ===", "passed", (3, 0)),
        ("nothing of pytest", "passed", (1, 0)),
        ("80 passed in 2.32s\nCoverage failure", "failed", (80, 1)),
    ],
)
def test_tests_are_counted(runner: ModuleType, log: str, outcome: str, expected: tuple[int, int]) -> None:
    result = runner.Result(stage(runner, "some", "true"), outcome)
    runner.LOGS.mkdir()
    result.log.write_text(log + "\n", encoding="utf-8")

    assert runner.counts(result) == expected


def test_a_test_that_was_run_twice_is_named(runner: ModuleType, tmp_path: pathlib.Path) -> None:
    suite = tmp_path / "test_suite.py"
    suite.write_text(
        "import pathlib\nmark = pathlib.Path(__file__).with_name('mark')\n"
        "def test_unsteady():\n    there = mark.exists()\n    mark.touch()\n    assert there\n"
        "def test_steady(): pass\n"
    )
    stages = importlib.import_module("stages")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *stages.AGAIN, str(suite))

    results = runner.Gate([runner.Stage("unsteady", (command,), needs=())], 2).run()
    text, well = runner.summary(results, 1.0)

    assert well and runner.counts(results[0]) == (2, 0)
    assert "run twice: test_unsteady\n" in text


def test_nothing_is_run_twice_in_all(runner: ModuleType) -> None:
    stages = importlib.import_module("stages")

    for level, expected in ((stages.DEFAULT, True), (stages.ALL, False)):
        command = stages.pytest("tests/engine", level=level, again=True)
        assert ("--reruns" in command) is expected
    assert not any("--reruns" in part for stage in stages.stages(stages.ALL) for part in stage.command)


def test_fast_runs_the_same_plain_tests_and_leaves_coverage_to_the_whole(runner: ModuleType) -> None:
    stages = importlib.import_module("stages")

    (fast,) = stages.plain_tests(stages.FAST)
    _erase, whole, _report = stages.plain_tests(stages.DEFAULT)
    assert not any("--cov" in part for part in fast) and any("--cov" in part for part in whole)
    assert set(stages.plain_folders()) <= set(fast) and set(stages.plain_folders()) <= set(whole)


def test_who_has_the_machine_alone(runner: ModuleType) -> None:
    stages = importlib.import_module("stages")

    for level, expected in ((stages.DEFAULT, {"e2e"}), (stages.ALL, {"e2e", "e2e-2.21", "fleet"})):
        assert {one.name for one in stages.stages(level) if one.alone} == expected


@pytest.mark.parametrize("selection", [["--fast"], [], ["--all"]])
def test_every_stage_has_what_it_needs(selection: list[str]) -> None:
    """No stage is lost because a selection lacks what it needs."""
    code = (
        "import sys; sys.path.insert(0, 'tools/gate'); import stages\n"
        "level = {'--fast': 0, '': 1, '--all': 2}[sys.argv[1]]\n"
        "found = stages.stages(level); names = [stage.name for stage in found]\n"
        "assert len(set(names)) == len(names)\n"
        "assert all(need in names for stage in found for need in stage.needs)\n"
        "print(*names)"
    )
    arguments = selection or [""]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert {"ruff", "mypy", "pytest", "ansible-lint"} <= set(names)
    assert ("e2e" in names) == (selection != ["--fast"])
    assert ("hosts" in names) == (selection == ["--all"])
