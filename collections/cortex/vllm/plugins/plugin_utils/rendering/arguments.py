# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""From a declaration to the command line of the release in its image."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .. import catalog
from ..findings import Finding, Severity, accepted
from ..spec import RESERVED_ARGUMENTS, ServerSpec
from ..spec.values import Problem
from .formatting import compact, words
from .reshaping import Item
from .translation import instead, translate

#: Port inside of the container, where the container has a network of its own.
CONTAINER_PORT = 8000


@dataclass(frozen=True)
class Arguments:
    """A command line after the image's entrypoint.

    :ivar argv: words, each one argument; never with a secret in it
    :ivar findings: what is wrong with ``engine_args``, after the declaration's ``accept``
    :ivar environment: variables that say what the release has no argument for
    :ivar values: what the arguments say, by the release's names
    :ivar origins: how each was declared, by the same names
    """

    argv: list[str]
    findings: list[Finding] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def arguments(
    spec: ServerSpec,
    release: catalog.Release,
    *,
    entrypoint: Sequence[str] | None = None,
    model: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Arguments:
    """Render the command line.

    The order is fixed (model, address, names, then ``engine_args`` by name), so that the same declaration always gives
    the same words.

    :param release: of vLLM in the image
    :param entrypoint: that will get the words; default: the declaration's, else that of the official image
    :param model: what the host says about the model; its commit replaces the declared revision
    :param more: arguments that other fields of the declaration stand for
    """
    program = entrypoint or spec.entrypoint or release.entrypoint
    argv = ["--model", spec.model] if takes_model_as_option(program) else [spec.model]
    if not spec.headless:
        argv += listening(spec)
    argv += ["--served-model-name", *spec.served_model_name]
    if spec.model_kind == "hub":
        revision = (model or {}).get("commit") or spec.revision
        argv += ["--revision", str(revision)] if revision else []
    argv += ["--tokenizer", tokenizer_of(spec, model)] if spec.tokenizer else []
    wanted = {**(more or {}), **spec.engine_args}
    if spec.request_defaults:
        wanted["override_generation_config"] = dict(spec.request_defaults)
    translated = translate(wanted, release)
    line = _Line(spec, release, program)
    for note in translated.notes:
        line.report(note.severity, note.code, note.message, note.fix, note.declared)
    for name in sorted(translated.arguments):
        argv += line.argument(name, translated.arguments[name])
    return Arguments(
        argv=argv,
        findings=accepted(line.findings, spec.accept),
        environment=translated.environment,
        values={name: item.value for name, item in translated.arguments.items()},
        origins={name: item.declared for name, item in translated.arguments.items()},
    )


def tokenizer_of(spec: ServerSpec, model: Mapping[str, Any] | None) -> str:
    """The declared tokenizer; the copy of it that lies beside the weights where there is one (task ``model``)."""
    copy = (model or {}).get("tokenizer_copy") or {}
    if spec.tokenizer and copy.get("path") and copy.get("tokenizer") == spec.tokenizer:
        return str(copy["path"])
    return str(spec.tokenizer)


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

    def argument(self, name: str, item: Item) -> list[str]:
        """The words for one argument of the release; none, and a finding, when it cannot be rendered."""
        release, value, declared = self.release, item.value, item.declared
        flag = release.flag(name)
        if flag is None:  # not possible for what was translated
            return self.report("error", "argument.unknown", "", None, declared)
        if flag.dest in RESERVED_ARGUMENTS:  # by an alias: the names themselves were refused when it was loaded
            fix = f"Write {RESERVED_ARGUMENTS[flag.dest]} instead"
            return self.report("error", "argument.reserved", "has a field of its own", fix, declared)
        if flag.only == "serve" and takes_model_as_option(self.program):
            message = f"only vllm serve of vLLM {release.version} has it"
            fix = "Write entrypoint: [vllm, serve], or delete it"
            return self.report("error", "argument.unknown", message, fix, declared)
        other = self._given.setdefault(flag.name, declared)
        if other != declared:
            message = f"is the same argument as {other} in vLLM {release.version}"
            return self.report("error", "argument.twice", message, "Write one of them", declared)
        if flag.deprecated:
            why = f"deprecated in vLLM {release.version}: {flag.deprecated.strip()}"
            self.report("warning", "argument.deprecated", why, instead(release, flag.dest), declared)
        try:
            return words(flag, value, negative=release.is_negative(name))
        except Problem as problem:
            message = f"{problem.message} (vLLM {release.version}{elsewhere(flag.name, value, release.version)})"
            return self.report("error", problem.code, message, problem.fix, declared)

    def report(self, severity: Severity, code: str, message: str, fix: str | None, declared: str) -> list[str]:
        """Note a finding about a declared argument; the words for it are none."""
        if code == "argument.unknown" and not message:
            message, fix = _unknown(self.release, declared)
        spec = self.spec
        location = ("engine_args", declared)
        if declared == "override_generation_config" and declared not in spec.engine_args:
            location = ("request_defaults",)  # type: ignore[assignment]
        path, origin = spec.where(*location), spec.origin(*location)
        self.findings.append(Finding(code, severity, message, field=path, fix=fix, server=spec.name, origin=origin))
        return []


def elsewhere(name: str, value: Any, version: str) -> str:
    """Which other releases take a value that this one refuses, for a message; empty when none does."""
    return _elsewhere(name, compact(value), version)


@lru_cache(maxsize=1024)
def _elsewhere(name: str, text: str, version: str) -> str:
    value, taken = json.loads(text), []
    for other in catalog.versions():
        release = catalog.release(other)
        flag = release.flags.get(name) if release is not None else None
        try:
            taken += [other] if flag is not None and words(flag, value) is not None else []
        except Problem:
            continue
    if not taken:
        return ""
    key = catalog.version_key(version)
    newer = [other for other in taken if catalog.version_key(other) > key]
    return f"; {newer[0]} takes it" if newer else f"; {taken[-1]} was the last to take it"


def _unknown(release: catalog.Release, name: str) -> tuple[str, str]:
    """Message and fix for a name that the release does not have."""
    known = {flag_name.removeprefix("--").replace("-", "_") for flag_name in release.flags}
    longer = [item.removeprefix("--").replace("-", "_") for item in release.completions(name)]
    near = longer[:1] or difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    fix = f"Write {near[0]}, if that is meant, or delete it" if near else "Delete it, or use a release that has it"
    return f"vLLM {release.version} has no argument --{name.replace('_', '-')}", fix


__all__ = ["CONTAINER_PORT", "Arguments", "arguments", "compact", "inner_address", "listening", "takes_model_as_option"]
