# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fault is: what is done to a host with a good server, the code it must end in, and what must be left of it.

``refused``: nothing was stopped. ``rolled back``: the good server was stopped and serves again. ``kept``: whatever
happened, the good server serves. ``reached``: after the next converge the new declaration serves.
"""

from __future__ import annotations

import dataclasses
import shutil
import typing as t

from .bench import Bench, Result

REFUSED, ROLLED_BACK, KEPT, REACHED = "refused", "rolled back", "kept", "reached"


@dataclasses.dataclass(frozen=True)
class Fault:
    """``inject`` makes it happen and converges; ``codes``: any of these must be among what was found."""

    name: str
    layer: str
    inject: t.Callable[[Bench], Result]
    codes: tuple[str, ...]
    ending: str


def declared(name: str, *codes: str, **fields: t.Any) -> Fault:
    return Fault(name, "declaration", lambda bench: bench.converge(bench.changed(**fields)), codes, REFUSED)


def file(name: str, code: str, harm: t.Callable[[Bench], None]) -> Fault:
    """The new declaration names a model of its own, which is broken."""

    def inject(bench: Bench) -> Result:
        folder = bench.directory / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bench.model, folder)
        harm(bench)
        return bench.converge(bench.changed(model=str(folder)))

    return Fault(name, "files", inject, (code,), REFUSED)


def start(name: str, codes: str | tuple[str, ...], layer: str = "start", **knobs: t.Any) -> Fault:
    codes = (codes,) if isinstance(codes, str) else codes
    return Fault(name, layer, lambda bench: bench.converge(bench.failing(**knobs)), codes, ROLLED_BACK)


def body(name: str, code: str, ending: str, **fields: t.Any) -> Fault:
    return Fault(name, "engine", lambda bench: bench.converge(bench.changed(**fields)), (code,), ending)
