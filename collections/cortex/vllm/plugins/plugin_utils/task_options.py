# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Options that tasks have in common, as the doc fragments document them, and what can be said of options alone."""

from __future__ import annotations

import difflib
import typing as t
from collections.abc import Iterable, Mapping

from .findings import Finding, FindingsError
from .spec.parts import holds_secret, looks_secret
from .transport import downloading

#: The options of doc fragment ``_engine``: how the target reaches its engine.
CONNECTION: dict[str, dict[str, t.Any]] = {
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
    "tls": {"type": "bool", "default": False},
    "tls_ca": {"type": "path"},
    "tls_cert": {"type": "path"},
    "tls_key": {"type": "path"},
    "tls_verify": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 60.0},
}

#: The option of doc fragment ``_state_dir``: where the collection keeps what it keeps on the target.
STATE_DIR: dict[str, dict[str, t.Any]] = {"state_dir": {"type": "path", "default": "/var/lib/cortex-vllm"}}

#: The options that every converging action has beside its declarations, doc fragment ``_converging``.
CONVERGING: dict[str, dict[str, t.Any]] = {
    **STATE_DIR,
    "update": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "follow": {"type": "list", "elements": "dict"},
    "registries": {"type": "dict", "default": {}},
}

#: The options of every task that asks the Hub, doc fragment ``_hub``.
HUB: dict[str, dict[str, t.Any]] = {
    "python": {"type": "path"},
    "endpoint": {"type": "str"},
    "token": {"type": "str"},
    "proxy": {"type": "str"},
    "ca_bundle": {"type": "path"},
    "workers": {"type": "int", "default": 8},
}

#: The options of a task that can write what it found out, doc fragment ``_file``; see ``BrainsAction.write``.
FILE: dict[str, dict[str, t.Any]] = {
    "dest": {"type": "path"},
    "mode": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}


def hub_settings(options: Mapping[str, t.Any], everything: bool = False) -> downloading.Settings:
    """How a host reaches the Hub, from the options of ``HUB``."""
    return downloading.Settings(
        python=str(options["python"] or "/usr/bin/python3"),
        endpoint=options["endpoint"],
        token=options["token"],
        proxy=options["proxy"],
        ca=options["ca_bundle"],
        everything=everything,
        workers=options["workers"],
    )


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse options that the action does not have, with the nearest that it has.

    :raises FindingsError: one finding for each
    """
    names = sorted(known)
    found = []
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            fix = f"Write `{near[0]}`." if near else f"Known options: {', '.join(names)}."
            found.append(Finding("option.unknown", "error", "this task has no such option", field=str(name), fix=fix))
    if found:
        raise FindingsError(found)


def senseless(options: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str]]:
    """Options of the right type that cannot work: name, and what is wrong with the value and what to write."""
    state_dir = options.get("state_dir")
    if state_dir is not None and not str(state_dir).startswith("/"):
        yield "state_dir", f"{state_dir!r} is not an absolute path. Write the path from /."
    for name in ("timeout", "token_timeout", "request_timeout"):
        seconds = options.get(name)
        if seconds is not None and seconds <= 0:
            yield name, f"is {seconds:g}, and nothing can be done in no time. Write seconds, more than 0."
    if (options.get("wait_timeout") or 0) < 0:
        yield "wait_timeout", f"is {options['wait_timeout']:g}. Write seconds, or 0 for one look."
    engine = options.get("docker_host")
    if engine is not None and "://" not in engine:
        fix = f"unix://{engine}" if engine.startswith("/") else "unix:///var/run/docker.sock, or tcp://host:port"
        yield "docker_host", f"{engine!r} does not say how the engine is reached. Write {fix}."
    for index, entry in enumerate(options.get("follow") or ()):
        if not entry.get("server") or not entry.get("job"):
            yield "follow", f"entry {index} is not what a task returns as `pending`. Write `pending` of its result."


def plain_secrets(value: t.Any, inside: bool = False) -> list[str]:
    """The literal secrets in task arguments: values below ``secrets`` and of names like ``api_key``, and what is one by
    its form; short ones hide nothing."""
    if isinstance(value, Mapping):
        return [
            secret
            for key, item in value.items()
            for secret in plain_secrets(
                item,
                inside or looks_secret(str(key)) or str(key) in {"secrets", "api_key", "registries", "token", "proxy"},
            )
        ]
    if isinstance(value, list | tuple):
        return [secret for item in value for secret in plain_secrets(item, inside)]
    hidden = inside or (isinstance(value, str) and holds_secret(value))
    return [str(value)] if hidden and value is not None and len(str(value)) > 3 else []
