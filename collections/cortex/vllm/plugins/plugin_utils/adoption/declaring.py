# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""From a running container to the declaration that says the same."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from .. import catalog, rendering
from .. import spec as specs
from ..findings import Finding, FindingsError
from . import command, settings
from .paths import Mounts

#: Variables of the Hub's client that say where its cache is (huggingface_hub constants.py), the most telling first.
HUB_CACHES = (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "/hub"))
#: Variables that fields of a declaration stand for.
_ELSEWHERE = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"}
_ELSEWHERE |= {"CUDA_DEVICE_ORDER", "VLLM_USE_V1", "HOSTNAME", "TERM", "container"}
_ELSEWHERE |= {name for name, _tail in HUB_CACHES}
_PLACEHOLDER = "********"


@dataclasses.dataclass
class Adoption:
    """A container as a declaration.

    :ivar written: the fields of the declaration, as a person would write them; secrets are variables of a vault
    :ivar secrets: environment variable that the declaration exports -> where the container has its value
    :ivar spec: the validated declaration, with placeholders for secrets; None when it is none (``findings`` say why)
    """

    name: str
    container: str
    written: dict[str, Any] = dataclasses.field(default_factory=dict)
    secrets: dict[str, str] = dataclasses.field(default_factory=dict)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    spec: Any = None


def declare(entry: Mapping[str, Any], taken: frozenset[str] = frozenset()) -> Adoption:
    """Write the declaration of one container.

    :param entry: ``{inspect, image, secrets, adopted}`` of the step ``strangers``
    :param taken: names of servers that others have already
    """
    inspect = entry["inspect"]
    config, host = inspect.get("Config") or {}, inspect.get("HostConfig") or {}
    container = str(inspect.get("Name") or "").lstrip("/")
    name = str(entry.get("adopted") or _name(container, config.get("Labels") or {}, taken))
    made = Adoption(name, container)
    field = f"vllm_servers[{name}]"
    found = command.read(config.get("Entrypoint") or [], config.get("Cmd") or [])
    if found is None:
        text = "its command does not show how vLLM is started"
        made.findings.append(Finding("adopt.command", "error", text, field, "Declare it by hand."))
        return made
    if found.shell:
        made.findings.append(command.shell_finding(field, config))
    image = entry.get("image") or {}
    reference = _reference(config, image)
    facts = rendering.image_facts(reference, image, None)
    release = catalog.nearest(facts.version)[0] if facts.version else rendering.release_for(facts)
    values, problems = command.arguments(found, release, field)
    made.findings += problems
    mounts, environment = Mounts(inspect), _environment(config, image)
    written: dict[str, Any] = {"image": reference}
    if not facts.version:
        written["vllm_version"] = release.version
        text = f"nothing says which vLLM is in {reference}; its arguments were read as those of {release.version}"
        made.findings.append(Finding("adopt.release", "warning", text, f"{field}.vllm_version", "Correct it."))
    if tuple(found.program) != facts.entrypoint and not found.shell and facts.entrypoint:
        if _served(found.program) != _served(facts.entrypoint):
            written["entrypoint"] = list(found.program)
    _model(written, values, mounts, made, field)
    written |= settings.address(values, inspect, made.findings, field)
    _hub(written, mounts, config, environment, made, field)
    written |= settings.gpus(host, config, made.findings, field)
    written |= settings.limits(config, host, image.get("config") or {})
    made.secrets = _secrets(written, entry.get("secrets") or (), name)
    env = {key: text for key, text in environment.items() if key not in _ELSEWHERE and text is not None}
    if environment.get("VLLM_USE_V1") in ("0", "1"):
        written["engine"] = f"v{environment['VLLM_USE_V1']}"
    kept = {key: text for key, text in sorted(env.items()) if key not in made.secrets.values()}
    written |= {"env": kept} if kept else {}
    rest = mounts.left(_texts(values))
    written |= {"mounts": rest} if rest else {}
    arguments = {key: value for key, value in values.items() if value is not None}
    written |= {"engine_args": arguments} if arguments else {}
    made.written = written
    if not any(item.severity == "error" for item in made.findings):
        _validate(made, field)
    return made


def _validate(made: Adoption, field: str) -> None:
    """Load the declaration as a converge would; what is refused there needs a person, or their consent."""
    trial = {**made.written}
    if "secrets" in trial:
        trial["secrets"] = _placeholders(trial["secrets"])
    for _attempt in range(2):
        try:
            (made.spec,) = specs.load({made.name: trial})
            return
        except FindingsError as refused:
            codes = {item.code for item in refused.findings}
            if codes == {"security.public-without-key"}:
                # It is so already; a person has to know it, and may change it.
                made.written["accept"] = trial["accept"] = sorted(codes)
                made.findings += [dataclasses.replace(item, severity="warning") for item in refused.findings]
                continue
            made.findings += [dataclasses.replace(item, origin=None) for item in refused.findings]
            return


def _placeholders(secrets: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: dict.fromkeys(value, _PLACEHOLDER) if isinstance(value, Mapping) else _PLACEHOLDER
        for key, value in secrets.items()
    }


def _name(container: str, labels: Mapping[str, str], taken: frozenset[str]) -> str:
    """The service of a compose file, else the container's own name; never one that is taken."""
    name = labels.get(f"{settings.COMPOSE}service") or container.removeprefix("cortex-vllm-")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:60] or "server"
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def _reference(config: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    """The image as it was named; an id is written as a tag or digest where it has one."""
    named = str(config.get("Image") or "")
    if named and not re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", named):
        return named
    for names in (image.get("repo_tags"), image.get("repo_digests")):
        for reference in names or ():
            if "<none>" not in reference:
                return str(reference)
    return str(image.get("id") or named)


def _served(program: Any) -> tuple[str, ...]:
    """A program without folders, so that /usr/local/bin/vllm is vllm, and python is python3."""
    return tuple(re.sub(r"^python(\d(\.\d+)?)?$", "python", posixpath.basename(str(word))) for word in program)


def _environment(config: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, str | None]:
    """Variables that the container was given beside those of its image; None for secret values."""
    own = (image.get("config") or {}).get("Env") or {}
    return {key: value for key, value in (config.get("Env") or {}).items() if key not in own or own[key] != value}


def _model(written: dict[str, Any], values: dict[str, Any], mounts: Mounts, made: Adoption, field: str) -> None:
    """Model, tokenizer and names: paths of the container become paths of the host."""
    tag, option = values.pop("model_tag", None), values.pop("model", None)
    model = str(option or tag or "")
    if not model:
        text = "no model is named: vLLM takes its own default then"
        made.findings.append(Finding("adopt.no-model", "error", text, f"{field}.model", "Declare it by hand."))
        return
    names = values.pop("served_model_name", None)
    written["model"] = _host_path(model, "model", mounts, made, field)
    # What clients call it now: without names of its own, vLLM serves a model under the very word it was given.
    written["served_model_name"] = list(names) if isinstance(names, (list, tuple)) else [names or model]
    for key in ("tokenizer", "revision"):
        if values.get(key) is not None:
            written[key] = _host_path(str(values.pop(key)), key, mounts, made, field)


def _host_path(value: str, key: str, mounts: Mounts, made: Adoption, field: str) -> str:
    if not value.startswith("/"):
        return value
    found = mounts.host(value)
    if found is None:
        text = f"{value} is inside of the image or the container, and no path of the host"
        fix = "Mount it from the host, or name a model of the Hub."
        made.findings.append(Finding("adopt.path", "error", text, f"{field}.{key}", fix))
        return value
    return found


def _hub(
    written: dict[str, Any],
    mounts: Mounts,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    made: Adoption,
    field: str,
) -> None:
    """The Hub's cache on the host, and whether the server may ask the Hub."""
    all_variables = config.get("Env") or {}
    offline = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} & {
        key for key, value in all_variables.items() if str(value).upper() in ("1", "ON", "YES", "TRUE")
    }
    if "HF_HUB_OFFLINE" in offline:
        written["offline"] = True
    home = str(environment.get("HOME") or "/root")
    inside = next(
        (f"{all_variables[name]}{tail}" for name, tail in HUB_CACHES if all_variables.get(name)),
        f"{home}/.cache/huggingface/hub",
    )
    place = mounts.host(inside)
    if place is not None:
        written["hub_cache"] = place
        mounts.use(inside)
    elif not str(written.get("model") or "/").startswith("/"):
        text = f"its model lies inside of the container ({inside}); the next container fetches it again"
        fix = "Mount the cache from the host; until then the declaration's hub_cache is the default."
        made.findings.append(Finding("adopt.cache", "warning", text, f"{field}.hub_cache", fix))


def _secrets(written: dict[str, Any], names: Any, server: str) -> dict[str, str]:
    """Secrets as variables of a vault; which variable of the container each one is."""
    prefix = "vault_" + re.sub(r"\W", "_", server).lower()
    declared: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in sorted(names):
        if name == "HUGGING_FACE_HUB_TOKEN":
            continue  # the older name of HF_TOKEN, which is there too
        sources[name] = name
        variable = "{{ %s_%s }}" % (prefix, name.lower().removeprefix("vllm_"))
        key = {"VLLM_API_KEY": "api_key", "HF_TOKEN": "hf_token"}.get(name)
        if key:
            declared[key] = variable
        else:
            declared.setdefault("env", {})[name] = variable
    if declared:
        written["secrets"] = declared
    return sources


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return []
