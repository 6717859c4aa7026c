# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What somebody did to the files that a server mounts: deleted, edited, protected otherwise.

A server that runs needs none of them until its next start, which may be a reboot at night. So it is mended now, and
without a restart: what was rendered for the generation on record is written again, in its place. Where nobody knows any
more what was written (a newer collection renders otherwise), only a container of its own brings the server back to what
it should be: at once where it does not run, else when a person wants it.
"""

from __future__ import annotations

from ..differences import Difference
from ..findings import Finding, first_of
from .prepare import Prepared

#: What a difference says of a file that is to be put back.
AS_WRITTEN = "as written"


def damage(ready: Prepared) -> list[Difference]:
    """A difference for each file or directory that is not what was written."""
    committed = ready.server.committed or {}
    folder = f"generations/{committed.get('generation')}"
    kind = "in_place" if known(ready) else "replace"
    found = []
    for item in ready.server.damage:
        path = str(item.get("path") or "")
        if path == folder:
            field = "files"
        else:
            inside = path.startswith(f"{folder}/")
            field = f"files.{path.removeprefix(f'{folder}/')}" if inside else f"directories.{path}"
        found.append(Difference(field, str(item.get("problem")), AS_WRITTEN, kind, "drift"))  # type: ignore[arg-type]
    return found


def known(ready: Prepared) -> bool:
    """Whether what was written can be written again: the generation's name stands for its content, secrets included."""
    committed = ready.server.committed or {}
    return ready.rendered is not None and ready.rendered.generation == committed.get("generation")


def finding(server: str, damaged: list[Difference], action: str) -> Finding:
    """What a person must know about damage that is not simply put back.

    :param action: what is going to be done with the server
    """
    named = [f"{item.field} ({item.before})" for item in damaged]
    text = f"what it mounts from the host is not what was written: {first_of(named)}"
    anew = "converge with update: true (vllm_update=true)"
    if action == "replace":
        fix = "They are written anew now. Should the new container fail, the old one may not start again."
    elif action == "restart":
        fix = f"It would not start again as it was; {anew} instead, which replaces it."
        return Finding("server.files", "error", text, fix=fix, server=server)
    else:
        fix = f"It runs on, and may not start the next time; {anew} when it suits, which replaces it."
    return Finding("server.files", "warning", text, fix=fix, server=server)
