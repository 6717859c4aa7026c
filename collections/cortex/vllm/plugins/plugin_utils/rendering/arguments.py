# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""From a declaration to the command line of the release in its image."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import catalog
from ..findings import Finding, Severity, accepted
from ..spec import RESERVED_ARGUMENTS, ServerSpec
from ..spec.values import Problem
from .formatting import compact, words
from .translation import removed, translated

#: Port inside of the container, where the container has a network of its own.
CONTAINER_PORT = 8000


@dataclass(frozen=True)
class Arguments:
    """A command line after the image's entrypoint.

    :ivar argv: words, each one argument; never with a secret in it
    :ivar findings: what is wrong with ``engine_args``, after the declaration's ``accept``
    """

    argv: list[str]
    findings: list[Finding] = field(default_factory=list)


def arguments(
    spec: ServerSpec,
    release: catalog.Release,
    *,
    entrypoint: Sequence[str] | None = None,
    model: Mapping[str, Any] | None = None,
) -> Arguments:
    """Render the command line.

    The order is fixed (model, address, names, then ``engine_args`` by name), so that the same declaration always gives
    the same words.

    :param release: of vLLM in the image
    :param entrypoint: that will get the words; default: the declaration's, else that of the official image
    :param model: what the host says about the model; its commit replaces the declared revision
    """
    program = entrypoint or spec.entrypoint or release.entrypoint
    argv = ["--model", spec.model] if takes_model_as_option(program) else [spec.model]
    if not spec.headless:
        argv += listening(spec)
    argv += ["--served-model-name", *spec.served_model_name]
    if spec.model_kind == "hub":
        revision = (model or {}).get("commit") or spec.revision
        argv += ["--revision", str(revision)] if revision else []
    argv += ["--tokenizer", spec.tokenizer] if spec.tokenizer else []
    wanted: dict[str, tuple[tuple[str, ...], Any]] = {
        name: (("engine_args", name), value) for name, value in spec.engine_args.items()
    }
    if spec.request_defaults:
        wanted["override_generation_config"] = (("request_defaults",), dict(spec.request_defaults))
    line = _Line(spec, release, program)
    for name in sorted(wanted):
        location, value = wanted[name]
        argv += line.argument(name, value, location)
    return Arguments(argv=argv, findings=accepted(line.findings, spec.accept))


def listening(spec: ServerSpec) -> list[str]:
    """Where the server listens: everywhere inside of its own network, only at ``bind`` on the host's."""
    address, port = inner_address(spec)
    return ["--host", address, "--port", str(port)]


def inner_address(spec: ServerSpec) -> tuple[str, int]:
    """Address and port that the process itself listens on."""
    return (spec.bind, spec.server_port) if spec.network == "host" else ("0.0.0.0", CONTAINER_PORT)


def takes_model_as_option(entrypoint: Sequence[str]) -> bool:
    """Whether an entrypoint is the API server's module, which **ignores** a positional model and serves its default.

    ``vllm serve`` refuses ``--model`` up to 0.11.0, so neither spelling fits both.
    """
    return any("api_server" in word for word in entrypoint)


class _Line:
    """A command line under way: the arguments so far, and what was found."""

    def __init__(self, spec: ServerSpec, release: catalog.Release, program: Sequence[str]) -> None:
        self.spec = spec
        self.release = release
        self.program = program
        self.findings: list[Finding] = []
        self._given: dict[str, str] = {}

    def argument(self, name: str, value: Any, location: tuple[str, ...]) -> list[str]:
        """The words for one argument; none, and a finding, when it cannot be rendered."""
        release, declared = self.release, name
        flag = release.flag(name)
        if flag is None:
            moved = translated(release, name, value)
            if moved is not None:
                name, value, flag = moved.name, moved.value, release.flag(moved.name)
                self._report("info", "argument.translated", moved.message, None, location)
        if flag is None:
            gone = removed(release, name)
            code = "argument.removed" if gone is not None else "argument.unknown"
            return self._report("error", code, *(gone or _unknown(release, name)), location)
        if flag.dest in RESERVED_ARGUMENTS:  # by an alias: the names themselves were refused when it was loaded
            fix = f"Write {RESERVED_ARGUMENTS[flag.dest]} instead"
            return self._report("error", "argument.reserved", "has a field of its own", fix, location)
        if flag.only == "serve" and takes_model_as_option(self.program):
            message = f"only vllm serve of vLLM {release.version} has it"
            return self._report("error", "argument.unknown", message, "Delete it", location)
        other = self._given.setdefault(flag.name, declared)
        if other != declared:
            message = f"is the same argument as {other} in vLLM {release.version}"
            return self._report("error", "argument.twice", message, "Write one of them", location)
        if flag.deprecated:
            why = f"deprecated in vLLM {release.version}: {flag.deprecated.strip()}"
            self._report("warning", "argument.deprecated", why, None, location)
        try:
            return words(flag, value, negative=release.is_negative(name))
        except Problem as problem:
            message = f"{problem.message} (vLLM {release.version})"
            return self._report("error", problem.code, message, problem.fix, location)

    def _report(
        self, severity: Severity, code: str, message: str, fix: str | None, location: tuple[str, ...]
    ) -> list[str]:
        spec = self.spec
        path, origin = spec.where(*location), spec.origin(*location)
        self.findings.append(Finding(code, severity, message, field=path, fix=fix, server=spec.name, origin=origin))
        return []


def _unknown(release: catalog.Release, name: str) -> tuple[str, str]:
    """Message and fix for a name that the release does not have."""
    known = {flag_name.removeprefix("--").replace("-", "_") for flag_name in release.flags}
    longer = [item.removeprefix("--").replace("-", "_") for item in release.completions(name)]
    near = longer[:1] or difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    fix = f"Write {near[0]}, if that is meant, or delete it" if near else "Delete it, or use a release that has it"
    return f"vLLM {release.version} has no argument --{name.replace('_', '-')}", fix


__all__ = ["CONTAINER_PORT", "Arguments", "arguments", "compact", "inner_address", "listening", "takes_model_as_option"]
