# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed for users between two releases."""

from __future__ import annotations

import json
from typing import Any

Document = dict[str, Any]


def show(value: Any) -> str:
    """A default as people write it."""
    return json.dumps(value, ensure_ascii=False)


def default_of(entry: dict[str, Any]) -> str:
    """The default of a flag, or the class that holds it."""
    return f"{entry['default_class']}()" if "default_class" in entry else show(entry.get("default"))


def renamed(old: Document, new: Document) -> dict[str, str]:
    """Flags of which the old name is an alias of a flag that is new."""
    gone = set(old["flags"]) - set(new["flags"])
    return {
        alias: name
        for name, entry in new["flags"].items()
        if name not in old["flags"]
        for alias in entry.get("aliases", ())
        if alias in gone
    }


def flag_changes(old: Document, new: Document) -> list[str]:
    """One line for each flag that is new, gone, renamed, newly deprecated, or behaves differently."""
    lines = []
    before, after = old["flags"], new["flags"]
    names = renamed(old, new)
    for name in sorted(set(before) - set(after)):
        if name in names:
            lines.append(f"renamed `{name}` to `{names[name]}`")
        else:
            lines.append(f"removed `{name}`" + (" (was deprecated)" if before[name].get("deprecated") else ""))
    for name in sorted(set(after) - set(before) - set(names.values())):
        lines.append(f"added `{name}` ({after[name].get('kind', 'value')}, default {default_of(after[name])})")
    for name in sorted(set(before) & set(after)):
        one, two = before[name], after[name]
        parts = []
        if default_of(one) != default_of(two):
            parts.append(f"default {default_of(one)} → {default_of(two)}")
        if (one.get("kind"), one.get("type")) != (two.get("kind"), two.get("type")):
            parts.append(f"{one.get('kind')} {one.get('type')} → {two.get('kind')} {two.get('type')}")
        if one.get("nargs") != two.get("nargs"):
            parts.append(f"number of values {one.get('nargs') or 1} → {two.get('nargs') or 1}")
        if one.get("negation") != two.get("negation"):
            parts.append(f"negative form {one.get('negation')} → {two.get('negation')}")
        parts += choices(one.get("choices"), two.get("choices"))
        if two.get("deprecated") and not one.get("deprecated"):
            parts.append(f"deprecated: {two['deprecated']}")
        if parts:
            lines.append(f"changed `{name}`: " + "; ".join(parts))
    return lines


def choices(one: list[Any] | None, two: list[Any] | None) -> list[str]:
    """What became possible and impossible among the accepted values."""
    if one is None and two is None:
        return []
    if one is None or two is None:
        return ["values are checked now" if one is None else "any value is accepted now"]
    more = sorted({show(v) for v in two} - {show(v) for v in one})
    less = sorted({show(v) for v in one} - {show(v) for v in two})
    return [f"accepts also {', '.join(more)}"] * bool(more) + [f"refuses {', '.join(less)}"] * bool(less)


def key_changes(old: Document, new: Document) -> list[str]:
    """The same for keys inside of JSON options that both releases have."""
    lines = []
    before, after = old.get("keys", {}), new.get("keys", {})
    for option in sorted(set(before) & set(after)):
        one, two = set(before[option]["names"]), set(after[option]["names"])
        lines += [f"removed key `{option}.{name}`" for name in sorted(one - two)]
        lines += [f"added key `{option}.{name}`" for name in sorted(two - one)]
        if before[option].get("lax") and not after[option].get("lax"):
            lines.append(f"changed `{option}`: an unknown key ends the start now")
    return lines


def environment_changes(old: Document, new: Document) -> list[str]:
    """The same for environment variables."""
    before, after = old["environment"], new["environment"]
    lines = [f"removed variable `{name}`" for name in sorted(set(before) - set(after))]
    lines += [
        f"added variable `{name}` (default {show(after[name].get('default'))})"
        for name in sorted(set(after) - set(before))
    ]
    for name in sorted(set(before) & set(after)):
        one, two = before[name].get("default"), after[name].get("default")
        if one != two:
            lines.append(f"changed variable `{name}`: default {show(one)} → {show(two)}")
    return lines


NAMES = {
    "speculative_methods": "speculative method",
    "attention_backends": "attention backend",
    "quantization": "quantization method",
    "tool_parsers": "tool parser",
    "reasoning_parsers": "reasoning parser",
    "architectures": "architecture",
    "metrics": "metric",
    "endpoints": "endpoint",
}


def list_changes(old: Document, new: Document) -> list[str]:
    """One line for each list that gained or lost members."""
    lines = []
    if old["entrypoint"] != new["entrypoint"]:
        lines.append(f"entrypoint `{' '.join(old['entrypoint'])}` → `{' '.join(new['entrypoint'])}`")
    for key, words in NAMES.items():
        before, after = set(old.get(key) or ()), set(new.get(key) or ())
        if before - after:
            lines.append(f"removed {words}: {', '.join(sorted(before - after))}")
        if after - before:
            lines.append(f"added {words}: {', '.join(sorted(after - before))}")
    return lines


def changes(old: Document, new: Document) -> list[str]:
    """Every line, flags first."""
    lines = flag_changes(old, new) + key_changes(old, new)
    return lines + environment_changes(old, new) + list_changes(old, new)


def text(old: Document, new: Document) -> str:
    """The report that the tool prints after a harvest."""
    lines = changes(old, new) or ["nothing changed for users"]
    return "\n".join([f"{new['version']}, compared with {old['version']}:", *(f"- {line}" for line in lines)])
