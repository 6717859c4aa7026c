# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The smaller things that a declaration is made of: mounts, ports, limits, secrets, the probe, a hold."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any, Literal

from .._pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from .values import (
    Address,
    Integer,
    Name,
    Path,
    Problem,
    Problems,
    Seconds,
    Text,
    absolute,
    env_name,
    number_not_bool,
    up_to_a_day,
)

#: What a person sets with a field of its own.
FIELDS_OF_SECRETS = {"VLLM_API_KEY": "secrets.api_key", "HF_TOKEN": "secrets.hf_token"}
#: Older or other spellings of the same (huggingface_hub utils/_auth.py reads both names of the token).
_ALIASES_OF_SECRETS = {"HUGGING_FACE_HUB_TOKEN": "secrets.hf_token"}
#: Set by the engine or the launcher; another value would break what decides them.
RESERVED_ENV = {
    "NVIDIA_VISIBLE_DEVICES": "gpus decides which GPUs the container sees",
    "CUDA_VISIBLE_DEVICES": "gpus decides which GPUs the container sees",
    "CUDA_DEVICE_ORDER": "GPUs are numbered by PCI bus, as nvidia-smi does",
}
_SECRET_NAME = re.compile(
    r"(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|SECRETS|CREDENTIALS|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)(_|$)"
)
#: Addresses as ``http://user:password@proxy``, and tokens as the Hub gives them (``hf_`` and 34 letters).
_SECRET_VALUE = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s:]*:[^/@\s]+@|^hf_[A-Za-z0-9]{30,}$", re.IGNORECASE)
#: ``[address:][port:]container_port``; IPv6 addresses stand in brackets.
_PORT = re.compile(r"(?:(?P<address>\[[^]]+\]|[^:]*[^:\d][^:]*):)?(?:(?P<port>\d+):)?(?P<inner>\d+)")

#: Paths where a mount would hide the image's own files, or the kernel's.
SYSTEM_PATHS = (
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var",
)


def looks_secret(name: str) -> bool:
    """Whether a name says that its value is a secret: its value is then never shown."""
    return bool(_SECRET_NAME.search(re.sub(r"[.-]", "_", name.upper())))


def holds_secret(value: str) -> bool:
    """Whether a value is one by its form: an address with a password in it, or a token of the Hub."""
    return bool(_SECRET_VALUE.search(value))


class Part(BaseModel):
    """What all models of a declaration share: nothing unknown, nothing changed later, no input in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False)


def _of(field: str, reader: Callable[[Any], Any], value: Any) -> Any:
    """Read the value of one field of a mapping that is not validated yet."""
    try:
        return reader(value)
    except Problem as problem:
        problem.at = (field, *problem.at)
        raise


class Mount(Part):
    """A path of the host (or a volume of the engine) that the container sees."""

    source: Text = Field(description="Path on the host, which must exist, or the name of an engine volume.")
    target: Path = Field(description="Path in the container. Default: the same as on the host.")
    read_only: bool = Field(default=True, description="Whether the container may only read it.")
    relabel: bool = Field(
        default=True, description="Whether to give it the container's SELinux label, on hosts that enforce SELinux."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            source, dummy, rest = value.partition(":")
            target, dummy, mode = rest.partition(":")
            if mode not in ("", "ro", "rw"):
                raise Problem(f"{mode!r} is not a mode of a mount", "Write source:target:ro or source:target:rw")
            value = {"source": source, "target": target or source, "read_only": mode != "rw"}
        if isinstance(value, dict):
            value = {"target": value.get("source"), **value}
            source = value.get("source")
            if isinstance(source, str) and "/" in source and not source.startswith("/"):
                raise Problem(f"{source!r} is not an absolute path", "Write the path from /", at=("source",))
            if isinstance(source, str) and source.startswith("/"):  # as the engine writes it: no difference later
                value["source"] = _of("source", absolute, source)
        return value

    @property
    def is_volume(self) -> bool:
        """Whether ``source`` names a volume of the engine instead of a path."""
        return not self.source.startswith("/")


class Port(Part):
    """A port of the container that the host publishes."""

    address: Address = Field(default="127.0.0.1", description="Address of the host to publish on.")
    port: Integer = Field(ge=1, le=65535, description="Port of the host.")
    container_port: Integer = Field(ge=1, le=65535, description="Port in the container. Default: the same.")
    protocol: Literal["tcp", "udp"] = Field(default="tcp", description="Transport protocol.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = {"port": value}
        if isinstance(value, str):
            rest, dummy, protocol = value.partition("/")
            match = _PORT.fullmatch(rest)
            if not match:
                raise Problem(f"{value!r} is not a published port", "Write address:port:container_port, or a number")
            value = {"port": match["port"] or match["inner"], "container_port": match["inner"]}
            value |= {"address": match["address"]} if match["address"] else {}
            value |= {"protocol": protocol} if protocol else {}
        return {"container_port": value.get("port"), **value} if isinstance(value, dict) else value


class Ulimit(Part):
    """A resource limit of the container's processes; -1 is unlimited."""

    soft: Integer = Field(ge=-1, description="Limit that applies.")
    hard: Integer = Field(ge=-1, description="Limit up to which a process may raise it.")

    @model_validator(mode="before")
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        number_not_bool(value)
        if isinstance(value, str) and value.count(":") == 1:  # as docker run writes it
            value = dict(zip(("soft", "hard"), value.split(":"), strict=True))
        return {"soft": value, "hard": value} if isinstance(value, (int, str)) else value

    @model_validator(mode="after")
    def _in_order(self) -> Ulimit:
        if self.hard != -1 and (self.soft == -1 or self.soft > self.hard):
            raise Problem(f"is above hard ({self.hard})", "Write soft: as hard, or less", at=("soft",))
        return self


class Log(Part):
    """The engine's log driver. The default keeps 150 MB: enough for the whole of a failed start."""

    driver: Text = Field(default="json-file", description="Log driver of the engine.")
    options: dict[str, str] = Field(
        default={"max-size": "50m", "max-file": "3"}, description="Options of the driver, as text."
    )

    @model_validator(mode="before")
    @classmethod
    def _options_of_the_driver(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "options" in value or value.get("driver") in (None, "json-file", "local"):
            return value
        return {**value, "options": {}}  # other drivers refuse options that they do not know

    @field_validator("options", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return environment(value) if isinstance(value, dict) else value


class Secrets(Part):
    """Values that travel to a 0400 file on the host and into the process's environment, and nowhere else."""

    api_key: SecretStr | None = Field(default=None, description="Key that clients must send. Exported as VLLM_API_KEY.")
    hf_token: SecretStr | None = Field(
        default=None, description="Token for the Hugging Face Hub. Exported as HF_TOKEN."
    )
    env: dict[str, SecretStr] = Field(default={}, description="Further secret environment variables, by name.")

    @field_validator("api_key", "hf_token", mode="before")
    @classmethod
    def _one_line(cls, value: Any) -> Any:
        value = _secret(value)
        # Both travel in the header of a request (RFC 9110 5.5), where vLLM and the Hub compare them as they come.
        if value is not None and not re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", value):
            raise Problem(
                "cannot be sent in the header of a request: it has a line break, a space at an end, or a character "
                "beyond ASCII in it",
                "Write printable ASCII in one line",
            )
        return value

    @field_validator("env", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for key, item in value.items():
            env_name(key)
            if key in FIELDS_OF_SECRETS:
                raise Problem("has a field of its own", f"Write {FIELDS_OF_SECRETS[key]}", at=(key,))
            if key in ("PATH", "HOME", "IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", *RESERVED_ENV):
                raise Problem("is not a secret and decides how the server runs", "Leave it out", at=(key,))
            value = {**value, key: _secret(item, (key,))}
        return {key: item for key, item in value.items() if item is not None}

    def values(self) -> dict[str, str]:
        """Environment variable to value, in the order of the names. Secret: hand it on, never show it."""
        found = {"VLLM_API_KEY": self.api_key, "HF_TOKEN": self.hf_token, **self.env}
        return {name: found[name].get_secret_value() for name in sorted(found) if found[name] is not None}  # type: ignore[union-attr]


def _secret(value: Any, at: tuple[str, ...] = ()) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Problem("is not text", "Quote it", at=at)
    value = value.rstrip("\r\n")  # what is read from a file ends with a line break that nobody meant
    if not value:
        raise Problem("is empty", "Give it a value, or leave it out", at=at)
    if "\0" in value:
        raise Problem("has a NUL in it, which no environment variable can hold", "Write text", at=at)
    return value


class Probe(Part):
    """What a server must answer before it counts as ready."""

    request: Literal[
        "auto", "completion", "json_schema", "regex", "grammar", "choice", "tool_call", "embedding", "score", "none"
    ] = Field(
        default="auto",
        description="V(completion) asks the declared name for a token, V(json_schema), V(regex), V(grammar) and "
        "V(choice) for an answer in that form, V(tool_call) for a call of a tool, V(embedding) and V(score) for what "
        "pooling models give; V(none) is content with C(/health). V(auto) asks for a token unless the server only "
        "pools (embeddings, scores, classes).",
    )
    token_timeout: Seconds = Field(default=120.0, gt=0, le=3600, description="Seconds that the first token may take.")


class Debug(Part):
    """What the server tells about itself, for looking into a problem."""

    level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None, description="How much vLLM logs (C(VLLM_LOGGING_LEVEL)). Default: vLLM's own, C(info)."
    )
    stats_interval: Seconds | None = up_to_a_day(
        0.1,
        "Seconds between two lines of statistics (C(VLLM_LOG_STATS_INTERVAL), vLLM 0.10.1 and newer).",
    )
    trace_functions: bool = Field(
        default=False,
        description="Whether every Python call of vLLM is written to a file (C(VLLM_TRACE_FUNCTION)); makes the server "
        "some hundred times slower.",
    )
    cuda_launch_blocking: bool = Field(
        default=False,
        description="Whether each GPU kernel is waited for (C(CUDA_LAUNCH_BLOCKING)), so that an error names the "
        "kernel that failed; makes the server several times slower.",
    )


class Held(Part):
    """Why a server is left alone, and until when."""

    reason: Text = Field(description="Why, for the next person.")
    until: Text | None = Field(default=None, description="Date or time (ISO 8601, UTC) after which the hold is over.")

    @field_validator("until")
    @classmethod
    def _a_date(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                datetime.datetime.fromisoformat(value)
            except ValueError:
                raise Problem(
                    f"{value!r} is not a date", "Write it as 2026-12-31 or 2026-12-31T18:00:00+00:00"
                ) from None
        return value

    def over(self, now: float) -> bool:
        """Whether the hold has ended at ``now`` (seconds since the epoch). A date lasts until its end, in UTC."""
        if self.until is None:
            return False
        end = datetime.datetime.fromisoformat(self.until)
        if len(self.until) == 10:
            end += datetime.timedelta(days=1)
        if end.tzinfo is None:
            end = end.replace(tzinfo=datetime.UTC)
        return now >= end.timestamp()


def environment(value: Any) -> Any:
    """Environment variables as text: numbers are taken, booleans are not, because ``true``, ``True`` and ``1`` differ.

    :raises Problems: one problem for each wrong variable
    """
    if not isinstance(value, dict):
        return value
    problems: list[Problem] = []
    result: dict[str, str] = {}
    for key, item in value.items():
        if item is None:
            continue  # not set
        if isinstance(item, bool):
            problems.append(
                Problem(
                    "is a boolean, and programs read them differently", 'Quote it: "1", "true" or "True"', at=(key,)
                )
            )
        elif isinstance(item, (int, float)):
            result[key] = str(item)
        elif not isinstance(item, str):
            problems.append(
                Problem(f"is a {type(item).__name__}, not text", "Write text (for JSON, quote it)", at=(key,))
            )
        elif "\0" in item or "\n" in item:
            problems.append(Problem("has a line break or a NUL in it", "Write one line of text", at=(key,)))
        else:
            result[key] = item
    if problems:
        raise Problems(problems)
    return result


def public_environment(value: Any) -> Any:
    """The same for a container's own environment, which everybody on the host can read: secrets are sent elsewhere."""
    if not isinstance(value, dict):
        return value
    problems: list[Problem] = []
    result: dict[str, str] = {}
    try:
        result = environment(value)
    except Problems as found:
        problems += found.problems
    fields = FIELDS_OF_SECRETS | _ALIASES_OF_SECRETS
    for key in value:
        try:
            env_name(key)
        except Problem as problem:
            problems.append(problem)
            continue
        if key in RESERVED_ENV:
            problems.append(Problem(f"is set by the collection: {RESERVED_ENV[key]}", "Delete it", at=(key,)))
        elif key in fields or looks_secret(key) or (isinstance(value[key], str) and holds_secret(value[key])):
            field = fields.get(key, f"secrets.env.{key}")
            problems.append(
                Problem(
                    "would stand in the container's environment for everybody to read",
                    f"Write it as {field}",
                    code="security.secret-in-env",
                    at=(key,),
                )
            )
    if problems:
        raise Problems(problems)
    return result


__all__ = [
    "FIELDS_OF_SECRETS",
    "RESERVED_ENV",
    "SYSTEM_PATHS",
    "Debug",
    "Held",
    "Log",
    "Mount",
    "Name",
    "Part",
    "Port",
    "Probe",
    "Secrets",
    "Ulimit",
    "environment",
    "looks_secret",
    "public_environment",
]
