# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""Whether the release in the image can run this model, and with so long a context."""

from __future__ import annotations

import re
from typing import Any

from .config import Config
from .context import Findings, Server
from .tables import facts, table

#: vllm/transformers_utils/model_arch_config_convertor.py (vllm/config.py before 0.14), in vLLM's order.
LENGTHS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
#: Kinds of rope scaling that leave the length as it is (vllm/config/model.py _get_and_verify_max_len, 0.6 … 0.33).
UNSCALED = {"su", "longrope", "llama3", "default", "mrope", "proportional"}
#: vllm/utils/argparse_utils.py human_readable_int: small letters are decimal, capitals binary.
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
#: vllm/model_executor/models/registry.py _normalize_arch: any of these heads is put on the generating class.
_HEAD = re.compile(r"(For(Causal|Conditional|Sequence|Token|Image|Audio|Text)\w*|(LMHead)?Model|RewardModel)$")


def check(server: Server) -> Findings:
    """Source: vllm/model_executor/models/registry.py, vllm/config/model.py; each rule names its place."""
    if server.spec.kind == "container":
        return
    config = Config.of(server)
    if config is None:
        return
    if (server.model or {}).get("format") != "gguf":
        yield from _architecture(server, config)
    yield from _length(server, config)


def _architecture(server: Server, config: Config) -> Findings:
    release, names = server.release, config.architectures
    if release is None or not release.architectures or not names:
        return
    known = set(release.architectures)
    remote, trusted = bool(config.top.get("auto_map")), bool(server.argument("trust_remote_code"))
    if any(name in known for name in names) or any(_adapted(name, known) for name in names):
        if remote and not trusted:
            # transformers resolve_trust_remote_code: asked only for what Transformers and vLLM do not have themselves.
            yield _remote(server, "info", "vLLM has its class; its configuration may need the code all the same")
        return
    severity = "error" if server.exact else "warning"
    spans, plugins = table("architectures")["spans"], table("architectures")["plugins"]
    name = names[0]
    since = spans.get(name)
    if name in plugins:
        fix = f"Use an image with its plugin ({plugins[name]}), and then accept: [model.architecture]."
    elif since and _key(since[0]) > _key(release.version):
        fix = f"Use vLLM {since[0]} or newer."
    elif since:
        fix = f"Use vLLM {since[1]}, the last catalogued release that has it."
    else:
        fix = "Use a release that supports the model (docs/compatibility.md), or another model."
    text = f"vLLM {release.version} has no class for {name}"
    if not since and name not in plugins and "TransformersForCausalLM" in known:
        # registry.py _try_resolve_transformers: its own code, or Transformers' class, behind vLLM's attention.
        if remote and not trusted:
            yield _remote(server, severity, f"{text}, and only the model's code could run it")
            return
        wanted = facts(release).get("transformers") or "the image's"
        made = config.top.get("transformers_version")
        with_what = f"Transformers {wanted}" + (f"; the model was saved with {made}" if made else "")
        severity, text = "warning", f"{text}; it runs only if Transformers has it ({with_what})"
    yield server.finding("model.architecture", severity, text, "model", fix, origin=name)


def _adapted(name: str, known: set[str]) -> bool:
    stem = _HEAD.sub("", name)
    return stem != name and bool(known & {f"{stem}{head}" for head in ("ForCausalLM", "ForConditionalGeneration")})


def _remote(server: Server, severity: Any, why: str) -> Any:
    return server.finding(
        "model.remote-code",
        severity,
        f"the model brings its own code, and nobody allowed it to run: {why}",
        "engine_args.trust_remote_code",
        "Read the code; then write engine_args.trust_remote_code: true.",
    )


def _length(server: Server, config: Config) -> Findings:
    """vllm/config/model.py _get_and_verify_max_len, 0.6 … 0.33: a longer one is refused unless a variable allows it."""
    wanted = tokens(server.argument("max_model_len"))
    sure, least, key = limits(config, facts(server.release).get("yarn_multiplies"))
    if wanted is None or sure is None or least is None or wanted <= least:
        return
    written = server.arguments["max_model_len"][0]
    allowed = str((server.spec.env or {}).get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "0")).lower() in {"1", "true"}
    text = f"max_model_len is {wanted}, and the model was made for {sure if wanted > sure else least} ({key})"
    if wanted <= sure:
        text += "; releases differ on whether its rope scaling is already in that number"
    yield server.finding(
        "argument.max-model-len",
        "warning" if allowed or wanted <= sure else "error",
        text,
        f"engine_args.{written}",
        f"Write {least} or less, or declare the rope scaling that the model documents (hf_overrides).",
        origin=server.argument("max_model_len"),
    )


def limits(config: Config, yarn_multiplies: bool | None = None) -> tuple[int | None, int | None, str]:
    """The longest context as any release could read the configuration, as the strictest does, and the key it is from.

    :param yarn_multiplies: whether the release multiplies YaRN's length (to 0.29 all do); None: unknown, both are kept
    """
    found = [(key, config.text[key]) for key in LENGTHS if _positive(config.text.get(key))]
    if not found:
        return None, None, ""
    key, length = min(found, key=lambda item: item[1])
    if _positive(config.text.get("model_max_length")):
        key, length = "model_max_length", max(config.text["model_max_length"], length)
    most = least = length
    for rope in config.rope if "gemma3" not in config.model_type else ():
        kind, factor = str(rope.get("rope_type") or rope.get("type") or "default"), rope.get("factor")
        if kind in UNSCALED or not isinstance(factor, (int, float)) or factor <= 0:
            continue
        if "yarn" in kind or kind == "deepseek_llama_scaling":
            original = rope.get("original_max_position_embeddings")
            scaled = int((original if isinstance(original, int) and original > 0 else length) * factor)
            if yarn_multiplies is False:
                continue
            most = max(most, scaled)
            least = max(least, scaled) if yarn_multiplies else least
        else:
            most = least = int(length * factor)
    return most, least, key


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def tokens(value: Any) -> int | None:
    """``32768``, ``"32k"`` or ``"32K"`` as a number; None for auto, -1 and what is no number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", str(value if value is not None else "").strip())
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
