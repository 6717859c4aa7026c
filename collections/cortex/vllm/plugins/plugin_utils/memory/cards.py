# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What CUDA sees of a card, which is less than what it is sold with; for questions that are asked without a host.

Rows: words of the name, all of which must be there; gigabytes on the box; GiB that ``torch.cuda.mem_get_info`` calls
total, as start-up logs and bug reports show them (driver, ECC and fabric keep the rest); compute capability. The first
row that matches is taken: special names stand before general ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ROWS = """
gh200 480 | 96 | 94.50 | 9.0
gh200 | 96 | 94.50 | 9.0
h200 nvl | 141 | 139.80 | 9.0
h200 | 141 | 139.80 | 9.0
h100 nvl | 94 | 93.00 | 9.0
h100 | 80 | 79.18 | 9.0
h800 | 80 | 79.18 | 9.0
h20 | 96 | 95.00 | 9.0
a100 40 | 40 | 39.38 | 8.0
a100 | 80 | 79.15 | 8.0
a800 | 80 | 79.15 | 8.0
a30 | 24 | 23.50 | 8.0
a10g | 24 | 21.95 | 8.6
a10 | 24 | 22.04 | 8.6
a16 | 16 | 14.53 | 8.6
a40 | 48 | 44.34 | 8.6
l40s | 48 | 44.39 | 8.9
l40 | 48 | 44.39 | 8.9
l20 | 48 | 44.39 | 8.9
l4 | 24 | 22.03 | 8.9
t4 | 16 | 14.56 | 7.5
v100 32 | 32 | 31.73 | 7.0
v100 | 16 | 15.77 | 7.0
p100 | 16 | 15.89 | 6.0
rtx pro 6000 | 96 | 94.97 | 12.0
rtx pro 5000 | 48 | 47.37 | 12.0
rtx 6000 ada | 48 | 47.37 | 8.9
rtx a6000 | 48 | 47.41 | 8.6
rtx a5000 | 24 | 23.55 | 8.6
rtx a4000 | 16 | 15.71 | 8.6
5090 laptop | 24 | 23.50 | 12.0
5090 | 32 | 31.36 | 12.0
5080 | 16 | 15.47 | 12.0
5070 ti | 16 | 15.47 | 12.0
5070 | 12 | 11.49 | 12.0
5060 ti | 16 | 15.47 | 12.0
4090 laptop | 16 | 15.70 | 8.9
4090 | 24 | 23.54 | 8.9
4080 laptop | 12 | 11.60 | 8.9
4080 | 16 | 15.59 | 8.9
4070 laptop | 8 | 7.63 | 8.9
4070 ti super | 16 | 15.59 | 8.9
4070 | 12 | 11.59 | 8.9
4060 ti | 16 | 15.60 | 8.9
4060 | 8 | 7.63 | 8.9
3090 | 24 | 23.58 | 8.6
3080 ti laptop | 16 | 15.70 | 8.6
3080 ti | 12 | 11.65 | 8.6
3080 | 10 | 9.65 | 8.6
3070 | 8 | 7.66 | 8.6
3060 laptop | 6 | 5.80 | 8.6
3060 | 12 | 11.63 | 8.6
3050 | 8 | 7.66 | 8.6
2080 ti | 11 | 10.57 | 7.5
2080 | 8 | 7.60 | 7.5
2070 | 8 | 7.60 | 7.5
2060 | 6 | 5.75 | 7.5
titan rtx | 24 | 23.45 | 7.5
b300 | 288 | 267.50 | 10.3
gb300 | 288 | 267.50 | 10.3
b200 | 180 | 178.35 | 10.0
gb200 | 186 | 184.00 | 10.0
gb10 | 128 | 119.64 | 12.1
mi355x | 288 | 287.98 |
mi325x | 256 | 255.98 |
mi300x | 192 | 191.98 |
mi250 | 64 | 63.98 |
"""


@dataclass(frozen=True)
class Card:
    """One row. ``box``: gigabytes it is sold with; ``real``: GiB that CUDA calls total."""

    words: tuple[str, ...]
    box: float
    real: float
    capability: float | None


def _read() -> tuple[Card, ...]:
    cards = []
    for line in _ROWS.strip().splitlines():
        words, box, real, capability = (cell.strip() for cell in line.split("|"))
        cards.append(Card(tuple(words.split()), float(box), float(real), float(capability) if capability else None))
    return tuple(cards)


CARDS = _read()


def find(name: str, memory_gib: float | None = None) -> Card | None:
    """The card of a name, in any of its spellings: ``NVIDIA GeForce RTX 3060``, ``rtx3060``, ``H100-SXM5-80GB``.

    Cards of one name come in sizes: with ``memory_gib``, the row whose size is near it is taken.
    """
    text = name.lower().replace("-", " ").replace("_", " ")
    text = re.sub(r"(?<=[a-z])(?=(?:20|30|40|50)[5-9]0)", " ", text)
    parts = re.findall(r"[a-z]+\d+[a-z]*|\d+(?=\s*g)|\d+|[a-z]+", text)
    if not memory_gib:
        return next((card for card in CARDS if all(word in parts for word in card.words)), None)
    for card in CARDS:
        # The size tells laptops and halves apart where the name does not.
        own = [word for word in card.words if word != "laptop" and not (word.isdigit() and float(word) == card.box)]
        near = abs(memory_gib - card.box) < 0.01 or abs(memory_gib / card.real - 1) < 0.04
        if near and all(word in parts for word in own):
            return card
    return None
