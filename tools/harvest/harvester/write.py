# SPDX-License-Identifier: GPL-3.0-or-later
"""The data files: one object a line, sorted, so that two runs are byte-identical and a diff can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = 1
# One entry a line; other sections stand on one line each.
LINED = ("flags", "environment", "aliases", "negations", "endpoints", "metrics", "quantization", "keys")


def dump(value: Any) -> str:
    """Compact JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(", ", ": "))


def render(data: dict[str, Any]) -> str:
    """The text of a data file."""
    lines = []
    for key, value in data.items():
        if key in LINED and value:
            items = ",\n".join(f"{dump(name)}: {dump(value[name])}" for name in sorted(value))
            lines.append(f"{dump(key)}: {{\n{items}\n}}")
        else:
            lines.append(f"{dump(key)}: {dump(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def document(version: str, source: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The content of a release's file, in its fixed order, without help texts."""
    flags = {
        name: {key: value for key, value in entry.items() if key != "help"} for name, entry in answer["flags"].items()
    }
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "version": version,
        "source": source,
        "platform": answer["platform"],
        "entrypoint": answer["entrypoint"],
        "labels": answer["labels"],
        "positionals": answer["positionals"],
    }
    rest = {
        key: answer[key]
        for key in (
            "speculative_methods",
            "attention_backends",
            "tool_parsers",
            "reasoning_parsers",
            "architectures",
            "batch_defaults",
            "quantization",
            "metrics",
            "endpoints",
        )
        if key in answer
    }
    return head | {"flags": flags, "keys": answer.get("keys", {}), "environment": answer["environment"]} | rest


def write(directory: Path, document_: dict[str, Any]) -> bool:
    """Write a release's file.

    Returns:
        True when its bytes changed.
    """
    path = directory / f"{document_['version']}.json"
    text = render(document_)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def write_index(directory: Path, versions: list[str]) -> None:
    """Write the list of releases, oldest first."""
    (directory / "index.json").write_text(render({"schema": SCHEMA, "versions": versions}), encoding="utf-8")


def write_history(directory: Path, content: dict[str, Any]) -> None:
    """Write in which releases each option and variable existed: one line for each."""
    (directory / "history.json").write_text(render(content), encoding="utf-8")


def merge_help(
    texts: dict[str, list[list[str]]],
    version: str,
    fresh: dict[str, str | None],
    versions: list[str],
) -> dict[str, list[list[str]]]:
    """Put the descriptions of one release into the shared ones.

    Args:
        texts: Per flag ``[[first release, text], …]``, as read from the file.
        version: The release that ``fresh`` belongs to.
        fresh: Its descriptions by flag.
        versions: Every catalogued release, oldest first: a text holds until the next one that differs.

    Returns:
        The new content, each text once per run of releases that share it.
    """
    merged: dict[str, list[list[str]]] = {}
    for name in {*texts, *fresh}:
        spans = texts.get(name, [])
        expanded: dict[str, str] = {}
        for other in versions:
            known = [text for since, text in spans if versions.index(since) <= versions.index(other)]
            if other == version:
                known = [fresh.get(name) or ""]
            if known:
                expanded[other] = known[-1]
        runs: list[list[str]] = []
        for other in versions:
            text = expanded.get(other, "")
            if (runs and runs[-1][1] != text) or (not runs and text):
                runs.append([other, text])
        if runs:
            merged[name] = runs
    return merged


def write_help(directory: Path, texts: dict[str, list[list[str]]]) -> None:
    """Write the shared descriptions: per flag, ``[first release, text]`` for each text it has had."""
    (directory / "help.json").write_text(
        "{\n"
        + f'"schema": {SCHEMA},\n"flags": {{\n'
        + ",\n".join(f"{dump(name)}: {dump(texts[name])}" for name in sorted(texts))
        + "\n}\n}\n",
        encoding="utf-8",
    )
