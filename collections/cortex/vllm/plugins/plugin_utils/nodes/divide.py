# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What of a model that spans hosts is one host's, and what vLLM is told there.

Sources: vllm/engine/arg_utils.py and vllm/config/parallel.py (0.32.0: data parallel ranks of a node begin at
``--data-parallel-start-rank``; ``nnodes_within_dp``), vllm/entrypoints/cli/serve.py (``--headless``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from .. import catalog
from ..spec.nodes import PORTS

#: Spellings of the sizes; a short one is what argparse calls -tp, -pp, -dp, -pcp.
_SIZES = {
    "tensor": ("tensor_parallel_size", "tp"),
    "pipeline": ("pipeline_parallel_size", "pp"),
    "prefill": ("prefill_context_parallel_size", "pcp"),
    "data": ("data_parallel_size", "dp"),
}
#: What each way needs of a release: an argument of it, and the release it came with.
_NEEDS = {
    "native": ("nnodes", "0.11.1"),
    "internal": ("data_parallel_start_rank", "0.9.0"),
    "hybrid": ("data_parallel_hybrid_lb", "0.10.0"),
    "external": ("data_parallel_rank", "0.9.2"),
}


#: Fields of a declaration that hold for the model as a whole.
_AGREED = (
    "image", "revision", "served_model_name", "engine_args", "request_defaults", "env", "engine", "model_runner",
    "entrypoint",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Division:
    """How a declaration is divided among its hosts.

    :ivar kind: ``model`` (tensor and pipeline parallel ranks of one model) or ``data`` (whole replicas)
    :ivar world: ranks of one replica
    :ivar data: replicas
    :ivar local: GPUs of each host
    :ivar problem: why it cannot be divided, with what to write
    """

    kind: Literal["model", "data"]
    world: int
    data: int
    local: int
    problem: tuple[str, str] | None = None


@dataclasses.dataclass
class Share:
    """What one host is told.

    :ivar arguments: of vLLM
    :ivar program: instead of the image's, with its own words; empty for a host that serves
    :ivar before: a command that runs before the program
    :ivar problem: (message, fix) when the release cannot do it
    """

    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    program: list[str] = dataclasses.field(default_factory=list)
    before: list[str] = dataclasses.field(default_factory=list)
    problem: tuple[str, str] | None = None


def divide(spec: Any) -> Division:
    """Divide a declaration among its hosts."""
    count = len(spec.nodes.hosts)
    sizes = {kind: _size(spec, names) for kind, names in _SIZES.items()}
    world, data = sizes["tensor"] * sizes["pipeline"] * sizes["prefill"], sizes["data"]
    if data == 1:
        problem = None
        if world % count:
            problem = (
                f"{world} ranks (tensor_parallel_size × pipeline_parallel_size) cannot be divided among {count} hosts",
                f"Make their product a multiple of {count}",
            )
        return Division("model", world, 1, world // count, problem)
    problem = None
    if data % count:
        text = f"{data} data parallel ranks cannot be divided among {count} hosts"
        problem = (text, f"Write a data_parallel_size that is a multiple of {count}")
    elif spec.nodes.balancing == "external" and data != count:
        text = f"external balancing has one data parallel rank for each host, and there are {data} for {count}"
        problem = (text, "Write balancing: hybrid")
    return Division("data", world, data, world * data // count, problem)


def backend(spec: Any, release: catalog.Release) -> Literal["native", "ray"]:
    """How the hosts work together on this release."""
    if spec.nodes.backend != "auto":
        return "native" if spec.nodes.backend == "native" else "ray"
    needs_ray = divide(spec).kind == "model" and release.flag("nnodes") is None
    return "ray" if needs_ray else "native"


def serves(spec: Any) -> bool:
    """Whether the host answers requests itself: the head, and every host where somebody else balances."""
    return spec.nodes.place == 0 or (divide(spec).kind == "data" and spec.nodes.balancing != "internal")


def key(spec: Any) -> str:
    """What the hosts of a model must agree about, as a hash: hosts that differ would wait for each other for ever."""
    return key_of(spec.canonical())


def key_of(declaration: Mapping[str, Any]) -> str:
    """The same for a declaration on record. Paths, GPUs and what ``nccl`` says of a host's own cables may differ."""
    agreed = {name: declaration.get(name) for name in _AGREED}
    model = str(declaration.get("model"))
    agreed["model"] = "" if model.startswith("/") else model
    agreed["nodes"] = {name: item for name, item in (declaration.get("nodes") or {}).items() if name != "rank"}
    return hashlib.sha256(json.dumps(agreed, sort_keys=True, default=str).encode()).hexdigest()[:12]


def port(spec: Any) -> int:
    """Where the ranks meet: another one for each declaration, so that an old and a new rank never find each other."""
    return int(spec.nodes.port) + int(key(spec), 16) % PORTS


def peers(spec: Any, release: catalog.Release) -> list[dict[str, Any]]:
    """Whom the host of a rank has a connection with.

    Ranks of one model join a store of the head's first rank (torch TCPStore), or Ray's head, and ``keep`` that
    connection for as long as both live. Data parallel ranks only shake hands. A host sees what containers in its
    network do.
    """
    if spec.network != "host":
        return []
    nodes, at = spec.nodes, port(spec)
    keep = divide(spec).kind == "model" or backend(spec, release) == "ray"
    if nodes.place and not serves(spec):
        return [{"address": nodes.head.address, "port": at, "keep": keep}] if nodes.head.address else []
    if nodes.place or not keep:
        return []
    return [{"address": node.address, "local_port": at, "keep": True} for node in nodes.hosts[1:] if node.address]


def share(spec: Any, release: catalog.Release) -> Share:
    """What this host is told."""
    nodes, division = spec.nodes, divide(spec)
    head = nodes.head.address or nodes.head.host
    if backend(spec, release) == "ray":
        return _ray(spec, division, head)
    kind = "native" if division.kind == "model" else nodes.balancing
    flag, since = _NEEDS[kind]
    if release.flag(flag) is None:
        what = "a model across hosts" if kind == "native" else f"{kind} balancing of data parallel ranks across hosts"
        fix = "Write nodes.backend: ray, or use a newer image" if kind == "native" else "Use a newer image"
        return Share(problem=(f"vLLM {release.version} has no {what} of its own: it came with {since}", fix))
    if kind == "native":
        told: dict[str, Any] = {
            "nnodes": len(nodes.hosts),
            "node_rank": nodes.place,
            "master_addr": head,
            "master_port": port(spec),
            "distributed_executor_backend": "mp",
        }
    else:
        local = division.data // len(nodes.hosts)
        told = {"data_parallel_address": head, "data_parallel_rpc_port": port(spec)}
        if kind == "external":
            told["data_parallel_rank"] = nodes.place
        else:
            told["data_parallel_size_local"] = local
        if kind == "hybrid":
            told |= {"data_parallel_hybrid_lb": True, "data_parallel_start_rank": nodes.place * local}
        elif kind == "internal" and nodes.place:
            told["data_parallel_start_rank"] = nodes.place * local
    if not serves(spec):
        told["headless"] = True
    return Share(arguments=told)


def _ray(spec: Any, division: Division, head: str) -> Share:
    """A Ray cluster of the containers: the head starts it and serves, the others join and hold their GPUs.

    Source: vllm/v1/executor/ray_utils.py (0.11 … 0.33): initialize_ray_cluster joins the cluster of this machine and
    waits for the nodes that its placement group needs.
    """
    nodes = spec.nodes
    if not spec.wants_gpus:
        # vllm/platforms/interface.py: ray_device_key is empty but for CUDA, ROCm and XPU (0.32); ray_utils.py refuses.
        text = "vLLM's CPU backend does not support Ray, and no GPUs are declared"
        return Share(problem=(text, "Write gpus; on CPUs an image of vLLM 0.11.1 or newer with backend: native"))
    if division.kind == "data" and nodes.balancing != "internal":
        return Share(problem=("Ray balances internally only", "Write balancing: internal, or backend: native"))
    own = ["--node-ip-address", nodes.own.address] if nodes.own.address else []
    common = [*own, "--num-gpus", str(division.local if spec.wants_gpus else 0), "--disable-usage-stats"]
    if nodes.place == 0:
        told: dict[str, Any] = {"distributed_executor_backend": "ray"}
        if division.kind == "data":
            told = {"data_parallel_backend": "ray", "data_parallel_size_local": division.data // len(nodes.hosts)}
        return Share(arguments=told, before=["ray", "start", "--head", "--port", str(port(spec)), *common])
    address = f"[{head}]:{port(spec)}" if ":" in head else f"{head}:{port(spec)}"
    return Share(program=["ray", "start", "--address", address, *common, "--block"])


def _size(spec: Any, names: tuple[str, ...]) -> int:
    for name in names:
        try:
            return max(1, int(spec.engine_args.get(name, "")))
        except (TypeError, ValueError):
            continue
    return 1
