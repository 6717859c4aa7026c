# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""``/etc/nccl.conf``, with the reason of each value.

NCCL skips lines that begin with ``#`` and takes what follows ``=`` as it is, so that no comment may stand behind a
value; a variable of the environment wins (src/misc/param.cc: setEnvFile, setenv without overwriting).
"""

from __future__ import annotations

import textwrap

from .resolve import Resolution, Setting

#: Where NCCL looks for it, in every release.
CONF = "/etc/nccl.conf"
_WORDS = {"declared": "declared", "host": "derived", "measured": "measured", "default": "default"}


def conf(resolved: Resolution, *, owner: str = "cortex.vllm") -> str:
    """The file."""
    lines = [
        f"# Written by {owner}. Changes are lost: declare them (nccl).",
        f"# Profile: {resolved.profile}. A variable of the same name in the environment wins over this file.",
    ]
    for item in resolved.file:
        lines += ["", *_comment(f"{_reason(item)}."), f"{item.name}={item.value}"]
    if resolved.left:
        lines += ["", "# Left to NCCL:"]
        for name, why in resolved.left:
            lines += _comment(f"{name}: {why}.", "#   ")
    others = [item for item in resolved.settings if item.reader != "NCCL"]
    if others:
        lines += ["", "# In the container's environment, because NCCL does not read them:"]
        for item in others:
            lines += _comment(f"{item.name}={item.value} ({item.reader}): {_reason(item)}.", "#   ")
    for name in sorted(resolved.arguments):
        lines += _comment(f"Argument of vLLM: {name} = {resolved.arguments[name]}.", "#   ")
    return "\n".join(lines) + "\n"


def _reason(item: Setting) -> str:
    word = _WORDS[item.because]
    return item.why if item.why.startswith(word) else f"{word}: {item.why}"


def _comment(text: str, prefix: str = "# ") -> list[str]:
    return textwrap.wrap(text, 118, initial_indent=prefix, subsequent_indent=prefix + "  ")
