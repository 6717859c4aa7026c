# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The container toolkit proven by a container that gets the host's GPUs.

That the toolkit is installed says little: its hook may fail, the engine may not have been restarted, the devices may
not reach a container. Nothing but a container shows it. It runs in an image that is there (never pulled), without
network and capabilities, for a second, and takes no memory of a GPU: it lists devices, libraries and what
``nvidia-smi -L`` says. What it showed is kept for driver, toolkit, engine, boot and image.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import diagnosis, inspection
from .findings import Finding, Severity
from .following import Remote
from .observation import Observation, wants_gpus

#: Seconds that the container may take. Without persistence a driver needs some ten to wake eight GPUs.
LIMIT = 90.0
#: What to write instead of an image where nothing shall be proven.
NONE = "none"

#: Runs in the container, with a shell's own words only: an image may have no tools. A device is opened for reading,
#: which is what the cgroup of a container that lost its GPUs forbids; opening the control device allocates nothing.
SCRIPT = """
{
  for file in /dev/nvidiactl /dev/nvidia-uvm /dev/dxg /dev/nvidia[0-9]*; do
    [ -e "$file" ] || continue
    case $file in
      /dev/nvidiactl | /dev/nvidia-uvm) if (: <"$file") 2>/dev/null; then word=device; else word=closed; fi ;;
      *) word=device ;;
    esac
    echo "$word $file"
  done
  for file in /usr/lib/*/libcuda.so.* /usr/lib64/libcuda.so.* /usr/lib/libcuda.so.* \\
    /usr/lib/wsl/drivers/*/libcuda.so.*; do
    [ -e "$file" ] && echo "library $file"
  done
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi -L 2>&1 | while IFS= read -r line; do echo "smi $line"; done
  fi
  echo end
} >"$CORTEX_ANSWER"
"""

_UUID = re.compile(r"UUID: ([A-Z]+-[0-9a-fA-F/-]+)")
#: The image has no shell, or is for other processors. Hooks of the runtime ran before that: GPUs are not to blame.
_NO_SHELL = re.compile(r"exec: \\?[\"']/bin/sh|/bin/sh: no such file|exec format error")


@dataclasses.dataclass(frozen=True)
class Question:
    """What is to be proven.

    :ivar key: names everything that the answer depends on
    :ivar uuids: what must be in the container
    """

    ref: str
    image_id: str
    key: str
    uuids: tuple[str, ...]
    wants: Mapping[str, Any] = dataclasses.field(hash=False)


def question(seen: Observation, specs: Sequence[Any], image: str | None = None) -> Question | str | None:
    """What to prove on this host.

    :param image: in which image; that of a declared server when left out
    :returns: the question; why there is none; or None where there is nothing to prove
    """
    if image == NONE or seen.contract is None or seen.gpus.get("status") != "ok":
        return None
    toolkit = seen.contract.get("toolkit") or {}
    if seen.engine.get("status") != "ok" or not (toolkit.get("version") or toolkit.get("runtime")):
        return None  # a finding says so already
    uuids = _uuids(seen.devices)
    if not uuids:
        return None
    asking = [spec for spec in specs if wants_gpus(spec)]
    spec = next((item for item in asking if image in (None, item.image) and seen.image(item.image)), None)
    ref = image or (str(spec.image) if spec is not None else None)
    entry = seen.image(ref) if ref is not None else None
    if ref is None:
        return "no image of a server with GPUs is on the host" if asking else None
    if entry is None:
        return f"image {ref} is not on the host"
    podman = seen.engine.get("name") == "podman"
    by_cdi = podman or getattr(spec, "gpu_access", "auto") == "cdi"
    if by_cdi:
        request = {"Driver": "cdi", "Count": 0, "DeviceIDs": [f"nvidia.com/gpu={uuid}" for uuid in uuids]}
    else:
        request = {"Driver": "nvidia", "Count": 0, "DeviceIDs": list(uuids), "Capabilities": [["gpu"]]}
    wants: dict[str, Any] = {"host_config": {"DeviceRequests": [request]}}
    if getattr(spec, "user", None):
        wants["user"] = str(getattr(spec, "user", None))
    engine = [seen.engine.get(name) for name in ("name", "version", "cgroup_driver", "runtimes")]
    known = [seen.gpus.get("driver"), toolkit, engine, seen.host.get("boot_id"), wants]
    key = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()
    return Question(ref, str(entry.get("id")), key, tuple(uuids), wants)


def _uuids(devices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whole GPUs; their parts where all are divided: one container cannot have both (libnvidia-container)."""
    whole = [str(item["uuid"]) for item in devices if item.get("mig_mode") != "enabled" and not item.get("mig")]
    return whole or [str(part["uuid"]) for item in devices for part in item.get("mig") or () if part.get("uuid")]


def proven(
    remote: Remote, state_dir: str, seen: Observation, specs: Sequence[Any], image: str | None = None
) -> Observation:
    """The observation with ``contract.proof``: ``{image, uuids, said, error, why}``; no call when it is known."""
    asked = question(seen, specs, image)
    if asked is None:
        return seen
    if isinstance(asked, str):
        return _with(seen, {"image": image, "uuids": [], "said": None, "error": None, "why": asked})
    proof = {"image": asked.ref, "uuids": list(asked.uuids), "said": None, "error": None, "why": None}
    entry = dict(seen.image(asked.ref) or {})
    said = ((entry.get("known") or {}).get("toolkit") or {}).get(asked.key)
    if said is None or list(judged({**proof, "said": said}, "error")):  # what failed may have been mended since
        key, more = f"toolkit-{asked.key}", {"wants": asked.wants}
        answer, why = inspection.ask(remote, state_dir, asked.ref, entry, key, SCRIPT, limit=LIMIT, more=more)
        said = (answer or {}).get("said")
        proof["error"] = None if said is not None else why or "it gave no answer"
    return _with(seen, {**proof, "said": said})


def _with(seen: Observation, proof: Mapping[str, Any]) -> Observation:
    return dataclasses.replace(seen, contract={**(seen.contract or {}), "proof": dict(proof)})


def judged(proof: Mapping[str, Any], severity: Severity) -> list[Finding]:
    """What a proof says against the host.

    :param severity: how much it matters that containers get no GPUs
    """
    about = f"in a container of {proof.get('image')} with the GPUs of this host: "
    if proof.get("why"):
        return [_finding("host.toolkit", "info", f"not proven by a container: {proof['why']}", NEXT_TIME)]
    if proof.get("error"):
        return [_failed(about, str(proof["error"]), severity)]
    lines = str(proof.get("said") or "").splitlines()
    told: dict[str, list[str]] = {}
    for line in lines:
        word, _space, rest = line.partition(" ")
        told.setdefault(word, []).append(rest)
    if told.get("closed"):
        text = f"{about}{', '.join(told['closed'])} is there and may not be opened"
        fix = "Look at the modes of the device files, and at no-cgroups in /etc/nvidia-container-runtime/config.toml."
        return [_finding("gpu.device", severity, text, fix)]
    wanted, listed = list(proof.get("uuids") or ()), set(_UUID.findall("\n".join(told.get("smi") or ())))
    if not listed and told.get("smi"):
        return [_failed(about, "\n".join(told["smi"]), severity)]
    numbers = [name for name in told.get("device") or () if re.fullmatch(r"/dev/nvidia\d+", name)]
    if not listed and not numbers and "/dev/dxg" not in (told.get("device") or ()):
        return [_finding("gpu.runtime", severity, f"{about}no device of a GPU is there", INSTALL)]
    missing = [uuid for uuid in wanted if uuid not in listed]
    whole = [uuid for uuid in wanted if uuid.startswith("GPU-")]
    if (listed and missing) or (not listed and numbers and len(numbers) < len(whole)):
        what = f"{', '.join(missing)} is not there" if listed else f"{len(numbers)} of {len(whole)} GPUs are there"
        return [_finding("gpu.absent", severity, about + what, "Compare with nvidia-smi -L on the host.")]
    if not told.get("library"):
        text = f"{about}libcuda is not there: CUDA programs find no GPU"
        fix = "NVIDIA_DRIVER_CAPABILITIES of the image must name compute (and utility), or be left out."
        return [_finding("gpu.runtime", severity, text, fix)]
    return []


#: Codes of the diagnosis that say that the words are not known.
UNSURE = frozenset({"start.unknown", "server.killed", "server.stopped", "engine.refused"})
INSTALL = "Install nvidia-container-toolkit, run nvidia-ctk runtime configure --runtime=docker, restart the engine."
NEXT_TIME = "It is proven at the first check after an image has come, or in another one (contract_image)."


def _failed(about: str, text: str, severity: Severity) -> Finding:
    """Why the container could not be started, or what nvidia-smi said in it; codes are those of the diagnosis."""
    if _NO_SHELL.search(text) and "hook" not in text:
        fix = "Name an image with a shell: contract_image."
        return _finding("host.toolkit", "info", f"not proven by a container: {text}", fix)
    how = {"code": 128, "oom": False, "error": text, "seconds": None}
    found = [item for item in diagnosis.diagnose([], how).findings if item.code not in UNSURE]
    if found and found[0].code.startswith("gpu."):
        return dataclasses.replace(found[0], severity=severity, field=None, message=about + found[0].message)
    return _finding("gpu.runtime", severity, about + " ".join(text.rpartition("stderr:")[2].split()), INSTALL)


def _finding(code: str, severity: Severity, text: str, fix: str) -> Finding:
    return Finding(code, severity, text, fix=fix)


def told(contract: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The proof as a task's result carries it, or None when there was nothing to prove."""
    proof = (contract or {}).get("proof")
    if not proof:
        return None
    found = judged(proof, "error")
    bad = any(item.severity == "error" for item in found)
    verdict = False if bad else None if found else True
    return {"image": proof.get("image"), "proven": verdict, "message": found[0].message if found else ""}
