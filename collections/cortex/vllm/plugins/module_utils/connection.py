# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""How the target reaches its engine: options, errors, and the facts of an observation.

Looking is done without the Docker SDK where a socket of this host is read (`reader`): importing it is most of what a
look would cost. Whatever changes something, and every other kind of connection, goes through the SDK (`client`).
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import socket
import sys

# The distribution's package is bound to the distribution's Python; discovery may have chosen another one.
INTERPRETERS = (
    "/usr/bin/python3",
    "/usr/libexec/platform-python",
    "/usr/local/bin/python3",
)
OLDEST_SDK = (5, 0)
CHECK_HOST = "Start the engine, or correct docker_host and the tls options."

DEFAULT_HOST = "unix:///var/run/docker.sock"
# Options of every task that talks to the engine; documented by the fragment `cortex.vllm._engine`.
CONNECTION = {
    "docker_host": {"type": "str", "default": DEFAULT_HOST},
    "tls": {"type": "bool", "default": False},
    "tls_ca": {"type": "path"},
    "tls_cert": {"type": "path"},
    "tls_key": {"type": "path"},
    "tls_verify": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 60.0},
}


class EngineError(Exception):
    """The engine refused or could not be asked.

    ``kind``: ``absent``, ``not_running``, ``denied``, ``sdk_missing``, ``incompatible`` (no connection),
    ``not_found``, ``conflict``, ``refused`` (the engine said no), ``timeout``, ``connection`` (lost on the way).
    """

    def __init__(self, kind, message, fix=""):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.fix = fix

    def full(self):
        """Cause and what to do, for where no finding says it."""
        return "{0}. {1}".format(self.message, self.fix) if self.fix else self.message


def sdk_missing(why):
    """The error of an interpreter that has no Docker SDK."""
    return EngineError(
        "sdk_missing",
        "the Docker SDK for Python cannot be imported by {0} (Python {1}): {2}".format(
            sys.executable, sys.version.split()[0], why
        ),
        "Install the distribution's package python3-docker (on Red Hat: from EPEL), or set "
        "ansible_python_interpreter to the Python that has it.",
    )


def _on_disk(package, names):
    """``(version or "unknown", folder)`` of a package, not imported. Raises `EngineError` when it is not there."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise sdk_missing("there is no package {0}".format(package))
    folder = os.path.dirname(spec.origin)
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as stream:
                found = re.search(r"""version\S*\s*=\s*['"]([0-9][^'"]*)""", stream.read().decode("utf-8", "replace"))
        except OSError:
            continue
        # What a package says that looks for its version elsewhere first.
        if found and found.group(1) != "0.0.0":
            return found.group(1), folder
    return "unknown", folder


def sdk_on_disk():
    """``(version, folder, doubtful)`` of the Docker SDK that this interpreter would import. Raises `EngineError`.

    Doubtful: requests 2.32 has another way of finding its adapters, which the SDK knows from 7.1 on; distributions have
    patched older ones. Only trying tells.
    """
    version, folder = _on_disk("docker", ("_version.py", "version.py"))
    requests = _on_disk("requests", ("__version__.py",))[0]
    check_version(version, folder)
    return version, folder, version_tuple(requests) >= (2, 32) and version_tuple(version) < (7, 1)


def check_version(version, folder):
    """Refuse an SDK that is too old. Raises `EngineError`."""
    if version_tuple(version) and version_tuple(version) < OLDEST_SDK:
        raise EngineError(
            "incompatible",
            "the Docker SDK {0} in {1} is older than 5.0".format(version, folder),
            "Install the distribution's python3-docker, and remove a copy of pip that hides it.",
        )


def version_tuple(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def respawn_if_needed():
    """Start the module again under an interpreter that has the SDK, when this one has not. May not return."""
    try:
        sdk_on_disk()
    except EngineError:
        from ansible.module_utils.common import respawn

        if not respawn.has_respawned():
            found = respawn.probe_interpreters_for_module([p for p in INTERPRETERS if p != sys.executable], "docker")
            if found:
                respawn.respawn_module(found)


def connect(params, doubtful=False):
    """Something that reads from the engine: a `Reader` where that is possible, else an `Engine`."""
    host = params.get("docker_host") or DEFAULT_HOST
    if host.startswith("unix://") and not params.get("tls") and not doubtful:
        from ansible_collections.cortex.vllm.plugins.module_utils import reader

        return reader.Reader(host[len("unix://") :], params.get("timeout") or CONNECTION["timeout"]["default"])
    from ansible_collections.cortex.vllm.plugins.module_utils import client

    return client.Engine(params)


def facts(params):
    """``(connection or None, engine facts)`` for an observation; never raises. ``params``: the module's parameters."""
    answer = {
        "status": "ok", "message": "", "fix": "", "architecture": None, "name": None, "version": None,
        "api_version": None, "sdk_version": None, "sdk_path": None, "runtimes": [], "cgroup_version": None,
        "cgroup_driver": None,
        "root_dir": None, "warnings": [],
    }  # fmt: skip
    engine = None
    try:
        answer["sdk_version"], answer["sdk_path"], doubtful = sdk_on_disk()
        engine = connect(params, doubtful)
        version, info = engine.version(), engine.info()
    except EngineError as exc:
        answer.update(status=exc.kind, message=exc.message, fix=exc.fix)
        if exc.kind in ("refused", "timeout", "connection"):
            answer["status"] = "not_running"
        if engine is not None:
            engine.close()
        return None, answer
    components = [str(part.get("Name", "")) for part in version.get("Components") or []]
    answer.update(
        name="podman" if any("podman" in part.lower() for part in components) else "docker",
        version=version.get("Version"),
        api_version=engine.api_version,
        architecture=info.get("Architecture"),
        runtimes=sorted(info.get("Runtimes") or {}),
        cgroup_version=str(info.get("CgroupVersion") or "") or None,
        cgroup_driver=info.get("CgroupDriver"),
        root_dir=info.get("DockerRootDir"),
        warnings=[str(text) for text in info.get("Warnings") or []],
    )
    return engine, answer


def look_at_socket(host):
    """Say precisely why a unix socket cannot be used, before the SDK wraps it in three exceptions."""
    if not host.startswith("unix://"):
        return
    path = host[len("unix://") :]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
            return
        except OSError as exc:
            code, text = exc.errno, exc.strerror or str(exc)
    if code in (errno.EACCES, errno.EPERM):
        raise EngineError(
            "denied",
            "uid {0} has no permission on {1}".format(os.getuid(), path),
            "Run the task with become: true, or add the user to the group that owns the socket.",
        )
    folders = os.environ.get("PATH", "").split(":") + ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
    installed = [
        name for name in ("dockerd", "podman") if any(os.access(os.path.join(f, name), os.X_OK) for f in folders if f)
    ]
    if code == errno.ENOENT and not installed:
        raise EngineError(
            "absent",
            "{0} does not exist, and neither dockerd nor podman is installed".format(path),
            "Install an engine (Debian, Ubuntu: docker.io), or set docker_host.",
        )
    raise EngineError(
        "not_running",
        "cannot connect to {0}: {1}".format(path, text),
        "Start the engine (systemctl start docker), or set docker_host to the socket it listens on.",
    )
