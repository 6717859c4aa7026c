# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""How kernels for experts in 4 bits round up what they hold: by the GPU and the release, beside the checkpoint's bytes.

Sources: vllm/model_executor/layers/quantization/mxfp4.py ``get_mxfp4_backend`` and ``create_weights`` of 0.10 to 0.17,
layers/fused_moe/oracle/mxfp4.py since; quantization/utils/flashinfer_fp4_moe.py for NVFP4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .arguments import Settings, true


@dataclass(frozen=True)
class Padding:
    """Steps that experts' sizes are rounded up to.

    :ivar width, hidden: steps of the MLP's width on one rank and of the hidden size, values and scales alike
    :ivar summed: step of the dimension that is summed over, of values alone (half a byte each)
    """

    width: int = 1
    hidden: int = 1
    summed: int = 1

    def weights(self, hidden: int, width: float, matrices: int, size: float) -> float:
        """Weights of one expert that take as many bytes as what is held.

        :param size: bytes of a weight
        """
        wide, tall = _up(width, self.width), _up(hidden, self.hidden)
        more = (matrices - 1) * wide * (_up(tall, self.summed) - tall) + tall * (_up(wide, self.summed) - wide)
        return matrices * wide * tall + more * 0.5 / size


#: Marlin's, which every NVIDIA GPU without a kernel of its own takes.
MARLIN = Padding(width=128, hidden=256)
#: triton_kernels, which the images of vLLM bring since 0.12 (cmake/external_projects/triton_kernels.cmake): values lie
#: in rows of 128 bytes, in the kernels of Triton 3.6 in rows of 64 (hopper_value.py ``swizzle_data``; GPT-OSS 20B was
#: measured with 0.26.0 on an H200).
TRITON, TRITON_SINCE_17 = Padding(width=64, summed=256), Padding(width=64, summed=128)


def mxfp4(settings: Settings, capability: float | None, environment: Mapping[str, str] | None = None) -> Padding:
    """Of MXFP4: Hopper takes Triton's kernels since 0.12, Blackwell of data centres FlashInfer's, all others Marlin's.

    With adapters, or when asked, it is Marlin everywhere.
    """
    marlin = str((environment or {}).get("VLLM_MXFP4_USE_MARLIN", "")).lower() in {"1", "true"}
    if capability is None or marlin or true(settings.given.get("enable_lora")):
        return MARLIN
    if capability == 9.0 and settings.key >= ((0, 12), 0, 0):
        return TRITON if settings.key < ((0, 17), 0, 0) else TRITON_SINCE_17
    if 10 <= capability < 11:
        return Padding(width=256 if settings.key < ((0, 28), 0, 0) else 128, hidden=256)
    return MARLIN


def nvfp4(capability: float | None, matrices: int) -> Padding:
    """Of NVFP4 on Blackwell: the rows of the first matrix, gate and up together, come in steps of 128."""
    if capability is None or capability < 10:
        return Padding()
    return Padding(width=128 // (matrices - 1))


def _up(number: float, step: int) -> float:
    return float(math.ceil(number / step) * step)
