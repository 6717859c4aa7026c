# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""The texts that a generation mounts: launcher and health check."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..spec.base import MOUNT_FILES, MOUNT_STATE

try:
    import jinja2
except ImportError:  # pragma: no cover - ansible-core brings it; only the sanity import test is without
    jinja2 = None  # type: ignore[assignment]

TEMPLATES = Path(__file__).parent / "templates"

#: Seconds before the second start in a row, doubled for each further one, and the most.
FIRST_WAIT = 5
LONGEST_WAIT = 300
#: Failed starts in a row after which nothing is tried any more: with the waits, about 40 minutes.
GIVE_UP = 12
#: Seconds that a server waits for another one on its GPU to be ready, and for which it keeps others waiting; seconds
#: between two words about it, and between two looks.
TURN_LIMIT = 1800
TURN_WORD = 60
TURN_STEP = 0.5
#: Seconds that one health request may take.
HEALTH_TIMEOUT = 8


def _compiled() -> dict[str, Any]:
    if jinja2 is None:  # pragma: no cover
        return {}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(TEMPLATES)),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # shell, not HTML; values are ours, and paths of constants
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return {name: environment.get_template(name) for name in ("launch.sh.j2", "health.sh.j2", "turn.py.j2")}


#: Compiled when the module is imported, which the parent of Ansible's workers does once for all of them (16 ms).
_TEMPLATES = _compiled()


def launcher(
    *,
    back_off: bool = True,
    seed_cache: bool = True,
    before: Sequence[str] = (),
    turn: Sequence[str] = (),
    files: str = MOUNT_FILES,
    state: str = MOUNT_STATE,
) -> str:
    """The script that exports secrets, counts failed starts, backs off, and becomes the image's own program.

    :param back_off: count and wait; only sensible beside a health check, which takes the count away
    :param seed_cache: copy the cache that the image brings into an empty one
    :param before: a command to run first
    :param turn: arguments of :func:`turn`, where the server shares its GPUs
    :param files: where the generation is mounted
    :param state: where the writable directory is mounted
    """
    return _rendered(
        "launch.sh.j2",
        back_off=back_off,
        seed_cache=seed_cache,
        before=shlex.join(before),
        turn=shlex.join(turn),
        files=files,
        state=state,
        first_wait=FIRST_WAIT,
        longest_wait=LONGEST_WAIT,
        give_up=GIVE_UP,
    )


def health_check(url: str, *, state: str = MOUNT_STATE) -> str:
    """The script that asks ``url``, with curl if it is there and with Python otherwise."""
    return _rendered("health.sh.j2", url=url, state=state, timeout=HEALTH_TIMEOUT)


def turn(*, limit: float = TURN_LIMIT, word: float = TURN_WORD, step: float = TURN_STEP) -> str:
    """The program that waits until no other server on the same GPUs is starting."""
    return _rendered("turn.py.j2", limit=limit, word=word, step=step)


def _rendered(name: str, **values: Any) -> str:
    return str(_TEMPLATES[name].render(**values))
