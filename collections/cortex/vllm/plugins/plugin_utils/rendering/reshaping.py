# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Translations that a row of a table cannot say: one option that became two, two that became one, other shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .. import catalog
from .tables import rows


@dataclass(frozen=True)
class Item:
    """One argument to render, and the name by which it was declared."""

    value: Any
    declared: str


class Work(Protocol):
    """What a reshaping may do to the translation under way."""

    release: catalog.Release
    done: Any

    def put(self, name: str, value: Any, declared: str, *, silent: bool = False) -> None: ...
    def merge(self, name: str, keys: Mapping[str, Any], declared: str) -> None: ...
    def note(self, declared: str, severity: Any, code: str, message: str, fix: str | None = None) -> None: ...
    def told(self, declared: str, rendered: str) -> None: ...
    def dropped(self, declared: str, why: str) -> None: ...
    def refuse(self, name: str) -> None: ...


#: ``--task`` in the words of ``--runner`` and ``--convert`` (0.10.1.1 vllm/config/__init__.py: _task_to_convert). For
#: ``score`` the architecture decides, as ``convert: auto`` does.
_TASKS: dict[str, dict[str, str]] = {
    "auto": {},
    "generate": {"runner": "generate"},
    "transcription": {"runner": "generate"},
    "draft": {"runner": "draft"},
    "embed": {"runner": "pooling", "convert": "embed"},
    "embedding": {"runner": "pooling", "convert": "embed"},
    "classify": {"runner": "pooling", "convert": "classify"},
    "reward": {"runner": "pooling", "convert": "reward"},
    "score": {"runner": "pooling"},
}
#: Suffixes of ``--guided-decoding-backend`` (0.8.4 vllm/sampling_params.py: GuidedDecodingParams.backend_options).
_BACKEND_OPTIONS = {
    "no-fallback": "disable_fallback",
    "disable-any-whitespace": "disable_any_whitespace",
    "no-additional-properties": "disable_additional_properties",
}


def before(release: catalog.Release, version: str) -> bool:
    """Whether ``release`` is older than ``version``."""
    return catalog.version_key(release.version) < catalog.version_key(version)


def boolean(value: Any) -> bool | None:
    """A switch's value; text from ``-e`` on the command line of ``ansible-playbook`` counts. None: it is none."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def equal(value: Any, other: Any) -> bool:
    """Whether a declared value is ``other``, written as text or not; 0 is not false."""
    if isinstance(other, bool) or isinstance(value, bool):
        return boolean(value) is other
    if isinstance(other, (int, float)):
        try:
            return float(value) == other
        except (TypeError, ValueError):
            return False
    return bool(value == other)


def mapping(value: Any) -> dict[str, Any] | None:
    """A JSON argument as a mapping, also from text; None when it is something else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return dict(value) if isinstance(value, Mapping) else None


def shown(value: Any) -> str:
    """A value for a message, in JSON and short."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"


def special_key(name: str, value: Any) -> dict[str, Any] | None:
    """Keys for values that the old option spelled in its own way."""
    if name == "speculative_model" and value == "[ngram]":
        return {"method": "ngram"}
    if name == "guided_decoding_backend" and isinstance(value, str) and ":" in value:
        backend, dummy, options = value.partition(":")
        keys = [_BACKEND_OPTIONS.get(option.strip()) for option in options.split(",")]
        return {"backend": backend, **{key: True for key in keys if key}} if all(keys) else None
    return None


def reshape(work: Work, name: str, value: Any) -> bool:
    """Try what the tables cannot say.

    :returns: whether the argument is dealt with, noted errors included
    """
    attempt = _RESHAPE.get(name)
    return attempt is not None and attempt(work, name, value)


def reshaped(work: Work, name: str, value: Any) -> bool:
    """What the release takes by this name, but not in this form.

    :returns: whether the argument is dealt with
    """
    release = work.release
    if name == "compilation_config" and _level(value) and release.flag("optimization_level"):
        work.put("optimization_level", int(value), name)  # to 0.11 a number alone was the level
        return True
    if name == "guided_decoding_backend" and not before(release, "0.8.5"):
        return _backend_options(work, name, value)
    if name == "attention_backend":
        return _renamed_backend(work, name, value)
    flag = release.flag(name)
    if name == "task" and value == "embed" and flag is not None and value not in (flag.choices or (value,)):
        work.put("task", "embedding", name)  # 0.6.4 had no other word
        return True
    return False


def _level(value: Any) -> bool:
    return not isinstance(value, bool) and str(value).strip() in ("0", "1", "2", "3")


def _backend_options(work: Work, name: str, value: Any) -> bool:
    """``xgrammar:no-fallback`` was read up to 0.8.4; then each became an option, and then a key."""
    keys = special_key(name, value)
    if keys is None:
        return False
    known = work.release.keys.get("structured_outputs_config")
    if work.release.flag("structured_outputs_config"):
        work.merge("structured_outputs_config", without_fallback(work.release, keys, known), name)
        return True
    options = {f"guided_decoding_{key}": item for key, item in keys.items()}
    if any(work.release.flag(option) is None for option in options):
        return False
    for option, item in options.items():
        work.put(option, item, name)
    return True


def without_fallback(release: catalog.Release, keys: dict[str, Any], known: catalog.Keys | None) -> dict[str, Any]:
    """Where nothing falls back any more, there is no key to say so."""
    gone = not before(release, "0.18") and not (known is not None and "disable_fallback" in known.names)
    return {key: item for key, item in keys.items() if not (gone and key == "disable_fallback" and item is True)}


def backend_of(release: catalog.Release, value: Any) -> Any:
    """Backends of V1 had names with a suffix while there were two engines; without it they are the same."""
    known, text = release.attention_backends, str(value).upper()
    short = text.removesuffix("_VLLM_V1")
    return short if text not in known and short != text and short in known else value


def _renamed_backend(work: Work, name: str, value: Any) -> bool:
    new = backend_of(work.release, value)
    if new != value:
        work.put(name, new, name)
    return bool(new != value)


def _task(work: Work, name: str, value: Any) -> bool:
    """``--task`` where it is gone."""
    wanted = _TASKS.get(str(value))
    convert = work.release.flag("convert")
    if value == "generate" and work.release.flag("runner") is None:
        work.dropped(name, "it does nothing else unless the model only pools")
        return True
    if wanted is None or work.release.flag("runner") is None or convert is None:
        return False
    if "convert" in wanted and convert.choices and wanted["convert"] not in convert.choices:
        return False
    if not wanted:
        work.dropped(name, "it decides by itself unless told")
    for option, item in wanted.items():
        work.put(option, item, name)
    return True


def _runner(work: Work, name: str, value: Any) -> bool:
    """``runner`` and ``convert`` as ``task``; together they are one, so that one of them says nothing more."""
    if str(value) in ("auto", "none") or (name == "runner" and value == "generate" and not work.release.flag("task")):
        work.dropped(name, "it decides by itself unless told")
        return True
    task = work.release.flag("task")
    if task is None:
        return False
    if name == "runner" and value == "pooling":
        work.done.arguments.setdefault("", Item(None, name))  # settled once convert has been seen
        return True
    names = ("embed", "embedding") if value == "embed" else (str(value),)
    for item in names:
        if task.choices is None or item in task.choices:
            work.put("task", item, name)
            return True
    return False


def _graph_sizes(work: Work, name: str, value: Any) -> bool:
    """Sizes of CUDA graphs: one number was the largest of a row, several were the sizes themselves.

    Source: 0.9.0 vllm/config.py (SchedulerConfig.cuda_graph_sizes), 0.11.1 vllm/config/compilation.py.
    """
    sizes = [int(item) for item in (value if isinstance(value, (list, tuple)) else [value]) if _whole(item)]
    if not sizes or (isinstance(value, (list, tuple)) and len(sizes) != len(value)):
        return False
    exact = name == "cudagraph_capture_sizes" or (name == "cuda_graph_sizes" and len(sizes) > 1)
    if exact and work.release.flag("cudagraph_capture_sizes"):
        work.put("cudagraph_capture_sizes", sizes, name)
    elif not exact and work.release.flag("max_cudagraph_capture_size"):
        work.put("max_cudagraph_capture_size", sizes[0], name)
    elif work.release.flag("cuda_graph_sizes") and (not exact or len(sizes) > 1):
        work.put("cuda_graph_sizes", sizes, name)
    elif work.release.flag("compilation_config"):
        row = sizes if exact else [size for size in (1, 2, 4) if size <= sizes[0]] + list(range(8, sizes[0] + 1, 8))
        work.merge("compilation_config", {"cudagraph_capture_sizes": row}, name)
    else:
        return False
    return True


def _whole(item: Any) -> bool:
    return not isinstance(item, bool) and str(item).isascii() and str(item).isdigit() and int(item) > 0


def _rope(work: Work, name: str, value: Any) -> bool:
    """0.10.1.1 vllm/config/__init__.py makes ``hf_overrides`` of them; from 0.12 on the configuration has another form,
    in which the base must not be lost: that is for a person to write."""
    if not work.release.flag("hf_overrides") or not before(work.release, "0.12"):
        return False
    inner = mapping(value) if name == "rope_scaling" else value
    if inner is None:
        return False
    work.merge("hf_overrides", {name: inner}, name)
    return True


def _reasoning(work: Work, name: str, value: Any) -> bool:
    """``enable_reasoning`` went when ``reasoning_parser`` alone came to mean it (0.9.0)."""
    parser = "reasoning_parser" in work.done.arguments
    if boolean(value) is True and parser:
        work.dropped(name, "reasoning_parser turns it on")
        return True
    if boolean(value) is False and not parser:
        work.dropped(name, "it is off without reasoning_parser")
        return True
    return False


def _old_options(work: Work, name: str, value: Any) -> bool:
    """A JSON option as the single options that it replaced."""
    inner = mapping(value)
    if inner is None:
        return False
    found: dict[str, Any] = {}
    for key, item in inner.items():
        if name == "speculative_config" and key == "method":
            if item == "ngram" and "model" not in inner:
                found["speculative_model"] = "[ngram]"
            elif item not in ("draft_model", "medusa", "mlp_speculator", "eagle") or "model" not in inner:
                return False
            continue  # recognised by the draft's own configuration (0.7.3 vllm/config.py: maybe_create_spec_config)
        old = [row["argument"] for row in rows()["keys"] if row["into"] == name and row["key"] == key]
        known = [option for option in old if work.release.flag(option) is not None]
        if not known:
            return False
        found[known[0]] = item
    for option, item in found.items():
        work.put(option, item, name)
    return True


_RESHAPE = {
    "task": _task,
    "runner": _runner,
    "convert": _runner,
    "cuda_graph_sizes": _graph_sizes,
    "cudagraph_capture_sizes": _graph_sizes,
    "max_cudagraph_capture_size": _graph_sizes,
    "rope_scaling": _rope,
    "rope_theta": _rope,
    "enable_reasoning": _reasoning,
    "speculative_config": _old_options,
    "structured_outputs_config": _old_options,
    "eplb_config": _old_options,
}


def settle(work: Work, declared: Mapping[str, Any]) -> None:
    """What can only be said once every argument has been seen."""
    arguments = work.done.arguments
    pooling = arguments.pop("", None) is not None
    if pooling and "task" in arguments:
        work.told("runner", f"task: {arguments['task'].value}")
    elif pooling:
        message = f"vLLM {work.release.version} asks which kind of pooling is meant"
        work.note("runner", "error", "argument.newer", message, "Write convert: embed, classify or reward beside it")
    asked = "reasoning_parser" in arguments and "enable_reasoning" not in declared
    if asked and work.release.flag("enable_reasoning") and before(work.release, "0.9"):
        work.put("enable_reasoning", True, "reasoning_parser")
