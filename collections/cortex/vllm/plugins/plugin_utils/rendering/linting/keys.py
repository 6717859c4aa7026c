# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Keys inside of JSON options: those that the class behind the option does not have, and words that it does not take.

What each release's classes have is the catalogue's to say (``Release.keys``): vLLM ends at once when its class forbids
other keys, and drops them without a word when it does not (most up to 0.10).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ... import catalog
from ..reshaping import before, boolean, mapping
from .subject import Findings, Subject

#: Keys and words that other checks explain better.
EXPLAINED = {
    "speculative_config.method", "structured_outputs_config.backend", "structured_outputs_config.disable_fallback",
}  # fmt: skip
#: Kinds of input of --limit-mm-per-prompt that vLLM's models know (vllm/multimodal/inputs.py, config/multimodal.py).
MODALITIES = ("image", "video", "audio", "vision_chunk")
#: From here on options of a kind may stand beside its count (0.11.0 vllm/config/multimodal.py).
_WITH_OPTIONS = "0.11"


def check(subject: Subject) -> Findings:
    """One pass over the declared options that a class reads."""
    for name in subject.values:
        flag = subject.release.flag(name)
        known = subject.release.keys.get(flag.dest) if flag is not None and flag.kind == "json" else None
        if flag is not None and known is not None:
            yield from _keys(subject, flag.dest, known, subject.inner(name))
    yield from _limits(subject)


def _flat(values: Mapping[str, Any], known: catalog.Keys, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that a class is asked for; what is inside of a free mapping is nobody's to check."""
    inside = {name.rpartition(".")[0] for name in known.names}
    for key, value in values.items():
        path = f"{prefix}{key}"
        yield path, value
        if path in inside and isinstance(value, Mapping):
            yield from _flat(value, known, f"{path}.")


def _keys(subject: Subject, option: str, known: catalog.Keys, values: dict[str, Any]) -> Findings:
    for path, value in _flat(values, known):
        name = str(path)
        if f"{option}.{name}" in EXPLAINED:
            continue
        if name not in known.names:
            text, fix = _unknown(subject, option, known, name)
            yield _about(subject, option, path, "argument.key", "warning" if known.lax else "error", text, fix)
        elif name in known.words and isinstance(value, str):
            words = known.words[name]
            if value not in words:
                text = f"{value[:60]!r} is not one of the words that {subject.version} takes for {name}"
                fix = f"Write one of {', '.join(words)}"
                yield _about(subject, option, path, "argument.invalid", "error", text, fix)


def _unknown(subject: Subject, option: str, known: catalog.Keys, name: str) -> tuple[str, str]:
    """Message and fix for a key that the class does not have."""
    release = subject.release
    what = "drops it without a word" if known.lax else "ends at once"
    life = catalog.key_lifetime(option, name)
    near = difflib.get_close_matches(name, known.names, n=1, cutoff=0.75)
    fix = f"Write {near[0].rpartition('.')[2]}, if that is meant" if near else "Delete it"
    if life is not None and life.gone and not before(release, life.gone):
        return f"{option} lost the key {name} in vLLM {life.removed}: {subject.version} {what}", fix
    if life is not None and before(release, life.first):
        text = f"{option} has the key {name} from vLLM {life.appeared} on: {subject.version} {what}"
        return text, f"{fix}, or use a newer image"
    text = f"{option} has no key {name[:80]}: {subject.version} {what}"
    return text, fix if near else f"Delete it ({option} has {_some(known)})"


def _some(known: catalog.Keys) -> str:
    names = sorted(name for name in known.names if "." not in name)
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _about(subject: Subject, option: str, path: str, code: str, severity: Any, text: str, fix: str) -> Any:
    """A finding at the key itself where the declaration has it, else at what was declared instead of the option."""
    declared = subject.declared(option)
    place: tuple[Any, ...] = ("engine_args", declared)
    if declared == option and isinstance(subject.spec.engine_args.get(option), Mapping):
        place += tuple(path.split("."))
    return subject.finding(code, severity, text, fix, *place)


def _limits(subject: Subject) -> Findings:
    """How many of what a prompt may hold: vLLM reads it after its parser, and ends over anything but numbers."""
    name = "limit_mm_per_prompt"
    value = subject.value(name)
    flag = subject.release.flag(name)
    if value is None or flag is None or flag.type == "kvs":
        return
    limits = mapping(value)
    if limits is None:
        if not (isinstance(value, str) and "=" in value):  # its form up to 0.9.1 is brought to JSON
            yield subject.about("argument.shape", "error", "takes a mapping", "Write {image: 2}", name)
        return
    for kind, number in limits.items():
        count = number.get("count", 0) if isinstance(number, Mapping) and not subject.older(_WITH_OPTIONS) else number
        if boolean(count) is not None or not isinstance(count, int) or count < 0:
            text = f"{kind}: {str(number)[:60]!r} is not a whole number of inputs"
            yield subject.about("argument.invalid", "error", text, f"Write {{{kind}: 2}}", name)
        elif kind not in MODALITIES:
            near = difflib.get_close_matches(str(kind), MODALITIES, n=1, cutoff=0.6)
            text = f"no model of vLLM takes an input called {str(kind)[:60]}: the limit would have no effect"
            fix = f"Write {near[0]}" if near else f"Write one of {', '.join(MODALITIES[:3])}"
            yield subject.about("argument.key", "warning", text, fix, name)
