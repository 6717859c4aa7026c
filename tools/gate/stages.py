"""What ./test runs: one entry a stage, with what it needs and when it runs."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import subprocess
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections" / "cortex" / "vllm"
BRAINS = "collections/cortex/vllm/plugins/plugin_utils"
VENV = ".venv/bin/"
#: Folders under tests/ that need a container engine; all others run as part of "pytest".
ENGINE_FOLDERS = ("engine", "standin", "foreign", "fleet", "e2e", "hosts", "faults", "podman")
#: Of these, those that only --all runs: whole hosts, each with an engine of its own, and another engine.
RARE = ("hosts", "podman")
#: Lines of the brains that unit and property tests must reach, in percent.
COVERAGE = 90

FAST, DEFAULT, ALL = 0, 1, 2

#: Folders that have the machine for themselves, and from which selection on. e2e judges by the clock. The servers of
#: fleet wait at gates instead; but --all runs nothing twice, and there a busy machine shall be no reason to fail.
ALONE = {"e2e": DEFAULT, "fleet": ALL}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command of the gate.

    :param command: argument lists run one after the other in the root folder; the first that fails ends the stage
    :param needs: stages that must have passed before
    :param level: the smallest selection that has it: FAST, DEFAULT or ALL
    :param setup: prepares something; counts in the table, not in the final numbers
    :param alone: runs with no other stage beside it
    :param limit: seconds after which it is ended and failed
    :param skip: says why it cannot run here, or None
    """

    name: str
    command: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...] = ("environment",)
    level: int = FAST
    setup: bool = False
    alone: bool = False
    limit: int = 1200
    skip: Callable[[], str | None] = lambda: None
    environment: tuple[tuple[str, str], ...] = ()


def interpreter(minimum: tuple[int, int]) -> str | None:
    """Why there is no Python of at least this version (and at most 3.13) here, or None when there is one."""
    for name in ("python3", "python3.12", "python3.13", "/usr/bin/python3"):
        found = shutil.which(name)
        check = f"import sys; sys.exit(not {minimum} <= sys.version_info[:2] <= (3, 13))"
        if found and subprocess.run([found, "-c", check], capture_output=True, check=False).returncode == 0:
            return None
    return "no Python {}.{} here".format(*minimum)


def no_podman() -> str | None:
    return None if shutil.which("podman") else "no podman here (apt-get install podman catatonit runc)"


def no_newer_core() -> str | None:
    return interpreter((3, 12))


def folders(parent: str, names: tuple[str, ...] | None = None) -> list[str]:
    """Folders below ``parent`` that hold a test file, of the given names or all."""
    found = sorted(path for path in (ROOT / parent).glob("*/") if any(path.rglob("test_*.py")))
    return [str(path.relative_to(ROOT)) for path in found if names is None or path.name in names]


#: What a selection leaves out, as marks of pytest.
LEFT_OUT = {FAST: "not slow and not long", DEFAULT: "not long", ALL: ""}
PLAIN = "not engine and not e2e"


#: Tests with engines and whole servers may be run once more, outside --all: a busy machine is not a defect. The table
#: names each that needed it (see `runner.repeated`); one that is named again and again is a defect.
AGAIN = ("--reruns", "1", "-rfER")


def pytest(*paths: str, level: int, marks: str = "", venv: str = VENV, again: bool = False) -> tuple[str, ...]:
    """Run pytest on the paths; ``marks`` narrows further what the level leaves."""
    chosen = " and ".join(mark for mark in (LEFT_OUT[level], marks) if mark)
    options = (*(("-m", chosen) if chosen else ()), *(AGAIN if again and level < ALL else ()))
    return (f"{venv}python", "-m", "pytest", "-q", "--durations=5", *options, *paths)


def plain_folders() -> list[str]:
    """Everything that pytest runs without an engine, but for the packaging tests."""
    outside = [path for path in folders("tests") if pathlib.Path(path).name not in (*ENGINE_FOLDERS, "packaging")]
    return ["collections/cortex/vllm/tests/unit", *outside]


def newer_folders(level: int) -> list[str]:
    """What is tested once more under the newest ansible-core: all with --all, else the part that Ansible runs."""
    return plain_folders() if level >= ALL else ["collections/cortex/vllm/tests/unit/plugins/action"]


def plain_tests(level: int) -> tuple[tuple[str, ...], ...]:
    """Unit and property tests with coverage, judged on the brains alone: the hands are covered by engine tests too.

    To count what is reached doubles what they cost, so --fast leaves that to ./test.
    """
    command = pytest(*plain_folders(), level=level, marks=PLAIN)
    if level == FAST:
        return (command,)
    return (
        (f"{VENV}python", "-m", "coverage", "erase"),
        (*command, "--cov=collections/cortex/vllm/plugins", "--cov-report="),
        (f"{VENV}python", "-m", "coverage", "report", f"--include={BRAINS}/*", f"--fail-under={COVERAGE}"),
    )


def molecule(core: str, scenario: str) -> tuple[tuple[str, ...], ...]:
    return (("tools/molecule", core, scenario, "test"),)


def stages(level: int) -> list[Stage]:
    """All stages, in the order in which they are started when there is room."""
    found = [
        Stage("environment", (("tools/environment",), ("tools/no-shadow",)), needs=(), setup=True),
        Stage("docker", (("tools/engine", "--gpu-stub"),), needs=("environment",), level=DEFAULT, setup=True),
        Stage("collections", (("tools/collections",),), setup=True),
        Stage(
            "image", (("tools/vllm-image",), ("tools/tiny-model",)), needs=("docker",), level=DEFAULT, setup=True,
            limit=2400,
        ),
        Stage("environment-2.21", (("tools/environment", "2.21"),), level=DEFAULT, setup=True, skip=no_newer_core),
        Stage("ruff", ((f"{VENV}ruff", "check", "."),)),
        Stage("mypy", ((f"{VENV}mypy", BRAINS),)),
        # The longest first: what is short fills the gaps at the end.
        # A file of its own: who runs pytest --cov beside the gate does not disturb it.
        Stage(
            "pytest", plain_tests(level),
            environment=(
                ("COVERAGE_FILE", ".ansible/test-logs/coverage"),
                # The same examples at each run; --all looks for new ones.
                ("HYPOTHESIS_PROFILE", "explore" if level >= ALL else "steady"),
            ),
        ),
        Stage("ansible-lint", ((f"{VENV}ansible-lint", "--offline", "--nocolor"),), needs=("collections",)),
        *([Stage("sanity-quick", (("tools/ansible-test", "2.19", "quick"),))] if level == FAST else []),
        Stage("packaging", (pytest(*folders("tests", ("packaging",)), level=level),), needs=("collections",)),
        Stage("changelog", (("tools/in-collection", "antsibull-changelog", "lint"),)),
        Stage(
            "docs",
            (
                (
                    "tools/in-collection", "antsibull-docs", "lint-collection-docs", "--plugin-docs",
                    "--validate-collection-refs", "self", "--skip-rstcheck", ".",
                ),
            ),
        ),
    ]  # fmt: skip
    if level >= DEFAULT:
        found += [
            Stage("sanity-2.19", (("tools/ansible-test", "2.19", "sanity"),), level=DEFAULT, limit=1800),
            Stage("units-oldest", (("tools/ansible-test", "2.19", "units"),), level=DEFAULT),
            Stage(
                "sanity-2.21", (("tools/ansible-test", "2.21", "sanity"),), needs=("environment-2.21",), level=DEFAULT,
                limit=1800, skip=no_newer_core,
            ),
            Stage(
                "units-2.21", (("tools/ansible-test", "2.21", "units"),),
                needs=("environment-2.21",), level=DEFAULT, skip=no_newer_core,
            ),
            Stage(
                "pytest-2.21", (pytest(*newer_folders(level), level=level, marks=PLAIN, venv=".venv-2.21/bin/"),),
                needs=("environment-2.21",), level=DEFAULT, skip=no_newer_core,
            ),
            # What the released vLLM itself says about arguments, asked in its image.
            Stage(
                "oracle", (pytest(*plain_folders(), level=level, marks="e2e"),), needs=("collections", "image"),
                level=DEFAULT, limit=3600,
            ),
            *engine_stages(level),
            *rare_stages(level),
        ]  # fmt: skip
    return [stage for stage in found if stage.level <= level and all(stage.command)]


def rare_stages(level: int) -> list[Stage]:
    """What only --all runs: every target Python that is here, and the real server under the newest ansible-core."""
    e2e = pytest("tests/e2e", level=DEFAULT, venv=".venv-2.21/bin/")
    return [
        Stage("units-all", (("tools/ansible-test", "2.19", "units-all"),), level=ALL, limit=2400),
        Stage(
            "e2e-2.21", (e2e,), needs=("collections", "image", "environment-2.21"), level=ALL, alone=True, limit=1800,
            skip=no_newer_core,
        ),
    ]  # fmt: skip


def engine_stages(level: int) -> list[Stage]:
    """Everything that needs the container engine."""
    found = []
    for folder in folders("tests", ENGINE_FOLDERS):
        name = pathlib.Path(folder).name
        needs = ("collections", "image") if name == "e2e" else ("collections", "docker")
        command = (("tools/base-image",), pytest(folder, level=level, again=True))
        if name == "hosts":
            command = (("tools/base-image", "host"), *command)
        limit = 1800 if level < ALL else 3600
        smallest = ALL if name in RARE else DEFAULT
        skip = no_podman if name == "podman" else (lambda: None)
        alone = name in ALONE and level >= ALONE[name]
        found.append(Stage(name, command, needs=needs, level=smallest, alone=alone, limit=limit, skip=skip))
    scenarios = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    for scenario in scenarios:
        found.append(
            Stage(f"molecule-{scenario}", molecule("2.19", scenario), needs=("collections", "docker"), level=DEFAULT)
        )
        found.append(
            Stage(
                f"molecule-{scenario}-2.21",
                molecule("2.21", scenario),
                needs=("collections", "docker", "environment-2.21"),
                level=DEFAULT if scenario == "server" else ALL,
                skip=no_newer_core,
            )
        )
    # The same scenario on the older Debian, whose engine and Python are others.
    found.append(
        Stage(
            "molecule-host-debian12", molecule("2.19", "host"), needs=("collections", "docker"), level=ALL,
            environment=(("CORTEX_HOST_IMAGE", "bare-bookworm"),),
        )
    )  # fmt: skip
    # The longest first: it is done beside the others, not after them.
    return sorted(found, key=lambda stage: stage.alone)
