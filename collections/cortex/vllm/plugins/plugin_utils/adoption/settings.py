# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Address, GPUs and limits of a container, as the fields of a declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..findings import Finding, FindingsError
from ..gpu_selection import parse

#: What Docker takes without being told.
_SHM, _LOG = 64 << 20, {"json-file", "local", ""}
#: What begins the labels that compose writes.
COMPOSE = "com.docker.compose."


def address(values: dict[str, Any], inspect: Mapping[str, Any], findings: list[Finding], field: str) -> dict[str, Any]:
    """Where it listens on the host: a published port, or its own on the host's network."""
    host = inspect.get("HostConfig") or {}
    inner, own = int(values.pop("port", None) or 8000), values.pop("host", None)
    values.pop("api_key", None)
    values.pop("hf_token", None)
    mode = str(host.get("NetworkMode") or "default")
    if mode == "host":
        return {"network": "host", "bind": own or "0.0.0.0", "server_port": inner}
    found: dict[str, Any] = {}
    bindings = (host.get("PortBindings") or {}).get(f"{inner}/tcp") or []
    ports = [item for item in bindings if str(item.get("HostPort") or "").isdigit()]
    if ports:
        found = {"bind": ports[0].get("HostIp") or "0.0.0.0", "server_port": int(ports[0]["HostPort"])}
    else:
        text = f"port {inner} of the container is not published at a fixed port of the host"
        fix = "Say which port it is to have; until then it is the container's, on 127.0.0.1."
        findings.append(Finding("adopt.port", "warning", text, f"{field}.server_port", fix))
        found = {"server_port": inner}
    networks = [name for name in inspect.get("Networks") or () if name not in ("bridge", "host", "none", mode)]
    if mode not in ("default", "bridge"):
        found["network"] = mode
    return found | ({"networks": networks} if networks else {})


def gpus(host: Mapping[str, Any], config: Mapping[str, Any], findings: list[Finding], field: str) -> dict[str, Any]:
    """Its GPUs, by whichever of the engine's three ways it was given them."""
    for request in host.get("DeviceRequests") or ():
        ids = [str(item).removeprefix("nvidia.com/gpu=") for item in request.get("DeviceIDs") or ()]
        if ids == ["all"] or (not ids and request.get("Count") == -1):
            return {"gpus": "all"}
        if ids:
            return _parsed(ids, findings, field)
        if request.get("Count"):
            return {"gpus": int(request["Count"])}
    visible = str((config.get("Env") or {}).get("NVIDIA_VISIBLE_DEVICES") or "")
    if "nvidia" in str(host.get("Runtime") or "") and visible not in ("", "void", "none"):
        return {"gpus": "all"} if visible == "all" else _parsed(visible, findings, field)
    return {}


def _parsed(written: Any, findings: list[Finding], field: str) -> dict[str, Any]:
    try:
        return {"gpus": parse(written).canonical()}
    except FindingsError as refused:
        where = f"{field}.gpus"
        findings += [Finding("adopt.gpus", "error", item.message, where, item.fix) for item in refused.findings]
        return {}


def limits(config: Mapping[str, Any], host: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """Everything else that the engine was told, where it is not what the engine does anyway."""
    found: dict[str, Any] = {}
    if host.get("IpcMode") == "host":
        found["ipc"] = "host"
    elif (host.get("ShmSize") or _SHM) != _SHM:
        found["shm_size"] = _size(host["ShmSize"])
    if host.get("Memory"):
        found["memory"] = _size(host["Memory"])
    if host.get("NanoCpus"):
        found["cpus"] = host["NanoCpus"] / 1e9
    if host.get("Ulimits"):
        found["ulimits"] = {
            str(item["Name"]): {"soft": int(item["Soft"]), "hard": int(item["Hard"])} for item in host["Ulimits"]
        }
    user = str(config.get("User") or "")
    if user != str(image.get("User") or "") and user.replace(":", "").isdigit():
        found["user"] = user
    if not host.get("Init"):
        found["init"] = False
    if host.get("CapAdd"):
        found["cap_add"] = sorted(str(item).upper().removeprefix("CAP_") for item in host["CapAdd"])
    options = [str(item) for item in host.get("SecurityOpt") or () if "no-new-privileges" not in str(item)]
    if options:
        found["security_opt"] = options
    devices = [str(item.get("PathOnHost")) for item in host.get("Devices") or ()]
    if devices:
        found["devices"] = devices
    labels = {
        key: value
        for key, value in (config.get("Labels") or {}).items()
        if (image.get("Labels") or {}).get(key) != value and not key.startswith(COMPOSE)
    }
    if labels:
        found["labels"] = labels
    log = host.get("LogConfig") or {}
    if log.get("Config") or str(log.get("Type") or "") not in _LOG:
        found["log"] = {"driver": log.get("Type"), "options": dict(log.get("Config") or {})}
    policy = str((host.get("RestartPolicy") or {}).get("Name") or "no")
    if policy != "unless-stopped":
        found["restart_policy"] = policy
    return found


def _size(value: int) -> str:
    for unit, factor in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if value % factor == 0:
            return f"{value // factor}{unit}"
    return f"{value}b"
