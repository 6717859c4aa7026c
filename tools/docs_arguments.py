#!/usr/bin/env python3
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/arguments.md from the catalogue, the tables of translations and tools/arguments.json.

Usage: tools/docs_arguments.py [--check]
"""

from __future__ import annotations

import json
import pathlib
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "arguments.md"
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog, rendering, spec  # noqa: E402
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import tables  # noqa: E402

HEAD = """# Arguments

<!-- Written by tools/docs_arguments.py; change that, tools/arguments.json or translations.json. -->

`engine_args` takes vLLM's own arguments by the names of any release, with `-` or `_`. They are rendered in the words
of the release in the image: renamed, turned round, made keys of a JSON option or taken out of one, moved to a variable,
left out where that says the same. What cannot be said is an error before anything is stopped; it names the release in
which the argument came or went, and what to write instead. Keys inside of JSON options are checked too, against the
fields that the class behind the option has in that release. Every option of every release is on
[compatibility.md](compatibility.md).

`cortex.vllm.args` with `vllm_version` shows what becomes of a declaration, without a host:

```yaml
- cortex.vllm.args:
    name: chat
    model: Qwen/Qwen3-0.6B
    vllm_version: "0.10.0"
    engine_args: {enable_log_requests: false}
```
"""

ABILITIES = """
## What must be declared for what

A server is asked for an ability before it counts as ready when `probe.request` names it: `completion`, `json_schema`,
`regex`, `grammar`, `choice`, `tool_call`, `embedding` or `score`. Task `cortex.vllm.ready` asks the same of a server
that runs. The question is put as the release understands it.

| `probe.request` | what must be declared | how clients ask |
|---|---|---|"""

ENGINES = """
With V1 (0.8 on by itself, the only engine from 0.11 on) the backend of structured answers belongs to the server, and no
request can choose another; `best_of` and logits processors of requests went too, and are refused in `request_defaults`.
"""

AHEAD = """
## Before an upgrade

`ansible-playbook cortex.vllm.check` ends with a table of what newer releases, up to the newest known, will say to what
is declared; `cortex.vllm.args` returns the same as `ahead`. *rewritten*: the collection says it in the new words by
itself. *deprecated*: works until the release that removes it. *removed* and *refused*: the upgrade is refused until it
is changed. For this declaration on {version}:

```yaml
vllm_servers:
  chat:"""

EDITORS = """
## In an editor

`tools/declaration-schema 0.33.0` prints a JSON Schema of `vllm_servers` for a release: every field, every argument with
vLLM's own description and choices, and the arguments of other releases marked as such. The one of the newest catalogued
release lies beside this page, [declaration.schema.json](declaration.schema.json). Editors with the YAML language server
(VS Code, Neovim, Emacs, Helix) read it from a comment at the top of the file:

```yaml
# yaml-language-server: $schema=../declaration.schema.json
vllm_servers:
  chat:
    image: vllm/vllm-openai:v0.33.0
    model: Qwen/Qwen3-0.6B
```

PyCharm and IntelliJ: Settings, Languages & Frameworks, Schemas and DTDs, JSON Schema Mappings. Text with `{{ … }}` is
accepted everywhere.
"""


def since(name: str) -> str:
    """In which releases an argument exists, for a cell."""
    life = catalog.flag_lifetime(name)
    if life is None:
        return "none"
    first = "always" if life.before is None else f"{life.first} and newer"
    if life.gone:
        return f"up to {life.last}" if life.before is None else f"{life.first} to {life.last}"
    return first


def exposed(groups: list[dict[str, Any]]) -> Iterator[str]:
    yield "\n## What can be set\n"
    yield "Releases are the catalogued ones that have the name; other releases get it in their words where they can."
    for group in groups:
        yield f"\n### {group['title']}\n\n| argument | effect | releases |\n|---|---|---|"
        for name, effect in group["rows"]:
            yield f"| `{name}` | {effect} | {since(name)} |"


def translations() -> Iterator[str]:
    rows = tables.rows()
    yield "\n## What becomes what\n\n| one release says | another says | read in |\n|---|---|---|"
    for row in rows["renames"]:
        turned = ", turned round" if row.get("negated") else ""
        other = f"`{row['new']}`{turned} ({since(row['new'])})"
        yield f"| `{row['old']}` ({since(row['old'])}) | {other} | {row['source']} |"
    for row in rows["values"]:
        becomes = f"`{row['new']}: {json.dumps(row['becomes'])}`"
        yield f"| `{row['old']}: {json.dumps(row['when'])}` ({since(row['old'])}) | {becomes} | {row['source']} |"
    for row in rows["keys"]:
        until = f", up to {row['until']}" if "until" in row else ""
        yield (
            f"| `{row['argument']}` ({since(row['argument'])}) | `{row['into']}.{row['key']}`"
            f" ({since(row['into'])}{until}) | {row['source']} |"
        )
    for row in rows["inner"]:
        becomes = {old: json.dumps(new) for old, new in row.get("becomes", {}).items()}
        how = ", ".join(f"{old} as {new}" for old, new in becomes.items() if old != new)
        other = f"`{row['argument']}.{row['new']}`{f' ({how})' if how else ''}"
        yield f"| `{row['argument']}.{row['old']}` | {other} | {row['source']} |"
    for row in rows["variables"]:
        yield f"| `{row['argument']}` ({since(row['argument'])}) | variable `{row['variable']}` | {row['source']} |"
    yield "\n## What went\n\n| argument | gone in | instead | read in |\n|---|---|---|---|"
    for row in rows["gone"]:
        life = catalog.flag_lifetime(row["argument"])
        gone = life.removed if life is not None and life.gone else "0.17, back in 0.33"
        yield f"| `{row['argument']}` | {gone} | {row['fix']} | {row['source']} |"


def example(declared: dict[str, Any], versions: list[str]) -> Iterator[str]:
    yield "\n## One declaration, many releases\n"
    yield "```yaml\nvllm_servers:\n  chat:"
    shown = {key: value for key, value in declared.items() if key != "name"}
    yield "    " + yaml.safe_dump(shown, sort_keys=False, width=100).strip().replace("\n", "\n    ")
    yield "```\n\nbecomes, after the entrypoint, the model, the address and the name:"
    for version in versions:
        release = catalog.nearest(version)[0]
        (made,) = spec.load([{**declared, "vllm_version": version}])
        image = rendering.ImageFacts.assumed(declared["image"], version)
        result = rendering.render(made, image, release, [], "/s", None, "0" * 32, {})
        said = result.argv[result.argv.index("--served-model-name") + 2 :]
        extra = {name: value for name, value in result.env.items() if name == "VLLM_ATTENTION_BACKEND"}
        lines = [f"{name}={value}" for name, value in extra.items()]
        for word in said:
            lines[-1:] = [f"{lines[-1]} {shlex.quote(word)}"] if lines and not word.startswith("--") else [
                *lines[-1:], word]  # fmt: skip
        yield f"\n**{version}** (`{' '.join(result.entrypoint)}`)\n\n```\n" + "\n".join(lines) + "\n```"
        for item in result.findings:
            if item.code not in ("argument.translated", "release.unknown"):
                yield f"\n* {item.severity} `{item.code}`: {item}"


def refused(declared: dict[str, Any]) -> Iterator[str]:
    yield "\n## What is refused, and what is said\n"
    yield "```yaml\nvllm_servers:\n  chat:"
    shown = {key: value for key, value in declared.items() if key not in ("name", "vllm_version")}
    yield "    " + yaml.safe_dump(shown, sort_keys=False, width=100).strip().replace("\n", "\n    ")
    yield "```\n\n| code | finding |\n|---|---|"
    release = catalog.release(declared["vllm_version"])
    assert release is not None
    (made,) = spec.load([declared])
    image = rendering.ImageFacts.assumed(declared["image"], declared["vllm_version"])
    for item in rendering.render(made, image, release, [], "/s", None, "0" * 32, {}).findings:
        yield f"| `{item.code}` ({item.severity}) | {str(item).removeprefix('vllm_servers[chat].')} |"


def upgrade(declared: dict[str, Any], version: str) -> Iterator[str]:
    yield AHEAD.format(version=version)
    shown = {key: value for key, value in declared.items() if key != "name"}
    yield "    " + yaml.safe_dump(shown, sort_keys=False, width=100).strip().replace("\n", "\n    ")
    yield "```\n\n| setting | from | until | what | why | do |\n|---|---|---|---|---|---|"
    (made,) = spec.load([declared])
    for row in rendering.ahead(made, catalog.nearest(version)[0]):
        cells = [f"`{row['setting']}`", *(row[key] or "" for key in ("release", "until", "kind", "message", "fix"))]
        yield f"| {' | '.join(cells)} |"


def abilities(rows: list[list[str]]) -> Iterator[str]:
    yield ABILITIES
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ENGINES.rstrip()


def page() -> str:
    data = json.loads((ROOT / "tools" / "arguments.json").read_text())
    parts = [HEAD.rstrip(), *exposed(data["groups"]), *translations(), *example(data["example"], data["releases"])]
    parts += [*refused(data["refused"]), *upgrade(**data["upgrade"])]
    return "\n".join([*parts, *abilities(data["abilities"])]) + "\n" + EDITORS


def main() -> int:
    new = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.exists() and PAGE.read_text() == new
        if not current:
            print("docs/arguments.md is not current: run tools/docs_arguments.py", file=sys.stderr)
        return int(not current)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
