# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Which GPUs a declaration means, normalised once.

People write GPUs in many ways, and templates add some more. All of them become one :class:`GpuSelection`:

====================================  =======================================================================
written                               meaning
====================================  =======================================================================
``2`` (a number)                      a count: two GPUs, whichever are free; kept from run to run
``{count: 2}``                        the same, for a number that may come as text
``[0, 1]``, ``"0,1"``, ``"0-1"``      indexes, in the order of ``nvidia-smi``
``"0"`` (text), ``[0]``               the one GPU with index 0: **text and lists never are a count**
``"[0, 1]"``, ``'["0","1"]'``         the same, as JSON text, however often it was encoded
``GPU-…``, ``[GPU-…, GPU-…]``         UUIDs of whole GPUs
``MIG-…``, ``[MIG-…, MIG-…]``         UUIDs of MIG devices
``all``, ``none``                     every GPU of the host; no GPU
====================================  =======================================================================

Duplicates, negative numbers, empty lists and mixtures (index beside UUID, GPU beside MIG) are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .findings import Finding, FindingsError

#: ``nvidia-smi -L`` prints UUIDs of whole GPUs like this.
_GPU_UUID = re.compile(r"^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
#: MIG devices since driver 470 (``MIG-<uuid>``), and before (``MIG-GPU-<uuid>/<gpu instance>/<compute instance>``).
_MIG_UUID = re.compile(
    r"^MIG-(?:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/\d+/\d+)$"
)
_RANGE = re.compile(r"^(\d+)\s*-\s*(\d+)$")
#: No host has more; a larger number is a typing error, and a range up to it would fill the memory.
_MOST = 1024

_FORMS = "Write a count (2), indexes ([0, 1]), UUIDs (GPU-… or MIG-…), all or none"


@dataclass(frozen=True)
class GpuSelection:
    """The one form of a selection.

    :ivar kind: what was selected by
    :ivar count: how many GPUs; 0 for ``none``, and 0 for ``all`` (only the host knows)
    :ivar items: indexes as text in numeric order, or UUIDs in alphabetical order; empty otherwise
    """

    kind: Literal["none", "all", "count", "indexes", "uuids"]
    count: int = 0
    items: tuple[str, ...] = ()

    def canonical(self) -> Any:
        """The shortest way to write it, as JSON data; ``parse`` gives the same selection back."""
        if self.kind in ("none", "all"):
            return self.kind
        if self.kind == "count":
            return self.count
        return [int(item) for item in self.items] if self.kind == "indexes" else list(self.items)

    def __bool__(self) -> bool:
        return self.kind != "none"


def parse(value: Any, field: str = "gpus") -> GpuSelection:
    """Normalise what somebody wrote.

    :param value: see the table above
    :param field: path of the field, for the message
    :raises FindingsError: with code ``gpu.selection``
    """
    if isinstance(value, GpuSelection):
        return value
    try:
        return _selection(_decoded(value))
    except _Refused as refused:
        raise FindingsError(
            [Finding("gpu.selection", "error", refused.message, field=field, fix=refused.fix, origin=value)]
        ) from None


def resolve(
    selection: GpuSelection,
    devices: Sequence[Mapping[str, Any]],
    previous: Sequence[str] = (),
    taken: Iterable[str] = (),
    *,
    field: str = "gpus",
    server: str | None = None,
) -> list[str]:
    """The UUIDs behind a selection on one host.

    A count keeps the GPUs that the server has (``previous``) and fills up with GPUs that no other declaration takes,
    those that nobody uses first, in the order of ``nvidia-smi``. So the same host and declaration give the same answer
    from run to run.

    :param devices: ``gpus.devices`` of an observation (``index``, ``uuid``, ``mig``, ``processes``)
    :param previous: UUIDs that the server holds now
    :param taken: UUIDs of other declared servers of this host
    :raises FindingsError: ``gpu.absent`` (no such GPU here), ``gpu.mig`` (split GPU named as a whole),
        ``gpu.not-enough`` (a count that cannot be served)
    """

    def refuse(code: str, message: str, fix: str) -> FindingsError:
        return FindingsError([Finding(code, "error", message, field=field, fix=fix, server=server)])

    if selection.kind == "none":
        return []
    ordered = sorted(devices, key=lambda device: int(device["index"]))
    if not ordered:
        raise refuse("gpu.absent", "this host shows no GPU", "Write gpus: none, or repair the driver (nvidia-smi)")
    whole = [str(device["uuid"]) for device in ordered if not _split(device)]
    slices = [str(mig["uuid"]) for device in ordered for mig in device.get("mig") or ()]
    if selection.kind == "all":
        return whole + slices
    if selection.kind == "count":
        return _counted(selection.count, ordered, whole, previous, frozenset(taken), refuse)
    if selection.kind == "indexes":
        by_index = {str(int(device["index"])): device for device in ordered}
        for item in selection.items:
            if item not in by_index:
                raise refuse(
                    "gpu.absent",
                    f"this host has no GPU with index {item} (it has {', '.join(by_index)})",
                    "Write indexes that nvidia-smi shows",
                )
            if _split(by_index[item]):
                raise refuse(
                    "gpu.mig",
                    f"GPU {item} is split by MIG and cannot be used as a whole",
                    "Write the UUIDs of its MIG devices (nvidia-smi -L)",
                )
        return [str(by_index[item]["uuid"]) for item in selection.items]
    known = {uuid.lower(): uuid for uuid in (*whole, *slices)}
    for item in selection.items:
        if item.lower() not in known:
            raise refuse("gpu.absent", f"this host has no GPU {item}", "Write UUIDs that nvidia-smi -L shows")
    return [known[item.lower()] for item in selection.items]


def _counted(
    count: int,
    ordered: Sequence[Mapping[str, Any]],
    whole: Sequence[str],
    previous: Sequence[str],
    taken: frozenset[str],
    refuse: Any,
) -> list[str]:
    kept = [uuid for uuid in whole if uuid in set(previous) and uuid not in taken][:count]
    busy = {str(device["uuid"]): bool(device.get("processes")) for device in ordered}
    free = sorted((uuid for uuid in whole if uuid not in taken and uuid not in kept), key=lambda uuid: busy[uuid])
    chosen = kept + free[: count - len(kept)]
    if len(chosen) < count:
        raise refuse(
            "gpu.not-enough",
            f"{count} GPUs are wanted, {len(kept) + len(free)} of {len(ordered)} are not taken by other declarations",
            "Lower the count, or name GPUs to be shared by index",
        )
    return [uuid for uuid in whole if uuid in set(chosen)]


def _split(device: Mapping[str, Any]) -> bool:
    return bool(device.get("mig")) or str(device.get("mig_mode") or "").lower() == "enabled"


class _Refused(Exception):
    def __init__(self, message: str, fix: str = _FORMS) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def _decoded(value: Any) -> Any:
    """``value`` without the layers of JSON text that templates put around it."""
    for _layer in range(4):
        if not isinstance(value, str):
            break
        text = value.strip()
        # Only lists and quoted text are decoded: a bare number in text stays text, because text is never a count.
        if not text.startswith(("[", '"')):
            return text
        try:
            value = json.loads(text)
        except ValueError:
            if text.startswith("["):  # Python's way of writing a list: "['0', '1']"
                return text.strip("[]").replace("'", "").replace('"', "").strip()
            raise _Refused(f"{text!r} is not readable as a selection of GPUs") from None
    return value


def _selection(value: Any) -> GpuSelection:
    if isinstance(value, bool) or value is None:
        raise _Refused(f"{'null' if value is None else str(value).lower()} does not say which GPUs")
    if isinstance(value, int):
        return _count(value)
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, str):
        if value.lower() in ("all", "none"):
            return GpuSelection("all" if value.lower() == "all" else "none")
        parts: list[Any] = value.split(",") if value else []
    elif isinstance(value, Sequence):
        parts = [part for item in value for part in (item.split(",") if isinstance(item, str) else [item])]
    else:
        raise _Refused(f"a {type(value).__name__} does not say which GPUs")
    if not parts:
        raise _Refused("an empty selection does not say whether no GPU or any GPU is meant", "Write none, or name GPUs")
    return _listed([_item(part) for part in parts])


def _count(value: int) -> GpuSelection:
    if value == 0:
        raise _Refused(
            "a number is a count of GPUs, and this one is 0", "Write none for no GPU, [0] for the GPU with index 0"
        )
    if value < 0:
        raise _Refused(f"{value} is negative; a number is a count of GPUs")
    if value > _MOST:
        raise _Refused(f"a number is a count of GPUs, and no host has {value}")
    return GpuSelection("count", count=value)


def _mapping(value: Mapping[str, Any]) -> GpuSelection:
    if set(value) != {"count"}:
        raise _Refused("a mapping of GPUs may only say count", "Write {count: 2}, or a list of indexes or UUIDs")
    count = value["count"]
    if isinstance(count, bool) or not str(count).strip().isdigit():
        raise _Refused(f"count is {count!r}, not a whole number")
    return _count(int(str(count).strip()))


def _item(part: Any) -> list[str]:
    """The indexes or the one UUID that one part of a list stands for."""
    if isinstance(part, bool) or not isinstance(part, (int, str)):
        raise _Refused(f"{part!r} is neither an index nor a UUID")
    text = str(part).strip().strip("\"'").strip()
    if re.fullmatch(r"-\d+", text):
        raise _Refused(f"{text} is negative; indexes begin at 0")
    if text.isascii() and text.isdigit():
        if int(text) >= _MOST:
            raise _Refused(f"{text} is not an index of a GPU; no host has that many")
        return [str(int(text))]
    span = _RANGE.match(text)
    if span:
        first, last = int(span[1]), int(span[2])
        if first > last:
            raise _Refused(f"the range {text} runs backwards", f"Write {last}-{first}")
        if last >= _MOST:
            raise _Refused(f"the range {text} is larger than any host")
        return [str(index) for index in range(first, last + 1)]
    if text[:4].upper() in ("GPU-", "MIG-"):
        uuid = text[:4].upper() + text[4:].lower().replace("gpu-", "GPU-")
        if not (_GPU_UUID.match(uuid) or _MIG_UUID.match(uuid)):
            raise _Refused(f"{text} is not a whole UUID", "Copy it from nvidia-smi -L")
        return [uuid]
    if re.fullmatch(r"\d+:\d+", text):
        raise _Refused(f"{text} names a MIG device by position, which changes", "Write its UUID (nvidia-smi -L)")
    if text.lower() in ("all", "none"):
        raise _Refused(f"{text.lower()} cannot stand in a list", f"Write gpus: {text.lower()}")
    raise _Refused(f"{text!r} is neither an index nor a UUID" if text else "the list has an empty place")


def _listed(parts: Sequence[Sequence[str]]) -> GpuSelection:
    items = [item for part in parts for item in part]
    kinds = {"index" if item.isdigit() else item[:3] for item in items}
    if len(kinds) > 1:
        names = {"index": "indexes", "GPU": "UUIDs of GPUs", "MIG": "UUIDs of MIG devices"}
        raise _Refused(
            f"{' and '.join(names[kind] for kind in sorted(kinds))} are mixed", "Write all of them in one way"
        )
    for item in items:
        if items.count(item) > 1:
            raise _Refused(f"GPU {item} is named twice", "Name each GPU once")
    if kinds == {"index"}:
        return GpuSelection("indexes", count=len(items), items=tuple(sorted(items, key=int)))
    return GpuSelection("uuids", count=len(items), items=tuple(sorted(items)))
