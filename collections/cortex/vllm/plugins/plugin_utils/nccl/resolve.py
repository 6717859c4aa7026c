# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""From a declared ``nccl`` and the facts of a host to variables and arguments, each with its reason.

Nothing is set that NCCL decides well by itself; in particular peer to peer is never turned off without a declaration or
a measurement that proved it broken.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import catalog
from ..findings import Severity
from . import names
from .facts import Facts

#: Where the writable directory of a server is mounted (spec.MOUNT_STATE); NCCL fills in %h (host) and %p (process).
DEBUG_FILE = "/run/cortex-vllm-state/nccl.%h.%p.log"
INFINIBAND = "/dev/infiniband"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One variable, and why it has its value.

    :ivar because: ``declared``, ``host`` (derived from its facts), ``measured`` or ``default``
    """

    name: str
    value: str
    why: str
    because: str = "declared"

    @property
    def reader(self) -> str:
        return names.reader(self.name) or "vLLM"


@dataclasses.dataclass
class Resolution:
    """What follows from a declaration on one host.

    :ivar left: what was left to NCCL, and why: told in the file
    :ivar arguments: vLLM's arguments that belong to it
    :ivar devices: further devices of the container
    :ivar notes: ``(severity, code, message, fix, field below nccl)``
    """

    profile: str
    settings: list[Setting] = dataclasses.field(default_factory=list)
    left: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    devices: list[str] = dataclasses.field(default_factory=list)
    notes: list[tuple[Severity, str, str, str, tuple[str, ...]]] = dataclasses.field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What the container's environment must say: all that NCCL's file cannot."""
        return {item.name: item.value for item in self.settings if item.reader != "NCCL"}

    @property
    def file(self) -> list[Setting]:
        """What stands in /etc/nccl.conf."""
        return [item for item in self.settings if item.reader == "NCCL"]

    def add(self, name: str, value: Any, why: str, because: str = "declared") -> None:
        self.settings.append(Setting(name, str(value), why, because))

    def note(self, severity: Severity, code: str, message: str, fix: str, *field: str) -> None:
        self.notes.append((severity, code, message, fix, field))


def resolve(nccl: Any, facts: Facts, release: catalog.Release | None) -> Resolution:
    """What ``nccl`` (:class:`spec.Nccl`) means on a host.

    :param release: of vLLM, for what controls time-outs; None when only the host's own file is wanted
    """
    profile = _profile(nccl, facts)
    result = Resolution(profile)
    _debug(nccl, result)
    _interfaces(nccl, facts, result)
    _adapters(nccl, facts, result)
    _transports(nccl, facts, result)
    if release is not None:
        _timeouts(nccl, release, result)
    _torch(nccl, result)
    for name in sorted(nccl.env):
        result.add(name, nccl.env[name], "declared under env")
        _known(name, result)
    return result


def _profile(nccl: Any, facts: Facts) -> str:
    if nccl.profile != "auto":
        return str(nccl.profile)
    if facts.nodes > 1:
        return "infiniband" if facts.active_adapters and nccl.infiniband != "off" else "ethernet"
    if facts.gpus < 2:
        return "none"
    return "nvlink" if facts.nvlinked else "pcie"


def _debug(nccl: Any, result: Resolution) -> None:
    if nccl.debug != "none":
        because = "default" if nccl.debug == "warn" else "declared"
        result.add("NCCL_DEBUG", nccl.debug.upper(), "failures of NCCL name their cause in the log", because)
    if nccl.debug_subsystems:
        result.add("NCCL_DEBUG_SUBSYS", ",".join(nccl.debug_subsystems), "of NCCL's messages, only these parts")
    if nccl.debug_file:
        result.add("NCCL_DEBUG_FILE", DEBUG_FILE, "one file for each process, kept in the server's run directory")


def _interfaces(nccl: Any, facts: Facts, result: Resolution) -> None:
    between = facts.nodes > 1 or result.profile in ("ethernet", "infiniband")
    chosen, because, why = list(nccl.interface), "declared", "declared"
    if not facts.shares_network and not chosen:
        text = "the container has a network of its own, with one interface"
        result.left.append(("NCCL_SOCKET_IFNAME", text))
        return
    if not chosen and facts.address:
        name = facts.interface_of(facts.address)
        if name is None and facts.asked:
            known = ", ".join(sorted({a for item in facts.interfaces.values() for a in item.get("addresses") or ()}))
            text = f"no interface of this host has the address {facts.address} (it has {known})"
            result.note(
                "error", "nccl.interface", text,
                "Correct the host's address in the inventory (vllm_address, else ansible_host), or write "
                "nccl.interface", "interface",
            )  # fmt: skip
        chosen, because, why = [name] if name else [], "host", f"it has this host's address {facts.address}"
    if not chosen and between and facts.default_interface:
        chosen, because, why = [facts.default_interface], "host", "it has the default route"
    for name in chosen:
        _interface(name, facts, result)
    if chosen:
        exact = "=" + ",".join(chosen)
        result.add("NCCL_SOCKET_IFNAME", exact, f"{why}; = is: this name, not all that begin so", because)
        result.add("GLOO_SOCKET_IFNAME", ",".join(chosen[:1]), f"{why}; gloo joins the ranks' processes", because)
        result.add("TP_SOCKET_IFNAME", ",".join(chosen[:1]), f"{why}; torch's tensorpipe", because)
    elif between:
        result.left.append(
            ("NCCL_SOCKET_IFNAME", "the host was not asked, or tells no interface: NCCL takes the first")
        )
    if facts.address and facts.nodes > 1:
        result.add(
            "VLLM_HOST_IP", facts.address, "this host's address in the inventory: where other ranks find it", "host"
        )


def _interface(name: str, facts: Facts, result: Resolution) -> None:
    if not facts.asked or not facts.shares_network:
        return
    if name not in facts.interfaces:
        result.note(
            "error", "nccl.interface", f"this host has no interface {name}",
            f"Write one of {', '.join(sorted(facts.interfaces))}", "interface",
        )  # fmt: skip
    elif not facts.interfaces[name].get("up"):
        result.note("error", "nccl.interface", f"interface {name} is down", "Bring it up, or name another", "interface")


def _adapters(nccl: Any, facts: Facts, result: Resolution) -> None:
    if nccl.infiniband == "off" or (result.profile == "ethernet" and facts.active_adapters):
        because = "declared" if nccl.infiniband == "off" or nccl.profile == "ethernet" else "host"
        result.add("NCCL_IB_DISABLE", "1", "adapters for RDMA are not used", because)
        return
    if result.profile != "infiniband":
        if nccl.hcas:
            fix = "Write profile: infiniband, or delete hcas"
            result.note("warning", "nccl.unused", f"adapters mean nothing to profile {result.profile}", fix, "hcas")
        return
    found, chosen = facts.active_adapters, list(nccl.hcas)
    if chosen and facts.asked:
        known = {item.name for item in facts.adapters} | {item.words for item in facts.adapters}
        for name in chosen:
            if name not in known:
                result.note(
                    "error", "nccl.adapter", f"this host has no adapter {name}",
                    f"Write one of {', '.join(sorted(known)) or 'none: it has no adapter at all'}", "hcas",
                )  # fmt: skip
            elif not any(item.active for item in facts.adapters if name in (item.name, item.words)):
                result.note("error", "nccl.adapter", f"no port of {name} is active", "Bring its link up", "hcas")
        found = [item for item in facts.adapters if {item.name, item.words} & set(chosen)]
    if not chosen and not found and facts.asked:
        result.note(
            "error", "nccl.adapter", "the profile is infiniband, and no adapter of this host is active",
            "Bring a link up, or write profile: ethernet", "profile",
        )  # fmt: skip
    if chosen or found:
        words = ",".join(chosen or [item.words for item in found])
        why = (
            "declared" if chosen else f"the active {found[0].layer} ports of the highest rate ({found[0].rate:g} Gb/s)"
        )
        result.add("NCCL_IB_HCA", f"={words}", f"{why}; = is: these and no others", "declared" if chosen else "host")
        result.devices.append(INFINIBAND)
    _gid(nccl, found, result)
    if nccl.gdr_level != "auto":
        result.add("NCCL_NET_GDR_LEVEL", nccl.gdr_level.upper(), "how far GPU Direct RDMA may reach")
    else:
        result.left.append(("NCCL_NET_GDR_LEVEL", "NCCL knows the distances of adapters and GPUs"))


def _gid(nccl: Any, found: list[Any], result: Resolution) -> None:
    if nccl.gid_index is not None:
        result.add("NCCL_IB_GID_INDEX", nccl.gid_index, "declared")
        return
    roce = [item for item in found if item.layer == "Ethernet"]
    indexes = {item.gid for item in roce}
    if len(indexes) == 1 and None not in indexes:
        why = "the RoCE v2 address of these ports (NCCL up to 2.20 would take index 0, which is RoCE v1)"
        result.add("NCCL_IB_GID_INDEX", roce[0].gid, why, "host")
    elif roce:
        result.left.append(("NCCL_IB_GID_INDEX", "the ports differ: NCCL finds it by itself from 2.21 on"))


def _transports(nccl: Any, facts: Facts, result: Resolution) -> None:
    broken = (facts.measured or {}).get("verdict") == "p2p-broken"
    if nccl.p2p == "off" or (nccl.p2p == "auto" and broken):
        because = "declared" if nccl.p2p == "off" else "measured"
        why = (
            "declared"
            if nccl.p2p == "off"
            else f"a measurement proved it broken: {(facts.measured or {}).get('message')}"
        )
        result.add("NCCL_P2P_DISABLE", "1", why, because)
        # vllm/distributed/device_communicators/custom_all_reduce.py copies between GPUs by itself and does not look
        # at NCCL's variables.
        result.arguments["disable_custom_all_reduce"] = True
        if nccl.p2p == "off" and facts.nvlinked:
            text = "these GPUs are joined by NVLink, and p2p: off keeps NCCL from it: many times slower"
            fix = "Delete it; cortex.vllm.nccl_test measures whether peer to peer works here"
            result.note("warning", "nccl.p2p-off", text, fix, "p2p")
    elif nccl.p2p != "auto":
        result.add("NCCL_P2P_LEVEL", nccl.p2p.upper(), "how far apart GPUs may be for peer to peer")
        if broken:
            text = f"a measurement on this host proved peer to peer broken: {(facts.measured or {}).get('message')}"
            result.note("warning", "nccl.p2p-broken", text, "Write p2p: off, or measure again", "p2p")
    else:
        said = (facts.measured or {}).get("verdict")
        proven = " (and measured: it works here)" if said == "p2p-works" else ""
        result.left.append(("NCCL_P2P_DISABLE", f"NCCL looks at the links itself{proven}; never off without a reason"))
    if nccl.shm == "off":
        result.add("NCCL_SHM_DISABLE", "1", "declared")
        if nccl.p2p == "off" and facts.nodes == 1:
            text = "with p2p and shm off, GPUs of one host talk through network sockets"
            result.note("warning", "nccl.slow", text, "Delete one of them", "shm")
    _nvls(nccl, facts, result)
    if nccl.launch_mode != "auto":
        result.add("NCCL_LAUNCH_MODE", nccl.launch_mode.upper(), "declared")


def _nvls(nccl: Any, facts: Facts, result: Resolution) -> None:
    if nccl.nvls == "off":
        result.add("NCCL_NVLS_ENABLE", "0", "declared")
    elif nccl.nvls == "on":
        result.add("NCCL_NVLS_ENABLE", "1", "declared; 1 fails where the hardware lacks it")
        # NCCL src/transport/nvls.cc: multicast objects of CUDA, which Hopper and an NVSwitch of the third kind have.
        if (facts.links and not facts.nvlinked) or (facts.capability and facts.capability < (9, 0)):
            text = "sums inside of NVSwitches need GPUs of compute capability 9.0 that an NVSwitch joins"
            result.note("error", "nccl.unavailable", text, "Delete nvls", "nvls")
    elif result.profile == "nvlink":
        result.left.append(("NCCL_NVLS_ENABLE", "NCCL uses NVLink SHARP where the switches have it"))


def _timeouts(nccl: Any, release: catalog.Release, result: Resolution) -> None:
    has = f"vLLM {release.version}"
    if nccl.timeout is not None:
        seconds = max(1, round(nccl.timeout))
        if release.flag("distributed_timeout_seconds") is not None:
            result.arguments["distributed_timeout_seconds"] = seconds
            if release.flag("cpu_distributed_timeout_seconds") is not None:
                result.arguments["cpu_distributed_timeout_seconds"] = seconds
            else:
                text = f"{has} has it for GPUs only; the CPU's own time-out came with 0.22"
                result.note("info", "nccl.timeout", text, "Nothing to do", "timeout")
        else:
            text = f"{has} has no time-out for collectives: it came with 0.18"
            fix = "Write step_timeout, which ends a step that hangs, or use a newer image"
            result.note("warning", "nccl.timeout", text, fix, "timeout")
    for field, variable, since in (
        ("step_timeout", "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "0.9.2"),
        ("ready_timeout", "VLLM_ENGINE_READY_TIMEOUT_S", "0.14"),
    ):
        value = getattr(nccl, field)
        if value is None:
            continue
        if variable in release.environment:
            result.add(variable, max(1, round(value)), "declared")
        else:
            text = f"{has} does not read {variable}: it came with {since}"
            result.note("warning", "nccl.timeout", text, "Delete it, or use a newer image", field)
    if nccl.timeout is not None and nccl.step_timeout is not None and nccl.step_timeout > nccl.timeout:
        text = "timeout fires before step_timeout: collectives fail, and the step with them"
        result.note("info", "nccl.timeout", text, "Nothing to do, if that is meant", "step_timeout")


def _torch(nccl: Any, result: Resolution) -> None:
    if nccl.blocking_wait is not None:
        result.add("TORCH_NCCL_BLOCKING_WAIT", int(nccl.blocking_wait), "NCCL_BLOCKING_WAIT is its old name")
    if nccl.async_error_handling is not None:
        why = "vLLM deletes the old name NCCL_ASYNC_ERROR_HANDLING from its workers"
        result.add("TORCH_NCCL_ASYNC_ERROR_HANDLING", nccl.async_error_handling, why)


def _known(name: str, result: Resolution) -> None:
    who = names.reader(name)
    if who is None:
        meant = names.near(name)
        fix = f"Write {meant}, if that is meant" if meant else "Delete it, unless a plugin in the image reads it"
        result.note("warning", "environment.unknown", "neither NCCL nor torch nor gloo reads it", fix, "env", name)
    elif who == "NCCL":
        first, last = names.life(name)
        if last is not None:
            text = f"NCCL {last} was the last that read it"
            result.note(
                "warning", "environment.deprecated", text, "Delete it, unless the image has that NCCL", "env", name
            )
