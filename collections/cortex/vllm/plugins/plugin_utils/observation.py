# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What a host is asked, and what it answered.

``query()`` builds the one request for all servers of a host; ``Observation.parse()`` wraps the answer. The answer is
large (inspects of all our containers), comes from our own module and is read on every converge, so it is wrapped by
plain data classes over the raw dictionaries: nothing is validated that nobody reads, nothing is copied.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .containers import Container, container_name
from .findings import Finding, FindingsError
from .model_needs import main, needs

#: Version of the JSON between controller and target, see docs/contract.md.
SCHEMA = 1

#: Networks that every engine has.
ENGINE_NETWORKS = frozenset({"bridge", "default", "host", "none"})
#: States of a declaration that need neither image nor model nor port.
INACTIVE_STATES = frozenset({"absent", "stopped"})


def model_key(spec: Any) -> str:
    """A key for the model of ``spec``: servers of one model share one look at its files."""
    return main(spec).key if getattr(spec, "model", None) else ""


def wants_gpus(spec: Any) -> bool:
    """Whether the declaration asks for any GPU."""
    return bool(getattr(spec, "gpus", None))


def wants_network(spec: Any) -> bool:
    """Whether it matters to the declaration which interfaces and adapters the host has."""
    return getattr(spec, "nccl", None) is not None or getattr(spec, "nodes", None) is not None


def mount_sources(spec: Any) -> list[str]:
    """Host paths that the declaration mounts into its container; named volumes are the engine's own."""
    sources = [_get(mount, "source") for mount in getattr(spec, "mounts", None) or ()]
    return [str(source) for source in sources if source and str(source).startswith("/")]


def named_networks(spec: Any) -> list[str]:
    """Networks that somebody must have made: those that every engine has are left out."""
    names = [getattr(spec, "network", None), *(getattr(spec, "networks", None) or ())]
    return [str(name) for name in names if name and name not in ENGINE_NETWORKS]


def query(
    specs: Iterable[Any],
    state_dir: str,
    health: bool = True,
    model_info: bool = True,
    pulse: Mapping[str, Any] | None = None,
    contract: bool = False,
    contract_image: str | None = None,
) -> dict[str, Any]:
    """Build the request of step ``observe`` for all servers of one host.

    :param specs: declarations of the host (``spec.ServerSpec``), removed ones included
    :param state_dir: absolute path on the host
    :param health: ask running servers for their health (2 s at most, all at once)
    :param model_info: look at the model files
    :param pulse: how to watch for tokens (``window``, ``token``, ``token_timeout``), of all servers; without it only
        those are watched that may be restarted when they hang
    :param contract: read what the contract check judges, whatever is declared
    :param contract_image: where the container toolkit is to be proven, unless in a declared server's
    :returns: the request, as docs/contract.md says
    """
    specs = list(specs)
    watched = [spec.name for spec in specs if pulse is not None or getattr(spec, "restart_when_hung", False)]
    servers: list[dict[str, str]] = []
    images: dict[str, None] = {contract_image: None} if contract_image else {}
    models: dict[str, dict[str, Any]] = {}
    paths: dict[str, None] = {}
    networks: dict[str, None] = {}
    ports: dict[tuple[str, int], None] = {}
    gpus = network = False
    for spec in specs:
        servers.append({"name": spec.name, "container_name": container_name(spec.name)})
        if spec.state in INACTIVE_STATES:
            continue
        images[spec.image] = None
        for need in needs(spec) if model_info else ():
            if need.place is not None:
                models[need.key] = need.question()
        paths.update(dict.fromkeys([*mount_sources(spec), *spec.devices]))
        networks.update(dict.fromkeys(named_networks(spec)))
        ports.update(dict.fromkeys(spec.published()))
        gpus = gpus or wants_gpus(spec)
        network = network or wants_network(spec)
    request: dict[str, Any] = {
        "schema": SCHEMA,
        "state_dir": str(state_dir),
        "servers": servers,
        "images": list(images),
        "models": list(models.values()),
        "paths": list(paths),
        "ports": [{"address": address, "port": port} for address, port in ports],
        "gpus": gpus,
        "health": health,
        **({"networks": list(networks)} if networks else {}),
        **({"contract": True} if contract else {}),
    }
    if watched and health:
        request["pulse"] = {**(pulse or {}), "servers": watched}
    # Only where it is wanted: who does not talk between GPUs is not asked for it.
    return {**request, "network": True} if network else request


def hashed(salt: str, value: str) -> str:
    """The digest under which an observation shows a value of a container's environment."""
    return hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Server:
    """What the host keeps about one declared server."""

    name: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def state(self) -> Mapping[str, Any]:
        return self.raw.get("state") or {}

    @property
    def committed(self) -> Mapping[str, Any] | None:
        return self.state.get("committed")

    @property
    def transaction(self) -> Mapping[str, Any] | None:
        return self.state.get("transaction")

    @property
    def history(self) -> list[Mapping[str, Any]]:
        return list(self.state.get("history") or ())

    @property
    def state_hash(self) -> str:
        return str(self.raw.get("state_hash") or "")

    @property
    def problem(self) -> str | None:
        return self.raw.get("problem")

    @property
    def locked(self) -> bool:
        return bool((self.raw.get("lock") or {}).get("held"))

    @property
    def job(self) -> Mapping[str, Any] | None:
        return self.raw.get("job")

    @property
    def live_job(self) -> Mapping[str, Any] | None:
        """The job that works on this server now: it holds the lock and has not written its ``done``."""
        return self.job if self.locked and self.job and not self.job.get("done") else None

    @property
    def failed_starts(self) -> int:
        """Starts in a row without a healthy moment, the present one included."""
        return int(self.raw.get("failed_starts") or 0)

    @property
    def damage(self) -> list[Mapping[str, Any]]:
        """What of its files is not as it was written: ``{path, problem}``, paths below the server's directory."""
        return list(self.raw.get("damage") or ())

    @property
    def health(self) -> Mapping[str, Any] | None:
        return self.raw.get("health")

    def start_like(self, image_id: str | None, model: str | None) -> dict[str, Any] | None:
        """How a start of this image and model went on this host, newest first: ``{seconds, phases, bytes}``."""
        for entry in self.history:
            if entry.get("ready_seconds") and (entry.get("image_id"), entry.get("model")) == (image_id, model):
                return {
                    "seconds": float(entry["ready_seconds"]),
                    "phases": dict(entry.get("phases") or {}),
                    "bytes": entry.get("bytes"),
                }
        return None

    @property
    def ready_seconds(self) -> float | None:
        """Seconds that the start took last time, for the time left."""
        for entry in (self.committed or {}, *self.history):
            if entry.get("ready_seconds"):
                return float(entry["ready_seconds"])
        return None


@dataclass(frozen=True)
class Observation:
    """The answer of one host to one request. Everything stays as answered; properties give the parts names."""

    raw: Mapping[str, Any] = field(repr=False)
    salt: str
    host: Mapping[str, Any]
    engine: Mapping[str, Any]
    containers: tuple[Container, ...]
    images: Mapping[str, Mapping[str, Any] | None]
    models: Mapping[str, Mapping[str, Any]]
    paths: Mapping[str, Mapping[str, Any]]
    ports: Mapping[str, Mapping[str, Any] | None]
    gpus: Mapping[str, Any]
    servers: Mapping[str, Server]
    #: Whether the host has an address to listen on, and the engine a network; empty for what was not asked.
    addresses: Mapping[str, bool] = field(default_factory=dict)
    networks: Mapping[str, bool] = field(default_factory=dict)
    #: What the contract check judges; None when it was not asked for.
    contract: Mapping[str, Any] | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    collectives: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Observation:
        """Wrap an answer.

        :raises FindingsError: when it speaks another schema, or is no observation at all
        """
        schema = answer.get("schema") if isinstance(answer, Mapping) else None
        if schema != SCHEMA:
            said = f"speaks schema {schema}" if schema is not None else "has no schema"
            raise FindingsError(
                [
                    Finding(
                        "observation.schema",
                        "error",
                        f"the answer of the host {said}, this collection understands schema {SCHEMA}",
                        fix="Let one version of the collection do both sides: remove other installed copies of"
                        " cortex.vllm from the collections path.",
                    )
                ]
            )
        servers = {name: Server(name, item or {}) for name, item in (answer.get("servers") or {}).items()}
        records = {name: server.committed or {} for name, server in servers.items()}
        owners = {record.get("container_id"): name for name, record in records.items() if record.get("adopted")}
        return cls(
            raw=answer,
            salt=str(answer.get("salt") or ""),
            host=answer.get("host") or {},
            engine=answer.get("engine") or {},
            containers=tuple(Container(item, owners.get(item.get("Id"))) for item in answer.get("containers") or ()),
            images=answer.get("images") or {},
            models=answer.get("models") or {},
            paths=answer.get("paths") or {},
            ports=answer.get("ports") or {},
            gpus=answer.get("gpus") or {},
            servers=servers,
            addresses=answer.get("addresses") or {},
            networks=answer.get("networks") or {},
            contract=answer.get("contract"),
            network=answer.get("network") or {},
            collectives=answer.get("collectives") or {},
        )

    @cached_property
    def by_name(self) -> dict[str, Container]:
        return {container.name: container for container in self.containers}

    @cached_property
    def labelled(self) -> dict[str, list[Container]]:
        """Containers by the server that their label names."""
        found: dict[str, list[Container]] = {}
        for container in self.containers:
            if container.server is not None:
                found.setdefault(container.server, []).append(container)
        return found

    def server(self, name: str) -> Server:
        """What the host keeps about ``name``; an empty record when it knows nothing."""
        return self.servers.get(name) or Server(name, {})

    def container(self, server: str) -> Container | None:
        """The container of a server: by its name, never by a guess."""
        return self.by_name.get(container_name(server))

    def start_like(self, name: str, image_id: str | None, model: str | None) -> dict[str, Any] | None:
        """How a start of this image and model went: of this server, else of another one on this host."""
        others = (server for other, server in self.servers.items() if other != name)
        found = (server.start_like(image_id, model) for server in (self.server(name), *others))
        return next((entry for entry in found if entry), None)

    @cached_property
    def storage_rate(self) -> float | None:
        """Bytes a second at which weights were read here, the slowest of what is remembered; None without memory.

        Small models say nothing: their time goes into everything but reading.
        """
        rates = [
            entry["bytes"] / entry["phases"]["loading weights"]
            for server in self.servers.values()
            for entry in server.history
            if (entry.get("bytes") or 0) >= 1 << 30 and (entry.get("phases") or {}).get("loading weights")
        ]
        return min(rates) if rates else None

    def image(self, reference: str) -> Mapping[str, Any] | None:
        """The image entry of a reference or an id; None when the host does not have it."""
        return self.images.get(reference)

    @cached_property
    def devices(self) -> list[Mapping[str, Any]]:
        """The GPUs of the host, in the order of nvidia-smi."""
        return list(self.gpus.get("devices") or ())


def _get(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
