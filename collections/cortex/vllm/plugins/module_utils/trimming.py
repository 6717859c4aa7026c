# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What of the engine's answers travels to the controller: enough to compare with a plan, no values of secrets."""

from __future__ import annotations

import hashlib
import hmac

TOP = ("Id", "Name", "Created", "Image", "RestartCount", "Config", "HostConfig", "Mounts")
HEALTH_OUTPUT = 400


def digest(salt, value):
    """``hmac-sha256(salt, value)`` in hex: comparable by who knows the value, useless to who does not."""
    return hmac.new(salt.encode("utf-8"), value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def environment(entries):
    """``{"NAME": "value"}`` of the engine's ``["NAME=value", …]``."""
    found = {}
    for entry in entries or []:
        name, dummy, value = str(entry).partition("=")
        found[name] = value
    return found


def visible_devices(config):
    """The container's NVIDIA_VISIBLE_DEVICES, or None: not a secret, and it says which GPUs a stranger holds."""
    return environment((config or {}).get("Env")).get("NVIDIA_VISIBLE_DEVICES")


def container(answer, salt):
    """The trimmed inspect of one container, environment values replaced by their `digest`."""
    trimmed = {key: answer.get(key) for key in TOP}
    config = dict(answer.get("Config") or {})
    trimmed["VisibleDevices"] = visible_devices(config)
    config["Env"] = {name: digest(salt, value) for name, value in environment(config.get("Env")).items()}
    trimmed["Config"] = config
    state = dict(answer.get("State") or {})
    if isinstance(state.get("Health"), dict):
        health = dict(state["Health"])
        health["Log"] = [
            dict(entry, Output=str(entry.get("Output") or "")[:HEALTH_OUTPUT])
            for entry in (health.get("Log") or [])[-1:]
        ]
        state["Health"] = health
    trimmed["State"] = state
    network = answer.get("NetworkSettings") or {}
    trimmed["NetworkSettings"] = {key: network.get(key) for key in ("Ports", "Networks")}
    return trimmed


def evidence(answer):
    """An inspect for the evidence of a failure: names of environment variables only."""
    kept = dict(answer)
    config = dict(kept.get("Config") or {})
    config["Env"] = sorted(environment(config.get("Env")))
    kept["Config"] = config
    return kept


def image(answer, known):
    """The trimmed facts of one image; ``known``: what this host noted of it before, or None."""
    config = answer.get("Config") or {}
    return {
        "id": answer.get("Id"),
        "repo_tags": answer.get("RepoTags") or [],
        "repo_digests": answer.get("RepoDigests") or [],
        "architecture": answer.get("Architecture"),
        "os": answer.get("Os"),
        "size": answer.get("Size"),
        "created": answer.get("Created"),
        "config": {
            "Entrypoint": config.get("Entrypoint") or [],
            "Cmd": config.get("Cmd") or [],
            "Env": environment(config.get("Env")),
            "Labels": config.get("Labels") or {},
            "User": config.get("User") or "",
            "WorkingDir": config.get("WorkingDir") or "",
            "ExposedPorts": sorted(config.get("ExposedPorts") or {}),
            "Healthcheck": config.get("Healthcheck"),
            "Volumes": sorted(config.get("Volumes") or {}),
            "StopSignal": config.get("StopSignal"),
        },
        "known": known,
    }


def holds_gpus(answer):
    """Whether a container was given GPUs: by device request, CDI name, device file or the NVIDIA runtime."""
    host = answer.get("HostConfig") or {}
    for request in host.get("DeviceRequests") or []:
        capabilities = [name for group in request.get("Capabilities") or [] for name in group or []]
        if "gpu" in capabilities or request.get("Driver") in ("nvidia", "cdi"):
            return True
    for device in host.get("Devices") or []:
        if str(device.get("PathOnHost") or "").startswith("/dev/nvidia"):
            return True
    if "nvidia" in str(host.get("Runtime") or ""):
        return visible_devices(answer.get("Config")) not in (None, "", "void", "none")
    return False
