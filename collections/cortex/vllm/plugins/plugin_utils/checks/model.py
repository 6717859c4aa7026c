# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The model and all that goes with it: complete on the host and readable, before anything is stopped for it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from ..model_needs import OF_THE_IMAGE, Need, needs, on_host
from .config import Config
from .context import Findings, Server
from .tables import table

_WORDS = {
    "absent": ("model.absent", "is not on the host"),
    "incomplete": ("model.incomplete", "is not complete on the host"),
    "unreadable": ("model.unreadable", "cannot be read on the host"),
}
_WHAT = {
    "draft": "draft model",
    "tokenizer": "tokenizer",
    "config": "configuration",
    "generation": "generation configuration",
    "adapter": "LoRA adapter",
    "file": "file",
}
#: What a server that makes its own weights (``load_format: dummy``) does not miss.
_WEIGHTS = frozenset(
    {
        "model.weights-missing",
        "model.shard-missing",
        "model.weights-corrupt",
        "model.index-invalid",
        "model.tensor-missing",
    }
)


def check(server: Server) -> Findings:
    """What the first look at files found (hub cache layout: huggingface_hub; shards: ``*.safetensors.index.json``).

    A server that may download (not offline) only gets warnings about what is missing in the Hub cache.
    """
    if server.spec.kind == "container":
        return
    for need in needs(server.spec):
        entry = server.model if need.role == "model" else server.observation.models.get(need.key)
        if need.place is None:
            yield from _unseen(server, need)
        elif need.on_hub and need.hub_cache is None:
            yield from _no_cache(server, need)
        elif need.role == "tokenizer" and copied(server.model, need.name):
            continue  # rendering names the copy instead
        elif entry:
            yield from _problems(server, need, entry)
            yield from _links(server, need, entry)
            yield from _refused(server, need, entry)
            yield from _adapter(server, need, entry)
    yield from _code(server)


def copied(entry: Mapping[str, Any] | None, tokenizer: str | None) -> str | None:
    """The directory in which cortex.vllm.model put a copy of this tokenizer, beside the weights."""
    found = (entry or {}).get("tokenizer_copy") or {}
    return str(found["path"]) if tokenizer and found.get("tokenizer") == tokenizer and found.get("path") else None


def _problems(server: Server, need: Need, entry: Mapping[str, Any]) -> Findings:
    status = str(entry.get("status"))
    problems = [item for item in entry.get("problems") or () if isinstance(item, Mapping)]
    if server.argument("load_format") == "dummy":
        problems = [item for item in problems if item.get("code") not in _WEIGHTS]
        if entry.get("problems") and not problems:
            return
    if not problems and status == "complete":
        return
    code, words = _WORDS.get(status, ("model.unreadable", f"is {status}"))
    may_download = not getattr(server.spec, "offline", True) and need.on_hub
    for problem in problems or [{}]:
        severity = str(problem.get("severity") or "error")
        found = str(problem.get("code") or code)
        if may_download and found != "model.unreadable":
            severity = "warning"
        path, text = str(problem.get("path") or ""), str(problem.get("message") or f"{need.name} {words}")
        fix = str(problem.get("fix") or "Fetch it on the host (cortex.vllm.model_info shows what is missing).")
        if found == "model.absent" and need.role == "tokenizer":
            text, fix = f"the tokenizer {need.name} is not on the host: {text}", _tokenizer_ways(server, need)
        elif need.role != "model":
            text = f"{_WHAT[need.role]} {need.name}: {text}"
        if need.code and severity == "error":
            found = need.code
        yield server.finding(
            found,
            severity,
            text if not path or path in text else f"{text} ({path})",
            need.field,
            fix[:1].upper() + fix[1:],
            need.name,
        )


#: What vLLM says when a file of this kind is not there.
_LINKED = {"config": "model.absent", "directory": "model.absent", "weights": "model.shard-missing"}


def _links(server: Server, need: Need, entry: Mapping[str, Any]) -> Findings:
    """Links that lead out of what the container is shown: there on the host, and nothing inside.

    ``hf download --local-dir`` before 0.23 and people who share disks make such links. One that begins with a slash
    is fine where a mount shows its target under the same path.
    """
    for link in entry.get("links") or ():
        target = str(link["target"])
        if not need.on_hub and on_host(server.spec, target) is not None:
            continue
        if need.on_hub and any(target.startswith(f"{mount.target}/") for mount in server.spec.mounts):
            continue
        more = f" (and {link['files'] - 1} more)" if link["files"] > 1 else ""
        folder = posixpath.dirname(target)
        fix = (
            f"Show it under the same path (mounts: [{folder}]), or put the files in the place of the links (cp -rL)."
            if not need.on_hub
            else "Fetch the model again into this cache, whose links stay inside of it, or copy the cache with cp -rL."
        )
        words = f"{link['path']}{more} is a link to {target}, which the container does not see"
        code = need.code or _LINKED.get(str(link["kind"]), "model.file-missing")
        yield server.finding(code, "error", words, need.field, fix, need.name)


def _tokenizer_ways(server: Server, need: Need) -> str:
    """Every way out, the one that changes least first."""
    gguf = (server.model or {}).get("gguf")
    ways = [
        f"fetch {need.name} into {need.hub_cache or 'the hub cache'} (its tokenizer files are enough)",
        "or have cortex.vllm.model copy it beside the weights from a repository or directory that the host has"
        f" (tokenizer_from: …, tokenizer_id: {need.name})",
        "or write `tokenizer:` with the path of a directory that holds it",
    ]
    if gguf and gguf.get("tokenizer"):
        ways.append("or delete `tokenizer`: the GGUF file has one in it, which is converted at each start")
    return ways[0][:1].upper() + "; ".join(ways)[1:] + "."


def _unseen(server: Server, need: Need) -> Findings:
    """What no mount shows can only be in the image, which holds examples and nothing else."""
    if need.role in {"draft"} or need.name.startswith(OF_THE_IMAGE):
        return  # drafts: speculation.draft-model says it
    severity = "warning" if need.role == "file" else "error"
    yield server.finding(
        need.code or "model.absent",
        severity,
        f"no mount shows {need.name} in the container"
        + (", so it must be in the image" if severity == "warning" else ""),
        need.field,
        f"Put it on the host and write it under mounts: [{need.name}], or correct the path.",
        need.name,
    )


def _no_cache(server: Server, need: Need) -> Findings:
    if not getattr(server.spec, "offline", True):
        return
    if need.role == "draft":
        return  # speculation.draft-model says it
    yield server.finding(
        need.code or "model.absent",
        "error",
        f"{need.name} is an id on the Hub, the server is offline, and it has no hub cache",
        need.field,
        "Write hub_cache: the host's cache that holds it; or the path of a directory.",
        need.name,
    )


def _refused(server: Server, need: Need, entry: Mapping[str, Any]) -> Findings:
    """Files that the container's user may not open: all capabilities are dropped, so root is a user like others."""
    user = server.user
    if user is None or set(server.spec.cap_add) & {"DAC_OVERRIDE", "DAC_READ_SEARCH", "ALL"}:
        return
    uid, gid = user
    for item in entry.get("access") or ():
        if may_open(item, uid, gid):
            continue
        whole = item["kind"] in {"directory", "config"}
        # vLLM cannot tell a directory that it may not enter from one that holds nothing.
        code = need.code or ("model.absent" if whole else "model.file-unreadable")
        others = f" and {item['files'] - 1} more" if item["files"] > 1 else ""
        yield server.finding(
            code,
            "error",
            f"user {uid}:{gid} of the container may not {'enter' if item['kind'] == 'directory' else 'read'}"
            f" {item['path']}{others} (mode {item['mode']}, owner {item['uid']}:{item['gid']})",
            need.field,
            f'Make it readable (chmod -R a+rX {item["path"]}), or write user: "{item["uid"]}:{item["gid"]}".',
            need.name,
        )
        if whole:
            return


#: What every release with LoRA refuses in an adapter; the other forms newer ones refuse, and older ones apply wrongly.
_NEVER = ("use_dora", "bias", "modules_to_save")
#: vllm/config/lora.py MaxLoRARanks, 0.32.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def _adapter(server: Server, need: Need, entry: Mapping[str, Any]) -> Findings:
    """What adapter_config.json asks for and the server has not (vllm/lora/peft_helper.py validate_legal)."""
    adapter = entry.get("adapter") if need.role == "adapter" else None
    if not adapter:
        return
    rank, most = adapter.get("rank"), server.argument("max_lora_rank")
    most = 16 if most is None else most
    if isinstance(rank, int) and isinstance(most, int) and rank > most:
        wanted = next((size for size in _RANKS if size >= rank), None)
        yield server.finding(
            "argument.lora",
            "error",
            f"LoRA adapter {need.name} has rank {rank}, and max_lora_rank is {most}",
            "engine_args.max_lora_rank",
            f"Write engine_args.max_lora_rank: {wanted}." if wanted else "Take an adapter of a smaller rank.",
            need.name,
        )
    for name, value in (adapter.get("beyond") or {}).items():
        if name == "bias" and server.argument("enable_lora_bias") is True:
            continue
        certain = name in _NEVER
        yield server.finding(
            "argument.lora",
            "error" if certain else "warning",
            f"LoRA adapter {need.name} has {name} ({value}), which vLLM does not apply"
            + ("" if certain else ": newer releases refuse it, older ones answer as if it were not there"),
            need.field,
            "Merge the adapter into the model (PEFT merge_and_unload) and serve that, or train one without it.",
            need.name,
        )


def may_open(item: Mapping[str, Any], uid: int, gid: int) -> bool:
    """Whether a user without capabilities may read a file of this entry, or enter and list a directory."""
    mode = int(str(item["mode"]), 8)
    bits = mode >> 6 if item["uid"] == uid else mode >> 3 if item["gid"] == gid else mode
    wanted = 5 if item["kind"] == "directory" else 4
    return bits & wanted == wanted


def _code(server: Server) -> Findings:
    """transformers resolve_trust_remote_code: a configuration class that only the model's own code has."""
    code, config = (server.model or {}).get("code"), Config.of(server)
    if not code or config is None or server.argument("trust_remote_code") is True:
        return
    own = table("model_types")
    if "AutoConfig" in code.get("classes", ()) and config.model_type not in {*own["transformers"], *own["vllm"]}:
        yield server.finding(
            "model.remote-code",
            "error",
            f"the model brings its own configuration class for model_type {config.model_type}, and nobody allowed its"
            " code to run",
            "engine_args.trust_remote_code",
            "Read the code; then write engine_args.trust_remote_code: true.",
        )
