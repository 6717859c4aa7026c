# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""How single values of a declaration are read: plain data, names, sizes, durations, addresses.

Each reader takes what a person wrote and gives the canonical form, or raises :class:`Problem`, which says what is
wrong and what to write instead. The models put them into their annotations.
"""

from __future__ import annotations

import datetime
import ipaddress
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from .._pydantic import BeforeValidator, Field

#: Docker's own rule for container names (RestrictedNamePattern), within the 63 letters of a host name's label.
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
#: POSIX names of environment variables (Base Definitions, chapter 8.1); lower case exists in practice (http_proxy).
ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")

#: What lies beside the servers' directories in the collection's state directory (docs/contract.md).
OWN_NAMES = frozenset(("collectives.json", "fetch", "images", "images.json", "incoming", "locks", "models", "work"))
#: An image reference, part by part (distribution/reference regexp.go): host, path, tag, digest.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(rf"(?:{_HOST}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,}")

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$", re.IGNORECASE)
_DURATION = re.compile(r"^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$")


class Problem(ValueError):
    """One wrong value.

    :param message: what is wrong, without the field's name; never with a secret in it
    :param fix: what to write instead, an imperative
    :param code: finding code
    :param at: path below the field that is validated, when the value is inside of it
    """

    def __init__(
        self, message: str, fix: str | None = None, *, code: str = "spec.value", at: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code
        self.at = at


class Problems(ValueError):
    """Several wrong values, found by one validator."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def plain(value: Any) -> Any:
    """``value`` as plain JSON data: ansible-core's tagged strings and numbers become ordinary ones, dates become text.

    :raises Problem: something that JSON cannot hold; ``at`` says where
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Problem("is not a finite number", "Write a finite number")
        return float(value)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_key(key): _inside(key, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_inside(index, item) for index, item in enumerate(value)]
    raise Problem(f"holds a {type(value).__name__}", "Write text, a number, true, false, a list or a mapping")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        raise Problem(
            f"has {str(key).lower()} as a key, which is what YAML makes of yes, no, on and off", "Quote the key"
        )
    return str.__str__(key) if isinstance(key, str) else str(key)


def _inside(key: Any, item: Any) -> Any:
    try:
        return plain(item)
    except Problem as problem:
        problem.at = (key, *problem.at)
        raise


def number_not_bool(value: Any) -> Any:
    """Keep YAML's booleans out of numbers: pydantic would take ``true`` as 1."""
    if isinstance(value, bool):
        raise Problem(f"is {str(value).lower()}, not a number", "Write a number")
    return value


def text(value: Any) -> Any:
    """Text that somebody wrote without quotes comes as a number: YAML has already changed it (``0123``, ``1.10``)."""
    if isinstance(value, float):  # 1.10 is 1.1 by now, and 1e10 something else
        raise Problem("is a number, not text", "Quote what you wrote")
    if isinstance(value, bool) or (isinstance(value, int) and not isinstance(value, str)):
        raise Problem(
            f"is a {'boolean' if isinstance(value, bool) else 'number'}, not text", f'Quote it: "{str(value).lower()}"'
        )
    if isinstance(value, str):
        if "\0" in value or "\n" in value:
            raise Problem("has a line break or a NUL in it", "Write one line of text")
        if not value.strip():
            raise Problem("is empty", "Write a value, or leave the field out")
        return value.strip()
    return value


def texts(value: Any) -> Any:
    """A list of texts; one text stands for a list of one."""
    return [value] if isinstance(value, str) else value


def size(value: Any) -> Any:
    """Bytes from ``16g``, ``512MiB`` or a number of bytes; units are powers of 1024, as Docker reads them."""
    if isinstance(value, bool):
        raise Problem(f"is {str(value).lower()}, not a size", "Write a size such as 16g")
    if isinstance(value, str):
        match = _SIZE.match(value.strip())
        if not match:
            raise Problem(f"{value!r} is not a size", "Write bytes, or a number with k, m, g or t, such as 16g")
        return int(float(match[1]) * _UNITS[match[2].lower()])
    return value


def duration(value: Any) -> Any:
    """Seconds from ``90``, ``"90s"``, ``"10m"`` or ``"1h30m"``."""
    if isinstance(value, bool):
        raise Problem(f"is {str(value).lower()}, not a duration", "Write seconds, or text such as 10m")
    if isinstance(value, str):
        stripped = value.strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", stripped):
            return float(stripped)
        match = _DURATION.match(stripped)
        if not stripped or not match:
            raise Problem(f"{value!r} is not a duration", "Write seconds, or text such as 90s, 10m or 1h30m")
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds
    return value


def name(value: Any) -> Any:
    """A server's name: it becomes part of a container name, a directory and a label."""
    value = text(value)
    if isinstance(value, str):
        if not NAME.match(value):
            raise Problem(
                f"{value!r} cannot be a name", "Use letters, digits, hyphens, underscores and dots, 63 at most"
            )
        if value in OWN_NAMES or value.endswith((".new", ".kept")):
            raise Problem(f"{value!r} is kept for the collection's own use", "Choose another name")
    return value


def image(value: Any) -> Any:
    """An image reference: ``[registry/]repository[:tag][@digest]``, or an image id."""
    value = text(value)
    if isinstance(value, str):
        if "://" in value:
            raise Problem("is an address, not an image reference", f"Write {value.split('://', 1)[1]}")
        if any(character.isspace() for character in value):
            raise Problem("has a space in it", "Write an image reference such as vllm/vllm-openai:v0.32.0")
        repository = value.split("@", 1)[0]
        path = repository.rsplit("/", 1)[-1]
        repository = repository[: len(repository) - len(path)] + path.split(":", 1)[0]
        # The registry's host name may be in capitals, the path below it may not (distribution/reference).
        if repository != repository.lower() and not re.match(r"^[^/]*[.:][^/]*/[^A-Z]*$", repository):
            raise Problem(
                "has capital letters in its repository, which no engine accepts", f"Write {repository.lower()}"
            )
        rest, at, digest = value.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise Problem("has no digest after its @", "Write sha256: and its 64 hexadecimal digits, or leave it out")
        if not _REFERENCE.fullmatch(rest) and not _DIGEST.fullmatch(value):
            raise Problem(
                f"{value!r} is not an image reference", "Write [registry/]repository[:tag], or an id as sha256:…"
            )
    return value


def address(value: Any) -> Any:
    """An IP address to publish on; ``localhost`` and brackets are understood."""
    value = text(value)
    if isinstance(value, str):
        if value.lower() == "localhost":
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(value.strip("[]")))
        except ValueError:
            raise Problem(
                f"{value!r} is not an IP address", "Write an address of this host, 127.0.0.1, 0.0.0.0 or ::"
            ) from None
    return value


def absolute(value: Any) -> Any:
    """An absolute path, without ``..`` and without a slash at its end."""
    value = text(value)
    if isinstance(value, str):
        if not value.startswith("/"):
            raise Problem(f"{value!r} is not an absolute path", "Write the path from /")
        if ".." in value.split("/"):
            raise Problem("has .. in it", "Write the path that is meant")
        return "/" + "/".join(part for part in value.split("/") if part not in ("", "."))
    return value


def env_name(value: str) -> None:
    """Refuse what no shell could export.

    :raises Problem: with ``at`` set to the name
    """
    if not ENV_NAME.match(value):
        raise Problem(
            f"{value!r} is not the name of an environment variable",
            "Use letters, digits and underscores, not beginning with a digit",
            at=(value,),
        )


Name = Annotated[str, BeforeValidator(name)]
Text = Annotated[str, BeforeValidator(text)]
Image = Annotated[str, BeforeValidator(image)]
Address = Annotated[str, BeforeValidator(address)]
Path = Annotated[str, BeforeValidator(absolute)]
Size = Annotated[int, BeforeValidator(size)]
Seconds = Annotated[float, BeforeValidator(duration)]
Integer = Annotated[int, BeforeValidator(number_not_bool)]
Number = Annotated[float, BeforeValidator(number_not_bool)]


def up_to_a_day(least: float, description: str) -> Any:
    """A field for seconds, up to a day, that may be left out."""
    return Field(default=None, ge=least, le=86400, description=description)
