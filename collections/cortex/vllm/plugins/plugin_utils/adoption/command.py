# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Which program a container runs, and which arguments of vLLM's it was given, whatever wraps them."""

from __future__ import annotations

import dataclasses
import posixpath
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog import Release, parsing
from ..findings import Finding

#: Words of a shell that make a text more than one command.
_SHELL = {"&&", "||", ";", "|", "&", ">", ">>", "<"}
_SHELLS = {"sh", "bash", "dash", "ash"}


@dataclasses.dataclass(frozen=True)
class Command:
    """A container's command.

    :ivar program: the words before vLLM's arguments
    :ivar argv: vLLM's arguments
    :ivar serve: whether ``vllm serve`` reads them, not the older API server's module
    :ivar shell: they stand in a text that a shell reads
    """

    program: tuple[str, ...]
    argv: tuple[str, ...]
    serve: bool
    shell: bool = False


def read(entrypoint: Sequence[str], cmd: Sequence[str]) -> Command | None:
    """Find vLLM's server in what a container runs; None when it is not there, or only a shell could tell."""
    words = [*entrypoint, *cmd]
    shell = False
    if words and posixpath.basename(words[0]) in _SHELLS:
        text = next((words[i + 1] for i, word in enumerate(words[:-1]) if word.startswith("-") and "c" in word), None)
        if text is not None:
            try:
                words = _one_command(shlex.split(text))
            except ValueError:
                return None
            shell = True
    for index, word in enumerate(words):
        if "vllm.entrypoints" in word and word.endswith("api_server"):
            return Command(tuple(words[: index + 1]), tuple(words[index + 1 :]), False, shell)
        if word == "serve" and index and "vllm" in posixpath.basename(words[index - 1]):
            return Command(tuple(words[: index + 1]), tuple(words[index + 1 :]), True, shell)
    return None


def _one_command(words: list[str]) -> list[str]:
    """The part of a shell's text that starts vLLM, without ``exec``; everything around it is lost, and told so."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in _SHELL:
            parts.append([])
        elif word.endswith(";"):
            parts[-1].append(word[:-1])
            parts.append([])
        else:
            parts[-1].append(word)
    chosen = next((part for part in parts if any("vllm" in word for word in part)), parts[0])
    return chosen[1:] if chosen[:1] == ["exec"] else chosen


def arguments(command: Command, release: Release, field: str) -> tuple[dict[str, Any], list[Finding]]:
    """vLLM's arguments by the names of a declaration, as the release reads them.

    :param field: path of the declaration, for the findings
    :returns: the arguments, and why they could not be read (an error)
    """
    parsed = parsing.parse(release, list(command.argv), serve=command.serve)
    if parsed.error is not None:
        text = f"the command line is none that vLLM {release.version} reads: {parsed.error}"
        fix = "Write its arguments into engine_args by hand, or say in vllm_version which release the image has."
        return {}, [Finding("adopt.arguments", "error", text, field=f"{field}.engine_args", fix=fix)]
    names = {flag.dest: flag.name for flag in release.flags.values()}
    found: dict[str, Any] = {}
    for dest, value in parsed.values.items():
        name = names.get(dest, dest).removeprefix("--").replace("-", "_")
        flag = release.flags.get(names.get(dest, ""))
        # A switch that turns something off is declared by its own name.
        found[name] = True if flag is not None and flag.kind == "store_false" else value
    return found, []


def shell_finding(field: str, mapping: Mapping[str, Any]) -> Finding:
    """What a shell did around vLLM is not part of a declaration."""
    return Finding(
        "adopt.shell",
        "warning",
        "a shell starts it; what the shell does beside that, variables that it fills in too, is not declared",
        field=f"{field}.engine_args",
        fix="Compare the declaration with: " + " ".join(map(str, mapping.get("Cmd") or [])),
    )
