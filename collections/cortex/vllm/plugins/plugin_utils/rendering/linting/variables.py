# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Environment variables: who reads them, what replaced them, which contradict each other, which cannot be parsed.

What ``vllm/envs.py`` of each release registers is the catalogue's to say; the rest are rows of ``variables.json``, each
with its source.
"""

from __future__ import annotations

import difflib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from ... import catalog, nccl
from ...spec.parts import looks_secret
from ..tables import has
from .engine import USE_V1, environment
from .subject import Findings, Subject


@lru_cache(maxsize=1)
def _rows() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name("variables.json").read_text(encoding="utf-8"))
    return found


def check(subject: Subject) -> Findings:
    """One pass over the declared variables, then what they do to each other."""
    for name, value in sorted(subject.spec.env.items()):
        yield from _unread(subject, name)
        yield from _value(subject, name, value)
    for name in sorted(subject.spec.secrets.env):
        yield from _registered(subject, name, ("secrets", "env", name), shown=False)
    yield from _conflicts(subject)


def _unread(subject: Subject, name: str) -> Findings:
    row = _rows()["unread"].get(name)
    if row is not None and _within(subject, row) and (not row.get("gpu") or subject.spec.wants_gpus):
        yield subject.finding(
            "environment.unread", row.get("severity", "error"), row["says"], row["fix"], "env", name, shown=_shown(name)
        )
        return
    row = _rows()["deprecated"].get(name)
    if row is not None and _within(subject, row):
        yield subject.finding("environment.deprecated", "warning", row["says"], row["fix"], "env", name)
        return
    if name.startswith(nccl.OWNED) and not nccl.known(name):
        near = nccl.near(name)
        fix = f"Write {near}, if that is meant" if near else "Delete it, unless a plugin of the image reads it"
        text = "neither NCCL nor torch nor gloo reads it"
        yield subject.finding("environment.unknown", "warning", text, fix, "env", name, shown=_shown(name))
        return
    yield from _registered(subject, name, ("env", name), shown=_shown(name))


def _within(subject: Subject, row: dict[str, Any]) -> bool:
    """Whether a row is about this release."""
    young = "from" in row and subject.older(row["from"])
    return not young and not ("until" in row and not subject.older(row["until"]))


def _registered(subject: Subject, name: str, place: tuple[Any, ...], *, shown: bool) -> Findings:
    """``VLLM_…`` against what the release registers."""
    if not name.startswith("VLLM_") or name in subject.release.environment:
        return
    image = has(subject.release.version)
    life = catalog.variable_lifetime(name)
    fix = _rows()["replaced"].get(name) or "Delete it"
    if life is not None and life.gone and not subject.older(life.gone):
        text = f"removed in vLLM {life.removed} {image}: nothing reads it"
        yield subject.finding("environment.removed", "error", text, fix, *place, shown=shown)
    elif life is not None:
        text = f"appeared in vLLM {life.appeared} {image}: nothing reads it"
        yield subject.finding(
            "environment.newer", "warning", text, "Delete it, or use a newer image", *place, shown=shown
        )
    elif not any(name.startswith(prefix) for prefix in _rows()["elsewhere"]):
        near = difflib.get_close_matches(name, subject.release.environment, n=1, cutoff=0.85)
        text = f"no release of vLLM reads it {image}"
        fix = f"Write {near[0]}, if that is meant" if near else "Delete it, unless a plugin of the image reads it"
        yield subject.finding("environment.unknown", "warning", text, fix, *place, shown=shown)


def _value(subject: Subject, name: str, value: str) -> Findings:
    """Values that vLLM fails on, or takes for something else."""
    known = subject.release.environment.get(name)
    limits = _rows()["ranges"].get(name)
    problem: tuple[str, str] | None = None
    kind = (known.type or "") if known is not None else ""
    if known is not None and known.choices and value not in known.choices and value.lower() not in known.choices:
        problem = ("is not one of its values", f"Write one of {', '.join(known.choices)}")
    elif kind.startswith(("int", "float")) and _number(value) is None:
        problem = ("is not a number", "Write a number")
    elif kind == "bool" and value.lower() not in ("0", "1", "true", "false"):
        problem = ("is a switch", 'Write "1" or "0"')
    elif limits is not None:
        number = _number(value)
        if number is None and "min" in limits:
            problem = ("is not a number", "Write a number")
        elif number is not None and not limits.get("min", number) <= number <= limits.get("max", number):
            problem = (f"is outside of {limits.get('min', '…')} … {limits.get('max', '…')}", limits["fix"])
        elif "words" in limits and value.upper() not in limits["words"]:
            problem = ("is not one of its values", f"Write one of {', '.join(limits['words'])}")
    if problem is not None:
        yield subject.finding("environment.value", "error", *problem, "env", name, shown=_shown(name))


def _conflicts(subject: Subject) -> Findings:
    env = subject.spec.env
    for row in _rows()["conflicts"]:
        first, second = row["names"]
        if first in env and second in env:
            yield subject.finding("environment.conflict", "warning", row["says"], row["fix"], "env", second)
    for name, said in environment(subject.spec, subject.release).items():
        if name in env and env[name] != said:
            text = f"says otherwise than {'engine' if name == USE_V1 else 'another field'}, and wins"
            yield subject.finding("environment.conflict", "error", text, "Delete it", "env", name)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if subject.spec.offline and env.get(name, "1").lower() in ("0", "false", "no", "off"):
            text, fix = "undoes offline: true", "Delete it, or write offline: false"
            yield subject.finding("environment.conflict", "error", text, fix, "env", name)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        if name in env and subject.spec.hub_cache:
            text = "leads away from the hub cache that is mounted"
            yield subject.finding("environment.conflict", "error", text, "Delete it, or write hub_cache", "env", name)
    if env.get("NCCL_P2P_DISABLE", "0") not in ("", "0") and _sums_by_itself(subject):
        # vllm/distributed/device_communicators/custom_all_reduce.py copies between GPUs without NCCL.
        text = "keeps NCCL from peer to peer, and vLLM's own all-reduce does not look at it"
        fix = "Write nccl: {p2p: off}, which turns both off, or delete it: NCCL looks at the links itself"
        yield subject.finding("nccl.p2p-off", "warning", text, fix, "env", "NCCL_P2P_DISABLE")
    port = env.get("VLLM_PORT", "")
    if port and (
        not port.isdigit() or int(port) == (subject.spec.server_port if subject.spec.network == "host" else 8000)
    ):
        text = "is the first of vLLM's own internal ports, not the one that it serves on"
        yield subject.finding(
            "environment.conflict", "error", text, "Delete it, or write server_port", "env", "VLLM_PORT"
        )


def _sums_by_itself(subject: Subject) -> bool:
    """Whether vLLM would use an all-reduce of its own between the GPUs of the server."""
    size = str(subject.value("tensor_parallel_size") or 1)
    several = size.isdigit() and int(size) > 1
    return subject.spec.wants_gpus and several and not subject.value("disable_custom_all_reduce")


def _number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\s*-?\d+(?:\.\d*)?\s*", value) else None


def _shown(name: str) -> bool:
    return not looks_secret(name)
