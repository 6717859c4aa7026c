# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The task ``diagnose``: files and texts on the controller, containers on a host, each as one answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import containers, diagnosis, observation
from .diagnosis import exits, sources
from .findings import Finding, FindingsError
from .following import Remote
from .observation import SCHEMA

#: Lines that are fetched of a container's log.
LINES = 5000
#: What an exit state may be called beside a file or a text.
_EXIT = frozenset(
    (
        "exit",
        "exit_state",
        "state",
        "exit_code",
        "code",
        "oom",
        "oom_killed",
        "error",
        "state_error",
        "status",
        "running",
    )
)
_PATH = ("path", "file", "log")


def files(
    entries: Sequence[Any], common: Any, server: str | None, find: Callable[[str], str] = str
) -> list[dict[str, Any]]:
    """One answer for each file, in their order.

    :param common: the exit state of those that have none of their own; a list goes with the files one by one
    :param find: where a relative path is looked up
    """
    if isinstance(common, list) and len(common) != len(entries):
        said = f"has {len(common)} entries for {len(entries)} files"
        raise FindingsError([Finding("log.exit", "error", said, "exit", "Give one for each file, or one for all.")])
    each = common if isinstance(common, list) else [common] * len(entries)
    return [
        _file(entry, given, server, f"files[{index}]", find)
        for index, (entry, given) in enumerate(zip(entries, each, strict=True))
    ]


def text(log: str, given: Any, server: str | None) -> dict[str, Any]:
    """The answer for a log at hand."""
    return _answer(sources.of_text(log), given, server, "exit")


def container(remote: Remote, name: str, state_dir: str, server: str | None, lines: int = LINES) -> dict[str, Any]:
    """The answer for a container on the host: its log and state, asked in one call.

    :raises FindingsError: the host has no such container
    """
    seen = look(remote, name, state_dir, lines)
    if not seen.get("found"):
        fix = "docker ps -a lists the names; a declared server is called cortex-vllm-<name>."
        raise FindingsError(
            [Finding("container.absent", "error", f"there is no container {name} on {remote.host}", "container", fix)]
        )
    return _of_container(name, seen, server)


@dataclasses.dataclass
class OnHost:
    """What a host had of its servers, and what each of them is."""

    answers: list[dict[str, Any]]
    looks: dict[str, dict[str, Any]]
    observation: dict[str, Any]


def servers(remote: Remote, names: Sequence[str], state_dir: str, lines: int) -> OnHost:
    """The answers for servers of the host, all of them without names, with what an archive of evidence holds."""
    request = {**observation.query([], state_dir, health=False), "gpus": True}
    seen = dict(remote("observe", request).get("observation") or {})
    ours = {_server(entry): str(entry.get("Name") or "").lstrip("/") for entry in seen.get("containers") or ()}
    wanted = list(names) or sorted(name for name in ours if name)
    found = OnHost([], {}, seen)
    for name in wanted:
        container = ours.get(name) or containers.container_name(name)
        answer = look(remote, container, state_dir, lines, journals=True)
        found.looks[container] = answer
        if answer.get("found"):
            found.answers.append(_of_container(container, answer, name))
            continue
        absent = Finding("container.absent", "error", f"there is no container {container} on {remote.host}")
        verdict = diagnosis.Diagnosis([absent], [], False, explanation="It was never created, or was removed.")
        found.answers.append({**verdict.as_dict(), "container": container, "exit": None, "restarts": None})
    return found


def _server(entry: Mapping[str, Any]) -> str:
    return str(((entry.get("Config") or {}).get("Labels") or {}).get("cortex.vllm.server") or "")


def _of_container(name: str, seen: Mapping[str, Any], server: str | None) -> dict[str, Any]:
    verdict = diagnosis.diagnose(list(seen.get("log") or ()), seen.get("state"), server or seen.get("server"))
    if (seen.get("state") or {}).get("Status") == "paused":
        verdict = _paused(name, verdict)
    return {**verdict.as_dict(), "container": name, "exit": seen.get("exit"), "restarts": seen.get("restarts")}


def _paused(name: str, verdict: diagnosis.Diagnosis) -> diagnosis.Diagnosis:
    """Its log knows nothing of it: a process that is frozen writes no line."""
    said = Finding("server.paused", "error", "it is paused", fix=f"docker unpause {name} continues it.")
    why = "Somebody froze its processes; they keep their memory and GPUs, and answer nothing until they are continued."
    return dataclasses.replace(
        verdict, findings=[said, *verdict.findings], healthy=False, state=diagnosis.STOPPED, explanation=why, rule=None
    )


def look(remote: Remote, name: str, state_dir: str, lines: int, journals: bool = False) -> dict[str, Any]:
    """What the host has of a container (step ``evidence``, see docs/contract.md)."""
    request = {"schema": SCHEMA, "state_dir": state_dir, "container_name": name, "tail": lines, "journals": journals}
    return dict(remote("evidence", request).get("evidence") or {})


def summary(answer: Mapping[str, Any]) -> list[str]:
    """An answer for a person, in a few lines."""
    what = answer.get("container") or answer.get("path") or "the log"
    state = str(answer["state"])
    said = {"healthy": "is healthy", "loading": "is still loading", "unknown": "says nothing of a vLLM server"}
    lines = [f"{what}: {said.get(state, state)}" + (f" [{answer['code']}]" if answer.get("code") else "")]
    if answer.get("code"):
        lines.append(f"  {answer['explanation']}")
        if answer.get("fix"):
            lines.append(f"  What to do: {answer['fix']}")
    for finding in list(answer.get("findings") or ())[1:]:
        lines.append(f"  Also: {finding['message']} [{finding['code']}]")
    lines += [f"  Note: {note}" for note in answer.get("notes") or ()]
    if answer.get("telling"):
        lines += ["  The log says:", *(f"    | {line}" for line in answer["telling"])]
    return lines


def _file(entry: Any, common: Any, server: str | None, field: str, find: Callable[[str], str]) -> dict[str, Any]:
    path, given = entry, common
    if isinstance(entry, Mapping):
        path = next((entry[key] for key in _PATH if entry.get(key)), None)
        own = {str(key): value for key, value in entry.items() if _plain(key) in _PLAIN_EXIT and value is not None}
        unknown = sorted({str(key) for key in entry} - set(own) - {*_PATH, "server"} - _EXIT)
        if unknown or not path:
            said = f"has an unknown `{unknown[0]}`" if unknown else "has no `path`"
            fix = "Write the path of a log, or a mapping with `path` and `exit`."
            raise FindingsError([Finding("log.entry", "error", said, field, fix)])
        given, server = own or common, str(entry["server"]) if entry.get("server") else server
    if not isinstance(path, str) or not path.strip():
        fix = "Write the path of a log, or a mapping with `path` and `exit`."
        raise FindingsError([Finding("log.entry", "error", "is no path", field, fix)])
    return {"path": path, **_answer(sources.of_file(find(path)), given, server, f"{field}.exit")}


def _plain(key: Any) -> str:
    return str(key).lower().replace("_", "").replace("-", "")


_PLAIN_EXIT = frozenset(map(_plain, _EXIT))


def _answer(log: sources.Log, given: Any, server: str | None, field: str) -> dict[str, Any]:
    try:
        how = exits.read(_flat(given))
    except ValueError as problem:
        fix = "Write the exit code, or a mapping with `code` and `oom`, or docker's State."
        raise FindingsError([Finding("log.exit", "error", str(problem), field, fix)]) from None
    verdict = sources.of_nothing(log.problem, how) if log.problem else None
    if verdict is None:
        verdict = diagnosis.diagnose(log.lines, how, server)
    answer = verdict.as_dict()
    if log.problem and how is not None:
        answer["notes"] = [str(log.problem), *answer["notes"]]
    return {**answer, "lines": log.total}


def _flat(given: Any) -> Any:
    """``exit`` beside ``oom_killed`` and the like means one state."""
    if not isinstance(given, Mapping):
        return given
    flat: dict[str, Any] = {}
    for key, value in given.items():
        if key in {"exit", "exit_state", "state"} and isinstance(value, Mapping):
            flat.update(value)
        elif key in {"exit", "exit_state"}:
            flat["code"] = value
        else:
            flat[str(key)] = value
    return flat
