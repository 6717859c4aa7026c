"""Runs stages side by side, keeps their output, says what goes on, and sums up."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from stages import ROOT, Stage

LOGS = ROOT / ".ansible" / "test-logs"
#: The last line of pytest: "80 passed, 1 skipped in 2.32s".
SUMMARY = r"^(?:=+ )?(\d+ (?:passed|failed|error|skipped|deselected).*? in [\d.]+s.*)$"
COLOURS = {"passed": "32", "failed": "31", "skipped": "33", "not run": "31"}


@dataclasses.dataclass
class Result:
    """How a stage ended: ``passed``, ``failed``, ``skipped`` or ``not run`` (what it needs failed)."""

    stage: Stage
    outcome: str
    seconds: float = 0.0
    detail: str = ""

    @property
    def log(self) -> pathlib.Path:
        return LOGS / f"{self.stage.name}.log"


class Running:
    """A stage whose commands run one after the other, in a process group of their own."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.begin = time.monotonic()
        self.todo = list(stage.command)
        self.log = (LOGS / f"{stage.name}.log").open("w", encoding="utf-8", errors="replace")
        self.process: subprocess.Popen[bytes] | None = None
        self._next()

    def _next(self) -> None:
        command = self.todo.pop(0)
        print("$", " ".join(command), file=self.log, flush=True)
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **dict(self.stage.environment)},
        )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin

    def poll(self) -> Result | None:
        """The result once all commands are done or one has failed; else None."""
        assert self.process is not None
        code = self.process.poll()
        if code is None:
            if self.seconds < self.stage.limit:
                return None
            self.end()
            return self._result("failed", f"not over after {self.stage.limit} s")
        if code == 0 and self.todo:
            self._next()
            return None
        return self._result("passed" if code == 0 else "failed", "" if code == 0 else f"exit status {code}")

    def end(self) -> None:
        """End the whole process group: politely, then not."""
        assert self.process is not None
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(10)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def _result(self, outcome: str, detail: str) -> Result:
        self.log.close()
        return Result(self.stage, outcome, self.seconds, detail)


def counts(result: Result) -> tuple[int, int]:
    """Tests passed and failed in a stage: what pytest says there, else the stage itself counts as one."""
    if result.outcome == "skipped" or (result.stage.setup and result.outcome == "passed"):
        return 0, 0
    passed = failed = 0
    if result.outcome != "not run":
        text = result.log.read_text(encoding="utf-8", errors="replace")
        for line in re.findall(SUMMARY, text, re.MULTILINE):
            passed += sum(int(number) for number in re.findall(r"(\d+) (?:passed|xpassed)", line))
            failed += sum(int(number) for number in re.findall(r"(\d+) (?:failed|error)", line))
    if result.outcome == "passed":
        return max(passed, 1), failed
    return passed, max(failed, 1)


def repeated(result: Result) -> list[str]:
    """Names of the tests that failed once and were run again, by what pytest-rerunfailures lists."""
    if not result.log.exists():
        return []
    text = result.log.read_text(encoding="utf-8", errors="replace")
    return sorted(set(re.findall(r"^RERUN \S+?::(.+)$", text, re.MULTILINE)))


def colour(outcome: str, text: str) -> str:
    return f"\x1b[{COLOURS[outcome]}m{text}\x1b[0m" if sys.stdout.isatty() else text


def tail(path: pathlib.Path, lines: int = 60) -> str:
    """The end of a log; for pytest the summary is there, for ansible-test the findings."""
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    text = [line for line in text if not re.search(r"Looking in (indexes|links)|is ignored: it is neither", line)]
    return "\n".join(f"    | {line}" for line in text[-lines:])


class Gate:
    """Runs the given stages, at most ``slots`` beside each other."""

    def __init__(self, stages: list[Stage], slots: int) -> None:
        self.waiting = list(stages)
        self.names = {stage.name for stage in stages}
        self.slots = slots
        self.running: list[Running] = []
        self.results: dict[str, Result] = {}
        self.begin = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.begin:5.0f} s] {text}", flush=True)

    def run(self) -> list[Result]:
        LOGS.mkdir(parents=True, exist_ok=True)
        spoken = time.monotonic()
        try:
            while self.waiting or self.running:
                self._start()
                time.sleep(0.2)
                for running in list(self.running):
                    result = running.poll()
                    if result is not None:
                        self.running.remove(running)
                        self._done(result)
                        spoken = time.monotonic()
                if self.running and time.monotonic() - spoken > 30:
                    spoken = time.monotonic()
                    self.say("running: " + ", ".join(f"{one.stage.name} ({one.seconds:.0f} s)" for one in self.running))
        finally:
            for running in self.running:
                running.end()
        return list(self.results.values())

    def _start(self) -> None:
        for stage in list(self.waiting):
            lost = [name for name in stage.needs if name in self.results and self.results[name].outcome != "passed"]
            reason = stage.skip()
            if reason or lost:
                self.waiting.remove(stage)
                outcome = "skipped" if reason else "not run"
                self._done(Result(stage, outcome, 0.0, reason or f"{lost[0]} {self.results[lost[0]].outcome}"))
                continue
            if len(self.running) >= self.slots or any(one.stage.alone for one in self.running):
                return
            open_needs = [name for name in stage.needs if name in self.names and name not in self.results]
            if open_needs or (stage.alone and self.running):
                continue
            self.waiting.remove(stage)
            self.running.append(Running(stage))

    def _done(self, result: Result) -> None:
        self.results[result.stage.name] = result
        detail = f"  ({result.detail})" if result.detail else ""
        self.say(f"{colour(result.outcome, f'{result.outcome:8}')} {result.stage.name}  {result.seconds:.1f} s{detail}")
        if result.outcome == "failed":
            print(tail(result.log), flush=True)


def summary(results: list[Result], seconds: float) -> tuple[str, bool]:
    """The table and the final line, and whether all is well."""
    lines = ["", f"{'stage':24} {'outcome':8} {'seconds':>8} {'passed':>7} {'failed':>7}"]
    passed = failed = 0
    for result in results:
        good, bad = counts(result)
        passed, failed = passed + good, failed + bad
        outcome = colour(result.outcome, f"{result.outcome:8}")
        numbers = f"{result.seconds:8.1f} {good or '':>7} {bad or '':>7}"
        again = repeated(result) if result.outcome in ("passed", "failed") else []
        notes = (result.detail, f"run twice: {', '.join(again)}" if again else "")
        detail = "; ".join(note for note in notes if note)
        lines.append(f"{result.stage.name:24} {outcome} {numbers}  {detail}".rstrip())
    lines += ["", f"{seconds / 60:.1f} minutes; the output of each stage is in {LOGS.relative_to(ROOT)}/"]
    lines.append(f"{passed} passed, {failed} failed")
    return "\n".join(lines), failed == 0 and all(result.outcome in ("passed", "skipped") for result in results)
