# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""A staging host lends its cache to other hosts: what of it they want, and where they find it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..findings import Finding, FindingsError, errors
from ..following import Remote
from ..observation import SCHEMA
from . import needs, restoring

#: Characters of a token that nobody guesses.
SHORTEST = 20


@dataclasses.dataclass(frozen=True)
class Settings:
    """What one host wants of another one's cache. Fields are the task's options of the same names."""

    store: str
    address: str
    state_dir: str
    token: str = dataclasses.field(repr=False)
    models: tuple[needs.Model, ...] = ()
    bind: str | None = None
    port: int = 0
    idle: int = 900
    check_mode: bool = False


def lend(remote: Remote, settings: Settings) -> dict[str, Any]:
    """Look for the models in the cache and lend it.

    :returns: the task's result
    :raises FindingsError: for options that cannot work, and models that the cache does not hold as a whole
    """
    _checked(settings)
    models, found = restoring.stored(remote, settings.store, settings.state_dir, settings.models, True)
    if errors(found):
        raise FindingsError(found)
    for model in models:
        # Paths of the one host mean nothing to the other, but for who reads what went wrong.
        model.update(sources={}, labels={blob: f"{settings.address}:{path}" for blob, path in model["labels"].items()})
    port = None
    if models and not settings.check_mode:
        request = {"store": settings.store, "bind": settings.bind, "port": settings.port, "idle": settings.idle}
        answer = remote("lend", _request(settings.state_dir, request), {"token": settings.token})
        port = answer["port"]
    return {
        "changed": False,
        "lent": {"host": settings.address, "port": port, "models": models},
        "lacking": [finding.message for finding in found],
        "findings": [finding.as_dict() for finding in found],
    }


def end(remote: Remote, state_dir: str, token: str) -> None:
    """End what is lent with this token; nothing happens where nothing is."""
    remote("lend", _request(state_dir, {"end": True}), {"token": token})


def _request(state_dir: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": SCHEMA, "state_dir": state_dir, **more}


def _checked(settings: Settings) -> None:
    found = []
    for name in ("store", "address"):
        if not getattr(settings, name):
            found.append(Finding("spec.shape", "error", "is needed to lend something", name, "Give it."))
    if len(settings.token) < SHORTEST:
        text = f"has fewer than {SHORTEST} characters, and anybody could guess it"
        found.append(Finding("spec.value", "error", text, "token", "Write a longer one, at random."))
    if not 0 <= settings.port <= 65535:
        found.append(Finding("spec.value", "error", f"{settings.port} is no port", "port", "Write 0, or 1 to 65535."))
    if settings.idle < 1:
        found.append(Finding("spec.value", "error", "ends before it begins", "idle", "Write seconds, 1 or more."))
    if found:
        raise FindingsError(found)


def taken(lent: Any) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    """The models of what a task returned as ``lent``, as the host's steps take them, and where they are.

    :raises FindingsError: for anything else
    """
    fine = isinstance(lent, Mapping) and isinstance(lent.get("host"), str) and isinstance(lent.get("models"), list)
    if not fine or not all(isinstance(model, Mapping) and model.get("files") for model in lent["models"]):
        fix = "Give what cortex.vllm.lend returned as `lent`."
        raise FindingsError([Finding("spec.shape", "error", "is not what a host lends", "lent", fix)])
    where = {"host": lent["host"], "port": lent.get("port")}
    return [{**model, "lent": where} for model in lent["models"]], where
