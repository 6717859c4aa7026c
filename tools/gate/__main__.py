"""./test: sets up what is missing and runs the gate."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from runner import Gate, summary
from stages import ALL, DEFAULT, FAST, ROOT, Stage, stages

EPILOG = """Without a stage all of the selection are run; a stage's name may be cut (./test molecule). What is
expensive (environments, images, vendored collections) is kept between runs and made again when its inputs change.
The last line says how many tests passed and failed; the exit status is 0 only when none failed."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./test", description=__doc__, epilog=EPILOG)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--fast", action="store_true", help="only what needs no container engine: under 3 minutes")
    which.add_argument("--all", action="store_true", help="adds what is long or rare")
    parser.add_argument("--list", action="store_true", help="show the stages and what they run")
    jobs = max(2, min(4, (os.cpu_count() or 2) // 2))
    parser.add_argument("--jobs", type=int, default=jobs, help="stages side by side (%(default)s)")
    parser.add_argument("stage", nargs="*", help="run only these stages, and what they need")
    return parser.parse_args()


def choose(found: list[Stage], wanted: list[str]) -> list[Stage]:
    """The named stages with everything that they need. Exits with a message for an unknown name."""
    if not wanted:
        return found
    by_name = {stage.name: stage for stage in found}
    chosen: set[str] = set()
    for name in wanted:
        match = [name] if name in by_name else [one for one in by_name if one.startswith(name)]
        if not match:
            sys.exit(f"./test: no stage {name!r} here. There are: {', '.join(by_name)}")
        chosen.update(match)
    todo = list(chosen)
    while todo:
        for name in by_name[todo.pop()].needs:
            if name in by_name and name not in chosen:
                chosen.add(name)
                todo.append(name)
    return [stage for stage in found if stage.name in chosen]


def main() -> int:
    options = arguments()
    level = FAST if options.fast else ALL if options.all else DEFAULT
    # A stage that is named is found whatever selection it belongs to.
    found = choose(stages(level), options.stage)
    if options.list:
        for stage in found:
            print(f"{stage.name:24} {' && '.join(' '.join(command) for command in stage.command)}")
        return 0
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    try:
        results = Gate(found, options.jobs).run()
    except KeyboardInterrupt:
        print("\n./test: interrupted", file=sys.stderr)
        return 130
    text, well = summary(results, time.monotonic() - begin)
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
