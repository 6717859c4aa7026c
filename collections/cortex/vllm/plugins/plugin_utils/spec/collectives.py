# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""How the GPUs of one server talk to each other, as somebody declares it (``nccl``).

What follows from it is ``plugin_utils/nccl``'s to say; here is only what may be written.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from .._pydantic import Field, field_validator, model_validator
from .base import Texts
from .parts import Part, environment
from .values import Integer, Problem, Problems, Seconds, env_name, up_to_a_day

#: Names of variables that are understood where a field of ``nccl`` is meant: those that guides and other tools use.
VARIABLES = {
    "NCCL_TIMEOUT": "timeout",
    "NCCL_BLOCKING_WAIT": "blocking_wait",
    "TORCH_NCCL_BLOCKING_WAIT": "blocking_wait",
    "NCCL_ASYNC_ERROR_HANDLING": "async_error_handling",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "async_error_handling",
    "NCCL_DEBUG": "debug",
    "NCCL_DEBUG_SUBSYS": "debug_subsystems",
    "NCCL_DEBUG_FILE": "debug_file",
    "NCCL_LAUNCH_MODE": "launch_mode",
    "NCCL_P2P_DISABLE": "p2p",
    "NCCL_P2P_LEVEL": "p2p",
    "NCCL_SHM_DISABLE": "shm",
    "NCCL_NVLS_ENABLE": "nvls",
    "NCCL_IB_DISABLE": "infiniband",
    "NCCL_IB_HCA": "hcas",
    "NCCL_IB_GID_INDEX": "gid_index",
    "NCCL_NET_GDR_LEVEL": "gdr_level",
    "NCCL_SOCKET_IFNAME": "interface",
    "GLOO_SOCKET_IFNAME": "interface",
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "step_timeout",
    "VLLM_ENGINE_READY_TIMEOUT_S": "ready_timeout",
}
#: Variables whose 1 turns something off.
_DISABLE = ("NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE", "NCCL_IB_DISABLE")
#: Linux: IFNAMSIZ is 16 with the final NUL; the kernel refuses slashes and spaces (net/core/dev.c, dev_valid_name).
_INTERFACE = re.compile(r"^[^\s/,:=^]{1,15}$")
#: A device of /sys/class/infiniband, with or without a port.
_HCA = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]*(?::\d+)?$")
#: NCCL src/debug.cc, ncclDebugSubsystems.
SUBSYSTEMS = (
    "INIT", "COLL", "P2P", "SHM", "NET", "GRAPH", "TUNING", "ENV", "ALLOC", "CALL", "PROXY", "NVLS", "BOOTSTRAP", "REG",
    "PROFILE", "RAS", "ALL",
)  # fmt: skip


class Nccl(Part):
    """How the GPUs of a server talk to each other. What is not said is derived, or left to NCCL."""

    profile: Literal["auto", "none", "pcie", "nvlink", "ethernet", "infiniband"] = Field(
        default="auto",
        description="What connects the GPUs: V(pcie) or V(nvlink) inside of one host, V(ethernet) or V(infiniband) "
        "(RoCE too) between hosts. V(auto) looks at the host. V(none) derives nothing.",
    )
    interface: Texts = Field(
        default=[],
        description="Network interfaces between hosts (C(NCCL_SOCKET_IFNAME), C(GLOO_SOCKET_IFNAME)). Default: the one "
        "that has the host's address.",
    )
    hcas: Texts = Field(
        default=[],
        description="InfiniBand or RoCE adapters, as C(mlx5_0) or C(mlx5_0:1). Default: the active ones of the highest "
        "rate.",
    )
    gid_index: Integer | None = Field(
        default=None,
        ge=0,
        le=255,
        description="GID of RoCE adapters. Default: their RoCE v2 address, where they agree.",
    )
    infiniband: Literal["auto", "off"] = Field(
        default="auto", description="V(off) keeps NCCL from InfiniBand and RoCE adapters."
    )
    p2p: Literal["auto", "off", "nvl", "pix", "pxb", "phb", "sys"] = Field(
        default="auto",
        description="How far apart two GPUs may be to read each other's memory directly. V(auto) leaves it to NCCL, "
        "unless a measurement on this host proved it broken. V(off) also turns vLLM's own all-reduce off.",
    )
    shm: Literal["auto", "off"] = Field(default="auto", description="V(off) keeps NCCL from host memory as a way.")
    nvls: Literal["auto", "on", "off"] = Field(
        default="auto", description="Sums inside of NVSwitches (NVLink SHARP). V(auto) leaves it to NCCL."
    )
    gdr_level: Literal["auto", "loc", "pix", "pxb", "phb", "sys"] = Field(
        default="auto", description="How far apart an adapter and a GPU may be for GPU Direct RDMA."
    )
    launch_mode: Literal["auto", "parallel", "group"] = Field(
        default="auto",
        description="How kernels of several GPUs in one process are launched. V(auto) leaves it to NCCL.",
    )
    debug: Literal["none", "version", "warn", "info", "trace"] = Field(
        default="warn", description="What NCCL tells (C(NCCL_DEBUG))."
    )
    debug_subsystems: Texts = Field(
        default=[], description="Of what NCCL tells, from V(info) on: " + ", ".join(SUBSYSTEMS) + "; C(^) excludes."
    )
    debug_file: bool = Field(
        default=False,
        description="Whether NCCL writes to files, C(nccl.<host>.<pid>.log) in the server's C(run) directory.",
    )
    timeout: Seconds | None = up_to_a_day(
        10,
        "Seconds until a collective that stands still fails (C(--distributed-timeout-seconds), vLLM 0.18 "
        "and newer; the CPU's from 0.22 on). C(NCCL_TIMEOUT) is understood as this.",
    )
    step_timeout: Seconds | None = up_to_a_day(
        1,
        "Seconds that one step of the model may take before the server ends itself: the first thing to "
        "fire when tensor parallel ranks hang. C(VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS), vLLM 0.9.2 and newer; 300 "
        "unless said.",
    )
    ready_timeout: Seconds | None = up_to_a_day(
        1,
        "Seconds that engine processes may take to come up (C(VLLM_ENGINE_READY_TIMEOUT_S), vLLM 0.14 and "
        "newer; its default is 600).",
    )
    blocking_wait: bool | None = Field(
        default=None, description="Whether torch waits for each collective on the CPU (C(TORCH_NCCL_BLOCKING_WAIT))."
    )
    async_error_handling: Integer | None = Field(
        default=None,
        ge=0,
        le=3,
        description="What torch does when a collective failed: 0 nothing, 1 end the process, 2 clean up, 3 end without "
        "cleaning up (C(TORCH_NCCL_ASYNC_ERROR_HANDLING)).",
    )
    env: dict[str, str] = Field(
        default={}, description="Further variables of NCCL, torch and gloo, checked against what they read."
    )

    @model_validator(mode="before")
    @classmethod
    def _variables(cls, value: Any) -> Any:
        """Names of variables become fields; other names of NCCL, torch and gloo go to ``env``."""
        if not isinstance(value, dict):
            return value
        problems: list[Problem] = []
        result: dict[str, Any] = {}
        further: dict[str, Any] = {}
        for key, item in value.items():
            name = str(key).upper()
            if key in cls.model_fields or not name.startswith(("NCCL_", "TORCH_", "GLOO_", "VLLM_")):
                result[key] = item
                continue
            field = VARIABLES.get(name)
            if field is None:
                further[name] = item
            elif field in value or field in result:
                if name != "GLOO_SOCKET_IFNAME":
                    problems.append(Problem(f"is the same as {field}", "Write one of them", at=(key,)))
            else:
                result[field] = _translated(name, item)
        if problems:
            raise Problems(problems)
        if further:
            own = result.get("env")
            result["env"] = {**further, **(own if isinstance(own, dict) else {})}
        return result

    @field_validator("debug", "p2p", "gdr_level", "launch_mode", "infiniband", "shm", "nvls", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        if value is False:  # what YAML makes of off
            return "off"
        if value is True:
            raise Problem("is true, which is no choice", 'Write "auto", or delete it')
        return value.lower() if isinstance(value, str) else value

    @field_validator("interface", "hcas", "debug_subsystems", mode="before")
    @classmethod
    def _comma(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("interface")
    @classmethod
    def _interfaces(cls, value: list[str]) -> list[str]:
        names = [item.lstrip("=") for item in value]
        for index, item in enumerate(names):
            if not _INTERFACE.match(item):
                raise Problem(
                    f"{item!r} is not the name of an interface", "Write names such as eth0, in full", at=(index,)
                )
        return names

    @field_validator("hcas")
    @classmethod
    def _adapters(cls, value: list[str]) -> list[str]:
        names = [item.lstrip("=") for item in value]
        for index, item in enumerate(names):
            if not _HCA.match(item):
                raise Problem(f"{item!r} is not the name of an adapter", "Write mlx5_0 or mlx5_0:1", at=(index,))
        return names

    @field_validator("debug_subsystems")
    @classmethod
    def _subsystems(cls, value: list[str]) -> list[str]:
        names = [item.upper() for item in value]
        for index, item in enumerate(names):
            if item.lstrip("^") not in SUBSYSTEMS:
                raise Problem(f"{item!r} is not a part of NCCL", f"Write some of {', '.join(SUBSYSTEMS)}", at=(index,))
        return names

    @field_validator("env", mode="before")
    @classmethod
    def _further(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        problems = []
        for key in value:
            env_name(key)
            if key in VARIABLES:
                problems.append(Problem("has a field of its own", f"Write nccl.{VARIABLES[key]}", at=(key,)))
            elif not key.startswith(("NCCL_", "TORCH_", "GLOO_", "TP_")):
                problems.append(Problem("is no variable of a collective", "Write it as env of the server", at=(key,)))
        if problems:
            raise Problems(problems)
        return environment(value)

    @model_validator(mode="after")
    def _fits_together(self) -> Nccl:
        if self.debug_subsystems and self.debug not in ("info", "trace"):
            raise Problem("says nothing below debug: info", "Write debug: info, or delete it", at=("debug_subsystems",))
        return self


def _translated(name: str, value: Any) -> Any:
    """The field's value for the value of a variable."""
    if name in _DISABLE or name == "NCCL_NVLS_ENABLE":
        on = str(value).strip().lower() in ("1", "true", "yes")
        if name == "NCCL_NVLS_ENABLE":
            return "on" if on else ("auto" if str(value).strip() == "2" else "off")
        return "off" if on else "auto"
    if name == "NCCL_P2P_LEVEL" or name == "NCCL_NET_GDR_LEVEL":
        word = str(value).strip().lower()
        return "off" if name == "NCCL_P2P_LEVEL" and word == "loc" else word
    if name in ("NCCL_BLOCKING_WAIT", "TORCH_NCCL_BLOCKING_WAIT"):
        return value if isinstance(value, bool) else str(value).strip().lower() in ("1", "true", "yes")
    if name.endswith("ASYNC_ERROR_HANDLING"):
        return int(value) if isinstance(value, (bool, str)) and str(value).strip().isdigit() else value
    if name == "NCCL_DEBUG_FILE":
        return bool(value)
    return value
