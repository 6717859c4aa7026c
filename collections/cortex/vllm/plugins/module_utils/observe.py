# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""One look at a host for all its servers. Reads, changes nothing, and never fails as a whole: a broken part says so."""

from __future__ import annotations

import os
import re
import secrets
import threading

from ansible_collections.cortex.vllm.plugins.module_utils import (
    connection,
    files,
    intact,
    journal,
    locks,
    ours,
    paths,
    ports,
    state,
    trimming,
)
from ansible_collections.cortex.vllm.plugins.module_utils.connection import EngineError

SCHEMA = 1


def observe(request, params, module):
    """The observation of docs/contract.md for a request; ``module``: for nvidia-smi only."""
    salt = secrets.token_hex(16)
    state_dir = request.get("state_dir") or files.STATE_DIR
    engine, facts = connection.facts(params)
    inspects, short, images, networks = [], [], {}, {}
    servers = {entry["name"]: _server(state_dir, entry["name"]) for entry in request.get("servers") or []}
    if engine is not None:
        try:
            short = engine.containers()
            inspects = _containers(engine, short, request)
            images = _images(engine, inspects, request, servers, state_dir)
            networks = {name: engine.network(name) for name in request.get("networks") or []}
        except EngineError as exc:
            facts["status"] = "not_running"
            facts["message"] = "the engine stopped answering: {0}".format(exc.message)
    answer = {
        "schema": SCHEMA,
        "salt": salt,
        "host": paths.host([state_dir, facts.get("root_dir")]),
        "engine": facts,
        "containers": [trimming.container(entry, salt) for entry in inspects],
        "images": images,
        "models": _models(request.get("models")),
        "paths": {path: paths.look(path) for path in request.get("paths") or []},
        "ports": ports.look(request.get("ports") or [], short),
        "addresses": ports.ours(entry.get("address") for entry in request.get("ports") or []),
        "gpus": _gpus(module) if request.get("gpus") or request.get("contract") else None,
        "servers": servers,
    }
    if networks:
        answer["networks"] = networks
    if request.get("contract"):
        answer["contract"] = _contract(module, engine, facts, answer["gpus"]["devices"])
    if request.get("network"):
        answer.update(_network(module, state_dir))
    _name_holders(answer["ports"], inspects)
    by_name = {entry["Name"].lstrip("/"): entry for entry in inspects}
    asked = []
    for entry in request.get("servers") or []:
        if request.get("health"):
            wanted = _wanted_pulse(request, entry["name"])
            _ask_health(asked, servers[entry["name"]], by_name.get(entry["container_name"]), wanted)
    # Servers that nobody asked for but that have a container of ours: what is to be reported or pruned.
    for entry in inspects:
        name = ours.label_of(entry) or ours.named(entry)
        if name and files.safe_name(name) and name not in servers:
            servers[name] = _server(state_dir, name)
    for thread in asked:
        thread.join()
    if engine is not None:
        engine.close()
    return answer


# What comes in an archive is compiled each time: a look loads only the parts that it was asked for.


def _models(models):
    if not models:
        return {}
    from ansible_collections.cortex.vllm.plugins.module_utils import model_files

    return model_files.looks(models)


def _gpus(module):
    from ansible_collections.cortex.vllm.plugins.module_utils import gpus

    return gpus.look(module)


def _contract(module, engine, facts, devices):
    from ansible_collections.cortex.vllm.plugins.module_utils import host_facts

    try:
        return host_facts.look(module, engine, devices)
    except EngineError as exc:
        facts["warnings"].append("the engine could not name the containers on the GPUs: {0}".format(exc.message))
        return host_facts.look(module)


def _network(module, state_dir):
    from ansible_collections.cortex.vllm.plugins.module_utils import network

    return {"network": network.look(module), "collectives": network.measured(state_dir)}


def _containers(engine, short, request):
    """Full inspects of what matters: ours, the declared names, holders of wanted ports and of GPUs."""
    names = set()
    for entry in request.get("servers") or []:
        name = entry["container_name"]
        names.update((name, name + ".kept", name + ".new", entry.get("kept_name") or name + ".kept"))
    wanted_ports = {int(entry["port"]) for entry in request.get("ports") or []}
    found = []
    for entry in short:
        if ours.LOOK in (entry.get("Labels") or {}):
            continue  # a look into an image, which takes nothing and is gone in a moment
        # One that was taken over has our name and, before anything of it is read, no label.
        called = [name.lstrip("/") for name in entry.get("Names") or []]
        mine = ours.LABEL in (entry.get("Labels") or {}) or any(name.startswith(ours.PREFIX) for name in called)
        named = bool(names & set(called))
        holds = bool(wanted_ports & {port.get("PublicPort") for port in entry.get("Ports") or []})
        running = entry.get("State") in ("running", "restarting", "paused")
        if not (mine or named or holds or running):
            continue
        inspect = engine.inspect(entry["Id"])
        if inspect is not None and (mine or named or holds or trimming.holds_gpus(inspect) or _on_host(inspect)):
            found.append(inspect)
    return found


def _on_host(inspect):
    # Its ports are the host's, without the engine publishing any: `_name_holders` tells whose a listener is.
    return (inspect.get("HostConfig") or {}).get("NetworkMode") == "host"


def _images(engine, inspects, request, servers, state_dir):
    """Images asked for by reference, those of our containers and those that are committed by id."""
    known = state.load_images(state_dir)
    answer = {}
    wanted = list(request.get("images") or [])
    # The container may have been removed by hand and the tag moved: what was proven is still the pin.
    committed = [(entry["state"] or {}).get("committed") or {} for entry in servers.values()]
    wanted += [entry["image_id"] for entry in committed if entry.get("image_id")]
    wanted += [entry["Image"] for entry in inspects if (ours.label_of(entry) or ours.named(entry)) is not None]
    for ref in wanted:
        if ref in answer:
            continue
        try:
            found = engine.image(ref)
        except EngineError as exc:
            if exc.kind in ("connection", "timeout"):
                raise
            found = None  # not a reference the engine understands: it is not there
        if found is None and state.by_digest(known, ref):
            found = engine.image(state.by_digest(known, ref))  # loaded from a file, which has no digest
        answer[ref] = trimming.image(found, state.known_image(state_dir, known.get(found.get("Id")))) if found else None
    return answer


def _name_holders(held, inspects):
    """Name the container of a listening process, for those on the host's network."""
    for found in held.values():
        if not found or found["container"] or not found["pid"]:
            continue
        try:
            with open("/proc/{0}/cgroup".format(found["pid"]), "rb") as stream:
                match = re.search(r"[0-9a-f]{64}", stream.read().decode("ascii", "replace"))
        except OSError:
            continue
        for entry in inspects:
            if (match and entry["Id"] == match.group(0)) or (entry.get("State") or {}).get("Pid") == found["pid"]:
                found["container"] = entry["Name"].lstrip("/")


def _server(state_dir, name):
    folder = state.server_dir(state_dir, name)
    loaded, digest, problem = state.load(state_dir, name)
    job = journal.last(folder)
    if job:
        job.pop("alive")
    return {
        "failed_starts": _failed_starts(folder),
        "state": loaded,
        "state_hash": digest,
        "problem": problem,
        "lock": locks.holder(locks.path_of(state_dir, "server-" + name)),
        "job": job,
        "damage": intact.look(state_dir, name, (loaded or {}).get("committed")),
        "health": None,
    }


def _failed_starts(folder):
    """Starts in a row without a healthy moment, the present one included, as the launcher counts them; 0 after one."""
    try:
        with open(os.path.join(folder, "run", "failed-starts"), "rb") as stream:
            return int(stream.read(200).split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _wanted_pulse(request, name):
    """The part of the request that says how to take a server's pulse, or None."""
    wanted = request.get("pulse") or {}
    return wanted if name in (wanted.get("servers") or []) else None


def _ask_health(asked, found, inspect, wanted=None):
    committed = (found["state"] or {}).get("committed") or {}
    probe = committed.get("probe")
    if not probe or not probe.get("port") or not ((inspect or {}).get("State") or {}).get("Running"):
        return
    if ours.paused(inspect):
        return  # its port takes connections, and nobody answers: that would cost the whole patience to learn
    from ansible_collections.cortex.vllm.plugins.module_utils import probing

    key = ours.api_key(inspect, probe)

    def ask():
        health = probing.health(probe, key)
        if wanted and health["http"] == 200:
            from ansible_collections.cortex.vllm.plugins.module_utils import pulse

            health["pulse"] = pulse.take(
                probe, key, float(wanted.get("window") or 10.0), wanted.get("token") or "suspect",
                float(wanted.get("token_timeout") or 30.0),
            )  # fmt: skip
        found["health"] = health

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    asked.append(thread)
