# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""A declared server's question to the memory model: its model's files, its arguments, its GPUs as they will be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import memory
from ..containers import Container
from ..findings import Finding
from ..model_needs import needs
from ..observation import wants_gpus
from .context import Server
from .gpus import utilization

#: The driver keeps this much from CUDA where it does not say: nvidia-smi tells 81559 MiB, torch 79.18 GiB.
KEPT = int(0.45 * memory.GIB)


def foresee(server: Server, version: str | None) -> tuple[memory.Estimate, memory.Advice | None] | None:
    """The estimate of a server, with advice when it does not fit.

    :param version: release in the image; None: nothing can be said
    :returns: None when configuration, release or GPUs are not known
    """
    model = server.model or {}
    if not version or not model.get("config") or getattr(server.spec, "kind", "server") != "server":
        return None
    gpu = _gpu(server)
    cpu = not wants_gpus(server.spec)
    environment = {str(key): str(value) for key, value in (getattr(server.spec, "env", None) or {}).items()}
    if gpu is None and not (cpu and environment.get("VLLM_CPU_KVCACHE_SPACE")):
        return None
    arguments = dict(getattr(server.spec, "engine_args", None) or {})
    if model.get("format") == "gguf":
        arguments.setdefault("quantization", "gguf")
    draft = _draft(server)
    found = memory.estimate(
        memory.Question(
            model["config"], arguments, version, gpu, tensor_bytes(model), environment=environment,
            draft_config=draft.get("config"), draft_weights_bytes=tensor_bytes(draft), cpu=cpu,
        )
    )  # fmt: skip
    return found, memory.advise(found) if found.fits is False else None


def tensor_bytes(look: Mapping[str, Any]) -> int | None:
    """Bytes of a model's tensors, as the look at its files found them; None when it found none.

    A GGUF file holds more: its vocabulary, and padding. All shards are in the sum.
    """
    told = (look.get("tensors") or {}).get("dtypes") or {}
    if look.get("format") == "gguf" and told:
        return sum(int(size) for size in told.values()) or None
    return int(look.get("bytes") or 0) or None


def _draft(server: Server) -> Mapping[str, Any]:
    """What the look at the draft model's files found; empty when there is none, or it is not on the host."""
    for need in needs(server.spec):
        entry = server.observation.models.get(need.key) if need.role == "draft" and need.place is not None else None
        if entry and entry.get("status") == "complete":
            return entry
    return {}


def findings(server: Server, found: memory.Estimate, advice: memory.Advice | None) -> list[Finding]:
    """The estimate's findings as findings about this server, under the declaration's own paths."""
    container = server.observation.container(server.spec.name)
    runs = container is not None and container.running
    told = []
    for item in found.findings:
        if item.code == "argument.parallel":  # told by checks/parallel.py, with more numbers
            continue
        # What is running proves itself; that it is close was told before it was started.
        if item.severity != "error" and (runs or item.severity == "info"):
            continue
        fix = item.fix
        if item.severity == "error" and advice is not None:
            fix = f"{fix} {advice.text()}" if fix else advice.text()
        place = item.field if item.field and item.field.startswith("engine_args.") else "model"
        told.append(dataclasses.replace(item, field=server.field(place), fix=fix, server=server.spec.name))
    return told


def _gpu(server: Server) -> memory.Gpu | None:
    """The smallest of the server's GPUs, with what will be free of it when the server starts."""
    chosen = [item for item in server.observation.devices if item.get("uuid") in server.gpus]
    sizes = [_sizes(server, item) for item in chosen]
    known = [(total, free, item) for (total, free), item in zip(sizes, chosen, strict=True) if total]
    if not known or len(known) < len(server.gpus):
        return None
    total, _free, smallest = min(known, key=lambda entry: entry[0])
    capability = smallest.get("compute_capability")
    try:
        number = float(str(capability)) if capability else None
    except ValueError:
        number = None
    return memory.Gpu(str(smallest.get("name") or ""), total, min(free for _total, free, _item in known), number)


def _sizes(server: Server, device: Mapping[str, Any]) -> tuple[int, int]:
    """(total, free) bytes as CUDA will see them."""
    total = int(device.get("memory_total") or 0)
    if not total:
        return 0, 0
    told = device.get("memory_reserved")
    kept = int(told) if told else min(KEPT, total // 32)
    used = int(device.get("memory_used") or 0) or max(0, total - int(device.get("memory_free") or total))
    uuid, total = str(device.get("uuid")), total - kept
    back = _given_back(server, uuid, total, used)
    coming = sum(
        int(utilization(item) * total)
        for item in _before(server)
        if uuid in (server.assigned or {}).get(item.name, ()) and not _running(server, item.name)
    )
    return total, max(0, total - (used - back) - coming)


def _given_back(server: Server, uuid: str, total: int, used: int) -> int:
    """What the running generation of this server frees when it is replaced.

    Which process belongs to which container is not told by the driver: alone on the GPU it gives back all that is in
    use, beside others at most what its recorded arguments claim and a little for graphs and libraries.
    """
    container = server.observation.container(server.spec.name)
    if container is None or not container.running or not _holds(container, uuid):
        return 0
    others = [item for item in server.observation.containers if item.running and item is not container]
    if not any(_holds(item, uuid) for item in others):
        return used
    declared = (server.observation.server(server.spec.name).committed or {}).get("declaration") or {}
    arguments = declared.get("engine_args") if isinstance(declared, Mapping) else None
    share = (arguments or {}).get("gpu_memory_utilization", 0.9)
    return min(used, int((float(share) + 0.03) * total))


def _holds(container: Container, uuid: str) -> bool:
    return bool(container.gpus & {uuid, "all"})


def _running(server: Server, name: str) -> bool:
    container = server.observation.container(name)
    return container is not None and container.running


def _before(server: Server) -> list[Any]:
    names = [item.name for item in server.siblings]
    return list(server.siblings[: names.index(server.spec.name)]) if server.spec.name in names else []
