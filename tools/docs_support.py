#!/usr/bin/env python3
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes docs/hardware.md and the spans in checks/data/architectures.json from the catalogue and the checks' tables.

tools/docs_support.py            write both
tools/docs_support.py --check    exit with 1 when one of them is not current
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.cortex.vllm.plugins.plugin_utils import catalog  # noqa: E402
from ansible_collections.cortex.vllm.plugins.plugin_utils.checks.tables import DATA, table  # noqa: E402

PAGE = ROOT / "docs" / "hardware.md"
SPANS = DATA / "architectures.json"

#: Compute capability ×10 and the GPUs that have it (developer.nvidia.com/cuda-gpus).
GPUS = (
    (70, "V100"), (75, "T4, RTX 20"), (80, "A100, A30"), (86, "A10, A40, RTX 30"), (89, "L4, L40S, RTX 40"),
    (90, "H100, H200, GH200"), (100, "B200, GB200"), (120, "RTX 50, RTX PRO 6000, GB10 (12.1)"),
)  # fmt: skip


def spans() -> dict[str, list[str]]:
    """First and last release with each architecture."""
    found: dict[str, list[str]] = {}
    for version in catalog.versions():
        for name in catalog.release(version).architectures:  # type: ignore[union-attr]
            found.setdefault(name, [version, version])[1] = version
    return dict(sorted(found.items()))


def architectures() -> str:
    """The whole file, one architecture a line."""
    old = table("architectures")
    head = {key: old[key] for key in ("comment", "sources", "plugins")}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(span)}" for name, span in spans().items())
    return "{\n" + "".join(lines) + '  "spans": {\n' + rows + "\n  }\n}\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _quantization() -> Iterator[str]:
    versions = catalog.versions()
    newest = catalog.release(versions[-1])
    methods: dict[str, list[str]] = {}
    for version in versions:
        for method in catalog.release(version).quantization:  # type: ignore[union-attr]
            methods.setdefault(method, []).append(version)
    native = {item: row for row in table("quantization")["native"] for item in row["methods"]}
    yield _row("method", "releases", "least capability", *(f"{least // 10}.{least % 10}" for least, _names in GPUS))
    yield _row(*["---"] * (3 + len(GPUS)))
    for method, known in sorted(methods.items()):
        last = catalog.release(known[-1])
        least = last.quantization[method]  # type: ignore[union-attr]
        cells = []
        for capability, _names in GPUS:
            if least is None or least < 0:
                cells.append("" if least is None else "no GPU")
            elif capability < least:
                cells.append("–")
            else:
                cells.append("weights" if method in native and capability < native[method]["capability"] else "yes")
        span = known[0] if known[0] == known[-1] else f"{known[0]} – {known[-1]}"
        mark = "" if method in newest.quantization else " (left)"  # type: ignore[union-attr]
        told = "unknown" if least is None else "none (CPU)" if least < 0 else f"{least // 10}.{least % 10}"
        yield _row(f"`{method}`", span + mark, told, *cells)


def _releases() -> Iterator[str]:
    yield _row("release", "CUDA", "compiled for", "Transformers", "deprecated quantization (refused without consent)")
    yield _row(*["---"] * 5)
    for version, row in reversed(table("releases")["releases"].items()):
        cells = (row["cuda"], row["gpu_architectures"], row["transformers"], ", ".join(row["deprecated_quantization"]))
        yield _row(version, *(str(cell or "").replace("|", "\\|") for cell in cells))


def _left() -> Iterator[str]:
    yield _row("method", "left in", "instead", "source")
    yield _row(*["---"] * 4)
    for row in table("quantization")["left"]:
        yield _row(f"`{row['method']}`", row["release"], row["instead"], row["source"])


def _processors() -> Iterator[str]:
    yield _row("on the CPU", "since", "before", "needs", "source")
    yield _row(*["---"] * 5)
    rows = table("quantization")["cpu"]
    for row in rows["since"]:
        yield _row(row["what"], row["release"], row["before"], row.get("needs", ""), row["source"])
    for row in rows["none"]:
        yield _row(row["what"], "never", "", "", row["source"])


def _architectures() -> Iterator[str]:
    yield _row("architecture", "first release", "last release")
    yield _row(*["---"] * 3)
    newest = catalog.versions()[-1]
    for name, (first, last) in spans().items():
        yield _row(f"`{name}`", first, "" if last == newest else last)


def page() -> str:
    """The whole of docs/hardware.md."""
    names = "\n".join(f"* {least // 10}.{least % 10}: {text}" for least, text in GPUS)
    sources = "\n".join(f"* {name}: {text}" for name, text in table("releases")["sources"].items())
    return f"""# Which model runs on which release and GPU

Generated by `tools/docs_support.py` from the catalogue and from
`collections/cortex/vllm/plugins/plugin_utils/checks/data/`; do not edit. The checks of every plan read the same tables.

* [Quantization and GPUs](#quantization-and-gpus)
* [Quantization on the CPU](#quantization-on-the-cpu)
* [Quantization methods that left vLLM](#quantization-methods-that-left-vllm)
* [What the image of a release is built with](#what-the-image-of-a-release-is-built-with)
* [Architectures](#architectures)

## Quantization and GPUs

Columns are compute capabilities:

{names}

`yes`: supported · `weights`: only weights are quantized, computation is in 16 bits (memory is saved, time is not) ·
`–`: refused · empty: vLLM's source does not tell. The capability is that of the last release with the method; schemes
inside of compressed-tensors and quark can need more. bfloat16 needs 8.0; below, releases from 0.9 on take float16 when
`dtype` is not set.

{"".join(_quantization())}
## Quantization on the CPU

The CPU build refuses no method by its name: it looks for a kernel when it loads the weights, and ends when it has none.
Weights in int8 (compressed-tensors) run in all releases; methods that are not listed were not judged.

{"".join(_processors())}
## Quantization methods that left vLLM

{"".join(_left())}
## What the image of a release is built with

A GPU runs what was compiled for its own major version and an equal or older minor one, and PTX of anything older.
Releases whose source archive was not at hand are missing, and are not judged.

{"".join(_releases())}
Sources:

{sources}

## Architectures

As `config.json` names them, with the first and, if it left, the last catalogued release that has a class of its own.
Others run only when the image's Transformers has them (0.8.3 and newer).

{"".join(_architectures())}"""


def main() -> int:
    wanted = {SPANS: architectures(), PAGE: page()}
    if "--check" in sys.argv[1:]:
        stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run tools/docs_support.py")
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
