# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What every declared container has: its image, GPUs, environment, mounts, limits and rules."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from .._pydantic import BeforeValidator, Field, PrivateAttr, field_serializer, field_validator, model_validator
from ..findings import CODE, FindingsError
from ..gpu_selection import GpuSelection, parse
from .parts import (
    SYSTEM_PATHS,
    Held,
    Log,
    Mount,
    Part,
    Secrets,
    Ulimit,
    holds_secret,
    looks_secret,
    public_environment,
)
from .values import Image, Name, Number, Path, Problem, Problems, Seconds, Size, Text, texts

#: Places inside the container that belong to the collection.
MOUNT_FILES = "/run/cortex-vllm"
MOUNT_STATE = "/run/cortex-vllm-state"
MOUNT_CACHE = "/var/cache/cortex-vllm"
MOUNT_HUB = "/var/lib/cortex-vllm/hub"
MOUNT_STARTING = "/run/cortex-vllm-starting"
OWN_MOUNTS = (MOUNT_FILES, MOUNT_STATE, MOUNT_CACHE, MOUNT_HUB, MOUNT_STARTING)
OWN_LABELS = "cortex.vllm."

GIB = 1 << 30
#: Workers pass tensors through /dev/shm. vLLM needs 160 MiB at once even on a CPU (its message: "Insufficient space in
#: /dev/shm for shared-memory allocation: 160 MiB required"), the engine's default is 64 MiB. Memory is only used as it
#: is written, so a wide limit costs nothing.
SHM_SIZE_CPU = 2 * GIB
SHM_SIZE_GPU = 16 * GIB


#: The last number of a user or group (moby/sys/user, maxID).
_LAST_ID = (1 << 31) - 1
#: Limits that engines know (docker/go-units ulimit.go).
ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip


def _gpus(value: Any) -> GpuSelection:
    try:
        return parse(value)
    except FindingsError as refused:
        first = refused.findings[0]
        raise Problem(first.message, first.fix, code=first.code) from None


Gpus = Annotated[GpuSelection, BeforeValidator(_gpus)]
Texts = Annotated[list[Text], BeforeValidator(texts)]


class Declaration(Part):
    """The fields that a server and a container have in common."""

    name: Name = Field(description="Name on this host. The container is called C(cortex-vllm-<name>).")
    image: Image = Field(description="Image to run, by tag, digest or id.", examples=["vllm/vllm-openai:v0.32.0"])
    pull: Literal["missing", "never"] = Field(
        default="missing",
        description="Whether an image that the host lacks may be pulled. What is there stays until an update is asked.",
    )
    state: Literal["started", "stopped", "absent", "held"] = Field(
        default="started", description="What to converge to. V(held) leaves everything as it is and says so."
    )
    held: Held | None = Field(default=None, description="Why the server is held, and until when.")
    gpus: Gpus = Field(
        default=GpuSelection("none"),
        description="GPUs: a number is a count; lists and text are indexes or UUIDs; V(all) or V(none).",
        json_schema_extra={"ansible": "raw"},
    )
    gpu_access: Literal["auto", "nvidia", "cdi"] = Field(
        default="auto",
        description="How the engine is asked for GPUs: by the NVIDIA driver of device requests, or by CDI names. "
        "V(auto) takes CDI on podman.",
    )
    env: dict[str, str] = Field(
        default={}, description="Environment variables. Everybody on the host can read them: no secrets here."
    )
    secrets: Secrets = Field(default=Secrets(), description="Values that only a 0400 file and the process see.")
    mounts: list[Mount] = Field(
        default=[],
        description="Further paths of the host, as C(source[:target[:ro|rw]]) or as a mapping; read-only "
        "unless said otherwise.",
    )
    devices: list[Path] = Field(default=[], description="Devices of the host, such as C(/dev/infiniband/uverbs0).")
    network: Text = Field(default="bridge", description="Network: V(bridge), V(host), V(none) or a network's name.")
    networks: Texts = Field(default=[], description="Further networks to connect to.")
    ipc: Literal["private", "host"] = Field(default="private", description="Whether /dev/shm is the host's.")
    shm_size: Size | None = Field(
        default=None,
        ge=1 << 20,
        description="Size of /dev/shm. Default: 16g with GPUs, 2g without.",
        json_schema_extra={"ansible": "str"},
    )
    memory: Size | None = Field(
        default=None, ge=6 << 20, description="Memory limit.", json_schema_extra={"ansible": "str"}
    )
    cpus: Number | None = Field(default=None, gt=0, description="CPU limit, in cores.")
    ulimits: dict[str, Ulimit] | None = Field(
        default=None, description="Limits by name. Default with GPUs: C(memlock) -1 and C(stack) 67108864."
    )
    user: str | None = Field(
        default=None,
        description="Numeric user, or C(user:group), to run as. Default: the image's.",
        json_schema_extra={"ansible": "str"},
    )
    init: bool = Field(
        default=True, description="Whether PID 1 passes signals on. Without it a stop before readiness is lost."
    )
    cap_add: Texts = Field(default=[], description="Capabilities to give back; all are dropped.")
    security_opt: Texts = Field(default=[], description="Further security options of the engine.")
    labels: dict[str, str] = Field(default={}, description="Further labels of the container.")
    log: Log = Field(default=Log(), description="Where the engine keeps the output, and how much of it.")
    restart_policy: Literal["no", "always", "unless-stopped", "on-failure"] = Field(
        default="unless-stopped",
        description="What the engine does when the server ends, once the server has been verified. vLLM exits 0 when "
        "its engine dies, so V(on-failure) would not bring it back.",
    )
    start_timeout: Seconds | None = Field(
        default=None,
        gt=0,
        le=86400,
        description="Seconds that a start may take. Default: by the size of the model, 10 to 60 minutes.",
    )
    stop_timeout: Seconds = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Seconds from the wish to stop to the kill. A server gets at least ten more than its drain.",
    )
    accept: Texts = Field(default=[], description="Codes of findings that somebody has decided to live with.")

    # Where the declaration was written (errors.Place); set by the loader.
    _place: Any = PrivateAttr(default=None)

    @field_validator("env", mode="before")
    @classmethod
    def _environment(cls, value: Any) -> Any:
        return public_environment(value)

    @field_validator("labels", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key, item in value.items():
                if key.startswith(OWN_LABELS):
                    raise Problem("is the collection's own label", "Choose another prefix", at=(key,))
                if not isinstance(item, str):
                    raise Problem("is not text", "Quote it", at=(key,))
                if looks_secret(key) or holds_secret(item):
                    raise Problem(
                        "would stand in the container's labels for everybody to read",
                        "Leave it out, or write it below secrets.env",
                        code="security.secret-in-env",
                        at=(key,),
                    )
        return value

    @field_validator("user", mode="before")
    @classmethod
    def _numeric_user(cls, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            value = str(value)
        parts = value.split(":") if isinstance(value, str) else []
        if not parts or len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
            raise Problem(
                "is not numeric; the host cannot know the names inside of an image", 'Write "uid" or "uid:gid", quoted'
            )
        if any(int(part) > _LAST_ID for part in parts):
            raise Problem("has a number that no engine takes", f"Write numbers up to {_LAST_ID}")
        return value

    @field_validator("ulimits")
    @classmethod
    def _limits(cls, value: dict[str, Ulimit] | None) -> dict[str, Ulimit] | None:
        for key in value or ():
            if key not in ULIMITS:
                near = difflib.get_close_matches(key, ULIMITS, 1)
                fix = f"Write {near[0] if near else ', '.join(ULIMITS)}"
                raise Problem("is not a limit of the kernel", fix, at=(key,))
        return value

    @field_validator("cap_add")
    @classmethod
    def _capabilities(cls, value: list[str]) -> list[str]:
        return sorted({item.upper().removeprefix("CAP_") for item in value})

    @field_validator("accept")
    @classmethod
    def _codes(cls, value: list[str]) -> list[str]:
        for index, code in enumerate(value):
            if not CODE.match(code):
                raise Problem(f"{code!r} is not a finding code", "Write codes such as gpu.shared", at=(index,))
        return sorted(set(value))

    @field_validator("mounts")
    @classmethod
    def _targets(cls, value: list[Mount]) -> list[Mount]:
        problems, seen = [], dict.fromkeys(OWN_MOUNTS, "the collection")
        for index, mount in enumerate(value):
            if mount.target in seen:
                problems.append(
                    Problem(
                        f"{mount.target} is already mounted by {seen[mount.target]}",
                        "Choose another target",
                        at=(index,),
                    )
                )
            elif mount.target in SYSTEM_PATHS:
                problems.append(
                    Problem(f"{mount.target} would hide the image's own files", "Mount a path below it", at=(index,))
                )
            seen[mount.target] = f"mounts[{index}]"
        if problems:
            raise Problems(problems)
        return value

    @field_validator("network")
    @classmethod
    def _no_borrowed_network(cls, value: str) -> str:
        if value.partition(":")[0] in ("container", "ns"):
            raise Problem("borrows the network of something that may be gone", "Write bridge, host or a network's name")
        return value

    @model_validator(mode="after")
    def _networks_fit(self) -> Declaration:
        if self.networks and self.network in ("host", "none"):
            raise Problem(
                f"cannot be joined by a container on network {self.network}",
                "Delete networks, or write network: bridge",
                at=("networks",),
            )
        return self

    @model_validator(mode="after")
    def _hold_has_a_reason(self) -> Declaration:
        if self.state == "held" and self.held is None:
            raise Problem(
                "is missing while state is held", "Write held: {reason: why, until: 2026-12-31}", at=("held",)
            )
        return self

    @field_serializer("gpus")
    def _canonical_gpus(self, value: GpuSelection) -> Any:
        return value.canonical()

    def where(self, *location: Any, root: str = "vllm_servers") -> str:
        """Path of a field as the person wrote it, in the declaration or in the defaults: for findings."""
        if self._place is not None:
            return str(self._place.owner(location).path(location))
        return ".".join([f"{root}[{self.name}]", *(str(part) for part in location)])

    def origin(self, *location: Any) -> Any:
        """What the person wrote there, with its file and line where ansible-core tagged it. None for secrets."""
        return None if self._place is None else self._place.owner(location).origin(location)

    def pointed(self, field: str | None) -> Any:
        """The same for a field that is named by its path, as findings do."""
        return None if self._place is None or not field else self._place.pointed(field)

    @property
    def container_name(self) -> str:
        """Name of the container on the engine."""
        return f"cortex-vllm-{self.name}"

    @property
    def wants_gpus(self) -> bool:
        """Whether any GPU is asked for."""
        return bool(self.gpus)

    @property
    def uid_gid(self) -> tuple[int, int] | None:
        """The declared user and group; the group is 0 when only a user is named, as the engine does it."""
        if self.user is None:
            return None
        uid, dummy, gid = self.user.partition(":")
        return int(uid), int(gid or 0)

    def effective_shm_size(self) -> int:
        """Bytes of /dev/shm."""
        return self.shm_size or (SHM_SIZE_GPU if self.wants_gpus else SHM_SIZE_CPU)

    @property
    def effective_stop_timeout(self) -> float:
        """Seconds from SIGTERM to SIGKILL."""
        return self.stop_timeout

    def effective_ulimits(self) -> dict[str, Ulimit]:
        """Declared limits, or what NVIDIA asks for in its containers (pinned memory, deep stacks of NCCL's threads)."""
        if self.ulimits is not None:
            return self.ulimits
        if not self.wants_gpus:
            return {}
        return {"memlock": Ulimit(soft=-1, hard=-1), "stack": Ulimit(soft=67108864, hard=67108864)}

    def secret_values(self) -> dict[str, str]:
        """Environment variable to secret value. Hand it on, never show it."""
        return self.secrets.values()

    def canonical(self, digests: dict[str, str] | None = None) -> dict[str, Any]:
        """The declaration as JSON data with defaults filled in: what is recorded and compared.

        :param digests: environment variable to digest of its value; a secret without one shows as ``********``
        """
        data = self.model_dump(mode="json", exclude={"secrets"})
        data["secrets"] = {name: (digests or {}).get(name, "********") for name in self.secret_values()}
        return data
