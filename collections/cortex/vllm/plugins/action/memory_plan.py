# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import (
    _action,
    catalog,
    findings,
    memory,
    observation,
    planning,
    spec,
)


class ActionModule(_action.BrainsAction):
    """Foretell the memory of a start: of a configuration in hand, or of the servers that a host declares."""

    SPEC = {
        **_action.CONNECTION,
        "state_dir": {"type": "path", "default": "/var/lib/cortex-vllm"},
        "config": {"type": "dict"},
        "weights_bytes": {"type": "raw"},
        "engine_args": {"type": "dict", "default": {}},
        "environment": {"type": "dict", "default": {}},
        "vllm_version": {"type": "str"},
        "gpu": {"type": "raw"},
        "gpu_count": {"type": "int"},
        "draft_config": {"type": "dict"},
        "draft_weights_bytes": {"type": "raw"},
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        declared = self.declaration()
        _action.refuse_unknown(sorted(set(declared) - {"servers", "defaults"}), [*self.SPEC, "servers", "defaults"])
        if "servers" in declared:
            return self._on_host(declared, options, remote)
        if not options["config"] and not options["weights_bytes"]:
            text = "neither a model's configuration nor servers are given"
            fix = "Write config (the content of config.json), or servers (declarations of the host)."
            raise findings.FindingsError([findings.Finding("memory.value", "error", text, "config", fix)])
        return self._question(options)

    def _question(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        """Nothing but the question: no host is asked."""
        version = str(options["vllm_version"] or catalog.versions()[-1])
        environment = {str(key): str(value) for key, value in options["environment"].items()}
        gpu, assumed = _gpu(options["gpu"])
        question = memory.Question(
            options["config"], options["engine_args"], version, gpu,
            _bytes(options, "weights_bytes", assumed),
            _positive(options, "gpu_count"), environment, options["draft_config"],
            _bytes(options, "draft_weights_bytes", assumed),
            cpu=options["gpu"] is None and "VLLM_CPU_KVCACHE_SPACE" in environment,
        )  # fmt: skip
        found = memory.estimate(question)
        found.findings[:0] = assumed
        bad = [item for item in found.findings if item.code == "memory.value"]
        if bad:
            raise findings.FindingsError(bad)
        advice = memory.advise(found)
        name = (found.shape.family if found.shape else None) or "model"
        return {
            "changed": False,
            **memory.as_dict(found, advice),
            "vllm_version": version,
            "table": memory.table(name, found, advice),
            "findings": [item.as_dict() for item in found.findings],
        }

    def _on_host(
        self, declared: dict[str, t.Any], options: dict[str, t.Any], remote: _action.RemoteHost
    ) -> dict[str, t.Any]:
        """Of each declared server, on the GPUs that it has or would get, with what is free of them now."""
        specs = spec.load(declared["servers"], defaults=declared.get("defaults"))
        answer = remote("observe", observation.query(specs, options["state_dir"], health=False))
        seen = observation.Observation.parse(answer.get("observation") or {})
        plan = planning.plan(specs, seen, planning.Options(state_dir=options["state_dir"], prune="ignore"))
        servers = {item.name: item.facts.get("memory") for item in plan.servers}
        for estimate in servers.values():
            for line in (estimate or {}).get("table") or ():
                remote.say(f"[{remote.host}] {line}")
        told = [item for item in plan.findings if item.code.startswith(("memory.", "gpu."))]
        fits = [estimate["fits"] for estimate in servers.values() if estimate]
        return {
            "changed": False,
            "servers": servers,
            "fits": None if not fits or None in fits else all(fits),
            "findings": [item.as_dict() for item in told],
        }


def _positive(options: dict[str, t.Any], name: str) -> int | None:
    value = options[name]
    if value is not None and value < 1:
        text = f"{value} is not at least 1"
        raise findings.FindingsError(
            [findings.Finding("memory.value", "error", text, name, "Leave it out, or correct it.")]
        )
    return value


def _bytes(options: dict[str, t.Any], name: str, said: list[findings.Finding]) -> int | None:
    """A size in bytes, also with a unit; 0 is not known, and said so.

    :raises FindingsError: when it is no size
    """
    value = options[name]
    if value is None or value == "":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmgt]?)(i?)b?", str(value).strip().lower())
    size = float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2] or " ") if match else -1.0
    if isinstance(value, bool) or not 0 <= size < 1 << 56:
        fix = "Write bytes, or a size with its unit: 14.96GiB, 16.06GB."
        raise findings.FindingsError([findings.Finding("memory.value", "error", f"{value!r} is no size", name, fix)])
    if not int(size):
        fix = "Leave it out, or write the size of the checkpoint's files."
        text = f"{name} is 0: it is taken as not known"
        said.append(findings.Finding("memory.assumed", "info", text, field=name, fix=fix))
    return int(size) or None


def _gpu(written: t.Any) -> tuple[memory.Gpu | None, list[findings.Finding]]:
    """The GPU of the question, and what had to be assumed of it. A text is its name.

    :raises FindingsError: for a key that is unknown and for a number that is none
    """
    if written is None or written == "":
        return None, []
    if not isinstance(written, dict):
        if not isinstance(written, str):
            fix = "Write the name of a card (H100), or a mapping with name and memory_gib."
            raise findings.FindingsError(
                [findings.Finding("memory.value", "error", f"{written!r} is no GPU", "gpu", fix)]
            )
        written = {"name": written}
    _action.refuse_unknown(sorted(set(map(str, written)) - set(GPU)), [f"{name}" for name in GPU])
    size, free = _number(written, "memory_gib"), _number(written, "free_gib")
    name, capability = str(written.get("name") or ""), _number(written, "compute_capability")
    card, said = memory.cards.find(name, size), []
    if card is not None and (not size or size == card.box):
        text = f"the memory of {name} is taken to be the {card.real:g} GiB that CUDA sees of its {card.box:g} GB"
        fix = "Write memory_gib as nvidia-smi shows it, in GiB."
        said.append(findings.Finding("memory.assumed", "info", text, field="gpu.memory_gib", fix=fix))
        size = card.real
    if capability is None and card is not None:
        capability = card.capability
    if capability is not None and capability > 20:  # written as nvcc does: 86, sm_90
        capability = capability / 10
    return memory.Gpu(
        name, int((size or 0) * memory.GIB), None if free is None else int(free * memory.GIB), capability
    ), said  # fmt: skip


def _number(written: dict[str, t.Any], name: str) -> float | None:
    """A number above 0, also with its unit.

    :raises FindingsError: when it is none, or no size that a GPU has
    """
    value = written.get(name)
    if value is None or value == "":
        return None
    text = str(value).strip().lower().removeprefix("sm_").removesuffix("gib").removesuffix("gb").strip()
    problem, number = f"{value!r} is no number above 0", 0.0
    try:
        number = float(text.removesuffix("mib")) / (1024 if text.endswith("mib") else 1)  # as nvidia-smi shows it
        usable = 0 < number < float("inf") or (number == 0 and name == "free_gib")
    except ValueError:
        usable = False
    if usable and name != "compute_capability" and number > 4096:
        usable, problem = False, f"{value!r} GiB is more than any GPU has; it looks like MiB or bytes"
    if usable:
        return number
    fix = "Write 79.18 for 79.18 GiB, 9.0 for compute capability 9.0."
    raise findings.FindingsError([findings.Finding("memory.value", "error", problem, f"gpu.{name}", fix)])


#: Keys of ``gpu``.
GPU = ("name", "memory_gib", "free_gib", "compute_capability")
