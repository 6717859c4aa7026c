#!/usr/bin/env python3
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes docs/diagnosis.md from the rules of the diagnosis.

tools/docs_diagnosis.py            write it
tools/docs_diagnosis.py --check    exit with 1 when it is not current
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.cortex.vllm.plugins.plugin_utils.diagnosis import knowledge, rules  # noqa: E402

PAGE = ROOT / "docs" / "diagnosis.md"

TITLES = {
    "engine": "What the container engine refuses",
    "arguments": "Arguments, variables and configuration",
    "memory": "Memory",
    "gpu": "GPUs and their driver",
    "network": "Several ranks: NCCL, torch.distributed, Ray",
    "hub": "The Hugging Face Hub",
    "model": "The model's files",
    "image": "What is in the image",
    "host": "Host and container",
    "server": "Processes that died, starts that took too long",
    "areas": "Which part of the code it came out of",
}

HEAD = """# What the diagnosis knows

<!-- Made by tools/docs_diagnosis.py from plugin_utils/diagnosis/rules. Do not edit. -->

A log and an exit state become a cause, the lines it rests on, an explanation and what to change: by
`cortex.vllm.diagnose`, after every failed start, and in `cortex.vllm.ready`. The reader

- takes off what carried the log: docker and kubectl timestamps, compose, journald, JSON drivers and formatters,
  colours, Ray, torch's rank prefixes; a prefix that nobody has named is learned from the log, and a whole log on one
  line is taken apart;
- judges the last start that is in it, and says what became of the one before;
- follows exceptions through the wrappers around them to the first true one, whichever process wrote it;
- tells requests that failed, warnings that alarm and tracebacks that were survived from the end of a server.

What no rule knows stays `start.unknown`, with the lines that tell most. A log that shows neither an error nor
readiness is `loading`: neither failed nor healthy.

Exit states alone say: 0 after readiness `server.engine-died`, 126 and 127 `image.entrypoint`, 130 and 143
`server.stopped`, 132 `host.cpu`, 134 and 139 `start.crashed`, 135 `memory.shm`, 137 `server.killed` or, when the
engine says so, `memory.oom-killed`. Without a given one, what compose, systemd, kubectl, srun or a shell write about
the end of it counts. A rank of a server on several hosts that ends without an error of its own is `distributed.failed`:
the log of the first rank tells more.

{count} rules, by concern. *Seen* is the beginning of the expression that is looked for; `…` stands for what may vary.
A code is explained in [troubleshooting.md](troubleshooting.md); several rules share one. A *general* rule counts only
when no telling one fits, one *by place* goes by the file that raised the error alone, and a *consequence* counts only
when nothing else is known. The rows of the last section know no words: they name the part of the code that an error
came out of, and quote it.
"""


def seen(pattern: str) -> str:
    """The expression as a person reads it: the first alternatives, groups as an ellipsis."""
    text = re.sub(r"\(\?P<\w+>(?:[^()]|\([^()]*\))*\)\??", "…", pattern)
    text = re.sub(r"\[\\s\\S\]\*\??|\[\^[^\]]*\][*+]\??|\\[SwdD][*+]?\??(?:\{[\d,]+\})?|\.[*+]\??", "…", text)
    text = re.sub(r"\(\?[:=!<][=!]?|\\A|\\b", "(", text)
    text = re.sub(r"\\([^\w])", r"\1", text).replace("\\n", " ")
    parts = [part for part in re.split(r"\|", re.sub(r"[()?^$]", "", text)) if len(part.strip(" ….:")) > 3]
    shown = " / ".join(dict.fromkeys(part.strip() for part in parts[:3])) or text
    shown = re.sub(r"…(?:\s*…)+", "…", shown).replace("`", "'").replace("|", "/")
    return shown if len(shown) <= 140 else f"{shown[:139]}…"


def plain(template: str) -> str:
    """A text with its optional parts shown, and groups as an ellipsis."""
    text = re.sub(r"\[\[(.*?)\]\]", r"\1", template)
    text = re.sub(r"(?:\{\w+\})+", "…", text)
    return text.replace("|", "\\|").replace("<", "&lt;")


def rows(concern: str) -> Iterator[str]:
    comment = json.loads((knowledge.FOLDER / f"{concern}.json").read_text(encoding="utf-8"))["comment"]
    yield f"\n## {TITLES[concern]}\n\n{comment}\n\n"
    yield "| code | seen | what it means | why | what to change | releases | source |\n|---|---|---|---|---|---|---|\n"
    for rule in sorted((rule for rule in rules() if rule.concern == concern), key=lambda rule: rule.code):
        strength = ("", " *(consequence)*", " *(by place)*", " *(general)*", "")[rule.rank + 1]
        stage = f" *(in {rule.stage})*" if rule.stage else ""
        field = f" Field: `{rule.field}`." if rule.field else ""
        cells = (
            f"`{rule.code}`{strength}{stage}",
            f"`{seen((rule.within or rule.pattern).pattern)}`",
            plain(rule.message),
            plain(rule.why),
            plain(rule.fix) + field,
            rule.releases,
            plain(rule.source),
        )
        yield f"| {' | '.join(cells)} |\n"


def page() -> str:
    return HEAD.format(count=len(rules())) + "".join(line for name in knowledge.FILES for line in rows(name))


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/diagnosis.md is not current: run tools/docs_diagnosis.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
