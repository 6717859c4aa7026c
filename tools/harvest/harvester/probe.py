# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the isolated environment, one process a release: imports the tree and prints what it found as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from . import keys, parsers, stubs


def main() -> int:
    """Entry point: ``probe TREE VERSION``; the JSON goes to the file named by ``HARVEST_ANSWER``."""
    tree, version = Path(sys.argv[1]), sys.argv[2]
    numbers = tuple(int(part) for part in version.split(".")[:3])
    # Help texts are kept only with --help in argv, but together with "serve" (0.9.0 and 0.9.1: alone) it hides --model.
    sys.argv = ["vllm"] if (0, 9, 0) <= numbers <= (0, 9, 1) else ["vllm", "--help"]
    for name in [name for name in os.environ if name.startswith(("VLLM_", "CUDA_"))]:
        del os.environ[name]
    os.environ["VLLM_PLUGINS"] = ""
    stubs.empty_package(tree, version)
    stubs.tame_libraries()
    tolerant = stubs.TolerantImport()
    tolerant.install()
    answer: dict[str, Any] = {"platform": stubs.force_cuda()}
    base, serve, notes = parsers.build_parsers(tree)
    answer["flags"] = parsers.describe(base, serve)
    answer["keys"] = keys.describe(serve or base, answer["flags"])
    answer["positionals"] = [a.dest for a in base._actions if not a.option_strings and a.dest != argparse.SUPPRESS]
    from . import facts

    answer.update(facts.collect(tree, numbers, notes))
    answer["stubbed"] = sorted(set(tolerant.stubbed))
    answer["notes"] = notes
    Path(os.environ["HARVEST_ANSWER"]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of half-imported libraries must not hold the process
