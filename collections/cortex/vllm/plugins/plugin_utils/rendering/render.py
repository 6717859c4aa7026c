# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""From declarations to what the target runs: ``render`` for servers, ``render_container`` for other containers."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog import Release
from ..findings import Finding, accepted
from ..nodes import Share, divide, peers, share
from ..spec import MOUNT_FILES, MOUNT_STARTING, ContainerSpec, Mount, ServerSpec
from . import linting
from .arguments import arguments, inner_address
from .asking import ask
from .body import NANO, Process, Rendered, assemble, container_name, owner, verified_policy
from .collectives import collectives
from .environment import environment, gpu_environment
from .files import HEALTH_TIMEOUT, TURN_LIMIT, health_check, launcher, turn
from .images import ImageFacts, release_findings
from .mounts import cache_directory, own_files, server_mounts

#: Seconds for everything but reading weights: imports, compiling, capturing graphs.
LOAD_OVERHEAD = 120.0
#: Bytes a second at which weights are expected to be read: a slow disk. Faster ones are ready before.
LOAD_RATE = 100e6
#: The same for the deadline: half the rate, and ten minutes for a first compilation.
TIMEOUT_OVERHEAD = 600.0
TIMEOUT_RATE = 50e6
LONGEST_START = 3600.0
#: Expected load of a server that may first have to fetch its model.
ONLINE_LOAD = 1800.0
#: Seconds between health checks. Each one starts a process in the container and writes a line of access log; readiness
#: does not wait for it, because the job that starts a server asks the server itself.
HEALTH_INTERVAL = 30


def expected_load(weights: int | None) -> float:
    """Seconds that a start is expected to take, from 2 to 60 minutes; 10 minutes when the size is unknown.

    :param weights: bytes
    """
    if weights is None:
        return 600.0
    return min(LONGEST_START, LOAD_OVERHEAD + weights / LOAD_RATE)


def start_timeout(spec: ServerSpec, weights: int | None, rate: float | None = None) -> float:
    """Seconds after which a start has failed: as declared, or 10 to 60 minutes by the size of the weights.

    :param rate: bytes a second at which this host was seen to read weights; half of it is expected, and a slow host
        gets more than the 60 minutes
    """
    if spec.start_timeout is not None:
        return spec.start_timeout
    if weights is None:
        return LONGEST_START if not spec.offline else TIMEOUT_OVERHEAD * 3
    if rate:
        return min(LONGEST_START * 4, TIMEOUT_OVERHEAD + 2 * weights / rate)
    return min(LONGEST_START, TIMEOUT_OVERHEAD + weights / TIMEOUT_RATE)


def render(
    spec: ServerSpec,
    image: ImageFacts,
    release: Release,
    gpus: Sequence[str],
    state_dir: str,
    model: Mapping[str, Any] | None,
    salt: str,
    host: Mapping[str, Any] | None = None,
) -> Rendered:
    """Render a server. The same input always gives the same result, byte for byte.

    :param image: what was found out about the image
    :param release: of vLLM, whose arguments are spelled
    :param gpus: UUIDs that the selection was resolved to
    :param state_dir: of the collection, on the host
    :param model: MODEL of an observation: ``commit``, ``bytes``, ``config``
    :param salt: for the digests of secrets
    :param host: ``selinux`` and ``engine`` of an observation; a normal Docker host when left out
    :returns: what the target runs; ``findings`` tells what is wrong with it
    """
    state_dir = state_dir.rstrip("/")
    findings: list[Finding] = accepted(release_findings(spec, image), spec.accept)
    program = _program(spec, image, release)
    together = collectives(spec, release, gpus, host)
    part = share(spec, release) if spec.nodes is not None else Share()
    findings += together.findings + accepted(_node_findings(spec, part), spec.accept)
    more = {**together.arguments, **part.arguments, **drain(spec, release)}
    rendered = arguments(spec, release, entrypoint=program, model=model, more=more)
    argv = [] if part.program else rendered.argv
    program = part.program or program
    findings += rendered.findings
    subject = linting.Subject(spec, release, rendered.values, rendered.origins)
    findings += accepted(linting.lint(subject), spec.accept)
    health = None if spec.headless else _health_url(spec)
    queues = turns(spec, gpus, state_dir) if health is not None else []
    waits = [str(health), *(f"{MOUNT_STARTING}/{posixpath.basename(path)}" for path in queues)] if queues else []
    script = launcher(back_off=health is not None, before=part.before, turn=waits)
    files = [{"path": "launch.sh", "mode": "0555", "content": script}]
    if queues:
        files.append({"path": "turn.py", "mode": "0444", "content": turn()})
    if health is not None:
        files.append({"path": "health.sh", "mode": "0555", "content": health_check(health)})
    files += together.files
    inner_port = inner_address(spec)[1]
    process = Process(
        entrypoint=program,
        argv=argv,
        env=environment(spec, linting.environment(spec, release) | rendered.environment | together.environment),
        files=files,
        ports=[(address, port, f"{inner_port}/tcp") for address, port in spec.published()],
        healthcheck=_healthcheck(spec, model, TURN_LIMIT if queues else 0) if health is not None else None,
        devices=together.devices,
    )

    starting = [Mount(source=posixpath.dirname(queues[0]), target=MOUNT_STARTING)] if queues else []

    def mounts(generation: str) -> list[Mount]:
        own = [*server_mounts(spec, image.id, state_dir, generation), *starting]
        return sorted(
            [*own, *together.mounts(own_files(spec, state_dir, generation).source)], key=lambda item: item.target
        )

    body, generation, files, secrets = assemble(spec, image, process, gpus, mounts, salt, host, kind=spec.kind)
    return Rendered(
        container_name=container_name(spec.name),
        entrypoint=program,
        argv=argv,
        env=process.env,
        files=files,
        secret_names=sorted(secrets),
        directories=[
            {"path": f"{state_dir}/{spec.name}/run", "mode": "0750"},
            {"path": cache_directory(spec, image.id, state_dir), "mode": "0750"},
            *({"path": path, "mode": "0555"} for path in queues),
        ],
        body=body,
        probe=probe(spec, model, release),
        generation=generation,
        digests=secrets,
        gpu_locks=list(gpus),
        start_timeout=start_timeout(spec, (model or {}).get("bytes"), (host or {}).get("storage_rate"))
        + (TURN_LIMIT if queues and spec.start_timeout is None else 0),
        stop_timeout=spec.effective_stop_timeout,
        user=owner(spec, image, findings),
        image=image,
        verified_restart_policy=verified_policy(spec, host),
        networks=list(spec.networks),
        findings=findings,
    )


def render_container(
    spec: ContainerSpec,
    image: ImageFacts,
    gpus: Sequence[str],
    state_dir: str,
    salt: str,
    host: Mapping[str, Any] | None = None,
) -> Rendered:
    """Render a container with somebody's own arguments. Ready is: running for two seconds.

    The launcher only stands before the program when there are secrets to export.
    """
    state_dir = state_dir.rstrip("/")
    findings: list[Finding] = []
    launched = bool(spec.secret_values())
    entrypoint = list(spec.entrypoint) if spec.entrypoint is not None else []
    argv = list(spec.command) if spec.command is not None else []
    if launched:
        # The engine drops the image's command when another entrypoint is given; so does this.
        argv = argv or (list(image.cmd) if spec.entrypoint is None else [])
        entrypoint = entrypoint or list(image.entrypoint)
    process = Process(
        entrypoint=entrypoint,
        argv=argv,
        env=dict(sorted((gpu_environment(spec) | spec.env).items())),
        files=[{"path": "launch.sh", "mode": "0555", "content": launcher(back_off=False, seed_cache=False)}]
        if launched
        else [],
        ports=[(port.address, port.port, f"{port.container_port}/{port.protocol}") for port in spec.ports],
        launched=launched,
    )

    def mounts(generation: str) -> list[Mount]:
        own = [own_files(spec, state_dir, generation)] if launched else []
        return sorted([*own, *spec.mounts], key=lambda mount: mount.target)

    body, generation, files, secrets = assemble(spec, image, process, gpus, mounts, salt, host, kind=spec.kind)
    return Rendered(
        container_name=container_name(spec.name),
        entrypoint=entrypoint,
        argv=argv,
        env=process.env,
        files=files,
        secret_names=sorted(secrets),
        directories=[],
        body=body,
        probe={
            "scheme": "http",
            "address": "127.0.0.1",
            "port": None,
            "served_name": spec.name,
            "request": "none",
            "api_key": None,
            "token_timeout": 0.0,
        },
        generation=generation,
        digests=secrets,
        gpu_locks=list(gpus),
        start_timeout=spec.start_timeout if spec.start_timeout is not None else 60.0,
        stop_timeout=spec.stop_timeout,
        user=owner(spec, image, findings) if launched else {"uid": 0, "gid": 0},
        image=image,
        verified_restart_policy=verified_policy(spec, host),
        networks=list(spec.networks),
        findings=findings,
    )


def probe(spec: ServerSpec, model: Mapping[str, Any] | None = None, release: Release | None = None) -> dict[str, Any]:
    """How the target proves that the server is ready (PROBE of the contract).

    :param release: decides how abilities beyond a completion are asked for
    """
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(spec.bind, spec.bind)
    # A further rank of a model that spans hosts is ready when the head is: all of them come up, or none.
    head = spec.nodes.head.address if spec.nodes is not None and spec.headless else None
    address = head or address
    silent = spec.headless and not head
    fellows = peers(spec, release) if spec.nodes is not None and release is not None else []
    config = (model or {}).get("config") or {}
    request = spec.probe.request
    if request == "auto":
        request = "none" if silent or spec.pools(config.get("architectures")) else "completion"
    question = ask(request, spec.served_model_name[0], release) if release is not None else None
    return {
        **({"ask": question} if question is not None else {}),
        **({"peers": fellows} if fellows else {}),
        "scheme": spec.scheme,
        "address": address,
        "port": None if silent else spec.server_port,
        "served_name": spec.served_model_name[0],
        "request": request,
        "api_key": "VLLM_API_KEY" if "VLLM_API_KEY" in spec.secret_values() else None,
        "token_timeout": spec.probe.token_timeout,
    }


def _node_findings(spec: ServerSpec, part: Share) -> list[Finding]:
    """What is wrong with how a model is spread over hosts."""
    if spec.nodes is None:
        return []
    findings = []
    for code, problem, field in (
        ("node.division", divide(spec).problem, ("nodes",)),
        ("node.unavailable", part.problem, ("nodes", "backend")),
    ):
        if problem is not None:
            findings.append(
                Finding(code, "error", problem[0], field=spec.where(*field), fix=problem[1], server=spec.name)
            )
    for node in spec.nodes.hosts:
        if node.address is None and spec.nodes.rank is not None:
            text = f"the inventory tells no address of {node.host}"
            fix = "Write vllm_address for it, or nodes: [{host: …, address: …}]"
            at = spec.where("nodes")
            findings.append(Finding("node.address", "error", text, field=at, fix=fix, server=spec.name))
    return findings


def drain(spec: ServerSpec, release: Release) -> dict[str, Any]:
    """The argument that lets a server finish its requests when it is stopped, where the release has it (from 0.18 on).

    Without it a server aborts what it is working on at once (0.32: vllm/v1/engine/core.py, _handle_shutdown).
    """
    known = spec.drain_timeout and release.flag("shutdown_timeout") is not None
    return {"shutdown_timeout": math.ceil(spec.drain_timeout)} if known else {}


def _program(spec: ServerSpec, image: ImageFacts, release: Release) -> list[str]:
    """The program that gets the arguments: declared, or the image's, completed where the image only brings a shell."""
    if spec.entrypoint is not None:
        return list(spec.entrypoint)
    words = list(image.entrypoint)
    if any(word == "serve" or "api_server" in word for word in words):
        return words
    if not words:
        # Without an entrypoint the command of an image is its program.
        return list(image.cmd) if "serve" in image.cmd else list(release.entrypoint)
    last = words[-1].rsplit("/", 1)[-1]
    if last == "vllm":
        return [*words, "serve"]
    # A wrapper that knows vLLM takes its arguments (vllm-nonroot-entrypoint.sh); any other runs a command
    # (nvidia_entrypoint.sh, tini, a shell script that ends with exec "$@").
    return words if "vllm" in last else [*words, *release.entrypoint]


def _health_url(spec: ServerSpec) -> str:
    address, port = inner_address(spec)
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"{spec.scheme}://{f'[{address}]' if ':' in address else address}:{port}/health"


def turns(spec: ServerSpec, gpus: Sequence[str], state_dir: str) -> list[str]:
    """Folders of the host that stand for the GPUs which the server shares, by which servers take turns when they start.

    Ranks of a model that spans hosts take none: two such models could wait for each other on two hosts.
    """
    if not spec.share_gpus or spec.nodes is not None:
        return []
    return sorted(f"{state_dir}/locks/starting/{re.sub('[^0-9A-Za-z-]', '_', uuid)}" for uuid in gpus)


def _healthcheck(spec: ServerSpec, model: Mapping[str, Any] | None, waits: float = 0) -> dict[str, Any]:
    # Whole minutes, and a fixed one where the model may still be fetched: the body must not change with what a start
    # leaves behind on the disk.
    seconds = expected_load((model or {}).get("bytes")) if spec.offline else ONLINE_LOAD
    return {
        "Test": ["CMD", "/bin/sh", f"{MOUNT_FILES}/health.sh"],
        "Interval": HEALTH_INTERVAL * NANO,
        "Timeout": (HEALTH_TIMEOUT + 2) * NANO,
        "Retries": 3,
        "StartPeriod": math.ceil((seconds + waits) / 60) * 60 * NANO,
    }
