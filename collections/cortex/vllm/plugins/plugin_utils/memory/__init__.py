# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The memory of a start, foretold: weights, KV cache, activations and the rest, for each GPU.

Pure: a question (configuration, arguments, release, GPU) becomes an estimate with ranges, a verdict and advice.

* ``shape``: what the configuration says; ``quantization``, ``modules``: which parts are how small; ``weights``,
  ``vision``: bytes of the weights
* ``arguments``: the arguments with a release's defaults; ``cards``: what CUDA sees of a card; ``runner``: which one;
  ``kv_cache``: the cache; ``overhead``: everything else
* ``estimate``: the sum and the verdict; ``advice``: what would fit; ``show``: JSON, table and gauge
"""

from __future__ import annotations

from . import cards
from .advice import Advice, advise
from .arguments import GIB, Gpu
from .estimate import Estimate, Question, estimate
from .show import as_dict, gauge, table

__all__ = ["GIB", "Advice", "Estimate", "Gpu", "Question", "advise", "as_dict", "cards", "estimate", "gauge", "table"]
