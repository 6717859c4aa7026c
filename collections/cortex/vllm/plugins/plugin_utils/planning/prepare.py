# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""From a declaration to what would run here: GPUs, image, release, model, rendering."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .. import catalog, gpu_selection, memory, rendering
from ..checks import Server as Subject
from ..checks import gpu_memory, packages, server_findings
from ..containers import Container, gpus_of
from ..findings import Finding, FindingsError
from ..observation import INACTIVE_STATES, Observation, Server, model_key
from .model import Options


@dataclasses.dataclass
class Prepared:
    """One declaration with all that is known about it on this host.

    :ivar image_id: the image that would run: the recorded one as long as the declaration names the same string
    :ivar rendered: None when it could not be rendered (``findings`` say why, or the image is needed first)
    :ivar asks_packages: whether the image has to say which Transformers it has before a container is made from it
    """

    spec: Any
    state: str
    server: Server
    container: Container | None
    gpus: tuple[str, ...] = ()
    image: Mapping[str, Any] | None = None
    image_id: str | None = None
    model: Mapping[str, Any] | None = None
    rendered: Any = None
    declaration: dict[str, Any] = dataclasses.field(default_factory=dict)
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    image_needed: bool = False
    memory: dict[str, Any] | None = None
    ahead: list[dict[str, Any]] | None = None
    asks_packages: bool = False

    @property
    def active(self) -> bool:
        """Whether it is to run."""
        return self.state not in INACTIVE_STATES

    @property
    def declaration_hash(self) -> str:
        return declaration_hash(self.declaration)


def declaration_hash(declaration: Mapping[str, Any]) -> str:
    """The hash by which a declaration is known to be the same: of its canonical JSON."""
    text = json.dumps(declaration, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def assign_gpus(
    specs: Sequence[Any],
    observation: Observation,
    states: Mapping[str, str],
    held: frozenset[str] = frozenset(),
) -> tuple[dict[str, tuple[str, ...]], dict[str, list[Finding]]]:
    """UUIDs for each active declaration of the host, and what could not be resolved.

    Named GPUs come first; counts keep what they have and share the rest, those that hold GPUs already before others.

    :param held: GPUs that a count does not get, unless it has them already
    """
    assigned: dict[str, tuple[str, ...]] = {}
    problems: dict[str, list[Finding]] = {}
    active = [spec for spec in specs if states[spec.name] not in INACTIVE_STATES and spec.gpus]
    previous = {spec.name: _previous(spec.name, observation) for spec in active}
    for spec in sorted(active, key=lambda item: (item.gpus.kind == "count", not previous[item.name])):
        taken = {uuid for name, uuids in assigned.items() for uuid in uuids}
        if spec.gpus.kind == "count":
            taken |= held - previous[spec.name]
            # What others of us hold stays theirs, even before their own turn comes.
            taken |= {
                uuid for name, uuids in previous.items() if name != spec.name for uuid in uuids if name not in assigned
            }
        try:
            uuids = gpu_selection.resolve(
                spec.gpus,
                observation.devices,
                sorted(previous[spec.name]),
                taken,
                field=spec.where("gpus"),
                server=spec.name,
            )
        except FindingsError as error:
            problems[spec.name] = error.findings
            continue
        assigned[spec.name] = tuple(uuids)
    return assigned, problems


def _previous(name: str, observation: Observation) -> frozenset[str]:
    """GPUs on record, or of the container that is there."""
    committed = observation.server(name).committed
    if committed:
        return gpus_of((committed.get("body") or {}).get("HostConfig") or {}) - {"all"}
    container = observation.container(name)
    return container.gpus - {"all"} if container and container.server == name else frozenset()


def prepare(
    spec: Any,
    state: str,
    observation: Observation,
    options: Options,
    siblings: Sequence[Any],
    assigned: Mapping[str, tuple[str, ...]],
    gpu_problems: Sequence[Finding],
) -> Prepared:
    """Everything about one declaration that needs no decision."""
    server = observation.server(spec.name)
    ready = Prepared(spec, state, server, observation.container(spec.name), assigned.get(spec.name, ()))
    if not ready.active:
        return ready
    ready.digests = rendering.digests(spec.secret_values(), _salt(ready, options))
    ready.declaration = spec.canonical(ready.digests)
    _choose_image(ready, observation, options)
    ready.model = observation.models.get(model_key(spec))
    release, exact = _release(ready)
    subject = Subject(
        spec, observation, tuple(siblings), ready.image, ready.model, ready.gpus, assigned, release, exact
    )
    found = server_findings(subject)
    # Where the driver does not answer, no GPU is shown: one cause, told once.
    silent = "gpu.driver" not in spec.accept and any(item.code == "gpu.driver" for item in found)
    ready.findings += [item for item in gpu_problems if not (silent and item.code == "gpu.absent")] + found
    ready.asks_packages = packages.asks(subject)
    if server.problem:
        path = f"{options.state_dir}/{spec.name}/state.json"
        fix = f"Restore {path} from a backup, or move it away: the server is then replaced."
        ready.findings.append(
            Finding(
                "state.unreadable",
                "error",
                f"the record of {spec.name} is unreadable: {server.problem}",
                fix=fix,
                server=spec.name,
            )
        )
    if ready.image is not None and not gpu_problems:
        _render(ready, observation, options)
    if not gpu_problems:
        _foresee(ready, subject)
    return ready


def _foresee(ready: Prepared, subject: Subject) -> None:
    """What the start will take of its GPUs, if enough is known to say so."""
    version = getattr(ready.spec, "vllm_version", None)
    if ready.image is not None:
        version = rendering.image_facts(ready.spec.image, ready.image, version).version
    foreseen = gpu_memory.foresee(subject, version)
    if foreseen is not None:
        ready.memory = {**memory.as_dict(*foreseen), "table": memory.table(ready.spec.name, *foreseen)}
        ready.findings += gpu_memory.findings(subject, *foreseen)


def _choose_image(ready: Prepared, observation: Observation, options: Options) -> None:
    """Pin: a declaration that names the same string keeps the image that it got, until an update is asked."""
    spec, committed = ready.spec, ready.server.committed or {}
    tagged = observation.image(spec.image)
    recorded = observation.image(committed.get("image_id") or "")
    if committed.get("image") == spec.image and recorded is not None:
        moved = tagged is not None and tagged.get("id") != recorded.get("id")
        if moved and not options.update:
            text = f"{spec.image} is another image by now ({_short(tagged)}); the server keeps {_short(recorded)}"
            fix = "Set update: true to take it over."
            ready.findings.append(
                Finding("image.moved", "info", text, field=spec.where("image"), fix=fix, server=spec.name)
            )
        if not (moved and options.update):
            ready.image = recorded
    ready.image = ready.image or tagged
    ready.image_id = (ready.image or {}).get("id")
    ready.image_needed = ready.image is None and spec.pull != "never"


def _release(ready: Prepared) -> tuple[Any, bool]:
    """The catalogued release of the image, and whether it is the very one; (None, False) when nothing says."""
    if ready.image is None:
        return None, False
    version = rendering.image_facts(ready.spec.image, ready.image, getattr(ready.spec, "vllm_version", None)).version
    return catalog.nearest(version) if version else (None, False)


def _short(image: Mapping[str, Any] | None) -> str:
    return str((image or {}).get("id") or "?").removeprefix("sha256:")[:12]


def _salt(ready: Prepared, options: Options) -> str:
    """The salt on record: digests of unchanged secrets must not change."""
    return str((ready.server.committed or {}).get("salt") or options.salt)


def _render(ready: Prepared, observation: Observation, options: Options) -> None:
    """Render for the release in the image; what rendering refuses becomes findings."""
    spec, salt = ready.spec, _salt(ready, options)
    host = {
        **observation.host,
        "engine": observation.engine,
        "gpus": observation.gpus,
        "storage_rate": observation.storage_rate,
        "network": observation.network,
        "collectives": observation.collectives,
    }
    try:
        facts = rendering.image_facts(spec.image, ready.image or {}, getattr(spec, "vllm_version", None))
        if spec.kind == "container":
            ready.rendered = rendering.render_container(spec, facts, ready.gpus, options.state_dir, salt, host)
        else:
            release = rendering.release_for(facts)
            ready.rendered = rendering.render(
                spec, facts, release, ready.gpus, options.state_dir, ready.model, salt, host
            )
            ready.ahead = rendering.ahead(spec, release) if options.ahead else None
    except FindingsError as error:
        ready.findings += error.findings
        return
    ready.findings += ready.rendered.findings
