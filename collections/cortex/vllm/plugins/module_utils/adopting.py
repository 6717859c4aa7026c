# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Takes over vLLM containers that somebody else started: looks at them, and notes on the host whose they are now.

Nothing is stopped or started. Secrets never leave the host: what names say is secret is masked in what is told, and
for the record their digests are made here.
"""

from __future__ import annotations

import hashlib
import json
import re
import time

from ansible_collections.cortex.vllm.plugins.module_utils import files, locks, ours, state, trimming
from ansible_collections.cortex.vllm.plugins.module_utils.client import Engine
from ansible_collections.cortex.vllm.plugins.module_utils.connection import EngineError
from ansible_collections.cortex.vllm.plugins.module_utils.redact import MASK, Redactor, secret_name

# A user and a password inside of an address, as proxies have them.
_IN_ADDRESS = re.compile(r"//[^/@\s:]+:[^/@\s]+@")


def strangers(request, params):
    """The answer of the step ``strangers``: ``{containers: [{inspect, image, secrets, adopted}], missing}``.

    Raises `EngineError`.
    """
    state_dir, wanted = request["state_dir"], request.get("containers") or []
    known, found, names = state.load_images(state_dir), [], set()
    with Engine(params) as engine:
        for entry in engine.containers():
            labels = entry.get("Labels") or {}
            if ours.LABEL in labels or entry.get("State") != "running":
                continue
            inspect = engine.inspect(entry["Id"])
            if inspect is None:
                continue
            name = inspect["Name"].lstrip("/")
            if name not in wanted if wanted else not _looks_like_vllm(inspect):
                continue
            names.add(name)
            image = engine.image(inspect["Image"]) or {}
            facts = trimming.image(image, state.known_image(state_dir, known.get(image.get("Id"))))
            found.append(dict(_told(inspect), image=facts, adopted=_owner(state_dir, inspect)))
    return {"containers": found, "missing": sorted(set(wanted) - names)}


def adopt(request, params):
    """The answer of the step ``adopt``: ``{adopted: [names], refused: {name: text}}``.

    Each of ``take`` is ``{name, container_id, container_name, record, secrets, probe}``.

    Raises `EngineError`, `OSError`.
    """
    adopted, refused = [], {}
    with Engine(params) as engine:
        files.directory(request["state_dir"], 0o711)
        for item in request["take"]:
            name = item["name"]
            if not files.safe_name(name) or name == "locks":
                refused[str(name)] = "this is no name for a server"
                continue
            try:
                with locks.Lock(request["state_dir"], "server-" + name).acquire(10.0):
                    if _take(engine, request["state_dir"], item):
                        adopted.append(name)
            except (_Refused, locks.LockTimeout) as exc:
                refused[name] = str(exc)
    return {"adopted": adopted, "refused": refused, "changed": bool(adopted)}


class _Refused(Exception):
    pass


def _take(engine, state_dir, item):
    """Note one container as a server's own and give it the server's name; whether anything was to be done."""
    name, ident = item["name"], item["container_id"]
    inspect = engine.inspect(ident)
    if inspect is None or not ours.running(inspect):
        raise _Refused("the container does not run any more")
    loaded, dummy, problem = state.load(state_dir, name)
    if problem:
        raise _Refused(problem)
    committed = (loaded or {}).get("committed") or {}
    named = inspect["Name"].lstrip("/") == item["container_name"]
    if committed.get("container_id") == inspect["Id"] and named:
        return False
    if committed and committed.get("container_id") != inspect["Id"]:
        raise _Refused("there is a server of this name already, with another container")
    if not named and engine.inspect(item["container_name"]) is not None:
        raise _Refused("there is another container {0} already".format(item["container_name"]))
    if not committed:
        # The record first: a container of our name without one would look like somebody else's.
        entry = dict(state.empty(name), committed=_record(item, inspect))
        state.save(state_dir, name, entry)
    if not named:
        engine.rename(inspect["Id"], item["container_name"])
    return True


def _record(item, inspect):
    """What state.json holds of a container that we did not create: as if it had been committed as it is."""
    record = dict(item["record"])
    secret = values(inspect)
    digests = {
        name: trimming.digest(record["salt"], secret[source])
        for name, source in (item.get("secrets") or {}).items()
        if source in secret
    }
    declaration = dict(record["declaration"], secrets=digests)
    text = json.dumps(declaration, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return dict(
        record,
        declaration=declaration,
        declaration_hash=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        secrets=digests,
        adopted=True,
        generation="adopted-" + inspect["Id"][:12],
        container_id=inspect["Id"],
        image_id=inspect["Image"],
        body=_body(inspect, Redactor(secret.values())),
        probe=item.get("probe"),
        verified_restart_policy=(inspect.get("HostConfig") or {}).get("RestartPolicy") or {"Name": "no"},
        committed_at=round(time.time(), 3),
        ready_seconds=None,
    )


def _body(inspect, redactor):
    """The container as the body that would create it again, without secret values."""
    config = dict(inspect.get("Config") or {})
    config["Env"] = [entry for entry in config.get("Env") or [] if not secret_variable(*_pair(entry))]
    config["Image"] = inspect["Image"]
    return redactor.data(dict(config, HostConfig=inspect.get("HostConfig") or {}))


def _told(inspect):
    """A container as the controller may see it, with the names of what was masked and where each stands."""
    secret = values(inspect)
    redactor = Redactor(secret.values())
    shown = {key: inspect.get(key) for key in trimming.TOP + ("State",)}
    shown["State"] = {key: (inspect.get("State") or {}).get(key) for key in ("Status", "Running", "StartedAt")}
    shown["Networks"] = sorted(((inspect.get("NetworkSettings") or {}).get("Networks")) or {})
    config = dict(inspect.get("Config") or {})
    environment = trimming.environment(config.get("Env"))
    config["Env"] = {name: None if secret_variable(name, text) else text for name, text in environment.items()}
    shown["Config"] = config
    return {"inspect": redactor.data(shown), "secrets": sorted(secret)}


def _pair(entry):
    name, dummy, value = str(entry).partition("=")
    return name, value


def secret_variable(name, value):
    """Whether the value of a variable must not be shown."""
    return bool(value) and (secret_name(name) or bool(_IN_ADDRESS.search(value)))


def values(inspect):
    """Secret values of a container by the environment variable that holds each, those among its arguments too."""
    config = inspect.get("Config") or {}
    environment = trimming.environment(config.get("Env"))
    found = {name: text for name, text in environment.items() if secret_variable(name, text)}
    if "HUGGING_FACE_HUB_TOKEN" in found:
        found.setdefault("HF_TOKEN", found["HUGGING_FACE_HUB_TOKEN"])
    for option, name in (("--api-key", "VLLM_API_KEY"), ("--hf-token", "HF_TOKEN")):
        given = ours.argument(inspect, option)
        if given and given != MASK:
            found[name] = given
    return found


def _looks_like_vllm(inspect):
    """Whether it runs vLLM's server, by its program or its image. Ray workers, benchmarks and proxies do not."""
    words = " ".join(ours.words(inspect))
    serves = re.search(r"\bvllm\s+serve\b|vllm\.entrypoints\.(openai\.api_server|api_server)", words)
    return bool(serves) or bool(re.search(r"(^|/)vllm[\w.-]*\s", words + " ") and "serve" in words)


def _owner(state_dir, inspect):
    """Name of the server that has this very container on record, or None."""
    name = inspect["Name"].lstrip("/")
    if not name.startswith("cortex-vllm-"):
        return None
    name = name[len("cortex-vllm-") :]
    loaded = state.load(state_dir, name)[0] if files.safe_name(name) else None
    committed = (loaded or {}).get("committed") or {}
    return name if committed.get("container_id") == inspect["Id"] else None


__all__ = ["EngineError", "adopt", "strangers"]
