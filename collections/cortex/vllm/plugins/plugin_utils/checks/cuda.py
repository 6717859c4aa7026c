# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The CUDA that an image needs against the driver, and the GPUs that it was compiled for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..findings import Finding
from ..observation import wants_gpus
from .context import Findings, Server
from .tables import facts, table

#: Conditions of NVIDIA_REQUIRE_CUDA (nvidia-container-toolkit, internal/requirements).
_CONDITION = re.compile(r"(cuda|driver|driverversion|brand|arch)(>=|<=|!=|=|<|>)([\w.]+)$")


def check(server: Server) -> Findings:
    """Sources: nvidia-container-toolkit internal/requirements; docs.nvidia.com/deploy/cuda-compatibility."""
    gpus = server.observation.gpus
    if server.image is None:
        return
    other = _other_build(server)
    if other is not None:
        yield other
        return
    if not wants_gpus(server.spec) or gpus.get("status") not in (None, "ok"):
        return
    env = {**((server.image.get("config") or {}).get("Env") or {}), **(getattr(server.spec, "env", None) or {})}
    told = False
    wanted = str(env.get("NVIDIA_REQUIRE_CUDA") or "")
    if wanted and satisfied(wanted, gpus, server.devices) is False:
        told = True
        disabled = str(env.get("NVIDIA_DISABLE_REQUIRE", "")).lower() in {"1", "true"}
        yield server.finding(
            "gpu.driver",
            "warning" if disabled else "error",
            f"the image requires {_shortly(wanted)}, and driver {gpus.get('driver')} supports CUDA {gpus.get('cuda')}",
            "image",
            "Upgrade the driver, or use an image for an older CUDA.",
        )
    if not told:
        yield from _version(server, env)
    yield from _architectures(server, env)


def torch(server: Server) -> tuple[str, str]:
    """(version, build) of the torch in the image, ``("2.11.0", "cu130")``; empty where nobody looked.

    torch/version.py ``__version__``: the wheels of download.pytorch.org have their build in it, PyPI's have none.
    """
    found = (((server.image or {}).get("known") or {}).get("packages") or {}).get("torch")
    version, _plus, build = str(found or "").partition("+")
    return version, build.split(".")[0].lower()


def _other_build(server: Server) -> Finding | None:
    """A build of torch that cannot do what the server asks for (vllm/platforms/__init__.py finds no device)."""
    version, build = torch(server)
    wants, plain = wants_gpus(server.spec), getattr(server.spec, "kind", None) == "container"
    built = "the CPU" if build == "cpu" else "ROCm" if build.startswith("rocm") else build.upper()
    if wants and (build in {"cpu", "xpu"} or build.startswith("rocm")):
        text, severity = (
            f"torch {version} in the image is built for {built}, and the server asks for NVIDIA GPUs",
            "error",
        )
        fix = "Use an image with the CUDA build, or write gpus: none."
    elif not wants and not plain and build.startswith("cu") and build != "cu":
        text = f"torch {version} in the image is built for CUDA, and the server has no GPU: vLLM ends without a device"
        severity, fix = "warning", "Use an image of the CPU build, or give the server a GPU."
    else:
        return None
    return server.finding("image.gpu-architecture", severity, text, "image", fix, origin=server.spec.image)


def _cuda(build: str) -> list[int]:
    """``cu130`` → 13, 0; empty for any other build."""
    match = re.fullmatch(r"cu(\d{2})(\d)", build)
    return [int(match[1]), int(match[2])] if match else []


def _version(server: Server, env: Mapping[str, str]) -> Findings:
    gpus = server.observation.gpus
    image, driver = _numbers(env.get("CUDA_VERSION")), _numbers(gpus.get("cuda"))
    built = _cuda(torch(server)[1])
    who = "the image has"
    if built and built > image[:2]:  # what torch brings is what runs
        image, who = built, f"torch {torch(server)[0]} in the image is built for"
    if not image or not driver or image[:2] <= driver[:2]:
        return
    text = f"{who} CUDA {_text(image)}, and driver {gpus.get('driver')} supports {_text(driver)}"
    if image[0] == driver[0]:
        yield server.finding(
            "gpu.driver",
            "info",
            f"{text}: it runs by CUDA's minor version compatibility, without what must be compiled at run time (PTX)",
            "image",
            "Upgrade the driver when a kernel fails with an unsupported toolchain.",
        )
        return
    # vLLM's docker/Dockerfile, 0.17 and newer: the compat libraries are used when this variable is set.
    compatible = str(env.get("VLLM_ENABLE_CUDA_COMPATIBILITY", "0")).lower() in {"1", "true"}
    yield server.finding(
        "gpu.driver",
        "warning" if compatible else "error",
        text + ("; forward compatibility is switched on, which data centre GPUs alone have" if compatible else ""),
        "image",
        f"Upgrade the driver to one for CUDA {image[0]}, use an image for CUDA {driver[0]}, or, on a data centre GPU,"
        ' write env: {VLLM_ENABLE_CUDA_COMPATIBILITY: "1"} and accept: [gpu.driver].',
    )


def _architectures(server: Server, env: Mapping[str, str]) -> Findings:
    """CUDA C++ Programming Guide, Application Compatibility: a binary runs on its own major version and newer minors,
    PTX on everything newer."""
    said = str(env.get("TORCH_CUDA_ARCH_LIST") or "")
    official = re.search(r"(^|/)vllm/vllm-openai[:@]", str(server.spec.image)) is not None
    if not said and official and server.exact:
        said = str(facts(server.release).get("gpu_architectures") or "")
    said = said or str(table("torch")["builds"].get(torch(server)[1]) or "")
    built = [(tuple(_numbers(item)), item.endswith("+PTX")) for item in said.replace(";", " ").split()]
    capability = server.capability
    if not built or capability is None or any(not item for item, _ptx in built):
        return
    for architecture, ptx in built:
        same = architecture[0] == capability[0] and architecture <= capability
        if same or (ptx and architecture <= capability):
            return
    have = f"{capability[0]}.{capability[1]}"
    yield server.finding(
        "image.gpu-architecture",
        "warning",
        f"the image was compiled for compute capability {said}, and the GPU has {have}",
        "image",
        "Use a release or image that was built for this GPU; vLLM says `no kernel image is available` otherwise.",
    )


def satisfied(requirement: str, gpus: Mapping[str, Any], devices: list[Mapping[str, Any]]) -> bool | None:
    """Whether a driver meets ``NVIDIA_REQUIRE_CUDA``: words are alternatives, commas join conditions.

    :return: None when something that it asks for is not known
    """
    answers = [
        _all(_condition(item, gpus, devices) for item in word.split(",") if item) for word in requirement.split()
    ]
    if True in answers:
        return True
    return None if None in answers else False


def _all(answers: Any) -> bool | None:
    found = list(answers)
    if False in found:
        return False
    return None if None in found else True


def _condition(text: str, gpus: Mapping[str, Any], devices: list[Mapping[str, Any]]) -> bool | None:
    match = _CONDITION.match(text)
    if match is None:
        return None
    what, how, value = match.groups()
    if what == "brand":
        brands = {str(device.get("brand") or "").lower().replace(" ", "") for device in devices}
        if not brands or "" in brands:
            return None
        return (brands == {value.lower()}) == (how != "!=")
    have = {"cuda": gpus.get("cuda"), "arch": None}.get(what, gpus.get("driver"))
    if what == "arch":
        told = [device.get("compute_capability") for device in devices if device.get("compute_capability")]
        have = min(told, key=_numbers) if told else None
    mine, theirs = _numbers(have), _numbers(value)
    if not mine or not theirs:
        return None
    length = max(len(mine), len(theirs))
    left, right = (numbers + [0] * (length - len(numbers)) for numbers in (mine, theirs))
    return {
        ">=": left >= right,
        "<=": left <= right,
        ">": left > right,
        "<": left < right,
        "=": left[: len(theirs)] == theirs,
        "!=": left[: len(theirs)] != theirs,
    }[how]


def _numbers(text: Any) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", str(text or ""))]


def _text(numbers: list[int]) -> str:
    return ".".join(str(part) for part in numbers[:2])


def _shortly(requirement: str) -> str:
    first = requirement.split(maxsplit=1)[0]
    return f"{first} (or certain data centre drivers)" if " " in requirement.strip() else first
