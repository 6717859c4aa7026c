# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""A rendered command line as a file: JSON, an environment file, or a script. None of them holds a secret."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from .findings import Finding, FindingsError

#: The image of a release, for whoever gives a version and no image.
OFFICIAL = "vllm/vllm-openai:v{version}"


def as_json(rendered: Mapping[str, Any]) -> str:
    """Everything that was rendered, keys sorted, so that the same declaration is the same file."""
    keys = ("argv", "entrypoint", "environment", "secret_names", "vllm_version")
    return json.dumps({key: rendered[key] for key in keys}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def as_env(rendered: Mapping[str, Any]) -> str:
    """``NAME=value`` lines, as ``docker run --env-file`` and systemd's ``EnvironmentFile`` read them.

    :raises FindingsError: a value has a line break, which neither of them can read
    """
    broken = sorted(name for name, value in rendered["environment"].items() if "\n" in value or "\r" in value)
    if broken:
        raise FindingsError(
            [
                Finding(
                    "environment.line-break",
                    "error",
                    "has a line break, which an environment file cannot hold",
                    field=f"env.{name}",
                    fix="Write it on one line, or take `format: script`.",
                )
                for name in broken
            ]
        )
    return "".join(f"{name}={value}\n" for name, value in sorted(rendered["environment"].items()))


def as_script(rendered: Mapping[str, Any]) -> str:
    """A shell script that becomes the server. Secrets are expected in its environment."""
    lines = ["#!/bin/sh", f"# vLLM {rendered['vllm_version']}", "set -eu"]
    for name in rendered["secret_names"]:
        lines.append(f': "${{{name}:?is a secret: export it before this script runs}}"')
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(rendered["environment"].items())]
    lines.append(f"exec {shlex.join([*rendered['entrypoint'], *rendered['argv']])}")
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {"json": as_json, "env": as_env, "script": as_script}
