# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What makes a container ours, and what it tells about itself."""

from __future__ import annotations

from ansible_collections.cortex.vllm.plugins.module_utils import files

# Set by the controller's renderer; its value is the name of the server.
LABEL = "cortex.vllm.server"
# Of a one-off container that looks into an image (inside.py): it is gone in a moment.
LOOK = "cortex.vllm.look"
# What the names of our containers begin with.
PREFIX = "cortex-vllm-"
# Where a container sees the directory of its generation.
MOUNT = "/run/cortex-vllm"


def label_of(inspect):
    """The server a container belongs to, or None when it is not ours."""
    return ((inspect.get("Config") or {}).get("Labels") or {}).get(LABEL)


def named(inspect):
    """The server that a container's name stands for, or None. Whether it is ours its record has to say."""
    name = str(inspect.get("Name") or "").lstrip("/")
    return name[len(PREFIX) :] if name.startswith(PREFIX) and not name.endswith((".new", ".kept")) else None


def running(inspect):
    """Whether a container runs; one between two restarts does not."""
    state = (inspect or {}).get("State") or {}
    return bool(state.get("Running")) and not state.get("Restarting")


def paused(inspect):
    """Whether somebody has paused a container: it runs for the engine, and nothing in it moves."""
    return bool(((inspect or {}).get("State") or {}).get("Paused"))


def generation_dir(inspect):
    """The directory on the host that a container sees as /run/cortex-vllm, or None."""
    for mount in (inspect or {}).get("Mounts") or []:
        if mount.get("Destination") == MOUNT:
            return mount.get("Source")
    return None


def words(inspect):
    """The words that a container runs, a shell's text taken apart at blanks."""
    config = (inspect or {}).get("Config") or {}
    given = []
    for part in (config.get("Entrypoint"), config.get("Cmd")):
        given += [part] if isinstance(part, str) else [str(word) for word in part or []]
    return [word for part in given for word in (part.split() if " " in part else [part])]


def argument(inspect, option):
    """The value of an option on a container's command line, or None."""
    given = words(inspect)
    for index, word in enumerate(given):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == option:
            value = value if equals else (given[index + 1] if index + 1 < len(given) else "")
            return value.strip("\"'") or None
    return None


def api_key(inspect, probe):
    """The API key of a container, from the secret file of its own generation.

    One that was taken over has it where its owner put it: in its environment, or among its arguments.
    """
    name = (probe or {}).get("api_key")
    if not name:
        return None
    directory = generation_dir(inspect)
    if directory:
        return files.secret(directory, name)
    for entry in ((inspect or {}).get("Config") or {}).get("Env") or []:
        key, dummy, value = str(entry).partition("=")
        if key == name:
            return value
    return argument(inspect, "--api-key")


def secrets(inspect):
    """All that must not appear in what is said about a container."""
    found = files.secrets(generation_dir(inspect))
    given = argument(inspect, "--api-key")
    if not generation_dir(inspect):
        for entry in ((inspect or {}).get("Config") or {}).get("Env") or []:
            key, dummy, value = str(entry).partition("=")
            if key in ("VLLM_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") and value:
                found.append(value)
    return found + ([given] if given else [])
