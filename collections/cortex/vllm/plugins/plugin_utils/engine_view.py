# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""One form for what a container is to be and for what the engine says it is.

Engines say the same thing in many ways: ``null``, ``[]``, ``""`` or ``0`` for nothing, ``CAP_`` before capabilities or
not, a health check's defaults spelt out or left at zero, a bind in ``Binds`` or in ``Mounts``. ``view()`` brings a
create body and an inspect into one flat form: a mapping from the name of a field (the name that a person knows) to a
plain value that can be compared with ``==``.

Sources of the rules: moby ``daemon/container.go`` and ``daemon/create.go`` (merge of image and body),
``daemon/daemon_unix.go: adaptContainerSettings`` (defaults that the engine writes into an inspect),
``runconfig/hostconfig.go``; podman ``pkg/api/handlers/compat/containers.go: LibpodToContainerJSON``. Seen on Docker
20.10, 26.1 and 28, and on podman 4.3.
"""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Iterable, Mapping
from typing import Any

_ANONYMOUS_VOLUME = re.compile(r"^[0-9a-f]{64}$")
#: Capabilities of a container by default: Docker's, and podman's, which its Docker API reports as Docker's less three
#: (containers-common, ``default_capabilities``).
_DOCKER_CAPABILITIES = frozenset(
    ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"]
    + ["SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"]
)
_PODMAN_CAPABILITIES = _DOCKER_CAPABILITIES - {"AUDIT_WRITE", "MKNOD", "NET_RAW"}
#: Options of every tmpfs (moby oci_linux.go, podman pkg/util/mountOpts.go), which podman spells out.
_TMPFS_DEFAULTS = frozenset({"nodev", "nosuid", "rprivate", "rw", "tmpcopyup"})
#: Environment that podman adds to every container.
PODMAN_ENVIRONMENT = frozenset({"container", "HOME", "HOSTNAME", "PATH", "TERM"})
#: Health check fields and what the engine takes for zero (moby daemon/health.go), nanoseconds.
_HEALTH = {"Interval": 30_000_000_000, "Timeout": 30_000_000_000, "StartPeriod": 0, "Retries": 3}

#: field -> key of HostConfig, for values that are simple: None, 0, "" and false mean "nothing".
_SIMPLE = {
    "auto_remove": "AutoRemove",
    "blkio_weight": "BlkioWeight",
    "cpu_shares": "CpuShares",
    "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems",
    "init": "Init",
    "memory": "Memory",
    "memory_reservation": "MemoryReservation",
    "oom_kill_disable": "OomKillDisable",
    "oom_score_adj": "OomScoreAdj",
    "pid_mode": "PidMode",
    "privileged": "Privileged",
    "publish_all_ports": "PublishAllPorts",
    "read_only": "ReadonlyRootfs",
    "userns_mode": "UsernsMode",
    "uts_mode": "UTSMode",
}
#: field -> key of HostConfig, for lists whose order means nothing.
_SETS = {
    "device_cgroup_rules": "DeviceCgroupRules",
    "dns_options": "DnsOptions",
    "group_add": "GroupAdd",
    "links": "Links",
    "volumes_from": "VolumesFrom",
}
#: field -> key of HostConfig, for lists that are searched in order.
_LISTS = {"dns": "Dns", "dns_search": "DnsSearch"}


def view(
    config: Mapping[str, Any], host: Mapping[str, Any], image: Mapping[str, Any], engine: str = "docker"
) -> dict[str, Any]:
    """Everything about a container but its environment, mounts and networks, in one flat form.

    :param config: ``Config`` of an inspect, or a create body
    :param host: its ``HostConfig``
    :param image: configuration of the image, whose values stand in for what ``config`` leaves open
    :param engine: ``docker`` or ``podman``
    """
    flat: dict[str, Any] = {}
    for name, key in _SIMPLE.items():
        flat[name] = host.get(key) or None
    for name, key in _SETS.items():
        flat[name] = sorted(str(item) for item in host.get(key) or ()) or None
    for name, key in _LISTS.items():
        flat[name] = list(host.get(key) or ()) or None
    entrypoint = words(config.get("Entrypoint"))
    # An entrypoint of its own drops the image's command (moby daemon/create.go: merge -> runconfig.Merge).
    flat["command"] = words(config.get("Cmd")) or ([] if entrypoint else words(image.get("Cmd")))
    flat["entrypoint"] = [word for word in entrypoint or words(image.get("Entrypoint")) if word]
    flat["user"] = _user(config.get("User") or image.get("User"))
    flat["working_dir"] = posixpath.normpath(config.get("WorkingDir") or image.get("WorkingDir") or "/")
    flat["tty"] = config.get("Tty") or None
    flat["stdin_open"] = config.get("OpenStdin") or None
    flat["domainname"] = config.get("Domainname") or None
    flat["stop_signal"] = _signal(config.get("StopSignal") or image.get("StopSignal"))
    flat["stop_timeout"] = 10 if config.get("StopTimeout") is None else int(config["StopTimeout"])
    flat["restart_policy"] = restart_policy(host.get("RestartPolicy"))
    flat["cap_add"], flat["cap_drop"] = _capabilities(host, engine)
    for name in ("pid_mode", "uts_mode", "userns_mode"):
        flat[name] = None if flat[name] == "private" else flat[name]  # podman's word for the default
    flat["security_opt"] = _security(host)
    flat["extra_hosts"] = sorted(str(item).replace("=", ":", 1) for item in host.get("ExtraHosts") or ()) or None
    flat["cpus"] = _cpus(host)
    flat["pids_limit"] = host["PidsLimit"] if (host.get("PidsLimit") or 0) > 0 else None
    flat["devices"] = sorted(_device(item) for item in host.get("Devices") or ()) or None
    flat["network"] = _network(host.get("NetworkMode"))
    _flatten(flat, "healthcheck", health(config.get("Healthcheck"), image.get("Healthcheck")))
    _flatten(flat, "ulimits", {u["Name"]: f"{u['Soft']}:{u['Hard']}" for u in map(_ulimit, host.get("Ulimits") or ())})
    _flatten(flat, "sysctls", {key: str(value) for key, value in (host.get("Sysctls") or {}).items()})
    _flatten(flat, "labels", {**(image.get("Labels") or {}), **(config.get("Labels") or {})})
    _flatten(flat, "ports", _ports(host.get("PortBindings") or {}))
    _flatten(flat, "gpus", _device_requests(host.get("DeviceRequests") or ()))
    return flat


def _flatten(flat: dict[str, Any], prefix: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        flat[f"{prefix}.{key}" if key else prefix] = value


def words(value: Any) -> list[str]:
    """A command: engines take and give a list; older podman joins the entrypoint into one string."""
    if not value:
        return []
    return value.split() if isinstance(value, str) else [str(item) for item in value]


def _user(value: Any) -> str:
    """Root has five names; any other user is compared as written."""
    user = str(value or "0")
    return "0" if user in {"0", "root", "0:0", "root:root", "root:0", "0:root"} else user


def _signal(value: Any) -> str:
    text = str(value or "SIGTERM").upper()
    if text.isdigit():
        try:
            return signal.Signals(int(text)).name
        except ValueError:
            return text
    return text if text.startswith("SIG") else f"SIG{text}"


def restart_policy(value: Mapping[str, Any] | None) -> str:
    """``no``, ``always``, ``unless-stopped`` or ``on-failure:<n>``."""
    name = (value or {}).get("Name") or "no"
    tries = (value or {}).get("MaximumRetryCount") or 0
    return f"{name}:{tries}" if name == "on-failure" and tries else str(name)


def _capabilities(host: Mapping[str, Any], engine: str) -> tuple[list[str] | None, list[str] | None]:
    """Added and dropped capabilities, without prefixes.

    podman reports what ``ALL`` stands for one by one, and drops three more than it was told to. So there both lists are
    made again from the capabilities that a container really has.
    """
    add, drop = (
        {str(item).upper().removeprefix("CAP_") for item in host.get(key) or ()} for key in ("CapAdd", "CapDrop")
    )
    if engine == "podman" and not host.get("Privileged"):
        default = frozenset() if "ALL" in drop else _DOCKER_CAPABILITIES
        has = ((default & _PODMAN_CAPABILITIES) - drop) | add
        add, drop = set(has - _PODMAN_CAPABILITIES), set(_PODMAN_CAPABILITIES - has)
        drop = {"ALL"} if drop == _PODMAN_CAPABILITIES else drop
    return sorted(add) or None, sorted(drop) or None


def _security(host: Mapping[str, Any]) -> list[str] | None:
    options = set()
    for item in host.get("SecurityOpt") or ():
        name, _sep, value = str(item).replace("=", ":", 1).partition(":")
        options.add(f"{name}:{value or 'true'}")
    # The engine itself turns labels off where namespaces are shared (moby daemon/create.go: generateSecurityOpt).
    if host.get("Privileged") or "host" in (host.get("IpcMode"), host.get("PidMode")):
        options.discard("label:disable")
    return sorted(options) or None


def _cpus(host: Mapping[str, Any]) -> float | None:
    """CPUs as a number: podman turns ``NanoCpus`` into period and quota."""
    if host.get("NanoCpus"):
        return host["NanoCpus"] / 1e9
    if (host.get("CpuQuota") or 0) > 0:
        return host["CpuQuota"] / (host.get("CpuPeriod") or 100_000)
    return None


def _ulimit(item: Mapping[str, Any]) -> dict[str, Any]:
    name = str(item.get("Name") or "").lower().removeprefix("rlimit_")
    soft = item.get("Soft", item.get("Hard"))
    return {"Name": name, "Soft": soft, "Hard": item.get("Hard", soft)}


def _device(item: Mapping[str, Any]) -> str:
    inside = item.get("PathInContainer") or item.get("PathOnHost")
    return f"{item.get('PathOnHost')}:{inside}:{''.join(sorted(item.get('CgroupPermissions') or 'rwm'))}"


def _network(mode: Any) -> str:
    """``default`` is the engine's bridge; a rootless podman says how it is built instead."""
    text = str(mode or "default")
    return "bridge" if text in {"default", "bridge", "slirp4netns", "pasta", "podman"} else text


def health(own: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any]:
    """A health check with the image's merged in and zeros replaced; seconds as numbers. Empty: none.

    Source: moby daemon/commit.go: merge, daemon/health.go.
    """
    merged = {key: value for key, value in (image or {}).items() if value}
    merged.update({key: value for key, value in (own or {}).items() if value})
    test = [str(word) for word in merged.get("Test") or ()]
    if not test or test[0] == "NONE":
        return {}
    seconds = {key: merged.get(key) or default for key, default in _HEALTH.items()}
    return {
        "test": test,
        "interval": seconds["Interval"] / 1e9,
        "timeout": seconds["Timeout"] / 1e9,
        "start_period": seconds["StartPeriod"] / 1e9,
        "retries": seconds["Retries"],
    }


def _ports(bindings: Mapping[str, Any]) -> dict[str, Any]:
    """``8000/tcp`` -> sorted ``address:port``; no address is every address."""
    found: dict[str, Any] = {}
    for port, targets in bindings.items():
        if not targets:
            continue  # exposed by the image, not published: podman lists it all the same
        key = port if "/" in port else f"{port}/tcp"
        found[key] = sorted(
            f"{target.get('HostIp') or '0.0.0.0'}:{target.get('HostPort') or 'any'}" for target in targets
        )
    return found


def _device_requests(requests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """GPUs by id; ``count``, ``driver``, ``capabilities`` and ``options`` beside them."""
    found: dict[str, Any] = {}
    for request in requests:
        ids = request.get("DeviceIDs") or ()
        found.setdefault("", []).extend(str(item) for item in ids)
        if not ids:
            found["count"] = "all" if request.get("Count") == -1 else request.get("Count") or 0
        for option in request.get("Capabilities") or ():
            found.setdefault("capabilities", []).append(" ".join(sorted(option)))
        if request.get("Driver"):
            found.setdefault("driver", []).append(request["Driver"])
        for key, value in (request.get("Options") or {}).items():
            found[f"options.{key}"] = value
    return {key: (sorted(value) if isinstance(value, list) else value) or None for key, value in found.items()}


def mounts(config: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, str]:
    """Mounts that a create body or a ``HostConfig`` asks for: destination -> what is there, in words."""
    found: dict[str, str] = {}
    for bind in host.get("Binds") or ():
        source, _sep, rest = str(bind).partition(":")
        target, _sep, options = rest.partition(":")
        kind = "bind" if source.startswith("/") else "volume"
        flags = set(options.split(",")) - {""}
        found[_path(target)] = _mount(kind, source, "ro" not in flags, flags)
    for item in host.get("Mounts") or ():
        kind = item.get("Type") or "volume"
        flags = {str((item.get("BindOptions") or {}).get("Propagation") or "")}
        if kind == "tmpfs":
            found[_path(item.get("Target"))] = _tmpfs(item.get("TmpfsOptions") or {})
        else:
            found[_path(item.get("Target"))] = _mount(kind, item.get("Source"), not item.get("ReadOnly"), flags)
    for target, options in (host.get("Tmpfs") or {}).items():
        found[_path(target)] = _tmpfs_text(options)
    return found


def effective_mounts(inspect: Mapping[str, Any]) -> dict[str, str]:
    """Mounts that a container has, by the engine's own list; tmpfs come from what was asked (the list omits them)."""
    host = inspect.get("HostConfig") or {}
    asked = mounts({}, host)
    found = {target: text for target, text in asked.items() if text.startswith("tmpfs")}
    for item in inspect.get("Mounts") or ():
        kind = item.get("Type") or "bind"
        target = _path(item.get("Destination"))
        if kind == "tmpfs":
            found.setdefault(target, "tmpfs")
            continue
        source = item.get("Name") if kind == "volume" else item.get("Source")
        flags = set(str(item.get("Mode") or "").split(",")) | {str(item.get("Propagation") or "")}
        found[target] = _mount(kind, source, bool(item.get("RW", True)), flags)
    return found


def anonymous(text: str) -> bool:
    """Whether a mount is a volume that the engine made by itself."""
    kind, _sep, rest = text.partition(" ")
    name = rest.split(" ", 1)[0]
    return kind == "volume" and (not name or bool(_ANONYMOUS_VOLUME.match(name)))


def _mount(kind: str, source: Any, writable: bool, flags: set[str]) -> str:
    text = f"{kind} {_path(source) if kind == 'bind' else source or ''}"
    if not writable:
        text += " read-only"
    for flag in sorted(flags & {"shared", "slave", "private", "rshared", "rslave"}):
        text += f" {flag}"
    # Both relabel for SELinux; Z for this container alone.
    for flag in sorted(flags & {"z", "Z"}):
        text += f" {flag}"
    return text.rstrip()


def _tmpfs(options: Mapping[str, Any]) -> str:
    parts = [f"size={options['SizeBytes']}"] if options.get("SizeBytes") else []
    if options.get("Mode"):
        parts.append(f"mode={options['Mode']:o}")
    return " ".join(["tmpfs", *parts])


def _tmpfs_text(options: Any) -> str:
    parts = sorted(part for part in str(options or "").split(",") if part and part not in _TMPFS_DEFAULTS)
    return " ".join(["tmpfs", *parts])


def _path(value: Any) -> str:
    return posixpath.normpath(str(value or "/"))
